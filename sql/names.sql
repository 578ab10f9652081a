--
-- Names of tables, columns and constraints with quotes, spaces, upper case, characters
-- that are not ASCII, 63 bytes, and SQL that would do harm if it were not quoted.
--
CREATE EXTENSION update_tier;
CREATE FUNCTION try(schema_name text, table_name text) RETURNS TABLE (what text) LANGUAGE plpgsql AS $$
DECLARE
    name text := quote_ident(schema_name) || '.' || quote_ident(table_name);
BEGIN
    EXECUTE 'CREATE SCHEMA ' || quote_ident(schema_name);
    EXECUTE 'CREATE TABLE ' || name || ' (id uuid PRIMARY KEY, "s p" text, CONSTRAINT "it''s ""odd""" CHECK ("s p" <> ''x''))';
    EXECUTE 'INSERT INTO ' || name || ' VALUES (''00000000-0000-0000-0000-000000000001'', ''y'')';
    EXECUTE 'ALTER TABLE ' || name || ' ADD COLUMN update_tier text DEFAULT ''production'','
         || ' ADD CONSTRAINT "drop; --" CHECK (update_tier = ANY (ARRAY[''canary'', ''production'']))';
    PERFORM update_tier.attach(name::regclass, '"s p" IS NOT NULL');
    RETURN QUERY SELECT workspaces::text FROM update_tier.attached;
    RETURN QUERY SELECT 'was ' || set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
    RETURN QUERY SELECT canary_workspaces()::text;
    RETURN QUERY SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = name::regclass AND NOT indisprimary;
    RETURN QUERY SELECT conname::text FROM pg_constraint WHERE conrelid = name::regclass AND contype = 'c';
    PERFORM update_tier.detach();
    RETURN QUERY SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = name::regclass AND NOT indisprimary;
    RETURN QUERY SELECT conname::text FROM pg_constraint WHERE conrelid = name::regclass AND contype = 'c' ORDER BY conname COLLATE "C";
    EXECUTE 'DROP SCHEMA ' || quote_ident(schema_name) || ' CASCADE';
END $$;
SET client_min_messages = 'warning';
SELECT * FROM try('My Schema', 'My "Workspaces"');
SELECT * FROM try('select', 'table');
SELECT * FROM try($$x'; DROP TABLE t; --$$, $$w'); SELECT 1; --$$);
SELECT * FROM try('größe', 'räume €');
SELECT * FROM try(repeat('s', 63), repeat('t', 63));
SELECT * FROM try(repeat('é', 31), repeat('é', 31));
SELECT * FROM try('$table', '"$live"');
SELECT * FROM try('%s %I', '%1$s');
RESET client_min_messages;
DROP FUNCTION try;
DROP EXTENSION update_tier;
