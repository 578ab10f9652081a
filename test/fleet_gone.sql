SET client_min_messages = 'warning';
DROP FUNCTION w, n, later, run, phases;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
RESET client_min_messages;
