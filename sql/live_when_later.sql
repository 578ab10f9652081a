--
-- After attach, a new cast or another type of a column can make live_when call a
-- function of the table's owner.  Whenever live_when is read again it is checked by the
-- rules of attach, so no other role runs that function.
--
CREATE ROLE regress_alice;
GRANT USAGE, CREATE ON SCHEMA public TO regress_alice;
CREATE EXTENSION update_tier;
SET ROLE regress_alice;
CREATE TABLE ws (id uuid PRIMARY KEY, status text NOT NULL DEFAULT 'active', update_tier text NOT NULL DEFAULT 'canary');
INSERT INTO ws VALUES ('00000000-0000-0000-0000-000000000001');
SELECT update_tier.attach('ws', $$status <> 'removed'$$);
SELECT count(*) FROM canary_workspaces();
CREATE TYPE status AS ENUM ('active', 'removed');
CREATE FUNCTION evil(status) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_user <> 'regress_alice' THEN
        RAISE WARNING 'runs as somebody else';
    END IF;
    RETURN enum_out($1)::text;
END $$;
CREATE CAST (status AS text) WITH FUNCTION evil(status) AS IMPLICIT;
ALTER TABLE ws ALTER status DROP DEFAULT, ALTER status TYPE status USING status::status;
ALTER FUNCTION evil(status) VOLATILE;
RESET ROLE;
SELECT update_tier.start('p', 'v1');
\set SHOW_CONTEXT never
SELECT count(*) FROM canary_workspaces();
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM update_tier.counts();
SELECT update_tier.explain('p', 'v1', '00000000-0000-0000-0000-000000000001');
SELECT update_tier.wanted_version('p', '00000000-0000-0000-0000-000000000001');
SELECT update_tier.claim('p', 'v1', '00000000-0000-0000-0000-000000000001');
SELECT * FROM update_tier.claim_batch('p', 'v1', 1);
SELECT update_tier.force('p', 'v1', '00000000-0000-0000-0000-000000000001', 'why');
SELECT update_tier.observe('p', 'v1', '00000000-0000-0000-0000-000000000001');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
-- Without the cast the condition compares labels, and that is allowed.
DROP CAST (status AS text);
SELECT update_tier.attach('ws', $$status <> 'removed'$$);
SELECT count(*) FROM canary_workspaces();

\set SHOW_CONTEXT errors

DROP TABLE ws;
DROP EXTENSION update_tier;
DROP OWNED BY regress_alice CASCADE;
DROP ROLE regress_alice;
