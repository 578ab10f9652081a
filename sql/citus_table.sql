--
-- CREATE EXTENSION does not attach a table that Citus distributes, because the script
-- also runs on the workers; and it attaches no table on a worker.  attach of such a
-- table needs audit => false.  Here a row in a table with the name of Citus' catalog
-- pg_dist_partition stands for a distributed table.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY);
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char");
INSERT INTO pg_catalog.pg_dist_partition VALUES ('workspaces', 'h');
CREATE EXTENSION update_tier;
SELECT count(*) AS attached FROM update_tier.attached;
SELECT count(*) AS columns FROM pg_attribute WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier';
DROP EXTENSION update_tier;

-- If Citus distributes another table, workspaces is attached.
UPDATE pg_catalog.pg_dist_partition SET logicalrelid = 'pg_class';
CREATE EXTENSION update_tier;
SELECT workspaces FROM update_tier.attached;
SELECT update_tier.detach();
DROP EXTENSION update_tier;

-- Attaching a distributed table: without a trigger, and only if its owner can read
-- the shards.
CREATE ROLE regress_owner;
GRANT CREATE ON SCHEMA public TO regress_owner;
CREATE EXTENSION update_tier;
SELECT update_tier.detach();
ALTER TABLE workspaces OWNER TO regress_owner;
UPDATE pg_catalog.pg_dist_partition SET logicalrelid = 'workspaces';
SELECT update_tier.attach('workspaces');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.attach('workspaces', audit => false);
\echo :LAST_ERROR_SQLSTATE
ALTER ROLE regress_owner LOGIN;
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT update_tier.attach('workspaces', audit => false);
\echo :LAST_ERROR_SQLSTATE
ALTER ROLE regress_owner BYPASSRLS;
SELECT update_tier.attach('workspaces', audit => false);
ALTER ROLE regress_owner NOBYPASSRLS;
-- This can change later.  Then a call that reads the table is an error.
ALTER TABLE workspaces DISABLE ROW LEVEL SECURITY;
SELECT * FROM update_tier.counts();
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
SELECT * FROM update_tier.counts();
ALTER TABLE workspaces DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;

-- What set_update_tier() changes is recorded without a trigger; an UPDATE is not.
INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 5) AS n;
SELECT set_update_tier(md5('1')::uuid, 'canary'), set_update_tier(md5('1')::uuid, 'canary');
UPDATE workspaces SET update_tier = 'canary' WHERE id = md5('2')::uuid;
SELECT actor = current_user AS by_me, workspace = md5('1')::uuid AS first, old_tier, new_tier, path FROM update_tier.tier_change;
-- set_update_tier() looks for other canaries with the caller's rights: no NOTICE
-- without them.
CREATE ROLE regress_flipper;
GRANT SELECT (id, update_tier), UPDATE (update_tier) ON workspaces TO regress_flipper;
SELECT set_update_tier(md5('1')::uuid, 'production');
SET ROLE regress_flipper;
SELECT set_update_tier(md5('2')::uuid, 'production');
RESET ROLE;
SELECT set_update_tier(md5('1')::uuid, 'canary'), set_update_tier(md5('1')::uuid, 'production');

-- The number of rows in the shards is not known, so the estimate is the default.
EXPLAIN SELECT * FROM production_workspaces();

-- Reports, verbs and status do not ask the workers: a workspace that was deleted counts
-- as it was when it was claimed.
SELECT set_update_tier(md5(n::text)::uuid, 'canary') FROM generate_series(1, 3) AS n;
SELECT update_tier.set_policy(max_attempts => 1);
SELECT update_tier.set_policy('q', lease => '1 microsecond');
SELECT update_tier.start('p', '1'), update_tier.start('q', '1'), update_tier.start('r', '1');
SELECT count(*) FROM update_tier.claim_batch('p', max_claims => 2);
SELECT update_tier.claim('q', '1', md5('1')::uuid) IS NOT NULL AS claimed;
DELETE FROM workspaces;
SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = 'p' ORDER BY token LIMIT 1;
SELECT update_tier.report(token, 'failed') FROM update_tier.installed WHERE package = 'p' ORDER BY token DESC LIMIT 1;
SELECT package, phase, canary_succeeded, canary_failed, waits_for FROM update_tier.status ORDER BY package;
SELECT update_tier.explain('r', '1', md5('1')::uuid);
SELECT update_tier.start('q', '1');

-- Rows from before the table was distributed are still on the coordinator.  SET NOT
-- NULL would check them, so attach refuses the table until they are removed.
SELECT update_tier.detach();
DELETE FROM pg_catalog.pg_dist_partition;
ALTER TABLE workspaces ALTER COLUMN update_tier DROP NOT NULL;
INSERT INTO workspaces VALUES (md5('1')::uuid, NULL);
INSERT INTO pg_catalog.pg_dist_partition VALUES ('workspaces', 'h');
SELECT update_tier.attach('workspaces', audit => false);
\echo :LAST_ERROR_SQLSTATE
TRUNCATE workspaces;
SELECT update_tier.attach('workspaces', audit => false);

-- attach keeps the condition if the table was dropped and created again, as by
-- undistribute_table().
SELECT update_tier.attach('workspaces', $$id <> '00000000-0000-0000-0000-000000000000'$$, audit => false);
DELETE FROM pg_catalog.pg_dist_partition;
CREATE TABLE again (LIKE workspaces INCLUDING ALL);
DROP TABLE workspaces;
ALTER TABLE again RENAME TO workspaces;
SELECT update_tier.attach('workspaces');
SELECT workspaces, live_when FROM update_tier.attached;
DROP TABLE workspaces;
CREATE TABLE workspaces (workspace uuid PRIMARY KEY, id uuid NOT NULL UNIQUE);
SELECT update_tier.attach('workspaces', NULL);
SELECT workspaces, live_when FROM update_tier.attached;
-- As the HINT says.
SELECT update_tier.attach('workspaces');
SELECT workspaces, live_when FROM update_tier.attached;
SELECT update_tier.detach();
SELECT update_tier.attach('workspaces');
SELECT workspaces, live_when FROM update_tier.attached;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
REVOKE CREATE ON SCHEMA public FROM regress_owner;
DROP ROLE regress_owner, regress_flipper;
DROP TABLE pg_catalog.pg_dist_partition;

-- On a worker the install script attaches nothing.
CREATE TABLE pg_catalog.pg_dist_local_group (groupid integer PRIMARY KEY);
INSERT INTO pg_catalog.pg_dist_local_group VALUES (2);
CREATE EXTENSION update_tier;
SELECT count(*) AS attached FROM update_tier.attached;
DROP EXTENSION update_tier;
DROP TABLE pg_catalog.pg_dist_local_group;
DROP TABLE workspaces;
RESET allow_system_table_mods;
