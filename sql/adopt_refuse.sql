--
-- attach refuses a column with invalid values.  The error counts the rows and shows
-- some of the values, and nothing changes.
--
CREATE EXTENSION update_tier;
CREATE TABLE w (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), update_tier text DEFAULT 'dev');
INSERT INTO w (update_tier) VALUES ('canary'), (NULL), ('Canary'), ('beta'), ('beta'), ('');
SELECT update_tier.attach('w');

-- Of more than five different values the error shows the five most frequent ones.
INSERT INTO w (update_tier) SELECT 'stage ' || n FROM generate_series(1, 5) AS n;
INSERT INTO w (update_tier) SELECT repeat('é', 100) FROM generate_series(1, 3);
SELECT update_tier.attach('w');
\d w
SELECT count(*) FROM w WHERE update_tier IS NULL;
SELECT * FROM update_tier.attached;
SELECT 'canery'::update_tier;

-- The error has the domain's SQLSTATE, type and constraint.
DO $$
DECLARE
    type_name text;
    constraint_name text;
BEGIN
    PERFORM update_tier.attach('w');
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS type_name = PG_DATATYPE_NAME, constraint_name = CONSTRAINT_NAME;
    RAISE NOTICE '% % %', SQLSTATE, type_name, constraint_name;
END $$;

-- CREATE EXTENSION fails with the same error, and creates nothing.
DROP EXTENSION update_tier;
ALTER TABLE w RENAME TO workspaces;
\set SHOW_CONTEXT never
CREATE EXTENSION update_tier;
\set SHOW_CONTEXT errors
SELECT count(*) FROM pg_namespace WHERE nspname = 'update_tier';
DELETE FROM workspaces WHERE update_tier <> 'canary';
CREATE EXTENSION update_tier;
SELECT update_tier, count(*) FROM workspaces GROUP BY 1 ORDER BY 1;

-- Rows that row-level security hides are checked, too, as for a foreign key; also rows
-- that FORCE hides from the owner.
SELECT update_tier.detach();
CREATE ROLE regress_owner;
GRANT CREATE ON SCHEMA public TO regress_owner;
ALTER TABLE workspaces OWNER TO regress_owner;
ALTER TABLE workspaces DROP CONSTRAINT workspaces_update_tier_check;
INSERT INTO workspaces VALUES (gen_random_uuid(), 'beta');
ALTER TABLE workspaces ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY no_beta ON workspaces USING (update_tier <> 'beta');
SET ROLE regress_owner;
SELECT update_tier.attach('workspaces');
ALTER TABLE workspaces NO FORCE ROW LEVEL SECURITY;
SELECT update_tier.attach('workspaces');
RESET ROLE;

DROP TABLE workspaces;
DROP EXTENSION update_tier;
REVOKE CREATE ON SCHEMA public FROM regress_owner;
DROP ROLE regress_owner;
