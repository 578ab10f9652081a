--
-- Three roles, with EXECUTE and nothing else: publisher, applier and operator.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE ROLE regress_publisher;
CREATE ROLE regress_applier;
CREATE ROLE regress_operator;
CREATE ROLE regress_watcher;
CREATE ROLE regress_nobody;
CREATE ROLE regress_owner;
GRANT EXECUTE ON FUNCTION update_tier.start TO regress_publisher;
GRANT EXECUTE ON FUNCTION update_tier.is_open, update_tier.allows, update_tier.explain, update_tier.wanted_version,
    update_tier.promoted_version, update_tier.claim, update_tier.claim_batch, update_tier.report, update_tier.extend,
    update_tier.observe TO regress_applier;
GRANT EXECUTE ON FUNCTION update_tier.set_policy, update_tier.reset_policy, update_tier.freeze, update_tier.thaw,
    update_tier.force, update_tier.forget, update_tier.promote, update_tier.halt, update_tier.resume, update_tier.abort,
    update_tier.retry, update_tier.progress, update_tier.prune TO regress_operator;
GRANT SELECT ON update_tier.status, update_tier.installed TO regress_operator;
GRANT SELECT ON update_tier.status TO regress_watcher;
-- Each function belongs to one of these roles or to PUBLIC, except the triggers of the
-- extension's own tables.
CREATE VIEW functions AS
    SELECT p.oid FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
      JOIN pg_extension AS e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
     WHERE e.extname = 'update_tier';
SELECT f.oid::regprocedure AS function, count(r.rolname) AS roles
  FROM functions AS f LEFT JOIN pg_roles AS r ON r.rolname IN ('regress_publisher', 'regress_applier', 'regress_operator')
       AND has_function_privilege(r.oid, f.oid, 'EXECUTE')
 WHERE NOT has_function_privilege('regress_nobody', f.oid, 'EXECUTE')
 GROUP BY f.oid HAVING count(r.rolname) <> 1 ORDER BY f.oid::regprocedure::text COLLATE "C";
SELECT f.oid::regprocedure AS executable_by_everybody FROM functions AS f
 WHERE has_function_privilege('regress_nobody', f.oid, 'EXECUTE') ORDER BY f.oid::regprocedure::text COLLATE "C";
-- The workspaces table has another owner, and row-level security that is forced on that
-- owner.
ALTER TABLE workspaces OWNER TO regress_owner;
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

-- The publisher starts versions.
SET ROLE regress_publisher;
SELECT update_tier.start('p', '1'), update_tier.start('q', '1');
SELECT update_tier.is_open('p', '1', 'canary');
SELECT update_tier.claim('p', '1', w(1));
SELECT update_tier.promote('p', '1', 'because');
SELECT * FROM update_tier.rollout;
SELECT * FROM update_tier.status;

-- The applier asks, claims and reports.
SET ROLE regress_applier;
SELECT n(workspace), version, tier, attempt, token FROM update_tier.claim_batch('p', '1', 2);
SELECT n(workspace) FROM update_tier.claim_batch('p', candidates => ARRAY[w(4), w(3)]);
SELECT update_tier.extend(1) > now() AS extended, update_tier.report(1, 'succeeded'), update_tier.report(3, 'error');
SELECT update_tier.observe('p', '1', w(9));
SELECT update_tier.is_open('p', '1', 'canary'), update_tier.allows('p', '1', w(4)), update_tier.explain('p', '1', w(4)) LIKE 'soaking until %' AS explained,
       update_tier.wanted_version('p', w(3)), update_tier.promoted_version('p'), update_tier.claim('p', '1', w(3));
-- It may do nothing else.
SELECT update_tier.start('p', '2');
SELECT update_tier.force('p', '1', w(4), 'incident');
SELECT update_tier.set_policy('p', soak => '0');
SELECT update_tier.reset_policy('p', 'soak');
SELECT update_tier.freeze();
SELECT update_tier.thaw();
SELECT update_tier.forget('p', w(1), 'restored');
SELECT update_tier.promote('p', '1');
SELECT update_tier.halt('p', '1');
SELECT update_tier.resume('p', '1');
SELECT update_tier.abort('p', '1');
SELECT update_tier.retry('p', '1');
SELECT update_tier.prune('0');
SELECT update_tier.progress('p', '1');
SELECT * FROM update_tier.status;
SELECT * FROM update_tier.installed;
SELECT * FROM update_tier.package;
SELECT * FROM update_tier.rollout;
SELECT * FROM update_tier.installation;
SELECT * FROM update_tier.event;
SELECT nextval('update_tier.installation_token');
SELECT * FROM workspaces;
SELECT * FROM canary_workspaces();
SELECT set_update_tier(w(4), 'canary');

