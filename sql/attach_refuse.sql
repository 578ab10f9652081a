--
-- What attach refuses, and the error for each case.
--
CREATE EXTENSION update_tier;

-- Invalid arguments.
SELECT update_tier.attach(NULL);
SELECT update_tier.attach('pg_class', create_index => NULL);
SELECT update_tier.attach('no_such_table');
SELECT update_tier.attach(4294967295::oid);

-- The wrong kind of relation.
CREATE TABLE w (id uuid PRIMARY KEY);
CREATE VIEW w_view AS SELECT * FROM w;
CREATE MATERIALIZED VIEW w_matview AS SELECT * FROM w;
CREATE SEQUENCE w_seq;
CREATE TYPE w_type AS (id uuid);
CREATE TEMPORARY TABLE w_temp (id uuid PRIMARY KEY);
CREATE FOREIGN DATA WRAPPER w_fdw;
CREATE SERVER w_server FOREIGN DATA WRAPPER w_fdw;
CREATE FOREIGN TABLE w_foreign (id uuid) SERVER w_server;
CREATE TABLE w_parent (id uuid PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE w_part PARTITION OF w_parent FOR VALUES WITH (MODULUS 1, REMAINDER 0);
SELECT update_tier.attach('w_view');
SELECT update_tier.attach('w_matview');
SELECT update_tier.attach('w_seq');
SELECT update_tier.attach('w_type');
SELECT update_tier.attach('w_pkey');
SELECT update_tier.attach('w_temp');
SELECT update_tier.attach('w_foreign');
SELECT update_tier.attach('w_part');
SELECT update_tier.attach('pg_catalog.pg_class');

-- The wrong key.
CREATE TABLE no_id (workspace_id uuid PRIMARY KEY);
CREATE TABLE bigint_id (id bigint PRIMARY KEY);
CREATE TABLE text_id (id text PRIMARY KEY);
CREATE TABLE null_id (id uuid UNIQUE);
CREATE TABLE plain_id (id uuid NOT NULL);
CREATE TABLE partial_id (id uuid NOT NULL, live boolean);
CREATE UNIQUE INDEX ON partial_id (id) WHERE live;
-- An invalid unique index guarantees nothing.
CREATE TABLE invalid_id (id uuid NOT NULL);
INSERT INTO invalid_id SELECT '00000000-0000-0000-0000-000000000001' FROM generate_series(1, 2);
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY invalid_id_key ON invalid_id (id);
\set VERBOSITY default
CREATE TABLE wide_id (id uuid NOT NULL, region text NOT NULL, PRIMARY KEY (id, region));
CREATE TABLE expression_id (id uuid NOT NULL);
CREATE UNIQUE INDEX ON expression_id ((id::text));
SELECT update_tier.attach('no_id');
SELECT update_tier.attach('bigint_id');
SELECT update_tier.attach('text_id');
SELECT update_tier.attach('null_id');
SELECT update_tier.attach('plain_id');
SELECT update_tier.attach('partial_id');
SELECT update_tier.attach('invalid_id');
SELECT update_tier.attach('wide_id');
SELECT update_tier.attach('expression_id');

-- A column update_tier that cannot be converted.
CREATE TABLE integer_tier (id uuid PRIMARY KEY, update_tier integer);
CREATE TABLE char_tier (id uuid PRIMARY KEY, update_tier char(10));
CREATE TABLE array_tier (id uuid PRIMARY KEY, update_tier text[]);
CREATE TABLE generated_tier (id uuid PRIMARY KEY, update_tier text GENERATED ALWAYS AS ('canary') STORED);
SELECT update_tier.attach('integer_tier');
SELECT update_tier.attach('char_tier');
SELECT update_tier.attach('array_tier');
SELECT update_tier.attach('generated_tier');

-- A column that a view uses.  The error is the server's; its detail ends in a full
-- stop since version 19.
CREATE TABLE viewed_tier (id uuid PRIMARY KEY, update_tier text NOT NULL);
CREATE VIEW viewed AS SELECT update_tier FROM viewed_tier;
DO $$
DECLARE
    detail text;
BEGIN
    PERFORM update_tier.attach('viewed_tier');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RAISE NOTICE '%: %: %', SQLSTATE, SQLERRM, rtrim(detail, '.');
END $$;

-- Another relation has the name of the index.
CREATE TABLE named (id uuid PRIMARY KEY);
CREATE TABLE named_update_tier_canary ();
SELECT update_tier.attach('named');
DROP TABLE named_update_tier_canary;
CREATE UNIQUE INDEX named_update_tier_canary ON named (id);
SELECT update_tier.attach('named');

-- A second table, while one is attached.
SELECT update_tier.attach('w');
CREATE TABLE second (id uuid PRIMARY KEY);
SELECT update_tier.attach('second');
SELECT * FROM update_tier.attached;
\d second

SELECT update_tier.detach();

-- The SQLSTATE of each case.
CREATE FUNCTION sqlstate(relation text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.attach(relation::regclass);
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT t, sqlstate(t) FROM unnest(ARRAY[
    NULL, 'no_such_table', 'w_view', 'w_temp', 'w_part', 'pg_class', 'no_id', 'bigint_id', 'null_id', 'plain_id',
    'integer_tier', 'generated_tier', 'named', 'w', 'second']) AS t;

SELECT update_tier.detach();

-- A query of the same session is reading the table.
\set SHOW_CONTEXT never
INSERT INTO second VALUES ('00000000-0000-0000-0000-000000000001');
SELECT update_tier.attach('second') FROM second;
\set SHOW_CONTEXT errors
SELECT * FROM update_tier.attached;

DROP VIEW viewed, w_view;
DROP MATERIALIZED VIEW w_matview;
DROP FOREIGN DATA WRAPPER w_fdw CASCADE;
DROP TABLE w, w_temp, w_parent, no_id, bigint_id, text_id, null_id, plain_id, partial_id, invalid_id, wide_id,
    expression_id, integer_tier, char_tier, array_tier, generated_tier, viewed_tier, named, second;
DROP FUNCTION sqlstate;
DROP SEQUENCE w_seq;
DROP TYPE w_type;
DROP EXTENSION update_tier;
