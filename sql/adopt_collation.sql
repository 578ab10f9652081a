-- attach adopts a column with an ICU collation, and checks its values in the collation
-- "C", which is the domain's.
SELECT count(*) > 0 AS has_icu FROM pg_collation WHERE collname = 'en-x-icu' \gset
\if :has_icu
\else
\echo SKIPPED: this server was built without ICU
\quit
\endif
CREATE EXTENSION update_tier;

-- Under a nondeterministic collation a value can be equal to a tier and is not a tier.
CREATE COLLATION careless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier text COLLATE careless CHECK (update_tier IN ('canary', 'production')));
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'CANARY');
SELECT update_tier.attach('workspaces');
UPDATE workspaces SET update_tier = 'canary';
SELECT update_tier.attach('workspaces');
DROP TABLE workspaces;
SELECT update_tier.detach();
DROP COLLATION careless;

-- A CHECK can mean something else under the new collation, so it is checked again.
CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier text COLLATE "en-x-icu" NOT NULL CHECK (update_tier IN ('canary', 'production')),
    CONSTRAINT by_order CHECK (update_tier < 'R' OR id IS NULL));
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'canary');
\set SHOW_CONTEXT never
SELECT update_tier.attach('workspaces');
\set SHOW_CONTEXT errors
DROP TABLE workspaces;
DROP EXTENSION update_tier;
