-- A platform that gives every metric of examples/monitoring a value, in the fleet of
-- test/fleet.sql.
-- The table has a column that monitoring may not read, and a canary that is not live.
ALTER TABLE workspaces ADD COLUMN secret text DEFAULT 'secret';
UPDATE workspaces SET live = false WHERE id = w(3);

-- At least one rollout in each phase, with live leases and failures.
SELECT update_tier.set_policy(max_in_flight => 7, retry_delay => '0');
SELECT update_tier.set_policy('approved by hand', auto_promote => false, soak => '1 hour');
SELECT update_tier.start('approved by hand', 'soaking'), run('approved by hand', 'soaking', 1);
SELECT update_tier.start('approved by hand', 'queued');
SELECT update_tier.set_policy('spreading', max_failures => 1, max_in_flight => 3, lease => '1 day');
SELECT update_tier.start('spreading', 'superseded'), update_tier.promote('spreading', 'superseded', 'the first one');
SELECT run('spreading', 'superseded', n) FROM generate_series(1, 8) AS n WHERE n <> 3;
SELECT update_tier.observe('spreading', 'by hand', w(9));
SELECT update_tier.start('spreading', 'promoted'), run('spreading', 'promoted', 1), update_tier.promote('spreading', 'promoted');
SELECT run('spreading', 'promoted', 4), run('spreading', 'promoted', 5, 'failed');
SELECT update_tier.claim('spreading', 'promoted', w(6)) IS NOT NULL AS leased;
SELECT update_tier.start('bad', 'halted'), run('bad', 'halted', 1), run('bad', 'halted', 2, 'failed');
SELECT update_tier.start('bad', 'aborted'), run('bad', 'aborted', 1), update_tier.abort('bad', 'aborted', 'enough');
SELECT update_tier.start('silent', 'canary'), update_tier.freeze('silent', reason => 'incident');
-- Three hours later one more workspace is leased, and a canary reports.
SELECT later('3 hours');
SELECT update_tier.claim('spreading', 'promoted', w(7)) IS NOT NULL AS leased;
SELECT update_tier.set_policy('silent', min_successes => 2, apply_to_running => true);
SELECT update_tier.thaw('silent'), run('silent', 'canary', 1), update_tier.freeze('silent');
