--
-- Attaching neither rewrites nor scans the table.  Only an index that is built later
-- than the column is a pass over it; see also empty_index.sql.
--
CREATE EXTENSION update_tier;

-- What a statement does to a table: was it given a new file, and how many
-- scans of it were begun?  The server counts the scans of its own DDL, too.
CREATE FUNCTION cost(relation regclass, statement text,
                     OUT rewritten boolean, OUT scans bigint, OUT rows_read bigint)
LANGUAGE plpgsql AS $$
DECLARE
    file oid := pg_relation_filenode(relation);
    scans_before bigint := pg_stat_get_xact_numscans(relation);
    rows_before bigint := pg_stat_get_xact_tuples_returned(relation);
BEGIN
    EXECUTE statement;
    rewritten := pg_relation_filenode(relation) <> file;
    scans := pg_stat_get_xact_numscans(relation) - scans_before;
    rows_read := pg_stat_get_xact_tuples_returned(relation) - rows_before;
END $$;

CREATE TABLE w (id uuid PRIMARY KEY, name text);
INSERT INTO w SELECT gen_random_uuid(), n FROM generate_series(1, 1000) AS n;

-- cost() notices a rewrite and a scan: plain ADD COLUMN of a constrained domain rewrites
-- the table, and a new CHECK scans it.
CREATE DOMAIN constrained AS text CHECK (VALUE <> '');
SELECT * FROM cost('w', $$ALTER TABLE w ADD COLUMN c constrained NOT NULL DEFAULT 'x'$$);
SELECT * FROM cost('w', $$ALTER TABLE w ADD CHECK (name <> '')$$);

-- A new column.  Then the index, which is a pass over the table.
SELECT * FROM cost('w', $$SELECT update_tier.attach('w', create_index => false)$$);
SELECT * FROM cost('w', $$SELECT update_tier.attach('w')$$);
SELECT * FROM cost('w', $$SELECT update_tier.attach('w')$$);
\d w
SELECT update_tier.detach();

-- The plain-SQL form: its CHECK guarantees that the values are valid, so they are not
-- read.  A CHECK with another condition is kept, and is not checked again.
ALTER TABLE w ADD CONSTRAINT platform_is_canary CHECK (name <> 'platform' OR update_tier = 'canary');
SELECT * FROM cost('w', $$SELECT update_tier.attach('w', create_index => false)$$);
SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = 'w'::regclass AND contype = 'c' ORDER BY conname;
INSERT INTO w VALUES ('00000000-0000-0000-0000-000000000001', 'platform');
SELECT update_tier.detach();
ALTER TABLE w DROP CONSTRAINT platform_is_canary;

-- The same with character varying, and with a CHECK that is written with OR.
ALTER TABLE w DROP COLUMN update_tier,
    ADD COLUMN update_tier varchar(20) NOT NULL DEFAULT 'production'
        CHECK (update_tier = 'canary' OR update_tier = 'production');
SELECT * FROM cost('w', $$SELECT update_tier.attach('w', create_index => false)$$);
\d w
SELECT update_tier.detach();

-- A stricter CHECK guarantees valid values, too.
ALTER TABLE w DROP COLUMN update_tier,
    ADD COLUMN update_tier text NOT NULL DEFAULT 'production' CHECK (update_tier = 'production');
SELECT * FROM cost('w', $$SELECT update_tier.attach('w', create_index => false)$$);
SELECT update_tier.detach();
ALTER TABLE w DROP COLUMN update_tier;

-- A CHECK that is NOT VALID does not: the values are read.
ALTER TABLE w ADD COLUMN update_tier text NOT NULL DEFAULT 'production';
ALTER TABLE w ADD CHECK (update_tier IN ('canary', 'production')) NOT VALID;
SELECT * FROM cost('w', $$SELECT update_tier.attach('w', create_index => false)$$);
\d w
SELECT update_tier.detach();
DROP EXTENSION update_tier;

-- At install: the plain-SQL form, and a new column, whose index costs no pass.
ALTER TABLE w RENAME TO workspaces;
ALTER INDEX w_update_tier_canary RENAME TO workspaces_update_tier_canary;
SELECT * FROM cost('workspaces', 'CREATE EXTENSION update_tier');
SELECT update_tier.detach();
DROP EXTENSION update_tier;
ALTER TABLE workspaces DROP COLUMN update_tier;
SELECT * FROM cost('workspaces', 'CREATE EXTENSION update_tier');
SELECT update_tier.detach();
DROP EXTENSION update_tier;

DROP TABLE workspaces;
DROP DOMAIN constrained;
DROP FUNCTION cost;
