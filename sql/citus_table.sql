--
-- CREATE EXTENSION leaves a table alone that Citus distributes, as the script runs
-- on its workers, too; and every table on a worker.  A row in a table by the name
-- of Citus' catalog pg_dist_partition is all that distributes one here.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY);
SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_partition (logicalrelid regclass, partmethod "char");
INSERT INTO pg_catalog.pg_dist_partition VALUES ('workspaces', 'h');
CREATE EXTENSION update_tier;
SELECT count(*) AS attached FROM update_tier.attached;
SELECT count(*) AS columns FROM pg_attribute WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier';
DROP EXTENSION update_tier;

-- Another table is none of ours.
UPDATE pg_catalog.pg_dist_partition SET logicalrelid = 'pg_class';
CREATE EXTENSION update_tier;
SELECT workspaces FROM update_tier.attached;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
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
