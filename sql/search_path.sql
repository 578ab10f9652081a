--
-- A hostile search_path: other objects have the names that the extension's statements
-- use, and the extension uses none of them.
--
CREATE TABLE public.workspaces (id uuid PRIMARY KEY, name text, status text DEFAULT 'online');
INSERT INTO public.workspaces SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'w' || n FROM generate_series(1, 4) AS n;
CREATE SCHEMA evil;
CREATE FUNCTION evil.alarm(what text) RETURNS void LANGUAGE plpgsql AS
    $$BEGIN RAISE EXCEPTION 'shadow used: % by %', what, current_user; END$$;

-- Operators, functions, types and tables, with names of the server and of the extension.
CREATE FUNCTION evil.text_op(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('text operator'); RETURN true; END$$;
CREATE FUNCTION evil.uuid_op(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('uuid operator'); RETURN true; END$$;
CREATE FUNCTION evil.oid_op(oid, oid) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('oid operator'); RETURN true; END$$;
CREATE FUNCTION evil.domain_op(public.workspaces, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('row operator'); RETURN true; END$$;
CREATE OPERATOR evil.= (FUNCTION = evil.text_op, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.<> (FUNCTION = evil.text_op, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.> (FUNCTION = evil.uuid_op, LEFTARG = uuid, RIGHTARG = uuid);
CREATE OPERATOR evil.< (FUNCTION = evil.uuid_op, LEFTARG = uuid, RIGHTARG = uuid);
CREATE OPERATOR evil.= (FUNCTION = evil.uuid_op, LEFTARG = uuid, RIGHTARG = uuid);
CREATE OPERATOR evil.= (FUNCTION = evil.oid_op, LEFTARG = oid, RIGHTARG = oid);
CREATE FUNCTION evil.count_step(bigint) RETURNS bigint LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('count'); RETURN 1; END$$;
CREATE AGGREGATE evil.count(*) (SFUNC = evil.count_step, STYPE = bigint, INITCOND = '0');
CREATE FUNCTION evil.is_valid(text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('is_valid'); RETURN true; END$$;
CREATE FUNCTION evil.to_regclass(text) RETURNS regclass LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('to_regclass'); RETURN NULL; END$$;
CREATE FUNCTION evil.pg_extension_config_dump(regclass, text) RETURNS void LANGUAGE plpgsql AS $$BEGIN PERFORM evil.alarm('config_dump'); END$$;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (evil.is_valid(VALUE));
CREATE DOMAIN evil.boolean AS pg_catalog.bool;
CREATE DOMAIN evil.uuid AS pg_catalog.uuid CHECK (evil.is_valid(VALUE::pg_catalog.text));
CREATE DOMAIN evil.bigint AS pg_catalog.int8;
CREATE TABLE evil.workspaces (id pg_catalog.uuid, update_tier pg_catalog.text);
CREATE TABLE evil.attached (workspaces regclass, live_when pg_catalog.text);
CREATE DOMAIN evil.update_tier AS pg_catalog.text CHECK (evil.is_valid(VALUE));
SET search_path = evil, pg_catalog, public;

-- Plain SQL does use the shadowing operator.
SELECT 'a'::pg_catalog.text = 'a'::pg_catalog.text;

CREATE EXTENSION update_tier SCHEMA public;
SELECT workspaces FROM update_tier.attached;
SELECT public.set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT public.set_update_tier('00000000-0000-0000-0000-000000000002', 'canary', 'canary');
SELECT public.set_update_tier('00000000-0000-0000-0000-000000000002', 'canery');
SELECT * FROM public.canary_workspaces();
SELECT * FROM public.production_workspaces();
SELECT * FROM public.workspaces_in_tier('production', '00000000-0000-0000-0000-000000000001', 2);
SELECT public.workspace_tier('00000000-0000-0000-0000-000000000002');
SELECT * FROM update_tier.counts();
SELECT * FROM update_tier.tiers();
SELECT 'x'::public.update_tier;

-- live_when is read with the search_path of the session that attaches, and a user's
-- operator in it is refused.  What was stored means the same in every session.
SELECT update_tier.attach('public.workspaces', $$status <> 'removed'$$);
SELECT update_tier.attach('public.workspaces', $$status OPERATOR(pg_catalog.<>) 'removed'$$);
RESET search_path;
SELECT update_tier.attach('public.workspaces', $$status <> 'removed'$$);
SET search_path = evil, pg_catalog, public;
UPDATE public.workspaces SET status = 'removed' WHERE id OPERATOR(pg_catalog.=) '00000000-0000-0000-0000-000000000003'::pg_catalog.uuid;
SELECT * FROM public.production_workspaces();
SELECT * FROM update_tier.counts();

-- Detaching and adopting; a temporary table of the same name.
SELECT update_tier.detach();
CREATE TEMPORARY TABLE attached (workspaces regclass);
CREATE TEMPORARY TABLE workspaces (id pg_catalog.uuid);
SET search_path = pg_temp, evil, pg_catalog, public;
SELECT update_tier.attach('public.workspaces');
SELECT * FROM public.canary_workspaces();
SELECT update_tier.detach();
ALTER TABLE public.workspaces ALTER COLUMN update_tier DROP NOT NULL, ALTER COLUMN update_tier DROP DEFAULT,
    DROP CONSTRAINT workspaces_update_tier_check;
SELECT update_tier.attach('public.workspaces');
SELECT * FROM public.canary_workspaces();
RESET search_path;
\d public.workspaces

SELECT update_tier.detach();
DROP EXTENSION update_tier;
SET client_min_messages = 'warning';
DROP TABLE pg_temp.workspaces, pg_temp.attached;
DROP SCHEMA evil CASCADE;
DROP TABLE public.workspaces;
