-- The rights of the service: the role "applier" of doc/operations.md, and its own tables.
-- Run it after ../drainer.sql.
CREATE ROLE endpoint LOGIN;
GRANT applier TO endpoint;
GRANT SELECT ON update_tier.status, update_tier.installed TO endpoint;          -- the fleet page
GRANT SELECT (id, name, status, update_tier), UPDATE (update_tier) ON workspaces TO endpoint;
GRANT SELECT ON pending, workspace_plugins, plugin_update_queue TO endpoint;
GRANT UPDATE (installed_sha) ON workspace_plugins TO endpoint;                  -- has_installed
GRANT UPDATE (status) ON plugin_update_queue TO endpoint;
