-- audit() finds each violation: each is made with an UPDATE or DELETE, and rolled back.
CREATE TABLE injected (violation text NOT NULL, how text NOT NULL);

-- Package x has version v1 in canary, which has failed at one workspace, and has no
-- lease; y has version v1, promoted long ago; z has a live lease of a forced claim.
CREATE FUNCTION inject_packages() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    one uuid := (SELECT id FROM workspaces WHERE live ORDER BY id LIMIT 1);
BEGIN
    PERFORM update_tier.set_policy('x', max_failures => 9, require_canary => true, min_successes => 1);
    PERFORM update_tier.start('x', 'v1');
    PERFORM update_tier.observe('x', 'v1', one, 'failed');
    PERFORM update_tier.start('y', 'v1');
    PERFORM update_tier.promote('y', 'v1', 'known to be good');
    UPDATE update_tier.rollout SET soaks_from = '2000-01-01', promoted_at = '2000-01-03', soak = '1 day' WHERE package = 'y';
    PERFORM update_tier.start('z', 'v1');
    PERFORM update_tier.force('z', 'v1', one, 'injected');
    PERFORM note('forced', 'z', one);
    ALTER TABLE update_tier.rollout DROP CONSTRAINT consistent;
    ALTER TABLE update_tier.installation DROP CONSTRAINT consistent;
END $$;

