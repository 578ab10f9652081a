--
-- attach adopts an existing column: afterwards the column and its index have the form
-- that attach makes in a table without the column, and the values are kept.
--
CREATE EXTENSION update_tier;
CREATE FUNCTION form(relation regclass) RETURNS TABLE (what text) LANGUAGE sql AS $$
    SELECT part FROM (
        SELECT 1, format('%s %s%s default %s', attname, format_type(atttypid, atttypmod),
                         CASE WHEN attnotnull THEN ' not null' END, pg_get_expr(adbin, adrelid))
          FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
         WHERE attrelid = relation AND attname = 'update_tier'
        UNION ALL
        SELECT 2, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = relation AND NOT indisprimary
        UNION ALL
        SELECT 3, conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
         WHERE conrelid = relation AND contype = 'c') AS parts (place, part)
     ORDER BY place, part COLLATE "C"
$$;
CREATE TABLE w (id uuid PRIMARY KEY, n integer);
INSERT INTO w SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 4) AS n;

-- The plain-SQL form: the CHECK goes, because the domain says the same.
ALTER TABLE w ADD COLUMN update_tier text NOT NULL DEFAULT 'production'
    CHECK (update_tier IN ('canary', 'production'));
CREATE INDEX w_update_tier_canary ON w (update_tier) WHERE update_tier = 'canary';
UPDATE w SET update_tier = 'canary' WHERE n = 3;
SELECT * FROM form('w');
SELECT update_tier.attach('w');
SELECT * FROM form('w');
SELECT n, update_tier FROM w ORDER BY n;
SELECT update_tier.detach();
ALTER TABLE w DROP COLUMN update_tier;

-- A text column without NOT NULL, default and CHECK: NULLs become production, and
-- production becomes the default.
ALTER TABLE w ADD COLUMN update_tier text;
UPDATE w SET update_tier = 'canary' WHERE n = 2;
UPDATE w SET update_tier = 'production' WHERE n = 3;
SELECT update_tier.attach('w');
SELECT * FROM form('w');
SELECT n, update_tier FROM w ORDER BY n;
SELECT update_tier.detach();
ALTER TABLE w DROP COLUMN update_tier;

-- A character varying column with another default and another collation.  The user's
-- own index is kept, and the user's trigger runs for the NULL that becomes production.
ALTER TABLE w ADD COLUMN update_tier varchar(10) COLLATE "POSIX" DEFAULT 'canary';
CREATE INDEX w_mine ON w (update_tier, n);
UPDATE w SET update_tier = NULL WHERE n = 1;
CREATE FUNCTION heard() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE NOTICE '% from % to %', NEW.n, OLD.update_tier, NEW.update_tier; RETURN NEW; END$$;
CREATE TRIGGER heard AFTER UPDATE ON w FOR EACH ROW EXECUTE FUNCTION heard();
SELECT update_tier.attach('w');
SELECT * FROM form('w');
SELECT n, update_tier FROM w ORDER BY n;
DROP TRIGGER heard ON w;
DROP FUNCTION heard;
SELECT update_tier.detach();
ALTER TABLE w DROP COLUMN update_tier;

-- A domain over text.
CREATE DOMAIN tier_name AS text NOT NULL CHECK (VALUE IN ('canary', 'production', 'beta'));
ALTER TABLE w ADD COLUMN update_tier tier_name DEFAULT 'production';
SELECT update_tier.attach('w');
SELECT * FROM form('w');
SELECT update_tier.detach();
ALTER TABLE w DROP COLUMN update_tier;
DROP DOMAIN tier_name;

-- A failed CREATE INDEX CONCURRENTLY has left the index of the plain-SQL form invalid:
-- attach replaces it.
ALTER TABLE w ADD COLUMN update_tier text NOT NULL DEFAULT 'production';
CREATE INDEX w_update_tier_canary ON w (update_tier) WHERE update_tier = 'canary';
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'w_update_tier_canary'::regclass;
SELECT update_tier.attach('w');
SELECT indisvalid FROM pg_index WHERE indexrelid = 'w_update_tier_canary'::regclass;
SELECT * FROM form('w');

DROP TABLE w;
SELECT update_tier.detach();
DROP FUNCTION form;
DROP EXTENSION update_tier;
