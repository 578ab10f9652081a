-- The fleet, the policies and the audit for test/stress.
CREATE TABLE workspaces (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), live boolean NOT NULL DEFAULT true);
INSERT INTO workspaces SELECT md5(n::text)::uuid FROM generate_series(1, 300) AS n;
CREATE EXTENSION update_tier;
SELECT update_tier.attach('workspaces', 'live');
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (SELECT id FROM workspaces ORDER BY id LIMIT 30);
SELECT update_tier.set_policy(soak => '20 ms', lease => '30 ms', max_in_flight => 7, max_attempts => 3,
                              min_successes => 3, max_failures => 4);

-- Every lease that was given, for the audit: the extension's table tells of
-- the last one only.
CREATE TABLE granted (
    token bigint PRIMARY KEY, package text, version text, workspace uuid, lease_until timestamptz);

-- What the clients do.
CREATE FUNCTION note(p text, v text, w uuid, t bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO granted SELECT t, p, v, w, lease_until FROM update_tier.execution WHERE token = t
$$;
CREATE FUNCTION some_claim(p text, v text, n integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    t bigint := update_tier.claim(p, v, md5(n::text)::uuid);
BEGIN
    IF t IS NOT NULL THEN
        PERFORM note(p, v, md5(n::text)::uuid, t);
    END IF;
END $$;
CREATE FUNCTION some_batch(p text, v text, m integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT * FROM update_tier.claim_batch(p, v, m) LOOP
        PERFORM note(p, v, c.workspace, c.token);
    END LOOP;
END $$;
CREATE FUNCTION some_report(r integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.report(token, CASE WHEN r <= 80 THEN 'succeeded' WHEN r <= 92 THEN 'error' ELSE 'failed' END)
       FROM (SELECT token FROM granted ORDER BY token DESC LIMIT 1 OFFSET r % 10) AS t;
EXCEPTION WHEN object_not_in_prerequisite_state OR no_data_found THEN
    NULL;       -- reported to be worse already, or forgotten by a retry
END $$;
CREATE FUNCTION some_verb(k integer, p text, v text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF k <= 5 THEN
        PERFORM update_tier.halt(p, v, 'stress');
    ELSIF k <= 60 THEN
        PERFORM update_tier.resume(p, v);
    ELSIF k <= 70 THEN
        PERFORM update_tier.retry(p, v);
    ELSIF k <= 75 THEN
        PERFORM update_tier.promote(p, v);
    ELSIF k <= 77 THEN
        PERFORM update_tier.abort(p, v);
    ELSIF k <= 78 THEN
        PERFORM update_tier.start(p, v || ' ' || clock_timestamp());
    ELSE
        UPDATE workspaces SET live = k % 5 <> 0, update_tier = CASE WHEN k % 7 = 0 THEN 'canary' ELSE 'production' END
         WHERE id = (SELECT id FROM workspaces ORDER BY random() LIMIT 1);
    END IF;
EXCEPTION WHEN no_data_found OR object_not_in_prerequisite_state THEN
    NULL;       -- the phase does not permit it
END $$;

\ir audit.sql
