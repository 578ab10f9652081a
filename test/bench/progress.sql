-- Half of the fleet has package m, and 85 % have package e, so that the rest is enough for
-- all rounds: makes their installations, in the order in which claims make them, their
-- counters and their positions.
CREATE FUNCTION advance(p text, share numeric) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r update_tier.rollout := (SELECT x FROM update_tier.rollout AS x WHERE package = p);
    last uuid := (SELECT id FROM workspaces ORDER BY id OFFSET (SELECT count(*) * share FROM workspaces)::bigint LIMIT 1);
BEGIN
    INSERT INTO update_tier.installation (package_id, workspace, rollout, run, ordinal, attempt, token, state, tier, lease_until, retry_at,
                                          evidence, evidence_tier, resumed, runs, runs_ordinal, runs_well, runs_since, changed_at)
    SELECT (SELECT id FROM update_tier.package WHERE name = p), id, r.id, r.run, r.ordinal, 1, nextval('update_tier.installation_token'),
           'succeeded', update_tier, now(), '-infinity', 'succeeded', update_tier, 0, r.id, r.ordinal, true, now(), now()
      FROM workspaces AS w WHERE id < last OR update_tier = 'canary'
     ORDER BY w.update_tier, w.id;
    UPDATE update_tier.rollout SET production_position = last,
           canary_succeeded = (SELECT count(*) FROM update_tier.installation WHERE rollout = r.id AND tier = 'canary'),
           production_succeeded = (SELECT count(*) FROM update_tier.installation WHERE rollout = r.id AND tier = 'production')
     WHERE id = r.id;
END $$;
SELECT advance('m', 0.5), advance('e', 0.85);
VACUUM ANALYZE update_tier.installation, update_tier.rollout;
