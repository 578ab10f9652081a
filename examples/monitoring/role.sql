-- The role of the exporter: it can read the columns that the queries of sql-exporter.yml
-- read, and nothing else.
--
--     psql -d DATABASE -f role.sql
--     psql -d DATABASE -v monitor=ANOTHER_NAME -f role.sql
--
-- Run it as a superuser, in each database that has the extension, after
-- update_tier.attach(), and again if you change live_when.  If you run it again it changes
-- nothing that is right already.
--
-- The role can log in but has no password: see README.md.

\set ON_ERROR_STOP on
\if :{?monitor}
\else
\set monitor monitor
\endif
BEGIN;

SELECT format('CREATE ROLE %I LOGIN', :'monitor')
 WHERE NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = :'monitor') \gexec

-- A query of the exporter that takes longer fails, and an alert says so.  The role has no
-- right to change anything; these settings only guard against a later GRANT.
ALTER ROLE :"monitor" SET statement_timeout = '60s';
ALTER ROLE :"monitor" SET lock_timeout = '2s';
ALTER ROLE :"monitor" SET default_transaction_read_only = on;

GRANT SELECT ON update_tier.status TO :"monitor";
GRANT SELECT (at, kind, package, version) ON update_tier.event TO :"monitor";
GRANT SELECT (id, name, frozen_until) ON update_tier.package TO :"monitor";
GRANT SELECT (id, package, version, max_in_flight) ON update_tier.rollout TO :"monitor";
GRANT SELECT (package_id, state, lease_until, changed_at, runs, runs_version)
    ON update_tier.installation TO :"monitor";

-- canary_workspaces() is in the schema of the extension, and lists the canaries with the
-- rights of the caller: the role needs the columns that the list reads, which are id,
-- update_tier, and those of live_when.  A view knows which ones these are.
SELECT format('GRANT USAGE ON SCHEMA %2$I TO %1$I; ALTER ROLE %1$I IN DATABASE %3$I SET search_path = %2$I',
              :'monitor', nspname, current_database())
  FROM pg_extension JOIN pg_namespace AS n ON n.oid = extnamespace WHERE extname = 'update_tier' \gexec
SELECT format('CREATE TEMPORARY VIEW canaries AS SELECT id, update_tier FROM %s WHERE %s',
              workspaces, COALESCE(live_when, 'true'))
  FROM update_tier.attached \gexec
SELECT format('GRANT USAGE ON SCHEMA %I TO %I; GRANT SELECT (%s) ON %s TO %I',
              n.nspname, :'monitor', string_agg(DISTINCT quote_ident(a.attname), ', '),
              c.oid::regclass, :'monitor')
  FROM pg_rewrite AS r
  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
  JOIN pg_class AS c ON c.oid = d.refobjid AND d.refclassid = 'pg_class'::regclass
  JOIN pg_namespace AS n ON n.oid = c.relnamespace
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid AND a.attnum > 0
 WHERE r.ev_class = to_regclass('pg_temp.canaries') AND c.oid <> r.ev_class
 GROUP BY c.oid, n.nspname \gexec
DROP VIEW IF EXISTS pg_temp.canaries;
COMMIT;
