-- This migration is older than the use of the extension.
ALTER TABLE workspaces ADD COLUMN IF NOT EXISTS update_tier text NOT NULL DEFAULT 'production'
    CHECK (update_tier IN ('canary', 'production'));
CREATE INDEX IF NOT EXISTS workspaces_update_tier_canary ON workspaces (update_tier) WHERE update_tier = 'canary';
