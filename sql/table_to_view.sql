--
-- Up to PostgreSQL 15, a rule can turn an empty table into a view: if the table is
-- attached, calls are an error then.  Later servers refuse the rule.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY);
CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', audit => false);
CREATE TABLE other (LIKE workspaces);
ALTER TABLE workspaces DROP CONSTRAINT workspaces_pkey;
DROP INDEX workspaces_update_tier_canary;
VACUUM workspaces;
CREATE RULE "_RETURN" AS ON SELECT TO workspaces DO INSTEAD SELECT * FROM other;
SELECT update_tier.start('p', '1');
SELECT canary_workspaces();
SELECT update_tier.allows('p', '1', '00000000-0000-0000-0000-000000000001');
SELECT * FROM update_tier.claim_batch('p', '1');
EXPLAIN (COSTS OFF) SELECT * FROM canary_workspaces();
SELECT update_tier.detach();
SELECT count(*) FROM update_tier.attached;
SET client_min_messages = error;
DROP EXTENSION update_tier CASCADE;
DROP TABLE IF EXISTS workspaces, other;
