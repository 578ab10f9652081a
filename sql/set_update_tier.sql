--
-- workspace_tier() returns the tier of a workspace, and set_update_tier() changes it.
--
CREATE EXTENSION update_tier;
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 3) AS n;
SELECT update_tier.attach('workspaces');

-- It returns the tier that the workspace had.
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT pg_typeof(set_update_tier('00000000-0000-0000-0000-000000000002', 'canary'));
SELECT set_update_tier(id, 'canary') FROM workspaces WHERE n = 3;
SELECT * FROM canary_workspaces();

-- When nothing changes, nothing is written: the row's version stays.
SELECT xmin AS version, ctid AS place, xmax AS locker FROM workspaces WHERE n = 1 \gset
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT xmin = :'version' AND ctid = :'place' AND xmax = :'locker' AS untouched FROM workspaces WHERE n = 1;

-- expected: compare and set.
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production', expected => 'canary');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production', expected => 'canary');
\echo :LAST_ERROR_SQLSTATE
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production', expected => 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary', expected => NULL);
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary', expected => 'prod');

-- The last canary is demoted: a notice.
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'production');
SELECT * FROM update_tier.counts();

-- Unknown workspace; NULL; a typo.
SELECT workspace_tier('00000000-0000-0000-0000-000000000009') IS NULL AS unknown;
SELECT workspace_tier(NULL) IS NULL AS unknown;
SELECT set_update_tier('00000000-0000-0000-0000-000000000009', 'canary');
\echo :LAST_ERROR_SQLSTATE
SELECT set_update_tier(NULL, 'canary');
\echo :LAST_ERROR_SQLSTATE
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canery');
\echo :LAST_ERROR_SQLSTATE
SELECT set_update_tier('not a uuid', 'canary');
-- A typo is also the error when the workspace is unknown.
SELECT set_update_tier('00000000-0000-0000-0000-000000000009', 'canery');

-- Only live canaries count for the NOTICE.
SELECT update_tier.attach('workspaces', 'n < 3');
UPDATE workspaces SET update_tier = 'canary';
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'production');
SELECT workspace_tier('00000000-0000-0000-0000-000000000003');

-- The application's own triggers fire as for any UPDATE, once, and only then;
-- under the caller's search_path.
CREATE SCHEMA app;
CREATE TABLE app.log (line text);
CREATE FUNCTION app.log_it() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN INSERT INTO log VALUES (OLD.update_tier || ' -> ' || NEW.update_tier); RETURN NEW; END$$;
CREATE TRIGGER log_it BEFORE UPDATE ON workspaces FOR EACH ROW EXECUTE FUNCTION app.log_it();
SET search_path = app, public;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
TABLE log;
RESET search_path;
DROP TRIGGER log_it ON workspaces;
DROP SCHEMA app CASCADE;

-- A change that a trigger or a rule undoes is an error.
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER never BEFORE UPDATE ON workspaces FOR EACH ROW EXECUTE FUNCTION never();
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
\echo :LAST_ERROR_SQLSTATE
CREATE OR REPLACE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN NEW.update_tier := OLD.update_tier; RETURN NEW; END';
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
DROP TRIGGER never ON workspaces;
DROP FUNCTION never;
CREATE RULE nothing AS ON UPDATE TO workspaces DO INSTEAD NOTHING;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
DROP RULE nothing ON workspaces;
SELECT n, update_tier FROM workspaces ORDER BY n;

-- In a READ ONLY transaction a change is an error.  A call that changes nothing is not.
BEGIN READ ONLY;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
ROLLBACK;
BEGIN READ ONLY;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT count(*) FROM production_workspaces();
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT * FROM update_tier.counts();
COMMIT;

SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
