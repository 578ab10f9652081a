--
-- Long lists keep to work_mem: rows that do not fit go to a temporary file.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY);
INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 100000) AS n;
CREATE EXTENSION update_tier;
VACUUM ANALYZE workspaces;
SET work_mem = '64kB';

-- 100,000 rows are some six megabytes as tuples in memory.
CREATE FUNCTION memory() RETURNS bigint LANGUAGE sql AS
    'SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts';
DO $$
DECLARE
    before bigint;
    during bigint;
    rows bigint;
    c refcursor;
    id uuid;
BEGIN
    PERFORM count(*) FROM production_workspaces();
    before := memory();
    OPEN c FOR SELECT * FROM production_workspaces();
    FETCH c INTO id;
    during := memory();
    MOVE FORWARD ALL FROM c;
    GET DIAGNOSTICS rows = ROW_COUNT;
    CLOSE c;
    RAISE NOTICE '% rows, within a megabyte: %', rows + 1, during - before < 1024 * 1024;
END $$;
-- A session does not grow, however often it asks.  (The first round warms up
-- what asking about memory itself takes.)
DO $$
DECLARE
    before bigint;
    growth bigint;
BEGIN
    FOR round IN 1 .. 2 LOOP
        before := memory();
        FOR i IN 1 .. 2000 LOOP PERFORM count(*) FROM canary_workspaces(); END LOOP;
        growth := memory() - before;
    END LOOP;
    RAISE NOTICE 'grown by less than 16 kB: %', growth < 16 * 1024;
END $$;
RESET work_mem;
DROP FUNCTION memory;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
