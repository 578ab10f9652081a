--
-- A platform's plain-SQL migration runs up and down, before, after and around CREATE
-- EXTENSION.  The platform runs it again at every start.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set consumer :abs_srcdir '/test/consumer.sql'
\i :consumer
\set up 'ALTER TABLE workspaces ADD COLUMN IF NOT EXISTS update_tier TEXT NOT NULL DEFAULT \'production\' CHECK (update_tier IN (\'canary\', \'production\')); CREATE INDEX IF NOT EXISTS workspaces_update_tier_canary ON workspaces (update_tier) WHERE update_tier = \'canary\';'
\set down 'DROP INDEX IF EXISTS workspaces_update_tier_canary; ALTER TABLE workspaces DROP COLUMN IF EXISTS update_tier;'
CREATE VIEW form AS
SELECT format_type(atttypid, atttypmod) AS type, attnotnull AS not_null,
       pg_get_expr(adbin, adrelid) AS default,
       (SELECT string_agg(conname, ', ' ORDER BY conname) FROM pg_constraint
         WHERE conrelid = attrelid AND contype = 'c' AND attnum = ANY (conkey)) AS checks,
       (SELECT pg_get_indexdef(c.oid) FROM pg_class c WHERE c.oid = to_regclass('workspaces_update_tier_canary')) AS index
  FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
 WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier';
\x on
INSERT INTO workspaces (id, name, status) VALUES
    ('00000000-0000-0000-0000-000000000001', 'one', 'online'),
    ('00000000-0000-0000-0000-000000000002', 'two', 'removed');

-- Up, then the extension: the column is adopted.
:up
UPDATE workspaces SET update_tier = 'canary' WHERE name = 'one';
TABLE form;
CREATE EXTENSION update_tier;
TABLE form;

-- Up again, at the next start.
:up
TABLE form;
SELECT * FROM canary_workspaces();

-- Down, while the table is attached: calls raise an error whose hint says what to do.
:down
TABLE form;
SELECT * FROM canary_workspaces();
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT * FROM update_tier.counts();

-- Up after down: the plain-SQL form, until attach is called.
:up
TABLE form;
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$);
TABLE form;
SELECT * FROM production_workspaces();

-- After detach and DROP EXTENSION the migration finds the form that it makes itself.
SELECT update_tier.detach();
DROP EXTENSION update_tier;
TABLE form;
:up
TABLE form;
:down
TABLE form;
:down

-- The extension first, on a table without the column; then up and down.
CREATE EXTENSION update_tier;
:up
TABLE form;
:down
SELECT update_tier.detach();
DROP EXTENSION update_tier;
TABLE form;

-- All in one transaction.
BEGIN;
:up
CREATE EXTENSION update_tier;
:up
SELECT update_tier.detach();
DROP EXTENSION update_tier;
:down
COMMIT;
TABLE form;

DROP VIEW form;
DROP TABLE plugin_update_queue, workspace_plugins, workspaces;
DROP TYPE workspace_status;
