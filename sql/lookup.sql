--
-- Gates find a workspace through a unique index on id, or, if that is not possible, with
-- a statement.  The answer is the same.
--
CREATE SCHEMA fleet;
CREATE ROLE regress_owner LOGIN;
CREATE ROLE regress_applier;
GRANT USAGE, CREATE ON SCHEMA fleet TO regress_owner;
CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid$$;
SET ROLE regress_owner;
-- Workspace 1 is a canary, 2 is production, 3 is not live, 4 does not exist.
CREATE TABLE fleet.ws (id uuid PRIMARY KEY, live boolean DEFAULT true, note text DEFAULT 'note');
INSERT INTO fleet.ws SELECT w(n), n < 3 FROM generate_series(1, 3) AS n;
RESET ROLE;
CREATE EXTENSION update_tier;
SELECT update_tier.attach('fleet.ws', 'live');
UPDATE fleet.ws SET update_tier = 'canary' WHERE id = w(1);
SELECT update_tier.set_policy(soak => '0', max_in_flight => 1000, retry_delay => '0');
SELECT update_tier.start('p', '1');
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA update_tier TO regress_applier;
-- How workspaces 1 to 4 are read, what explain says about them, and which of them a
-- batch claims (which is undone).  A session that reads through the index has a memory
-- context for that.
CREATE FUNCTION look() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    one text := (SELECT string_agg(update_tier.explain('p', '1', w(n)), ', ' ORDER BY n) FROM generate_series(1, 4) AS n);
    way text := CASE WHEN EXISTS (SELECT FROM pg_backend_memory_contexts WHERE name = 'update_tier lookup') THEN 'index' ELSE 'statement' END;
    claimed text;
BEGIN
    BEGIN
        SELECT string_agg(right(workspace::text, 1), ' ') INTO claimed FROM update_tier.claim_batch('p', '1', 9, ARRAY[w(4), w(3), w(2), w(1)]);
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
    END;
    RETURN format('%s: %s; claimed: %s', way, one, claimed);
END $$;
\set SHOW_CONTEXT never
SELECT look();

-- For every caller the table is read as its owner, and no policy hides a row.
CREATE POLICY hidden ON fleet.ws USING (false);
ALTER TABLE fleet.ws ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SET ROLE regress_owner;
SELECT count(*) AS seen_by_the_owner FROM fleet.ws;
SET ROLE regress_applier;
SELECT update_tier.allows('p', '1', w(1)), update_tier.explain('p', '1', w(2)), update_tier.wanted_version('p', w(1));
RESET ROLE;
SELECT look();
SET row_security = off;
SELECT look();
RESET row_security;
ALTER TABLE fleet.ws DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP POLICY hidden ON fleet.ws;

-- The owner's rights count, as they do for a statement.
REVOKE SELECT ON fleet.ws FROM regress_owner;
SELECT look();
\echo :LAST_ERROR_SQLSTATE
-- Rights on columns are enough.
GRANT SELECT (id, update_tier, live) ON fleet.ws TO regress_owner;
SELECT update_tier.explain('p', '1', w(1)), update_tier.explain('p', '1', w(3));
REVOKE SELECT (live) ON fleet.ws FROM regress_owner;
SELECT look();
-- So are the rights of a role that the owner is a member of, as long as it is a member.
REVOKE SELECT (id, update_tier) ON fleet.ws FROM regress_owner;
CREATE ROLE regress_readers;
GRANT SELECT ON fleet.ws TO regress_readers;
SELECT look();
GRANT regress_readers TO regress_owner;
SELECT look();
REVOKE regress_readers FROM regress_owner;
SELECT look();
GRANT SELECT ON fleet.ws TO regress_owner;
SELECT look();
DROP OWNED BY regress_readers;
DROP ROLE regress_readers;
REVOKE USAGE ON SCHEMA fleet FROM regress_owner;
SELECT look();
GRANT USAGE ON SCHEMA fleet TO regress_owner;
SELECT look();

