--
-- What counts as evidence, and what does not.
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
SELECT update_tier.set_policy(max_failures => 1, min_successes => 2);

-- The same report twice is one.
SELECT update_tier.claim('twice', '1', w(1)) AS t \gset
SELECT update_tier.report(:t, 'succeeded'), update_tier.report(:t, 'succeeded');
SELECT * FROM counted;

-- Within an attempt it may get worse, and not better.
SELECT update_tier.report(:t, 'failed');
SELECT * FROM counted;
SELECT update_tier.report(:t, 'succeeded');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.report(:t, 'error');
SELECT update_tier.claim('twice', '1', w(2)) AS t2 \gset
SELECT update_tier.report(:t2, 'error');
SELECT update_tier.report(:t2, 'succeeded');
SELECT update_tier.report(:t2, 'failed');
SELECT * FROM counted;

-- A success that turns out to be none: enough canaries is no longer enough.
SELECT update_tier.claim('withdrawn', '1', w(1)) AS t1, update_tier.claim('withdrawn', '1', w(2)) AS t2 \gset
SELECT update_tier.report(:t1, 'succeeded'), update_tier.report(:t2, 'succeeded');
SELECT update_tier.report(:t2, 'error', detail => 'it had not booted');
SELECT * FROM counted WHERE package = 'withdrawn';
SELECT run('withdrawn', '1', 2);

-- An error is no evidence; another attempt makes it.
SELECT run('error', '1', 1, 'error'), run('error', '1', 1, 'error'), run('error', '1', 1);
SELECT * FROM counted WHERE package = 'error';

-- The last of max_attempts that errors is a failure.
SELECT run('last', '1', 1, 'error'), run('last', '1', 1, 'error'), run('last', '1', 1, 'error');
SELECT * FROM counted WHERE package = 'last';
SELECT update_tier.explain('last', '1', w(1));
SELECT update_tier.claim('last', '1', w(1)) IS NULL AS refused;

-- So is the last that expires; by the clock alone, without anybody's report.
SELECT update_tier.set_policy('expire', max_failures => 0, max_attempts => 2);
SELECT update_tier.claim('expire', '1', w(1)) AS t1 \gset
SELECT later('15 minutes');
SELECT * FROM counted WHERE package = 'expire';
SELECT update_tier.claim('expire', '1', w(1)) AS t2 \gset
SELECT * FROM counted WHERE package = 'expire';
SELECT later('14 minutes');
SELECT phases('expire');
SELECT later('1 minute');
SELECT phases('expire'), update_tier.is_open('expire', '1', 'canary'), update_tier.explain('expire', '1', w(2));
SELECT waits_for FROM update_tier.status WHERE package = 'expire';
SELECT update_tier.claim('expire', '1', w(2)) IS NULL AS refused;
SELECT * FROM counted WHERE package = 'expire';
-- The truth comes late: it is counted, and the halt stays until a person says.
SELECT update_tier.report(:t2, 'succeeded');
SELECT * FROM counted WHERE package = 'expire';

-- In a soak: production never opens, although the soak would have ended.
SELECT update_tier.set_policy('expire', max_attempts => 1, min_successes => 1, soak => '1 hour', lease => '30 minutes');
SELECT run('expire', '2', 1), update_tier.claim('expire', '2', w(2)) IS NOT NULL AS granted;
SELECT later('90 minutes');
SELECT phases('expire'), update_tier.is_open('expire', '2', 'production');
-- With one failure more tolerated it takes two.
SELECT update_tier.set_policy('expire', max_failures => 1);
SELECT run('expire', '3', 1), update_tier.claim('expire', '3', w(2)) IS NOT NULL AS granted;
SELECT later('90 minutes');
SELECT phases('expire'), update_tier.is_open('expire', '3', 'production');

-- A report before its lease is over takes the threat away.
SELECT update_tier.set_policy('expire', max_failures => 0);
SELECT run('expire', '4', 1), update_tier.claim('expire', '4', w(2)) AS t \gset
SELECT update_tier.report(:t, 'succeeded');
SELECT later('90 minutes');
SELECT update_tier.is_open('expire', '4', 'production');

-- A failed canary that is production by now: its next failure is one there.
SELECT update_tier.set_policy('moved', max_failures => 1, max_attempts => 2, min_successes => 1);
SELECT run('moved', '1', 1), run('moved', '1', 2, 'failed'), update_tier.promote('moved', '1');
SELECT run('moved', '1', 9, 'failed');
UPDATE workspaces SET update_tier = 'production' WHERE id = w(2);
SELECT update_tier.claim('moved', '1', w(2)) IS NOT NULL AS claimed;
SELECT later('16 minutes');
SELECT update_tier.is_open('moved', '1', 'production'), update_tier.allows('moved', '1', w(8));
UPDATE workspaces SET update_tier = 'canary' WHERE id = w(2);

