-- Lists and gates over the fleet, in the server.
SET client_min_messages = warning;
CREATE TABLE plain_workspaces (id uuid PRIMARY KEY, live boolean NOT NULL, update_tier text NOT NULL CHECK (update_tier IN ('canary', 'production')));
INSERT INTO plain_workspaces SELECT id, live, update_tier FROM workspaces;
CREATE INDEX ON plain_workspaces (update_tier) WHERE update_tier = 'canary';
VACUUM ANALYZE plain_workspaces;
CREATE TABLE queue AS SELECT id AS workspace, 'p' AS package, '1' AS version FROM workspaces LIMIT 100000;
VACUUM ANALYZE queue;
SELECT update_tier.set_policy('p', soak => '0', require_canary => false), update_tier.start('p', '1') \g /dev/null
SELECT plain.start('p', '1', '0', false, 25) \g /dev/null
VACUUM ANALYZE plain.rollout, plain.installation;
-- Of tables this small the planner would plan some statements again in each call.
SET plan_cache_mode = force_generic_plan;
SELECT compare(:turns, false,
    'production list', 'SELECT count(*) FROM production_workspaces()',
    'production query', $$SELECT count(*) FROM (SELECT id FROM plain_workspaces WHERE live AND update_tier = 'production' ORDER BY id OFFSET 0) AS w$$);
SELECT compare(:turns, false,
    'is_open', $$SELECT count(*) FROM queue AS q JOIN workspaces AS w ON w.id = q.workspace WHERE update_tier.is_open(q.package, q.version, w.update_tier)$$,
    'is_open by hand', $$SELECT count(*) FROM queue AS q JOIN workspaces AS w ON w.id = q.workspace
        LEFT JOIN (SELECT DISTINCT ON (package) package, version, CASE WHEN phase = 'promoted' THEN promoted_at + ramp <= now()
                          ELSE phase = 'soaking' AND auto_promote AND soaks_from + soak + ramp <= now() END AS promoted
                     FROM update_tier.rollout WHERE phase IN ('canary', 'soaking', 'promoted') ORDER BY package, ordinal DESC) AS r
          ON r.package = q.package AND r.version = q.version
        WHERE r.promoted OR w.update_tier = 'canary' AND r.version IS NOT NULL$$,
    'is_open PL/pgSQL', $$SELECT count(*) FROM queue AS q JOIN workspaces AS w ON w.id = q.workspace WHERE plain.is_open(q.package, q.version, w.update_tier)$$,
    'allows', $$SELECT count(*) FROM queue AS q WHERE update_tier.allows(q.package, q.version, q.workspace)$$,
    'allows PL/pgSQL', $$SELECT count(*) FROM queue AS q WHERE plain.allows(q.package, q.version, q.workspace)$$,
    'wanted_version', $$SELECT count(update_tier.wanted_version(q.package, q.workspace)) FROM queue AS q$$);
RESET plan_cache_mode;
-- A tick of a queue whose first 10,000 workspaces are not due: their version is not open to
-- production yet.
CREATE TABLE candidates AS SELECT id AS workspace FROM workspaces WHERE update_tier = 'production' LIMIT 10000;
SELECT update_tier.set_policy('h', soak => '1 day', require_canary => true), update_tier.start('h', '1') \g /dev/null
VACUUM ANALYZE candidates, update_tier.package, update_tier.rollout, update_tier.installation;
SELECT compare(:turns, false,
    'candidates held', $$SELECT count(*) FROM update_tier.claim_batch('h', '1', 25, ARRAY(SELECT workspace FROM candidates))$$,
    'candidates held by hand', $$SELECT count(*) FROM (SELECT c.workspace
      FROM candidates AS c JOIN workspaces AS w ON w.id = c.workspace AND w.live
      JOIN update_tier.rollout AS r ON r.package = 'h' AND r.version = '1'
      JOIN update_tier.package AS p ON p.name = r.package
      LEFT JOIN update_tier.installation AS i ON i.package_id = p.id AND i.workspace = c.workspace
     WHERE (w.update_tier = 'canary' AND r.phase IN ('canary', 'soaking')
            OR r.phase = 'promoted' AND r.promoted_at + r.ramp <= now()
            OR r.phase = 'soaking' AND r.auto_promote AND r.soaks_from + r.soak + r.ramp <= now())
       AND (i.rollout IS NULL OR i.ordinal < r.ordinal AND (i.state <> 'claimed' OR i.lease_until <= now())
            OR i.rollout = r.id AND i.state NOT IN ('claimed', 'succeeded') AND i.attempt < r.max_attempts AND i.retry_at <= now())
     LIMIT 25) AS due$$);
-- The cost of the audit trigger for an UPDATE that does not change the tier.
SELECT update_tier.attach('workspaces', 'live', audit => false) \g /dev/null
CREATE TABLE audited (LIKE workspaces INCLUDING ALL);
INSERT INTO audited SELECT * FROM workspaces LIMIT 100000;
CREATE TABLE unaudited (LIKE workspaces INCLUDING ALL);
INSERT INTO unaudited SELECT * FROM workspaces LIMIT 100000;
CREATE TRIGGER update_tier_changed AFTER UPDATE ON audited FOR EACH ROW WHEN (update_tier.tier_changes(OLD, NEW)) EXECUTE FUNCTION update_tier.record_tier();
SELECT compare(:turns, true,
    'update audited', 'UPDATE audited SET live = NOT live',
    'update unaudited', 'UPDATE unaudited SET live = NOT live');
SELECT update_tier.attach('workspaces', 'live') \g /dev/null
DROP TABLE audited, unaudited;
