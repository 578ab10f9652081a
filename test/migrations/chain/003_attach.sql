-- Without live_when, because a later migration changes the type of "status".
CREATE EXTENSION IF NOT EXISTS update_tier SCHEMA extensions;
SELECT update_tier.attach('workspaces');
