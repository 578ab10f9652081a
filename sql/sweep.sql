--
-- How claim_batch goes through a large fleet: it finds every due workspace, and no row
-- means that no workspace is due.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(max_in_flight => 100000, require_canary => false, soak => '0', retry_delay => '0');
-- Claim until nothing is due: claims, workspaces and versions.
CREATE FUNCTION all_of(p text, v text, each integer) RETURNS TABLE (claims bigint, workspaces bigint, versions text)
LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
BEGIN
    CREATE TEMP TABLE handed_out (workspace uuid, version text) ON COMMIT DROP;
    LOOP
        INSERT INTO handed_out SELECT b.workspace, b.version FROM update_tier.claim_batch(p, v, each) AS b;
        GET DIAGNOSTICS rows = ROW_COUNT;
        EXIT WHEN rows = 0;
    END LOOP;
    RETURN QUERY SELECT count(*), count(DISTINCT h.workspace), string_agg(DISTINCT h.version, ' ') FROM handed_out AS h;
END $$;
INSERT INTO workspaces SELECT w(n) FROM generate_series(11, 4000) AS n;
SELECT count(*) AS live FROM workspaces WHERE live;

-- Every workspace is claimed once; also without a version.
SELECT update_tier.start('p', '1');
SELECT * FROM all_of('p', '1', 250);
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installed WHERE package = 'p';
SELECT update_tier.start('p', '2');
SELECT * FROM all_of('p', NULL, 333);

-- Workspaces that claim() has done, in the order of their ids, do not hide the others
-- from the next batches.
SELECT update_tier.start('single', '1');
SELECT count(update_tier.report(update_tier.claim('single', '1', w(n)), 'succeeded')) FROM generate_series(1, 1202) AS n
 WHERE n <> 10;
SELECT count(*) FROM update_tier.claim_batch('single', '1');
SELECT count(*) FROM update_tier.claim_batch('single');
SELECT workspaces + 50 + 1201 AS workspaces FROM all_of('single', '1', 500);

-- Neither do workspaces that are not live, or whose attempts ended in error.
SELECT update_tier.set_policy('doubt', max_failures => 3000, max_attempts => 9);
SELECT update_tier.start('doubt', '1');
SELECT count(update_tier.report(token, 'error')) FROM update_tier.claim_batch('doubt', '1', 1500);
UPDATE workspaces SET live = false WHERE id IN (
    SELECT workspace FROM update_tier.installed WHERE package = 'doubt' ORDER BY token LIMIT 1400);
SELECT * FROM all_of('doubt', '1', 100);
SELECT attempt, count(*) FROM update_tier.installed WHERE package = 'doubt' AND state = 'claimed' GROUP BY attempt ORDER BY attempt;

-- All live workspaces go back from an aborted version, past many that are not live.
SELECT update_tier.start('back', '1');
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('back', '1', 5000);
SELECT update_tier.start('back', '2');
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('back', '2', 2400);
UPDATE workspaces SET live = false WHERE n(id) BETWEEN 1500 AND 2900;
SELECT count(*) AS on_2 FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace
 WHERE package = 'back' AND version = '2' AND live;
SELECT update_tier.abort('back', '2');
SELECT * FROM all_of('back', NULL, 100);

-- swept_at is when a search last went through the whole fleet without finding a
-- workspace.  With the budget spent, or while frozen, nothing is searched.
SELECT update_tier.set_policy('s', max_in_flight => 1);
SELECT update_tier.start('s', '1');
SELECT count(*) FROM update_tier.claim_batch('s', '1');
SELECT count(*) FROM update_tier.claim_batch('s', '1');
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 's';
SELECT update_tier.set_policy('s', max_in_flight => 100000, apply_to_running => true), update_tier.freeze('s');
SELECT count(*) FROM update_tier.claim_batch('s', '1');
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 's';
SELECT update_tier.thaw('s');
SELECT count(*) = (SELECT count(*) - 1 FROM workspaces WHERE live) AS all_the_others FROM update_tier.claim_batch('s', '1', 100000);
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 's';
SELECT count(*) FROM update_tier.claim_batch('s', '1');
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 's';
-- A search of candidates does not count as a search of the whole fleet.
SELECT update_tier.start('s', '2');
SELECT count(*) FROM update_tier.claim_batch('s', '2', 25, ARRAY[w(1)]);
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 's' AND version = '2';
-- A search without a version counts for all versions of the package.
SELECT count(*) FROM update_tier.claim_batch('s');
SELECT version, swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 's' ORDER BY version;

-- While production is open, a search goes on with canaries as long as it finds some.
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) BETWEEN 3101 AND 3220;
SELECT update_tier.start('canaries', '1');
SELECT tier, count(*) FROM update_tier.claim_batch('canaries', '1', 150) GROUP BY tier ORDER BY tier;
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installed WHERE package = 'canaries';
-- But if they have the version, a claim of one looks at 10 only, and then at production.  A
-- canary that is due again is found when its turn has come.
SELECT update_tier.forget('canaries', w(3115), 'restored');
SELECT tier, count(*), min(n) > 1 AS later FROM generate_series(1, 13) AS n, update_tier.claim_batch('canaries', '1', n / n) GROUP BY tier ORDER BY tier;
UPDATE workspaces SET update_tier = 'production' WHERE n(id) BETWEEN 3101 AND 3220;

-- In a fleet of more than 100,000 a call that finds no workspace looks at that many,
-- and the next call goes on from there.
DELETE FROM workspaces;
INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 100200) AS n;
ANALYZE workspaces;
SELECT update_tier.start('large', '1');
SELECT update_tier.promote('large', '1');
-- All workspaces but the last 30 are done.
INSERT INTO update_tier.installation (package_id, workspace, rollout, run, ordinal, attempt, state, tier,
                                      lease_until, retry_at, resumed, runs, runs_ordinal, runs_well, changed_at)
SELECT p.id, w.id, r.id, r.run, r.ordinal, 1, 'succeeded', 'production', now(), now(), 0, r.id, r.ordinal, true, now()
  FROM update_tier.package AS p JOIN update_tier.rollout AS r ON r.package = p.name, workspaces AS w
 WHERE p.name = 'large' AND n(w.id) <= 100170;
SELECT count(*) FROM update_tier.claim_batch('large', '1');
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 'large';
SELECT count(*) FROM update_tier.claim_batch('large', '1');
SELECT count(*) FROM update_tier.claim_batch('large', '1');
-- It takes two more calls to go through the whole fleet without finding a workspace.
SELECT count(*) FROM update_tier.claim_batch('large', '1');
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 'large';
SELECT count(*) FROM update_tier.claim_batch('large', '1');
SELECT swept_at IS NOT NULL AS swept FROM update_tier.status WHERE package = 'large';
DROP FUNCTION all_of;

\set ECHO none
\i :fleet_gone
