--
-- Installations: what each workspace has of a package.  A workspace goes forward
-- only, holds one lease at a time, and goes back after an abort.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- explain(), with "(a moment)" for the moment.
CREATE FUNCTION why(package text, version text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(update_tier.explain(package, version, w(n)), '\d{4}-\d\d-\d\d .*', '(a moment)')
$$;
-- Claims workspaces that are due, reports an outcome for each, and returns what was
-- claimed.
CREATE FUNCTION work(package text, version text DEFAULT NULL, max_claims integer DEFAULT 25, outcome text DEFAULT 'succeeded')
RETURNS TABLE (n integer, got text, tier text, attempt integer) LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM update_tier.claim_batch(package, version, max_claims) LOOP
        PERFORM update_tier.report(c.token, outcome);
        n := n(c.workspace); got := c.version; tier := c.tier; attempt := c.attempt;
        RETURN NEXT;
    END LOOP;
END $$;
CREATE VIEW fleet AS
    SELECT package, string_agg(n(workspace) || ':' || coalesce(version, '-') ||
           CASE WHEN version = attempted_version AND state = 'succeeded' THEN '' ELSE coalesce('(' || attempted_version || ' ' || state || ')', '') END, ' ' ORDER BY workspace) AS runs
      FROM update_tier.installed GROUP BY package;

-- v7 goes through the fleet, then v8 starts.  There is one row for each package and
-- workspace, whatever the number of versions.
SELECT update_tier.set_policy('p', soak => '0', retry_delay => '0');
SELECT update_tier.start('p', 'v7');
SELECT * FROM work('p');
SELECT * FROM work('p', max_claims => 4);
SELECT runs FROM fleet;
SELECT update_tier.set_policy('p', soak => '1 day', lease => '1 hour');
SELECT update_tier.start('p', 'v8');
SELECT run('p', 'v8', 1);
SELECT runs FROM fleet;
SELECT count(*), count(DISTINCT (package_id, workspace)) FROM update_tier.installation;

-- Forward only: claim(), claim_batch() and its candidates do not hand v7 to a canary
-- that runs v8.  They hand it to other workspaces.
SELECT update_tier.allows('p', 'v7', w(1)), why('p', 'v7', 1), update_tier.claim('p', 'v7', w(1)), update_tier.wanted_version('p', w(1));
SELECT n(workspace) FROM update_tier.claim_batch('p', 'v7', candidates => ARRAY[w(1), w(2), w(9)]);
SELECT * FROM work('p', 'v7');
SELECT runs FROM fleet;
-- Canaries want v8, production wants v7.
SELECT update_tier.wanted_version('p', w(2)), update_tier.wanted_version('p', w(4));

-- Workspace 9 holds a live lease of v7, so it gets none of v8.
SELECT run('p', 'v8', 2);
SELECT update_tier.promote('p', 'v8');
SELECT update_tier.allows('p', 'v8', w(9)), why('p', 'v8', 9), why('p', 'v7', 9), update_tier.claim('p', 'v8', w(9));
SELECT n(workspace) FROM update_tier.claim_batch('p', 'v8', candidates => ARRAY[w(9)]);
SELECT production_in_flight FROM update_tier.status WHERE version = 'v7';
-- After its report the workspace is due for v8.
SELECT token AS token FROM update_tier.installed WHERE workspace = w(9) \gset
SELECT update_tier.report(:token, 'succeeded');
SELECT why('p', 'v8', 9);
-- A version counts the workspaces that have it now: the counts of v7 fall as v8 spreads.
SELECT version, phase, canary_succeeded, production_succeeded FROM update_tier.status ORDER BY version;
SELECT run('p', 'v8', 4), run('p', 'v8', 5);
SELECT version, phase, canary_succeeded, production_succeeded FROM update_tier.status ORDER BY version;

-- The rollback.  Before the abort v8 succeeded on some workspaces, failed on one,
-- ended in an error on one, was skipped on one, and is under way on one.
SELECT update_tier.set_policy('p', max_failures => 1, apply_to_running => true);
SELECT run('p', 'v8', 6, 'failed'), run('p', 'v8', 7, 'error'), run('p', 'v8', 8, 'skipped');
SELECT update_tier.claim('p', 'v8', w(9)) AS token \gset
SELECT runs FROM fleet;
SELECT update_tier.abort('p', 'v8', 'eats data');
SELECT update_tier.promoted_version('p'), phases('p');
-- Every workspace that was handed v8 is due for v7.  Workspace 8 was not: it runs v7.
SELECT n, update_tier.allows('p', 'v7', w(n)), why('p', 'v7', n), update_tier.wanted_version('p', w(n)) FROM generate_series(1, 9) AS n;
SELECT n(workspace), version, tier, attempt FROM update_tier.claim_batch('p', max_claims => 1);
SELECT update_tier.report(max(token), 'succeeded') FROM update_tier.installed;
SELECT n, got FROM work('p', 'v7', max_claims => 2);
SELECT n, got FROM work('p');
-- The workspace with the live lease goes back after the lease has ended, with a
-- report or without.
SELECT why('p', 'v7', 9);
SELECT later('1 hour');
SELECT why('p', 'v7', 9);
SELECT update_tier.report(:token, 'succeeded');
SELECT package, n(workspace), version, attempted_version, state FROM update_tier.installed WHERE workspace = w(9);
SELECT * FROM work('p');
SELECT runs FROM fleet;
SELECT * FROM work('p');
SELECT version, phase, canary_succeeded, canary_failed, production_succeeded, production_failed FROM update_tier.status ORDER BY version;

-- A rollback that fails is a failure of the version to which the workspace goes back,
-- and can halt it.
SELECT update_tier.set_policy('f', retry_delay => '0');
SELECT update_tier.start('f', 'v7'), update_tier.promote('f', 'v7', 'ran for a month');
SELECT run('f', 'v7', 1), run('f', 'v7', 4);
SELECT update_tier.start('f', 'v8'), run('f', 'v8', 1), update_tier.abort('f', 'v8', 'eats data');
SELECT run('f', 'v7', 1, 'failed');
SELECT version, phase, canary_failed, regexp_replace(reason, '0000.*', '(a workspace)') AS reason FROM update_tier.status WHERE package = 'f' ORDER BY version;
SELECT why('f', 'v7', 1);

-- explain() names the version from which the workspace goes back, also after a first
-- attempt that was skipped.
SELECT update_tier.set_policy('g', retry_delay => '0');
SELECT update_tier.start('g', 'v7'), update_tier.promote('g', 'v7', 'ran for a month');
SELECT update_tier.start('g', 'v8'), run('g', 'v8', 1);
SELECT update_tier.abort('g', 'v8', 'eats data'), run('g', 'v7', 1, 'skipped');
SELECT why('g', 'v7', 1);

-- While v9 is halted and undecided, a workspace that was handed v9 is due for
-- nothing older.  Other workspaces, and new ones, are due for v7 as before.
SELECT update_tier.start('p', 'v9');
SELECT run('p', 'v9', 1);
SELECT update_tier.halt('p', 'v9', 'looks bad');
SELECT update_tier.allows('p', 'v7', w(1)), why('p', 'v7', 1), why('p', 'v9', 1), update_tier.claim('p', 'v7', w(1)), update_tier.wanted_version('p', w(1));
INSERT INTO workspaces VALUES (w(10)), (w(11));
SELECT n, update_tier.allows('p', 'v7', w(n)), why('p', 'v7', n), update_tier.wanted_version('p', w(n)) FROM generate_series(2, 10, 4) AS n;
SELECT * FROM work('p');
-- An attempt that was skipped counts as not handed out.  Workspace 12 runs nothing
-- that is known, so it is due for v7; workspace 13 had an error and is not.
SELECT update_tier.resume('p', 'v9');
SELECT update_tier.promote('p', 'v9');
INSERT INTO workspaces VALUES (w(12)), (w(13));
SELECT run('p', 'v9', 12, 'skipped'), run('p', 'v9', 13, 'error');
SELECT update_tier.halt('p', 'v9', 'looks bad');
SELECT n, update_tier.allows('p', 'v7', w(n)), why('p', 'v7', n), update_tier.wanted_version('p', w(n)) FROM generate_series(12, 13) AS n;
-- Workspace 4 runs v7 and skipped v9: it counts with v7.
SELECT update_tier.resume('p', 'v9');
SELECT update_tier.promote('p', 'v9');
SELECT run('p', 'v9', 4, 'skipped'), run('p', 'v9', 5, 'error');
SELECT update_tier.halt('p', 'v9', 'looks bad');
SELECT n, why('p', 'v7', n) LIKE 'has version v9%' AS stays, update_tier.wanted_version('p', w(n)) FROM generate_series(4, 5) AS n;
-- A later attempt that was skipped counts: the attempt before it may have applied
-- something.
SELECT update_tier.resume('p', 'v9');
SELECT update_tier.promote('p', 'v9');
SELECT run('p', 'v9', 5, 'skipped');
SELECT update_tier.halt('p', 'v9', 'looks bad');
SELECT why('p', 'v7', 5);
-- Without a promoted version explain() names none to go back to.
SELECT update_tier.set_policy('q', retry_delay => '0');
SELECT update_tier.start('q', 'v1');
SELECT run('q', 'v1', 2);
SELECT update_tier.start('q', 'v2');
SELECT update_tier.force('q', 'v2', w(1), 'a trial') AS token \gset
SELECT update_tier.report(:token, 'succeeded'), update_tier.halt('q', 'v2');
SELECT why('q', 'v1', 1), update_tier.wanted_version('q', w(1));
SELECT update_tier.abort('q', 'v2');
SELECT why('q', 'v1', 1), update_tier.wanted_version('q', w(1));

-- A workspace also goes back from a superseded version, when nothing newer is in
-- canary, soaking or promoted.
SELECT update_tier.set_policy('s', soak => '0', retry_delay => '0');
SELECT update_tier.start('s', 'v1');
SELECT run('s', 'v1', n) FROM generate_series(1, 3) AS n;
SELECT update_tier.start('s', 'v2');
SELECT run('s', 'v2', 1, 'error');
SELECT update_tier.start('s', 'v3');
SELECT phases('s');
SELECT why('s', 'v1', 1), why('s', 'v2', 1), why('s', 'v3', 1), update_tier.wanted_version('s', w(1));
SELECT update_tier.halt('s', 'v3');
SELECT why('s', 'v1', 1), why('s', 'v2', 1), why('s', 'v3', 1), update_tier.wanted_version('s', w(1));
SELECT n(workspace), version FROM update_tier.claim_batch('s', max_claims => 1);
-- It does not go back from a superseded version while a newer one is promoted.
SELECT update_tier.abort('p', 'v9');
SELECT update_tier.start('p', 'v10');
SELECT update_tier.promote('p', 'v10', 'fixes v9');
SELECT run('p', 'v10', 2);
SELECT update_tier.start('p', 'v11');
SELECT update_tier.promote('p', 'v11', 'better');
SELECT phases('p');
SELECT why('p', 'v7', 2), why('p', 'v10', 2), why('p', 'v11', 2), update_tier.wanted_version('p', w(2));

-- When every claim succeeds, the whole fleet runs the promoted version in the end.
SELECT count(*) FROM work('p');
SELECT count(*) FROM work('p');
SELECT version, count(*) FROM update_tier.installed WHERE package = 'p' GROUP BY version ORDER BY version;

-- The view "installed".
SELECT package, n(workspace), version, since <= changed_at AS since, attempted_version, attempt, state,
       token IS NOT NULL AS token, lease_until > now() AS leased, retry_at IS NOT NULL AS retry, detail
  FROM update_tier.installed WHERE package <> 'p' ORDER BY package, workspace;
\d update_tier.installed

-- Package and version are found through indexes, whether the version was started or
-- only observed, and rows of other versions are not read.
SELECT update_tier.start('many', 'v1'), update_tier.start('many', 'v2'), update_tier.observe('many', 'v1', w(1)), update_tier.observe('many', 'by hand', w(2));
INSERT INTO update_tier.installation (package_id, workspace, rollout, run, ordinal, attempt, state, tier, lease_until, retry_at,
                                      resumed, runs, runs_ordinal, runs_well, runs_version, runs_since, changed_at)
SELECT r.package_id, gen_random_uuid(), r.id, 1, r.ordinal, 0, 'succeeded', 'production', '-infinity', '-infinity',
       0, r.id, r.ordinal, true, r.version, now(), now()
  FROM (SELECT p.id, r.id, r.ordinal, NULL FROM update_tier.package AS p JOIN update_tier.rollout AS r ON r.package = p.name
         WHERE p.name = 'many' AND r.version = 'v2'
        UNION ALL
        SELECT id, NULL, 0, 'elsewhere' FROM update_tier.package WHERE name = 'many') AS r (package_id, id, ordinal, version),
       generate_series(1, 50000);
ANALYZE update_tier.package, update_tier.rollout, update_tier.installation;
CREATE FUNCTION plan(query text) RETURNS TABLE (indexes text, rows_read numeric) LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ' || query INTO plan;
    RETURN QUERY
        SELECT (SELECT string_agg(name #>> '{}', ', ' ORDER BY name) FROM jsonb_path_query(plan, 'strict $.**."Index Name" ? (@ starts with "installation")') AS name),
               (SELECT sum((node ->> 'Actual Rows')::numeric * (node ->> 'Actual Loops')::numeric + COALESCE((node ->> 'Rows Removed by Filter')::numeric, 0))::integer::numeric
                  FROM jsonb_path_query(plan, 'strict $.** ? (@."Relation Name" == "installation")') AS node);
END $$;
SELECT * FROM plan($$SELECT * FROM update_tier.installed WHERE package = 'many' AND version = 'v1'$$);
SELECT * FROM plan($$SELECT * FROM update_tier.installed WHERE package = 'many' AND version = 'by hand'$$);
SELECT * FROM plan($$SELECT * FROM update_tier.installed WHERE package = 'many' AND version = 'none'$$);
SELECT version, n(workspace) FROM update_tier.installed WHERE package = 'many' AND version IN ('v1', 'by hand') ORDER BY version DESC;
SELECT version, count(*) FROM update_tier.installed WHERE package = 'many' GROUP BY version ORDER BY version;
DROP VIEW fleet;
DROP FUNCTION why, work, plan;

\set ECHO none
\i :fleet_gone
