-- The world of test/simulation: a fleet, the effects of deliveries, and time.  It runs
-- after the part of examples/drainer.sql that is meant to be copied.  :workspaces and
-- :canaries are the sizes of the fleet; another :seed makes another world.

-- The real state of the world.  The application and the extension do not see it.
CREATE TABLE world (
    moment    interval NOT NULL,
    seed      text NOT NULL,
    tip       text NOT NULL,
    delivered bigint NOT NULL);
INSERT INTO world VALUES ('0', :'seed', 'v1', 0);
CREATE TABLE environment (
    workspace uuid PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    runs      text);
-- What a version does to a workspace: "mute" means that it never reports again.
CREATE TABLE behaviour (
    version text PRIMARY KEY,
    effect  text NOT NULL CHECK (effect IN ('good', 'fails', 'fails later', 'mute')));
CREATE TABLE got (at interval NOT NULL, workspace uuid NOT NULL, tier text NOT NULL, version text NOT NULL);
CREATE TABLE restarting (workspace uuid PRIMARY KEY, version text NOT NULL);
CREATE TABLE failing_later (workspace uuid NOT NULL, version text NOT NULL, at interval NOT NULL);
CREATE TABLE trouble (what text NOT NULL);

CREATE SEQUENCE workspace_number;
CREATE FUNCTION new_workspace(tier text, version text) RETURNS void LANGUAGE sql AS $$
    WITH w AS (
        INSERT INTO workspaces (id, name, update_tier)
        SELECT md5(seed || n)::uuid, 'workspace ' || n, tier FROM world, nextval('workspace_number') AS n RETURNING id),
    p AS (
        INSERT INTO workspace_plugins (workspace_id, plugin_name, source_raw, tracked_ref, installed_sha)
        SELECT id, 'search', 'source', 'main', version FROM w)
    INSERT INTO environment SELECT id, version FROM w
$$;
SELECT new_workspace(CASE WHEN n <= :canaries THEN 'canary' ELSE 'production' END, 'v1')
  FROM generate_series(1, :workspaces) AS n;
ANALYZE;

-- A number in [0, 1) that depends only on the seed and the arguments.
CREATE FUNCTION chance(what text, workspace uuid) RETURNS double precision STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN ('x' || substr(md5(what || workspace || (SELECT seed FROM world)), 1, 8))::bit(32)::bigint / 4294967296.0;
END $$;
-- A workspace is offline for one in twenty spans of twelve hours.
CREATE FUNCTION is_offline(workspace uuid) RETURNS boolean STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN chance('offline ' || floor(extract(epoch FROM (SELECT moment FROM world)) / 43200), workspace) < 0.05;
END $$;
-- One workspace in twenty answers only every other time, and a few do not answer until an
-- operator has repaired them.
CREATE TABLE looked_after (workspace uuid PRIMARY KEY);
CREATE FUNCTION does_not_answer(of_workspace uuid) RETURNS boolean STABLE LANGUAGE plpgsql AS $$
BEGIN
    RETURN chance('flapping', of_workspace) < 0.05 AND chance('answer ' || (SELECT moment FROM world), of_workspace) < 0.5
        OR chance('stuck', of_workspace) < 0.005 AND NOT EXISTS (SELECT 1 FROM looked_after WHERE workspace = of_workspace);
END $$;

-- Counters.  They are sequences, because a sequence keeps its value after a crash.
CREATE SEQUENCE skipped;
CREATE SEQUENCE crashed;
CREATE SEQUENCE unanswered;
CREATE SEQUENCE forced;

-- The drainer calls this.  It can end the session of the drainer, which has claimed other
-- workspaces, too.
CREATE OR REPLACE FUNCTION deliver(workspace uuid, package text, version text, OUT outcome text, OUT installed text)
LANGUAGE plpgsql AS $$
BEGIN
    IF is_offline(workspace) THEN
        PERFORM nextval('skipped');
        outcome := 'skipped';
        RETURN;
    ELSIF random() < 0.01 THEN
        PERFORM nextval('crashed');
        PERFORM pg_terminate_backend(pg_backend_pid());
    ELSIF does_not_answer(workspace) AND random() < 0.5 THEN
        PERFORM nextval('unanswered');
        RAISE 'no answer';
    END IF;

    INSERT INTO got SELECT moment, id, update_tier, version FROM world, workspaces WHERE id = workspace;
    IF does_not_answer(workspace) THEN
        PERFORM nextval('unanswered');
    ELSE
        INSERT INTO restarting VALUES (workspace, version);
    END IF;
EXCEPTION WHEN unique_violation THEN
    INSERT INTO trouble VALUES ('a workspace was restarted while it restarted');
END $$;

-- The workspaces that restart are ready, and report.
CREATE PROCEDURE come_up() LANGUAGE plpgsql AS $$
DECLARE
    r record;
BEGIN
    FOR r IN DELETE FROM restarting AS done USING behaviour AS b WHERE b.version = done.version
             RETURNING done.workspace, done.version, b.effect LOOP
        UPDATE environment SET runs = r.version WHERE workspace = r.workspace;
        CONTINUE WHEN r.effect = 'mute';
        PERFORM install_report(r.workspace, 'source#main', r.version,
                               CASE r.effect WHEN 'fails' THEN 'failed' ELSE 'succeeded' END);
        IF r.effect = 'fails later' THEN
            INSERT INTO failing_later SELECT r.workspace, r.version, moment + '6 hours' FROM world;
        END IF;
    END LOOP;
    FOR r IN DELETE FROM failing_later AS f USING world, environment AS e
              WHERE f.at <= moment AND e.workspace = f.workspace
             RETURNING f.workspace, f.version, e.runs LOOP
        IF r.runs = r.version THEN
            PERFORM install_report(r.workspace, 'source#main', r.version, 'failed');
        END IF;
    END LOOP;
