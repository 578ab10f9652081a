-- What one would write instead: the gates, claim_batch and report in PL/pgSQL,
-- over tables of the same shape, with the same guarantees for these functions:
-- a package is decided on by one transaction at a time, budgets and failures are
-- exact, leases expire, halts are latched and foreseen, stamps come late.
-- Verbs and the queue of newer versions are left out; nothing is written worse
-- than it need be.
CREATE SCHEMA plain;
CREATE TABLE plain.rollout (LIKE update_tier.rollout INCLUDING ALL);
CREATE TABLE plain.execution (LIKE update_tier.execution INCLUDING ALL);
CREATE TABLE plain.event (LIKE update_tier.event INCLUDING ALL);
CREATE SEQUENCE plain.rollout_id;
CREATE SEQUENCE plain.token;
CREATE SEQUENCE plain.event_id;
ALTER TABLE plain.rollout ALTER id SET DEFAULT nextval('plain.rollout_id'), ALTER ordinal SET DEFAULT nextval('plain.rollout_id');
ALTER TABLE plain.event ALTER id SET DEFAULT nextval('plain.event_id');

CREATE FUNCTION plain.phase(r plain.rollout, at timestamptz) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN r.phase IN ('canary', 'soaking', 'promoted') AND r.halts_at <= at THEN 'halted'
        WHEN r.phase = 'soaking' AND r.soak_ends_at <= at THEN 'promoted'
        ELSE r.phase END
$$;

CREATE FUNCTION plain.start(p text, v text, soak interval, require_canary boolean, max_in_flight integer) RETURNS void LANGUAGE sql AS $$
    INSERT INTO plain.rollout (package, version, phase, soak, min_successes, max_failures, max_in_flight, max_attempts,
                               lease, auto_promote, require_canary, soak_ends_at, changed_at)
    VALUES (p, v, CASE WHEN require_canary THEN 'canary' ELSE 'soaking' END, soak, 1, 0, max_in_flight, 3,
            '15 minutes', true, require_canary, CASE WHEN require_canary THEN 'infinity' ELSE now() + soak END, now())
$$;

