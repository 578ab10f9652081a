--
-- What evidence does to a rollout: thresholds, halts, resume.  outcome.sql shows what
-- each outcome is evidence for.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE VIEW counted AS
SELECT package, version, phase, canary_succeeded AS cs, canary_failed AS cf, canary_in_flight AS ci,
       production_succeeded AS ps, production_failed AS pf, production_in_flight AS pi
  FROM update_tier.status ORDER BY package, version;
SELECT update_tier.set_policy(max_failures => 1, min_successes => 2, retry_delay => '0');
SELECT count(update_tier.start(p, '1')) FROM unnest(ARRAY['withdrawn', 'retried', 'both', 'spent', 'again', 'cleared', 'moved', 'carried']) AS p;

-- A later report takes a success back: the soak ends when too few successes are left.
SELECT update_tier.claim('withdrawn', '1', w(1)) AS t1, update_tier.claim('withdrawn', '1', w(2)) AS t2 \gset
SELECT update_tier.report(:t1, 'succeeded'), update_tier.report(:t2, 'succeeded');
SELECT update_tier.report(:t2, 'error', detail => 'it had not booted');
SELECT * FROM counted WHERE package = 'withdrawn';
SELECT soak_ends_at FROM update_tier.status WHERE package = 'withdrawn';
SELECT run('withdrawn', '1', 2);

-- When the lease of a last attempt expires, that is a failure: by the clock alone,
-- without a report.
SELECT update_tier.set_policy('expire', max_failures => 0, max_attempts => 2);
SELECT update_tier.start('expire', '1');
SELECT update_tier.claim('expire', '1', w(1)) AS t1 \gset
SELECT later('15 minutes');
SELECT * FROM counted WHERE package = 'expire';
SELECT update_tier.claim('expire', '1', w(1)) AS t2 \gset
SELECT * FROM counted WHERE package = 'expire';
SELECT later('14 minutes');
SELECT phases('expire');
SELECT later('1 minute');
SELECT phases('expire'), update_tier.is_open('expire', '1', 'canary'), update_tier.explain('expire', '1', w(2));
SELECT waits_for, reason FROM update_tier.status WHERE package = 'expire';
SELECT phase AS not_stored_yet FROM update_tier.rollout WHERE package = 'expire';
SELECT update_tier.claim('expire', '1', w(2)) IS NULL AS refused;
SELECT phase AS stored FROM update_tier.rollout WHERE package = 'expire';
SELECT waits_for FROM update_tier.status WHERE package = 'expire';
SELECT * FROM counted WHERE package = 'expire';
-- A success that is reported late is counted; the halt stays until a person ends it.
SELECT update_tier.report(:t2, 'succeeded');
SELECT * FROM counted WHERE package = 'expire';

-- When a last attempt expires within a soak, the version does not open to production.
SELECT update_tier.set_policy('expire', max_attempts => 1, min_successes => 1, soak => '1 hour', lease => '30 minutes');
SELECT update_tier.start('expire', '2');
SELECT run('expire', '2', 1), update_tier.claim('expire', '2', w(2)) IS NOT NULL AS granted;
SELECT later('90 minutes');
SELECT phases('expire'), update_tier.is_open('expire', '2', 'production');
-- With one failure tolerated it opens.
SELECT update_tier.set_policy('expire', max_failures => 1);
SELECT update_tier.start('expire', '3');
SELECT run('expire', '3', 1), update_tier.claim('expire', '3', w(3)) IS NOT NULL AS granted;
SELECT later('90 minutes');
SELECT phases('expire'), update_tier.is_open('expire', '3', 'production');

-- An attempt that was reported does not expire.
SELECT update_tier.set_policy('expire', max_failures => 0);
SELECT update_tier.start('expire', '4');
SELECT run('expire', '4', 1), update_tier.claim('expire', '4', w(2)) AS t \gset
SELECT update_tier.report(:t, 'succeeded');
SELECT later('90 minutes');
SELECT update_tier.is_open('expire', '4', 'production');

-- A retried success replaces that workspace's failure.
SELECT run('retried', '1', 1, 'failed');
SELECT * FROM counted WHERE package = 'retried';
SELECT run('retried', '1', 1);
SELECT * FROM counted WHERE package = 'retried';

-- More than max_failures in a tier halt the rollout; failures of both tiers are not
-- added.  The reason names the workspace that was one too many, and its detail.
SELECT run('both', '1', 1, 'failed'), run('both', '1', 2), run('both', '1', 3);
SELECT update_tier.promote('both', '1');
SELECT run('both', '1', 4, 'failed');
SELECT * FROM counted WHERE package = 'both';
SELECT update_tier.report(update_tier.claim('both', '1', w(5)), 'failed', detail => 'disk full');
SELECT update_tier.explain('both', '1', w(6));
SELECT kind, n(workspace), detail FROM update_tier.event WHERE package = 'both' AND kind IN ('failed', 'halted') ORDER BY id;

