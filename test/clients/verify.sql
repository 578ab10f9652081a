-- What a client must have left behind, whatever it says of itself: see
-- verify.out.

-- The second workspace became a canary, and no typo was stored.
SELECT name, update_tier FROM workspaces ORDER BY name;

-- v7 reached everybody, the last one at the second attempt.  v8 was halted by
-- the first canary, and the other one's lease is left to run out.  Of v9 there
-- is the one claim that was neither refused nor rolled back.
SELECT r.version, s.phase, w.name, e.tier, e.attempt, e.state, e.installed_version AS installed
  FROM update_tier.rollout AS r
  JOIN update_tier.status AS s USING (package, version)
  JOIN update_tier.execution AS e ON e.rollout = r.id
  JOIN workspaces AS w ON w.id = e.workspace
 ORDER BY 1, 3;

-- Nobody but the applier did that.
SELECT DISTINCT actor FROM update_tier.event WHERE version IS NOT NULL;
