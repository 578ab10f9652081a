--
-- Every change of a tier is recorded: when, by which role, the old and the new tier,
-- and by an UPDATE or by set_update_tier().
--
CREATE ROLE regress_alice;
CREATE TABLE workspaces (id uuid PRIMARY KEY, name text);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, 'w' || n FROM generate_series(1, 5) AS n;
CREATE EXTENSION update_tier;
GRANT SELECT, INSERT, UPDATE ON workspaces TO regress_alice;
CREATE VIEW record AS
    SELECT right(workspace::text, 1) AS workspace, actor = 'regress_alice' AS alice, old_tier, new_tier, path,
           at BETWEEN now() - interval '1 minute' AND clock_timestamp() AS just_now
      FROM update_tier.tier_change ORDER BY id;
\pset null (null)

SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
UPDATE workspaces SET update_tier = 'canary' WHERE name IN ('w1', 'w2');
SET ROLE regress_alice;
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canary');
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000006', 'w6'), ('00000000-0000-0000-0000-000000000007', 'w7');
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000008', 'w8', 'canary')
    ON CONFLICT (id) DO UPDATE SET update_tier = excluded.update_tier;
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000007', 'w7', 'canary')
    ON CONFLICT (id) DO UPDATE SET update_tier = excluded.update_tier;
-- These statements change no tier, so nothing is recorded.  Inserts are not recorded.
UPDATE workspaces SET name = upper(name), update_tier = update_tier;
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canary');
-- Alice can neither delete records nor add any.
DELETE FROM update_tier.tier_change;
INSERT INTO update_tier.tier_change (at, actor, path) VALUES (now(), 'bob', 'UPDATE');
RESET ROLE;
SELECT * FROM record;

-- A rollback removes the records of its transaction.  A change that a trigger makes is
-- recorded.
BEGIN;
UPDATE workspaces SET update_tier = 'production';
SELECT count(*) FROM record;
ROLLBACK;
CREATE FUNCTION opt_out() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.update_tier := 'production'; RETURN NEW; END$$;
CREATE TRIGGER opt_out BEFORE UPDATE ON workspaces FOR EACH ROW WHEN (NEW.name = 'out') EXECUTE FUNCTION opt_out();
UPDATE workspaces SET name = 'out' WHERE id = '00000000-0000-0000-0000-000000000008';
SELECT * FROM record OFFSET 4;
DROP TRIGGER opt_out ON workspaces;

-- On another table the trigger function records nothing.
CREATE TABLE other (id uuid, update_tier update_tier);
CREATE TRIGGER forged AFTER UPDATE ON other FOR EACH ROW EXECUTE FUNCTION update_tier.record_tier();
INSERT INTO other VALUES ('00000000-0000-0000-0000-000000000009', 'canary');
UPDATE other SET update_tier = 'production';
SELECT count(*) FROM record;
DROP TABLE other;
SELECT update_tier.record_tier();
CREATE TRIGGER wrong BEFORE TRUNCATE ON workspaces EXECUTE FUNCTION update_tier.record_tier();
TRUNCATE workspaces;
DROP TRIGGER wrong ON workspaces;

BEGIN;
-- A user's trigger with the same function, and without its condition, adds no record for
-- an UPDATE that changes no tier.
CREATE TRIGGER forged AFTER UPDATE ON workspaces FOR EACH ROW EXECUTE FUNCTION update_tier.record_tier();
SELECT count(*) AS before FROM record \gset
UPDATE workspaces SET name = name;
SELECT count(*) - :before AS added FROM record;
DROP TRIGGER forged ON workspaces;

-- If a trigger on the table changes the tiers of other rows, each change is recorded
-- with its own path.
CREATE FUNCTION along() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id = '00000000-0000-0000-0000-000000000001' THEN
        UPDATE workspaces SET update_tier = NEW.update_tier WHERE id = '00000000-0000-0000-0000-000000000002';
        PERFORM set_update_tier('00000000-0000-0000-0000-000000000003', NEW.update_tier);
    END IF;
    RETURN NEW;
END $$;
UPDATE workspaces SET update_tier = 'production';
SELECT max(id) AS last FROM update_tier.tier_change \gset
CREATE TRIGGER along BEFORE UPDATE ON workspaces FOR EACH ROW EXECUTE FUNCTION along();
SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary');
SELECT workspace, new_tier, path FROM update_tier.tier_change WHERE id > :last ORDER BY workspace;
DROP TRIGGER along ON workspaces;
DROP FUNCTION along;

