-- The image runs this once, when it makes the database.  Scripts of yours that make the
-- workspaces table can run before this one or after it: they run in the order of their names,
-- and this one is called 50-update-tier.sql.
CREATE EXTENSION IF NOT EXISTS update_tier;
-- A table "workspaces" that was there has been attached.  For another table, or a later one:
--     SELECT update_tier.attach('your_table');
