--
-- examples/drainer.sql does what it says: 25 held rows that are older than the
-- canary's do not keep it from being served.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set example :abs_srcdir '/examples/drainer.sql'
\i :example
-- A drainer that crashed after its claim: nobody applies the row a second time
-- while the lease lasts.
INSERT INTO plugin_update_queue (workspace_id, plugin_name, tracked_ref, latest_sha)
SELECT id, 'search', 'main', 'decaf' FROM workspaces WHERE name = 'our own';
SELECT update_tier.claim('search@main', 'decaf', id) IS NOT NULL AS claimed FROM workspaces WHERE name = 'our own';
CALL drain();
SELECT count(*) AS delivered FROM delivered WHERE sha = 'decaf';
-- What was gated is not what arrived: the row is not applied.
UPDATE update_tier.execution SET lease_until = now();
UPDATE update_tier.rollout SET first_expiry = now();
CREATE OR REPLACE FUNCTION apply_update(workspace uuid, plugin text, sha text) RETURNS text LANGUAGE sql AS
    $$SELECT 'moved on'::text$$;
CALL drain();
SELECT state, attempt, detail FROM update_tier.execution JOIN update_tier.rollout AS r ON r.id = rollout WHERE version = 'decaf';
SELECT status FROM plugin_update_queue WHERE latest_sha = 'decaf';

DROP PROCEDURE drain;
DROP FUNCTION apply_update;
DROP TABLE delivered, plugin_update_queue;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
