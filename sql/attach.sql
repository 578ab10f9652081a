--
-- update_tier.attach makes a table the workspaces table: it adds what is missing, and
-- changes nothing else.
--
CREATE EXTENSION update_tier;

-- A table without the column, here with another name and in another schema.
CREATE SCHEMA app;
CREATE TABLE app.environments (id uuid PRIMARY KEY, name text);
INSERT INTO app.environments
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'e' || n FROM generate_series(1, 4) AS n;
SELECT update_tier.attach('app.environments');
\d app.environments
SELECT * FROM update_tier.attached;

-- All workspaces are production, and so are new ones.
INSERT INTO app.environments VALUES ('00000000-0000-0000-0000-000000000005', 'e5');
SELECT update_tier, count(*) FROM app.environments GROUP BY 1;

-- An UPDATE makes a workspace a canary.  An UPDATE with a typo or NULL is an error.
UPDATE app.environments SET update_tier = 'canary' WHERE name = 'e2';
UPDATE app.environments SET update_tier = 'canery' WHERE name = 'e3';
UPDATE app.environments SET update_tier = NULL WHERE name = 'e3';
SELECT * FROM canary_workspaces();

-- Attaching again changes nothing: no catalog row of the table is touched.
CREATE VIEW catalog_rows AS
SELECT xmin::text AS version, ctid::text AS place FROM pg_class WHERE oid = 'app.environments'::regclass
UNION ALL
SELECT xmin::text, ctid::text FROM pg_attribute WHERE attrelid = 'app.environments'::regclass
UNION ALL
SELECT xmin::text, ctid::text FROM pg_index WHERE indrelid = 'app.environments'::regclass
UNION ALL
SELECT xmin::text, ctid::text FROM pg_constraint WHERE conname = 'canary_or_production'
UNION ALL
SELECT xmin::text, ctid::text FROM update_tier.attached;
CREATE TABLE before AS TABLE catalog_rows;
SELECT update_tier.attach('app.environments');
SELECT update_tier.attach('app.environments', NULL, true);
SELECT count(*) > 0 AS seen, count(*) = (SELECT count(*) FROM catalog_rows NATURAL JOIN before) AS unchanged
  FROM before;
DROP TABLE before;
DROP VIEW catalog_rows;

-- attach restores NOT NULL, the default and the index, and changes nothing else.
ALTER TABLE app.environments ALTER COLUMN update_tier DROP NOT NULL, ALTER COLUMN update_tier SET DEFAULT 'canary';
INSERT INTO app.environments (id, name, update_tier) VALUES ('00000000-0000-0000-0000-000000000006', 'e6', NULL);
DROP INDEX app.environments_update_tier_canary;
SELECT update_tier.attach('app.environments');
\d app.environments
SELECT name, update_tier FROM app.environments ORDER BY name;

-- A default other than production is replaced: with it, new workspaces would be canaries
-- without a decision.
ALTER TABLE app.environments ALTER COLUMN update_tier SET DEFAULT 'canary';
SELECT update_tier.attach('app.environments');
SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef AS d JOIN pg_attribute AS a ON a.attrelid = d.adrelid AND a.attnum = d.adnum
 WHERE d.adrelid = 'app.environments'::regclass AND a.attname = 'update_tier';

-- The domain's constraint is enforced again, also in other tables that use the domain.
CREATE TABLE other (tier update_tier);
INSERT INTO other VALUES ('canery');
INSERT INTO app.environments (id, update_tier) VALUES (gen_random_uuid(), 'canery');

-- A rollback undoes all that attach did.  The domain's constraint is enforced right
-- after attach, and after the rollback.
ALTER TABLE app.environments DROP COLUMN update_tier;
BEGIN;
SELECT update_tier.attach('app.environments', $$name <> 'e1'$$);
INSERT INTO other VALUES ('canery');
ROLLBACK;
\d app.environments
INSERT INTO other VALUES ('canery');
SELECT * FROM update_tier.attached;

DROP TABLE other, app.environments;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP SCHEMA app;
