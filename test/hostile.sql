-- A schema "evil" with objects whose names a statement of the extension might use without
-- a schema.  Each of them raises an error when it is used.
CREATE SCHEMA evil;
CREATE FUNCTION evil.alarm(what text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'shadow used: % by %', what, current_user; END$$;
CREATE FUNCTION evil.text_op(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('text operator'); RETURN true; END$$;
CREATE FUNCTION evil.uuid_op(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('uuid operator'); RETURN true; END$$;
CREATE FUNCTION evil.int_op(integer, integer) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('integer operator'); RETURN true; END$$;
CREATE FUNCTION evil.bigint_op(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('bigint operator'); RETURN true; END$$;
CREATE FUNCTION evil.boolean_op(boolean, boolean) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('boolean operator'); RETURN true; END$$;
CREATE FUNCTION evil.interval_op(interval, interval) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('interval operator'); RETURN true; END$$;
CREATE FUNCTION evil.time_op(timestamptz, timestamptz) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('timestamptz operator'); RETURN true; END$$;
DO $$
DECLARE
    t text;
    o text;
BEGIN
    FOREACH t IN ARRAY ARRAY['text', 'uuid', 'integer', 'bigint', 'boolean', 'interval', 'timestamptz'] LOOP
        FOREACH o IN ARRAY ARRAY['=', '<>', '<', '<=', '>', '>='] LOOP
            EXECUTE format('CREATE OPERATOR evil.%s (FUNCTION = evil.%s, LEFTARG = %s, RIGHTARG = %3$s)', o,
                CASE t WHEN 'integer' THEN 'int_op' WHEN 'timestamptz' THEN 'time_op' ELSE t || '_op' END, t);
        END LOOP;
    END LOOP;
END $$;
CREATE FUNCTION evil.join(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('||'); END$$;
CREATE OPERATOR evil.|| (FUNCTION = evil.join, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION evil.concat(VARIADIC text[]) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('concat'); END$$;
CREATE FUNCTION evil.nextval(regclass) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('nextval'); RETURN 1; END$$;
CREATE FUNCTION evil.unnest(uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('unnest'); END$$;
CREATE FUNCTION evil.format(text, integer, integer) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('format'); END$$;
CREATE FUNCTION evil.format(text, text) RETURNS text LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('format'); END$$;
CREATE FUNCTION evil.array_position(text[], text) RETURNS integer LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('array_position'); END$$;
CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('clock_timestamp'); END$$;
CREATE FUNCTION evil.is_consistent(update_tier.rollout) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('is_consistent'); RETURN true; END$$;
CREATE FUNCTION evil.is_consistent(update_tier.installation) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('is_consistent'); RETURN true; END$$;
CREATE FUNCTION evil.rollouts_now() RETURNS SETOF record LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('rollouts_now'); END$$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('now'); END$$;
CREATE TABLE evil.rollout (id bigint);
CREATE TABLE evil.installation (rollout bigint);
CREATE TABLE evil.package (id bigint);
CREATE TABLE evil.status (id bigint);
CREATE SEQUENCE evil.installation_token;
CREATE TABLE evil.event (id bigint);
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (false);
CREATE DOMAIN evil.bigint AS pg_catalog.int8 CHECK (false);
-- Every role may use these objects.
GRANT USAGE ON SCHEMA evil TO PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA evil TO PUBLIC;
