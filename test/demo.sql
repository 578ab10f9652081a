-- The demonstration of test/demo.  After each step it checks that its text is true, and
-- ends with an error if it is not.
\set QUIET on
\set ON_ERROR_STOP 1
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
CREATE FUNCTION told(is_so boolean, what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF is_so IS NOT TRUE THEN
        RAISE EXCEPTION 'This did not come out as told: %', what;
    END IF;
END $$;
-- Claim and report until all of production has the version, with a bar for each turn.
CREATE PROCEDURE drain(package text, version text) LANGUAGE plpgsql AS $$
DECLARE
    claimed bigint;
    p record;
BEGIN
    FOR turn IN 1 .. 40 LOOP
        PERFORM update_tier.report(b.token, 'succeeded', b.version) FROM update_tier.claim_batch(package, version, 200) AS b;
        GET DIAGNOSTICS claimed = ROW_COUNT;
        COMMIT;
        SELECT * INTO p FROM update_tier.progress(package, version) WHERE tier = 'production';
        RAISE INFO '% % of %', rpad(repeat('#', (50 * p.succeeded / p.workspaces)::integer), 50, '.'), lpad(p.succeeded::text, 4), p.workspaces;
        IF p.succeeded = p.workspaces THEN
            RETURN;
        ELSIF claimed < 200 THEN
            PERFORM pg_sleep(0.5);
        END IF;
    END LOOP;
    PERFORM told(false, version || ' reaches all of production');
END $$;
RESET client_min_messages;

\echo
\echo '=== A platform with 1,000 workspaces; nothing says which of them get an update first ==='
\echo
SELECT count(*) AS workspaces, count(*) FILTER (WHERE status = 'removed') AS "of these removed" FROM workspaces;

\echo '=== CREATE EXTENSION update_tier;'
\echo
CREATE EXTENSION update_tier;
\echo 'The table "workspaces" has a new column, without having been rewritten or scanned.'
\echo 'This platform keeps the rows of removed workspaces. With a condition they do not count:'
\echo
\echo '=== SELECT update_tier.attach(''workspaces'', $$status <> ''removed''$$);'
\echo
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$) \g /dev/null
\echo 'All workspaces are production until you make some of them canaries.'
\echo
\echo '=== SELECT * FROM update_tier.counts();'
\echo
SELECT * FROM update_tier.counts();

\echo '=== Five workspaces of our own become canaries'
\echo
\echo 'SELECT name, set_update_tier(id, ''canary'') AS was FROM workspaces WHERE name LIKE ''dogfood-%'' ORDER BY name;'
\echo
SELECT name, set_update_tier(id, 'canary') AS was FROM workspaces WHERE name LIKE 'dogfood-%' ORDER BY name;
ANALYZE workspaces;

\echo '=== SELECT * FROM canary_workspaces();'
\echo
SELECT * FROM canary_workspaces();
SELECT * FROM update_tier.counts();

\echo '=== A typo is an error, and the error says what is allowed'
\echo
\echo 'SELECT set_update_tier(id, ''canery'') FROM workspaces WHERE name = ''customer-001'';'
\echo
\set ON_ERROR_STOP 0
SELECT set_update_tier(id, 'canery') FROM workspaces WHERE name = 'customer-001';
\set code :SQLSTATE
\set ON_ERROR_STOP 1
SELECT told(:'code' = '23514', 'a typo is refused') \g /dev/null
\echo
\echo 'In plain SQL, too:'
\echo
\echo 'UPDATE workspaces SET update_tier = ''canery'' WHERE name = ''customer-001'';'
\echo
\set ON_ERROR_STOP 0
UPDATE workspaces SET update_tier = 'canery' WHERE name = 'customer-001';
\set code :SQLSTATE
\set ON_ERROR_STOP 1
SELECT told(:'code' = '23514', 'a typo in plain SQL is refused') \g /dev/null

