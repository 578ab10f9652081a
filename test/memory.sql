-- A hundred thousand calls of every function in one session: the session's memory does not
-- grow.  Prints calls that made it grow, and functions that were not called: that must be
-- nothing.
--
-- usage: psql -v calls=100000 -f test/memory.sql
\set ON_ERROR_STOP 1
SET client_min_messages = error;
\o /dev/null
\ir fleet.sql
\o
-- The statements to call.
CREATE TABLE work (n serial, statement text NOT NULL, share numeric NOT NULL DEFAULT 1, per_transaction integer NOT NULL DEFAULT 25);
INSERT INTO work (statement) VALUES
    -- The session's own caches, which the first statements fill.
    ('SELECT 1'),
    ('SELECT update_tier.is_valid(''canery'')'),
    ('SELECT update_tier.tiers()'),
    ('SELECT canary_workspaces()'),
    ('SELECT production_workspaces()'),
    ('SELECT workspaces_in_tier(''production'', w(4), 2)'),
    ('SELECT workspace_tier(w(1))'),
    ('SELECT set_update_tier(w(9), ''canary''), set_update_tier(w(9), ''production'')'),
    ('SELECT * FROM update_tier.counts()'),
    ('SELECT update_tier.is_consistent(r), update_tier.is_consistent(i) FROM update_tier.rollout AS r LEFT JOIN update_tier.installation AS i ON i.rollout = r.id LIMIT 1'),
    ('SELECT update_tier.tier_changes(a, b) FROM workspaces AS a, workspaces AS b WHERE a.id = w(1) AND b.id = w(9)'),
    ('UPDATE workspaces SET live = live WHERE id = w(3)'),
    ('SELECT update_tier.set_policy(''p'', max_in_flight => 9, max_attempts => 2147483647, soak => ''0'', retry_delay => ''0'', require_canary => false)'),
    ('SELECT update_tier.reset_policy(''p'', ''ramp'', ''lease'')'),
    ('SELECT update_tier.start(''p'', ''1'')'),
    ('SELECT update_tier.freeze(''q'', reason => ''reason''), update_tier.thaw(''q'')'),
    ('SELECT update_tier.is_open(''p'', ''1'', ''production'')'),
    ('SELECT update_tier.allows(''p'', ''1'', w(5))'),
    ('SELECT update_tier.explain(''p'', ''1'', w(5))'),
    ('SELECT update_tier.wanted_version(''p'', w(5))'),
    ('SELECT update_tier.report(update_tier.force(''p'', ''1'', w(5), ''reason''), ''error'', ''2'', ''detail'')'),
    ('SELECT update_tier.report(update_tier.force(''p'', ''1'', w(5), ''reason''), ''skipped'')'),
    ('SELECT update_tier.observe(''p'', ''1'', w(7)), update_tier.observe(''p'', ''2'', w(7), ''failed'', ''detail'')'),
    ('SELECT update_tier.observe(''p'', ''1'', w(8)), update_tier.forget(''p'', w(8), ''reason'')'),
    ('SELECT update_tier.force(''p'', ''1'', w(9), ''reason'') WHERE NOT EXISTS (SELECT FROM update_tier.installed WHERE workspace = w(9) AND state = ''claimed'')'),
    ('SELECT update_tier.extend(token, ''1 minute'') FROM update_tier.installation WHERE workspace = w(9)'),
    ('SELECT update_tier.halt(''p'', ''1'', ''reason''), update_tier.resume(''p'', ''1'', ''reason'')'),
    ('SELECT update_tier.abort(''p'', ''1'', ''reason''), update_tier.retry(''p'', ''1'')'),
    ('SELECT update_tier.promoted_version(''p'')'),
    ('SELECT update_tier.progress(''p'', ''1'')'),
    ('SELECT * FROM update_tier.rollouts_now()'),
    ('SELECT update_tier.prune(''1 day'')'),
    ('SELECT update_tier.attach(''workspaces'', ''live'')'),
    ('DO $do$ BEGIN PERFORM set_update_tier(w(1), ''canery''); EXCEPTION WHEN check_violation THEN END $do$'),
    ('DO $do$ BEGIN PERFORM update_tier.report(0, ''error''); EXCEPTION WHEN no_data_found THEN END $do$'),
    ('DO $do$ BEGIN PERFORM update_tier.promote(''p'', ''2''); EXCEPTION WHEN no_data_found THEN END $do$'),
    ('DO $do$ BEGIN PERFORM update_tier.attach(''workspaces'', ''nonsense''); EXCEPTION WHEN undefined_column THEN END $do$');