END $$;

-- An operator repairs workspaces whose attempts are spent, and forces the version.
CREATE PROCEDURE force_the_spent() LANGUAGE plpgsql AS $$
DECLARE
    spent  uuid;
    wanted text;
    token  bigint;
BEGIN
    FOR spent IN SELECT i.workspace FROM update_tier.installed AS i WHERE i.state IN ('error', 'expired') LOOP
        wanted := update_tier.wanted_version('source#main', spent);
        CONTINUE WHEN (update_tier.explain('source#main', wanted, spent) LIKE 'attempts spent%') IS NOT TRUE;
        token := update_tier.force('source#main', wanted, spent, 'it did not answer');
        PERFORM nextval('forced');
        INSERT INTO looked_after VALUES (spent) ON CONFLICT DO NOTHING;
        CONTINUE WHEN does_not_answer(spent) OR is_offline(spent);
        INSERT INTO got SELECT moment, id, update_tier, wanted FROM world, workspaces WHERE id = spent;
        INSERT INTO restarting VALUES (spent, wanted);
    END LOOP;
END $$;

-- Time passes as in later() of test/later.sql, but only moments that still matter are
-- moved, because there are many rows here.
CREATE FUNCTION later(how_much interval) RETURNS void LANGUAGE sql AS $$
    UPDATE update_tier.package SET stamp = stamp - how_much, first_expiry = first_expiry - how_much;
    UPDATE update_tier.rollout SET
        soaks_from = soaks_from - how_much, promoted_at = promoted_at - how_much, progress_at = progress_at - how_much;
    UPDATE update_tier.installation SET lease_until = lease_until - how_much, retry_at = retry_at - how_much
     WHERE state = 'claimed' OR retry_at > now();
    UPDATE update_tier.uncounted SET at = at - how_much;
$$;

-- The events between two ticks of the appliers.
CREATE PROCEDURE pass() LANGUAGE plpgsql AS $$
DECLARE
    step interval := '10 minutes';
BEGIN
    INSERT INTO trouble SELECT 'more leases than the budget' FROM update_tier.installed
     WHERE state = 'claimed' HAVING count(*) > (SELECT max(max_in_flight) FROM update_tier.rollout);
    CALL come_up();
    COMMIT;

    -- A customer leaves, and another one comes.
    IF random() < 0.3 THEN
        UPDATE workspaces SET status = 'removed'
         WHERE id = (SELECT id FROM workspaces WHERE status <> 'removed' AND update_tier = 'production'
                      ORDER BY random() LIMIT 1);
        PERFORM new_workspace('production', NULL);
    END IF;
    PERFORM sweep('source#main', tip) FROM world WHERE extract(minute FROM moment) = 0;
    COMMIT;

    IF (SELECT count(*) FROM got) = (SELECT delivered FROM world) THEN
        -- No delivery has happened since the last tick: skip to the full hour after the next.
        step := (SELECT interval '2 hours' - make_interval(mins => extract(minute FROM moment)::integer) FROM world);
        CALL force_the_spent();
    END IF;
    UPDATE world SET moment = moment + step, delivered = (SELECT count(*) FROM got);
    PERFORM later(step);
    COMMIT;
END $$;

-- The number of live workspaces that do not run a version, or that run it without the
-- extension knowing that.
CREATE FUNCTION without(v text, of_tier text DEFAULT NULL) RETURNS bigint STABLE LANGUAGE sql AS $$
    SELECT count(*) FROM workspaces AS w
      JOIN environment AS e ON e.workspace = w.id
      LEFT JOIN update_tier.installed AS i ON i.workspace = w.id AND i.package = 'source#main'
     WHERE w.status <> 'removed' AND (of_tier IS NULL OR w.update_tier = of_tier)
       AND (e.runs IS DISTINCT FROM v OR i.version IS DISTINCT FROM v)
$$;
CREATE FUNCTION phase(v text) RETURNS text STABLE LANGUAGE sql AS $$
    SELECT s.phase FROM update_tier.status AS s WHERE s.version = v
$$;

CREATE FUNCTION all_trouble() RETURNS text LANGUAGE sql AS $$
    SELECT COALESCE(string_agg(what, '; '), 'none') FROM (
        SELECT DISTINCT what FROM trouble
        UNION ALL
        SELECT format('production got %s in %s workspaces', version, count(DISTINCT workspace))
          FROM got JOIN behaviour USING (version) WHERE tier = 'production' AND effect <> 'good' GROUP BY version
        UNION ALL
        -- Phases in the events, or reached by the clock and not logged yet.
        SELECT format('%s version %s was %s', CASE effect WHEN 'good' THEN effect ELSE 'bad' END, version, phase)
          FROM (SELECT version, kind AS phase FROM update_tier.event
                UNION SELECT version, phase FROM update_tier.status) AS p
          JOIN behaviour USING (version)
         WHERE phase = CASE effect WHEN 'good' THEN 'halted' ELSE 'promoted' END
    ) AS t (what)
$$;

-- Whether each kind of difficulty has happened, and the phase of each version.
CREATE FUNCTION summary() RETURNS text LANGUAGE sql AS $$
    SELECT format('%s, %s: %s',
        CASE WHEN s.is_called AND c.is_called AND u.is_called AND f.is_called
              AND EXISTS (SELECT 1 FROM update_tier.event WHERE kind = 'expired') THEN 'a hard time' ELSE 'an easy time' END,
        CASE WHEN moment > '3 days' THEN 'some days' ELSE 'a few hours' END,
        (SELECT string_agg(version || ' ' || phase, ', ' ORDER BY version) FROM update_tier.status))
      FROM world, skipped AS s, crashed AS c, unanswered AS u, forced AS f
$$;
