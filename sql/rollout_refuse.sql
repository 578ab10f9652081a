--
-- Invalid arguments of the rollout functions are errors, and change nothing.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
\set VERBOSITY terse
-- The state of everything.
CREATE FUNCTION state() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat((SELECT string_agg(p::text, E'\n' ORDER BY id) FROM update_tier.package AS p),
                      (SELECT string_agg(r::text, E'\n' ORDER BY id) FROM update_tier.rollout AS r),
                      (SELECT string_agg(i::text, E'\n' ORDER BY package_id, workspace) FROM update_tier.installation AS i),
                      (SELECT string_agg(e::text, E'\n' ORDER BY id) FROM update_tier.event AS e)))
$$;
-- The error of a statement in one line, and whether the statement changed anything.
CREATE FUNCTION told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    before text := state();
    message text; detail text; hint text; said text := 'no error';
BEGIN
    BEGIN
        EXECUTE statement;
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        said := concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
    END;
    IF state() IS DISTINCT FROM before THEN
        said := 'CHANGED SOMETHING: ' || said;
    END IF;
    RETURN regexp_replace(said, '\d{4}-\d\d-\d\d [0-9:.]+[-+ ][0-9A-Z:]+', '(a moment)');
END $$;
SELECT update_tier.set_policy('p', lease => '1 hour', retry_delay => '0');
SELECT update_tier.start('p', '1');
SELECT update_tier.claim('p', '1', w(1)) AS expired \gset
SELECT later('2 hours');
SELECT update_tier.claim('p', '1', w(2)) AS replaced \gset
SELECT later('2 hours');
SELECT update_tier.claim('p', '1', w(2)) AS token \gset
SELECT update_tier.claim('p', '1', w(3)) AS reported \gset
SELECT update_tier.report(:reported, 'error');
UPDATE workspaces SET live = false WHERE id = w(9);
\pset format unaligned
\pset tuples_only on

-- Names that are empty, NULL or too long for an index key.
SELECT told($$SELECT update_tier.start('', '1')$$);
SELECT told($$SELECT update_tier.start('p', '')$$);
SELECT told($$SELECT update_tier.start(NULL, '1')$$);
SELECT told($$SELECT update_tier.start('p', NULL)$$);
SELECT told($$SELECT update_tier.start('p', repeat('x', 10240))$$);
SELECT told($$SELECT update_tier.start(repeat('x', 1025), '1')$$);
SELECT told($$SELECT update_tier.start(repeat('€', 342), '1')$$);

-- Functions for one package do not accept "*".
SELECT told($$SELECT update_tier.start('*', '1')$$);
SELECT call, told('SELECT update_tier.' || call)
  FROM (VALUES ($$claim('*', '1', w(1))$$), ($$claim_batch('*')$$), ($$force('*', '1', w(1), 'why')$$),
               ($$observe('*', '1', w(1))$$), ($$forget('*', w(1), 'why')$$), ($$promote('*', '1', 'why')$$),
               ($$halt('*', '1')$$), ($$resume('*', '1')$$), ($$abort('*', '1')$$), ($$retry('*', '1')$$),
               ($$progress('*', '1')$$)) AS v (call);

-- Gates never raise for data.
SELECT package, version, update_tier.is_open(package, version, 'canary'), update_tier.allows(package, version, w(1)),
       update_tier.explain(package, version, w(1)), update_tier.wanted_version(package, w(1)), update_tier.promoted_version(package)
  FROM (VALUES ('p', '9'), ('q', '1'), ('', ''), (NULL, '1'), ('p', NULL), ('*', '1'), ('p', '1 ')) AS v (package, version);
SELECT update_tier.is_open(repeat('x', 1025), '1', 'canary'), update_tier.allows('p', repeat('x', 1025), w(1)),
       update_tier.explain(repeat('x', 1025), '1', w(1)), update_tier.wanted_version(repeat('x', 1025), w(1)) IS NULL;
SELECT workspace, update_tier.allows('p', '1', workspace), update_tier.explain('p', '1', workspace), update_tier.wanted_version('p', workspace)
  FROM (VALUES (w(99)), (NULL), (w(9))) AS v (workspace);
SELECT told($$SELECT update_tier.is_open('p', '1', 'canery')$$);
SELECT told($$SELECT update_tier.is_open('p', '1', NULL)$$);
SELECT told($$SELECT update_tier.allows('p', '1', 'nonsense')$$);

-- A version that is not started.
SELECT told($$SELECT update_tier.claim('p', '9', w(1))$$);
SELECT told($$SELECT update_tier.claim('q', '1', w(1))$$);
SELECT told($$SELECT update_tier.claim('p', '1 ', w(1))$$);
SELECT told($$SELECT update_tier.claim('p', repeat('9', 1024), w(1))$$);
SELECT told($$SELECT update_tier.claim_batch('p', '9')$$);
SELECT told($$SELECT update_tier.force('p', '9', w(1), 'why')$$);
SELECT verb, told(format('SELECT update_tier.%s(%L, %L, %L)', verb, 'p', '9', 'why'))
  FROM unnest(ARRAY['promote', 'halt', 'resume', 'abort', 'retry']) AS verb;
SELECT told($$SELECT update_tier.progress('p', '9')$$);

