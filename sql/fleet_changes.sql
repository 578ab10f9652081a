--
-- Workspaces are added, are deleted, do not answer, stop being live or change their
-- tier: a rollout neither hangs nor breaks, because it needs evidence and no fixed list
-- of workspaces.
--
-- No canaries at all: production stays closed.
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
UPDATE workspaces SET update_tier = 'production';
SELECT update_tier.start('none', '1');
SELECT update_tier.explain('none', '1', w(1)), update_tier.is_open('none', '1', 'production');
SELECT * FROM update_tier.claim_batch('none', '1');
SELECT later('24000 hours');
SELECT update_tier.explain('none', '1', w(1)), phases('none');
-- With require_canary = false a version soaks on time alone, from its start: no claim
-- has to be granted first.
SELECT update_tier.set_policy('customer', require_canary => false, soak => '2 hours');
SELECT update_tier.start('customer', '1');
SELECT later('1 hour');
SELECT update_tier.allows('customer', '1', w(1));
SELECT later('1 hour');
SELECT update_tier.allows('customer', '1', w(1));
SELECT count(*) FROM update_tier.claim_batch('customer');

-- Canaries that never answer: production stays closed, and the fix gets through.
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;
SELECT update_tier.start('offline', '1');
SELECT count(*) FROM update_tier.claim_batch('offline', '1');
SELECT later('10 minutes');
SELECT phases('offline'), update_tier.allows('offline', '1', w(4));
SELECT update_tier.start('offline', '2'), phases('offline');
-- When their last leases expire the version is halted, not promoted.
SELECT later('1 hour');
SELECT count(*) FROM update_tier.claim_batch('offline', '2');
SELECT later('1 hour');
SELECT count(*) FROM update_tier.claim_batch('offline', '2');
SELECT later('1 hour');
SELECT count(*) FROM update_tier.claim_batch('offline', '2');
SELECT later('14 minutes');
SELECT phases('offline');
SELECT later('1 minute');
SELECT phases('offline');

-- A canary that is skipped, however often, does not delay the rollout.
SELECT update_tier.set_policy('sleeps', retry_delay => '0', max_attempts => 1);
SELECT update_tier.start('sleeps', '1'), run('sleeps', '1', 3, 'skipped');
SELECT run('sleeps', '1', 3, 'skipped');
SELECT run('sleeps', '1', 3, 'skipped');
SELECT run('sleeps', '1', 1);
SELECT later('24 hours');
SELECT phases('sleeps'), update_tier.allows('sleeps', '1', w(3)), update_tier.allows('sleeps', '1', w(4));

-- All canaries become production during the soak: their successes still count.
SELECT update_tier.start('demoted', '1'), run('demoted', '1', 1);
UPDATE workspaces SET update_tier = 'production';
SELECT later('24 hours');
SELECT phases('demoted');
-- All canaries become production before they report: the version waits for new canaries.
SELECT update_tier.start('demoted', '2');
SELECT update_tier.explain('demoted', '2', w(1));
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;
SELECT update_tier.explain('demoted', '2', w(1)), update_tier.explain('demoted', '2', w(4));

-- A canary is deleted, or not live any more, while it is claimed: the others go on.
SELECT update_tier.start('deleted', '1');
SELECT update_tier.claim('deleted', '1', w(1)) AS gone, update_tier.claim('deleted', '1', w(2)) AS asleep \gset
DELETE FROM workspaces WHERE id = w(1);
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT update_tier.report(:gone, 'failed'), update_tier.report(:asleep, 'succeeded');
SELECT n(workspace) FROM update_tier.claim_batch('deleted', '1');
SELECT * FROM update_tier.progress('deleted', '1');

-- A workspace is deleted, and the lease of its last attempt expires: that halts
-- nothing, whether or not the package is read and written in between.
INSERT INTO workspaces (id, update_tier) VALUES (w(1), 'canary');
UPDATE workspaces SET live = true WHERE id = w(2);
SELECT update_tier.set_policy(max_attempts => 1);
SELECT update_tier.start('vanished', '1'), update_tier.start('looked', '1');
SELECT update_tier.claim('vanished', '1', w(1)) IS NOT NULL AND update_tier.claim('looked', '1', w(1)) IS NOT NULL AS claimed;
SELECT phases('looked'), update_tier.explain('looked', '1', w(1)) LIKE 'leased until %' AS leased;
SELECT update_tier.claim('looked', '1', w(2)) AS token \gset
DELETE FROM workspaces WHERE id = w(1);
SELECT update_tier.report(:token, 'succeeded');
SELECT later('15 minutes');
SELECT phases('vanished'), phases('looked');
SELECT run('vanished', '1', 2);
SELECT later('24 hours');
SELECT phases('vanished'), phases('looked');
SELECT package, canary_succeeded, canary_failed FROM update_tier.status WHERE package IN ('vanished', 'looked') ORDER BY package;
-- An attempt that expired while the workspace was not live is no evidence later
-- either.
SELECT update_tier.start('asleep', '1'), update_tier.claim('asleep', '1', w(2)) AS token \gset
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT later('15 minutes');
SELECT update_tier.claim('asleep', '1', w(3)) IS NOT NULL AS claimed, phases('asleep');
UPDATE workspaces SET live = true WHERE id = w(2);
SELECT phases('asleep');
SELECT update_tier.reset_policy('*', 'max_attempts');

-- Tiers change during a rollout: evidence counts for the tier at the time of the claim.
SELECT update_tier.start('flip', '1'), update_tier.claim('flip', '1', w(3)) AS t \gset
UPDATE workspaces SET update_tier = 'production' WHERE id = w(3);
SELECT update_tier.explain('flip', '1', w(3)) LIKE 'leased until %' AS leased;
SELECT update_tier.report(:t, 'succeeded');
SELECT canary_succeeded, production_succeeded, phase FROM update_tier.status WHERE package = 'flip';
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (w(4), w(5));
SELECT run('flip', '1', 4, 'error'), update_tier.promote('flip', '1');
UPDATE workspaces SET update_tier = 'production' WHERE id = w(4);
SELECT later('5 minutes');
SELECT run('flip', '1', 4), run('flip', '1', 5);
SELECT canary_succeeded, production_succeeded, phase FROM update_tier.status WHERE package = 'flip';
SELECT * FROM update_tier.progress('flip', '1');

-- A new workspace is due for the promoted version at once.
INSERT INTO workspaces (id) VALUES (w(10));
SELECT update_tier.wanted_version('flip', w(10)), run('flip', '1', 10);

-- No table is attached: calls that need it raise an error, and the evidence is kept.
SELECT update_tier.detach();
SELECT update_tier.claim('flip', '1', w(6));
SELECT update_tier.allows('flip', '1', w(6));
SELECT * FROM update_tier.claim_batch('flip', '1');
SELECT * FROM update_tier.progress('flip', '1');
SELECT update_tier.is_open('flip', '1', 'production'), update_tier.promoted_version('flip');
SELECT update_tier.halt('flip', '1', 'no table');
SELECT update_tier.attach('workspaces', 'live');
SELECT production_succeeded FROM update_tier.status WHERE package = 'flip';

\set ECHO none
\i :fleet_gone
