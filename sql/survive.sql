--
-- A session keeps plans, and calls stay right after any change of the table and of the
-- extension.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 3) AS n;
CREATE EXTENSION update_tier;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
CREATE FUNCTION all_calls() RETURNS TABLE (what text) LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY SELECT 'canary ' || right(c::text, 1) FROM canary_workspaces() AS c;
    RETURN QUERY SELECT 'next ' || right(c::text, 1) FROM workspaces_in_tier('production', NULL, 1) AS c;
    RETURN QUERY SELECT 'tier ' || workspace_tier('00000000-0000-0000-0000-000000000001');
    RETURN QUERY SELECT 'was ' || set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
    RETURN QUERY SELECT 'was ' || set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
    RETURN QUERY SELECT 'of ' || workspaces FROM update_tier.counts();
    PERFORM update_tier.start('p', '1');
    RETURN QUERY SELECT 'wants ' || update_tier.wanted_version('p', '00000000-0000-0000-0000-000000000001');
    RETURN QUERY SELECT update_tier.observe('p', '1', '00000000-0000-0000-0000-000000000001');
END $$;
SET client_min_messages = 'warning';
SELECT array_agg(what) FROM all_calls();

-- Renamed.
ALTER TABLE workspaces RENAME TO environments;
SELECT array_agg(what) FROM all_calls();
-- Another table takes its old name.
CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier update_tier NOT NULL DEFAULT 'canary');
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000008');
SELECT array_agg(what) FROM all_calls();
DROP TABLE workspaces;
-- Moved to another schema, and the schema renamed; then a new schema of the
-- old name, with a table of the same name.
CREATE SCHEMA app;
ALTER TABLE environments SET SCHEMA app;
SELECT array_agg(what) FROM all_calls();
ALTER SCHEMA app RENAME TO application;
SELECT array_agg(what) FROM all_calls();
CREATE SCHEMA app;
CREATE TABLE app.environments (id uuid PRIMARY KEY, update_tier update_tier NOT NULL DEFAULT 'canary');
SELECT array_agg(what) FROM all_calls();
SET search_path = app, public;
SELECT array_agg(what) FROM all_calls();
RESET search_path;
DROP SCHEMA app CASCADE;
SELECT workspaces FROM update_tier.attached;

-- Altered between calls.
ALTER TABLE application.environments ADD COLUMN region text DEFAULT 'eu';
SELECT array_agg(what) FROM all_calls();
ALTER TABLE application.environments DROP COLUMN n;
SELECT array_agg(what) FROM all_calls();
VACUUM FULL application.environments;
DROP INDEX application.workspaces_update_tier_canary;
SELECT array_agg(what) FROM all_calls();
ALTER TABLE application.environments RENAME COLUMN id TO key;
SELECT * FROM canary_workspaces();
ALTER TABLE application.environments RENAME COLUMN key TO id;
SELECT array_agg(what) FROM all_calls();
ALTER TABLE application.environments ALTER COLUMN update_tier TYPE text;
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('application.environments');
SELECT array_agg(what) FROM all_calls();

-- A rollback also undoes what the session has cached.
BEGIN;
ALTER TABLE application.environments RENAME TO other;
SELECT array_agg(what) FROM all_calls();
ROLLBACK;
SELECT array_agg(what) FROM all_calls();
BEGIN;
SELECT update_tier.detach();
CREATE TABLE second (id uuid PRIMARY KEY);
SELECT update_tier.attach('second');
SELECT * FROM canary_workspaces();
SAVEPOINT s;
SELECT update_tier.detach();
SELECT update_tier.attach('application.environments', $$region = 'eu'$$);
SELECT count(*) FROM canary_workspaces();
ROLLBACK TO s;
SELECT count(*) FROM canary_workspaces();
ROLLBACK;
SELECT array_agg(what) FROM all_calls();

-- The table is dropped: an error says so.  Then another table is attached.
DROP TABLE application.environments;
SELECT * FROM canary_workspaces();
SELECT * FROM all_calls();
CREATE TABLE workspaces (id uuid PRIMARY KEY);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001'), ('00000000-0000-0000-0000-000000000007');
SELECT update_tier.attach('workspaces');
SELECT * FROM update_tier.attached;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT array_agg(what) FROM all_calls();

-- The extension is dropped and created again, here in another schema.
DROP EXTENSION update_tier CASCADE;
\set VERBOSITY terse
SELECT * FROM canary_workspaces();
\set VERBOSITY default
CREATE EXTENSION update_tier;
SELECT array_agg(what) FROM all_calls();
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT array_agg(what) FROM all_calls();
SELECT update_tier.detach();
DROP EXTENSION update_tier;
CREATE EXTENSION update_tier SCHEMA application;
SET search_path = application, public;
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('workspaces');
SELECT array_agg(what) FROM all_calls();
RESET search_path;

-- A trigger that changes the table's condition while a statement on it runs.
CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE update_tier.attached SET live_when = coalesce(live_when || ' AND true', 'true');
    PERFORM application.canary_workspaces();
    PERFORM application.set_update_tier('00000000-0000-0000-0000-000000000007', NEW.update_tier);
    RETURN NEW;
END $$;
CREATE TRIGGER meddle BEFORE UPDATE ON workspaces FOR EACH ROW
    WHEN (OLD.id = '00000000-0000-0000-0000-000000000001') EXECUTE FUNCTION meddle();
SELECT application.set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
SELECT application.set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT * FROM update_tier.attached;
SELECT count(*) FROM application.canary_workspaces();
DROP TRIGGER meddle ON workspaces;
DROP FUNCTION meddle;

-- Poolers run DISCARD ALL between clients: calls work as before.
DISCARD ALL;
SELECT count(*) FROM application.canary_workspaces();
DISCARD PLANS;
SELECT count(*) FROM application.canary_workspaces();

SET client_min_messages = 'warning';
DROP FUNCTION all_calls;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP SCHEMA application CASCADE;
DROP TABLE workspaces;
