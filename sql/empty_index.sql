--
-- If attach adds the column, it builds the index without a scan of the table, unless a
-- row was written or the column was changed after attach had added it.
--
CREATE EXTENSION update_tier;

-- attach() calls update_tier.attach and returns how often each table was scanned; the
-- server counts the scans of its own DDL, too.  canaries() returns the canaries by the
-- index or by the rows.
CREATE FUNCTION attach(relation regclass, live_when text DEFAULT NULL) RETURNS TABLE (scanned regclass, scans bigint)
LANGUAGE plpgsql AS $$
DECLARE
    leaves regclass[] := ARRAY(SELECT relid FROM pg_partition_tree(relation) WHERE isleaf
                               UNION SELECT relation ORDER BY 1);
    before bigint[] := ARRAY(SELECT pg_stat_get_xact_numscans(leaf) FROM unnest(leaves) AS leaf);
BEGIN
    PERFORM update_tier.attach(relation, live_when);
    RETURN QUERY SELECT leaf, pg_stat_get_xact_numscans(leaf) - before[n] FROM unnest(leaves) WITH ORDINALITY AS _ (leaf, n);
END $$;
CREATE FUNCTION canaries(by text, OUT plan text, OUT canaries text) LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    PERFORM set_config('enable_seqscan', (by = 'rows')::text, true), set_config('enable_bitmapscan', 'off', true),
            set_config('enable_indexscan', (by = 'index')::text, true), set_config('enable_indexonlyscan', (by = 'index')::text, true);
    FOR line IN EXECUTE $q$EXPLAIN (COSTS OFF) SELECT id FROM w WHERE update_tier = 'canary'$q$ LOOP
        plan := concat_ws(' ', nullif(plan, ''), substring(line FROM '(?:Seq|Index Only|Index) Scan'));
    END LOOP;
    SELECT string_agg(right(id::text, 2), ' ' ORDER BY id) INTO canaries FROM w WHERE update_tier = 'canary';
END $$;
CREATE VIEW indexes AS
SELECT indexrelid::regclass, indisvalid, indisready, indcheckxmin, relpages, reltuples
  FROM pg_index JOIN pg_class AS c ON c.oid = indexrelid WHERE indpred IS NOT NULL AND indrelid::regclass::text ~ '^w' ORDER BY indexrelid::regclass::text;
