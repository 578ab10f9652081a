--
-- examples/drainer.sql does what its comments say: 25 older rows of the queue do not
-- delay the canary's row, a version does not wait for offline workspaces, and after an
-- abort the queue contains the rollback.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set example :abs_srcdir '/examples/drainer.sql'
\set later :abs_srcdir '/test/later.sql'
\i :example
\i :later
\set package '''github://acme/search#main'''
CREATE VIEW waiting AS
    SELECT w.name, q.latest_sha, q.status, q.created_at FROM plugin_update_queue AS q
      JOIN workspaces AS w ON w.id = q.workspace_id WHERE q.status = 'pending';
-- The canary reports that it is back.  The customer that was offline is skipped once
-- more, and gets the version when it is online.  Skipping has used no attempt.
SELECT install_report(id, :package, 'c0ffee') FROM workspaces WHERE name = 'our own';
SELECT name, latest_sha FROM waiting ORDER BY 1;
TRUNCATE delivered;
SELECT later('5 minutes');
CALL drain();
SELECT count(*) AS delivered FROM delivered;
SELECT later('5 minutes');
UPDATE workspaces SET status = 'online';
CALL drain();
SELECT w.name, d.version, i.attempt, i.state FROM delivered AS d JOIN workspaces AS w ON w.id = d.workspace_id
  JOIN update_tier.installed AS i ON i.workspace = d.workspace_id;
SELECT install_report(workspace_id, :package, version) FROM delivered;
SELECT count(*) FROM waiting;
-- A drainer crashes between claim and delivery: while the lease lasts no other drainer
-- delivers the row.
SELECT sweep(:package, 'decaf');
SELECT count(*) FROM update_tier.claim_batch(:package);
TRUNCATE delivered;
CALL drain();
SELECT count(*) AS delivered FROM delivered;
SELECT later('15 minutes');
CALL drain();
SELECT w.name, d.version, i.attempt, i.state FROM delivered AS d JOIN workspaces AS w ON w.id = d.workspace_id
  JOIN update_tier.installed AS i ON i.workspace = d.workspace_id;
-- A restart that was dispatched, and of which no report came, is no success.
SELECT later('15 minutes');
SELECT w.name, i.attempt, i.state FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace
 WHERE i.attempted_version = 'decaf';
-- The workspace installed another version than the claimed one, because the ref has
-- moved on: an error, and the row waits.  It was the last attempt, so it counts as a
-- failure.
CREATE OR REPLACE FUNCTION deliver(workspace uuid, package text, version text, OUT outcome text, OUT installed text)
LANGUAGE sql AS $$SELECT 'succeeded', 'other'$$;
CALL drain();
SELECT w.name, i.version AS runs, i.attempt, i.state, i.detail FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace
 WHERE i.attempted_version = 'decaf';
SELECT version, phase, canary_failed FROM update_tier.status WHERE version = 'decaf';
SELECT name, latest_sha FROM waiting WHERE name = 'our own';
SELECT p.installed_sha FROM workspace_plugins AS p JOIN workspaces AS w ON w.id = p.workspace_id WHERE w.name = 'our own';
-- A fix replaces the version in every row, and each row keeps its place in the queue.
SELECT count(*) FROM waiting WHERE latest_sha = 'decaf';
CREATE TABLE before AS SELECT name, created_at FROM waiting;
SELECT sweep(:package, 'f1');
SELECT latest_sha, count(*) FROM waiting GROUP BY 1;
SELECT count(*) FROM waiting JOIN before USING (name, created_at);
-- A delivery that raises an error is reported, and does not end the tick.
CREATE OR REPLACE FUNCTION deliver(workspace uuid, package text, version text, OUT outcome text, OUT installed text)
LANGUAGE plpgsql AS $$BEGIN RAISE 'no answer'; END$$;
CALL drain();
SELECT w.name, i.attempt, i.state, i.detail FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace
 WHERE i.attempted_version = 'f1';
-- An outcome that is known at once needs no install report.
CREATE OR REPLACE FUNCTION deliver(workspace uuid, package text, version text, OUT outcome text, OUT installed text)
LANGUAGE sql AS $$
    INSERT INTO delivered (workspace_id, version) VALUES (workspace, version);
    SELECT 'succeeded', version;
$$;
CALL drain();
SELECT version, phase FROM update_tier.status WHERE phase = 'soaking';
SELECT latest_sha, count(*) FROM waiting GROUP BY 1;
-- The ref moves before production was updated: the rows name the newer version, which
-- is for the canary, and production gets the promoted version.
SELECT later('1 day');
SELECT sweep(:package, 'f2');
TRUNCATE delivered;
CALL drain();
CALL drain();
SELECT w.update_tier, d.version, count(*), min(d.n) = min(min(d.n)) OVER () AS first
  FROM delivered AS d JOIN workspaces AS w ON w.id = d.workspace_id GROUP BY 1, 2 ORDER BY 1;
SELECT latest_sha, count(*) FROM waiting GROUP BY 1;
-- sweep() removes rows that are no longer needed: the ref is back at the installed
-- version, or the workspace follows another ref.
SELECT sweep(:package, 'f1');
SELECT name, latest_sha FROM waiting;
SELECT sweep(:package, 'f2');
UPDATE workspace_plugins SET tracked_ref = 'none' WHERE workspace_id IN (SELECT id FROM workspaces WHERE name LIKE 'customer 1%');
SELECT sweep(:package, 'f2');
SELECT count(*), count(*) FILTER (WHERE name LIKE 'customer 1%') AS untracked FROM waiting;

DROP PROCEDURE drain;
DROP VIEW pending, waiting;
DROP FUNCTION deliver, install_report, has_installed, sweep, adopt, package_of, later;
DROP TABLE delivered, before, plugin_update_queue, workspace_plugins;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
