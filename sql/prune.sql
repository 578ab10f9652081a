--
-- update_tier.prune: forgetting what has ended.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.start('p', v) FROM unnest(ARRAY['1', '2', '3']) AS v;
SELECT run('p', '3', 1), update_tier.promote('p', '3');
SELECT run('p', '4', 1), update_tier.promote('p', '4');
SELECT update_tier.halt('p', '4', 'bad'), update_tier.start('p', '5'), update_tier.abort('p', '5');
SELECT run('q', '1', 1), update_tier.start('q', '2');
SELECT phases('p'), phases('q');
SELECT update_tier.prune('1 hour');
SELECT later('2 hours');
SELECT update_tier.start('r', '1'), update_tier.start('r', '2');
-- Ended ones go, with their executions; one that is what to roll back to
-- stays, as do those that live; and what ended just now.
SELECT update_tier.promoted_version('p');
SELECT update_tier.prune('1 hour');
SELECT phases('p'), phases('q'), phases('r');
SELECT count(*) FROM update_tier.event WHERE at < now() - interval '1 hour';
SELECT count(*) > 0 AS young_ones_stay FROM update_tier.event;
SELECT update_tier.prune('1 hour');
-- Older than time itself.
SELECT update_tier.prune('10000000 years');
-- More executions than go in one batch.
SELECT update_tier.set_policy('large', require_canary => false, soak => '0', max_in_flight => 5000);
INSERT INTO workspaces SELECT w(n) FROM generate_series(11, 2500) AS n;
SELECT update_tier.start('large', '1');
SELECT count(*) FROM update_tier.claim_batch('large', '1', 2500);
SELECT update_tier.abort('large', '1');
SELECT update_tier.prune('0') AS rollouts;
SELECT count(*) FROM update_tier.execution AS e JOIN update_tier.rollout AS r ON r.id = e.rollout WHERE package = 'large';
-- Who reports for a rollout that has been pruned is told so.
SELECT update_tier.claim('late', '1', w(1)) AS token \gset
SELECT update_tier.abort('late', '1');
SELECT update_tier.prune('0');
SELECT update_tier.report(:token, 'succeeded') IS NULL AS not_counted;
-- Nonsense.
SELECT update_tier.prune('-1 second');
SELECT update_tier.prune(NULL);
\echo :LAST_ERROR_SQLSTATE

\set ECHO none
\i :fleet_gone