CREATE FUNCTION fill(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format($q$INSERT INTO %s (id) SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid FROM generate_series(1, 20) AS n$q$, relation);
END $$;
CREATE FUNCTION start_over() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('test.meddle', '', true), update_tier.detach();
    ALTER TABLE w DROP COLUMN update_tier;
END $$;

CREATE TABLE w (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true);
SELECT fill('w');
ANALYZE w;
SET min_parallel_table_scan_size = 0;
SHOW track_counts;
SHOW max_parallel_maintenance_workers;
SELECT * FROM attach('w');
SHOW track_counts;
SHOW max_parallel_maintenance_workers;
TABLE indexes;
-- The table's statistics in pg_class are unchanged.
SELECT relpages, reltuples, relhasindex FROM pg_class WHERE oid = 'w'::regclass;
SELECT * FROM canaries('index');
-- Rows that are updated (in place or not), inserted and deleted after attach: the index
-- has the right entries.
UPDATE w SET live = false WHERE id = '00000000-0000-0000-0000-000000000003';
UPDATE w SET update_tier = 'canary' WHERE id <= '00000000-0000-0000-0000-000000000004';
UPDATE w SET live = true;
INSERT INTO w VALUES ('00000000-0000-0000-0000-000000000021', true, 'canary');
DELETE FROM w WHERE id = '00000000-0000-0000-0000-000000000004';
SELECT * FROM canaries('index');
SELECT * FROM canaries('rows');
VACUUM w;
SELECT * FROM canaries('index');
REINDEX INDEX w_update_tier_canary;
SELECT * FROM canaries('index');
SELECT start_over();

-- With live_when, in a session with track_counts off.
SET track_counts = off;
SELECT * FROM attach('w', 'live');
SHOW track_counts;
UPDATE w SET update_tier = 'canary' WHERE id < '00000000-0000-0000-0000-000000000003';
SELECT indexdef FROM pg_indexes WHERE indexname = 'w_update_tier_canary';
SELECT start_over();
RESET track_counts;

-- Rows that this transaction wrote before attach do not have the column either.  A
-- column of the same name that was rolled back makes no difference.
BEGIN;
SELECT count(*) FROM w;
UPDATE w SET live = false WHERE id < '00000000-0000-0000-0000-000000000009';
SAVEPOINT a;
ALTER TABLE w ADD COLUMN update_tier text;
UPDATE w SET update_tier = 'canary';
ROLLBACK TO a;
SELECT * FROM attach('w');
SELECT * FROM canaries('index');
UPDATE w SET update_tier = 'canary' WHERE id < '00000000-0000-0000-0000-000000000003';
SELECT * FROM canaries('index');
COMMIT;
SELECT * FROM canaries('index');
TABLE indexes;
SELECT start_over();

-- A table that this transaction has created is scanned.
BEGIN;
ALTER TABLE w RENAME TO old;
CREATE TABLE w (LIKE old INCLUDING ALL);
SELECT fill('w');
SELECT * FROM attach('w');
ROLLBACK;

-- attach is rolled back, and called again.
BEGIN;
SELECT * FROM attach('w');
ROLLBACK;
TABLE indexes;
SELECT * FROM attach('w');
SELECT start_over();

-- Another index with the same name is an error, as always.
CREATE INDEX w_update_tier_canary ON w (id) WHERE live;
SELECT update_tier.attach('w');
DROP INDEX w_update_tier_canary;

-- Event triggers fire as for any attach.  An event trigger that writes no row of the
-- table costs no scan.
CREATE TABLE seen (tag text, object text);
CREATE FUNCTION see() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.seen SELECT command_tag, object_identity FROM pg_event_trigger_ddl_commands();
END $$;
CREATE EVENT TRIGGER see ON ddl_command_end EXECUTE FUNCTION see();
SELECT * FROM attach('w');
SELECT * FROM seen WHERE object ~ 'w' OR tag ~ 'INDEX';
DROP EVENT TRIGGER see;
SELECT start_over();

-- An event trigger writes rows: after the column is added, and before the index is
-- built.  Its UPDATE is a scan as well.  (In CREATE INDEX, names have to be qualified.)
CREATE FUNCTION meddle() RETURNS event_trigger LANGUAGE plpgsql AS $$
DECLARE
    statement text := current_setting('test.meddle');
BEGIN
    IF statement <> '' AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'public.w'::regclass AND attname = 'update_tier') THEN
        PERFORM set_config('test.meddle', '', true);
        EXECUTE statement;
    END IF;
END $$;
CREATE EVENT TRIGGER meddle_after ON ddl_command_end WHEN TAG IN ('ALTER TABLE') EXECUTE FUNCTION meddle();
CREATE EVENT TRIGGER meddle_before ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION meddle();
ALTER EVENT TRIGGER meddle_before DISABLE;
SET test.meddle = $$UPDATE public.w SET update_tier = 'canary' WHERE id = '00000000-0000-0000-0000-000000000007'$$;
SELECT * FROM attach('w');
SELECT * FROM canaries('index');
ALTER EVENT TRIGGER meddle_after DISABLE;
SELECT start_over();
ALTER EVENT TRIGGER meddle_before ENABLE;
SELECT * FROM attach('w');
SELECT * FROM canaries('index');
SELECT start_over();

-- The same with an INSERT; and, with track_counts off, with a row that is deleted and
-- another that is inserted.
SET test.meddle = $$INSERT INTO public.w VALUES ('00000000-0000-0000-0000-000000000030', true, 'canary')$$;
SELECT * FROM attach('w');
SELECT * FROM canaries('index');
SELECT start_over();
SET test.meddle = $$WITH gone AS (DELETE FROM public.w WHERE id = '00000000-0000-0000-0000-000000000030' RETURNING id)
    INSERT INTO public.w SELECT '00000000-0000-0000-0000-000000000031', true, 'canary' FROM gone$$;
SET track_counts = off;
SELECT update_tier.attach('w');
RESET track_counts;
SELECT * FROM canaries('index');
SELECT start_over();

-- After a TRUNCATE as many rows are inserted as the transaction had inserted before.
SET test.meddle = $$CREATE TEMP TABLE kept AS SELECT id, live FROM public.w; TRUNCATE public.w;
    INSERT INTO public.w SELECT id, live, 'canary' FROM kept WHERE id < '00000000-0000-0000-0000-000000000004'; DROP TABLE kept$$;
