-- A thousand rollouts, with few executions and with :executions.
SET client_min_messages = warning;
SELECT update_tier.attach('workspaces', 'live'), update_tier.set_policy(require_canary => false, soak => '0', max_in_flight => 1000) \g /dev/null
SELECT update_tier.start('p' || n % 100, n::text) FROM generate_series(1, 1000) AS n \g /dev/null
SELECT count(*) FROM generate_series(0, 99) AS n, LATERAL update_tier.claim_batch('p' || n, (900 + n)::text, 5) \g /dev/null
VACUUM ANALYZE update_tier.rollout, update_tier.execution, update_tier.event;
SELECT compare(:turns * 3, false, 'status few', 'SELECT count(*), min(waits_for) FROM update_tier.status');
INSERT INTO update_tier.execution (rollout, workspace, tier, attempt, token, state, lease_until, changed_at, due, evidence, evidence_tier)
SELECT r.id, gen_random_uuid(), 'production', 1, nextval('update_tier.execution_token'), 'succeeded', now(), now(), false, 'succeeded', 'production'
  FROM update_tier.rollout AS r, generate_series(1, :executions / 1000) AS n WHERE r.phase = 'superseded' OR r.phase = 'promoted';
VACUUM ANALYZE update_tier.rollout, update_tier.execution, update_tier.event;
SELECT compare(:turns * 3, false, 'status many', 'SELECT count(*), min(waits_for) FROM update_tier.status');
