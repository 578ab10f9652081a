-- A thousand rollouts, with few installations and with :installations.  The first million
-- are old, and their workspaces do not exist: for prune.sql.
SET client_min_messages = warning;
SELECT update_tier.attach('workspaces', 'live'), update_tier.set_policy(require_canary => false, soak => '0', max_in_flight => 1000) \g /dev/null
SELECT update_tier.start('p' || n % 100, n::text) FROM generate_series(1, 1000) AS n \g /dev/null
SELECT update_tier.start('c', '1') \g /dev/null
SELECT count(*) FROM generate_series(0, 99) AS n, LATERAL update_tier.claim_batch('p' || n, max_claims => 5) \g /dev/null
VACUUM ANALYZE update_tier.package, update_tier.rollout, update_tier.installation, update_tier.event;
SELECT compare(:turns * 3, false, 'status few', 'SELECT count(*), min(waits_for) FROM update_tier.status');
INSERT INTO update_tier.installation (package_id, workspace, rollout, run, ordinal, attempt, token, state, tier, lease_until, retry_at,
                                      evidence, evidence_tier, resumed, runs, runs_ordinal, runs_well, runs_since, changed_at)
SELECT p.id, gen_random_uuid(), r.id, r.run, r.ordinal, 1, nextval('update_tier.installation_token'), 'succeeded', 'production', now(), '-infinity',
       'succeeded', 'production', 0, r.id, r.ordinal, true, now(),
       CASE WHEN n <= 10000 THEN now() - interval '1 day' ELSE now() END
  FROM update_tier.package AS p
  JOIN (SELECT DISTINCT ON (package) * FROM update_tier.rollout WHERE package <> 'c' ORDER BY package, ordinal DESC) AS r ON r.package = p.name,
       generate_series(1, :installations / 100) AS n;
UPDATE update_tier.rollout SET production_succeeded = :installations / 100 WHERE id IN (SELECT rollout FROM update_tier.installation);
VACUUM ANALYZE update_tier.package, update_tier.rollout, update_tier.installation, update_tier.event;
SELECT compare(:turns * 3, false, 'status many', 'SELECT count(*), min(waits_for) FROM update_tier.status');
