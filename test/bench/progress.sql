-- Package m has gone through half of the fleet, package e through nine
-- tenths: their executions, counters and positions.
CREATE FUNCTION advance(p text, share numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r bigint := (SELECT id FROM update_tier.rollout WHERE package = p);
    last uuid := (SELECT id FROM workspaces ORDER BY id OFFSET (SELECT count(*) * share FROM workspaces)::bigint LIMIT 1);
BEGIN
    INSERT INTO update_tier.execution (rollout, workspace, tier, attempt, token, state, lease_until, changed_at, due, evidence, evidence_tier)
    SELECT r, id, update_tier, 1, nextval('update_tier.execution_token'), 'succeeded', now(), now(), false, 'succeeded', update_tier
      FROM workspaces WHERE id < last OR update_tier = 'canary';
    UPDATE update_tier.rollout SET production_position = last,
           canary_succeeded = (SELECT count(*) FROM update_tier.execution WHERE rollout = r AND tier = 'canary'),
           production_succeeded = (SELECT count(*) FROM update_tier.execution WHERE rollout = r AND tier = 'production')
     WHERE id = r;
END $$;
SELECT advance('m', 0.5), advance('e', 0.9);
VACUUM ANALYZE update_tier.execution, update_tier.rollout;
