--
-- update_tier.prune deletes rollouts, installations and events that are no longer
-- needed.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- Three packages, each with the same past: versions that were superseded, four that
-- were promoted one after the other, one that was aborted.
SELECT update_tier.start(p, v) FROM unnest(ARRAY['p', 'q', 'r']) AS p, unnest(ARRAY['1', '2', '3']) AS v;
SELECT update_tier.promote(p, '3', 'at once') FROM unnest(ARRAY['p', 'q', 'r']) AS p;
SELECT update_tier.start(p, v), update_tier.promote(p, v, 'at once')
  FROM unnest(ARRAY['p', 'q', 'r']) AS p, unnest(ARRAY['4', '5', '6']) AS v;
SELECT update_tier.start(p, '7'), update_tier.abort(p, '7', 'bad') FROM unnest(ARRAY['p', 'q', 'r']) AS p;
SELECT phases('p'), phases('p') = phases('q') AND phases('p') = phases('r') AS the_same;
-- A version that a workspace was handed last, or runs, is needed.
SELECT run('r', '6', 1);
SELECT update_tier.force('r', '4', w(4), 'as it was') AS token \gset
SELECT update_tier.report(:token, 'succeeded');
SELECT update_tier.force('r', '3', w(5), 'as it was') AS token \gset
SELECT update_tier.report(:token, 'succeeded');
SELECT update_tier.claim('r', '6', w(5)) IS NOT NULL AS still_runs_3;
SELECT update_tier.prune('1 hour');
SELECT later('2 hours');
SELECT update_tier.start('young', '1'), update_tier.start('young', '2');
SELECT update_tier.prune('1 hour');
-- In every package the promoted version stays, and so does the version promoted before,
-- which is what a rollback needs.  An aborted version stays known as aborted.
SELECT phases('p'), phases('q');
SELECT phases('r'), phases('young');
SELECT p, update_tier.promoted_version(p), update_tier.start(p, '7') FROM unnest(ARRAY['p', 'q', 'r']) AS p;
SELECT update_tier.abort(p, '6', 'bad, too') FROM unnest(ARRAY['p', 'q', 'r']) AS p;
SELECT p, update_tier.promoted_version(p), update_tier.is_open(p, '5', 'production') FROM unnest(ARRAY['p', 'q', 'r']) AS p;
SELECT run('r', '5', 1);
-- A version that was deleted counts as not started.
SELECT update_tier.explain('p', '3', w(1));
SELECT count(*) FROM update_tier.event WHERE at < now() - interval '1 hour';
SELECT count(*) > 0 AS young_ones_stay FROM update_tier.event;
SELECT update_tier.prune('1 hour');

-- No queued, canary, soaking or promoted version is deleted, however old it is, and no
-- halted version: a version that is known to be bad must not be new again.
SELECT update_tier.start('live', '1'), update_tier.halt('live', '1');
SELECT update_tier.start('live', '2'), run('live', '2', 1), update_tier.promote('live', '2');
SELECT update_tier.start('live', '3'), update_tier.halt('live', '3'), update_tier.start('live', '4'), run('live', '4', 2);
SELECT update_tier.start('live', '5');
SELECT update_tier.set_policy('live', auto_promote => false, apply_to_running => true);
SELECT phases('live');
SELECT later('10000 hours');
SELECT update_tier.prune('1 hour') > 0 AS pruned;
SELECT phases('live'), update_tier.start('live', '1');

