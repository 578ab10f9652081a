--
-- On a Citus worker the extension's tables are empty copies: every function
-- that reads them is an error there, and never an answer.
--
-- A worker is a node whose group in Citus' catalog pg_dist_local_group is not 0.
-- Here a table of that name in pg_catalog stands for the catalog.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001');
CREATE EXTENSION update_tier;
SELECT update_tier.start('p', '1');
SELECT update_tier.halt('p', '1', 'bad');
SELECT update_tier.is_open('p', '1', 'canary');

SET allow_system_table_mods = on;
CREATE TABLE pg_catalog.pg_dist_local_group (groupid integer PRIMARY KEY);
-- A coordinator is in group 0, or in no group yet.
SELECT update_tier.is_open('p', '1', 'canary');
INSERT INTO pg_catalog.pg_dist_local_group VALUES (0);
SELECT update_tier.is_open('p', '1', 'canary'), update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000001');

-- Citus announces a change of its catalog to other sessions without a change of the
-- catalog's row in pg_class.  Here a trigger that is switched does the same.
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER nothing AFTER DELETE ON pg_catalog.pg_dist_local_group EXECUTE FUNCTION nothing();
SELECT update_tier.is_open('p', '1', 'canary');
UPDATE pg_catalog.pg_dist_local_group SET groupid = 2;
ALTER TABLE pg_catalog.pg_dist_local_group DISABLE TRIGGER nothing;
SELECT update_tier.is_open('p', '1', 'canary');
UPDATE pg_catalog.pg_dist_local_group SET groupid = 0;
DROP TRIGGER nothing ON pg_catalog.pg_dist_local_group;
DROP FUNCTION nothing;
SELECT update_tier.is_open('p', '1', 'canary');

-- The node becomes a worker.  Citus announces the change of its catalog as any change
-- of the table itself does.
UPDATE pg_catalog.pg_dist_local_group SET groupid = 3;
ALTER TABLE pg_catalog.pg_dist_local_group SET (fillfactor = 90);
SELECT update_tier.is_open('p', '1', 'canary');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM canary_workspaces();

-- Every function of the extension, called with values of its arguments' types.
CREATE FUNCTION call(function regprocedure) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    arguments text;
BEGIN
    SELECT string_agg(CASE WHEN t = 'text[]' THEN 'VARIADIC ' ELSE '' END ||
                      CASE WHEN name = 'outcome' THEN '''succeeded'''
                           WHEN t = 'uuid' THEN '''00000000-0000-0000-0000-000000000001'''
                           WHEN t = 'regclass' THEN '''workspaces'''
                           WHEN t = 'boolean' THEN 'true'
                           WHEN t = 'interval' THEN '''1 day'''
                           WHEN t = 'timestamp with time zone' THEN '''infinity'''
                           WHEN t = 'text' THEN '''canary'''
                           WHEN t = 'text[]' THEN '''{soak}'''
                           WHEN t IN ('integer', 'bigint') THEN '1'
                           ELSE 'NULL' END || '::' || t, ', ' ORDER BY n)
      INTO arguments
      FROM (SELECT format_type(a, NULL) AS t, n, proargnames[n] AS name
              FROM pg_proc, unnest(proargtypes) WITH ORDINALITY AS u (a, n) WHERE oid = function) AS q;
    EXECUTE format('SELECT %s(%s)', function::oid::regproc, arguments);
    RETURN 'answers';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ': ' || SQLERRM;
END $$;
SELECT p.oid::regproc AS function, call(p.oid)
  FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid
 WHERE d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier') AND d.deptype = 'e'
   AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype)
 ORDER BY call(p.oid) COLLATE "C" LIKE '55000%', p.oid::regproc::text COLLATE "C", p.pronargs;

-- Planning does not fail: the planner gets no estimate.
EXPLAIN (COSTS OFF) SELECT * FROM canary_workspaces();
-- Plain SQL can change the table, although it has the trigger.
UPDATE workspaces SET update_tier = 'canary' RETURNING update_tier;

-- The node is a coordinator again.
DROP TABLE pg_catalog.pg_dist_local_group;
SELECT update_tier.is_open('p', '1', 'canary');
SELECT * FROM canary_workspaces();
-- A table of that name in another schema is not the catalog of Citus.
CREATE TABLE pg_dist_local_group (groupid integer);
INSERT INTO pg_dist_local_group VALUES (3);
SELECT update_tier.is_open('p', '1', 'canary');
DROP TABLE pg_dist_local_group;

DROP FUNCTION call;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
