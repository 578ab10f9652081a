--
-- The operators' verbs: what each phase permits, and what it returns.
--
-- A rollout in each phase, by package.
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE PROCEDURE arrange(p text, wanted text) LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.abort(package, version) FROM update_tier.rollout WHERE package = p;
    IF wanted = 'queued' THEN
        PERFORM update_tier.start(p, wanted || ' older'), run(p, wanted || ' older', 1);
    END IF;
    PERFORM update_tier.start(p, wanted);
    IF wanted IN ('soaking', 'promoted', 'resumed') THEN PERFORM run(p, wanted, 1); END IF;
    IF wanted = 'promoted' THEN PERFORM update_tier.promote(p, wanted); END IF;
    IF wanted = 'halted' THEN PERFORM update_tier.halt(p, wanted, 'by arrangement'); END IF;
    IF wanted = 'aborted' THEN PERFORM update_tier.abort(p, wanted); END IF;
    IF wanted = 'superseded' THEN PERFORM update_tier.start(p, wanted || ' newer'); END IF;
END $$;
CREATE FUNCTION try(verb text, p text, v text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    result text;
    detail text;
BEGIN
    EXECUTE format('SELECT update_tier.%I($1, $2, $3)', verb) INTO result USING p, v, 'because';
    RETURN result;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || detail;
END $$;
CREATE FUNCTION table_of_verbs() RETURNS TABLE (phase text, promote text, halt text, resume text, abort text, retry text)
LANGUAGE plpgsql AS $$
DECLARE
    verb text;
    results text[];
    p text;
BEGIN
    FOREACH phase IN ARRAY ARRAY['queued', 'canary', 'soaking', 'promoted', 'halted', 'aborted', 'superseded'] LOOP
        results := '{}';
        FOREACH verb IN ARRAY ARRAY['promote', 'halt', 'resume', 'abort', 'retry'] LOOP
            p := phase || ' ' || verb;
            CALL arrange(p, phase);
            ASSERT (SELECT s.phase FROM update_tier.status AS s WHERE s.package = p AND s.version = table_of_verbs.phase) = phase;
            results := results || try(verb, p, phase);
        END LOOP;
        promote := results[1]; halt := results[2]; resume := results[3]; abort := results[4]; retry := results[5];
        RETURN NEXT;
    END LOOP;
END $$;
\x on
SELECT * FROM table_of_verbs();
\x off

-- In full.
SELECT update_tier.promote('canary promote', 'canary');
SELECT update_tier.resume('aborted resume', 'aborted');
SELECT update_tier.retry('soaking retry', 'soaking');
SELECT update_tier.halt('aborted halt', 'aborted');
-- Of unknown rollouts.
SELECT update_tier.promote('no such package', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.halt('canary promote', 'no such version');
SELECT update_tier.resume('no such package', '1');
SELECT update_tier.abort('no such package', '1');
SELECT update_tier.retry('no such package', '1');

-- The reason is kept where people look.
SELECT update_tier.start('p', '1'), run('p', '1', 1);
SELECT update_tier.halt('p', '1', 'pager went off');
SELECT waits_for, reason FROM update_tier.status WHERE package = 'p';
SELECT update_tier.explain('p', '1', w(2));
SELECT kind, detail FROM update_tier.event WHERE package = 'p' ORDER BY id DESC LIMIT 1;
-- Twice is once: the first reason stands.
SELECT update_tier.halt('p', '1', 'again');
SELECT reason FROM update_tier.status WHERE package = 'p';

-- resume never promotes: the soak starts again, however long it had been.
SELECT later('30 days');
SELECT phases('p');
SELECT update_tier.resume('p', '1', 'false alarm');
SELECT phase, soak_ends_at - changed_at AS soak, reason FROM update_tier.status WHERE package = 'p';
SELECT update_tier.is_open('p', '1', 'production');
-- Also after production had it.
SELECT later('24 hours');
SELECT update_tier.is_open('p', '1', 'production');
SELECT update_tier.halt('p', '1', 'bad in production');
SELECT update_tier.is_open('p', '1', 'production'), update_tier.is_open('p', '1', 'canary');
SELECT update_tier.promoted_version('p') IS NULL AS nothing_to_roll_back_to;
SELECT update_tier.resume('p', '1');
SELECT update_tier.is_open('p', '1', 'production');

-- With an approval step a soak ends with promote and not by itself.
SELECT update_tier.set_policy('a', auto_promote => false);
SELECT run('a', '1', 1);
SELECT later('1000 days');
SELECT phase, soak_ends_at, waits_for FROM update_tier.status WHERE package = 'a';
SELECT update_tier.explain('a', '1', w(4)), update_tier.allows('a', '1', w(4));
SELECT update_tier.start('a', '2');
SELECT update_tier.promote('a', '1', 'looks good');
SELECT phases('a'), update_tier.allows('a', '1', w(4));

-- promote ends a soak early.
SELECT run('a', '2', 1), update_tier.promote('a', '2');
SELECT phases('a'), update_tier.promoted_version('a');
-- The one before is what to roll back to, if the newer one turns out bad.
SELECT update_tier.halt('a', '2');
SELECT update_tier.promoted_version('a');

-- retry starts again as the newest, evidence cleared.
SELECT update_tier.retry('a', '1', 'rolled back');
SELECT phases('a');
SELECT canary_succeeded, canary_failed, production_succeeded, reason FROM update_tier.status WHERE package = 'a' AND version = '1';
SELECT update_tier.allows('a', '1', w(1));

-- A reason is a sentence, and no file: 1024 bytes.  The error leaves all as it is.
SELECT update_tier.halt('a', '1', repeat('x', 1025));
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.abort('a', '1', repeat('ä', 513));
SELECT update_tier.resume('a', '2', repeat('x', 200000));
SELECT update_tier.retry('a', '2', repeat('x', 200000));
SELECT phases('a');
SELECT update_tier.halt('a', '1', repeat('x', 1024));
SELECT length(reason) FROM update_tier.status WHERE package = 'a' AND version = '1';
-- A report's detail is cut instead, between two characters: the report counts.
SELECT run('b', '1', 1);
SELECT update_tier.report(update_tier.claim('b', '1', w(2)), 'failed', detail => repeat('ä', 100000));
SELECT octet_length(detail), right(detail, 5) FROM update_tier.event WHERE package = 'b' AND kind = 'failed';
DROP FUNCTION table_of_verbs, try;
DROP PROCEDURE arrange;

\set ECHO none
\i :fleet_gone