-- Installations of workspaces that are not live are deleted, unless they have changed
-- lately or are leased.
SELECT update_tier.start('i', '1'), update_tier.promote('i', '1', 'at once');
SELECT run('i', '1', n) FROM generate_series(1, 6) AS n;
SELECT later('2 hours');
SELECT run('i', '1', 7);
SELECT update_tier.claim('i', '1', w(8)) IS NOT NULL AS leased;
UPDATE workspaces SET live = false WHERE id IN (w(1), w(4), w(7), w(8));
DELETE FROM workspaces WHERE id = w(5);
SELECT update_tier.prune('1 hour');
SELECT n(workspace), state FROM update_tier.installed WHERE package = 'i' ORDER BY workspace;
SELECT canary_succeeded, production_succeeded FROM update_tier.status WHERE package = 'i';
SELECT update_tier.prune('0');
SELECT n(workspace), state FROM update_tier.installed WHERE package = 'i' ORDER BY workspace;
SELECT later('1 hour');
SELECT update_tier.prune('0');
SELECT n(workspace), state FROM update_tier.installed WHERE package = 'i' ORDER BY workspace;
-- A workspace that is live again is due from the beginning.
UPDATE workspaces SET live = true WHERE id IN (w(1), w(4), w(7), w(8));
SELECT update_tier.allows('i', '1', w(1)), update_tier.allows('i', '1', w(2));
-- Without an attached table no installation is deleted.
SELECT update_tier.detach();
SELECT update_tier.prune('0');
SELECT update_tier.attach('workspaces', 'live');
SELECT count(*) FROM update_tier.installed WHERE package = 'i';
-- When the last workspace that had a superseded version is not live any more the
-- next call deletes the version.
SELECT update_tier.start('last', '1'), update_tier.claim('last', '1', w(2)) AS token \gset
SELECT update_tier.report(:token, 'succeeded');
SELECT later('24 hours');
SELECT update_tier.start('last', v), update_tier.promote('last', v, 'at once') FROM unnest(ARRAY['2', '3']) AS v;
SELECT update_tier.prune('0');
SELECT phases('last');
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT update_tier.prune('0');
SELECT n(workspace) FROM update_tier.installed WHERE package = 'last';
-- A report for its attempt is not counted.
SELECT update_tier.report(:token, 'failed');
SELECT update_tier.prune('0');
SELECT phases('last');
-- Its token is deleted with the events.
SELECT update_tier.report(:token, 'failed');
\echo :LAST_ERROR_SQLSTATE

-- Many installations are deleted by one call.
SELECT update_tier.set_policy('large', require_canary => false, soak => '0', max_in_flight => 5000);
INSERT INTO workspaces SELECT w(n) FROM generate_series(11, 2500) AS n;
SELECT update_tier.start('large', '1');
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('large', '1', 2500);
UPDATE workspaces SET live = false WHERE n(id) % 10 > 0 AND n(id) > 10;
SELECT update_tier.prune('0');
SELECT count(*) FROM update_tier.installed WHERE package = 'large' AND n(workspace) > 10;
SELECT canary_succeeded, production_succeeded FROM update_tier.status WHERE package = 'large';

-- A package of which nothing can be deleted is not locked: the version promoted before
-- the promoted one stays, however old it is.
SELECT update_tier.start('kept', '1'), update_tier.promote('kept', '1', 'at once');
SELECT update_tier.start('kept', '2'), update_tier.promote('kept', '2', 'at once');
SELECT later('2 hours');
SELECT update_tier.prune('1 hour');
BEGIN;
SELECT update_tier.prune('1 hour');
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'object' AND classid = 'update_tier.package'::regclass AND pid = pg_backend_pid();
COMMIT;
SELECT phases('kept');

-- The record of changed tiers stays, however old it is.
INSERT INTO update_tier.tier_change (at, actor, path) VALUES ('2001-01-01', 'bob', 'UPDATE');
SELECT update_tier.prune('0');
SELECT actor FROM update_tier.tier_change WHERE at < '2001-01-02';

-- An age that reaches before every timestamp deletes nothing.
SELECT update_tier.prune('10000000 years');
-- Invalid arguments.
SELECT update_tier.prune('-1 second');
SELECT update_tier.prune(NULL);
\echo :LAST_ERROR_SQLSTATE

\set ECHO none
\i :fleet_gone
