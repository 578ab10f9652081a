--
-- force() is an operator's claim for one workspace.  The phase, a freeze and the budget
-- do not keep it from being granted.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
\pset null (null)
CREATE FUNCTION why(package text, version text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(update_tier.explain(package, version, w(n)), '\d{4}-\d\d-\d\d .*', '(a moment)')
$$;
CREATE VIEW counted AS
    SELECT version, phase, canary_succeeded AS cs, canary_failed AS cf, canary_in_flight AS ci, production_succeeded AS ps, production_failed AS pf, production_in_flight AS pi
      FROM update_tier.status WHERE package = 'p' ORDER BY version;

-- A production workspace, while the version is in canary.
SELECT update_tier.set_policy('p', max_in_flight => 2, max_failures => 1, max_attempts => 2);
SELECT update_tier.start('p', 'v1');
SELECT update_tier.claim('p', 'v1', w(5)), why('p', 'v1', 5);
SELECT update_tier.force('p', 'v1', w(5), 'customer asked for it') AS t5 \gset
SELECT * FROM counted;
SELECT why('p', 'v1', 5), (SELECT state FROM update_tier.installed WHERE token = :t5), (SELECT lease_until > now() FROM update_tier.installed WHERE token = :t5) AS leased;
-- The log says which role forced which workspace, and why.
SELECT kind, actor = current_user AS me, version, n(workspace), token = :t5 AS token, detail FROM update_tier.event WHERE kind = 'forced';
-- The lease counts in the budget.  Another force() exceeds the budget.
SELECT update_tier.claim('p', 'v1', w(1)) AS t1 \gset
SELECT why('p', 'v1', 2), update_tier.claim('p', 'v1', w(2));
SELECT update_tier.force('p', 'v1', w(2), 'third of two') AS t2 \gset
SELECT why('p', 'v1', 3), (SELECT in_flight FROM update_tier.package WHERE name = 'p');
SELECT * FROM update_tier.claim_batch('p');
-- The report of a forced attempt counts as any other.
SELECT update_tier.report(:t5, 'succeeded'), update_tier.report(:t1, 'error');
SELECT * FROM counted;
SELECT update_tier.report(:t2, 'succeeded');
SELECT * FROM counted;

-- force() also works within retry_delay, when the attempts are spent, and for a
-- workspace that has succeeded.  Each is one more attempt.
SELECT why('p', 'v1', 1);
SELECT update_tier.force('p', 'v1', w(1), 'it is back') AS t1 \gset
SELECT update_tier.report(:t1, 'error'), why('p', 'v1', 1);
SELECT update_tier.force('p', 'v1', w(1), 'it is really back') AS t1 \gset
SELECT update_tier.report(:t1, 'succeeded');
SELECT update_tier.force('p', 'v1', w(2), 'once more') AS t2 \gset
SELECT n(workspace), attempt, state FROM update_tier.installed WHERE package = 'p' ORDER BY workspace;
-- The earlier success counts until the new attempt is reported.
SELECT * FROM counted;
SELECT update_tier.report(:t2, 'failed');
SELECT * FROM counted;
SELECT update_tier.force('p', 'v1', w(6), 'why not') AS t6, update_tier.force('p', 'v1', w(7), 'why not') AS t7 \gset
SELECT update_tier.report(:t6, 'failed'), update_tier.report(:t7, 'failed');
SELECT * FROM counted;

-- In each phase: halted, queued, aborted, superseded.
SELECT update_tier.force('p', 'v1', w(8), 'to look at it') IS NOT NULL AS forced, phases('p');
SELECT update_tier.set_policy('q', lease => '1 hour');
SELECT update_tier.start('q', 'v1'), run('q', 'v1', 1), update_tier.start('q', 'v2');
SELECT update_tier.force('q', 'v2', w(2), 'queued') AS t2 \gset
SELECT phases('q'), update_tier.report(:t2, 'succeeded');
-- The success of a canary counts, although the version was queued then.
SELECT update_tier.abort('q', 'v1');
SELECT phases('q');
SELECT update_tier.abort('q', 'v2'), update_tier.force('q', 'v2', w(3), 'aborted') IS NOT NULL AS forced;
SELECT update_tier.start('q', 'v3'), update_tier.start('q', 'v4'), update_tier.force('q', 'v3', w(4), 'superseded') IS NOT NULL AS forced;
SELECT phases('q'), (SELECT count(*) FROM update_tier.installed WHERE package = 'q' AND state = 'claimed') AS leased;
-- During a freeze of the package and of all packages.
SELECT update_tier.freeze('q'), update_tier.freeze();
SELECT update_tier.force('q', 'v4', w(5), 'the house is on fire') IS NOT NULL AS forced;
SELECT update_tier.thaw('q');
SELECT update_tier.thaw();

-- An older version can be forced.  Afterwards the workspace is due for the newer one.
SELECT update_tier.set_policy('r', soak => '0', retry_delay => '0');
SELECT update_tier.start('r', 'v1'), update_tier.promote('r', 'v1', 'at once');
SELECT update_tier.start('r', 'v2'), update_tier.promote('r', 'v2', 'at once');
SELECT run('r', 'v2', 4), run('r', 'v2', 5);
SELECT why('r', 'v1', 4), update_tier.claim('r', 'v1', w(4));
SELECT update_tier.force('r', 'v1', w(4), 'v2 breaks its plugin') AS t4 \gset
SELECT update_tier.report(:t4, 'succeeded');
SELECT n(workspace), version, attempt, state FROM update_tier.installed WHERE package = 'r' ORDER BY workspace;
SELECT why('r', 'v2', 4), update_tier.wanted_version('r', w(4));

-- A live lease of any version is refused.  An expired lease is replaced, and its late
-- report is logged.
SELECT update_tier.claim('r', 'v2', w(6)) AS t6 \gset
\set VERBOSITY sqlstate
SELECT update_tier.force('r', 'v2', w(6), 'now');
SELECT update_tier.force('r', 'v1', w(6), 'now');
\set VERBOSITY default
SELECT later('15 minutes');
SELECT update_tier.force('r', 'v1', w(6), 'now') - :t6 > 0 AS forced;
SELECT update_tier.report(:t6, 'succeeded');
SELECT n(workspace), attempted_version, state FROM update_tier.installed WHERE package = 'r' AND workspace = w(6);
DROP VIEW counted;
DROP FUNCTION why;

\set ECHO none
\i :fleet_gone
