ALTER TABLE workspaces DROP COLUMN last_seen, DROP COLUMN created_at;
ALTER TABLE workspaces ALTER COLUMN name TYPE character varying(200);
ALTER TABLE workspaces ADD COLUMN parent_id uuid REFERENCES workspaces (id);
CREATE TABLE plugins (
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    name         text NOT NULL,
    PRIMARY KEY (workspace_id, name));
