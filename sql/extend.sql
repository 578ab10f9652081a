--
-- extend() sets a later end of a live lease.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy('p', lease => '1 hour', retry_delay => '0', max_in_flight => 1, max_attempts => 1);
SELECT update_tier.start('p', '1');
SELECT update_tier.claim('p', '1', w(1)) AS t \gset
SELECT lease_until AS first FROM update_tier.installed \gset

-- "by" is added to the end of the lease.
SELECT update_tier.extend(:t, '10 minutes') - :'first' AS later;
SELECT update_tier.extend(:t, by => '1 day') - :'first' AS later;
SELECT lease_until - :'first' AS later FROM update_tier.installed;
-- Without "by" the lease ends one lease from now, and never earlier than before.
SELECT update_tier.extend(:t) - :'first' AS later;
SELECT later('25 hours');
SELECT update_tier.extend(:t) BETWEEN now() + interval '1 hour' AND clock_timestamp() + interval '1 hour' AS one_lease_from_now;
-- The length is that of the rollout's policy.
SELECT update_tier.set_policy('p', lease => '3 hours');
SELECT update_tier.extend(:t) < clock_timestamp() + interval '2 hours' AS as_started;
SELECT update_tier.set_policy('p', lease => '3 hours', apply_to_running => true);
SELECT update_tier.extend(:t) > now() + interval '2 hours' AS as_changed;

-- After its first end the lease is live: the workspace cannot be claimed, the lease
-- counts in the budget, and the last attempt has not failed.
SELECT later('2 hours');
SELECT update_tier.claim('p', '1', w(1)) IS NULL AS leased, update_tier.claim('p', '1', w(2)) IS NULL AS budget_spent,
       phases('p'), (SELECT canary_in_flight FROM update_tier.status);
SELECT update_tier.extend(:t) IS NOT NULL AS again;
SELECT update_tier.report(:t, 'succeeded');

-- Like a report, extend() is judged by the start of its statement: this lease ends
-- while the statement runs.
SELECT update_tier.set_policy('q', lease => '1 microsecond');
SELECT update_tier.start('q', '1');
SELECT update_tier.extend(update_tier.claim('q', '1', w(1)), '1 hour') > now() AS extended;
SELECT state FROM update_tier.installed WHERE package = 'q';
-- Here the lease has ended before the statement.
SELECT update_tier.claim('q', '1', w(2)) AS t \gset
SELECT update_tier.extend(:t, '1 hour');
SELECT n(workspace), state FROM update_tier.installed WHERE package = 'q' ORDER BY workspace;

-- A lease stays live after halt(), abort(), retry() and freeze(), and when the workspace
-- is no longer live.
SELECT update_tier.start('r', '1');
SELECT update_tier.claim('r', '1', w(1)) AS t1, update_tier.claim('r', '1', w(2)) AS t2, update_tier.claim('r', '1', w(3)) AS t3 \gset
SELECT update_tier.halt('r', '1'), update_tier.extend(:t1, '1 hour') > now() AS extended;
SELECT update_tier.abort('r', '1'), update_tier.extend(:t2, '1 hour') > now() AS extended;
SELECT update_tier.retry('r', '1'), update_tier.extend(:t3, '1 hour') > now() AS extended;
SELECT update_tier.freeze('r'), update_tier.extend(:t1, '1 hour') > now() AS extended;
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT update_tier.extend(:t2) > now() AS extended;
SELECT n(workspace), state, lease_until - now() > '1 hour' AS later FROM update_tier.installed WHERE package = 'r' ORDER BY workspace;
SELECT later('1 hour');
SELECT canary_in_flight FROM update_tier.status WHERE package = 'r';
-- An end later than any timestamp is infinity; a report ends the lease.
SELECT update_tier.extend(:t1, '178000000 years');
SELECT update_tier.extend(:t1, '178000000 years'), update_tier.report(:t1, 'succeeded');

\set ECHO none
\i :fleet_gone
