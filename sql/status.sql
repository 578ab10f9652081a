--
-- The view update_tier.status shows the state of every rollout, those that need
-- attention first.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.start('a', 'canary');
SELECT update_tier.start('b', 'soaking'), run('b', 'soaking', 1), update_tier.start('b', 'queued');
SELECT update_tier.set_policy('c', ramp => '1 hour');
SELECT update_tier.start('c', 'promoted'), run('c', 'promoted', 1), update_tier.promote('c', 'promoted', 'looks good');
SELECT update_tier.force('c', 'promoted', w(4), 'ours') IS NOT NULL AS leased;
SELECT update_tier.start('d', 'halted'), update_tier.report(update_tier.claim('d', 'halted', w(1)), 'failed', detail => 'no disk');
SELECT update_tier.start('e', 'superseded'), update_tier.start('e', 'newer'), update_tier.start('e', 'aborted'), update_tier.abort('e', 'aborted', 'enough');
\x on
SELECT package, version, phase, canary_succeeded, canary_failed, canary_in_flight, production_succeeded,
       production_failed, production_in_flight, soak_ends_at - changed_at AS soak_left, ramp_ends_at - changed_at AS ramp_left,
       regexp_replace(waits_for, '\d{4}-\d\d-\d\d .*', '<moment>') AS waits_for, reason, swept_at
  FROM update_tier.status;
\x off

-- Leases that have expired are not in flight.
SELECT later('1 hour');
SELECT production_in_flight FROM update_tier.status WHERE version = 'promoted';

-- The view shows phases that the clock has changed, and that are not stored yet.
SELECT later('23 hours');
SELECT package, version, phase, soak_ends_at, ramp_ends_at - changed_at AS ramp, waits_for FROM update_tier.status WHERE package IN ('b', 'c');
SELECT package, version, phase AS stored FROM update_tier.rollout WHERE package = 'b' ORDER BY ordinal;

-- A workspace counts for the version that it has: as a newer version spreads, the counts
-- of an older version fall.  Failures stay counted.
SELECT update_tier.set_policy('s', max_failures => 1, retry_delay => '0');
SELECT update_tier.start('s', '7');
SELECT run('s', '7', n) FROM unnest(ARRAY[1, 2]) AS n;
SELECT run('s', '7', 3, 'failed'), update_tier.promote('s', '7');
SELECT run('s', '7', 4), run('s', '7', 5), run('s', '7', 6, 'failed');
CREATE VIEW counts AS
SELECT version, phase, canary_succeeded, canary_failed, production_succeeded, production_failed
  FROM update_tier.status WHERE package = 's' ORDER BY version;
SELECT * FROM counts;
SELECT update_tier.start('s', '8'), run('s', '8', 1), run('s', '8', 3);
SELECT * FROM counts;
SELECT update_tier.promote('s', '8');
SELECT run('s', '8', n) FROM unnest(ARRAY[2, 4, 5, 6]) AS n;
SELECT * FROM counts;
-- After an abort the counts of the older version rise again.
SELECT update_tier.abort('s', '8');
SELECT run('s', '7', n) FROM unnest(ARRAY[1, 4, 6]) AS n;
SELECT * FROM counts;
DROP VIEW counts;

-- A freeze is shown for rollouts that could otherwise go on.
SELECT update_tier.freeze('s', reason => 'incident');
SELECT version, phase, waits_for FROM update_tier.status WHERE package = 's';
SELECT update_tier.thaw('s');

-- The view never counts the fleet.  For each rollout in canary it reads min_successes
-- canaries at most, which are 1, 1 and 7.
INSERT INTO workspaces SELECT w(n), true, CASE WHEN n <= 1100 THEN 'canary' ELSE 'production' END FROM generate_series(1001, 4000) AS n;
ANALYZE workspaces;
SELECT update_tier.set_policy('f', min_successes => 7), update_tier.start('f', '1');
BEGIN;
SELECT pg_stat_get_xact_tuples_returned('workspaces'::regclass)
     + pg_stat_get_xact_tuples_returned('workspaces_update_tier_canary'::regclass) AS rows_read \gset
SELECT count(*) FILTER (WHERE phase = 'canary') AS in_canary, max(waits_for) FILTER (WHERE package = 'f') AS waits_for
  FROM update_tier.status;
SELECT pg_stat_get_xact_tuples_returned('workspaces'::regclass)
     + pg_stat_get_xact_tuples_returned('workspaces_update_tier_canary'::regclass) - :rows_read AS rows_read;
COMMIT;

-- The view also works after the attached table was dropped.
BEGIN;
DROP TABLE workspaces;
SELECT package, version, waits_for FROM update_tier.status WHERE phase = 'canary' ORDER BY package;
ROLLBACK;

\set ECHO none
\i :fleet_gone
