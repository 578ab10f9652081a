-- Random calls of every function of the extension, with random arguments: NULLs,
-- extreme values, wrong types and orders, as various roles, with hostile search paths, on
-- a table whose owner's code runs in its statements and calls the extension again.  No
-- call may end in an internal error (class XX), or in any other error that neither the
-- caller nor the owner can have caused, and the invariants hold afterwards.  Prints errors
-- and functions that were never called or never succeeded: that must be nothing.
--
-- usage: psql -v steps=5000 -v seed=0.5 -f test/calls.sql
\set ON_ERROR_STOP 1
SET client_min_messages = error;
\o /dev/null
\ir fleet.sql
\ir audit.sql
\ir hostile.sql
CREATE TABLE trouble (step integer, call text, what text, detail text);
CREATE TABLE called (function text PRIMARY KEY, calls integer NOT NULL DEFAULT 0, succeeded integer NOT NULL DEFAULT 0);

-- Relations that can be attached, and relations that cannot.
CREATE TABLE "Work Spaces" (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true, update_tier text);
INSERT INTO "Work Spaces" SELECT w(n), true, CASE WHEN n % 3 = 0 THEN 'canary' END FROM generate_series(1, 9) AS n;
CREATE TABLE parts (id uuid PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE part PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE typos (id uuid PRIMARY KEY, update_tier text DEFAULT 'canery');
INSERT INTO typos VALUES (w(1));
CREATE VIEW view AS SELECT id, live FROM workspaces;
CREATE MATERIALIZED VIEW matview AS SELECT id, live FROM workspaces;
CREATE SEQUENCE sequence;
CREATE FOREIGN DATA WRAPPER regress_none;
CREATE SERVER regress_none FOREIGN DATA WRAPPER regress_none;
CREATE FOREIGN TABLE far_away (id uuid NOT NULL) SERVER regress_none;

-- A role that owns the tables, a role that may call every function, and a role that may
-- not.
CREATE ROLE regress_calls_owner;
CREATE ROLE regress_calls_caller;
CREATE ROLE regress_calls_nobody;
ALTER TABLE workspaces OWNER TO regress_calls_owner;
ALTER TABLE "Work Spaces" OWNER TO regress_calls_owner;
ALTER TABLE parts OWNER TO regress_calls_owner;
GRANT CREATE ON SCHEMA public TO regress_calls_owner;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA update_tier TO regress_calls_caller, regress_calls_owner;

-- The owner's code: in the planner (an index predicate), for rows that are read (a policy)
-- and for rows that are written.  One time in five it calls the extension, which can
-- change what the current call works with, and catches all errors.
CREATE FUNCTION mischief() RETURNS boolean IMMUTABLE LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    deeds text[] := ARRAY[
        $deed$SELECT update_tier.attach('public.workspaces', CASE WHEN random() < 0.5 THEN 'live' ELSE 'live AND ' || (random() * 1000)::integer || ' >= 0' END, random() < 0.5)$deed$,
        $deed$SELECT update_tier.detach()$deed$,
        $deed$SELECT count(*) FROM public.canary_workspaces(), public.workspaces_in_tier('production', NULL, 3)$deed$,
        $deed$SELECT update_tier.explain('p1', '1', public.w(2)), update_tier.allows('p2', '2', public.w(5)), update_tier.wanted_version('p1', public.w(5))$deed$,
        $deed$SELECT update_tier.report(update_tier.claim('p1', '1', public.w(2)), 'succeeded')$deed$,
        $deed$SELECT update_tier.report(token, 'error') FROM update_tier.claim_batch('p1', max_claims => 2)$deed$,
        $deed$SELECT update_tier.observe('p2', '2', public.w(5)), update_tier.start('p1', '4')$deed$,
        $deed$SELECT public.set_update_tier(public.w(5), 'canary'), public.set_update_tier(public.w(5), 'production')$deed$];
BEGIN
    IF random() > 0.2 OR current_setting('test.mischief', true) = 'under way' THEN
        RETURN true;
    END IF;
    PERFORM set_config('test.mischief', 'under way', false);
    BEGIN
        EXECUTE deeds[1 + floor(random() * cardinality(deeds))];
        PERFORM set_config('test.deeds', (current_setting('test.deeds')::integer + 1)::text, false);
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    PERFORM set_config('test.mischief', '', false);
    PERFORM repeat('A', 10 * n) FROM generate_series(1, 100) AS n;  -- over what has become free
    RETURN true;
END $$;
ALTER FUNCTION mischief() OWNER TO regress_calls_owner;
SET test.deeds = 0;
CREATE INDEX workspaces_mischief ON workspaces (live) WHERE mischief();
ALTER TABLE workspaces ADD CHECK (mischief() OR id IS NULL), ADD COLUMN made boolean GENERATED ALWAYS AS (mischief() AND live) STORED;
CREATE POLICY mischief ON workspaces USING (mischief() OR id IS NULL);
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
\o

-- A row of a table in which every column is NULL.
CREATE FUNCTION nulls_of(type text) RETURNS text LANGUAGE sql AS $$
    SELECT format('(%s)', repeat(',', count(*)::integer - 1)) FROM pg_attribute WHERE attrelid = type::regclass AND attnum > 0 AND NOT attisdropped
$$;

-- A random literal for an argument, mostly a valid value.
CREATE FUNCTION some_value(name text, type text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    choices text[];
BEGIN
    IF random() < 0.04 THEN
        RETURN 'NULL';
    END IF;
    choices := CASE type
        WHEN 'text' THEN CASE WHEN random() < 0.85 THEN CASE name
                WHEN 'package' THEN ARRAY['p1', 'p2', '*']
                WHEN 'version' THEN ARRAY['1', '2', '3']
                WHEN 'installed_version' THEN ARRAY['1', '2', '3', 'by hand']
                WHEN 'outcome' THEN ARRAY['succeeded', 'succeeded', 'failed', 'error', 'skipped']
                WHEN 'live_when' THEN ARRAY['live', 'true', NULL]
                ELSE ARRAY['canary', 'production'] END
            ELSE ARRAY['', ' ', 'canery', 'CANARY', 'live AND $1', 'id = id', 'nonsense(', '(SELECT true)', 'update_tier = ''canary''',
                       E'new\nline', 'ünïcödé', repeat('x', 1024), repeat('ü', 513), repeat('y', 100000), '"', '''', '\', '%s', '$table', '"$live"'] END
        WHEN 'uuid' THEN ARRAY[w(1)::text, w(2)::text, w(4)::text, w(5)::text, w(9)::text, w(10)::text,
            '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff']
        WHEN 'bigint' THEN ARRAY['0', '-1', '1', '3', '9223372036854775807', '-9223372036854775808',
            COALESCE((SELECT token::text FROM update_tier.installation WHERE token IS NOT NULL ORDER BY random() LIMIT 1), '7'),
            -- Also of attempts that were replaced.
            COALESCE((SELECT token::text FROM update_tier.event WHERE token IS NOT NULL ORDER BY random() LIMIT 1), '8')]
        WHEN 'integer' THEN ARRAY['0', '-1', '1', '2', '5', '25', '1000000', '2147483647', '-2147483648']
        WHEN 'boolean' THEN ARRAY['true', 'false']
        WHEN 'interval' THEN ARRAY['0', '1 microsecond', '1 second', '15 minutes', '1 day', '-1 day', '178000000 years', '-178000000 years',
            '2147483647 days', '-2147483648 days 24 hours', '9000000000000000 microseconds',
            CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN 'infinity' ELSE '1 month' END,
            CASE WHEN current_setting('server_version_num')::integer >= 170000 THEN '-infinity' ELSE '-1 month' END]
        WHEN 'timestamp with time zone' THEN ARRAY['infinity', '-infinity', 'now', 'epoch', '294276-12-31', '4713-01-01 BC']
        WHEN 'regclass' THEN ARRAY['workspaces', 'workspaces', '"Work Spaces"', 'parts', 'part', 'typos', 'view', 'matview', 'sequence',
            'far_away', 'pg_catalog.pg_class', 'update_tier.attached', 'update_tier.rollout', 'workspaces_pkey', '0', '4294967295']
        WHEN 'text[]' THEN ARRAY['{soak}', '{ramp,lease}', '{max_in_flight,max_in_flight}', '{}', '{nonsense}', '{NULL}', '{{soak},{ramp}}', '[2:2]={soak}']
        WHEN 'uuid[]' THEN ARRAY[format('{%s}', w(5)), format('{%s,%s,%s}', w(9), w(1), w(4)), format('{%s,%s}', w(10), w(2)), '{}',
            format('{%s,%s}', w(4), w(4)), format('{%s,NULL}', w(4)), format('{{%s},{%s}}', w(4), w(5)), format('[3:3]={%s}', w(5))]
        WHEN 'update_tier.rollout' THEN ARRAY[nulls_of(type), (SELECT r::text FROM update_tier.rollout AS r ORDER BY random() LIMIT 1)]
        WHEN 'update_tier.installation' THEN ARRAY[nulls_of(type), (SELECT i::text FROM update_tier.installation AS i ORDER BY random() LIMIT 1)]
        ELSE ARRAY[NULL]
    END;
    IF random() < 0.02 THEN
        type := (ARRAY['text', 'integer', 'uuid', 'boolean'])[1 + floor(random() * 4)];  -- one that does not fit, perhaps
    END IF;
    RETURN COALESCE(quote_literal(choices[1 + floor(random() * cardinality(choices))]) || '::' || CASE WHEN type IN ('text', 'text[]', 'bigint') THEN 'pg_catalog.' || CASE type WHEN 'bigint' THEN 'int8' ELSE type END ELSE type END, 'NULL');
END $$;

CREATE FUNCTION some_call(function oid) RETURNS text LANGUAGE sql AS $$
    SELECT format('SELECT %s(%s)', p.oid::regproc,
                  (SELECT string_agg(CASE WHEN n = p.pronargs AND p.provariadic <> 0 THEN 'VARIADIC ' ELSE '' END ||
                                     some_value(p.proargnames[n], format_type(t, NULL)), ', ' ORDER BY n)
                     FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n)))
      FROM pg_proc AS p WHERE p.oid = function
$$;

CREATE PROCEDURE random_calls(steps integer) LANGUAGE plpgsql AS $$
DECLARE
    functions oid[] := array(SELECT objid FROM pg_depend
        WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e' AND classid = 'pg_proc'::regclass
          AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier') ORDER BY objid);
    chosen oid; call text; who text; message text; worked boolean;
BEGIN
    INSERT INTO called SELECT f::regprocedure FROM unnest(functions) AS f;
    -- More steps, if by chance a function has never succeeded yet, or the owner's code has
    -- done too little.
    FOR step IN 1 .. 5 * steps LOOP
        EXIT WHEN step > steps AND current_setting('test.deeds')::integer >= steps / 100 AND NOT EXISTS (SELECT FROM called WHERE succeeded = 0 AND function !~ '(attached_changed|attached_replaced|record_tier|list_support)');
        -- Functions that undo the effects of others are called seldom.
        LOOP
            chosen := functions[1 + floor(random() * cardinality(functions))];
            EXIT WHEN chosen::regproc::text NOT IN ('update_tier.detach', 'update_tier.prune', 'update_tier.abort', 'update_tier.freeze')
                   OR random() < 0.15;
        END LOOP;
        call := some_call(chosen);
        who := (ARRAY['postgres', 'regress_calls_owner', 'regress_calls_caller', 'regress_calls_nobody'])[1 + floor(random() ^ 2 * 4)];
        worked := true;
        BEGIN
            IF who <> 'postgres' THEN
                EXECUTE format('SET LOCAL ROLE %I', who);
            END IF;
            IF random() < 0.5 THEN
                SET LOCAL search_path = evil, pg_catalog, public;
            END IF;
            EXECUTE call;
        EXCEPTION WHEN OTHERS THEN
            worked := false;
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
            -- data, a value that is no tier, no data, wrong state, no right or
            -- no such thing (class 42), not supported, not as a trigger; the owner
            -- of the table may have changed the package (40001), have called
            -- from within a query on it (55006), or have changed the row that
            -- is being changed (27000)
            IF SQLSTATE !~ '^(22|42|0A000|39P01|P0002|55000|55006|40001|27000|23514)' OR SQLSTATE = '23514' AND message !~ '(tier|values of column)' THEN
                INSERT INTO trouble VALUES (step, who || ': ' || call, SQLSTATE, message);
            END IF;
        END;
        RESET ROLE;
        RESET search_path;
        UPDATE called AS c SET calls = calls + 1, succeeded = succeeded + worked::integer WHERE c.function = chosen::regprocedure::text;
        COMMIT;

        IF NOT EXISTS (SELECT FROM update_tier.attached WHERE EXISTS (SELECT FROM pg_class WHERE oid = workspaces)) AND random() < 0.3 THEN
            PERFORM update_tier.attach(CASE WHEN random() < 0.7 THEN 'workspaces' ELSE '"Work Spaces"' END, CASE WHEN random() < 0.5 THEN 'live' END);
            COMMIT;
        END IF;
        IF step % 20 = 0 THEN
            -- prune deletes events, and these calls do not call note()
            INSERT INTO trouble SELECT step, call, 'audit', violation FROM audit(complete => false);
            COMMIT;
        END IF;
        EXIT WHEN EXISTS (SELECT 1 FROM trouble);
    END LOOP;
END $$;
-- p1 soaks at once, so that there is something to promote.
SELECT update_tier.set_policy('p1', require_canary => false) \g /dev/null
SELECT setseed(:seed) \g /dev/null
CALL random_calls(:steps);
\pset tuples_only on
\pset format unaligned
SELECT * FROM trouble ORDER BY step;
SELECT 'the owner''s code did nothing' WHERE current_setting('test.deeds')::integer < :steps / 100 AND NOT EXISTS (SELECT FROM trouble);
SELECT 'never called: ' || function FROM called WHERE calls = 0 AND NOT EXISTS (SELECT FROM trouble);
SELECT 'never succeeded: ' || function FROM called WHERE succeeded = 0 AND function !~ '(attached_changed|attached_replaced|record_tier|list_support)' AND NOT EXISTS (SELECT FROM trouble);
\o /dev/null
RESET ROLE;
DROP OWNED BY regress_calls_owner, regress_calls_caller, regress_calls_nobody CASCADE;
DROP ROLE regress_calls_owner, regress_calls_caller, regress_calls_nobody;
