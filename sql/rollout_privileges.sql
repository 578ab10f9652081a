--
-- Two roles, with EXECUTE and nothing else: the applier and the operator.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE ROLE regress_applier;
CREATE ROLE regress_operator;
CREATE ROLE regress_nobody;
CREATE ROLE regress_owner;
GRANT EXECUTE ON FUNCTION update_tier.is_open(text, text, text), update_tier.allows(text, text, uuid),
    update_tier.explain(text, text, uuid), update_tier.start(text, text), update_tier.claim(text, text, uuid),
    update_tier.claim_batch(text, text, integer), update_tier.report(bigint, text, text, text) TO regress_applier;
GRANT EXECUTE ON FUNCTION update_tier.promote(text, text, text), update_tier.halt(text, text, text),
    update_tier.resume(text, text, text), update_tier.abort(text, text, text), update_tier.retry(text, text, text),
    update_tier.explain(text, text, uuid), update_tier.promoted_version(text), update_tier.progress(text, text),
    update_tier.prune(interval),
    update_tier.set_policy(text, interval, integer, integer, integer, integer, interval, boolean, boolean) TO regress_operator;
GRANT SELECT ON update_tier.status TO regress_operator;
-- The table is somebody's, under row-level security that even its owner obeys.
ALTER TABLE workspaces OWNER TO regress_owner;
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;

SET ROLE regress_applier;
SELECT n(workspace), tier, attempt FROM update_tier.claim_batch('p', '1', 2);
SELECT update_tier.report(1, 'succeeded');
SELECT update_tier.allows('p', '1', w(3)), update_tier.explain('p', '1', w(4)) LIKE 'soaking until %' AS explained;
SELECT update_tier.claim('p', '1', w(3));
SELECT update_tier.report(3, 'error');
SELECT update_tier.start('q', '1'), update_tier.is_open('q', '1', 'canary');
-- And no more than that.
SELECT update_tier.promote('p', '1');
SELECT update_tier.set_policy('p', soak => '0');
SELECT * FROM update_tier.status;
SELECT * FROM update_tier.rollout;
SELECT * FROM update_tier.execution;
SELECT * FROM update_tier.event;
SELECT nextval('update_tier.execution_token');
SELECT * FROM workspaces;
SELECT * FROM canary_workspaces();
SELECT set_update_tier(w(4), 'canary');

SET ROLE regress_operator;
SELECT package, phase FROM update_tier.status ORDER BY package;
SELECT update_tier.set_policy('p', max_failures => 2);
SELECT update_tier.halt('p', '1', 'lunch'), update_tier.resume('p', '1'), update_tier.promote('p', '1');
SELECT * FROM update_tier.progress('p', '1');
SELECT update_tier.promoted_version('p'), update_tier.abort('q', '1'), update_tier.retry('q', '1'), update_tier.prune('1 day');
SELECT update_tier.claim('p', '1', w(4));
UPDATE update_tier.rollout SET phase = 'promoted';
DELETE FROM update_tier.event;

-- The record says who it was.
RESET ROLE;
SELECT DISTINCT actor, kind FROM update_tier.event WHERE actor LIKE 'regress%' ORDER BY 1, 2;

-- Everybody else: nothing.
SET ROLE regress_nobody;
SELECT update_tier.is_open('p', '1', 'canary');
SELECT update_tier.allows('p', '1', w(1));
SELECT update_tier.explain('p', '1', w(1));
SELECT update_tier.claim('p', '1', w(1));
SELECT update_tier.report(2, 'failed');
SELECT update_tier.promoted_version('p');
RESET ROLE;
SELECT p.oid::regprocedure AS executable_by_everybody
  FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
  JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
 WHERE e.extname = 'update_tier' AND has_function_privilege('regress_nobody', p.oid, 'EXECUTE')
 ORDER BY p.oid::regprocedure::text COLLATE "C";

-- Code of the table's owner does not run when the table is read for others:
-- a policy with a trap in it is passed by.
CREATE FUNCTION alarm() RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'run as %', current_user; END$$;
CREATE POLICY trap ON workspaces USING (alarm());
GRANT EXECUTE ON FUNCTION update_tier.claim(text, text, uuid) TO regress_operator;
SET ROLE regress_operator;
SELECT update_tier.claim('p', '1', w(4)) IS NOT NULL AS claimed, update_tier.explain('p', '1', w(5));
SELECT tier, workspaces FROM update_tier.progress('p', '1');
RESET ROLE;
-- The policy is there, for who reads the table with rights of his own.
GRANT SELECT ON workspaces TO regress_operator;
SET ROLE regress_operator;
SELECT count(*) FROM workspaces;
SELECT count(*) FROM canary_workspaces();
RESET ROLE;
DROP POLICY trap ON workspaces;
DROP FUNCTION alarm;
ALTER TABLE workspaces NO FORCE ROW LEVEL SECURITY, DISABLE ROW LEVEL SECURITY;
SELECT update_tier.detach();
ALTER TABLE workspaces OWNER TO CURRENT_USER;
SELECT update_tier.attach('workspaces', 'live');
DROP OWNED BY regress_applier, regress_operator;
DROP ROLE regress_applier, regress_operator, regress_nobody, regress_owner;

\set ECHO none
\i :fleet_gone