-- tier_changes(), the condition of the trigger, accepts rows of any type.  A column
-- update_tier that is not text, or missing, counts as NULL.
SELECT update_tier.tier_changes(a, b) FROM (SELECT 1 AS update_tier) AS a, (SELECT 2 AS update_tier) AS b;
SELECT update_tier.tier_changes(a, b) FROM (SELECT 1::bigint AS update_tier) AS a, (SELECT 'canary'::text AS update_tier) AS b;
SELECT update_tier.tier_changes(a, b) FROM (SELECT 'canary'::text AS update_tier) AS a, (SELECT 'production'::varchar AS update_tier) AS b;
SELECT update_tier.tier_changes(a, b) FROM (SELECT 'canary'::text AS update_tier) AS a, (SELECT 'canary'::update_tier AS update_tier) AS b;
SELECT update_tier.tier_changes(a, b) FROM (SELECT 'canary'::text AS update_tier) AS a, (SELECT 1 AS id) AS b;
SELECT update_tier.tier_changes(a, b) FROM (SELECT 1 AS id) AS a, (SELECT ARRAY['canary'] AS update_tier) AS b;
-- If the row type changes while a query runs, each row is read by the current type.
CREATE TABLE shifting (update_tier text, n integer);
CREATE FUNCTION shifted(step integer, tier text) RETURNS shifting LANGUAGE plpgsql AS $$
DECLARE
    r shifting;
BEGIN
    IF step = 2 AND tier = 'a' THEN
        ALTER TABLE shifting ALTER update_tier TYPE integer USING 1, ALTER n TYPE text;
    ELSIF step = 3 AND tier = 'a' THEN
        ALTER TABLE shifting DROP COLUMN update_tier;
        ALTER TABLE shifting ADD COLUMN update_tier text;
    END IF;
    EXECUTE 'SELECT (jsonb_populate_record(NULL::shifting, $1)).*' INTO r
        USING jsonb_build_object('update_tier', CASE step WHEN 2 THEN to_jsonb(-1) ELSE to_jsonb(tier) END, 'n', step);
    RETURN r;
END $$;
SELECT step, update_tier.tier_changes(shifted(step, 'a'), shifted(step, 'b')) FROM generate_series(1, 3) AS step;
DROP FUNCTION shifted;
DROP TABLE shifting;
-- So a column that was changed to another type can be updated, and is no tier.
ALTER TABLE workspaces ALTER update_tier DROP DEFAULT, ALTER update_tier TYPE integer USING 5;
UPDATE workspaces SET update_tier = 6;
SELECT count(*) FROM workspaces WHERE update_tier = 6;
ROLLBACK;

-- With audit => false attach removes the trigger, and without it creates it again.
-- Each call twice changes nothing more.
SELECT update_tier.attach('workspaces', audit => false);
SELECT update_tier.attach('workspaces', audit => false);
UPDATE workspaces SET update_tier = 'production' WHERE id = '00000000-0000-0000-0000-000000000002';
SELECT count(*) FROM record;
SELECT update_tier.attach('workspaces');
SELECT update_tier.attach('workspaces');
SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'workspaces'::regclass ORDER BY 1;
SELECT update_tier.attach('workspaces', audit => NULL);
-- detach removes the trigger, and keeps the records.
SELECT update_tier.detach();
SELECT tgname FROM pg_trigger WHERE tgrelid = 'workspaces'::regclass;
SELECT count(*) FROM record;
DROP TABLE workspaces;

-- In a partitioned table the changes in all partitions are recorded.
CREATE TABLE workspaces (id uuid PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE part0 PARTITION OF workspaces FOR VALUES WITH (MODULUS 2, REMAINDER 0);
SELECT update_tier.attach('workspaces');
CREATE TABLE part1 PARTITION OF workspaces FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid FROM generate_series(1, 5) AS n;
UPDATE workspaces SET update_tier = 'canary' WHERE id IN ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000005');
SELECT * FROM record OFFSET 5;
SELECT update_tier.attach('workspaces', audit => false);
SELECT update_tier.detach();
DROP VIEW record;
DROP TABLE workspaces;
DROP EXTENSION update_tier;
DROP FUNCTION opt_out;
DROP ROLE regress_alice;
