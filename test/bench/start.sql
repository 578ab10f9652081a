-- Rollouts that are open to all workspaces, with a budget for eight appliers: c for one
-- client, c0 to c7 and w for eight, m and e for test/bench/progress.sql, and s0, s1 and so
-- on for the rounds on the smallest fleet.
SELECT update_tier.set_policy(soak => '0', require_canary => false, max_in_flight => 1000);
SELECT update_tier.start(p, '1'), plain.start(p, '1', '0', false, 1000)
  FROM (SELECT unnest(ARRAY['c', 'c0', 'c1', 'c2', 'c3', 'c4', 'c5', 'c6', 'c7', 'w', 'm', 'e'])
        UNION ALL SELECT 's' || n FROM generate_series(0, :rounds - 1) AS n) AS packages (p);