BEGIN;
INSERT INTO w VALUES (gen_random_uuid()), (gen_random_uuid()), (gen_random_uuid());
SELECT update_tier.attach('w');
SELECT * FROM canaries('index');
ROLLBACK;

-- No row is written, but all rows become canaries by the default of a new column.
SET test.meddle = $$SET LOCAL client_min_messages = warning; ALTER DOMAIN public.update_tier DROP CONSTRAINT canary_or_production;
    ALTER TABLE public.w DROP COLUMN update_tier, ADD COLUMN update_tier public.update_tier NOT NULL DEFAULT 'canary'$$;
BEGIN;
SELECT * FROM attach('w');
SELECT * FROM canaries('index');
ROLLBACK;

-- No row is written, but an older column takes the place of the new one.
BEGIN;
SET LOCAL test.meddle = '';
SELECT update_tier.attach('w');
UPDATE w SET update_tier = 'canary' WHERE id = '00000000-0000-0000-0000-000000000005';
DELETE FROM update_tier.attached;
DROP INDEX w_update_tier_canary;
ALTER TABLE w RENAME COLUMN update_tier TO older;
SET LOCAL test.meddle = $$ALTER TABLE public.w DROP COLUMN update_tier; ALTER TABLE public.w RENAME COLUMN older TO update_tier$$;
SELECT * FROM attach('w');
SELECT * FROM canaries('index');
ROLLBACK;

-- An index that the event trigger creates is built from the rows.
SET test.meddle = $$CREATE INDEX w_live ON public.w (id) WHERE live; CREATE INDEX w_production ON public.w (id) WHERE update_tier = 'production'$$;
BEGIN;
SELECT * FROM attach('w');
SELECT relname, reltuples > 0 AS has_rows FROM pg_class WHERE relname IN ('w_live', 'w_production') ORDER BY 1;
SELECT * FROM canaries('index');
ROLLBACK;

-- The event trigger raises an error.  An index that is created afterwards has its rows,
-- and the next attach succeeds.
SET test.meddle = $$SELECT 1 / 0$$;
SELECT update_tier.attach('w');
ALTER EVENT TRIGGER meddle_before DISABLE;
CREATE INDEX w_live ON w (id) WHERE live;
SELECT reltuples > 0 AS has_rows FROM pg_class WHERE relname = 'w_live';
SELECT * FROM attach('w');
SELECT start_over();
DROP INDEX w_live;
DROP EVENT TRIGGER meddle_before;

-- An unlogged table.
ALTER TABLE w SET UNLOGGED;
SELECT * FROM attach('w');
SELECT pg_relation_size('w_update_tier_canary', 'init') > 0 AS has_init_fork;
UPDATE w SET update_tier = 'canary' WHERE id < '00000000-0000-0000-0000-000000000003';
SELECT * FROM canaries('index');
SELECT start_over();
DROP TABLE w;

-- Each partition is decided by itself.
CREATE TABLE w (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true) PARTITION BY RANGE (id);
CREATE TABLE w_1 (live boolean NOT NULL DEFAULT true, gone text, id uuid NOT NULL);
ALTER TABLE w_1 DROP COLUMN gone;
ALTER TABLE w ATTACH PARTITION w_1 FOR VALUES FROM (MINVALUE) TO ('00000000-0000-0000-0000-000000000010');
CREATE TABLE w_2 PARTITION OF w DEFAULT PARTITION BY RANGE (id);
CREATE TABLE w_2_1 PARTITION OF w_2 DEFAULT;
SELECT fill('w');
SELECT * FROM attach('w', 'live');
TABLE indexes;
UPDATE w SET update_tier = 'canary' WHERE id > '00000000-0000-0000-0000-000000000008' AND id < '00000000-0000-0000-0000-000000000012';
SELECT * FROM canaries('rows');
SET enable_seqscan = off;
SELECT * FROM canary_workspaces();
RESET enable_seqscan;
SELECT start_over();
-- Only the partition in which a row was written is scanned.
ALTER EVENT TRIGGER meddle_after ENABLE;
SET test.meddle = $$UPDATE public.w SET update_tier = 'canary' WHERE id = '00000000-0000-0000-0000-000000000007'$$;
SELECT * FROM attach('w');
TABLE indexes;
SELECT * FROM canaries('index');
DROP EVENT TRIGGER meddle_after;
SELECT start_over();

DROP TABLE w, seen;
DROP VIEW indexes;
DROP EXTENSION update_tier;
DROP FUNCTION attach, canaries, fill, start_over, see, meddle;