-- The operator calls the other functions and reads the views.
SET ROLE regress_operator;
SELECT package, phase FROM update_tier.status ORDER BY package;
SELECT n(workspace), version, state FROM update_tier.installed ORDER BY workspace;
SELECT update_tier.set_policy('p', max_failures => 2, apply_to_running => true), update_tier.reset_policy('p', 'max_failures');
SELECT update_tier.freeze('q', reason => 'incident'), update_tier.thaw('q');
SELECT update_tier.halt('p', '1', 'lunch'), update_tier.resume('p', '1'), update_tier.promote('p', '1');
SELECT * FROM update_tier.progress('p', '1');
SELECT update_tier.abort('q', '1'), update_tier.retry('q', '1'), update_tier.prune('1 day');
SELECT update_tier.force('q', '1', w(4), 'incident'), update_tier.forget('p', w(9), 'restored');
SELECT update_tier.start('p', '2');
SELECT update_tier.claim('p', '1', w(4));
SELECT update_tier.report(4, 'failed');
SELECT update_tier.observe('p', '1', w(4));
UPDATE update_tier.rollout SET phase = 'promoted';
DELETE FROM update_tier.event;
DELETE FROM update_tier.installation;
SELECT * FROM workspaces;

-- The log says which role it was.
RESET ROLE;
SELECT actor, string_agg(DISTINCT kind, ', ' ORDER BY kind) AS kinds FROM update_tier.event WHERE actor LIKE 'regress%' GROUP BY actor ORDER BY actor;

-- A role with SELECT on update_tier.status can read that view and nothing else.  Every
-- role may execute the function inside the view, which checks the right to read the
-- view.
SET ROLE regress_watcher;
SELECT package, version, phase FROM update_tier.status ORDER BY package;
SELECT count(*) FROM update_tier.rollouts_now();
SELECT * FROM update_tier.installed;
SELECT * FROM update_tier.rollout;
SELECT update_tier.promoted_version('p');
SET ROLE regress_applier;
SELECT count(*) FROM update_tier.rollouts_now();
\echo :LAST_ERROR_SQLSTATE
RESET ROLE;
REVOKE SELECT ON update_tier.status FROM regress_watcher;
GRANT SELECT ON update_tier.installed TO regress_watcher;
SET ROLE regress_watcher;
SELECT * FROM update_tier.status;
SELECT count(*) FROM update_tier.rollouts_now();
SELECT count(*) FROM update_tier.installed;

-- Other roles can do nothing.
SET ROLE regress_nobody;
SELECT update_tier.start('p', '1');
SELECT update_tier.is_open('p', '1', 'canary');
SELECT update_tier.allows('p', '1', w(1));
SELECT update_tier.explain('p', '1', w(1));
SELECT update_tier.wanted_version('p', w(1));
SELECT update_tier.claim('p', '1', w(1));
SELECT update_tier.claim_batch('p', '1');
SELECT update_tier.report(2, 'failed');
SELECT update_tier.extend(2);
SELECT update_tier.observe('p', '1', w(1));
SELECT update_tier.promoted_version('p');
SELECT update_tier.halt('p', '1');
SELECT count(*) FROM update_tier.rollouts_now();
SELECT count(*) FROM update_tier.status;
SELECT count(*) FROM update_tier.installed;
RESET ROLE;

-- A policy of the table's owner does not run when a rollout function reads the table.
CREATE FUNCTION alarm() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'run as %', current_user; END$$;
CREATE POLICY trap ON workspaces USING (alarm());
SET ROLE regress_applier;
SELECT update_tier.claim('p', '1', w(4)) IS NOT NULL AS claimed, update_tier.explain('p', '1', w(5)), update_tier.wanted_version('p', w(5)), update_tier.observe('p', '1', w(6));
SET ROLE regress_operator;
SELECT tier, workspaces FROM update_tier.progress('p', '1');
SELECT update_tier.force('p', '1', w(7), 'incident') IS NOT NULL AS forced;
RESET ROLE;
-- The policy runs when a role reads the table itself.
GRANT SELECT ON workspaces TO regress_operator;
SET ROLE regress_operator;
SELECT count(*) FROM workspaces;
SELECT count(*) FROM canary_workspaces();
RESET ROLE;
DROP POLICY trap ON workspaces;
DROP FUNCTION alarm;
DROP VIEW functions;
ALTER TABLE workspaces NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT update_tier.detach();
ALTER TABLE workspaces OWNER TO CURRENT_USER;
SELECT update_tier.attach('workspaces', 'live');
DROP OWNED BY regress_publisher, regress_applier, regress_operator, regress_watcher;
DROP ROLE regress_publisher, regress_applier, regress_operator, regress_watcher, regress_nobody, regress_owner;

\set ECHO none
\i :fleet_gone
