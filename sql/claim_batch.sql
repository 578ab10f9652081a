--
-- claim_batch: the next workspaces of the whole fleet.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(soak => '1 hour', max_attempts => 2, max_failures => 9);
CREATE FUNCTION batch(v text, m integer DEFAULT 25) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n(workspace) || ' ' || tier || CASE attempt WHEN 1 THEN '' ELSE ' #' || attempt END, ', ')
      FROM update_tier.claim_batch('p', v, m)
$$;
-- Report for workspace n.
CREATE FUNCTION say(n integer, outcome text) RETURNS text LANGUAGE sql AS
    $$SELECT update_tier.report(token, outcome) FROM update_tier.execution WHERE workspace = w(n) AND state = 'claimed'$$;

-- It starts the rollout, and hands out canaries only.
SELECT batch('1', 2);
SELECT batch('1');
SELECT batch('1') IS NULL AS nothing_due;
-- A retry comes after what was never tried.
SELECT say(1, 'error');
UPDATE workspaces SET update_tier = 'canary' WHERE id = w(9);
SELECT batch('1', 1), batch('1', 1), batch('1', 1) IS NULL AS nothing_due;
-- Promoted: canaries first, then production; what has succeeded is done.
SELECT say(1, 'succeeded'), say(2, 'error'), say(3, 'succeeded'), say(9, 'succeeded');
SELECT batch('1', 0) IS NULL AS nothing_wanted;
SELECT later('1 hour');
SELECT batch('1', 4);
SELECT say(4, 'error'), say(5, 'succeeded');

-- A workspace behind the position: added, and flipped from canary.
INSERT INTO workspaces (id) VALUES (w(0));
UPDATE workspaces SET live = false WHERE id = w(7);
UPDATE workspaces SET update_tier = 'production' WHERE id = w(2);
SELECT batch('1');
SELECT batch('1') IS NULL AS nothing_due;
-- Leases run out: their second and last attempt.
SELECT later('1 hour');
SELECT batch('1');
SELECT later('1 hour');
SELECT batch('1') IS NULL AS nothing_due;
SELECT * FROM update_tier.progress('p', '1');
-- One comes back to life, one is new.
UPDATE workspaces SET live = true WHERE id = w(7);
INSERT INTO workspaces (id) VALUES (w(10));
SELECT batch('1');

-- Never more than the budget.
SELECT update_tier.set_policy(max_in_flight => 3, require_canary => false, soak => '0');
SELECT update_tier.start('p', '2'), batch('2') IS NULL AS not_yet;
SELECT update_tier.halt('p', '1');
SELECT update_tier.start('p', '3');
SELECT batch('3', 2), batch('3'), batch('3') IS NULL AS budget_spent;

-- A fleet of some thousands: every workspace gets its turn, once.
SELECT update_tier.set_policy('large', max_in_flight => 100000);
INSERT INTO workspaces SELECT w(n) FROM generate_series(11, 4000) AS n;
SELECT update_tier.start('large', '1');
CREATE TABLE handed_out AS SELECT workspace FROM update_tier.execution WHERE false;
DO $$
DECLARE
    rows bigint;
BEGIN
    LOOP
        INSERT INTO handed_out SELECT workspace FROM update_tier.claim_batch('large', '1', 250);
        GET DIAGNOSTICS rows = ROW_COUNT;
        EXIT WHEN rows = 0;
    END LOOP;
END $$;
SELECT count(*) = (SELECT count(*) FROM workspaces WHERE live) AS everyone, count(DISTINCT workspace) = count(*) AS once
  FROM handed_out;
DROP TABLE handed_out;

-- Thousands whose attempt ended in doubt, and who are gone since, do not stand
-- in the way of those that are not.
SELECT update_tier.set_policy('doubt', max_in_flight => 3000, max_failures => 3000, require_canary => false, soak => '0', max_attempts => 9);
SELECT update_tier.start('doubt', '1');
SELECT count(update_tier.report(token, 'error')) FROM update_tier.claim_batch('doubt', '1', 1500);
UPDATE workspaces SET live = false WHERE id IN (SELECT workspace FROM update_tier.execution AS e
  JOIN update_tier.rollout AS r ON r.id = e.rollout WHERE package = 'doubt' ORDER BY token LIMIT 1400);
CREATE TABLE again AS SELECT workspace FROM update_tier.execution WHERE false;
DO $$
BEGIN
    FOR n IN 1 .. 40 LOOP
        INSERT INTO again SELECT workspace FROM update_tier.claim_batch('doubt', '1', 100)
         WHERE attempt = 2;
    END LOOP;
END $$;
SELECT count(*) AS everyone, count(DISTINCT workspace) AS once FROM again;
DROP TABLE again;

-- Nonsense.
SELECT * FROM update_tier.claim_batch('p', '3', -1);
SELECT * FROM update_tier.claim_batch('p', '3', NULL);
SELECT * FROM update_tier.claim_batch('', '3');
SELECT * FROM update_tier.claim_batch(NULL, '3');
DROP FUNCTION batch, say;

\set ECHO none
\i :fleet_gone
