-- An application with its own queue, and the gate in it.
--
-- The queue is that of a workspace server: a sweeper puts a row there for each
-- workspace whose plugin is behind, a drainer applies the oldest 25.  Run it in
-- an empty database, as a superuser:
--
--     createdb drainer && psql -d drainer -f examples/drainer.sql
--
-- It sets the stage with 25 rows of customers that are older than the one row
-- of a canary.  The canary must be served, and nobody else.

CREATE TABLE workspaces (
    id     uuid PRIMARY KEY,
    name   text NOT NULL,
    status text NOT NULL DEFAULT 'online');
CREATE TABLE plugin_update_queue (
    id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    workspace_id uuid NOT NULL REFERENCES workspaces (id) ON DELETE CASCADE,
    plugin_name  text NOT NULL,
    tracked_ref  text NOT NULL,
    latest_sha   text NOT NULL,
    status       text NOT NULL DEFAULT 'pending'
                 CHECK (status IN ('pending', 'applied', 'dismissed')),
    created_at   timestamptz NOT NULL DEFAULT now());
CREATE UNIQUE INDEX ON plugin_update_queue (workspace_id, plugin_name) WHERE status = 'pending';
CREATE INDEX ON plugin_update_queue (created_at) WHERE status = 'pending';

INSERT INTO workspaces (id, name)
SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid,
       CASE n WHEN 26 THEN 'our own' ELSE 'customer ' || n END
  FROM generate_series(1, 26) AS n;

CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', live_when => $$status <> 'removed'$$);
SELECT set_update_tier(id, 'canary') FROM workspaces WHERE name = 'our own';

INSERT INTO plugin_update_queue (workspace_id, plugin_name, tracked_ref, latest_sha, created_at)
SELECT id, 'search', 'main', 'c0ffee', timestamptz '2026-01-01' + row_number() OVER (ORDER BY id) * interval '1 minute'
  FROM workspaces;

-- Deliver the bytes to a workspace, and return the hash of what is installed
-- there now.  Yours fetches, delivers and restarts; this one remembers.
CREATE TABLE delivered (n serial, workspace_id uuid, sha text);
CREATE FUNCTION apply_update(workspace uuid, plugin text, sha text) RETURNS text LANGUAGE sql AS $$
    INSERT INTO delivered (workspace_id, sha) VALUES (workspace, sha) RETURNING delivered.sha
$$;

-- One tick of the drainer.
--
-- The package is what versions replace one another in: the plugin at the ref
-- it tracks.  The gate stands in the WHERE, before the LIMIT: a gate behind it
-- would look at the 25 oldest rows, find all of them held, and never come to
-- the canary's.
--
-- The claim is committed before anything is applied, so that a second drainer,
-- or the endpoint, or the next tick after a crash, finds the workspace leased.
CREATE PROCEDURE drain() LANGUAGE plpgsql AS $$
DECLARE
    due       uuid[];
    q         plugin_update_queue;
    package   text;
    token     bigint;
    installed text;
BEGIN
    due := ARRAY(
        SELECT d.id FROM plugin_update_queue AS d
         WHERE d.status = 'pending'
           AND update_tier.allows(d.plugin_name || '@' || d.tracked_ref, d.latest_sha, d.workspace_id)
         ORDER BY d.created_at LIMIT 25 FOR UPDATE SKIP LOCKED);
    COMMIT;

    FOREACH q.id IN ARRAY due LOOP
        SELECT * INTO q FROM plugin_update_queue AS d WHERE d.id = q.id AND d.status = 'pending';
        CONTINUE WHEN NOT FOUND;
        package := q.plugin_name || '@' || q.tracked_ref;

        token := update_tier.claim(package, q.latest_sha, q.workspace_id);
        COMMIT;
        CONTINUE WHEN token IS NULL;        -- somebody else has it, or the budget is spent

        BEGIN
            installed := apply_update(q.workspace_id, q.plugin_name, q.latest_sha);
        EXCEPTION WHEN OTHERS THEN
            -- Nobody knows how far it came.  The row stays pending; after
            -- max_attempts of these the rollout takes it for a failure.
            PERFORM update_tier.report(token, 'error', detail => SQLERRM);
            CONTINUE;
        END;

        -- The row is applied only if the new bytes have arrived.
        PERFORM update_tier.report(token, 'succeeded', installed);
        UPDATE plugin_update_queue SET status = 'applied' WHERE id = q.id AND installed = q.latest_sha;
        COMMIT;
    END LOOP;
END $$;

-- The first tick: of 26 rows the canary's, which is the youngest.
CALL drain();
SELECT w.name, d.sha FROM delivered AS d JOIN workspaces AS w ON w.id = d.workspace_id ORDER BY d.n;
SELECT package, version, phase, canary_succeeded, waits_for FROM update_tier.status;

-- The second: nothing, for the version soaks.
CALL drain();
SELECT count(*) AS delivered FROM delivered;
SELECT q.status, count(*) FROM plugin_update_queue AS q GROUP BY 1 ORDER BY 1;

-- An operator has seen enough.  (Otherwise it takes a day, and nobody.)
SELECT update_tier.promote('search@main', 'c0ffee', 'seen enough');
CALL drain();
SELECT q.status, count(*) FROM plugin_update_queue AS q GROUP BY 1 ORDER BY 1;
SELECT package, version, phase, canary_succeeded, production_succeeded FROM update_tier.status;
