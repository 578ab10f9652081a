-- The condition has to go before its column can, or the column takes the index along.
SELECT update_tier.attach('workspaces');
ALTER TABLE workspaces DROP COLUMN state;
ALTER TABLE workspaces ADD COLUMN removed_at timestamptz;
UPDATE workspaces SET removed_at = now() WHERE name = 'gone';
SELECT update_tier.attach('workspaces', live_when => 'removed_at IS NULL');
