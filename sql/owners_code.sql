--
-- Code of the table's owner runs in any statement on the table: while the statement is
-- planned (the planner evaluates an IMMUTABLE function in an index predicate), and while
-- it runs (a CHECK, a generated column, a policy, a trigger).  This code may call the
-- extension again, change what the current call works with, and catch errors, each of
-- which undoes a subtransaction.  No call reads memory that was freed.
--
CREATE ROLE regress_erin;
CREATE EXTENSION update_tier;
GRANT USAGE, CREATE ON SCHEMA public TO regress_erin;
GRANT USAGE ON SCHEMA update_tier TO regress_erin;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA update_tier TO regress_erin;
GRANT SELECT ON update_tier.status, update_tier.installed TO regress_erin;
SET ROLE regress_erin;
CREATE FUNCTION w(n integer) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid$$;
-- Deferrable, so that gates find a workspace with a statement (see sql/lookup.sql).
CREATE TABLE ws (id uuid PRIMARY KEY DEFERRABLE, n integer NOT NULL);
INSERT INTO ws SELECT w(n), n FROM generate_series(1, 9) AS n;
SELECT update_tier.attach('ws', 'n > 0', false);
UPDATE ws SET update_tier = 'canary' WHERE n <= 3;

-- act() does something once, in the hook that the test chooses: it catches an error,
-- runs the statement that the test chooses, and fills the memory that was freed.
CREATE FUNCTION act(hook text) RETURNS boolean IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('test.hook', true) IS DISTINCT FROM hook THEN
        RETURN true;
    END IF;
    PERFORM set_config('test.hook', '', false);
    BEGIN
        PERFORM 1 / 0;
    EXCEPTION WHEN division_by_zero THEN
        NULL;
    END;
    BEGIN
        EXECUTE current_setting('test.action');
        PERFORM set_config('test.done', 'done', false);
    EXCEPTION WHEN OTHERS THEN
        PERFORM set_config('test.done', SQLSTATE, false);
    END;
    PERFORM repeat('A', 10 * n) FROM generate_series(1, 300) AS n;
    RETURN true;
END $$;
CREATE TABLE hooks (hook text, made text);
INSERT INTO hooks VALUES
    ('index', $$CREATE INDEX ws_n ON ws (n) WHERE act('index')$$),
    ('check', $$ALTER TABLE ws ADD CHECK (act('check') OR id IS NULL)$$),
    ('generated', $$ALTER TABLE ws ADD COLUMN made boolean GENERATED ALWAYS AS (act('generated') AND n > 0) STORED$$),
    ('policy', $$CREATE POLICY p ON ws USING (act('policy') OR id IS NULL)$$),
    ('trigger', $$CREATE TRIGGER t BEFORE UPDATE ON ws FOR EACH ROW WHEN (act('trigger')) EXECUTE FUNCTION suppress_redundant_updates_trigger()$$);
SELECT made FROM hooks \gexec
ALTER TABLE ws ENABLE ROW LEVEL SECURITY;
ALTER TABLE ws FORCE ROW LEVEL SECURITY;

-- Each attach gives another condition, so that every plan is made again.
CREATE SEQUENCE condition;
CREATE TABLE actions (action text, sql text);
INSERT INTO actions VALUES
    ('attach', $$SELECT update_tier.attach('ws', 'n > -' || nextval('condition'), false)$$),
    ('attach with its index', $$SELECT update_tier.attach('ws', 'n > -' || nextval('condition'))$$),
    ('attach and list', $$SELECT update_tier.attach('ws', 'n > -' || nextval('condition'), false), (SELECT count(*) FROM canary_workspaces()),
                                 (SELECT count(*) FROM workspaces_in_tier('production', w(4), 2)), (SELECT sum(workspaces) FROM update_tier.counts())$$),
    ('detach', $$SELECT update_tier.detach()$$),
    ('list', $$SELECT count(*) FROM canary_workspaces(), production_workspaces(), workspaces_in_tier('canary')$$),
    ('gate', $$SELECT update_tier.explain('p', 'v1', w(1)), update_tier.allows('q', 'v2', w(5))$$),
    ('claim', $$SELECT update_tier.claim('p', 'v2', w(2)), count(*) FROM update_tier.claim_batch('p', 'v2', 5)$$),
    ('another version', $$SELECT update_tier.retry('p', 'v2'), update_tier.claim('p', 'v2', w(2)) FROM update_tier.abort('p', 'v2')$$),
    ('halt', $$SELECT update_tier.halt('p', 'v1', 'a reason of the owner''s code')$$),
    ('flip', $$SELECT set_update_tier(w(5), 'canary'), set_update_tier(w(5), 'production')$$);
