--
-- With a hostile search_path the rollout functions use none of the shadowing objects.
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
-- Plain SQL does use the shadowing objects.
SELECT 1 = 1;
SELECT count(*) FROM package;

SELECT update_tier.set_policy('p', max_attempts => 2, max_failures => 5, retry_delay => '0');
SELECT update_tier.set_policy('*', soak => '1 hour'), update_tier.reset_policy('p', 'max_in_flight', 'soak');
SELECT update_tier.start('p', '1');
SELECT workspace, version, tier, attempt FROM update_tier.claim_batch('p', '1', 2);
SELECT update_tier.extend(1, '1 minute') IS NOT NULL AS extended;
SELECT update_tier.report(1, 'succeeded'), update_tier.report(2, 'error', detail => 'x');
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000002') AS token \gset
SELECT update_tier.report(:token, 'skipped', '0');
-- Two attempts fail; the second is the last.
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000003') AS token \gset
SELECT update_tier.report(:token, 'failed');
SELECT update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000003') AS token \gset
SELECT update_tier.report(:token, 'failed');
SELECT update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000099');
SELECT update_tier.allows('p', '1', '00000000-0000-0000-0000-000000000003'), update_tier.is_open('p', '1', 'canary');
SELECT update_tier.start('p', '2');
SELECT update_tier.halt('p', '1', 'why'), update_tier.abort('p', '2'), update_tier.resume('p', '1'), update_tier.promote('p', '1');
SELECT update_tier.promoted_version('p'), update_tier.retry('p', '2'), update_tier.promote('p', '2', 'why');
-- Claims for production and back again, with and without candidates.
SELECT count(*) FROM update_tier.claim_batch('p', candidates => '{00000000-0000-0000-0000-000000000005,00000000-0000-0000-0000-000000000001}');
SELECT update_tier.wanted_version('p', '00000000-0000-0000-0000-000000000004');
SELECT update_tier.observe('p', '2', '00000000-0000-0000-0000-000000000005'), update_tier.observe('p', 'unknown', '00000000-0000-0000-0000-000000000006');
SELECT update_tier.force('p', '2', '00000000-0000-0000-0000-000000000007', 'why') IS NOT NULL AS forced;
SELECT update_tier.abort('p', '2');
SELECT update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000005');
SELECT workspace, version, tier, attempt FROM update_tier.claim_batch('p', max_claims => 4);
SELECT update_tier.forget('p', '00000000-0000-0000-0000-000000000006', 'why'), update_tier.forget('p', '00000000-0000-0000-0000-000000000099', 'why');
SELECT update_tier.freeze('p', reason => 'why'), update_tier.freeze(until => 'infinity');
SELECT update_tier.allows('p', '1', '00000000-0000-0000-0000-000000000004'), update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000009');
SELECT update_tier.thaw('p');
SELECT update_tier.thaw();
SELECT * FROM update_tier.progress('p', '1');
SELECT package, version, phase, waits_for FROM update_tier.status;
SELECT count(*) AS installations FROM update_tier.installed;
-- Expired leases and prune().
RESET search_path;
SELECT later('1 day');
DELETE FROM workspaces WHERE id = '00000000-0000-0000-0000-000000000007';
SET search_path = evil, pg_catalog, public;
SELECT update_tier.start('p', '3');
SELECT update_tier.prune('0');
SELECT update_tier.explain('p', '3', '00000000-0000-0000-0000-000000000001');
RESET search_path;
SELECT phases('p'), count(*) FROM update_tier.installation;
SET client_min_messages = 'warning';
DROP SCHEMA evil CASCADE;

\set ECHO none
\i :fleet_gone
