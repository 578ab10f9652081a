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