CREATE TABLE calls (call text, sql text);
INSERT INTO calls VALUES
    ('list', $$SELECT count(*) FROM canary_workspaces()$$),
    ('page', $$SELECT count(*) FROM workspaces_in_tier('production', w(4), 2)$$),
    ('counts', $$SELECT sum(workspaces) FROM update_tier.counts()$$),
    ('tier', $$SELECT workspace_tier(w(1))$$),
    ('estimate', $$EXPLAIN SELECT * FROM canary_workspaces()$$),
    ('estimate a page', $$EXPLAIN SELECT * FROM workspaces_in_tier('production', NULL, 3)$$),
    ('flip', $$SELECT set_update_tier(w(4), 'canary'), set_update_tier(w(4), 'production')$$),
    ('last canary', $$SELECT set_update_tier(id, 'production') FROM canary_workspaces() AS id$$),
    ('is_open', $$SELECT update_tier.is_open('p', 'v1', 'production')$$),
    ('allows', $$SELECT count(*) FILTER (WHERE update_tier.allows('p', 'v1', w(n))) FROM generate_series(1, 9) AS n$$),
    ('explain', $$SELECT string_agg(update_tier.explain('p', 'v' || n % 3, w(n)), ', ') FROM generate_series(1, 9) AS n$$),
    ('wanted', $$SELECT string_agg(update_tier.wanted_version('p', w(n)), ', ') FROM generate_series(1, 9) AS n$$),
    ('claim', $$SELECT update_tier.claim('p', 'v1', w(1))$$),
    ('force', $$SELECT update_tier.report(update_tier.force('p', 'v1', w(3), 'incident'), 'succeeded')$$),
    ('observe', $$SELECT update_tier.observe('p', 'v1', w(2))$$),
    ('candidates', $$SELECT count(*) FROM update_tier.claim_batch('p', NULL, 3, ARRAY[w(2), w(3), w(5)])$$),
    ('batch', $$SELECT count(*) FROM update_tier.claim_batch('p', 'v1', 3)$$),
    ('report', $$SELECT update_tier.report(update_tier.claim('q', 'v1', w(2)), 'succeeded')$$),
    ('progress', $$SELECT * FROM update_tier.progress('p', 'v1')$$),
    ('status', $$SELECT count(*) FROM update_tier.status$$),
    ('attach', $$SELECT update_tier.attach('ws', 'n > -' || nextval('condition'))$$),
    ('detach', $$SELECT update_tier.detach()$$);

-- try_all() makes every call with every hook and action, twice, the first time with new
-- plans.  It records what the action did, and how the call ended.
CREATE TABLE seen (call text, hook text, action text, done text, ended text);
CREATE PROCEDURE try_all() LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT call, hook, action, turn, calls.sql AS call_sql, actions.sql AS action_sql
               FROM calls, hooks, actions, generate_series(1, 2) AS turn
              WHERE hook IN ('index', 'policy') OR call IN ('flip', 'last canary')  -- the others run when a row is written
              ORDER BY call, hook, action, turn LOOP
        BEGIN
            IF c.turn = 1 THEN
                PERFORM update_tier.attach('ws', 'n > -' || nextval('condition'), false);
                PERFORM update_tier.report(token, 'skipped') FROM update_tier.installed WHERE state = 'claimed';
                PERFORM update_tier.retry('p', 'v1') FROM update_tier.abort('p', 'v1');
                PERFORM update_tier.retry('q', 'v1') FROM update_tier.abort('q', 'v1');
            END IF;
            PERFORM set_config('test.action', c.action_sql, false), set_config('test.done', '', false), set_config('test.hook', c.hook, false);
            EXECUTE c.call_sql;
            INSERT INTO seen VALUES (c.call, c.hook, c.action, current_setting('test.done'), 'well');
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO seen VALUES (c.call, c.hook, c.action, current_setting('test.done'), SQLSTATE || ' ' || SQLERRM);
        END;
        PERFORM set_config('test.hook', '', false);
        UPDATE ws SET update_tier = CASE WHEN n <= 3 THEN 'canary' ELSE 'production' END;
    END LOOP;
END $$;
RESET ROLE;
SELECT update_tier.set_policy(retry_delay => '0');
SELECT update_tier.start(package, version) FROM (VALUES ('p', 'v2'), ('p', 'v1'), ('q', 'v2'), ('q', 'v1')) AS v (package, version);
SET ROLE regress_erin;
SET client_min_messages = error;
CALL try_all();
-- Calls ended well, or with an error that the owner's code caused: no token to report,
-- no attached table, a column of another type than planned, a table in use, or a package
-- that changed while the call held it.  No call ended otherwise.
SELECT DISTINCT call, hook, action, ended FROM seen
 WHERE ended !~ '^(well|22004 token must not be null|55000 no workspaces table is attached|42804 attribute . of type .* has wrong type|55006 cannot attach "ws" because it is being used|40001 could not serialize access due to concurrent update)' ORDER BY 1, 2, 3, 4;
-- The owner's code did run in each of these hooks, with each of these actions, in each
-- of these calls.
SELECT DISTINCT hook FROM seen WHERE done <> '' ORDER BY 1;
SELECT DISTINCT action FROM seen WHERE done = 'done' ORDER BY 1;
SELECT DISTINCT call FROM seen WHERE done <> '' ORDER BY 1;
RESET client_min_messages;

-- A gate answers with what it has read, although caught errors freed memory while it
-- looked for the workspace.
RESET ROLE;
SELECT update_tier.attach('ws', 'n > 0', false);
SELECT update_tier.halt('p', 'v1', 'a reason that is rather long, so that what comes to its place in memory shows');
SET ROLE regress_erin;
SELECT set_config('test.action', 'SELECT 1', false), set_config('test.hook', 'index', false);
SELECT update_tier.explain('p', 'v1', w(8));

-- Through an index a gate finds the workspace without running code of the owner.
ALTER TABLE ws DROP CONSTRAINT ws_pkey, ADD PRIMARY KEY (id);
SELECT set_config('test.hook', 'index', false);
SELECT update_tier.explain('p', 'v1', w(8));
SELECT current_setting('test.hook') AS still_to_run;

-- After all this the extension still works.
SELECT update_tier.attach('ws', 'n > 0', false);
SELECT count(*) FROM canary_workspaces();
RESET ROLE;
DROP EXTENSION update_tier CASCADE;
DROP OWNED BY regress_erin CASCADE;
DROP ROLE regress_erin;
