--
-- A transaction that reports thousands of times: each report reads as many pages as the
-- first ones do, whatever the transaction has written before.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
INSERT INTO workspaces SELECT w(n) FROM generate_series(10, 9000) AS n;
VACUUM ANALYZE workspaces;
SELECT update_tier.set_policy(soak => '0', require_canary => false, max_in_flight => 10000);
SELECT update_tier.start('p', '1');

-- Pages that a statement reads, whether it finds them in the buffers or not.
CREATE FUNCTION pages(statement text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT json) ' || statement INTO plan;
    RETURN (plan -> 0 -> 'Plan' ->> 'Shared Hit Blocks')::bigint + (plan -> 0 -> 'Plan' ->> 'Shared Read Blocks')::bigint;
END $$;
CREATE TABLE leases AS SELECT row_number() OVER () AS n, token FROM update_tier.claim_batch('p', '1', 8000);
CREATE FUNCTION reports(first integer, last integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT pages(format('SELECT update_tier.report(token, %L) FROM leases WHERE n BETWEEN %s AND %s', 'succeeded', first, last))
$$;

-- Reports alone.
BEGIN;
SELECT reports(1, 100) AS a \gset
SELECT reports(101, 3000) AS between \gset
SELECT reports(3001, 3100) AS z \gset
COMMIT;
SELECT CASE WHEN :z < 1.2 * :a THEN 'as many' ELSE :'z' || ' instead of ' || :'a' END AS pages;

-- In a transaction that holds the package, because it has claimed.  There each report
-- writes the rows of the package and of the rollout.  When a page is full of their old
-- row versions the next one is in another page, and unique indexes read all of them.
BEGIN;
SELECT count(*) FROM update_tier.claim_batch('p', '1', 1);
SELECT reports(3101, 3200) AS a \gset
SELECT reports(3201, 7000) AS between \gset
SELECT reports(7001, 7100) AS z \gset
COMMIT;
SELECT CASE WHEN :z < 1.5 * :a THEN 'as many, nearly' ELSE :'z' || ' instead of ' || :'a' END AS pages;
DROP FUNCTION reports, pages;
DROP TABLE leases;
\i :fleet_gone
