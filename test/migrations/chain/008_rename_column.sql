-- The condition names the column, so the same transaction changes both.
ALTER TABLE workspaces RENAME COLUMN status TO state;
SELECT update_tier.attach('workspaces', live_when => $$state <> 'removed'$$);
