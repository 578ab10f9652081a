--
-- is_open, allows and explain: every case.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(min_successes => 2, max_attempts => 2, max_failures => 1, retry_delay => '1 minute');
CREATE FUNCTION why(v text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN update_tier.allows('p', v, w(n)) THEN 'yes, ' ELSE 'no, ' END
        || regexp_replace(update_tier.explain('p', v, w(n)), '\d{4}-\d\d-\d\d [0-9:.]+[-+]\d\d', '<moment>')
$$;

-- Not started.
SELECT why('1', 1), why('1', 4);
-- In canary: open to canaries, and production waits for canary successes.
SELECT update_tier.start('p', '1');
SELECT why('1', 1), why('1', 4);
-- Leased; then expired, and due again after retry_delay.
SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL AS granted;
SELECT why('1', 1);
SELECT later('15 minutes');
SELECT why('1', 1);
SELECT later('1 minute');
SELECT why('1', 1);
-- Attempts spent.
SELECT run('p', '1', 1, 'error');
SELECT why('1', 1);
-- Done.
SELECT run('p', '1', 2);
SELECT why('1', 2), why('1', 4);
-- Soaking; queued.
SELECT run('p', '1', 3), update_tier.start('p', '2');
SELECT why('1', 4), why('2', 1);
-- Promoted.
SELECT update_tier.promote('p', '1');
SELECT why('1', 4), why('1', 2), why('2', 2), why('2', 4);
-- Leased for another version.
SELECT update_tier.claim('p', '2', w(2)) AS t \gset
SELECT why('1', 2), why('2', 2);
SELECT update_tier.report(:t, 'succeeded');
-- Forward only: it has a newer version.
SELECT why('1', 2), update_tier.claim('p', '1', w(2)) IS NULL AS refused;
-- Superseded.
SELECT run('p', '2', 3), update_tier.promote('p', '2');
SELECT why('1', 4), why('1', 2), why('1', 3), update_tier.claim('p', '1', w(4)) IS NULL AS refused;

-- Halted, with a reason and without; for workspaces that have the version, and for
-- others.
SELECT update_tier.halt('p', '2', 'smoke');
SELECT why('2', 4), why('2', 2), why('1', 2), why('1', 4);
SELECT update_tier.start('p', '3'), update_tier.halt('p', '3');
SELECT why('3', 1);
-- Aborted, with a reason and without: workspaces that have the version go back.
SELECT update_tier.abort('p', '2', 'rolled back');
SELECT why('2', 4), why('1', 2), why('1', 4);
SELECT update_tier.abort('p', '3');
SELECT why('3', 1);
-- Before anything was promoted there is nothing to go back to.
SELECT update_tier.start('p0', '1'), run('p0', '1', 1), update_tier.start('p0', '2');
SELECT update_tier.halt('p0', '1'), update_tier.start('p0', '3');
SELECT run('p0', '3', 1), update_tier.halt('p0', '3');
SELECT update_tier.resume('p0', '1');
SELECT update_tier.explain('p0', '1', w(1));

-- Superseded by a version that has ended, too.  Workspaces that have the superseded
-- version go back when nothing newer is on its way.
SELECT later('1 minute');
SELECT update_tier.start('p', '4'), run('p', '4', 1);
SELECT later('15 minutes');
SELECT update_tier.start('p', '5');
SELECT why('4', 2), why('1', 1), why('5', 1);
SELECT update_tier.abort('p', '5');
SELECT why('4', 2), why('1', 1);

-- Fewer canaries than min_successes; none at all.
SELECT update_tier.set_policy('p', min_successes => 5);
SELECT update_tier.start('p', '6');
SELECT why('6', 9), waits_for FROM update_tier.status WHERE package = 'p' AND version = '6';
UPDATE workspaces SET update_tier = 'production';
SELECT why('6', 9), waits_for FROM update_tier.status WHERE package = 'p' AND version = '6';
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;

-- Waiting for approval.
SELECT update_tier.set_policy('p', auto_promote => false, min_successes => 1);
SELECT update_tier.start('p', '7'), run('p', '7', 1);
SELECT why('7', 9);

-- Each workspace has its own moment in a ramp.
SELECT update_tier.set_policy('p', ramp => '100 hours');
SELECT update_tier.start('p', '8'), update_tier.promote('p', '8', 'at once');
SELECT why('8', 9), why('8', 2), update_tier.is_open('p', '8', 'production'), update_tier.is_open('p', '8', 'canary');
SELECT later('100 hours');
SELECT why('8', 9), update_tier.is_open('p', '8', 'production');

-- allows does not depend on the budget.  explain says that no claim would be
-- granted.
SELECT update_tier.set_policy('p', max_in_flight => 1, apply_to_running => true);
SELECT update_tier.claim('p', '8', w(9)) AS t \gset
SELECT why('8', 8), update_tier.claim('p', '8', w(8)) IS NULL AS refused;
SELECT update_tier.report(:t, 'succeeded');
SELECT why('8', 8);

-- Frozen.
SELECT update_tier.freeze('p', reason => 'incident 7');
SELECT why('8', 8), why('8', 9), update_tier.is_open('p', '8', 'production'), update_tier.is_open('p', '8', 'canary');
SELECT update_tier.freeze('p', now() + interval '1 hour', 'holidays');
SELECT why('8', 8);
SELECT update_tier.thaw('p');
SELECT why('8', 8);

-- In one transaction a gate sees what the transaction has done, and no longer what
-- it has undone.
BEGIN;
SELECT update_tier.is_open('p', '8', 'canary');
SAVEPOINT before;
SELECT update_tier.halt('p', '8');
SELECT update_tier.is_open('p', '8', 'canary'), why('8', 2);
ROLLBACK TO before;
SELECT update_tier.is_open('p', '8', 'canary'), why('8', 2);
COMMIT;

-- One line, whatever the reason says.
SELECT update_tier.halt('p', '8', E'first\nsecond\r\nthird');
SELECT why('8', 4);
SELECT update_tier.resume('p', '8');

-- NULL, unknown, no longer live: no error.
SELECT update_tier.allows('p', '8', NULL), update_tier.explain('p', '8', NULL);
SELECT update_tier.allows('p', '8', w(99)), update_tier.explain('p', '8', w(99));
SELECT update_tier.allows(NULL, '8', w(1)), update_tier.explain(NULL, '8', w(1));
SELECT update_tier.allows('p', NULL, w(1)), update_tier.allows('', '', w(1)), update_tier.explain('p', '', w(1));
SELECT update_tier.is_open(NULL, '8', 'canary'), update_tier.is_open('p', NULL, 'canary');
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT why('8', 2), update_tier.claim('p', '8', w(2)) IS NULL AS refused;
SELECT update_tier.is_open('p', '8', 'canery');
SELECT update_tier.is_open('p', '8', NULL);
-- A name can be too long for any package or version: no error either.
SELECT update_tier.allows(repeat('x', 10000), repeat('y', 10000), w(1));

-- allows can be the filter of a query with a LIMIT.
SELECT n(id), update_tier.explain('p', '8', id) FROM workspaces WHERE update_tier.allows('p', '8', id) ORDER BY id LIMIT 1;
DROP FUNCTION why;

\set ECHO none
\i :fleet_gone
