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

-- In a transaction that holds the package, because it has claimed.
BEGIN;
SELECT count(*) FROM update_tier.claim_batch('p', '1', 1);
SELECT reports(3101, 3200) AS a \gset
SELECT reports(3201, 7000) AS between \gset
SELECT reports(7001, 7100) AS z \gset
COMMIT;
SELECT CASE WHEN :z < 1.2 * :a THEN 'as many' ELSE :'z' || ' instead of ' || :'a' END AS pages;

-- A transaction that claims and reports in turns.  Each claim counts the reports before it.
-- Their deleted rows stay in the index of update_tier.uncounted until the transaction has
-- ended, and each further count reads them again.  So if there are only a few at a time,
-- the transaction counts each report at once, and writes no more such rows.
CREATE FUNCTION batches(p text, size integer, number integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    before bigint := pg_stat_get_xact_tuples_returned('update_tier.uncounted_package'::regclass);
BEGIN
    FOR i IN 1 .. number LOOP
        PERFORM count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch(p, '1', size);
    END LOOP;
    RETURN pg_stat_get_xact_tuples_returned('update_tier.uncounted_package'::regclass) - before;
END $$;
CREATE VIEW uncounted AS
SELECT p.name, count(*) FROM update_tier.uncounted AS u JOIN update_tier.package AS p ON p.id = u.package_id
 WHERE p.name <> 'p' GROUP BY p.name;
SELECT update_tier.start('few', '1'), update_tier.start('many', '1');
BEGIN;
SELECT batches('few', 10, 2);
TABLE uncounted;
SELECT batches('few', 10, 1);
SELECT batches('few', 10, 5);
TABLE uncounted;
SELECT batches('few', 10, 200) AS between \gset
SELECT batches('few', 10, 5);
-- A rollback to a savepoint: its reports are not counted.
SAVEPOINT s;
SELECT batches('few', 10, 1);
ROLLBACK TO s;
SELECT batches('few', 10, 1);
COMMIT;
-- With many at a time, a claim reads all deleted rows of its transaction twice: in its
-- search, and when it counts.
BEGIN;
SELECT batches('many', 500, 2);
SELECT batches('many', 500, 2);
TABLE uncounted;
-- A rollback to a savepoint: its claim has counted nothing, and its reports are not made.
SAVEPOINT s;
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('many', '1', 400);
TABLE uncounted;
ROLLBACK TO s;
TABLE uncounted;
COMMIT;
SELECT package, canary_succeeded + production_succeeded AS succeeded, canary_in_flight + production_in_flight AS in_flight,
       (SELECT count(*) FROM update_tier.installed AS i WHERE i.package = s.package AND state = 'succeeded') AS installed
  FROM update_tier.status AS s WHERE package <> 'p' ORDER BY package;
DROP VIEW uncounted;
DROP FUNCTION batches, reports, pages;
DROP TABLE leases;
\i :fleet_gone
