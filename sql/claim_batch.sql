--
-- claim_batch leases the next due workspaces: of the whole fleet, or of the candidates.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(soak => '1 hour', max_attempts => 2, max_failures => 9, retry_delay => '0');
CREATE FUNCTION batch(v text DEFAULT NULL, m integer DEFAULT 25, candidates integer[] DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n(workspace) || ' ' || tier || CASE attempt WHEN 1 THEN '' ELSE ' #' || attempt END
                      || CASE WHEN v IS NULL THEN ' v' || version ELSE '' END, ', ')
      FROM update_tier.claim_batch('p', v, m, CASE WHEN candidates IS NOT NULL THEN ARRAY(SELECT w(n) FROM unnest(candidates) AS n) END)
$$;
-- Report for workspace n.
CREATE FUNCTION say(n integer, outcome text DEFAULT 'succeeded') RETURNS text LANGUAGE sql AS
    $$SELECT update_tier.report(token, outcome) FROM update_tier.installed WHERE package = 'p' AND workspace = w(n)$$;

-- In canary: canaries only.
SELECT update_tier.start('p', '1');
SELECT batch('1', 2);
SELECT batch('1');
SELECT batch('1') IS NULL AS nothing_due, batch() IS NULL AS nothing_due;
-- A workspace that is due again, and one that became a canary.
SELECT say(1, 'error');
UPDATE workspaces SET update_tier = 'canary' WHERE id = w(9);
SELECT batch('1');
SELECT batch('1') IS NULL AS nothing_due;
-- Promoted: canaries first, then production; a workspace that succeeded is done.
SELECT say(1), say(2, 'error'), say(3), say(9);
SELECT batch('1', 0) IS NULL AS nothing_wanted;
SELECT later('1 hour');
SELECT batch('1', 4);
SELECT say(4, 'error'), say(5);

-- A workspace with an id before the search's position is added, another is not live
-- any more, and a canary becomes production.
INSERT INTO workspaces (id) VALUES (w(0));
UPDATE workspaces SET live = false WHERE id = w(7);
UPDATE workspaces SET update_tier = 'production' WHERE id = w(2);
SELECT batch('1');
SELECT batch('1') IS NULL AS nothing_due;
-- Leases expire: the second attempt, which is the last.
SELECT later('1 hour');
SELECT batch('1');
SELECT later('1 hour');
SELECT batch('1') IS NULL AS nothing_due;
SELECT * FROM update_tier.progress('p', '1');
-- A workspace is live again, and another is new.
UPDATE workspaces SET live = true WHERE id = w(7);
INSERT INTO workspaces (id) VALUES (w(10));
SELECT batch('1');
SELECT say(7), say(10);
DELETE FROM workspaces WHERE id IN (w(0), w(10));
UPDATE workspaces SET update_tier = CASE WHEN n(id) <= 3 THEN 'canary' ELSE 'production' END;

-- Without a version: each workspace with the one that it should have.  Canaries the
-- newest that is open to them, production the promoted one.
SELECT update_tier.abort('p', '1'), update_tier.retry('p', '1'), update_tier.promote('p', '1', 'again');
SELECT run('p', '1', n) FROM generate_series(1, 5) AS n;
SELECT update_tier.start('p', '2');
SELECT batch(m => 5);
SELECT batch();
SELECT batch() IS NULL AS nothing_due;
SELECT say(n) FROM generate_series(1, 9) AS n WHERE n NOT IN (4, 5);
SELECT phases('p');

-- The canaries run what soaks: they are due for nothing, and a batch of the promoted
-- version does not hand it to them.
SELECT batch('1') IS NULL AS nothing_due, batch() IS NULL AS nothing_due;
SELECT later('1 hour');

-- Rollback: canaries first, then workspaces of production that go back, then others.
SELECT phases('p'), batch('2', 2, ARRAY[8, 9]);
SELECT say(8), say(9, 'failed');
SELECT update_tier.halt('p', '2', 'bad'), batch() IS NULL AS undecided;
INSERT INTO workspaces (id) VALUES (w(0)), (w(10));
SELECT batch(m => 1);
SELECT update_tier.abort('p', '2');
SELECT batch(m => 2);
SELECT batch();
SELECT batch() IS NULL AS nothing_due;
SELECT count(say(n)) FROM generate_series(0, 10) AS n WHERE n NOT IN (4, 5, 6, 7);
SELECT version, count(*) FROM update_tier.installed WHERE package = 'p' GROUP BY version ORDER BY version;
DELETE FROM workspaces WHERE id IN (w(0), w(10));
-- The same with a version.
SELECT update_tier.start('p', '3'), update_tier.promote('p', '3', 'at once');
SELECT batch('3', 3, ARRAY[9, 2, 8]);
SELECT say(9), say(2), say(8);
SELECT update_tier.abort('p', '3');
SELECT batch('3') IS NULL AS aborted, batch('1');
SELECT count(say(n)) FROM unnest(ARRAY[2, 8, 9]) AS n;

-- Candidates: only these workspaces, and in this order.
SELECT update_tier.start('p', '4'), update_tier.promote('p', '4', 'at once');
SELECT batch('4', 2, ARRAY[7, 1, 99, 5, 4]);
SELECT batch('4', 25, ARRAY[7, 1, 5, 4]);
SELECT batch(m => 2, candidates => ARRAY[9, 7, 3, 2]);
SELECT batch('4', 25, ARRAY[]::integer[]) IS NULL AS none_given, batch(candidates => ARRAY[99]) IS NULL AS unknown;
UPDATE workspaces SET live = false WHERE id = w(8);
SELECT batch('4', 25, ARRAY[8]) IS NULL AS not_live;
UPDATE workspaces SET live = true WHERE id = w(8);
SELECT batch('4') AS the_others;
SELECT * FROM update_tier.claim_batch('p', '4', 25, ARRAY[w(4), w(6), w(4)]);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM update_tier.claim_batch('p', '4', 25, ARRAY[w(4), NULL]);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM update_tier.claim_batch('p', '4', 25, ARRAY[[w(4)], [w(6)]]);
\echo :LAST_ERROR_SQLSTATE

-- Never more than the budget, with a version and without.
SELECT count(say(n)) FROM generate_series(1, 9) AS n;
SELECT update_tier.set_policy('p', max_in_flight => 3);
SELECT update_tier.start('p', '5'), update_tier.promote('p', '5', 'at once');
SELECT batch('5', 2), batch('5'), batch('5') IS NULL AS budget_spent, batch() IS NULL AS budget_spent;
SELECT say(1);
SELECT batch();
SELECT say(2), say(3), say(4);
SELECT batch(candidates => ARRAY[9, 8, 7, 6]);
SELECT in_flight FROM update_tier.package WHERE name = 'p';

-- Invalid arguments.
SELECT * FROM update_tier.claim_batch('p', '3', -1);
SELECT * FROM update_tier.claim_batch('p', '3', NULL);
SELECT * FROM update_tier.claim_batch('', '3');
SELECT * FROM update_tier.claim_batch(NULL, '3');
SELECT * FROM update_tier.claim_batch('p', '');
SELECT * FROM update_tier.claim_batch('*');
DROP FUNCTION batch, say;

\set ECHO none
\i :fleet_gone