-- A workspace is due again in the next transaction.
INSERT INTO work (statement, per_transaction) VALUES
    ('SELECT update_tier.report(token, ''error'') FROM update_tier.claim(''p'', ''1'', w(6)) AS token WHERE token IS NOT NULL', 1),
    ('SELECT update_tier.report(token, ''error'') FROM update_tier.claim_batch(''p'', ''1'', 1)', 1),
    ('SELECT update_tier.report(token, ''error'') FROM update_tier.claim_batch(''p'', candidates => ARRAY[w(5), w(6)])', 1),
    -- A claim and its report in turns, so that the report does not have the package locked.
    ('SELECT COALESCE((SELECT update_tier.report(token, ''error'') FROM update_tier.installation WHERE workspace = w(4) AND state = ''claimed''), update_tier.claim(''p'', ''1'', w(4))::text)', 1);
-- Functions that change the catalog, or read whole tables, are called less often.
INSERT INTO work (statement, share) VALUES
    ('SELECT * FROM update_tier.status, update_tier.installed', 0.1),
    ('SELECT update_tier.detach(), update_tier.attach(''workspaces'', ''live'')', 0.01),
    ('SELECT update_tier.abort(''q'', ''1''), update_tier.prune(''0'') FROM update_tier.start(''q'', ''1'')', 0.1);

-- The memory that a session uses, in all its memory contexts.
CREATE FUNCTION held() RETURNS bigint LANGUAGE sql AS
    $$SELECT sum(used_bytes)::bigint FROM pg_backend_memory_contexts WHERE name NOT IN ('ExecutorState', 'ExprContext', 'SPI Proc', 'SPI Exec')$$;

CREATE PROCEDURE call_often(statement text, calls integer, per_transaction integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR n IN 1 .. calls LOOP
        EXECUTE statement;
        IF n % per_transaction = 0 THEN COMMIT; END IF;
    END LOOP;
    COMMIT;
END $$;

CREATE TABLE grown (n serial, statement text, calls integer, bytes bigint, duration interval);
CREATE PROCEDURE watch(which integer, calls integer) LANGUAGE plpgsql AS $$
DECLARE
    job record; before bigint; began timestamptz;
BEGIN
    SELECT * INTO job FROM work WHERE n = which;
    CALL call_often(job.statement, 50, job.per_transaction);
    before := held();
    began := clock_timestamp();
    CALL call_often(job.statement, (calls * job.share)::integer, job.per_transaction);
    INSERT INTO grown (statement, calls, bytes, duration) VALUES (job.statement, calls * job.share, held() - before, clock_timestamp() - began);
END $$;
-- In ten parts, with a VACUUM after each, because rows that change this often leave many
-- dead versions.
\o /dev/null
SELECT format(step, n, CASE part WHEN 0 THEN 2000 ELSE :calls / 10 END)
  FROM work, generate_series(0, 10) AS part,
       unnest(ARRAY['CALL watch(%s, %s)', 'VACUUM workspaces, update_tier.package, update_tier.rollout, update_tier.installation, update_tier.uncounted, update_tier.event']) WITH ORDINALITY AS s (step, m)
 ORDER BY n, part, m \gexec
\o
\pset tuples_only on
\pset format unaligned
-- The first parts fill caches, and the server's own caches still grow a little.  A call
-- that leaks memory leaks at least sixteen bytes.
SELECT format('%s: %s bytes in %s calls', statement, sum(bytes), sum(calls))
  FROM (SELECT *, row_number() OVER (PARTITION BY statement ORDER BY n) AS part FROM grown) AS g
 WHERE part > 3 AND statement <> 'SELECT 1' GROUP BY statement HAVING sum(bytes) > greatest(40000, sum(calls));
-- Workspaces must have been claimed each time, or the calls would have done nothing.
SELECT format('attempts at workspace %s of p: %s', n(workspace), attempt) FROM update_tier.installation
 WHERE workspace IN (w(4), w(5), w(6)) AND attempt < :calls / 2;
SELECT 'not called: ' || p.oid::regprocedure FROM pg_depend AS d JOIN pg_proc AS p ON p.oid = d.objid
 WHERE d.classid = 'pg_proc'::regclass AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'update_tier')
   AND p.prorettype NOT IN ('trigger'::regtype, 'internal'::regtype)
   AND NOT EXISTS (SELECT FROM work WHERE statement ~ ('\m' || p.proname || '\('));
-- A gate keeps what it knows of a package for many rows, and nothing of the versions that
-- are not there.
BEGIN;
\o /dev/null
SELECT count(*) FROM generate_series(1, 100000) AS n WHERE update_tier.is_open('p', 'none ' || n, 'canary');
\o
SELECT format('a gate asked about unknown versions: %s bytes', used_bytes) FROM pg_backend_memory_contexts
 WHERE name = 'update_tier gate' AND used_bytes > 100000;
COMMIT;
