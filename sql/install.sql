--
-- CREATE EXTENSION, with and without a table to attach, and DROP EXTENSION.
--

-- No table yet, as in a restore: a NOTICE, and success.
CREATE EXTENSION update_tier;
SELECT workspaces FROM update_tier.attached;
DROP EXTENSION update_tier;

-- With a table: it is attached, and all workspaces in it are production.
CREATE TABLE workspaces (id uuid PRIMARY KEY, name text);
INSERT INTO workspaces SELECT gen_random_uuid(), 'w' || n FROM generate_series(1, 3) AS n;
CREATE EXTENSION update_tier;
SELECT * FROM update_tier.attached;
\d workspaces
SELECT update_tier, count(*) FROM workspaces GROUP BY 1;

-- The members of the extension.  What attach created is not among them: it belongs to
-- the table.
SELECT pg_describe_object(classid, objid, objsubid) AS member
  FROM pg_depend
 WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
   AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')
   -- Row and array types of members are members since version 17.
   AND (classid <> 'pg_type'::regclass OR objid = 'update_tier'::regtype)
 ORDER BY pg_describe_object(classid, objid, objsubid) COLLATE "C";

-- DROP EXTENSION needs CASCADE, because the column is of the extension's type,
DROP EXTENSION update_tier;
-- unless the table is detached first.
SELECT update_tier.detach();
DROP EXTENSION update_tier;
\d workspaces

-- CREATE EXTENSION again adopts the column.
CREATE EXTENSION update_tier;
\d workspaces

-- CASCADE drops the column with the type, and the index with the column.
SET client_min_messages = 'warning';
DROP EXTENSION update_tier CASCADE;
RESET client_min_messages;
\d workspaces
DROP TABLE workspaces;

-- In another schema: the domain and the functions for tiers are created there, and a
-- table workspaces there is attached.  The schema update_tier keeps its name.
CREATE SCHEMA "Platform";
CREATE TABLE "Platform".workspaces (id uuid PRIMARY KEY);
CREATE EXTENSION update_tier SCHEMA "Platform";
SELECT * FROM update_tier.attached;
SELECT * FROM "Platform".canary_workspaces();
SELECT 'canery'::"Platform".update_tier;
ALTER EXTENSION update_tier SET SCHEMA public;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE "Platform".workspaces;
DROP SCHEMA "Platform";

-- Volatility, strictness, parallel safety and LEAKPROOF of every function, and whether
-- it has a comment.
CREATE EXTENSION update_tier;
SELECT p.oid::regprocedure, p.provolatile, p.proisstrict, p.proparallel, p.proleakproof,
       obj_description(p.oid, 'pg_proc') IS NOT NULL AS described
  FROM pg_proc p
  JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 WHERE e.extname = 'update_tier'
 ORDER BY p.oid::regprocedure::text COLLATE "C";
DROP EXTENSION update_tier;
