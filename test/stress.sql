-- The fleet, the settings and the clients of test/stress.
CREATE TABLE workspaces (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), live boolean NOT NULL DEFAULT true);
CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS 'SELECT md5(n::text)::uuid';
INSERT INTO workspaces SELECT w(n) FROM generate_series(1, 200) AS n;
CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', 'live');
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (SELECT id FROM workspaces ORDER BY id LIMIT 30);
SELECT update_tier.set_policy(soak => '50 ms', lease => '200 ms', retry_delay => '5 ms', max_in_flight => 7, max_attempts => 3,
                              min_successes => 3, max_failures => 4);
SELECT update_tier.set_policy('p2', ramp => '200 ms', max_failure_percent => 5);
SELECT update_tier.set_policy('p3', require_canary => false, auto_promote => false);
SELECT update_tier.start(p, 'v1') FROM unnest(ARRAY['p1', 'p2', 'p3']) AS p;

\ir audit.sql
\ir audit_finds.sql

-- The calls of the clients.  They ignore the errors of calls that a phase does not permit.
CREATE FUNCTION some_claim(p text, v text, n integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF update_tier.claim(p, v, w(n)) IS NOT NULL THEN
        PERFORM note('granted', p, w(n));
    END IF;
EXCEPTION WHEN no_data_found THEN
    NULL;       -- the version is not started
END $$;
-- Half of the calls have no version, and half of them have candidates.
CREATE FUNCTION some_batch(p text, v text, k integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c      record;
BEGIN
    FOR c IN SELECT workspace, count(*) OVER () - row_number() OVER () AS later
               FROM update_tier.claim_batch(p, CASE WHEN k % 2 = 0 THEN v END, k % 9,
                        CASE WHEN k % 4 < 2 THEN ARRAY(SELECT w(n) FROM generate_series(k, k + 20) AS n ORDER BY random()) END)
    LOOP
        PERFORM note('granted', p, c.workspace, c.later::integer);
    END LOOP;
EXCEPTION WHEN no_data_found THEN
    NULL;
END $$;
-- The token of one of the latest leases, most of which are live.
CREATE FUNCTION some_token(k integer) RETURNS bigint LANGUAGE sql AS $$
    SELECT COALESCE((SELECT token FROM handed WHERE token IS NOT NULL ORDER BY id DESC LIMIT 1 OFFSET k % 12), 0)
$$;
CREATE FUNCTION some_report(k integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t       bigint := some_token(k);
    outcome text := CASE WHEN k <= 70 THEN 'succeeded' WHEN k <= 80 THEN 'skipped' WHEN k <= 92 THEN 'error' ELSE 'failed' END;
BEGIN
    PERFORM update_tier.report(t, outcome, CASE WHEN k IN (3, 90) THEN 'v1' END);
    -- Another version than the rollout's is an error.
    INSERT INTO reported SELECT t, CASE WHEN k IN (3, 90) AND attempted_version <> 'v1' THEN 'error' ELSE outcome END
      FROM update_tier.installed WHERE token = t;
EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found THEN
    NULL;       -- reported to be worse already, or forgotten by prune
END $$;
CREATE FUNCTION some_observation(p text, v text, n integer, k integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.observe(p, CASE WHEN k = 1 THEN 'made by hand' ELSE v END, w(n),
                                CASE WHEN k <= 90 THEN 'succeeded' WHEN k <= 95 THEN 'failed' ELSE 'error' END);
    PERFORM note('observed', p, w(n));
EXCEPTION WHEN no_data_found OR object_not_in_prerequisite_state THEN
    NULL;
END $$;
CREATE FUNCTION some_lease(p text, v text, n integer, k integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF k <= 50 THEN
        PERFORM update_tier.extend(some_token(k), CASE WHEN k <= 25 THEN interval '1 ms' END);
    ELSIF k <= 75 THEN
        PERFORM update_tier.forget(p, w(n), 'stress');
        PERFORM note('forgotten', p, w(n));
    ELSE
        PERFORM update_tier.force(p, v, w(n), 'stress');
        PERFORM note('forced', p, w(n));
    END IF;
EXCEPTION WHEN no_data_found OR object_not_in_prerequisite_state THEN
    NULL;
END $$;
CREATE FUNCTION some_verb(p text, v text, k integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF k <= 8 THEN
        PERFORM update_tier.halt(p, v, 'stress');
    ELSIF k <= 40 THEN
        PERFORM update_tier.resume(p, v);
    ELSIF k <= 60 THEN
        PERFORM update_tier.retry(p, v);
    ELSIF k <= 70 THEN
        PERFORM update_tier.promote(p, v, CASE WHEN k % 2 = 0 THEN 'stress' END);
    ELSIF k <= 75 THEN
        PERFORM update_tier.abort(p, v, 'stress');
    ELSIF k <= 77 THEN
        PERFORM update_tier.start(p, v || ' ' || clock_timestamp());
    ELSIF k <= 90 THEN
        PERFORM update_tier.start(p, v);
    ELSIF k <= 97 THEN
        PERFORM update_tier.freeze(CASE WHEN k % 2 = 0 THEN '*' ELSE p END, clock_timestamp() + interval '30 ms', 'stress');
    ELSE
        PERFORM update_tier.thaw(CASE WHEN k % 2 = 0 THEN '*' ELSE p END);
    END IF;
EXCEPTION WHEN no_data_found OR object_not_in_prerequisite_state OR invalid_parameter_value THEN
    NULL;       -- the phase does not permit it, or it needs a reason
END $$;
CREATE FUNCTION some_policy(p text, k integer) RETURNS void LANGUAGE sql AS $$
    SELECT update_tier.set_policy(CASE WHEN k % 5 = 0 THEN '*' ELSE p END, max_in_flight => 3 + k % 7,
                                  max_failures => 2 + k % 4, apply_to_running => k % 2 = 0)
$$;
-- Workspaces are deleted and added again, stop being live, and change their tier.
CREATE FUNCTION some_change(n integer, k integer) RETURNS void LANGUAGE sql AS $$
    DELETE FROM workspaces WHERE k <= 10 AND id = w(n);
    INSERT INTO workspaces SELECT w(n) WHERE k BETWEEN 11 AND 40 ON CONFLICT DO NOTHING;
    UPDATE workspaces SET live = k % 5 <> 0, update_tier = CASE WHEN k % 6 = 0 THEN 'canary' ELSE 'production' END
     WHERE k > 40 AND id = w(n);
$$;
