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
    'allows PL/pgSQL', $$SELECT count(*) FROM queue AS q WHERE plain.allows(q.package, q.version, q.workspace)$$);
-- What the record of changes costs an UPDATE that leaves the tier alone.
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
