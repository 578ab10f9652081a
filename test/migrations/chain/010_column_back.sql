-- Remove the condition before its column, or the server drops the index with the column.
SELECT update_tier.attach('workspaces');
ALTER TABLE workspaces DROP COLUMN state;
ALTER TABLE workspaces ADD COLUMN removed_at timestamptz;
UPDATE workspaces SET removed_at = now() WHERE name = 'gone';
SELECT update_tier.attach('workspaces', live_when => 'removed_at IS NULL');