-- The condition calls a function that the owner may no longer execute.
SELECT update_tier.attach('fleet.ws', $$live AND length(note) > 3$$);
SELECT look();
REVOKE EXECUTE ON FUNCTION pg_catalog.length(text) FROM PUBLIC;
SELECT look();
\echo :LAST_ERROR_SQLSTATE
GRANT EXECUTE ON FUNCTION pg_catalog.length(text) TO PUBLIC;
SELECT look();
-- Values that are stored outside of the row, or compressed.
ALTER TABLE fleet.ws ALTER note SET STORAGE EXTERNAL;
UPDATE fleet.ws SET note = repeat('long ', 100000) WHERE id = w(1);
ALTER TABLE fleet.ws ALTER note SET STORAGE MAIN;
UPDATE fleet.ws SET note = repeat('long ', 1000) WHERE id = w(2);
SELECT update_tier.attach('fleet.ws', $$live AND length(note) IN (4, 5000, 500000)$$);
SELECT look();
UPDATE fleet.ws SET note = note || '!' WHERE id = w(1);
SELECT look();
-- NULL is not live.
UPDATE fleet.ws SET note = NULL WHERE id = w(2);
SELECT look();
UPDATE fleet.ws SET note = 'note';
-- A column whose values are not stored in older rows.
ALTER TABLE fleet.ws ADD COLUMN added integer NOT NULL DEFAULT 7;
SELECT update_tier.attach('fleet.ws', 'live AND added = 7');
INSERT INTO fleet.ws (id, added) VALUES (w(4), 8);
SELECT look();
DELETE FROM fleet.ws WHERE id = w(4);
ALTER TABLE fleet.ws DROP COLUMN added;
SELECT look();
ALTER TABLE fleet.ws ADD COLUMN added text DEFAULT 'seven';
SELECT update_tier.attach('fleet.ws', $$live AND added = 'seven'$$, false);
SELECT look();
-- A column of the condition is renamed, and changes its type.
ALTER TABLE fleet.ws RENAME COLUMN added TO renamed;
SELECT look();
ALTER TABLE fleet.ws RENAME COLUMN renamed TO added;
SELECT look();
ALTER TABLE fleet.ws ALTER added DROP DEFAULT, ALTER added TYPE integer USING 7;
SELECT look();
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.attach('fleet.ws', 'live');
ALTER TABLE fleet.ws DROP COLUMN added;
-- An enum gets one more value, and a value is renamed.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
ALTER TABLE fleet.ws ADD COLUMN mood mood NOT NULL DEFAULT 'ok';
SELECT update_tier.attach('fleet.ws', $$live AND mood >= 'ok'$$);
SELECT look();
ALTER TYPE mood ADD VALUE 'fine' BEFORE 'ok';
UPDATE fleet.ws SET mood = 'fine' WHERE id = w(1);
SELECT look();
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
UPDATE fleet.ws SET mood = 'happy';
SELECT look();
SELECT update_tier.attach('fleet.ws', 'live');
ALTER TABLE fleet.ws DROP COLUMN mood;
DROP TYPE mood;
-- An error in the condition fails the call, and no later call.
ALTER TABLE fleet.ws ADD COLUMN n integer DEFAULT 1;
SELECT update_tier.attach('fleet.ws', 'live AND 10 / n > 1', false);
UPDATE fleet.ws SET n = 0 WHERE id = w(2);
SELECT update_tier.explain('p', '1', w(1));
\set SHOW_CONTEXT errors
SELECT update_tier.explain('p', '1', w(2));
\set SHOW_CONTEXT never
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.explain('p', '1', w(1));
DO $$
BEGIN
    FOR i IN 1 .. 100 LOOP
        BEGIN
            PERFORM update_tier.allows('p', '1', w(2));
        EXCEPTION WHEN division_by_zero THEN
            ASSERT update_tier.allows('p', '1', w(1));
        END;
    END LOOP;
