-- A small fleet for the tests of rollouts: workspaces 1 .. 9, of which 1, 2
-- and 3 are canaries.  w(n) is the id of workspace n, n(id) the number.
CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true);
CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid$$;
CREATE FUNCTION n(id uuid) RETURNS integer IMMUTABLE LANGUAGE sql AS
    $$SELECT right(id::text, 12)::integer$$;
INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 9) AS n;
CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', 'live');
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;
\ir later.sql
-- A claim, and its report at once.
CREATE FUNCTION run(package text, version text, n integer, outcome text DEFAULT 'succeeded') RETURNS text
LANGUAGE sql AS $$
    SELECT update_tier.report(update_tier.claim(package, version, w(n)), outcome)
$$;
-- The phases of a package's versions, oldest first.
CREATE FUNCTION phases(p text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(s.version || ' ' || s.phase, ', ' ORDER BY r.ordinal)
      FROM update_tier.status AS s JOIN update_tier.rollout AS r USING (package, version)
     WHERE s.package = p
$$;
