CREATE TYPE workspace_status AS ENUM ('provisioning', 'online', 'offline', 'removed');
ALTER TABLE workspaces
    ALTER COLUMN status DROP DEFAULT,
    ALTER COLUMN status TYPE workspace_status USING status::workspace_status,
    ALTER COLUMN status SET DEFAULT 'provisioning';
