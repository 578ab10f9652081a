-- A small fleet for the tests of rollouts: workspaces 1 .. 9, of which 1, 2
-- and 3 are canaries.  w(n) is the id of workspace n, n(id) the number.
--
-- later(interval) lets time pass: it moves all stored moments into the past,
-- which is the same to a phase that is a function of the row and the clock.
CREATE TABLE workspaces (id uuid PRIMARY KEY, live boolean NOT NULL DEFAULT true);
CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid$$;
CREATE FUNCTION n(id uuid) RETURNS integer IMMUTABLE LANGUAGE sql AS
    $$SELECT right(id::text, 12)::integer$$;
INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 9) AS n;
CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', 'live');
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;
CREATE FUNCTION later(how_much interval) RETURNS void LANGUAGE sql AS $$
    UPDATE update_tier.rollout SET
        turn_at = turn_at - how_much, soak_ends_at = soak_ends_at - how_much,
        superseded_at = superseded_at - how_much, halts_at = halts_at - how_much, first_expiry = first_expiry - how_much,
        promoted_at = promoted_at - how_much, changed_at = changed_at - how_much;
    UPDATE update_tier.execution SET
        lease_until = lease_until - how_much, changed_at = changed_at - how_much;
    UPDATE update_tier.event SET at = at - how_much;
$$;
-- A claim reported at once.
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
