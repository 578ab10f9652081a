--
-- The functions for tiers run with the caller's rights; attach and detach are for the
-- table's owner.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY, secret text);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001'), ('00000000-0000-0000-0000-000000000002');
CREATE EXTENSION update_tier;
UPDATE workspaces SET update_tier = 'canary' WHERE id = '00000000-0000-0000-0000-000000000001';
CREATE ROLE regress_nobody;
CREATE ROLE regress_reader;
CREATE ROLE regress_flipper;
GRANT SELECT (id, update_tier) ON workspaces TO regress_reader, regress_flipper;
GRANT UPDATE (update_tier) ON workspaces TO regress_flipper;

-- Without a right on the table.
SET ROLE regress_nobody;
SELECT * FROM canary_workspaces();
SELECT * FROM production_workspaces();
SELECT * FROM workspaces_in_tier('canary');
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
SELECT * FROM update_tier.counts();
SELECT 'canary'::update_tier;

-- Reading needs SELECT on two columns.
SET ROLE regress_reader;
SELECT * FROM canary_workspaces();
SELECT * FROM production_workspaces();
SELECT workspace_tier('00000000-0000-0000-0000-000000000001');
SELECT * FROM update_tier.counts();
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
-- A call that changes nothing needs no right to change.
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');

-- Changing a tier needs UPDATE on one more.
SET ROLE regress_flipper;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'production');

-- No right on the columns of live_when is needed: only the NOTICE depends on it.
RESET ROLE;
SELECT update_tier.attach('workspaces', $$secret IS NULL$$);
SET ROLE regress_flipper;
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'production');
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
RESET ROLE;
SELECT update_tier.attach('workspaces');
SET ROLE regress_flipper;

-- The plan kept for one role is not used for another's rights.
SET ROLE regress_nobody;
SELECT * FROM canary_workspaces();
RESET ROLE;
SELECT * FROM canary_workspaces();

-- Only the table's owner may attach and detach.
SELECT update_tier.detach();
SET ROLE regress_nobody;
SELECT update_tier.attach('workspaces');
SELECT update_tier.detach();
RESET ROLE;
CREATE ROLE regress_owner;
GRANT CREATE ON SCHEMA public TO regress_owner;
ALTER TABLE workspaces OWNER TO regress_owner;
SET ROLE regress_owner;
SELECT update_tier.attach('workspaces', $$secret IS NULL$$);
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('workspaces');
SELECT update_tier.detach();
ALTER TABLE workspaces DROP COLUMN update_tier;
SELECT update_tier.attach('workspaces');
SELECT update_tier, count(*) FROM workspaces GROUP BY 1;
-- attach does some steps as the extension's owner.  The table's owner gets no rights
-- from that, neither on the domain nor on the tables of the extension.
ALTER DOMAIN update_tier DROP CONSTRAINT canary_or_production;
DELETE FROM update_tier.attached;
UPDATE update_tier.attached SET live_when = 'false';
SELECT * FROM update_tier.attached;
SELECT update_tier.attached_changed();
CREATE TABLE update_tier.mine ();
SELECT current_user, session_user = current_user AS session;
SET ROLE regress_nobody;
SELECT update_tier.detach();
SELECT update_tier.attach('workspaces');

-- A member of the owner's role may attach, as for ALTER TABLE.
RESET ROLE;
GRANT regress_owner TO regress_flipper;
SET ROLE regress_flipper;
SELECT update_tier.attach('workspaces');
RESET ROLE;

-- An owner that may not create objects in the table's schema cannot create the index, as
-- with CREATE INDEX.  attach without an index is possible.
SELECT update_tier.detach();
DROP INDEX workspaces_update_tier_canary;
REVOKE CREATE ON SCHEMA public FROM regress_owner;
SET ROLE regress_owner;
\set SHOW_CONTEXT never
SELECT update_tier.attach('workspaces');
SELECT update_tier.attach('workspaces', create_index => false);
RESET ROLE;

-- After DROP TABLE the owner of the table is not known any more, so only the extension's
-- owner may detach.
DROP TABLE workspaces;
SET ROLE regress_owner;
SELECT update_tier.detach();
RESET ROLE;
SELECT update_tier.detach();

DROP EXTENSION update_tier;
DROP ROLE regress_nobody, regress_reader, regress_flipper, regress_owner;