\echo
\echo '=== The list of canaries is read from the partial index alone'
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
\echo 'The policy for the demo: a soak of two seconds instead of a day, three canaries that must succeed,'
\echo 'and no delay before the next attempt at a workspace.'
\echo
\echo 'SELECT update_tier.set_policy(''search-plugin'', soak => ''2 seconds'', min_successes => 3,'
\echo '                              max_in_flight => 200, retry_delay => ''0'');'
\echo 'SELECT update_tier.start(''search-plugin'', ''v7'');'
\echo 'SELECT * FROM update_tier.claim_batch(''search-plugin'');'
\echo
SELECT update_tier.set_policy('search-plugin', soak => '2 seconds', min_successes => 3, max_in_flight => 200, retry_delay => '0') \g /dev/null
SELECT update_tier.start('search-plugin', 'v7') \g /dev/null
SELECT * FROM update_tier.claim_batch('search-plugin');
SELECT told((SELECT count(*) = 5 AND bool_and(tier = 'canary') FROM update_tier.installation WHERE state = 'claimed'), 'the five canaries are claimed, and nobody else') \g /dev/null
\echo 'A customer gets no lease, and explain says why:'
\echo
\echo 'SELECT name, update_tier.claim(''search-plugin'', ''v7'', id), update_tier.explain(''search-plugin'', ''v7'', id) ...'
\echo
\pset null (refused)
SELECT name, update_tier.claim('search-plugin', 'v7', id), update_tier.explain('search-plugin', 'v7', id)
  FROM workspaces WHERE name = 'customer-001';
\pset null ''
\echo 'The canaries report that all is well, and the version soaks:'
\echo
\echo 'SELECT update_tier.report(token, ''succeeded'', installed_version => ''v7'');'
\echo
SELECT update_tier.report(token, 'succeeded', 'v7') FROM update_tier.installed WHERE state = 'claimed' ORDER BY token;
SELECT package, version, phase, canary_succeeded, waits_for FROM update_tier.status;
SELECT told((SELECT phase = 'soaking' AND canary_succeeded = 5 FROM update_tier.status), 'v7 soaks') \g /dev/null
SELECT told((SELECT NOT bool_or(update_tier.allows('search-plugin', 'v7', id)) FROM workspaces), 'nobody may have v7 while it soaks') \g /dev/null

\echo '=== Two seconds later: the soak is over; no process has to run for that'
\echo
SELECT pg_sleep(2.1) \g /dev/null
SELECT package, version, phase FROM update_tier.status;
SELECT told((SELECT phase = 'promoted' FROM update_tier.status), 'v7 is promoted') \g /dev/null
\echo 'Production, 200 at a time:'
\echo
CALL drain('search-plugin', 'v7');
\echo
SELECT * FROM update_tier.progress('search-plugin', 'v7');
SELECT told((SELECT count(*) = 950 FROM update_tier.installed WHERE version = 'v7' AND state = 'succeeded'), 'all have v7') \g /dev/null

\echo '=== A bad version: v8 breaks the first canary that gets it'
\echo
\echo 'SELECT update_tier.start(''search-plugin'', ''v8'');'
\echo 'SELECT update_tier.report(token, ''failed'', detail => ''does not boot'') FROM update_tier.claim_batch(''search-plugin'', ''v8'', 1);'
\echo
SELECT update_tier.start('search-plugin', 'v8') \g /dev/null
SELECT update_tier.report(token, 'failed', detail => 'does not boot') FROM update_tier.claim_batch('search-plugin', 'v8', 1);
\echo 'The database halts it, and no other workspace gets it:'
\echo
SELECT version, phase, reason FROM update_tier.status;
SELECT count(*) AS "claimed from now on" FROM update_tier.claim_batch('search-plugin', 'v8');
SELECT told((SELECT phase = 'halted' FROM update_tier.status WHERE version = 'v8'), 'v8 is halted') \g /dev/null
SELECT told((SELECT count(*) = 1 AND min(update_tier) = 'canary' FROM update_tier.installed JOIN workspaces ON id = workspace WHERE attempted_version = 'v8'),
            'one canary has seen v8, and no customer') \g /dev/null
\echo 'The canary that has it waits for a decision:'
\echo
\echo 'SELECT name, update_tier.explain(''search-plugin'', ''v7'', id) FROM workspaces WHERE name = ''dogfood-1'';'
\echo
SELECT name, update_tier.explain('search-plugin', 'v7', id) FROM workspaces WHERE name = 'dogfood-1';

