--
-- is_open, allows and explain: every case.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(min_successes => 2, max_attempts => 2);
CREATE FUNCTION why(v text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT CASE WHEN update_tier.allows('p', v, w(n)) THEN 'yes, ' ELSE 'no, ' END
        || regexp_replace(update_tier.explain('p', v, w(n)), '\d{4}-.*', '<moment>')
$$;

-- Not started.
SELECT why('1', 1), why('1', 4);
-- Open; needs canaries.
SELECT update_tier.start('p', '1');
SELECT why('1', 1), why('1', 4);
-- Leased; expired and free again.
SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL AS granted;
SELECT why('1', 1);
SELECT later('1 hour');
SELECT why('1', 1);
-- Attempts spent.
SELECT run('p', '1', 1, 'error');
SELECT why('1', 1);
SELECT update_tier.resume('p', '1');
SELECT why('1', 1);
-- Done.
SELECT run('p', '1', 2);
SELECT why('1', 2), why('1', 4);
-- Soaking; behind it.
SELECT run('p', '1', 3), update_tier.start('p', '2');
SELECT why('1', 4), why('2', 1);
-- Promoted, superseded.
SELECT update_tier.promote('p', '1');
SELECT why('1', 4), why('1', 2), why('2', 1), why('2', 4);
SELECT run('p', '2', 1), run('p', '2', 2), update_tier.promote('p', '2');
SELECT why('1', 4), why('1', 2);
-- Halted, aborted, with a reason and without.
SELECT update_tier.halt('p', '2', 'smoke');
SELECT why('2', 4), why('2', 3);
SELECT update_tier.abort('p', '2', 'rolled back');
SELECT why('2', 4);
SELECT update_tier.start('p', '3'), update_tier.halt('p', '3');
SELECT why('3', 1);
SELECT update_tier.abort('p', '3');
SELECT why('3', 1);
-- Waiting for approval.
SELECT update_tier.set_policy('p', auto_promote => false, min_successes => 1);
SELECT run('p', '4', 1);
SELECT why('4', 4);

-- In one transaction a gate sees what the transaction has done, and no longer what
-- it has undone.
BEGIN;
SELECT update_tier.is_open('p', '4', 'canary');
SAVEPOINT before;
SELECT update_tier.halt('p', '4');
SELECT update_tier.is_open('p', '4', 'canary'), why('4', 2);
ROLLBACK TO before;
SELECT update_tier.is_open('p', '4', 'canary'), why('4', 2);
COMMIT;

-- One line, whatever the reason says.
SELECT update_tier.halt('p', '4', E'first\nsecond\r\nthird');
SELECT why('4', 4);
SELECT update_tier.resume('p', '4');

-- NULL, unknown, no longer live: no error.
SELECT update_tier.allows('p', '4', NULL), update_tier.explain('p', '4', NULL);
SELECT update_tier.allows('p', '4', w(99)), update_tier.explain('p', '4', w(99));
SELECT update_tier.allows(NULL, '4', w(1)), update_tier.explain(NULL, '4', w(1));
SELECT update_tier.allows('p', NULL, w(1)), update_tier.allows('', '', w(1)), update_tier.explain('p', '', w(1));
SELECT update_tier.is_open(NULL, '4', 'canary'), update_tier.is_open('p', NULL, 'canary');
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT why('4', 2), update_tier.claim('p', '4', w(2)) IS NULL AS refused;
SELECT update_tier.is_open('p', '4', 'canery');
SELECT update_tier.is_open('p', '4', NULL);
-- Nor can there be a version of a name that long.
SELECT update_tier.allows(repeat('x', 10000), repeat('y', 10000), w(1));

-- As the filter of a query, before its LIMIT.
SELECT n(id), update_tier.explain('p', '4', id) FROM workspaces WHERE update_tier.allows('p', '4', id) ORDER BY id LIMIT 2;
DROP FUNCTION why;

\set ECHO none
\i :fleet_gone