END $$;
SELECT * FROM update_tier.claim_batch('p', '1', 9, ARRAY[w(1), w(2), w(3)]);
UPDATE fleet.ws SET n = 1 WHERE id = w(2);
SELECT look();
SELECT update_tier.attach('fleet.ws', 'live');
ALTER TABLE fleet.ws DROP COLUMN n;
-- A generated column, from version 18 on a virtual one, which has no stored value.
SELECT CASE WHEN current_setting('server_version_num')::integer < 180000 THEN 'STORED' ELSE 'VIRTUAL' END AS kind \gset
ALTER TABLE fleet.ws ADD COLUMN generated boolean GENERATED ALWAYS AS (live AND note = 'note') :kind;
SELECT update_tier.attach('fleet.ws', 'generated', false);
SELECT split_part(look(), ': ', 2) AS explained;
SELECT update_tier.attach('fleet.ws', 'live');
ALTER TABLE fleet.ws DROP COLUMN generated;

-- Gates use a unique index on id, also one that includes other columns.
ALTER TABLE fleet.ws DROP CONSTRAINT ws_pkey;
SELECT look();
CREATE UNIQUE INDEX ws_id ON fleet.ws (id) INCLUDE (live);
SELECT look();
-- They do not use an index with a longer key, nor one that is partial, on an expression,
-- not unique, or deferrable.
DROP INDEX fleet.ws_id;
CREATE UNIQUE INDEX ws_id ON fleet.ws (id, live);
CREATE UNIQUE INDEX ws_partial ON fleet.ws (id) WHERE live;
CREATE UNIQUE INDEX ws_expression ON fleet.ws (uuid_send(id));
CREATE INDEX ws_not_unique ON fleet.ws (id);
ALTER TABLE fleet.ws ADD CONSTRAINT ws_late UNIQUE (id) DEFERRABLE;
SELECT look();
-- With a deferred constraint an id can be in two rows until the end of the transaction.
DROP INDEX fleet.ws_expression;
BEGIN;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO fleet.ws (id, live) VALUES (w(1), false);
DELETE FROM fleet.ws WHERE id = w(1) AND live;
SELECT look();
ROLLBACK;
ALTER TABLE fleet.ws DROP CONSTRAINT ws_late;
DROP INDEX fleet.ws_id, fleet.ws_partial, fleet.ws_not_unique;
-- They do not use an invalid index.  An id that is in two rows is one workspace.
INSERT INTO fleet.ws (id, update_tier) VALUES (w(1), 'canary'), (w(4), 'production');
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY ws_invalid ON fleet.ws (id);
\set VERBOSITY default
SELECT indisvalid FROM pg_index WHERE indexrelid = 'fleet.ws_invalid'::regclass;
SELECT look();
DELETE FROM fleet.ws WHERE ctid IN (SELECT max(ctid) FROM fleet.ws GROUP BY id HAVING count(*) > 1) OR id = w(4);
SELECT look();
REINDEX INDEX CONCURRENTLY fleet.ws_invalid;
SELECT indisvalid FROM pg_index WHERE indexrelid = 'fleet.ws_invalid'::regclass;
SELECT look();
-- Another index takes its place, also if that is rolled back.
BEGIN;
DROP INDEX fleet.ws_invalid;
SELECT look();
ALTER TABLE fleet.ws ADD PRIMARY KEY (id);
SELECT look();
SAVEPOINT before;
ALTER TABLE fleet.ws DROP CONSTRAINT ws_pkey;
SELECT look();
ROLLBACK TO before;
SELECT look();
ROLLBACK;
SELECT look();
REINDEX TABLE CONCURRENTLY fleet.ws;
SELECT look();
VACUUM FULL fleet.ws;
SELECT look();

-- The table gets a child, whose rows count; becomes unlogged; is renamed and moved.
CREATE TABLE fleet.child () INHERITS (fleet.ws);
INSERT INTO fleet.child (id) VALUES (w(4));
SELECT look();
DROP TABLE fleet.child;
ANALYZE fleet.ws;
SELECT look();
ALTER TABLE fleet.ws SET UNLOGGED;
SELECT look();
ALTER TABLE fleet.ws SET LOGGED;
SELECT look();
ALTER TABLE fleet.ws RENAME TO moved;
ALTER TABLE fleet.moved SET SCHEMA public;
SELECT look();
ALTER TABLE moved SET SCHEMA fleet;
ALTER TABLE fleet.moved RENAME TO ws;
-- The table gets another owner.
CREATE ROLE regress_other;
ALTER TABLE fleet.ws OWNER TO regress_other;
SELECT look();
GRANT USAGE ON SCHEMA fleet TO regress_other;
SELECT look();
ALTER TABLE fleet.ws OWNER TO regress_owner;
DROP OWNED BY regress_other;
DROP ROLE regress_other;
-- A tier that is NULL: the row counts as no workspace.
ALTER TABLE fleet.ws ALTER update_tier DROP NOT NULL;
UPDATE fleet.ws SET update_tier = NULL WHERE id = w(1);
SELECT look();
UPDATE fleet.ws SET update_tier = 'canary' WHERE id = w(1);
ALTER TABLE fleet.ws ALTER update_tier SET NOT NULL;

