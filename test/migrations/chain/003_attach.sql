-- Without live_when: the type of "status" is to change.
CREATE EXTENSION IF NOT EXISTS update_tier SCHEMA extensions;
SELECT update_tier.attach('workspaces');
