--
-- A hostile search_path against the rollout functions: nothing shadowed is used.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
\set hostile :abs_srcdir '/test/hostile.sql'
\set ECHO none
\i :hostile
\set ECHO all
SET search_path = evil, pg_catalog, public;
-- The shadows are real.
SELECT 1 = 1;

SELECT update_tier.set_policy('p', max_attempts => 2, max_failures => 5);
SELECT update_tier.start('p', '1');
SELECT workspace, tier, attempt FROM update_tier.claim_batch('p', '1', 2);
SELECT update_tier.report(1, 'succeeded'), update_tier.report(2, 'error', detail => 'x');
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000002');
-- A last attempt at what failed before.
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000003') AS token \gset
SELECT update_tier.report(:token, 'failed');
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000003') AS token \gset
SELECT update_tier.report(:token, 'failed');
SELECT update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000099');
SELECT update_tier.allows('p', '1', '00000000-0000-0000-0000-000000000003'), update_tier.is_open('p', '1', 'canary');
SELECT update_tier.start('p', '2');
SELECT update_tier.halt('p', '1', 'why'), update_tier.abort('p', '2'), update_tier.resume('p', '1'), update_tier.promote('p', '1');
SELECT update_tier.promoted_version('p'), update_tier.retry('p', '2');
SELECT * FROM update_tier.progress('p', '1');
SELECT package, version, phase, waits_for FROM update_tier.status;
SELECT update_tier.abort('p', '2'), update_tier.prune('0');
RESET search_path;
SET client_min_messages = 'warning';
DROP SCHEMA evil CASCADE;

\set ECHO none
\i :fleet_gone
