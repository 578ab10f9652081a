-- The condition names the column, so both are said again in the same transaction.
ALTER TABLE workspaces RENAME COLUMN status TO state;
SELECT update_tier.attach('workspaces', live_when => $$state <> 'removed'$$);
