--
-- wanted_version() returns the version that a workspace should run now, for agents that
-- pull.  claim_batch() without a version leases each workspace for the same version.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- The answers for canaries 1, 2 and 3 and for production workspaces 4, 5 and 6.
CREATE FUNCTION wanted(p text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n || ':' || coalesce(update_tier.wanted_version(p, w(n)), '-'), ' ' ORDER BY n) FROM generate_series(1, 6) AS n
$$;
CREATE FUNCTION runs(p text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n(workspace) || ':' || coalesce(version, '-'), ' ' ORDER BY workspace) FROM update_tier.installed WHERE package = p
$$;
SELECT update_tier.set_policy(soak => '1 hour', retry_delay => '0', max_failures => 9);

-- No version is started.
SELECT wanted('p');
-- A version in canary: only canaries want it.
SELECT update_tier.start('p', 'v1');
SELECT wanted('p');
-- A lease, an error and a success change nothing about that.
SELECT update_tier.claim('p', 'v1', w(1)) IS NOT NULL AS claimed;
SELECT run('p', 'v1', 2, 'error'), run('p', 'v1', 3);
SELECT wanted('p'), phases('p');
-- No workspace wants a version that is queued.
SELECT update_tier.start('p', 'v2');
SELECT wanted('p'), phases('p');
-- Production wants the promoted version, new workspaces included; canaries want
-- the next one.
SELECT later('1 hour');
INSERT INTO workspaces VALUES (w(10));
SELECT wanted('p'), phases('p'), update_tier.wanted_version('p', w(10)), update_tier.promoted_version('p');
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('p');
SELECT runs('p');
SELECT wanted('p');

-- While a version is halted and undecided, each workspace keeps what it has.
SELECT update_tier.claim('p', 'v2', w(1)), update_tier.halt('p', 'v2');
SELECT wanted('p'), runs('p');
SELECT update_tier.resume('p', 'v2');
SELECT wanted('p');
-- After an abort all want the promoted version; after a retry canaries want the
-- new run.
SELECT update_tier.abort('p', 'v2');
SELECT wanted('p');
SELECT update_tier.retry('p', 'v2');
SELECT wanted('p');
SELECT update_tier.promote('p', 'v2', 'at once');
SELECT wanted('p');
-- The promoted version is halted: workspaces that were not handed it want the one
-- promoted before.
SELECT run('p', 'v2', 4);
SELECT update_tier.halt('p', 'v2');
SELECT wanted('p'), update_tier.promoted_version('p');
SELECT update_tier.abort('p', 'v2');
SELECT wanted('p');
-- Every version is aborted.
SELECT update_tier.abort('p', 'v1');
SELECT wanted('p'), update_tier.promoted_version('p') IS NULL AS none;

-- An error does not say that a workspace has the version.  When that version is halted,
-- or closed to the workspace, the workspace wants what it runs; a new one wants nothing.
SELECT update_tier.start('e', 'v1'), update_tier.promote('e', 'v1', 'at once');
SELECT run('e', 'v1', 1), run('e', 'v1', 4);
SELECT update_tier.start('e', 'v2'), update_tier.promote('e', 'v2', 'at once');
SELECT run('e', 'v2', 4, 'error'), run('e', 'v2', 5, 'error'), run('e', 'v2', 6, 'failed');
SELECT update_tier.halt('e', 'v2');
SELECT wanted('e'), runs('e');
SELECT update_tier.abort('e', 'v2'), update_tier.start('e', 'v3'), run('e', 'v3', 1, 'error');
UPDATE workspaces SET update_tier = 'production' WHERE id = w(1);
SELECT update_tier.explain('e', 'v1', w(1)), update_tier.wanted_version('e', w(1));
UPDATE workspaces SET update_tier = 'canary' WHERE id = w(1);

-- Workspaces change tier: one that was handed v2 as a canary keeps it.
SELECT update_tier.start('t', 'v1'), update_tier.promote('t', 'v1', 'at once'), update_tier.start('t', 'v2');
SELECT run('t', 'v2', 1);
SELECT wanted('t');
UPDATE workspaces SET update_tier = CASE WHEN id = w(6) THEN 'canary' ELSE 'production' END WHERE id IN (w(1), w(2), w(6));
SELECT wanted('t');
SELECT update_tier.explain('t', 'v1', w(1)), update_tier.explain('t', 'v1', w(2));
UPDATE workspaces SET update_tier = CASE WHEN n(id) <= 3 THEN 'canary' ELSE 'production' END;

-- Workspaces that are not live or unknown, unknown packages and NULL: no version.
-- No attached table: an error.
UPDATE workspaces SET live = false WHERE id = w(4);
SELECT wanted('t'), update_tier.wanted_version('t', w(99)) IS NULL AS unknown, update_tier.wanted_version('t', NULL) IS NULL AS null,
       update_tier.wanted_version('u', w(1)) IS NULL AS unknown_package, update_tier.wanted_version(NULL, w(1)) IS NULL AS null_package;
UPDATE workspaces SET live = true;
SELECT update_tier.detach();
SELECT update_tier.wanted_version('t', w(1));
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.attach('workspaces', 'live');

-- A workspace is due for the version that it wants, or has it, or holds a lease;
-- checked after each step of some history.
CREATE FUNCTION disagreements(p text) RETURNS TABLE (n integer, wants text, why text) LANGUAGE sql AS $$
    SELECT n, wants, update_tier.explain(p, wants, w(n))
      FROM generate_series(1, 9) AS n, update_tier.wanted_version(p, w(n)) AS wants
     WHERE wants IS NOT NULL AND NOT update_tier.allows(p, wants, w(n))
       AND update_tier.explain(p, wants, w(n)) !~ '^(done|leased|halted)'
$$;
SELECT update_tier.start('d', 'v1');
SELECT run('d', 'v1', 1), run('d', 'v1', 2, 'failed');
SELECT * FROM disagreements('d');
SELECT update_tier.promote('d', 'v1');
SELECT n(workspace) FROM update_tier.claim_batch('d', max_claims => 4) ORDER BY workspace;
SELECT * FROM disagreements('d');
SELECT update_tier.start('d', 'v2');
SELECT run('d', 'v2', 1);
SELECT * FROM disagreements('d');
SELECT update_tier.promote('d', 'v2');
SELECT * FROM disagreements('d');
SELECT update_tier.halt('d', 'v2');
SELECT * FROM disagreements('d');
SELECT update_tier.abort('d', 'v2');
SELECT * FROM disagreements('d');
SELECT later('15 minutes');
SELECT * FROM disagreements('d');
-- claim_batch() leases each workspace for the version that it wants.
CREATE TABLE wants AS SELECT id, update_tier.wanted_version('d', id) AS version FROM workspaces;
SELECT count(*), count(*) FILTER (WHERE c.version = w.version) AS as_wanted FROM update_tier.claim_batch('d') AS c JOIN wants AS w ON w.id = c.workspace;
DROP TABLE wants;
DROP FUNCTION wanted, runs, disagreements;

\set ECHO none
\i :fleet_gone