-- What was installed is not what was gated: an error, whatever is claimed.
SELECT update_tier.claim('installed', 'abc', w(1)) AS t \gset
SELECT update_tier.report(:t, 'succeeded', 'abd');
SELECT update_tier.claim('installed', 'abc', w(1)) AS t \gset
SELECT update_tier.report(:t, 'failed', installed_version => '', detail => 'it is on fire');
SELECT workspace, state, installed_version, detail, evidence FROM update_tier.execution WHERE token = :t;
SELECT update_tier.claim('installed', 'abc', w(1)) AS t \gset
SELECT update_tier.report(:t, 'succeeded', 'abc');
SELECT * FROM counted WHERE package = 'installed';

-- A retried success replaces that workspace's failure.
SELECT run('retried', '1', 1, 'failed'), run('retried', '1', 1);
SELECT * FROM counted WHERE package = 'retried';

-- One more than max_failures halts: in a tier, not in both together.
SELECT run('both', '1', 1, 'failed'), run('both', '1', 2), run('both', '1', 3);
SELECT update_tier.promote('both', '1');
SELECT run('both', '1', 4, 'failed');
SELECT * FROM counted WHERE package = 'both';
SELECT run('both', '1', 5, 'failed');
SELECT update_tier.explain('both', '1', w(6));
SELECT kind, n(workspace), detail FROM update_tier.event WHERE package = 'both' AND kind IN ('failed', 'halted') ORDER BY id;

-- resume acknowledges these failures, and no others.
SELECT update_tier.resume('both', '1');
SELECT run('both', '1', 1, 'failed');
SELECT phases('both');
SELECT update_tier.promote('both', '1'), run('both', '1', 4, 'failed'), run('both', '1', 6, 'failed');
SELECT * FROM counted WHERE package = 'both';

-- A claim that was replaced: its report is logged, warned about, not counted.
SELECT update_tier.claim('replaced', '1', w(1)) AS old \gset
SELECT later('15 minutes');
SELECT update_tier.claim('replaced', '1', w(1)) AS new \gset
SELECT update_tier.report(:old, 'failed', detail => 'too late') = 'canary' AS phase;
SELECT update_tier.report(:new, 'succeeded');
SELECT update_tier.report(:old, 'succeeded');
SELECT * FROM counted WHERE package = 'replaced';
SELECT kind, token = :old AS old_token, detail FROM update_tier.event WHERE package = 'replaced' AND token IS NOT NULL ORDER BY id;
-- One that expired and was not replaced still counts.
SELECT update_tier.claim('replaced', '1', w(2)) AS slow \gset
SELECT later('1 hour');
SELECT update_tier.report(:slow, 'succeeded');

-- Evidence cleared by retry: reports of before do not count either.
SELECT update_tier.claim('cleared', '1', w(1)) AS t \gset
SELECT update_tier.halt('cleared', '1'), update_tier.retry('cleared', '1');
SELECT update_tier.report(:t, 'failed');
SELECT * FROM counted WHERE package = 'cleared';
-- Nor do those of leases that had run out by then.
SELECT update_tier.claim('cleared', '1', w(1)) AS t \gset
SELECT later('1 hour');
SELECT update_tier.halt('cleared', '1'), update_tier.retry('cleared', '1');
SELECT update_tier.report(:t, 'failed');
SELECT * FROM counted WHERE package = 'cleared';

-- A failure counts for the tier of its attempt.  When a last attempt runs out
-- in another tier it takes an earlier failure along, so that the next one in
-- the first tier is tolerated, whether somebody looks in between or not.
SELECT update_tier.set_policy('carried', min_successes => 1, max_attempts => 2, max_failures => 1, soak => '0', lease => '1 minute');
SELECT run('carried', '1', 1), run('carried', '1', 2, 'failed'), run('carried', '1', 3, 'error');
SELECT set_update_tier(w(2), 'production');
SELECT update_tier.claim('carried', '1', w(2)) IS NOT NULL AS last_attempt;
SELECT later('10 seconds');
SELECT update_tier.claim('carried', '1', w(3)) IS NOT NULL AS last_attempt;
SELECT later('1 hour');
SELECT phases('carried');
SELECT update_tier.promote('carried', '1');
SELECT * FROM counted WHERE package = 'carried';
-- The other way round there are two of them in a tier for ten seconds.
SELECT update_tier.abort('carried', '1'), update_tier.retry('carried', '1'), set_update_tier(w(2), 'canary');
SELECT run('carried', '1', 1), run('carried', '1', 2, 'failed'), run('carried', '1', 3, 'error');
SELECT set_update_tier(w(2), 'production');
SELECT update_tier.claim('carried', '1', w(3)) IS NOT NULL AS last_attempt;
SELECT later('10 seconds');
SELECT update_tier.claim('carried', '1', w(2)) IS NOT NULL AS last_attempt;
SELECT later('1 hour');
SELECT phases('carried');
DROP VIEW counted;

\set ECHO none
\i :fleet_gone
