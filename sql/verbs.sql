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
    IF wanted IN ('soaking', 'promoted') THEN PERFORM run(p, wanted, 1); END IF;
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

-- Some of these errors in full.
SELECT update_tier.promote('halted promote', 'halted', 'because');
SELECT update_tier.resume('aborted resume', 'aborted');
SELECT update_tier.retry('soaking retry', 'soaking');
SELECT update_tier.halt('aborted halt', 'aborted');
-- Verbs on unknown rollouts.
SELECT update_tier.promote('no such package', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.halt('canary promote', 'no such version');
SELECT update_tier.resume('no such package', '1');
SELECT update_tier.abort('no such package', '1');
SELECT update_tier.retry('no such package', '1');

-- The reason is shown by status, explain and event.
SELECT update_tier.start('p', '1'), run('p', '1', 1);
SELECT update_tier.halt('p', '1', 'pager went off');
SELECT waits_for, reason FROM update_tier.status WHERE package = 'p';
SELECT update_tier.explain('p', '1', w(2));
SELECT kind, detail FROM update_tier.event WHERE package = 'p' ORDER BY id DESC LIMIT 1;
-- A second halt changes nothing: the first reason stays.
SELECT update_tier.halt('p', '1', 'again');
SELECT reason FROM update_tier.status WHERE package = 'p';

-- Only a person ends a halt.
SELECT later('30 days');
SELECT phases('p'), update_tier.start('p', '1');
-- resume never promotes: the soak starts again, however long it had been.
SELECT update_tier.resume('p', '1', 'false alarm');
SELECT phase, soak_ends_at - changed_at AS soak, reason FROM update_tier.status WHERE package = 'p';
SELECT update_tier.is_open('p', '1', 'production');
SELECT update_tier.resume('p', '1', 'again');
SELECT reason FROM update_tier.status WHERE package = 'p';
-- The same after the version was open to production: it has to soak again.
SELECT later('24 hours');
SELECT update_tier.is_open('p', '1', 'production');
SELECT update_tier.halt('p', '1', 'bad in production');
SELECT update_tier.is_open('p', '1', 'production'), update_tier.is_open('p', '1', 'canary');
SELECT update_tier.promoted_version('p') IS NULL AS nothing_to_roll_back_to;
SELECT update_tier.resume('p', '1');
SELECT update_tier.is_open('p', '1', 'production'), phase, soak_ends_at - changed_at AS soak
  FROM update_tier.status WHERE package = 'p';
-- A version that was halted in canary goes back to canary.
SELECT update_tier.start('q', '1'), update_tier.halt('q', '1'), update_tier.resume('q', '1');

-- resume is refused when a newer version has taken the place, in canary or promoted.
SELECT update_tier.halt('q', '1', 'slow'), update_tier.start('q', '2');
SELECT update_tier.resume('q', '1');
\echo :LAST_ERROR_SQLSTATE
SELECT run('q', '2', 1), update_tier.promote('q', '2');
SELECT phases('q');
SELECT update_tier.resume('q', '1');
SELECT waits_for, reason FROM update_tier.status WHERE package = 'q' AND version = '1';
-- A newer version that is halted or aborted has not taken the place.
SELECT update_tier.halt('q', '2');
SELECT update_tier.resume('q', '1');
SELECT phases('q');
SELECT update_tier.halt('q', '1'), update_tier.abort('q', '2'), update_tier.resume('q', '1');

-- promote ends a soak early.  Its reason is optional there.
SELECT update_tier.start('e', '1'), run('e', '1', 1);
SELECT update_tier.promote('e', '1');
SELECT update_tier.is_open('e', '1', 'production');
SELECT kind, detail FROM update_tier.event WHERE package = 'e' ORDER BY id DESC LIMIT 1;
SELECT update_tier.promote('e', '1', 'twice is once');
SELECT reason FROM update_tier.status WHERE package = 'e';

-- From canary, and from queued, promote skips the canaries.  This takes a reason,
-- which goes on record: evidence from another database, for example.
SELECT update_tier.start('e', '2');
SELECT update_tier.promote('e', '2');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.promote('e', '2', '');
SELECT phases('e');
SELECT update_tier.promote('e', '2', 'soaked in the database of our canaries');
SELECT update_tier.is_open('e', '2', 'production'), update_tier.explain('e', '2', w(4));
SELECT waits_for, reason FROM update_tier.status WHERE package = 'e' AND version = '2';
SELECT kind, detail FROM update_tier.event WHERE package = 'e' ORDER BY id DESC LIMIT 1;
SELECT update_tier.start('e', '3'), run('e', '3', 1), update_tier.start('e', '4');
SELECT update_tier.promote('e', '4');
SELECT update_tier.promote('e', '4', 'fixes an outage');
-- Older versions that were on their way are superseded.
SELECT phases('e');
SELECT waits_for FROM update_tier.status WHERE package = 'e' AND version = '3';
-- A newer version goes on.
SELECT update_tier.start('e', '5'), run('e', '5', 1), update_tier.start('e', '6');
SELECT update_tier.promote('e', '5');
SELECT phases('e');

-- While the version ramps, promote ends the ramp.
SELECT update_tier.set_policy('ramp', ramp => '1 hour');
SELECT update_tier.start('ramp', '1'), run('ramp', '1', 1), update_tier.promote('ramp', '1', 'tested');
SELECT update_tier.is_open('ramp', '1', 'production'), ramp_ends_at IS NOT NULL AS ramps, reason
  FROM update_tier.status WHERE package = 'ramp';
SELECT update_tier.promote('ramp', '1', 'all at once');
SELECT update_tier.is_open('ramp', '1', 'production'), ramp_ends_at, waits_for, reason
  FROM update_tier.status WHERE package = 'ramp';
SELECT kind, detail FROM update_tier.event WHERE package = 'ramp' ORDER BY id DESC LIMIT 1;

-- With an approval step a soak ends with promote and not by itself.
SELECT update_tier.set_policy('a', auto_promote => false);
SELECT update_tier.start('a', '1'), run('a', '1', 1);
SELECT later('1000 days');
SELECT s.phase, s.soak_ends_at = r.soaks_from + interval '24 hours' AS soak_end_is_shown,
       regexp_replace(waits_for, '\d{4}-.*', '<moment>') AS waits_for
  FROM update_tier.status AS s JOIN update_tier.rollout AS r USING (package, version) WHERE package = 'a';
SELECT update_tier.allows('a', '1', w(4));
SELECT update_tier.start('a', '2');
SELECT later('1000 days');
SELECT phases('a');
SELECT update_tier.promote('a', '1', 'looks good');
SELECT phases('a'), update_tier.allows('a', '1', w(4));

-- abort ends any rollout.  A second abort and start change nothing.
SELECT update_tier.start('b', '1'), run('b', '1', 1), update_tier.promote('b', '1');
SELECT update_tier.start('b', '2'), run('b', '2', 1);
SELECT update_tier.abort('b', '2', 'loses data');
SELECT update_tier.abort('b', '2', 'again');
SELECT waits_for, reason FROM update_tier.status WHERE package = 'b' AND version = '2';
SELECT update_tier.start('b', '2');
SELECT update_tier.is_open('b', '2', 'canary'), update_tier.is_open('b', '1', 'canary');

-- retry begins a new run of the version, as the newest, with the current settings.
-- Evidence and attempts of the run before no longer count.
SELECT update_tier.set_policy('r', max_attempts => 2, max_failures => 1, retry_delay => '0');
SELECT update_tier.start('r', '1'), run('r', '1', 1), run('r', '1', 2, 'failed');
SELECT run('r', '1', 2, 'error');
SELECT update_tier.explain('r', '1', w(2));
SELECT update_tier.start('r', '2'), update_tier.abort('r', '1', 'bad'), phases('r');
SELECT update_tier.set_policy('r', min_successes => 2);
SELECT update_tier.retry('r', '1', 'it was the network');
SELECT phases('r');
SELECT canary_succeeded, canary_failed, reason FROM update_tier.status WHERE package = 'r' AND version = '1';
SELECT run, min_successes FROM update_tier.rollout WHERE package = 'r' AND version = '1';
SELECT update_tier.allows('r', '1', w(1)), update_tier.explain('r', '1', w(2));
SELECT n(workspace), attempt FROM update_tier.claim_batch('r', '1') ORDER BY workspace;
-- Leases of the run before stay leases until they end, and count in the budget;
-- their reports end them and are logged, and not counted.
SELECT update_tier.abort('r', '1');
SELECT update_tier.retry('r', '1'), update_tier.set_policy('r', max_in_flight => 4, apply_to_running => true);
SELECT in_flight FROM update_tier.package WHERE name = 'r';
SELECT regexp_replace(update_tier.explain('r', '1', w(1)), '\d{4}-.*', '<moment>');
SELECT canary_in_flight, canary_succeeded FROM update_tier.status WHERE package = 'r' AND version = '1';
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (w(4), w(5));
SELECT update_tier.claim('r', '1', w(4)) IS NOT NULL AS granted, update_tier.claim('r', '1', w(5)) IS NULL AS budget_spent;
SELECT update_tier.report(token, 'failed', detail => 'from before') FROM update_tier.installed WHERE package = 'r' AND workspace = w(1);
SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = 'r' AND workspace = w(2);
SELECT in_flight FROM update_tier.package WHERE name = 'r';
SELECT phase, canary_in_flight, canary_succeeded, canary_failed FROM update_tier.status WHERE package = 'r' AND version = '1';
SELECT kind, n(workspace), detail FROM update_tier.event WHERE package = 'r' AND kind IN ('failed', 'late report') ORDER BY id;
-- The two workspaces are due again, for this run.
SELECT n(workspace), attempt FROM update_tier.claim_batch('r', '1') ORDER BY workspace;

-- A reason has at most 1024 bytes.  A longer reason is an error that changes nothing.
SELECT update_tier.halt('e', '6', repeat('x', 1025));
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.abort('e', '6', repeat('ä', 513));
SELECT update_tier.resume('e', '6', repeat('x', 200000));
SELECT update_tier.retry('e', '6', repeat('x', 200000));
SELECT update_tier.promote('e', '6', repeat('x', 200000));
SELECT phases('e');
SELECT update_tier.halt('e', '6', repeat('x', 1024));
SELECT length(reason) FROM update_tier.status WHERE package = 'e' AND version = '6';
-- A longer detail of a report is cut between two characters, because the report must be
-- counted.
SELECT update_tier.start('d', '1');
SELECT update_tier.report(update_tier.claim('d', '1', w(2)), 'failed', detail => repeat('ä', 100000));
SELECT octet_length(detail), right(detail, 5) FROM update_tier.event WHERE package = 'd' AND kind = 'failed';
DROP FUNCTION table_of_verbs, try;
DROP PROCEDURE arrange;

\set ECHO none
\i :fleet_gone
