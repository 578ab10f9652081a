--
-- update_tier.counts() counts live workspaces, and always returns both tiers.
--
CREATE EXTENSION update_tier;
SELECT * FROM update_tier.counts();
CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer);
SELECT update_tier.attach('workspaces');
SELECT * FROM update_tier.counts();
INSERT INTO workspaces SELECT gen_random_uuid(), n FROM generate_series(1, 10) AS n;
SELECT * FROM update_tier.counts();
UPDATE workspaces SET update_tier = 'canary' WHERE n <= 3;
SELECT tier, workspaces, pg_typeof(tier), pg_typeof(workspaces) FROM update_tier.counts();
SELECT update_tier.counts();
SELECT update_tier.attach('workspaces', 'n > 2');
SELECT * FROM update_tier.counts();
SELECT sum(workspaces) = (SELECT count(*) FROM workspaces WHERE n > 2) AS adds_up FROM update_tier.counts();
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
