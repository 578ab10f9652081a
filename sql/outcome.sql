--
-- Outcomes of an attempt: what each counts for, which report may follow which, and
-- what the workspace runs afterwards.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
\pset null (null)
CREATE FUNCTION why(package text, n integer, version text DEFAULT '1') RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(update_tier.explain(package, version, w(n)), '\d{4}-\d\d-\d\d .*', '(a moment)')
$$;
-- Succeeded and failed workspaces of both tiers.
CREATE FUNCTION counted(p text, v text DEFAULT '1') RETURNS text LANGUAGE sql AS $$
    SELECT format('%s: %s canary %s/%s production %s/%s', version, phase, canary_succeeded, canary_failed, production_succeeded, production_failed)
      FROM update_tier.status WHERE package = p AND version = v
$$;
-- Reports, and returns the state of the attempt then, or the error code.
CREATE FUNCTION tried(token bigint, outcome text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.report(token, outcome);
    RETURN (SELECT state FROM update_tier.installed AS i WHERE i.token = tried.token);
EXCEPTION WHEN object_not_in_prerequisite_state THEN
    RETURN SQLSTATE;
END $$;
CREATE TABLE attempts (first text, second text, package text, token bigint);

-- Each outcome: its evidence, whether it uses an attempt, when the workspace is due
-- again, and what the workspace runs.
SELECT update_tier.set_policy(max_failures => 1, lease => '1 hour');
INSERT INTO attempts SELECT o, NULL, o FROM unnest(ARRAY['succeeded', 'failed', 'error', 'skipped', 'expired']) AS o;
SELECT count(update_tier.start(package, '1')) FROM attempts;
UPDATE attempts SET token = update_tier.claim(package, '1', w(1)) WHERE first = 'expired';
SELECT later('1 hour');
UPDATE attempts SET token = update_tier.claim(package, '1', w(1)) WHERE first <> 'expired';
SELECT first, update_tier.report(token, first) FROM attempts WHERE first <> 'expired' ORDER BY first;
SELECT first, counted(package), state, version AS runs, since IS NOT NULL AS since, why(package, 1)
  FROM attempts JOIN update_tier.installed USING (package) ORDER BY first;
SELECT later('5 minutes');
SELECT first, why(package, 1), update_tier.claim(package, '1', w(1)) IS NOT NULL AS claimed FROM attempts ORDER BY first;
SELECT first, attempt FROM attempts JOIN update_tier.installed USING (package) ORDER BY first;
TRUNCATE attempts;
SELECT later('2 hours');

-- The same for the last attempt.
INSERT INTO attempts SELECT o, NULL, 'last ' || o FROM unnest(ARRAY['succeeded', 'failed', 'error', 'skipped', 'expired']) AS o;
SELECT update_tier.set_policy(max_attempts => 1);
SELECT count(update_tier.start(package, '1')) FROM attempts;
UPDATE attempts SET token = update_tier.claim(package, '1', w(1)) WHERE first = 'expired';
SELECT later('1 hour');
UPDATE attempts SET token = update_tier.claim(package, '1', w(1)) WHERE first <> 'expired';
SELECT first, update_tier.report(token, first) FROM attempts WHERE first <> 'expired' ORDER BY first;
SELECT later('5 minutes');
SELECT first, counted(package), why(package, 1) FROM attempts ORDER BY first;
TRUNCATE attempts;
SELECT later('2 hours');

-- A second report may be worse and never better; the same report changes nothing.
-- After an expired lease every report is accepted, as it is the first.
SELECT update_tier.set_policy(max_attempts => 3);
INSERT INTO attempts SELECT f, s, f || ', then ' || s FROM unnest(ARRAY['claimed', 'succeeded', 'failed', 'error', 'skipped', 'expired']) AS f,
       unnest(ARRAY['succeeded', 'failed', 'error', 'skipped']) AS s;
SELECT count(update_tier.start(package, '1')) FROM attempts;
UPDATE attempts SET token = update_tier.claim(package, '1', w(1)) WHERE first = 'expired';
SELECT later('1 hour');
UPDATE attempts SET token = update_tier.claim(package, '1', w(1)) WHERE first <> 'expired';
SELECT count(tried(token, first)) FROM attempts WHERE first NOT IN ('claimed', 'expired');
SELECT first, second, tried(token, second), counted(package) FROM attempts ORDER BY first, second;
SELECT sum(in_flight) AS in_flight FROM update_tier.package WHERE name IN (SELECT package FROM attempts);
-- The error in full.
SELECT update_tier.report(token, 'succeeded') FROM attempts WHERE first = 'error' AND second = 'failed';
-- The same report again writes nothing.
SELECT i.xmin AS before FROM update_tier.installation AS i JOIN attempts USING (token) WHERE first = 'failed' AND second = 'failed' \gset
SELECT update_tier.report(token, 'failed', detail => 'again') FROM attempts WHERE first = 'failed' AND second = 'failed';
SELECT i.xmin = :'before'::xid AS unwritten FROM update_tier.installation AS i JOIN attempts USING (token) WHERE first = 'failed' AND second = 'failed';
TRUNCATE attempts;

-- An installed_version other than the rollout's makes the outcome an error, and is what
-- the workspace runs if that version was started.
SELECT update_tier.set_policy(retry_delay => '0', max_failures => 5);
SELECT update_tier.start('installed', 'known'), update_tier.promote('installed', 'known', 'long since');
SELECT update_tier.start('installed', '1');
SELECT update_tier.observe('installed', 'known', w(4)), run('installed', '1', 1);
INSERT INTO attempts SELECT o, v, 'installed' FROM unnest(ARRAY['succeeded', 'failed', 'error', 'skipped']) AS o, (VALUES ('1'), ('known'), ('unknown'), ('')) AS v (v);
CREATE FUNCTION tried_installed(outcome text, version text) RETURNS TABLE (state text, runs text, detail text, phase text) LANGUAGE plpgsql AS $$
DECLARE
    t bigint := update_tier.force('installed', '1', w(2), 'a trial');
BEGIN
    phase := update_tier.report(t, outcome, version, 'as told');
    SELECT i.state, i.version, i.detail INTO state, runs, detail FROM update_tier.installed AS i WHERE token = t;
    PERFORM update_tier.forget('installed', w(2), 'the next one');
    RETURN NEXT;
END $$;
SELECT first AS outcome, second AS installed_version, t.* FROM attempts, tried_installed(first, second) AS t ORDER BY 1, 2;
TRUNCATE attempts;
-- Such a workspace is due again.
SELECT update_tier.claim('installed', '1', w(3)) AS t \gset
SELECT update_tier.report(:t, 'succeeded', 'known');
SELECT update_tier.report(:t, 'succeeded', 'known'), update_tier.report(:t, 'error');
SELECT n(workspace), version, attempted_version, state FROM update_tier.installed WHERE package = 'installed' ORDER BY workspace;
SELECT installed_version FROM update_tier.installation WHERE token = :t;
SELECT why('installed', 3);

-- What happens to a workspace that is no longer live is no evidence, and halts
-- nothing.
SELECT update_tier.set_policy(max_failures => 0, max_attempts => 1);
INSERT INTO attempts SELECT o, g, o || ' ' || g FROM unnest(ARRAY['succeeded', 'failed', 'error', 'skipped', 'expired']) AS o, unnest(ARRAY['not live', 'deleted']) AS g;
SELECT count(update_tier.start(package, '1')) FROM attempts;
UPDATE attempts SET token = update_tier.claim(package, '1', CASE second WHEN 'deleted' THEN w(1) ELSE w(2) END);
UPDATE workspaces SET live = false WHERE id = w(2);
DELETE FROM workspaces WHERE id = w(1);
SELECT count(update_tier.report(token, first)) FROM attempts WHERE first <> 'expired';
SELECT later('1 hour');
SELECT first, second, counted(package), state FROM attempts JOIN update_tier.installed USING (package, token) ORDER BY 1, 2;
-- When the workspace comes back, its report is still no evidence.
UPDATE workspaces SET live = true WHERE id = w(2);
INSERT INTO workspaces VALUES (w(1), true, 'canary');
SELECT first, why(package, CASE second WHEN 'deleted' THEN 1 ELSE 2 END) FROM attempts WHERE second = 'deleted' AND first <> 'expired' ORDER BY 1;
TRUNCATE attempts;

-- Evidence counts under the tier that the workspace had when it was claimed.
SELECT update_tier.set_policy(max_failures => 5, max_attempts => 3);
SELECT update_tier.start('tier', '1');
SELECT update_tier.claim('tier', '1', w(1)) AS t1, update_tier.claim('tier', '1', w(2)) AS t2 \gset
UPDATE workspaces SET update_tier = 'production' WHERE id IN (w(1), w(2));
SELECT update_tier.report(:t1, 'succeeded'), update_tier.report(:t2, 'failed');
SELECT counted('tier');
SELECT update_tier.promote('tier', '1', 'at once');
-- The same when a report worsens.  The next claim takes the new tier.
SELECT update_tier.report(:t1, 'failed'), counted('tier');
SELECT run('tier', '1', 2);
SELECT counted('tier');
SELECT run('tier', '1', 1, 'failed');
SELECT counted('tier');
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (w(1), w(2));

-- A report is judged by the start of its statement.  This lease ends while the
-- statement runs, and the report is in time.
SELECT update_tier.set_policy(max_failures => 0, max_attempts => 1, lease => '1 microsecond');
SELECT update_tier.start('in time', '1'), update_tier.start('late', '1');
SELECT update_tier.report(update_tier.claim('in time', '1', w(1)), 'succeeded');
SELECT counted('in time'), (SELECT count(*) FROM update_tier.event WHERE package = 'in time' AND kind = 'expired') AS expired;
-- Here the lease has expired before the statement.  The late report still tells the
-- outcome of the attempt; the halt stays.
SELECT update_tier.claim('late', '1', w(1)) AS t \gset
SELECT update_tier.report(:t, 'succeeded');
SELECT counted('late'), why('late', 1), (SELECT reason FROM update_tier.status WHERE package = 'late');
SELECT kind, n(workspace), detail FROM update_tier.event WHERE package = 'late' ORDER BY id;

-- A report for an attempt that was replaced is logged and not counted: replaced by
-- another attempt, by another version, by a new run, or forgotten.
SELECT update_tier.set_policy(max_failures => 5, max_attempts => 3, lease => '1 hour');
SELECT update_tier.start('replaced', '1');
SELECT update_tier.claim('replaced', '1', w(1)) AS t1, update_tier.claim('replaced', '1', w(2)) AS t2, update_tier.claim('replaced', '1', w(3)) AS t3 \gset
SELECT later('1 hour');
SELECT run('replaced', '1', 1);
SELECT update_tier.report(:t1, 'failed', detail => 'too late');
SELECT update_tier.forget('replaced', w(2), 'restored');
SELECT update_tier.report(:t2, 'failed');
SELECT update_tier.start('replaced', '2'), update_tier.promote('replaced', '2', 'at once');
SELECT run('replaced', '2', 3);
SELECT update_tier.report(:t3, 'failed');
SELECT counted('replaced'), counted('replaced', '2');
SELECT update_tier.claim('replaced', '2', w(4)) AS t4, update_tier.claim('replaced', '2', w(5)) AS t5 \gset
SELECT update_tier.abort('replaced', '2');
SELECT update_tier.retry('replaced', '2');
SELECT update_tier.report(:t4, 'failed', detail => 'of the run before');
SELECT counted('replaced', '2'), update_tier.explain('replaced', '2', w(4));
SELECT n(workspace), state, detail FROM update_tier.installed WHERE package = 'replaced' ORDER BY workspace;
SELECT version, kind, n(workspace), token - :t1 AS token, detail FROM update_tier.event
 WHERE package = 'replaced' AND kind IN ('replaced', 'late report', 'failed') ORDER BY id;
-- An observation of another version, after the lease has expired, replaces it, too.
SELECT update_tier.start('observed', '1'), update_tier.start('observed', '2');
SELECT update_tier.claim('observed', '2', w(1)) AS t1, update_tier.claim('observed', '2', w(2)) AS t2 \gset
SELECT later('1 hour');
SELECT update_tier.observe('observed', '1', w(1)), update_tier.observe('observed', 'by hand', w(2));
SELECT update_tier.report(:t1, 'failed');
SELECT update_tier.report(:t2, 'failed');
SELECT update_tier.extend(:t1);
SELECT counted('observed'), counted('observed', '2');
SELECT n(workspace), version, state FROM update_tier.installed WHERE package = 'observed' ORDER BY workspace;

-- Reports that are counted later work with a publication of all tables: the server can
-- replicate the rows of update_tier.uncounted and their deletion.
SET client_min_messages = 'error';
CREATE PUBLICATION everything FOR ALL TABLES;
RESET client_min_messages;
SELECT update_tier.start('published', '1'), update_tier.promote('published', '1', 'at once');
SELECT update_tier.claim('published', '1', w(5)) AS t1 \gset
SELECT update_tier.report(:t1, 'succeeded');
SELECT count(*) FROM update_tier.uncounted;
SELECT update_tier.halt('published', '1');
SELECT count(*) FROM update_tier.uncounted;
DROP PUBLICATION everything;
-- With a user's BRIN index an update can stay on its page, and the other indexes must
-- get no entry then.  An entry would later lead to another row in the same place.
CREATE INDEX own ON update_tier.rollout USING brin (changed_at);
ALTER TABLE update_tier.rollout SET (fillfactor = 100);
SELECT update_tier.start('indexed', '1'), update_tier.promote('indexed', '1', 'at once');
SELECT run('indexed', '1', 5);
SELECT run('indexed', '1', 6);
SELECT run('indexed', '1', 7);
VACUUM update_tier.rollout;
SELECT count(update_tier.start('indexed', '1' || n)) FROM generate_series(1, 20) AS n;
SET enable_seqscan = off;
SET enable_bitmapscan = off;
SELECT version FROM update_tier.rollout WHERE package = 'indexed' AND version = '1';
RESET enable_bitmapscan;
RESET enable_seqscan;
SELECT version, production_succeeded FROM update_tier.status WHERE package = 'indexed' AND version = '1';
DROP INDEX update_tier.own;
ALTER TABLE update_tier.rollout SET (fillfactor = 10);
DROP TABLE attempts;
DROP FUNCTION why, counted, tried, tried_installed;

\set ECHO none
\i :fleet_gone
