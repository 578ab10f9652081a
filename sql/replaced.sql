--
-- The owner of the attached table adds policies, triggers and rules to it, or puts a view
-- in its place.  The rollout functions run none of that code, whichever role calls them.
-- set_update_tier runs triggers and rules as its caller, as an UPDATE does.
--
CREATE ROLE regress_mallory;
CREATE ROLE regress_applier;
GRANT CREATE ON SCHEMA public TO regress_mallory;
CREATE TABLE run_as (who text, as_superuser boolean);
GRANT INSERT ON run_as TO regress_mallory, regress_applier;
SET ROLE regress_mallory;
CREATE FUNCTION note(x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.run_as SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user;
    RETURN x;
END $$;
CREATE TABLE workspaces (id uuid PRIMARY KEY, n text DEFAULT 'n');
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid FROM generate_series(1, 4) AS n;
RESET ROLE;
CREATE EXTENSION update_tier;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA update_tier TO regress_applier;
UPDATE workspaces SET update_tier = 'canary' WHERE id = '00000000-0000-0000-0000-000000000001';

-- All functions that read the table for a rollout.
CREATE FUNCTION use_rollouts(package text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.start(package, '1');
    RETURN NEXT update_tier.allows(package, '1', '00000000-0000-0000-0000-000000000002');
    RETURN NEXT update_tier.explain(package, '1', '00000000-0000-0000-0000-000000000001');
    RETURN NEXT update_tier.wanted_version(package, '00000000-0000-0000-0000-000000000001');
    RETURN NEXT update_tier.claim(package, '1', '00000000-0000-0000-0000-000000000001') IS NOT NULL;
    RETURN QUERY SELECT count(*)::text FROM update_tier.claim_batch(package);
    RETURN NEXT update_tier.observe(package, '1', '00000000-0000-0000-0000-000000000003');
    RETURN NEXT update_tier.report(update_tier.force(package, '1', '00000000-0000-0000-0000-000000000004', 'incident'), 'failed');
    RETURN QUERY SELECT p::text FROM update_tier.progress(package, '1') AS p;
EXCEPTION WHEN object_not_in_prerequisite_state OR insufficient_privilege THEN
    RETURN NEXT SQLERRM;
END $$;

-- Rollout functions read all rows, also when row-level security is forced on the owner,
-- and evaluate no policy.
SET ROLE regress_mallory;
CREATE POLICY noted ON workspaces USING (note(n) IS NULL);
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
RESET ROLE;
SELECT use_rollouts('p1');
SET ROLE regress_applier;
SELECT use_rollouts('p2');
RESET ROLE;
SELECT * FROM run_as;
ALTER TABLE workspaces DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY;
DROP POLICY noted ON workspaces;

-- Rules and triggers do not run for a rollout, which writes no workspace.
SET ROLE regress_mallory;
CREATE FUNCTION tripped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.note(NULL); RETURN NEW; END';
CREATE TRIGGER tripped BEFORE INSERT OR UPDATE OR DELETE ON workspaces FOR EACH ROW EXECUTE FUNCTION tripped();
CREATE RULE noted AS ON UPDATE TO workspaces DO ALSO SELECT note(NULL);
RESET ROLE;
SELECT use_rollouts('p3');
SELECT * FROM run_as;
-- set_update_tier runs them as its caller.  So for a superuser it is as safe as an
-- UPDATE.
GRANT SELECT, UPDATE ON workspaces TO regress_applier;
SET ROLE regress_applier;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
RESET ROLE;
SELECT DISTINCT * FROM run_as;
TRUNCATE run_as;
DROP RULE noted ON workspaces;
DROP TRIGGER tripped ON workspaces;
-- A rule that replaces the UPDATE is an error.
SET ROLE regress_mallory;
CREATE RULE nothing AS ON UPDATE TO workspaces DO INSTEAD NOTHING;
RESET ROLE;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'production');
DROP RULE nothing ON workspaces;

-- A view under the table's name: the table is still the one that is attached.
SET ROLE regress_mallory;
ALTER TABLE workspaces RENAME TO hidden;
CREATE VIEW workspaces AS SELECT id, note(update_tier)::update_tier AS update_tier FROM hidden;
RESET ROLE;
SELECT use_rollouts('p4');
SELECT canary_workspaces();
SELECT workspaces FROM update_tier.attached;
SELECT * FROM run_as;
-- The table was dropped, and a view has its name: nothing is attached.
SET ROLE regress_mallory;
DROP VIEW workspaces;
DROP TABLE hidden;
CREATE VIEW workspaces AS SELECT '00000000-0000-0000-0000-000000000001'::uuid AS id, note('canary')::update_tier AS update_tier;
RESET ROLE;
SELECT use_rollouts('p5');
SELECT canary_workspaces();
SELECT update_tier.attach('workspaces');
SELECT * FROM run_as;
SELECT update_tier.detach();

DROP VIEW workspaces;
DROP EXTENSION update_tier;
DROP TABLE run_as;
DROP FUNCTION use_rollouts, tripped, note;
REVOKE CREATE ON SCHEMA public FROM regress_mallory;
DROP ROLE regress_mallory, regress_applier;
