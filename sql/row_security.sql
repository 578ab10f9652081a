--
-- The functions for tiers obey row-level security as it applies to the caller.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY, tenant text NOT NULL);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid,
       CASE n % 2 WHEN 0 THEN 'regress_even' ELSE 'regress_odd' END FROM generate_series(1, 6) AS n;
CREATE EXTENSION update_tier;
UPDATE workspaces SET update_tier = 'canary' WHERE id IN
    ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000002');
CREATE ROLE regress_even;
CREATE ROLE regress_odd;
GRANT SELECT, UPDATE ON workspaces TO regress_even, regress_odd;
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON workspaces USING (tenant = current_user);

SET ROLE regress_even;
SELECT * FROM canary_workspaces();
SELECT * FROM production_workspaces();
SELECT * FROM update_tier.counts();
SELECT workspace_tier('00000000-0000-0000-0000-000000000001') IS NULL AS unseen;
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000004', 'canary');

-- Another role in the same session sees its own rows, although plans are kept.
SET ROLE regress_odd;
SELECT * FROM canary_workspaces();
SELECT * FROM production_workspaces();
SELECT * FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000003');
RESET ROLE;
SELECT * FROM canary_workspaces();

-- A policy can allow a role to see a row, and not to change it.
DROP POLICY own ON workspaces;
CREATE POLICY see_all ON workspaces FOR SELECT USING (true);
CREATE POLICY change_own ON workspaces FOR UPDATE USING (tenant = current_user);
SET ROLE regress_odd;
SELECT count(*) FROM canary_workspaces();
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'production');
\echo :LAST_ERROR_SQLSTATE
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
-- A policy can refuse the new row.
RESET ROLE;
CREATE POLICY no_canaries ON workspaces AS RESTRICTIVE FOR UPDATE WITH CHECK (update_tier = 'production');
SET ROLE regress_odd;
\set SHOW_CONTEXT never
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
\set SHOW_CONTEXT errors
RESET ROLE;
SELECT id, update_tier FROM workspaces WHERE update_tier = 'canary' ORDER BY id;

DROP POLICY see_all ON workspaces;
DROP POLICY change_own ON workspaces;
DROP POLICY no_canaries ON workspaces;
SELECT update_tier.detach();

-- attach adopts a column and sets its NULLs in all rows, also in those that a policy
-- hides from the owner, whichever role calls attach.
CREATE ROLE regress_forced;
GRANT CREATE ON SCHEMA public TO regress_forced;
CREATE TABLE forced (id uuid PRIMARY KEY, tenant text NOT NULL, update_tier text);
INSERT INTO forced SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'somebody', CASE n WHEN 1 THEN 'canary' END
  FROM generate_series(1, 3) AS n;
ALTER TABLE forced OWNER TO regress_forced;
ALTER TABLE forced ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY nobody ON forced USING (tenant = 'nobody');
BEGIN;
SET LOCAL ROLE regress_forced;
SELECT count(*) AS seen_by_the_owner FROM forced;
SELECT update_tier.attach('forced');
RESET ROLE;
SELECT update_tier, count(*) FROM forced GROUP BY 1 ORDER BY 1;
ROLLBACK;
SELECT update_tier.attach('forced');
SELECT update_tier, count(*) FROM forced GROUP BY 1 ORDER BY 1;
SELECT relforcerowsecurity FROM pg_class WHERE oid = 'forced'::regclass;
SELECT update_tier.detach();
DROP TABLE forced;
DROP OWNED BY regress_forced;
DROP ROLE regress_forced;

DROP EXTENSION update_tier;
DROP TABLE workspaces;
DROP ROLE regress_even, regress_odd;
