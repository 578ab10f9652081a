--
-- The planner's estimates for the lists are close to the real numbers of rows, so that
-- joins with the lists are planned well.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer) WITH (autovacuum_enabled = off);
INSERT INTO workspaces SELECT md5(n::text)::uuid, n FROM generate_series(1, 10000) AS n;
CREATE EXTENSION update_tier;

-- The new column has no statistics yet, so the planner believes that few rows are of tier
-- production.  A page of the list reads few pages of the table nevertheless: it reads an
-- index in order, and does not sort.
CREATE FUNCTION pages(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE statement;
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT json) ' || statement INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
ANALYZE workspaces (id, n);
SELECT count(*) FROM pg_stats WHERE tablename = 'workspaces' AND attname = 'update_tier';
SELECT pg_relation_size('workspaces') / current_setting('block_size')::bigint > 60 AS large;
SELECT pages($$SELECT * FROM workspaces_in_tier('production', '80000000-0000-0000-0000-000000000000', 20)$$) < 40 AS few,
       pages($$SELECT * FROM workspaces_in_tier('production', NULL, 20)$$) < 40 AS few;
-- So does the search of a claim: 100 workspaces are on its first two pages, of 50 and 1,000.
SELECT update_tier.set_policy(max_in_flight => 10000, soak => '0', require_canary => false), update_tier.start('p', '1');
-- Rows of the table that sequential and bitmap scans have read.
CREATE FUNCTION rows_scanned() RETURNS bigint LANGUAGE sql AS $$
    SELECT pg_stat_get_xact_tuples_fetched('workspaces'::regclass) + pg_stat_get_xact_tuples_returned('workspaces'::regclass)
$$;
BEGIN;
SELECT rows_scanned() AS before \gset
SELECT count(*) FROM update_tier.claim_batch('p', '1', 100);
SELECT rows_scanned() - :before AS rows_scanned;
COMMIT;
DROP FUNCTION rows_scanned;
UPDATE workspaces SET update_tier = 'canary' WHERE n <= 500;
VACUUM ANALYZE workspaces;

-- The estimate of a query, and how far it is off: 1 is right.
CREATE FUNCTION estimate(query text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    plan jsonb;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO plan;
    RETURN plan #>> '{0,Plan,Plan Rows}';
END $$;
CREATE FUNCTION off_by(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    actual numeric;
    ratio numeric;
BEGIN
    EXECUTE 'SELECT count(*) FROM (' || query || ') AS q' INTO actual;
    ratio := estimate(query) / greatest(actual, 1);
    RETURN CASE WHEN ratio BETWEEN 0.8 AND 1.25 THEN 'right' ELSE 'estimated ' || estimate(query) || ', got ' || actual END;
END $$;
SELECT off_by('SELECT * FROM canary_workspaces()');
SELECT off_by('SELECT * FROM production_workspaces()');
SELECT off_by($$SELECT * FROM workspaces_in_tier('canary')$$);
SELECT off_by($$SELECT * FROM workspaces_in_tier('production')$$);
SELECT off_by($$SELECT * FROM workspaces_in_tier('production', NULL, 25)$$);
SELECT off_by($$SELECT * FROM workspaces_in_tier('canary', NULL, 2000)$$);
SELECT off_by($$SELECT * FROM workspaces_in_tier('canary', NULL, 0)$$);
SELECT off_by('SELECT * FROM update_tier.counts()');
SELECT off_by('SELECT * FROM update_tier.tiers()');

-- What is not known at planning time is assumed: a third of the tier for the ids greater
-- than a given id, and the larger tier for an unknown one.
SELECT estimate($$SELECT * FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000000')$$) BETWEEN 2000 AND 5000 AS a_third;
SELECT estimate($$SELECT w.* FROM update_tier.tiers() AS t, workspaces_in_tier(t) AS w$$) > 5000 AS of_the_larger;

-- With live_when the estimate is that of the query which runs.
SELECT update_tier.attach('workspaces', 'n % 2 = 0 OR n > 100');
ANALYZE workspaces;
SELECT estimate('SELECT * FROM canary_workspaces()') BETWEEN 1 AND 500 AS plausible;

-- Planning does not fail.  Only the call raises the error.
EXPLAIN (COSTS OFF) SELECT * FROM workspaces_in_tier('canery');
EXPLAIN (COSTS OFF) SELECT * FROM workspaces_in_tier(NULL, NULL, -1);
ALTER TABLE workspaces DROP COLUMN update_tier;
EXPLAIN (COSTS OFF) SELECT * FROM canary_workspaces();
DROP TABLE workspaces;
EXPLAIN (COSTS OFF) SELECT * FROM canary_workspaces();
SELECT update_tier.detach();
EXPLAIN (COSTS OFF) SELECT * FROM canary_workspaces();
DROP FUNCTION off_by, estimate, pages;
DROP EXTENSION update_tier;
