--
-- examples/monitoring: the role of role.sql can run the queries of sql-exporter.yml, can
-- read nothing else and can change nothing; and the queries return the right values.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set role :abs_srcdir '/examples/monitoring/role.sql'
\set state :abs_srcdir '/test/monitoring/state.sql'
\set exporter :abs_srcdir '/examples/monitoring/sql-exporter.yml'
\set ECHO none
\i :fleet
\set ECHO all
\i :state
-- role.sql creates the role.  A second run changes nothing.
\set monitor regress_monitor
\set ECHO none
\i :role
\i :role
\set ON_ERROR_STOP off
\set ECHO all
SELECT rolname, rolcanlogin, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolinherit,
       (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) AS roles
  FROM pg_roles AS r WHERE rolname = 'regress_monitor';

-- All that it may read here, with the columns if it may not read the whole relation.
SELECT c.oid::regclass AS relation, CASE WHEN NOT has_table_privilege('regress_monitor', c.oid, 'SELECT') THEN
           string_agg(a.attname, ', ' ORDER BY a.attnum) END AS columns
  FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE c.relnamespace IN ('update_tier'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'v')
   AND has_column_privilege('regress_monitor', c.oid, a.attnum, 'SELECT')
 GROUP BY c.oid ORDER BY c.oid::regclass::text COLLATE "C";
-- What it may do beyond that, and beyond what every role may: nothing.
CREATE VIEW beyond AS
SELECT c.relname::text AS name, privilege
  FROM pg_class AS c,
       unnest(ARRAY['INSERT', 'UPDATE', 'REFERENCES']) AS privilege
 WHERE c.relnamespace IN ('update_tier'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'v')
   AND has_any_column_privilege('regress_monitor', c.oid, privilege)
UNION ALL
SELECT c.relname, privilege FROM pg_class AS c, unnest(ARRAY['DELETE', 'TRUNCATE', 'TRIGGER']) AS privilege
 WHERE c.relnamespace IN ('update_tier'::regnamespace, 'public'::regnamespace) AND c.relkind IN ('r', 'v')
   AND has_table_privilege('regress_monitor', c.oid, privilege)
UNION ALL
SELECT c.relname, privilege FROM pg_class AS c, unnest(ARRAY['SELECT', 'USAGE', 'UPDATE']) AS privilege
 WHERE c.relnamespace = 'update_tier'::regnamespace AND c.relkind = 'S'
   AND has_sequence_privilege('regress_monitor', c.oid, privilege)
UNION ALL
SELECT p.proname, 'EXECUTE' FROM pg_proc AS p
 WHERE p.pronamespace = 'update_tier'::regnamespace AND NOT has_function_privilege('public', p.oid, 'EXECUTE')
   AND has_function_privilege('regress_monitor', p.oid, 'EXECUTE')
UNION ALL
SELECT 'schema', privilege FROM unnest(ARRAY['CREATE ON public', 'CREATE ON update_tier']) AS privilege
 WHERE has_schema_privilege('regress_monitor', split_part(privilege, ' ', 3), 'CREATE');
SELECT * FROM beyond;
-- The view "beyond" shows each of these rights.
BEGIN;
GRANT UPDATE (name) ON update_tier.package TO regress_monitor;
GRANT DELETE ON workspaces TO regress_monitor;
GRANT USAGE ON SEQUENCE update_tier.event_id TO regress_monitor;
GRANT EXECUTE ON FUNCTION update_tier.thaw TO regress_monitor;
GRANT CREATE ON SCHEMA update_tier TO regress_monitor;
SELECT * FROM beyond ORDER BY name COLLATE "C";
ROLLBACK;

-- Attempts of the role to read and to change more.
SET ROLE regress_monitor;
SELECT secret FROM workspaces;
SELECT workspace FROM update_tier.installation;
SELECT actor, detail FROM update_tier.event;
SELECT * FROM update_tier.installed;
SELECT update_tier.explain('silent', 'canary', w(1));
SELECT update_tier.thaw('silent');
RESET ROLE;
-- The queries of the exporter, as it asks them: as that role, with its search_path.
-- Ages are shown in hours.
CREATE FUNCTION queries(configuration text) RETURNS TABLE (n bigint, name text, query text) LANGUAGE sql AS $$
    SELECT q.n, q.part[1], q.part[2]
      FROM regexp_matches(configuration, '  - name: (\w+)\n(?:    [^\n]*\n)*?    query: \|\n((?:      [^\n]*\n)+)', 'g')
           WITH ORDINALITY AS q (part, n)
$$;
\set configuration `cat :'exporter'`
CREATE TABLE asked (n, name, query) AS SELECT q.* FROM queries(:'configuration' || E'\n') AS q;
SELECT count(*) = (SELECT count(*) FROM regexp_matches(:'configuration', 'query:', 'g')) AS all_queries FROM asked;
GRANT SELECT ON asked TO regress_monitor;
SET ROLE regress_monitor;
SET search_path = public;
SET default_transaction_read_only = on;
\set ECHO none
SELECT format('SELECT %L AS metric, labels, CASE WHEN seconds IS NULL THEN value ELSE floor(seconds / 3600) || '' hours'' END AS value
                 FROM (SELECT j - ''seconds'' - v AS labels, j ->> v AS value, (j ->> ''seconds'')::numeric AS seconds
                         FROM (SELECT to_jsonb(q) AS j FROM (%s) AS q) AS j,
                              unnest(ARRAY[''rollouts'', ''halted'', ''frozen'', ''leases'', ''workspaces'', ''events'', ''seconds'']) AS v
                        WHERE j ? v) AS q ORDER BY labels::text COLLATE "C"', name, query)
  FROM asked ORDER BY n \gexec
\set ECHO all
RESET ROLE;
RESET search_path;
RESET default_transaction_read_only;

-- A freeze of all packages counts for each package.
SELECT update_tier.thaw('silent'), update_tier.freeze();
SELECT query AS frozen FROM asked WHERE name = 'update_tier_frozen' \gset
SELECT * FROM (:frozen) AS q ORDER BY package COLLATE "C";

-- If live_when names another column, the query fails until role.sql is run again.
SELECT update_tier.attach('workspaces', $$secret = 'secret' AND live$$);
SET ROLE regress_monitor;
SELECT count(*) FROM canary_workspaces();
RESET ROLE;
\set ECHO none
\i :role
\set ON_ERROR_STOP off
\set ECHO all
SET ROLE regress_monitor;
SELECT count(*) FROM canary_workspaces();
RESET ROLE;

DROP OWNED BY regress_monitor;
DROP ROLE regress_monitor;
DROP VIEW beyond;
DROP TABLE asked;
DROP FUNCTION queries;
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet_gone
