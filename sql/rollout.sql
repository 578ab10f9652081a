--
-- A rollout from its first claim to production.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy('plugin', min_successes => 2);

-- A version nobody has heard of is open to canaries only.
SELECT update_tier.is_open('plugin', 'v1', t), t FROM update_tier.tiers() AS t;
SELECT update_tier.claim('plugin', 'v1', w(4)) IS NULL AS refused;
SELECT phases('plugin');

-- The first canary succeeds, the second one starts the soak.
SELECT update_tier.claim('plugin', 'v1', w(1)) AS token \gset
SELECT update_tier.report(:token, 'succeeded');
SELECT update_tier.explain('plugin', 'v1', w(4));
SELECT run('plugin', 'v1', 2);
SELECT soak_ends_at - changed_at AS soak, waits_for FROM update_tier.status;
SELECT update_tier.is_open('plugin', 'v1', t), t FROM update_tier.tiers() AS t;
SELECT update_tier.claim('plugin', 'v1', w(4)) IS NULL AS refused;

-- More canaries do not start the soak again.
SELECT later('23 hours');
SELECT run('plugin', 'v1', 3);
SELECT date_trunc('hour', soak_ends_at - changed_at + interval '1 second') AS soak_left FROM update_tier.status;

-- It ends by itself.
SELECT update_tier.allows('plugin', 'v1', w(4));
SELECT later('1 hour');
SELECT update_tier.allows('plugin', 'v1', w(4));
SELECT phases('plugin');
SELECT update_tier.promoted_version('plugin');
SELECT run('plugin', 'v1', 4);
SELECT update_tier.explain('plugin', 'v1', w(4));
SELECT * FROM update_tier.progress('plugin', 'v1');

-- Who did what.
SELECT actor = current_user AS by_me, kind, package, version, detail FROM update_tier.event ORDER BY id;

-- start() is idempotent, and revives nothing.
SELECT update_tier.start('plugin', 'v1');
SELECT update_tier.start('plugin', 'v2');
SELECT update_tier.abort('plugin', 'v2', 'no');
SELECT update_tier.start('plugin', 'v2');
SELECT update_tier.claim('plugin', 'v2', w(1)) IS NULL AS refused;
SELECT phases('plugin');

\set ECHO none
\i :fleet_gone