-- resume acknowledges these failures, and no others.
SELECT update_tier.resume('both', '1');
SELECT run('both', '1', 1, 'failed');
SELECT phases('both');
SELECT update_tier.promote('both', '1');
SELECT run('both', '1', 4, 'failed');
SELECT * FROM counted WHERE package = 'both';
SELECT run('both', '1', 6, 'failed');
SELECT * FROM counted WHERE package = 'both';

-- resume gives the workspaces that failed all their attempts back.
SELECT update_tier.set_policy('spent', max_attempts => 2, max_failures => 0, apply_to_running => true);
SELECT run('spent', '1', 1, 'error');
SELECT update_tier.report(update_tier.claim('spent', '1', w(1)), 'error', detail => 'no answer');
SELECT update_tier.explain('spent', '1', w(2));
SELECT update_tier.resume('spent', '1', 'the network is back');
SELECT update_tier.explain('spent', '1', w(1));
SELECT n(workspace), attempt FROM update_tier.claim_batch('spent', '1', candidates => ARRAY[w(1)]);
SELECT update_tier.report(token, 'error') FROM update_tier.installed WHERE package = 'spent' AND workspace = w(1);
SELECT run('spent', '1', 1);
SELECT * FROM counted WHERE package = 'spent';
-- The attempts after resume count as those before: the last one that fails halts the
-- version again.
SELECT update_tier.set_policy('again', max_attempts => 1, max_failures => 0, apply_to_running => true);
SELECT run('again', '1', 1, 'error'), update_tier.resume('again', '1');
SELECT run('again', '1', 1, 'error');
SELECT * FROM counted WHERE package = 'again';

-- Two thresholds: more failures than max_failures, and more than that share of
-- the tier's outcomes.  Half of two is no more than 50 %.
SELECT update_tier.set_policy('share', max_failures => 0, max_failure_percent => 50, min_successes => 1);
SELECT update_tier.start('share', '1');
SELECT run('share', '1', 1), run('share', '1', 2, 'failed');
SELECT * FROM counted WHERE package = 'share';
SELECT update_tier.report(update_tier.claim('share', '1', w(3)), 'failed', detail => 'it does not start');
SELECT * FROM counted WHERE package = 'share';
SELECT reason FROM update_tier.status WHERE package = 'share';
-- All failed, and no more than max_failures of them: tolerated.
SELECT update_tier.set_policy('share', max_failures => 2, max_failure_percent => 0);
SELECT update_tier.start('share', '2');
SELECT run('share', '2', 1, 'failed'), run('share', '2', 2, 'failed');
SELECT run('share', '2', 3, 'failed');
SELECT reason FROM update_tier.status WHERE package = 'share' AND version = '2';
-- A share does not round to zero: 1 of 105 outcomes is less than 1 %, 2 of 106 are more.
SELECT update_tier.set_policy('share', max_failures => 0, max_failure_percent => 1, max_in_flight => 200);
INSERT INTO workspaces SELECT w(n) FROM generate_series(101, 206) AS n;
SELECT update_tier.start('share', '3'), update_tier.promote('share', '3', 'to see failures in production');
SELECT count(update_tier.report(token, 'succeeded'))
  FROM update_tier.claim_batch('share', '3', 200, ARRAY(SELECT w(n) FROM generate_series(101, 204) AS n));
SELECT run('share', '3', 205, 'failed');
SELECT phases('share');
SELECT run('share', '3', 206, 'failed');
SELECT reason FROM update_tier.status WHERE package = 'share' AND version = '3';
-- Successes of workspaces that have a newer version now still count as outcomes.
SELECT update_tier.abort('share', '3'), update_tier.retry('share', '3'), update_tier.promote('share', '3', 'again');
SELECT count(update_tier.report(token, 'succeeded'))
  FROM update_tier.claim_batch('share', '3', 200, ARRAY(SELECT w(n) FROM generate_series(101, 204) AS n));
SELECT update_tier.claim('share', '3', w(205)) AS t \gset
SELECT update_tier.start('share', '4'), update_tier.promote('share', '4', 'at once');
SELECT count(update_tier.report(token, 'succeeded'))
  FROM update_tier.claim_batch('share', '4', 200, ARRAY(SELECT w(n) FROM generate_series(101, 203) AS n));