CREATE FUNCTION plain.is_open(p text, v text, tier text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT COALESCE((SELECT plain.phase(r, now()) = 'promoted' OR tier = 'canary' AND plain.phase(r, now()) IN ('canary', 'soaking')
                       FROM plain.rollout AS r WHERE package = p AND version = v), tier = 'canary')
$$;

CREATE FUNCTION plain.allows(p text, v text, ws uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
DECLARE
    w record; r plain.rollout; e record; phase text;
BEGIN
    SELECT update_tier INTO w FROM workspaces WHERE id = ws AND live;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT * INTO r FROM plain.rollout WHERE package = p AND version = v;
    IF NOT FOUND THEN
        RETURN w.update_tier = 'canary';
    END IF;
    SELECT state, lease_until, attempt INTO e FROM plain.execution WHERE rollout = r.id AND workspace = ws;
    IF FOUND AND (e.state = 'succeeded' OR e.state = 'claimed' AND e.lease_until > now() OR e.attempt >= r.max_attempts) THEN
        RETURN false;
    END IF;
    phase := plain.phase(r, now());
    RETURN phase = 'promoted' OR w.update_tier = 'canary' AND phase IN ('canary', 'soaking');
END $$;

-- The rollout under its lock, with what the clock has done to it and its leases.
CREATE FUNCTION plain.lock(p text, v text) RETURNS plain.rollout LANGUAGE plpgsql AS $$
DECLARE
    r plain.rollout; present text; e record;
BEGIN
    SELECT * INTO r FROM plain.rollout WHERE package = p AND version = v FOR UPDATE;
    IF NOT FOUND THEN
        RAISE no_data_found;
    END IF;
    present := plain.phase(r, now());
    IF present <> r.phase THEN
        IF present = 'promoted' THEN
            r.promoted_at := r.soak_ends_at;
        END IF;
        r.phase := present;
        INSERT INTO plain.event (at, actor, kind, package, version) VALUES (clock_timestamp(), current_user, present, p, v);
        UPDATE plain.rollout SET phase = r.phase, promoted_at = r.promoted_at WHERE id = r.id;
    END IF;
    FOR e IN UPDATE plain.execution SET state = 'expired', due = attempt < r.max_attempts,
                    evidence = CASE WHEN attempt >= r.max_attempts THEN 'failed' ELSE evidence END,
                    evidence_tier = CASE WHEN attempt >= r.max_attempts THEN tier ELSE evidence_tier END
              WHERE rollout = r.id AND state = 'claimed' AND lease_until <= clock_timestamp()
          RETURNING tier, attempt LOOP
        IF e.tier = 'canary' THEN
            r.canary_in_flight := r.canary_in_flight - 1;
            r.canary_failed := r.canary_failed + (e.attempt >= r.max_attempts)::integer;
        ELSE
            r.production_in_flight := r.production_in_flight - 1;
            r.production_failed := r.production_failed + (e.attempt >= r.max_attempts)::integer;
        END IF;
    END LOOP;
    RETURN r;
END $$;

-- What follows from the counters; then the row is written.
CREATE FUNCTION plain.save(r plain.rollout) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF r.phase IN ('canary', 'soaking', 'promoted')
       AND greatest(r.canary_failed - r.canary_acknowledged, r.production_failed - r.production_acknowledged) > r.max_failures THEN
        r.phase := 'halted';
        INSERT INTO plain.event (at, actor, kind, package, version) VALUES (clock_timestamp(), current_user, 'halted', r.package, r.version);
    ELSIF r.phase = 'canary' AND r.canary_succeeded >= r.min_successes THEN
        r.phase := 'soaking';
        r.soak_ends_at := clock_timestamp() + r.soak;
        INSERT INTO plain.event (at, actor, kind, package, version) VALUES (clock_timestamp(), current_user, 'soaking', r.package, r.version);
    END IF;
    -- The next lease of a last attempt whose end would be a failure too many.
    r.halts_at := COALESCE((SELECT lease_until FROM plain.execution
        WHERE rollout = r.id AND state = 'claimed' AND attempt >= r.max_attempts
        ORDER BY lease_until OFFSET r.max_failures - greatest(r.canary_failed - r.canary_acknowledged, r.production_failed - r.production_acknowledged) LIMIT 1), 'infinity');
    UPDATE plain.rollout SET phase = r.phase, soak_ends_at = r.soak_ends_at, promoted_at = r.promoted_at, halts_at = r.halts_at,
           changed_at = clock_timestamp(), canary_succeeded = r.canary_succeeded, canary_failed = r.canary_failed,
           canary_in_flight = r.canary_in_flight, canary_position = r.canary_position,
           production_succeeded = r.production_succeeded, production_failed = r.production_failed,
           production_in_flight = r.production_in_flight, production_position = r.production_position
     WHERE id = r.id;
    RETURN r.phase;
END $$;

CREATE FUNCTION plain.claim_batch(p text, v text, max_claims integer)
RETURNS TABLE (workspace uuid, tier text, attempt integer, token bigint) LANGUAGE plpgsql ROWS 25 AS $$
#variable_conflict use_column
DECLARE
    r plain.rollout; wanted integer; which text; e record; seen uuid;
BEGIN
    r := plain.lock(p, v);
    wanted := least(max_claims, r.max_in_flight - r.canary_in_flight - r.production_in_flight);
    FOREACH which IN ARRAY ARRAY['canary', 'production'] LOOP
        CONTINUE WHEN NOT (r.phase = 'promoted' OR which = 'canary' AND r.phase IN ('canary', 'soaking'));
        -- Never claimed, behind the last that was: a bounded number is looked at.
        FOR e IN INSERT INTO plain.execution AS x (rollout, workspace, tier, attempt, token, state, lease_until, changed_at, due)
                 SELECT r.id, c.id, which, 1, nextval('plain.token'), 'claimed', clock_timestamp() + r.lease, clock_timestamp(), false
                   FROM (SELECT s.id FROM (SELECT w.id FROM workspaces AS w WHERE w.update_tier = which AND w.live
                                              AND w.id > COALESCE(CASE which WHEN 'canary' THEN r.canary_position ELSE r.production_position END,
                                                                  '00000000-0000-0000-0000-000000000000')
                                            ORDER BY w.id LIMIT 50) AS s
                          WHERE NOT EXISTS (SELECT FROM plain.execution AS y WHERE y.rollout = r.id AND y.workspace = s.id)
                          ORDER BY s.id LIMIT wanted) AS c
                 RETURNING x.workspace, x.tier, x.attempt, x.token LOOP
            workspace := e.workspace; tier := e.tier; attempt := e.attempt; token := e.token;
            RETURN NEXT;
            wanted := wanted - 1;
            IF which = 'canary' THEN
                r.canary_in_flight := r.canary_in_flight + 1;
                r.canary_position := e.workspace;
            ELSE
                r.production_in_flight := r.production_in_flight + 1;
                r.production_position := e.workspace;
            END IF;
        END LOOP;
        -- Another attempt.
        FOR e IN UPDATE plain.execution AS x SET attempt = x.attempt + 1, token = nextval('plain.token'), state = 'claimed', due = false,
                        lease_until = clock_timestamp() + r.lease, changed_at = clock_timestamp()
                  WHERE x.rollout = r.id AND x.workspace IN (
                        SELECT d.workspace FROM plain.execution AS d JOIN workspaces AS w ON w.id = d.workspace AND w.live AND w.update_tier = which
                         WHERE d.rollout = r.id AND d.due ORDER BY d.token LIMIT wanted)
                 RETURNING x.workspace, x.tier, x.attempt, x.token LOOP
            workspace := e.workspace; tier := e.tier; attempt := e.attempt; token := e.token;
            RETURN NEXT;
            wanted := wanted - 1;
            IF which = 'canary' THEN
                r.canary_in_flight := r.canary_in_flight + 1;
            ELSE
                r.production_in_flight := r.production_in_flight + 1;
            END IF;
        END LOOP;
    END LOOP;
    PERFORM plain.save(r);
END $$;

CREATE FUNCTION plain.report(of bigint, outcome text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    r plain.rollout; e plain.execution; last boolean; new_evidence text;
BEGIN
    SELECT x.* INTO r FROM plain.rollout AS x JOIN plain.execution AS y ON y.rollout = x.id WHERE y.token = of;
    IF NOT FOUND THEN
        RAISE no_data_found;
    END IF;
    r := plain.lock(r.package, r.version);
    SELECT * INTO e FROM plain.execution WHERE token = of;
    IF NOT FOUND THEN
        RAISE WARNING 'not counted';
        RETURN r.phase;
    END IF;
    IF e.state = outcome THEN
        RETURN r.phase;
    END IF;
    IF e.state NOT IN ('claimed', 'expired') AND (outcome = 'succeeded' OR e.state = 'failed') THEN
        RAISE object_not_in_prerequisite_state;
    END IF;
    last := e.attempt >= r.max_attempts;
    new_evidence := CASE WHEN outcome = 'succeeded' THEN 'succeeded'
                         WHEN outcome = 'failed' OR last AND e.state <> 'expired' THEN 'failed'
                         WHEN e.state = 'succeeded' THEN NULL ELSE e.evidence END;
    IF e.tier = 'canary' THEN
        r.canary_in_flight := r.canary_in_flight - (e.state = 'claimed')::integer;
        r.canary_succeeded := r.canary_succeeded + (new_evidence IS NOT DISTINCT FROM 'succeeded')::integer - (e.evidence IS NOT DISTINCT FROM 'succeeded')::integer;
        r.canary_failed := r.canary_failed + (new_evidence IS NOT DISTINCT FROM 'failed')::integer - (e.evidence IS NOT DISTINCT FROM 'failed')::integer;
    ELSE
        r.production_in_flight := r.production_in_flight - (e.state = 'claimed')::integer;
        r.production_succeeded := r.production_succeeded + (new_evidence IS NOT DISTINCT FROM 'succeeded')::integer - (e.evidence IS NOT DISTINCT FROM 'succeeded')::integer;
        r.production_failed := r.production_failed + (new_evidence IS NOT DISTINCT FROM 'failed')::integer - (e.evidence IS NOT DISTINCT FROM 'failed')::integer;
    END IF;
    UPDATE plain.execution SET state = outcome, changed_at = clock_timestamp(), due = new_evidence IS DISTINCT FROM 'succeeded' AND NOT last,
           evidence = new_evidence, evidence_tier = CASE WHEN new_evidence IS NOT NULL THEN e.tier END, acknowledged = false
     WHERE rollout = e.rollout AND workspace = e.workspace;
    RETURN plain.save(r);
END $$;
