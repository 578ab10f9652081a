ALTER TABLE workspaces DROP COLUMN plan;
ALTER TABLE workspaces ADD COLUMN region text NOT NULL DEFAULT 'eu', ADD COLUMN last_seen timestamptz;