-- Claims.
SELECT told($$SELECT update_tier.claim('p', '', w(1))$$);
SELECT told($$SELECT update_tier.claim('p', NULL, w(1))$$);
SELECT told($$SELECT update_tier.claim('p', '1', NULL)$$), update_tier.claim('p', '1', NULL) IS NULL, update_tier.claim('p', '1', w(99)) IS NULL;
SELECT told($$SELECT update_tier.claim_batch('p', '')$$);
SELECT told($$SELECT update_tier.claim_batch('p', '1', -1)$$);
SELECT told($$SELECT update_tier.claim_batch('p', '1', NULL)$$);
SELECT told($$SELECT update_tier.claim_batch('p', '1', candidates => ARRAY[w(2), NULL])$$);
SELECT told($$SELECT update_tier.claim_batch('p', '1', candidates => ARRAY[w(2), w(4), w(2)])$$);
SELECT told($$SELECT update_tier.claim_batch('p', '1', candidates => ARRAY[[w(2), w(4)]])$$);
SELECT count(*) FROM update_tier.claim_batch('p', '1', 0);
SELECT count(*) FROM update_tier.claim_batch('p', '1', candidates => '{}');
SELECT told($$SELECT update_tier.force('p', '1', w(4), NULL)$$);
SELECT told($$SELECT update_tier.force('p', '1', w(4), '')$$);
SELECT told($$SELECT update_tier.force('p', '1', w(4), repeat('x', 1025))$$);
SELECT told($$SELECT update_tier.force('p', '1', NULL, 'why')$$);
SELECT told($$SELECT update_tier.force('p', '1', w(99), 'why')$$);
SELECT told($$SELECT update_tier.force('p', '1', w(9), 'why')$$);
SELECT told($$SELECT update_tier.force('p', '1', w(2), 'why')$$);

-- Reports.
SELECT told($$SELECT update_tier.report(NULL, 'succeeded')$$);
SELECT told($$SELECT update_tier.report(-1, 'succeeded')$$);
SELECT told($$SELECT update_tier.report(0, 'succeeded')$$);
SELECT told($$SELECT update_tier.report(9223372036854775807, 'succeeded')$$);
SELECT told(format($$SELECT update_tier.report(%s, NULL)$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'success')$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'Succeeded')$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'claimed')$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'expired')$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, repeat('x', 10000))$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'succeeded')$$, :reported));

-- Leases.
SELECT told($$SELECT update_tier.extend(NULL)$$);
SELECT told($$SELECT update_tier.extend(-1)$$);
SELECT told(format($$SELECT update_tier.extend(%s, '0')$$, :token));
SELECT told(format($$SELECT update_tier.extend(%s, '-1 minute')$$, :token));
SELECT told(format($$SELECT update_tier.extend(%s)$$, :expired));
SELECT told(format($$SELECT update_tier.extend(%s)$$, :reported));
SELECT told(format($$SELECT update_tier.extend(%s)$$, :replaced));

-- Installations.
SELECT told($$SELECT update_tier.observe('p', '1', NULL)$$);
SELECT told($$SELECT update_tier.observe('p', '1', w(99))$$);
SELECT told($$SELECT update_tier.observe('p', '', w(1))$$);
SELECT told($$SELECT update_tier.observe('p', NULL, w(1))$$);
SELECT told($$SELECT update_tier.observe('p', '1', w(1), 'seen')$$);
SELECT told($$SELECT update_tier.observe('p', '1', w(1), NULL)$$);
SELECT told($$SELECT update_tier.forget('p', w(2), 'why')$$);
SELECT told($$SELECT update_tier.forget('p', w(1), NULL)$$);
SELECT told($$SELECT update_tier.forget('p', w(1), '')$$);
SELECT told($$SELECT update_tier.forget('p', w(1), repeat('x', 1025))$$);
SELECT told($$SELECT update_tier.forget('p', NULL, 'why')$$);
SELECT told($$SELECT update_tier.forget('p', w(99), 'why')$$), update_tier.forget('p', w(99), 'why'), update_tier.forget('q', w(1), 'why');

-- Verbs and progress().
SELECT told($$SELECT update_tier.promote('', '1')$$);
SELECT told($$SELECT update_tier.halt(NULL, '1')$$);
SELECT told($$SELECT update_tier.halt('p', NULL)$$);
SELECT verb, told(format('SELECT update_tier.%s(%L, %L, repeat(%L, 1025))', verb, 'p', '1', 'x'))
  FROM unnest(ARRAY['promote', 'halt', 'resume', 'abort', 'retry']) AS verb;
SELECT told($$SELECT update_tier.progress('p', NULL)$$);
SELECT told($$SELECT update_tier.progress('', '1')$$);

-- Two names of the greatest length, of bytes that do not compress, and names with any
-- characters.
SELECT update_tier.start(left(string_agg(md5(i::text), ''), 1024), left(string_agg(md5((-i)::text), ''), 1024)) FROM generate_series(1, 40) AS i;
SELECT update_tier.start('''; DROP TABLE workspaces; --', E'\n\t"%s"$1');
SELECT phases($$'; DROP TABLE workspaces; --$$);
SELECT update_tier.explain($$'; DROP TABLE workspaces; --$$, E'\n\t"%s"$1', w(1));

-- After errors that abort a transaction, leases are as they were.  A long detail is
-- accepted.
\set VERBOSITY default
SELECT update_tier.claim('p', '9', w(1));
BEGIN;
SELECT update_tier.report(:token, 'error');
SELECT update_tier.force('p', '1', w(4), '');
ROLLBACK;
SELECT update_tier.report(:token, 'succeeded', '1', repeat('x', 100000));
SELECT n(workspace), attempt, state, length(detail) FROM update_tier.installed ORDER BY workspace;
\pset format aligned
\pset tuples_only off
DROP FUNCTION told, state;

\set ECHO none
\i :fleet_gone
