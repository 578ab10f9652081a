-- The image runs this script once, when it creates the database.  Your script that creates
-- the workspaces table can run before this script or after it: scripts run in the order of
-- their names, and this script is called 50-update-tier.sql.
CREATE EXTENSION IF NOT EXISTS update_tier;
-- A table "workspaces" that existed is attached now.  For another or a later table, run:
--     SELECT update_tier.attach('your_table');
