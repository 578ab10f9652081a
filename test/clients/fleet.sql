-- The fleet of each client: five live workspaces, of which the first is a canary, a removed
-- workspace, and one of the two roles of the clients.  The statements of doc/operations.md
-- create the other role, "applier".

CREATE TABLE workspaces (
    id     uuid PRIMARY KEY,
    name   text NOT NULL,
    status text NOT NULL DEFAULT 'online');
INSERT INTO workspaces (id, name, status)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'workspace ' || n,
       CASE n WHEN 6 THEN 'removed' ELSE 'online' END
  FROM generate_series(1, 6) AS n;

CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', live_when => $$status <> 'removed'$$);
UPDATE workspaces SET update_tier = 'canary' WHERE name IN ('workspace 1', 'workspace 6');

-- Two canaries must succeed, and no test waits for a soak.
SELECT update_tier.set_policy('search', soak => '0', min_successes => 2);

-- The application lists tiers and changes them.
CREATE ROLE application LOGIN;
GRANT SELECT (id, status, update_tier), UPDATE (update_tier) ON workspaces TO application;
\ir ../later.sql
