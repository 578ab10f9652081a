--
-- observe() reports what a workspace was seen to run, without a claim.
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
CREATE FUNCTION counted(p text, v text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s: %s canary %s/%s/%s production %s/%s/%s', version, phase, canary_succeeded, canary_failed, canary_in_flight,
                  production_succeeded, production_failed, production_in_flight)
      FROM update_tier.status WHERE package = p AND version = v
$$;
CREATE VIEW seen AS
    SELECT package, n(workspace), version, since IS NOT NULL AS since, attempted_version, attempt, state, token IS NOT NULL AS token, detail
      FROM update_tier.installed ORDER BY package, workspace;
SELECT update_tier.set_policy(max_failures => 1, min_successes => 2, lease => '1 hour');

-- An observation of a version that is not started is recorded, and is no evidence.
SELECT update_tier.observe('p', 'by hand', w(1));
SELECT update_tier.observe('p', 'by hand', w(4), 'failed', 'does not boot');
SELECT * FROM seen;
SELECT count(*) FROM update_tier.status;
SELECT update_tier.wanted_version('p', w(1)), why('p', 'by hand', 1);
-- The workspace is due for a version that is started, also for that one.
SELECT update_tier.start('p', 'v1');
SELECT why('p', 'v1', 1), update_tier.wanted_version('p', w(1));
SELECT update_tier.start('q', 'v1'), update_tier.observe('q', 'v2', w(1)), update_tier.start('q', 'v2');
SELECT why('q', 'v2', 1);

-- An observation of a started version is evidence for the tier of the workspace.
SELECT update_tier.observe('p', 'v1', w(1)), update_tier.observe('p', 'v1', w(4));
SELECT counted('p', 'v1');
SELECT update_tier.observe('p', 'v1', w(2));
SELECT counted('p', 'v1'), why('p', 'v1', 2);
SELECT * FROM seen WHERE package = 'p';
-- The same observation again writes nothing.
SELECT i.xmin AS before FROM update_tier.installation AS i JOIN update_tier.package AS p ON p.id = package_id WHERE name = 'p' AND workspace = w(2) \gset
SELECT update_tier.observe('p', 'v1', w(2)), counted('p', 'v1');
SELECT i.xmin = :'before'::xid AS unwritten FROM update_tier.installation AS i JOIN update_tier.package AS p ON p.id = package_id WHERE name = 'p' AND workspace = w(2);
-- A failure takes the success back, and the soak ends.  A success takes the failure
-- back, and a new soak begins.
SELECT update_tier.observe('p', 'v1', w(2), 'failed', 'crashes at noon');
SELECT counted('p', 'v1'), why('p', 'v1', 2);
SELECT kind, n(workspace), token, detail FROM update_tier.event WHERE package = 'p' AND workspace IS NOT NULL;
SELECT update_tier.observe('p', 'v1', w(2));
SELECT counted('p', 'v1'), why('p', 'v1', 2);
-- Too many observed failures halt the version.
SELECT update_tier.observe('p', 'v1', w(3), 'failed'), update_tier.observe('p', 'v1', w(1), 'failed', 'crashes at night');
SELECT counted('p', 'v1'), (SELECT reason FROM update_tier.status WHERE package = 'p');
-- An error, or a skipped update, without a lease changes nothing.
SELECT update_tier.observe('p', 'v1', w(5), 'error'), update_tier.observe('p', 'v1', w(5), 'skipped'), update_tier.observe('p', 'v1', w(3), 'error');
SELECT n, state FROM seen WHERE package = 'p' AND n IN (3, 5);