SELECT update_tier.report(:t, 'failed'), update_tier.abort('share', '4');
SELECT version, phase, ps, pf FROM counted WHERE package = 'share' AND version >= '3';
-- A workspace that comes back is one outcome, as before: in a REPEATABLE READ transaction,
-- which counts it at once, and in another.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(update_tier.report(token, 'succeeded'))
  FROM update_tier.claim_batch('share', '3', 200, ARRAY(SELECT w(n) FROM generate_series(101, 150) AS n));
COMMIT;
SELECT production_succeeded, production_failed, production_moved_on FROM update_tier.rollout WHERE package = 'share' AND version = '3';
CREATE TEMP TABLE back AS SELECT token FROM update_tier.claim_batch('share', '3', 200, ARRAY(SELECT w(n) FROM generate_series(151, 203) AS n));
SELECT count(update_tier.report(token, 'succeeded')) FROM back;
SELECT came_back, succeeded, count(*) FROM update_tier.uncounted GROUP BY came_back, succeeded;
SELECT count(*) FROM update_tier.claim_batch('share', '3', 1, ARRAY[w(101)]);
SELECT production_succeeded, production_failed, production_moved_on FROM update_tier.rollout WHERE package = 'share' AND version = '3';
DROP TABLE back;
DELETE FROM workspaces WHERE n(id) > 100;

-- A report for an attempt of the run before does not count, also when its lease had
-- expired before retry.
SELECT update_tier.claim('cleared', '1', w(1)) AS t \gset
SELECT later('1 hour');
SELECT update_tier.halt('cleared', '1'), update_tier.retry('cleared', '1');
SELECT update_tier.report(:t, 'failed');
SELECT * FROM counted WHERE package = 'cleared';

-- A canary fails, becomes production, and the lease of its last attempt expires: the
-- failure counts for production then.
SELECT update_tier.set_policy('moved', max_failures => 1, max_attempts => 2, min_successes => 1, apply_to_running => true);
SELECT run('moved', '1', 1), run('moved', '1', 2, 'failed'), update_tier.promote('moved', '1');
SELECT run('moved', '1', 9, 'failed');
UPDATE workspaces SET update_tier = 'production' WHERE id = w(2);
SELECT update_tier.claim('moved', '1', w(2)) IS NOT NULL AS claimed;
SELECT * FROM counted WHERE package = 'moved';
SELECT later('16 minutes');
SELECT update_tier.is_open('moved', '1', 'production'), update_tier.allows('moved', '1', w(8));
SELECT update_tier.explain('moved', '1', w(8));
SELECT * FROM counted WHERE package = 'moved';
UPDATE workspaces SET update_tier = 'canary' WHERE id = w(2);

-- A failure counts for the tier of its attempt.  When a last attempt expires in another
-- tier, the workspace's earlier failure moves to that tier.  So the next failure in the
-- first tier is tolerated, also if no call has looked in between.
SELECT update_tier.set_policy('carried', min_successes => 1, max_attempts => 2, max_failures => 1, soak => '0', lease => '1 minute', apply_to_running => true);
SELECT run('carried', '1', 1), run('carried', '1', 2, 'failed'), run('carried', '1', 3, 'error');
SELECT set_update_tier(w(2), 'production');
SELECT update_tier.claim('carried', '1', w(2)) IS NOT NULL AS last_attempt;
SELECT later('10 seconds');
SELECT update_tier.claim('carried', '1', w(3)) IS NOT NULL AS last_attempt;
SELECT later('1 hour');
SELECT phases('carried');
SELECT update_tier.promote('carried', '1');
SELECT * FROM counted WHERE package = 'carried';
-- In the other order canary has two failures for ten seconds, which halts the version.
SELECT update_tier.abort('carried', '1'), update_tier.retry('carried', '1'), set_update_tier(w(2), 'canary');
SELECT run('carried', '1', 1), run('carried', '1', 2, 'failed'), run('carried', '1', 3, 'error');
SELECT set_update_tier(w(2), 'production');
SELECT update_tier.claim('carried', '1', w(3)) IS NOT NULL AS last_attempt;
SELECT later('10 seconds');
SELECT update_tier.claim('carried', '1', w(2)) IS NOT NULL AS last_attempt;
SELECT later('1 hour');
SELECT phases('carried');

-- The soak goes on when the success of a canary is forgotten, also if another canary then
-- fails and that is tolerated: no canary has withdrawn a success.
SELECT update_tier.set_policy('kept', max_failures => 1, min_successes => 1);
SELECT update_tier.start('kept', '1'), run('kept', '1', 1);
SELECT update_tier.forget('kept', w(1), 'restored'), run('kept', '1', 3, 'failed');
SELECT * FROM counted WHERE package = 'kept';
DROP VIEW counted;

\set ECHO none
\i :fleet_gone
