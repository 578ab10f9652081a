-- The rows that a client must have left, whatever it printed: see verify.out.

-- The second workspace became a canary, and no typo was stored.
SELECT name, update_tier FROM workspaces ORDER BY name;

-- v7 reached everybody: 4 was offline at first, and 5 did not answer.  v8 was halted by
-- the first canary.  v9 reached one canary; on the other one something else arrived.
SELECT version, phase, canary_succeeded, canary_failed FROM update_tier.status ORDER BY 1;
SELECT w.name, i.version AS runs, i.attempted_version AS attempted, i.attempt, i.state, i.detail
  FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace ORDER BY 1;

-- The applier did that.
SELECT kind, version, actor FROM update_tier.event WHERE kind IN ('started', 'failed') ORDER BY id;
