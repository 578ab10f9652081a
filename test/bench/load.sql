-- A fleet of :rows workspaces, and the functions with which statements are measured.
\set ON_ERROR_STOP 1
SET client_min_messages = warning;
CREATE EXTENSION update_tier;
CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true);
INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, :rows) AS n;
VACUUM (ANALYZE) workspaces;

-- compare: milliseconds of some statements, measured in turns, so that other work of the
-- machine slows down all of them; the first turn is not counted.  With "undo" each is
-- rolled back.  Returns a line for each: key, unit, values.
CREATE FUNCTION compare(turns integer, undo boolean, VARIADIC keys_and_statements text[]) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    n integer := cardinality(keys_and_statements) / 2;
    taken double precision[] := '{}';
    began timestamptz;
BEGIN
    FOR turn IN 0 .. turns LOOP
        FOR i IN 1 .. n LOOP
            BEGIN
                began := clock_timestamp();
                EXECUTE keys_and_statements[2 * i];
                taken := taken || extract(epoch FROM clock_timestamp() - began)::double precision * 1000;
                IF undo THEN
                    RAISE EXCEPTION USING ERRCODE = 'UT000';
                END IF;
            EXCEPTION WHEN SQLSTATE 'UT000' THEN
            END;
        END LOOP;
    END LOOP;
    FOR i IN 1 .. n LOOP
        RETURN NEXT concat_ws(E'\t', keys_and_statements[2 * i - 1], 'ms',
            (SELECT string_agg(taken[turn * n + i]::text, ' ') FROM generate_series(1, turns) AS turn));
    END LOOP;
END $$;

-- Read a row of every page of the fleet, as fast as that is possible.
CREATE FUNCTION read_every_page() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT count(live) FROM workspaces WHERE ctid = ANY (ARRAY(
        SELECT format('(%s,1)', n)::tid FROM generate_series(0, pg_relation_size('workspaces') / current_setting('block_size')::integer - 1) AS n)));
END $$;
-- Wait until so many clients have called this.
CREATE SEQUENCE clients_ready;
CREATE FUNCTION wait_for_clients(clients integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('clients_ready');
    WHILE (SELECT last_value FROM clients_ready) < clients LOOP
        PERFORM pg_sleep(0.001);
    END LOOP;
END $$;