-- A gate sees the rows that its statement sees; a claim sees the current rows.
WITH gone AS (UPDATE fleet.ws SET live = false WHERE id = w(1) RETURNING id)
SELECT update_tier.explain('p', '1', id), update_tier.claim('p', '1', id) FROM gone;
SELECT update_tier.explain('p', '1', w(1));
UPDATE fleet.ws SET live = true WHERE id = w(1);
-- Gates work in parallel workers.
INSERT INTO fleet.ws (id) SELECT gen_random_uuid() FROM generate_series(1, 1000);
SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0; SET min_parallel_table_scan_size = 0; SET parallel_leader_participation = off;
SET max_parallel_workers_per_gather = 2;
ALTER TABLE fleet.ws SET (parallel_workers = 2);
EXPLAIN (COSTS OFF) SELECT count(*) FROM fleet.ws WHERE update_tier.explain('p', '1', id) = 'needs 1 of 1 canary successes';
SELECT count(*) FROM fleet.ws WHERE update_tier.explain('p', '1', id) = 'needs 1 of 1 canary successes';
RESET parallel_setup_cost; RESET parallel_tuple_cost; RESET min_parallel_table_scan_size; RESET parallel_leader_participation;
RESET max_parallel_workers_per_gather;
DELETE FROM fleet.ws WHERE id > w(4);

-- If Citus distributes the table, gates use a statement.  Here a row in a table with the
-- name of its catalog stands for that.
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char");
INSERT INTO pg_catalog.pg_dist_partition VALUES ('fleet.ws', 'h');
-- Citus sends the same message to other sessions when it changes that row.
ALTER TABLE fleet.ws RESET (parallel_workers);
SELECT look();
DROP TABLE pg_catalog.pg_dist_partition;
RESET allow_system_table_mods;

-- The table is dropped and made again, and so is the extension.
DROP TABLE fleet.ws;
SELECT update_tier.explain('p', '1', w(1));
CREATE TABLE fleet.ws (live boolean, id uuid PRIMARY KEY);
INSERT INTO fleet.ws SELECT n < 3, w(n) FROM generate_series(1, 3) AS n;
SELECT update_tier.attach('fleet.ws', 'live');
UPDATE fleet.ws SET update_tier = 'canary' WHERE id = w(2);
SELECT look();
DROP EXTENSION update_tier CASCADE;
CREATE EXTENSION update_tier;
SELECT update_tier.attach('fleet.ws', 'NOT live');
UPDATE fleet.ws SET update_tier = 'canary' WHERE id = w(3);
SELECT update_tier.set_policy(soak => '0', max_in_flight => 1000, retry_delay => '0'), update_tier.start('p', '1');
SELECT look();
SELECT update_tier.detach();
-- A partitioned table.
CREATE TABLE fleet.parts (id uuid PRIMARY KEY, live boolean DEFAULT true) PARTITION BY HASH (id);
CREATE TABLE fleet.parts_0 PARTITION OF fleet.parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE fleet.parts_1 PARTITION OF fleet.parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO fleet.parts SELECT w(n), n < 3 FROM generate_series(1, 3) AS n;
SELECT update_tier.attach('fleet.parts', 'live');
UPDATE fleet.parts SET update_tier = 'canary' WHERE id = w(1);
SELECT look();
-- After detach a gate is an error.
SELECT update_tier.detach();
SELECT look();

DROP EXTENSION update_tier;
DROP FUNCTION look, w;
\set VERBOSITY terse
SET client_min_messages = warning;
DROP SCHEMA fleet CASCADE;
DROP ROLE regress_owner, regress_applier;
