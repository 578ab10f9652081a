--
-- update_tier.status: what an operator watches; what needs attention first.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.start('a', 'canary');
SELECT run('b', 'soaking', 1), update_tier.start('b', 'queued');
SELECT run('c', 'promoted', 1), update_tier.promote('c', 'promoted'), update_tier.claim('c', 'promoted', w(4)) IS NOT NULL AS leased;
SELECT run('d', 'halted', 1, 'failed');
SELECT update_tier.start('e', 'superseded'), update_tier.start('e', 'aborted'), update_tier.abort('e', 'aborted', 'enough');
\x on
SELECT package, version, phase, canary_succeeded, canary_failed, canary_in_flight, production_succeeded,
       production_failed, production_in_flight, soak_ends_at IS NOT NULL AS has_soak_end, waits_for, reason
  FROM update_tier.status;
\x off
-- Leases that have run out are not in flight.
SELECT production_in_flight FROM update_tier.status WHERE version = 'promoted';
SELECT later('1 hour');
SELECT production_in_flight FROM update_tier.status WHERE version = 'promoted';
-- It never looks at the fleet.
SELECT pg_stat_get_xact_numscans('workspaces'::regclass) AS scans \gset
SELECT count(*) FROM update_tier.status;
SELECT pg_stat_get_xact_numscans('workspaces'::regclass) <= :scans AS not_looked_at;

\set ECHO none
\i :fleet_gone