SELECT told((SELECT update_tier.explain('search-plugin', 'v7', id) LIKE 'has version v8, which is halted%' FROM workspaces WHERE name = 'dogfood-1'),
            'the canary that has v8 waits') \g /dev/null

\echo '=== The rollback: abort v8, and the canary is due for v7 again'
\echo
\echo 'SELECT update_tier.abort(''search-plugin'', ''v8'', ''does not boot, see T-123'');'
\echo
SELECT update_tier.abort('search-plugin', 'v8', 'does not boot, see T-123');
SELECT name, update_tier.explain('search-plugin', 'v7', id), update_tier.wanted_version('search-plugin', id)
  FROM workspaces WHERE name = 'dogfood-1';
SELECT told((SELECT update_tier.allows('search-plugin', 'v7', id) FROM workspaces WHERE name = 'dogfood-1'), 'the canary may go back to v7') \g /dev/null
\echo 'SELECT update_tier.report(token, ''succeeded'') FROM update_tier.claim_batch(''search-plugin'');'
\echo
SELECT update_tier.report(token, 'succeeded') FROM update_tier.claim_batch('search-plugin');
SELECT w.name, i.version AS runs, i.state FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace WHERE w.name LIKE 'dogfood-%' ORDER BY w.name;
SELECT told((SELECT count(*) = 950 FROM update_tier.installed WHERE version = 'v7' AND state = 'succeeded'), 'the canary runs v7, as all others do') \g /dev/null

\echo '=== A good version: v9, which opens to customers one by one, within four seconds'
\echo
\echo 'SELECT update_tier.set_policy(''search-plugin'', ramp => ''4 seconds'');'
\echo 'SELECT update_tier.start(''search-plugin'', ''v9'');'
\echo 'SELECT update_tier.report(token, ''succeeded'') FROM update_tier.claim_batch(''search-plugin'');'
\echo
SELECT update_tier.set_policy('search-plugin', ramp => '4 seconds') \g /dev/null
SELECT update_tier.start('search-plugin', 'v9') \g /dev/null
SELECT update_tier.report(token, 'succeeded') FROM update_tier.claim_batch('search-plugin') \g /dev/null
SELECT pg_sleep(2.1) \g /dev/null
SELECT told((SELECT phase = 'promoted' AND ramp_ends_at IS NOT NULL FROM update_tier.status WHERE version = 'v9'), 'v9 ramps') \g /dev/null
SELECT version, phase, CASE WHEN ramp_ends_at > now() THEN 'until ' || ramp_ends_at::time(0) END AS ramps FROM update_tier.status ORDER BY version;
\echo 'Each customer has its own moment, and keeps v7 until then:'
\echo
SELECT name, regexp_replace(update_tier.explain('search-plugin', 'v9', id), ' \d{4}-\d\d-\d\d ', ' ') AS explain,
       update_tier.wanted_version('search-plugin', id) AS wanted
  FROM workspaces WHERE name IN ('customer-001', 'customer-003', 'customer-004', 'customer-005') ORDER BY name;
CALL drain('search-plugin', 'v9');

\echo
\echo '=== In the end: who runs what'
\echo
\echo 'SELECT version AS runs, count(*) FROM update_tier.installed GROUP BY version;'
\echo
SELECT version AS runs, count(*) AS workspaces FROM update_tier.installed GROUP BY version ORDER BY version;
\echo 'SELECT name, version AS runs, since FROM update_tier.installed JOIN workspaces ON id = workspace ORDER BY since ...'
\echo
SELECT w.name, w.update_tier, i.version AS runs, to_char(i.since, 'HH24:MI:SS.MS') AS since FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace
 WHERE w.name IN ('dogfood-1', 'dogfood-2', 'customer-001', 'customer-003', 'customer-004', 'customer-005') ORDER BY i.since, w.name;
SELECT told((SELECT count(*) = 950 FROM update_tier.installed WHERE version = 'v9' AND state = 'succeeded'), 'all run v9') \g /dev/null
\echo 'One canary has had v8, and no customer.'
