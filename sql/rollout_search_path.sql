--
-- A hostile search_path against the rollout functions: nothing shadowed is used.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE SCHEMA evil;
CREATE FUNCTION evil.alarm(what text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'shadow used: % by %', what, current_user; END$$;
CREATE FUNCTION evil.text_op(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('text operator'); RETURN true; END$$;
CREATE FUNCTION evil.uuid_op(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('uuid operator'); RETURN true; END$$;
CREATE FUNCTION evil.int_op(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('integer operator'); RETURN true; END$$;
CREATE FUNCTION evil.bigint_op(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('bigint operator'); RETURN true; END$$;
CREATE FUNCTION evil.time_op(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('timestamptz operator'); RETURN true; END$$;
DO $$
DECLARE
    t text;
    o text;
BEGIN
    FOREACH t IN ARRAY ARRAY['text', 'uuid', 'integer', 'bigint', 'timestamptz'] LOOP
        FOREACH o IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>='] LOOP
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.%s, LEFTARG = %s, RIGHTARG = %3$s)', o,
                CASE t WHEN 'integer' THEN 'int_op' WHEN 'timestamptz' THEN 'time_op' ELSE t || '_op' END, t);
        END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('nextval'); RETURN 1; END$$;
CREATE FUNCTION evil.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('unnest'); END$$;
CREATE FUNCTION evil.format(text, integer, integer) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('format'); END$$;
CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('format'); END$$;
CREATE FUNCTION evil.array_position(text[], text) RETURNS integer LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('array_position'); END$$;
CREATE FUNCTION evil.phase_at(text, boolean, timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('phase_at'); END$$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('now'); END$$;
CREATE TABLE evil.rollout (id bigint); CREATE TABLE evil.execution (rollout bigint); CREATE TABLE evil.event (id bigint);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.bigint AS pg_catalog.int8 CHECK (false);
SET search_path = evil, pg_catalog, public;
-- The shadows are real.
SELECT 1 = 1;

SELECT update_tier.set_policy('p', max_attempts => 2, max_failures => 5);
SELECT update_tier.start('p', '1');
SELECT workspace, tier, attempt FROM update_tier.claim_batch('p', '1', 2);
SELECT update_tier.report(1, 'succeeded'), update_tier.report(2, 'error', detail => 'x');
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000002');
SELECT update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000099');
SELECT update_tier.allows('p', '1', '00000000-0000-0000-0000-000000000003'), update_tier.is_open('p', '1', 'canary');
SELECT update_tier.start('p', '2');
SELECT update_tier.halt('p', '1', 'why'), update_tier.abort('p', '2'), update_tier.resume('p', '1'), update_tier.promote('p', '1');
SELECT update_tier.promoted_version('p'), update_tier.retry('p', '2');
SELECT * FROM update_tier.progress('p', '1');
SELECT package, version, phase, waits_for FROM update_tier.status;
SELECT update_tier.abort('p', '2'), update_tier.prune('0');
RESET search_path;
SET client_min_messages = 'warning';
DROP SCHEMA evil CASCADE;

\set ECHO none
\i :fleet_gone
