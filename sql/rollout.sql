--
-- A rollout from its start to production.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy('plugin', min_successes => 2);

-- The version is not started: gates are closed, claims are errors, and neither starts
-- it.
SELECT update_tier.is_open('plugin', 'v1', t), t FROM update_tier.tiers() AS t;
SELECT update_tier.allows('plugin', 'v1', w(1)), update_tier.explain('plugin', 'v1', w(1)),
       update_tier.wanted_version('plugin', w(1)), update_tier.promoted_version('plugin');
SELECT update_tier.claim('plugin', 'v1', w(1));
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM update_tier.claim_batch('plugin', 'v1');
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM update_tier.claim_batch('plugin');
SELECT update_tier.force('plugin', 'v1', w(1), 'now');
SELECT count(*) FROM update_tier.rollout;

-- Started: open to canaries only.
SELECT update_tier.start('plugin', 'v1');
SELECT update_tier.is_open('plugin', 'v1', t), t FROM update_tier.tiers() AS t;
SELECT update_tier.claim('plugin', 'v1', w(4)) IS NULL AS refused;
SELECT phases('plugin');

-- The first canary succeeds, the second one starts the soak.
SELECT update_tier.claim('plugin', 'v1', w(1)) AS token \gset
SELECT update_tier.report(:token, 'succeeded');
SELECT update_tier.explain('plugin', 'v1', w(4));
SELECT run('plugin', 'v1', 2);
SELECT soak_ends_at - changed_at AS soak FROM update_tier.status;
SELECT update_tier.is_open('plugin', 'v1', t), t FROM update_tier.tiers() AS t;
SELECT update_tier.claim('plugin', 'v1', w(4)) IS NULL AS refused;

-- More canaries do not start the soak again.
SELECT later('23 hours');
SELECT run('plugin', 'v1', 3);
SELECT date_trunc('hour', soak_ends_at - changed_at + interval '1 second') AS soak_left FROM update_tier.status;

-- The soak ends by itself.
SELECT update_tier.allows('plugin', 'v1', w(4));
SELECT later('1 hour');
SELECT update_tier.allows('plugin', 'v1', w(4));
SELECT phases('plugin');
SELECT update_tier.promoted_version('plugin');
SELECT run('plugin', 'v1', 4);
SELECT update_tier.explain('plugin', 'v1', w(4));
SELECT * FROM update_tier.progress('plugin', 'v1');

-- Events name the role and what it did.  Phases that the rollout entered by itself are
-- logged with the moment at which it did.
SELECT actor = current_user AS by_me, kind, package, version, detail FROM update_tier.event ORDER BY id;
SELECT p.at - s.at AS soak FROM update_tier.event AS s, update_tier.event AS p
 WHERE s.kind = 'soaking' AND p.kind = 'promoted';

-- start() is idempotent, and revives nothing.
SELECT update_tier.start('plugin', 'v1');
SELECT update_tier.start('plugin', 'v2');
SELECT update_tier.abort('plugin', 'v2', 'no');
SELECT update_tier.start('plugin', 'v2');
SELECT update_tier.claim('plugin', 'v2', w(1)) IS NULL AS refused;
SELECT phases('plugin');

-- An applier whose queue has an old version, or a version with an extra blank, does not
-- disturb the newest version.
SELECT update_tier.start('plugin', 'v3');
SELECT update_tier.claim('plugin', 'v3 ', w(1));
SELECT update_tier.claim('plugin', 'v0', w(1));
SELECT * FROM update_tier.claim_batch('plugin', 'v0');
SELECT update_tier.allows('plugin', 'v0', w(1)), update_tier.explain('plugin', 'v3 ', w(1));
SELECT phases('plugin');

\set ECHO none
\i :fleet_gone
