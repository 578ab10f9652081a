--
-- The table has constraints and triggers that are deferred to the end of the
-- transaction.
--
\set SHOW_CONTEXT never
CREATE TABLE tenants (id integer PRIMARY KEY);
INSERT INTO tenants VALUES (1);
CREATE TABLE workspaces (
    id     uuid PRIMARY KEY,
    tenant integer NOT NULL REFERENCES tenants DEFERRABLE INITIALLY DEFERRED,
    slug   text UNIQUE DEFERRABLE INITIALLY DEFERRED);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 1, 'w' || n FROM generate_series(1, 4) AS n;

-- While deferred checks are pending the server does not alter the table: CREATE
-- EXTENSION fails and changes nothing.
BEGIN;
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000009', 2, 'w9');
CREATE EXTENSION update_tier;
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT count(*) FROM pg_extension WHERE extname = 'update_tier';
-- With immediate checks CREATE EXTENSION succeeds.  A COMMIT that fails undoes it.
BEGIN;
SET CONSTRAINTS ALL IMMEDIATE;
CREATE EXTENSION update_tier;
SET CONSTRAINTS ALL DEFERRED;
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000009', 2, 'w9');
COMMIT;
SELECT count(*) FROM pg_extension WHERE extname = 'update_tier';
CREATE EXTENSION update_tier;

-- A COMMIT that fails undoes tiers, versions, leases and reports.
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
BEGIN;
UPDATE workspaces SET slug = 'w1' WHERE slug = 'w2';
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT update_tier.start('p', '1');
SELECT update_tier.report(update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000002'), 'succeeded');
COMMIT;
SELECT workspace_tier('00000000-0000-0000-0000-000000000002');
SELECT count(*) FROM update_tier.status;
SELECT count(*) FROM update_tier.installed;

-- A constraint trigger can refuse a tier at COMMIT.
CREATE FUNCTION too_many() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT workspaces FROM update_tier.counts() WHERE tier = 'canary') > 1 THEN
        RAISE EXCEPTION 'one canary is enough';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER too_many AFTER UPDATE ON workspaces
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION too_many();
BEGIN;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT canary_workspaces();
COMMIT;
SELECT canary_workspaces();
-- The trigger sees the tiers at the end of the transaction.
BEGIN;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
COMMIT;
SELECT canary_workspaces();

-- detach also fails while deferred checks are pending.
BEGIN;
UPDATE workspaces SET slug = slug;
SELECT update_tier.detach();
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces, tenants;
DROP FUNCTION too_many;

-- A deferred unique constraint on id is enough for attach.
CREATE TABLE workspaces (id uuid NOT NULL UNIQUE DEFERRABLE INITIALLY DEFERRED);
CREATE EXTENSION update_tier;
DROP EXTENSION IF EXISTS update_tier CASCADE;
DROP TABLE workspaces;
