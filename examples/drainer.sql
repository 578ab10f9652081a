-- An application that has its own queue, and uses update_tier.
--
-- The tables are those of a workspace server.  A sweeper finds new versions and fills
-- the queue.  A drainer takes workspaces from the queue, with at most 25 restarts a
-- tick.  Each workspace later reports the version that it has installed.  Run this file
-- in an empty database, as a superuser:
--
--     createdb drainer && psql -d drainer -f examples/drainer.sql
--
-- Copy the part above "A day of this platform".

CREATE TABLE workspaces (
    id     uuid PRIMARY KEY,
    name   text NOT NULL,
    status text NOT NULL DEFAULT 'online');
CREATE TABLE workspace_plugins (
    workspace_id  uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    plugin_name   text NOT NULL,
    source_raw    text NOT NULL,
    tracked_ref   text NOT NULL DEFAULT 'none',
    installed_sha text,
    PRIMARY KEY (workspace_id, plugin_name));
CREATE TABLE plugin_update_queue (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    plugin_name  text NOT NULL,
    tracked_ref  text NOT NULL,
    current_sha  text,
    latest_sha   text NOT NULL,
    status       text NOT NULL DEFAULT 'pending'
                 CHECK (status IN ('pending', 'applied', 'dismissed')),
    created_at   timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX ON plugin_update_queue (workspace_id, plugin_name) WHERE status = 'pending';
CREATE INDEX ON plugin_update_queue (created_at) WHERE status = 'pending';

CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', live_when => $$status <> 'removed'$$);

-- The package is a source at a ref.  The name of a plugin would not do, because two
-- sources can use the same name.
CREATE FUNCTION package_of(source_raw text, tracked_ref text) RETURNS text IMMUTABLE LANGUAGE sql AS $$
    SELECT split_part(source_raw, '#', 1) || '#' || tracked_ref
$$;

CREATE VIEW pending AS
SELECT package_of(p.source_raw, p.tracked_ref) AS package, w.id AS workspace, w.update_tier AS tier,
       max(q.latest_sha) AS version, min(q.created_at) AS created_at
  FROM plugin_update_queue AS q
  JOIN workspace_plugins AS p USING (workspace_id, plugin_name)
  JOIN workspaces AS w ON w.id = q.workspace_id
 WHERE q.status = 'pending'
 GROUP BY 1, 2;

-- For a fleet that runs a version already when you add the extension: makes it the
-- promoted version, which a rollback needs, without a restart of any workspace.
CREATE FUNCTION adopt(package text, version text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.start(package, version);
    PERFORM update_tier.observe(package, version, p.workspace_id)
       FROM workspace_plugins AS p
      WHERE package_of(p.source_raw, p.tracked_ref) = package AND p.installed_sha = version;
    PERFORM update_tier.promote(package, version, 'the fleet runs it already');
END $$;

-- The sweeper has found the hash that a package's ref points at.
CREATE FUNCTION sweep(package text, tip text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    target text := tip;
BEGIN
    -- start registers a version, and returns the phase of a version that is known
    -- already.  If an operator has aborted it, go back to the promoted version, although
    -- the ref still points to the aborted one.
    IF update_tier.start(package, tip) = 'aborted' THEN
        target := update_tier.promoted_version(package);
    END IF;

    -- The row of a workspace that is not due waits with the old hash.  DO NOTHING would
    -- leave it unchanged, and the row would never get the fix of a bad version.
    INSERT INTO plugin_update_queue AS q (workspace_id, plugin_name, tracked_ref, current_sha, latest_sha)
    SELECT p.workspace_id, p.plugin_name, p.tracked_ref, p.installed_sha, target
      FROM workspace_plugins AS p
     WHERE package_of(p.source_raw, p.tracked_ref) = package
       AND p.installed_sha IS DISTINCT FROM target AND target IS NOT NULL
    ON CONFLICT (workspace_id, plugin_name) WHERE status = 'pending'
    DO UPDATE SET latest_sha = excluded.latest_sha, tracked_ref = excluded.tracked_ref
     WHERE (q.latest_sha, q.tracked_ref) <> (excluded.latest_sha, excluded.tracked_ref);

    -- These rows are no longer needed: the workspace has the version, or follows another
    -- ref.
    UPDATE plugin_update_queue AS q SET status = 'dismissed'
      FROM workspace_plugins AS p
     WHERE q.status = 'pending' AND (q.workspace_id, q.plugin_name) = (p.workspace_id, p.plugin_name)
       AND (p.tracked_ref = 'none' OR package_of(p.source_raw, p.tracked_ref) = package AND p.installed_sha = target);
END $$;

-- Deliver a version to a workspace.  Your function fetches, delivers and restarts; this
-- function only records the call.  It returns
--   succeeded  with the version that is installed now, if that is known at once,
--   skipped    if nothing was applied, because the workspace is offline,
--   NULL       if the restart is on its way: an install report will follow,
-- and raises an error if the result is unknown.
CREATE TABLE delivered (n serial, workspace_id uuid, version text);
CREATE FUNCTION deliver(workspace uuid, package text, version text, OUT outcome text, OUT installed text)
LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT status FROM workspaces WHERE id = workspace) = 'offline' THEN
        outcome := 'skipped';
    ELSE
        INSERT INTO delivered (workspace_id, version) VALUES (workspace, version);
    END IF;
END $$;

-- Records that a workspace has a version, delivered by the drainer or not.
CREATE FUNCTION has_installed(workspace uuid, package text, version text) RETURNS void LANGUAGE sql AS $$
    UPDATE workspace_plugins SET installed_sha = version
     WHERE workspace_id = workspace AND package_of(source_raw, tracked_ref) = package;
    UPDATE plugin_update_queue AS q SET status = 'applied'
      FROM workspace_plugins AS p
     WHERE q.status = 'pending' AND q.workspace_id = workspace AND q.latest_sha = version
       AND (q.workspace_id, q.plugin_name) = (p.workspace_id, p.plugin_name)
       AND package_of(p.source_raw, p.tracked_ref) = package;
$$;

-- The handler of install reports, which have no token.  A report ends the lease of the
-- drainer, if the drainer delivered this version, and is evidence in any case.  A
-- workspace that does not work reports 'failed'.
CREATE FUNCTION install_report(workspace uuid, package text, version text, outcome text DEFAULT 'succeeded')
RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM has_installed(workspace, package, version);
    RETURN update_tier.observe(package, version, workspace, outcome);
END $$;

-- One tick of the drainer.
--
-- All workspaces that wait are candidates, and not only the 25 oldest: it may be that
-- none of the oldest is due.  claim_batch picks the workspaces that are due, in the
-- given order, and returns the version that each should have.  That need not be the
-- newest version, which the row names: while the newest soaks, production gets the
-- version before.  Canaries come first ("canary" sorts before "production"), so the next
-- version need not wait until the last one is installed everywhere.
CREATE PROCEDURE drain(budget integer DEFAULT 25) LANGUAGE plpgsql AS $$
DECLARE
    wait      record;
    claim     record;
    outcome   text;
    installed text;
    detail    text;
BEGIN
    FOR wait IN
        SELECT package, array_agg(workspace ORDER BY tier, created_at, workspace) AS candidates
          FROM pending GROUP BY package ORDER BY min(created_at)
    LOOP
        WHILE budget > 0 LOOP
            FOR claim IN
                SELECT c.workspace, c.version, c.token
                  FROM update_tier.claim_batch(wait.package, NULL, budget, wait.candidates) AS c
            LOOP
                -- Commit before the delivery: only then other drainers see the lease,
                -- and it survives a crash of this drainer.
                COMMIT;
                wait.candidates := array_remove(wait.candidates, claim.workspace);
                BEGIN
                    detail := NULL;
                    SELECT d.outcome, d.installed INTO outcome, installed
                      FROM deliver(claim.workspace, wait.package, claim.version) AS d;
                EXCEPTION WHEN OTHERS THEN
                    -- It is unknown what was applied.
                    SELECT 'error', NULL, SQLERRM INTO outcome, installed, detail;
                END;
                IF outcome IS NOT NULL THEN
                    PERFORM update_tier.report(claim.token, outcome, installed, detail);
                    -- The installed version counts, and not the delivered one.
                    IF installed IS NOT NULL THEN
                        PERFORM has_installed(claim.workspace, wait.package, installed);
                    END IF;
                END IF;
                -- A workspace that is offline has cost no restart.
                IF outcome IS DISTINCT FROM 'skipped' THEN
                    budget := budget - 1;
                END IF;
            END LOOP;
            -- Also when nothing was due: the lock on the package is held until the
            -- commit.
            COMMIT;
            EXIT WHEN NOT FOUND;
        END LOOP;
    END LOOP;
END $$;

-- POST /admin/plugin-updates/:id/apply claims one workspace in the same way, so that it
-- and the drainer never deliver to it at the same time.  If claim_batch returns no row,
-- explain says why.
--
--   SELECT version, token FROM update_tier.claim_batch(package, NULL, 1, ARRAY[workspace]);
--   SELECT update_tier.explain(package, version, workspace);


-- A day of this platform: 25 customers, and a workspace of our own, which is the canary.
-- One customer is offline.
INSERT INTO workspaces (id, name, status)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       CASE n WHEN 26 THEN 'our own' ELSE 'customer ' || n END,
       CASE n WHEN 25 THEN 'offline' ELSE 'online' END
  FROM generate_series(1, 26) AS n;
INSERT INTO workspace_plugins (workspace_id, plugin_name, source_raw, tracked_ref, installed_sha)
SELECT id, 'search', 'github://acme/search#main', 'main', 'a11ce' FROM workspaces;
SELECT set_update_tier(id, 'canary') FROM workspaces WHERE name = 'our own';
SELECT adopt('github://acme/search#main', 'a11ce');

-- A new version.  All 26 wait, and the canary's row is the youngest.
SELECT sweep('github://acme/search#main', 'c0ffee');
UPDATE plugin_update_queue SET created_at = created_at - interval '1 hour'
 WHERE workspace_id IN (SELECT production_workspaces());

-- The first tick serves only the canary.
CALL drain();
SELECT w.name, d.version FROM delivered AS d JOIN workspaces AS w ON w.id = d.workspace_id ORDER BY d.n;
SELECT version, phase, canary_succeeded, waits_for FROM update_tier.status ORDER BY phase;

-- The canary reports that it runs the version.  Then nothing is due: it soaks.
SELECT install_report(workspace_id, 'github://acme/search#main', version) FROM delivered;
CALL drain();
SELECT count(*) AS delivered FROM delivered;
SELECT status, count(*) FROM plugin_update_queue GROUP BY 1 ORDER BY 1;

-- An operator promotes the version early.  (Otherwise the soak ends by itself, after a
-- day.)  The customer that is offline is skipped, and waits.
SELECT update_tier.promote('github://acme/search#main', 'c0ffee', 'seen enough');
CALL drain();
SELECT count(*) AS delivered FROM delivered;
SELECT DISTINCT install_report(workspace_id, 'github://acme/search#main', version) FROM delivered;
SELECT status, count(*) FROM plugin_update_queue GROUP BY 1 ORDER BY 1;
SELECT w.name, i.version AS runs, i.attempted_version, i.state
  FROM update_tier.installed AS i JOIN workspaces AS w ON w.id = i.workspace
 WHERE i.state <> 'succeeded' ORDER BY 1;

-- The next version is bad.  The canary reports that, and the version is halted.  The
-- author offers no new version, so an operator aborts it.  (A workspace that failed is
-- due again after five minutes; here retry_delay is 0.)
SELECT update_tier.set_policy(retry_delay => '0');
SELECT sweep('github://acme/search#main', 'deadbeef');
CALL drain();
SELECT install_report(workspace_id, 'github://acme/search#main', version, 'failed')
  FROM delivered WHERE version = 'deadbeef';
SELECT update_tier.abort('github://acme/search#main', 'deadbeef', 'search finds nothing');

-- The sweeper finds that the ref has not moved, and queues the rollback of the canary.
-- Rows that waited for the bad version are dismissed.
SELECT sweep('github://acme/search#main', 'deadbeef');
CALL drain();
SELECT w.name, d.version FROM delivered AS d JOIN workspaces AS w ON w.id = d.workspace_id
 ORDER BY d.n DESC LIMIT 1;
SELECT status, latest_sha, count(*) FROM plugin_update_queue GROUP BY 1, 2 ORDER BY 1, 2;
