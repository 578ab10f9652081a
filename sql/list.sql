--
-- canary_workspaces() and production_workspaces() list the workspaces of a tier,
-- ordered by id.
--
CREATE EXTENSION update_tier;
SELECT * FROM canary_workspaces();
SELECT * FROM production_workspaces();

CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer);
SELECT update_tier.attach('workspaces');

-- An empty table: no rows, and no error.
SELECT * FROM canary_workspaces();
SELECT count(*) FROM production_workspaces();

INSERT INTO workspaces
SELECT md5(n::text)::uuid, n, CASE WHEN n % 100 = 0 THEN 'canary' ELSE 'production' END FROM generate_series(1, 1000) AS n;

-- Ordered by id; each workspace is in one of the two.
SELECT count(*), array_agg(c) = array_agg(c ORDER BY c) AS ordered FROM canary_workspaces() AS c;
SELECT count(*), array_agg(c) = array_agg(c ORDER BY c) AS ordered FROM production_workspaces() AS c;
SELECT n FROM canary_workspaces() AS c JOIN workspaces ON id = c ORDER BY n;
SELECT count(*) FROM (SELECT canary_workspaces() INTERSECT SELECT production_workspaces()) AS x;

-- The functions work in every place where SQL allows a set.
SELECT canary_workspaces() LIMIT 2;
SELECT n, c IS NOT NULL AS canary FROM workspaces LEFT JOIN canary_workspaces() AS c ON c = id WHERE n IN (99, 100) ORDER BY n;
SELECT count(*) FROM workspaces WHERE id IN (SELECT canary_workspaces());
SELECT * FROM ROWS FROM (canary_workspaces(), production_workspaces()) WITH ORDINALITY AS t (c, p, i) WHERE i IN (1, 11);
SELECT (SELECT count(*) FROM canary_workspaces()), x FROM generate_series(1, 2) AS x;
DECLARE c CURSOR WITH HOLD FOR SELECT * FROM canary_workspaces();
FETCH 2 FROM c;
CLOSE c;

-- Each call sees the current rows, also those that its own transaction has changed.
BEGIN;
UPDATE workspaces SET update_tier = 'canary' WHERE n <= 5;
SELECT count(*) FROM canary_workspaces();
DELETE FROM workspaces WHERE n = 1;
SELECT count(*) FROM canary_workspaces();
ROLLBACK;
SELECT count(*) FROM canary_workspaces();

-- The functions are STABLE: they see the rows as the statement that calls them does.
WITH changed AS (UPDATE workspaces SET update_tier = 'canary' WHERE n <= 5 RETURNING id)
SELECT (SELECT count(*) FROM changed) AS changed, (SELECT count(*) FROM canary_workspaces()) AS canaries;
SELECT count(*) FROM canary_workspaces();
UPDATE workspaces SET update_tier = 'production' WHERE n <= 5;

-- The list is read from the partial index alone: one scan of it, and not one
-- row of the table.
VACUUM (FREEZE, ANALYZE) workspaces;
CREATE FUNCTION reads(query text, OUT index_scans bigint, OUT index_rows bigint, OUT table_scans bigint, OUT table_rows bigint)
LANGUAGE plpgsql AS $$
DECLARE
    w oid := 'workspaces'::regclass;
    i oid := 'workspaces_update_tier_canary'::regclass;
BEGIN
    index_scans := -pg_stat_get_xact_numscans(i);
    index_rows := -pg_stat_get_xact_tuples_returned(i);
    table_scans := -pg_stat_get_xact_numscans(w);
    table_rows := -pg_stat_get_xact_tuples_returned(w) - pg_stat_get_xact_tuples_fetched(w);
    EXECUTE query;
    index_scans := index_scans + pg_stat_get_xact_numscans(i);
    index_rows := index_rows + pg_stat_get_xact_tuples_returned(i);
    table_scans := table_scans + pg_stat_get_xact_numscans(w);
    table_rows := table_rows + pg_stat_get_xact_tuples_returned(w) + pg_stat_get_xact_tuples_fetched(w);
END $$;
SELECT * FROM reads('SELECT canary_workspaces()');
SELECT * FROM reads($$SELECT workspaces_in_tier('canary', '80000000-0000-0000-0000-000000000000', 2)$$);
SELECT * FROM reads('SELECT n FROM workspaces');
DROP FUNCTION reads;

SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
