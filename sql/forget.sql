--
-- forget() deletes what is known about a workspace that was restored from a backup or
-- replaced.  The workspace is due from the beginning.
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
    SELECT version, phase, canary_succeeded AS cs, canary_failed AS cf, production_succeeded AS ps, production_failed AS pf
      FROM update_tier.status WHERE package = 'p' ORDER BY version;
SELECT update_tier.set_policy('p', max_failures => 1, min_successes => 2, max_attempts => 1);
SELECT update_tier.start('p', 'v1'), update_tier.start('q', 'v1');
SELECT run('q', 'v1', 1);

-- Workspaces that succeeded, that have spent their attempts, that wait for
-- retry_delay: all are due again.  The second call finds nothing.
SELECT run('p', 'v1', 1), run('p', 'v1', 2, 'failed'), run('p', 'v1', 3, 'skipped');
SELECT n, why('p', 'v1', n), update_tier.forget('p', w(n), 'restored'), update_tier.forget('p', w(n), 'again') FROM generate_series(1, 3) AS n;
SELECT n, why('p', 'v1', n), update_tier.wanted_version('p', w(n)) FROM generate_series(1, 3) AS n;
-- A failure stays counted.  A success counts only while the workspace has the
-- version.
SELECT * FROM counted;
SELECT canary_moved_on FROM update_tier.rollout WHERE package = 'p';
-- What the workspace has of another package stays.
SELECT package, n(workspace) FROM update_tier.installed;
-- The next attempt has the number 1.
SELECT n(workspace), attempt FROM update_tier.claim_batch('p') ORDER BY workspace;
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installed WHERE package = 'p';
SELECT * FROM counted;

-- A soak that has begun goes on.
SELECT update_tier.forget('p', w(1), 'restored'), update_tier.forget('p', w(2), 'restored'), update_tier.forget('p', w(3), 'restored');
SELECT * FROM counted;
SELECT later('24 hours');
SELECT * FROM counted;

-- The workspace can get an older version than before, because it does not run the newer
-- one any more.
SELECT update_tier.start('p', 'v2');
SELECT run('p', 'v2', 1);
SELECT why('p', 'v1', 1);
SELECT update_tier.forget('p', w(1), 'restored from the backup of Sunday');
SELECT why('p', 'v1', 1), why('p', 'v2', 1);
SELECT update_tier.observe('p', 'v1', w(1));
SELECT why('p', 'v2', 1), update_tier.wanted_version('p', w(1));
-- After forget() a halted version does not keep the workspace from an older one.
SELECT run('p', 'v2', 2);
SELECT update_tier.halt('p', 'v2');
SELECT why('p', 'v1', 2);
SELECT update_tier.forget('p', w(2), 'replaced');
SELECT why('p', 'v1', 2);

-- A workspace that holds a live lease cannot be forgotten.  After the lease it can be.
-- A late report is not counted then, and says so.
SELECT update_tier.claim('p', 'v1', w(4)) AS t \gset
\set VERBOSITY sqlstate
SELECT update_tier.forget('p', w(4), 'replaced');
\set VERBOSITY default
SELECT later('15 minutes');
SELECT update_tier.forget('p', w(4), 'replaced');
SELECT update_tier.report(:t, 'succeeded');
SELECT count(*) FROM update_tier.installed WHERE workspace = w(4);
-- The last attempt expired before that, which counts as a failure.
SELECT * FROM counted;

-- A deleted workspace can be forgotten.  For an unknown one forget() returns false.
SELECT run('p', 'v1', 5);
DELETE FROM workspaces WHERE id = w(5);
SELECT update_tier.forget('p', w(5), 'gone'), update_tier.forget('p', w(99), 'never was');
-- The events contain the reasons, and the tokens whose attempts were forgotten.
SELECT kind, n(workspace), token IS NOT NULL AS token, detail FROM update_tier.event WHERE kind IN ('forgotten', 'replaced') ORDER BY id;
DROP VIEW counted;
DROP FUNCTION why;

\set ECHO none
\i :fleet_gone
