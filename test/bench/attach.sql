-- The column, and the index, in a table that has neither: attach against a plain-SQL
-- migration.
SET client_min_messages = warning;
SELECT compare(:turns, true,
    'attach ' || :'size', $$SELECT update_tier.attach('workspaces', 'live', create_index => false)$$,
    'attach+index ' || :'size', $$SELECT update_tier.attach('workspaces', 'live')$$,
    'migration ' || :'size', $$ALTER TABLE workspaces ADD COLUMN update_tier text NOT NULL DEFAULT 'production'
        CHECK (update_tier IN ('canary', 'production'));
        CREATE INDEX workspaces_update_tier ON workspaces (update_tier) WHERE update_tier = 'canary'$$);
SELECT update_tier.attach('workspaces', 'live') \g /dev/null
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (SELECT md5(n::text)::uuid FROM generate_series(1, :rows, 1000) AS n);
VACUUM (ANALYZE) workspaces;
