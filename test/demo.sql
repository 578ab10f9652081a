-- The story that test/demo tells.
\set QUIET on
\pset footer off
\pset border 1
\timing off
SET client_min_messages = 'warning';
\i src/test/consumer.sql
INSERT INTO workspaces (id, name, status, kind, runtime)
SELECT ('a0000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       CASE WHEN n <= 5 THEN 'dogfood-' || n ELSE 'customer-' || lpad((n - 5)::text, 3, '0') END,
       CASE n % 20 WHEN 7 THEN 'hibernated' WHEN 13 THEN 'removed' ELSE 'online' END::workspace_status,
       'workspace', CASE n % 3 WHEN 0 THEN 'python' ELSE 'node' END
  FROM generate_series(1, 1000) AS n;
VACUUM ANALYZE workspaces;
RESET client_min_messages;

\echo
\echo '=== A platform with 1,000 workspaces, and no idea who gets an update first ==='
\echo
SELECT count(*) AS workspaces, count(*) FILTER (WHERE status = 'removed') AS "of these removed" FROM workspaces;

\echo '=== CREATE EXTENSION update_tier;'
\echo
CREATE EXTENSION update_tier;
\echo 'The table "workspaces" has a new column, without having been rewritten or scanned.'
\echo 'Removed workspaces do not count: this platform deletes softly, so we say so.'
\echo
\echo '=== SELECT update_tier.attach(''workspaces'', $$status <> ''removed''$$);'
\echo
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$) \g /dev/null
\echo 'Whoever did not opt in is production.'
\echo
\echo '=== SELECT * FROM update_tier.counts();'
\echo
SELECT * FROM update_tier.counts();

\echo '=== Five workspaces of our own opt in'
\echo
\echo 'SELECT name, set_update_tier(id, ''canary'') AS was FROM workspaces WHERE name LIKE ''dogfood-%'' ORDER BY name;'
\echo
SELECT name, set_update_tier(id, 'canary') AS was FROM workspaces WHERE name LIKE 'dogfood-%' ORDER BY name;
ANALYZE workspaces;

\echo '=== SELECT * FROM canary_workspaces();'
\echo
SELECT * FROM canary_workspaces();
SELECT * FROM update_tier.counts();

\echo '=== A typo is refused, and told in full'
\echo
\echo 'SELECT set_update_tier(id, ''canery'') FROM workspaces WHERE name = ''customer-001'';'
\echo
SELECT set_update_tier(id, 'canery') FROM workspaces WHERE name = 'customer-001';
\echo
\echo 'In plain SQL, too:'
\echo
\echo 'UPDATE workspaces SET update_tier = ''canery'' WHERE name = ''customer-001'';'
\echo
UPDATE workspaces SET update_tier = 'canery' WHERE name = 'customer-001';

\echo
\echo '=== The list of canaries is read from the partial index, and nothing else'
\echo
\echo 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)'
\echo 'SELECT id FROM workspaces WHERE update_tier = ''canary'' AND status <> ''removed'' ORDER BY id;'
\echo
VACUUM workspaces;
\pset tuples_only on
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
SELECT id FROM workspaces WHERE update_tier = 'canary' AND status <> 'removed' ORDER BY id;
\pset tuples_only off
SELECT pg_size_pretty(pg_relation_size('workspaces_update_tier_canary')) AS "the index",
       pg_size_pretty(pg_relation_size('workspaces')) AS "the table";

\echo '=== A new version of a plugin: canaries first'
\echo
\echo 'The policy for the demo: a soak of two seconds instead of a day, three canaries that must succeed.'
\echo
\echo 'SELECT update_tier.set_policy(''search-plugin'', soak => ''2 seconds'', min_successes => 3, max_in_flight => 100);'
\echo 'SELECT * FROM update_tier.claim_batch(''search-plugin'', ''v7'');'
\echo
SELECT update_tier.set_policy('search-plugin', soak => '2 seconds', min_successes => 3, max_in_flight => 100) \g /dev/null
SELECT * FROM update_tier.claim_batch('search-plugin', 'v7');
\echo 'A customer is refused, and told why:'
\echo
\echo 'SELECT update_tier.claim(''search-plugin'', ''v7'', id), update_tier.explain(''search-plugin'', ''v7'', id) ...'
\echo
\pset null (refused)
SELECT name, update_tier.claim('search-plugin', 'v7', id), update_tier.explain('search-plugin', 'v7', id)
  FROM workspaces WHERE name = 'customer-001';
\pset null ''
\echo 'The canaries report that all is well, and the version soaks:'
\echo
\echo 'SELECT update_tier.report(token, ''succeeded'', installed_version => ''v7'');'
\echo
SELECT update_tier.report(token, 'succeeded', 'v7') FROM generate_series(1, 5) AS token;
SELECT package, version, phase, canary_succeeded, waits_for FROM update_tier.status;
SELECT name, update_tier.allows('search-plugin', 'v7', id),
       regexp_replace(update_tier.explain('search-plugin', 'v7', id), ' \d{4}-\d\d-\d\d ', ' ') AS explain
  FROM workspaces WHERE name = 'customer-001';

\echo '=== Two seconds later: the soak is over, without anybody having done anything'
\echo
SELECT pg_sleep(2.1) \g /dev/null
SELECT package, version, phase FROM update_tier.status;
\echo 'Production, 100 at a time:'
\echo
SET client_min_messages = 'warning';
CREATE PROCEDURE drain(package text, version text) LANGUAGE plpgsql AS $$
DECLARE
    claimed bigint;
    p record;
BEGIN
    LOOP
        PERFORM update_tier.report(token, 'succeeded', version) FROM update_tier.claim_batch(package, version, 100);
        GET DIAGNOSTICS claimed = ROW_COUNT;
        COMMIT;
        EXIT WHEN claimed = 0;
        SELECT * INTO p FROM update_tier.progress(package, version) WHERE tier = 'production';
        RAISE INFO '% % of %', rpad(repeat('#', (50 * p.succeeded / p.workspaces)::integer), 50, '.'), lpad(p.succeeded::text, 4), p.workspaces;
    END LOOP;
END $$;
CALL drain('search-plugin', 'v7');
RESET client_min_messages;
\echo
SELECT * FROM update_tier.progress('search-plugin', 'v7');

\echo '=== And a bad one: v8 breaks the first canary that gets it'
\echo
\echo 'SELECT update_tier.report(token, ''failed'', detail => ''does not boot'') FROM update_tier.claim_batch(''search-plugin'', ''v8'', 1);'
\echo
SELECT update_tier.report(token, 'failed', detail => 'does not boot') FROM update_tier.claim_batch('search-plugin', 'v8', 1);
SELECT package, version, phase, waits_for FROM update_tier.status;
\echo 'Nobody else gets it, and there is a version to go back to:'
\echo
SELECT count(*) AS "claimed from now on" FROM update_tier.claim_batch('search-plugin', 'v8');
SELECT name, update_tier.explain('search-plugin', 'v8', id) FROM workspaces WHERE name IN ('dogfood-2', 'customer-001') ORDER BY name DESC;
SELECT count(*) FILTER (WHERE e.tier = 'production') AS "customers who saw v8", update_tier.promoted_version('search-plugin') AS "roll back to"
  FROM update_tier.execution AS e JOIN update_tier.rollout AS r ON r.id = e.rollout WHERE r.version = 'v8';