-- An observation ends a live lease of that version.
SELECT update_tier.start('l', 'v1');
SELECT update_tier.claim('l', 'v1', w(1)) AS t1, update_tier.claim('l', 'v1', w(2)) AS t2, update_tier.claim('l', 'v1', w(3)) AS t3 \gset
SELECT update_tier.observe('l', 'v1', w(1)), update_tier.observe('l', 'v1', w(2), 'failed'), update_tier.observe('l', 'v1', w(3), 'skipped');
SELECT * FROM seen WHERE package = 'l';
SELECT counted('l', 'v1'), (SELECT in_flight FROM update_tier.package WHERE name = 'l');
-- A report with the token may follow.  It may be worse and never better.
SELECT update_tier.report(:t1, 'succeeded'), update_tier.report(:t1, 'error', detail => 'gone again');
SELECT update_tier.report(:t2, 'succeeded');
SELECT counted('l', 'v1');
-- A live lease of another version stays.  Its report then says what the workspace runs.
SELECT update_tier.start('l', 'v2');
SELECT update_tier.force('l', 'v2', w(4), 'a trial') AS t4 \gset
SELECT update_tier.observe('l', 'v1', w(4));
SELECT * FROM seen WHERE package = 'l' AND n = 4;
SELECT counted('l', 'v1'), counted('l', 'v2');
-- A failure of the other version is recorded, and a WARNING says that it is not counted:
-- only one version of a workspace can be evidence.
SELECT update_tier.observe('l', 'v1', w(4), 'failed', 'does not boot');
SELECT update_tier.observe('l', 'v1', w(4), 'failed', 'still does not boot') AS again;
SELECT counted('l', 'v1'), (SELECT detail IS NULL FROM update_tier.installed WHERE package = 'l' AND workspace = w(4)) AS no_detail;
SELECT version, n(workspace) AS n, token, detail FROM update_tier.event WHERE package = 'l' AND kind = 'late report';
SELECT update_tier.observe('l', 'unknown', w(4));
SELECT version, state FROM seen WHERE package = 'l' AND n = 4;
SELECT update_tier.report(:t4, 'succeeded');
SELECT version, state FROM seen WHERE package = 'l' AND n = 4;

-- A workspace that was observed to run an older version is due for the newer one
-- again.
SELECT update_tier.set_policy('o', soak => '0', min_successes => 1, retry_delay => '0');
SELECT update_tier.start('o', 'v1'), update_tier.promote('o', 'v1', 'at once');
SELECT update_tier.start('o', 'v2'), update_tier.promote('o', 'v2', 'at once');
SELECT run('o', 'v2', 5);
SELECT counted('o', 'v1'), counted('o', 'v2'), why('o', 'v2', 5);
SELECT update_tier.observe('o', 'v1', w(5));
SELECT counted('o', 'v1'), counted('o', 'v2'), why('o', 'v2', 5), update_tier.wanted_version('o', w(5));
-- A workspace that was observed to run a newer version is handed nothing older.
SELECT update_tier.start('o', 'v3');
SELECT update_tier.observe('o', 'v3', w(6));
SELECT counted('o', 'v3'), why('o', 'v2', 6), update_tier.wanted_version('o', w(6));
SELECT update_tier.abort('o', 'v3');
SELECT why('o', 'v2', 6), update_tier.wanted_version('o', w(6));

-- If the workspace is not live, the observation is recorded and is no evidence.  An
-- unknown workspace is an error.
UPDATE workspaces SET live = false WHERE id IN (w(1), w(2));
SELECT update_tier.start('n', 'v1');
SELECT update_tier.observe('n', 'v1', w(1)), update_tier.observe('n', 'v1', w(2), 'failed');
SELECT counted('n', 'v1');
SELECT n, version, state FROM seen WHERE package = 'n';
SELECT update_tier.observe('n', 'v1', w(99));
\echo :LAST_ERROR_SQLSTATE
UPDATE workspaces SET live = true;

-- An observation is no attempt.
SELECT update_tier.set_policy('a', retry_delay => '0', max_attempts => 2, max_failures => 9);
SELECT update_tier.start('a', 'v1');
SELECT update_tier.observe('a', 'v1', w(1), 'failed');
SELECT run('a', 'v1', 1, 'error');
SELECT why('a', 'v1', 1);
SELECT run('a', 'v1', 1, 'error');
SELECT why('a', 'v1', 1), counted('a', 'v1');
-- An observation gives no attempts back.  After a success no more attempts are needed.
SELECT update_tier.observe('a', 'v1', w(1), 'failed');
SELECT why('a', 'v1', 1);
SELECT update_tier.observe('a', 'v1', w(1));
SELECT why('a', 'v1', 1), counted('a', 'v1');
-- An observation in an earlier run is no evidence in this one.
SELECT update_tier.abort('a', 'v1'), update_tier.retry('a', 'v1');
SELECT counted('a', 'v1'), why('a', 'v1', 1);
SELECT update_tier.observe('a', 'v1', w(1));
SELECT counted('a', 'v1');
DROP VIEW seen;
DROP FUNCTION why, counted;

\set ECHO none
\i :fleet_gone