INSERT INTO injected VALUES
    ('one_runs: 2 of x in canary',
     $$SELECT update_tier.start('x', 'v2'); DROP INDEX update_tier.rollout_one_runs;
       UPDATE update_tier.rollout SET phase = 'canary' WHERE package = 'x'$$),
    ('one_runs: 2 of x queued',
     $$SELECT update_tier.start('x', 'v2'); DROP INDEX update_tier.rollout_one_queued;
       UPDATE update_tier.rollout SET phase = 'queued' WHERE package = 'x'$$),
    ('one_runs: x v1 is queued behind none', $$UPDATE update_tier.rollout SET phase = 'queued' WHERE package = 'x'$$),
    ('one_lease: token % was granted as lease 8 of 7',
     $$UPDATE handed SET kind = 'granted', in_flight = 8, max_in_flight = 7 WHERE package = 'z'$$),
    ('one_lease: token % expired before',
     $$INSERT INTO update_tier.event (at, actor, kind, package, token) SELECT now(), 'x', 'expired', 'z', token FROM handed WHERE package = 'z'$$),
    ('one_lease: token % was replaced while',
     $$INSERT INTO update_tier.event (at, actor, kind, package, token, detail) SELECT now(), 'x', 'replaced', 'z', token, 'claimed' FROM handed WHERE package = 'z'$$),
    ('one_lease: token % is lost', $$DELETE FROM update_tier.installation WHERE token IN (SELECT token FROM handed WHERE package = 'z')$$),
    ('one_lease: the lease of token % will not be seen', $$UPDATE update_tier.package SET first_expiry = 'infinity' WHERE name = 'z'$$),
    ('gate: token % phase canary to production', $$UPDATE handed SET kind = 'granted', tier = 'production' WHERE package = 'z'$$),
    ('gate: token % phase halted', $$UPDATE handed SET kind = 'granted', phase = 'halted' WHERE package = 'z'$$),
    ('gate: token %, frozen', $$UPDATE handed SET kind = 'granted', frozen = true WHERE package = 'z'$$),
    ('gate: token %, superseded', $$UPDATE handed SET kind = 'granted', replaced = true WHERE package = 'z'$$),
    ('gate: token % attempt 4 of 3', $$UPDATE handed SET kind = 'granted', attempt = 4, max_attempts = 3 WHERE package = 'z'$$),
    ('forward: token %', $$UPDATE handed SET kind = 'granted', last_ordinal = ordinal + 1, may_go_back = false WHERE package = 'z'$$),
    ('soaked: y v1 was promoted after',
     $$UPDATE update_tier.rollout SET soak = '3 days' WHERE package = 'y';
       UPDATE update_tier.event SET detail = 'the soak is over' WHERE package = 'y' AND kind = 'promoted'$$),
    ('soaked: x v1 soaks after 0 of 1', $$UPDATE update_tier.rollout SET phase = 'soaking', soaks_from = now(), soak = '1 day' WHERE package = 'x'$$),
    ('latched: x v1 went from halted to soaking',
     $$INSERT INTO update_tier.event (at, actor, kind, package, version) SELECT now(), 'x', kind, 'x', 'v1' FROM unnest(ARRAY['halted', 'soaking']) AS kind$$),
    ('latched: x v1 went from resumed to promoted',
     $$INSERT INTO update_tier.event (at, actor, kind, package, version) SELECT now(), 'x', kind, 'x', 'v1' FROM unnest(ARRAY['resumed', 'promoted']) AS kind$$),
    ('promoted: y has ,',
     $$CREATE OR REPLACE FUNCTION update_tier.promoted_version(package text) RETURNS text STABLE LANGUAGE sql AS 'SELECT NULL::text'$$),
    ('promoted: x has , and status shows v1, v2 as',
     $$SELECT update_tier.start('x', 'v2'); ALTER VIEW update_tier.status RENAME TO true_status;
       CREATE VIEW update_tier.status AS SELECT package, version, text 'promoted' AS phase FROM update_tier.true_status$$),
    ('promoted: y v1, stored as promoted, shows as superseded',
     $$ALTER VIEW update_tier.status RENAME TO true_status;
       CREATE VIEW update_tier.status AS SELECT package, version, text 'superseded' AS phase FROM update_tier.true_status$$),
    ('promoted: y v1 is not open',
     $$CREATE OR REPLACE FUNCTION update_tier.is_open(package text, version text, tier text) RETURNS boolean STABLE LANGUAGE sql AS 'SELECT false'$$),
    ('counted: 1 of z are in flight, 0 are to be counted, stored is 2', $$UPDATE update_tier.package SET in_flight = 2 WHERE name = 'z'$$),
    ('counted: 0 of x are in flight, 0 are to be counted, stored is 1', $$UPDATE update_tier.package SET in_flight = 1 WHERE name = 'x'$$),
    ('counted: 1 of z are in flight, 1 are to be counted, stored is 1',
     $$INSERT INTO update_tier.uncounted SELECT package_id, rollout, run, tier, false, false, now() FROM update_tier.installation WHERE token IN (SELECT token FROM handed WHERE package = 'z')$$),
    ('counted: z v1 %: stored (succeeded, failed, acknowledged) are (1,0,0), rows are (0,',
     $$INSERT INTO update_tier.uncounted SELECT package_id, rollout, run, tier, true, false, now() FROM update_tier.installation WHERE token IN (SELECT token FROM handed WHERE package = 'z')$$),
    ('counted: x v1 canary: stored (succeeded, failed, acknowledged) are (1,', $$UPDATE update_tier.rollout SET canary_succeeded = 1 WHERE package = 'x'$$),
    ('counted: x v1 production: stored (succeeded, failed, acknowledged) are (1,', $$UPDATE update_tier.rollout SET production_succeeded = 1 WHERE package = 'x'$$),
    ('counted: x v1 %: stored (succeeded, failed, acknowledged) are (0,0,0)', $$UPDATE update_tier.rollout SET canary_failed = 0, production_failed = 0 WHERE package = 'x'$$),
    ('counted: x v1 canary: stored (succeeded, failed, acknowledged) are (0,2,0)', $$UPDATE update_tier.rollout SET canary_failed = 2 WHERE package = 'x'$$),
    ('counted: x v1 canary: stored (succeeded, failed, acknowledged) are (0,%,3)', $$UPDATE update_tier.rollout SET canary_acknowledged = 3 WHERE package = 'x'$$),
    ('counted: token % was reported as failed and is claimed', $$INSERT INTO reported SELECT token, 'failed' FROM handed WHERE package = 'z'$$),
    ('counted: workspace % has rollout -1', $$UPDATE update_tier.installation SET runs = -1 WHERE rollout = (SELECT id FROM update_tier.rollout WHERE package = 'x')$$),
    ('counted: workspace % has package -1', $$UPDATE update_tier.installation SET package_id = -1 WHERE rollout = (SELECT id FROM update_tier.rollout WHERE package = 'x')$$),
    ('counted: version v1 is of package x', $$DELETE FROM update_tier.package WHERE name = 'x'$$),
    ('monotone: event % of x', $$INSERT INTO update_tier.event (at, actor, kind, package) VALUES ('2000-01-01', 'x', 'x', 'x')$$),
    ('monotone: changed_at % after the stamp of x', $$UPDATE update_tier.package SET stamp = '2000-01-01' WHERE name = 'x'$$),
    ('monotone: installation % after the stamp of x', $$UPDATE update_tier.package SET stamp = '2000-01-01' WHERE name = 'x'$$);

CREATE FUNCTION not_found() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    i     record;
    found boolean;
BEGIN
    FOR i IN SELECT * FROM injected LOOP
        BEGIN
            PERFORM inject_packages();
            EXECUTE i.how;
            found := EXISTS (SELECT 1 FROM audit() WHERE violation LIKE i.violation || '%');
            RAISE EXCEPTION USING ERRCODE = 'P0099';
        EXCEPTION WHEN SQLSTATE 'P0099' THEN
            IF NOT found THEN
                RETURN NEXT 'the audit does not find: ' || i.violation;
            END IF;
        END;
    END LOOP;
    -- Without a violation the audit finds nothing.
    BEGIN
        PERFORM inject_packages();
        RETURN QUERY SELECT 'without an injection: ' || violation FROM audit();
        RAISE EXCEPTION USING ERRCODE = 'P0099';
    EXCEPTION WHEN SQLSTATE 'P0099' THEN
        NULL;
    END;
END $$;
