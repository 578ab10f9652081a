-- The audit of test/stress and test/random.sql: the invariants of rollouts.
-- Needs a table "granted" with every lease that was given, as far as known.

-- The invariants, each as a query that must find nothing.
CREATE FUNCTION audit() RETURNS TABLE (violation text) LANGUAGE sql AS $$
    SELECT 'more than one runs: ' || package FROM update_tier.rollout
     WHERE phase IN ('canary', 'soaking') GROUP BY package HAVING count(*) > 1
    UNION ALL
    SELECT 'more than one queued: ' || package FROM update_tier.rollout
     WHERE phase = 'queued' GROUP BY package HAVING count(*) > 1
    UNION ALL
    SELECT 'more than one promoted: ' || package FROM update_tier.rollout
     WHERE phase = 'promoted' GROUP BY package HAVING count(*) > 1
    UNION ALL
    SELECT 'queued behind nobody: ' || package FROM update_tier.rollout AS r
     WHERE phase = 'queued' AND NOT EXISTS (SELECT 1 FROM update_tier.rollout AS s
            WHERE s.package = r.package AND s.phase = 'soaking' AND s.version = r.related AND s.ordinal < r.ordinal)
    UNION ALL
    SELECT format('counters of %s %s: stored %s, counted %s', r.package, r.version,
                  (r.canary_succeeded, r.canary_failed, r.canary_acknowledged, r.canary_in_flight,
                   r.production_succeeded, r.production_failed, r.production_acknowledged, r.production_in_flight), c.counted)
      FROM update_tier.rollout AS r,
   LATERAL (SELECT (count(*) FILTER (WHERE evidence = 'succeeded' AND evidence_tier = 'canary'),
                    count(*) FILTER (WHERE evidence = 'failed' AND evidence_tier = 'canary'),
                    count(*) FILTER (WHERE acknowledged AND evidence_tier = 'canary'),
                    count(*) FILTER (WHERE state = 'claimed' AND tier = 'canary'),
                    count(*) FILTER (WHERE evidence = 'succeeded' AND evidence_tier = 'production'),
                    count(*) FILTER (WHERE evidence = 'failed' AND evidence_tier = 'production'),
                    count(*) FILTER (WHERE acknowledged AND evidence_tier = 'production'),
                    count(*) FILTER (WHERE state = 'claimed' AND tier = 'production')) AS counted
              FROM update_tier.execution AS e WHERE e.rollout = r.id) AS c
     WHERE c.counted IS DISTINCT FROM
           (r.canary_succeeded::bigint, r.canary_failed::bigint, r.canary_acknowledged::bigint, r.canary_in_flight::bigint,
            r.production_succeeded::bigint, r.production_failed::bigint, r.production_acknowledged::bigint, r.production_in_flight::bigint)
    UNION ALL
    SELECT 'execution of no rollout: ' || e.rollout FROM update_tier.execution AS e
     WHERE NOT EXISTS (SELECT 1 FROM update_tier.rollout AS r WHERE r.id = e.rollout)
    UNION ALL
    SELECT 'budget overrun: ' || rollout FROM update_tier.execution JOIN update_tier.rollout AS r ON r.id = rollout
     WHERE state = 'claimed' GROUP BY rollout, r.max_in_flight HAVING count(*) > r.max_in_flight
    UNION ALL
    SELECT 'too many attempts: ' || workspace FROM update_tier.execution JOIN update_tier.rollout AS r ON r.id = rollout
     WHERE attempt > r.max_attempts
    UNION ALL
    SELECT 'too many failures: ' || package FROM update_tier.rollout
     WHERE phase IN ('canary', 'soaking', 'promoted')
       AND greatest(canary_failed - canary_acknowledged, production_failed - production_acknowledged) > max_failures
    UNION ALL
    SELECT 'production had it before it was promoted: ' || e.workspace FROM update_tier.execution AS e
     WHERE e.tier = 'production' AND NOT EXISTS (SELECT 1 FROM update_tier.event AS v JOIN update_tier.rollout AS r USING (package, version)
            WHERE r.id = e.rollout AND v.kind = 'promoted')
    UNION ALL
    -- The leases of one workspace in one rollout follow one another: the older
    -- one was reported, or had run out, when the next was given.
    SELECT format('two leases at once: %s and %s', g.token, g.next_token)
      FROM (SELECT *, lead(token) OVER (PARTITION BY package, version, workspace ORDER BY token) AS next_token
              FROM granted) AS g
      LEFT JOIN update_tier.event AS v ON v.token = g.token AND v.kind = 'replaced'
     WHERE next_token IS NOT NULL
       AND (v.detail IS NULL OR v.detail = 'claimed' OR v.detail = 'expired' AND v.at < g.lease_until)
       AND NOT EXISTS (SELECT 1 FROM update_tier.event AS r WHERE r.package = g.package AND r.version = g.version
                          AND r.kind = 'retried')
    UNION ALL
    SELECT 'a lease that is lost: ' || g.token FROM granted AS g
     WHERE NOT EXISTS (SELECT 1 FROM update_tier.execution AS e WHERE e.token = g.token)
       AND NOT EXISTS (SELECT 1 FROM update_tier.event AS v WHERE v.token = g.token AND v.kind = 'replaced')
       AND NOT EXISTS (SELECT 1 FROM update_tier.event AS v WHERE v.package = g.package AND v.version = g.version AND v.kind = 'retried')
    UNION ALL
    SELECT 'stamps run backwards: event ' || id FROM (
        SELECT id, at, lag(at) OVER (PARTITION BY package ORDER BY id) AS before FROM update_tier.event) AS v
     WHERE at < before
$$;
