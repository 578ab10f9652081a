-- The tables of a real platform, a workspace server with a queue of plugin updates, as its
-- migrations leave them.  Columns that do not matter here are left out.
CREATE TYPE workspace_status AS ENUM (
    'provisioning', 'online', 'offline', 'degraded',
    'failed', 'removed', 'paused', 'hibernated');

CREATE TABLE workspaces (
    id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name              text NOT NULL,
    role              text,
    tier              integer DEFAULT 1,      -- a size class
    status            workspace_status DEFAULT 'provisioning',
    agent_card        jsonb,
    url               text,
    parent_id         uuid REFERENCES workspaces (id),
    forwarded_to      uuid REFERENCES workspaces (id),
    last_heartbeat_at timestamptz,
    runtime           text,
    kind              text NOT NULL DEFAULT 'workspace'
                      CHECK (kind IN ('workspace', 'platform')),
    instance_id       text,
    created_at        timestamptz DEFAULT now(),
    updated_at        timestamptz DEFAULT now()
);
CREATE UNIQUE INDEX workspaces_parent_name ON workspaces
    (COALESCE(parent_id, '00000000-0000-0000-0000-000000000000'::uuid), name)
    WHERE status <> 'removed';
CREATE INDEX workspaces_status ON workspaces (status);

CREATE TABLE workspace_plugins (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id  uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    plugin_name   text NOT NULL,
    source_raw    text,
    tracked_ref   text NOT NULL DEFAULT 'none',
    installed_sha text,
    installed_at  timestamptz DEFAULT now(),
    updated_at    timestamptz DEFAULT now(),
    UNIQUE (workspace_id, plugin_name)
);
CREATE INDEX workspace_plugins_tracked ON workspace_plugins (tracked_ref)
    WHERE tracked_ref <> 'none';

CREATE TABLE plugin_update_queue (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    plugin_name  text NOT NULL,
    tracked_ref  text NOT NULL,
    current_sha  text,
    latest_sha   text NOT NULL,
    status       text NOT NULL DEFAULT 'pending'
                 CHECK (status IN ('pending', 'applied', 'dismissed')),
    created_at   timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX plugin_update_queue_one_pending
    ON plugin_update_queue (workspace_id, plugin_name) WHERE status = 'pending';
CREATE INDEX plugin_update_queue_oldest
    ON plugin_update_queue (created_at) WHERE status = 'pending';
