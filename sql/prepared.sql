--
-- The functions work as applications call them: in prepared statements with generic
-- plans, in PL/pgSQL, after savepoints, and in parallel queries.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 20) AS n;
CREATE EXTENSION update_tier;

PREPARE flip (uuid, text) AS SELECT set_update_tier($1, $2);
PREPARE page (text, uuid, bigint) AS SELECT * FROM workspaces_in_tier($1, $2, $3);
PREPARE own AS SELECT n FROM workspaces WHERE update_tier = 'canary' ORDER BY n;
PREPARE typed (update_tier) AS UPDATE workspaces SET update_tier = $1 WHERE n = 20 RETURNING n;
SET plan_cache_mode = force_generic_plan;
EXECUTE flip('00000000-0000-0000-0000-000000000001', 'canary');
EXECUTE flip('00000000-0000-0000-0000-000000000002', 'canary');
EXECUTE page('canary', NULL, NULL);
EXECUTE page('canary', '00000000-0000-0000-0000-000000000001', 5);
EXECUTE page('production', NULL, 2);
EXECUTE own;
EXECUTE typed('canary');
EXECUTE typed('canery');
RESET plan_cache_mode;

-- Many calls in one session, more than the server needs to choose generic plans.
DO $$
BEGIN
    FOR i IN 1 .. 50 LOOP
        ASSERT (SELECT count(*) FROM workspaces_in_tier('production', NULL, i)) = least(i, 17);
        ASSERT (SELECT count(*) FROM workspaces_in_tier('canary', '00000000-0000-0000-0000-000000000001')) = 2;
        ASSERT workspace_tier('00000000-0000-0000-0000-000000000001') = 'canary';
    END LOOP;
END $$;

-- After an error the next call works as before.
BEGIN;
SAVEPOINT s;
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canery');
ROLLBACK TO s;
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canary');
ROLLBACK TO s;
SELECT workspace_tier('00000000-0000-0000-0000-000000000003');
DO $$
BEGIN
    FOR i IN 1 .. 20 LOOP
        BEGIN
            PERFORM set_update_tier('00000000-0000-0000-0000-000000000099', 'canary');
        EXCEPTION WHEN no_data_found THEN
            NULL;
        END;
    END LOOP;
END $$;
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canary');
COMMIT;

-- Parallel workers give the same answers.
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0;
ALTER TABLE workspaces SET (parallel_workers = 2); SET max_parallel_workers_per_gather = 2; SET parallel_leader_participation = off;
EXPLAIN (COSTS OFF) SELECT n FROM workspaces WHERE workspace_tier(id) = 'canary';
SELECT array_agg(n ORDER BY n) FROM workspaces WHERE workspace_tier(id) = 'canary';
SELECT array_agg(n ORDER BY n) FROM workspaces WHERE id IN (SELECT canary_workspaces());
SELECT * FROM update_tier.counts();
RESET ALL;

DEALLOCATE ALL;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
