CREATE TABLE workspaces (
    id         uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name       text NOT NULL,
    plan       text,
    status     text NOT NULL DEFAULT 'provisioning',
    created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX workspaces_status ON workspaces (status);
