--
-- claim grants one lease for each workspace, and no more leases than the budget.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(max_in_flight => 2, require_canary => false, soak => '0', retry_delay => '0', max_failures => 9);
SELECT update_tier.start('p', '1');
SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL AS granted;
SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL AS granted_twice;
SELECT update_tier.claim('p', '1', w(4)) AS t \gset
SELECT update_tier.claim('p', '1', w(5)) IS NOT NULL AS over_budget;
SELECT update_tier.report(:t, 'succeeded');
SELECT update_tier.claim('p', '1', w(5)) IS NOT NULL AS granted;
-- Leases that have expired do not count in the budget.
SELECT later('1 hour');
SELECT update_tier.claim('p', '1', w(6)) IS NOT NULL AND update_tier.claim('p', '1', w(7)) IS NOT NULL AS granted;
SELECT update_tier.claim('p', '1', w(8)) IS NOT NULL AS over_budget;
SELECT n(workspace), version, attempted_version, state, attempt FROM update_tier.installed WHERE package = 'p' ORDER BY workspace;

-- Every package has a budget of its own, and all versions of a package share it.
SELECT update_tier.start('q', '1'), update_tier.promote('q', '1');
SELECT update_tier.claim('q', '1', w(4)) IS NOT NULL AS granted;
SELECT update_tier.start('q', '2'), update_tier.claim('q', '2', w(1)) IS NOT NULL AS granted;
SELECT update_tier.claim('q', '2', w(2)) IS NULL AND update_tier.claim('q', '1', w(5)) IS NULL AS over_budget;
SELECT in_flight FROM update_tier.package WHERE name = 'q';
-- max_in_flight of a version limits its own claims, by all leases of the package.
SELECT update_tier.set_policy('q', max_in_flight => 3);
SELECT update_tier.halt('q', '2'), update_tier.start('q', '3');
SELECT update_tier.claim('q', '1', w(5)) IS NULL AS over_budget, update_tier.claim('q', '3', w(2)) IS NOT NULL AS granted;
SELECT update_tier.claim('q', '3', w(3)) IS NULL AS over_budget;

-- No two attempts have the same token.
SELECT count(DISTINCT token) = count(*) FROM update_tier.installation;

-- Nothing is granted after a halt; leases granted before can be reported on.
SELECT update_tier.halt('p', '1');
SELECT update_tier.claim('p', '1', w(9)) IS NULL AS refused;
SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed
 WHERE package = 'p' AND state = 'claimed' AND workspace = w(6);
SELECT production_succeeded FROM update_tier.status WHERE package = 'p';

-- Unknown workspaces and NULL get no token, and no error.
SELECT update_tier.claim('q', '3', w(99)) IS NULL, update_tier.claim('q', '3', NULL) IS NULL;

-- Maintenance of the tables, also in the middle of a transaction, moves rows and
-- replaces indexes.
SELECT update_tier.start('moved', '1'), run('moved', '1', 1);
REINDEX TABLE CONCURRENTLY update_tier.installation;
REINDEX TABLE CONCURRENTLY update_tier.rollout;
REINDEX TABLE CONCURRENTLY update_tier.package;
SELECT update_tier.allows('moved', '1', w(1)) AS again, run('moved', '1', 2);
BEGIN;
SELECT run('moved', '1', 3, 'error');
CLUSTER update_tier.rollout USING rollout_pkey;
CLUSTER update_tier.package USING package_pkey;
SELECT run('moved', '1', 4);
-- Changes by hand are seen, and changes that were rolled back are not.
UPDATE update_tier.rollout SET max_in_flight = 1 WHERE package = 'moved';
SELECT update_tier.claim('moved', '1', w(5)) IS NOT NULL AS granted, update_tier.claim('moved', '1', w(6)) IS NULL AS over_budget;
SAVEPOINT before_abort;
SELECT update_tier.abort('moved', '1');
ROLLBACK TO before_abort;
SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = 'moved' AND workspace = w(5);
SELECT update_tier.claim('moved', '1', w(6)) IS NOT NULL AS granted, phases('moved');
COMMIT;
SELECT canary_succeeded, production_succeeded, production_in_flight FROM update_tier.status WHERE package = 'moved';

\set ECHO none
\i :fleet_gone
