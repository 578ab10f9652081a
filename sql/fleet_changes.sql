--
-- Evidence, not snapshots: workspaces that appear, vanish, sleep or change
-- tier neither wedge a rollout nor break it.
--
-- No canaries at all: production stays closed.
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
UPDATE workspaces SET update_tier = 'production';
SELECT update_tier.explain('none', '1', w(1));
SELECT * FROM update_tier.claim_batch('none', '1');
SELECT later('1000 days');
SELECT update_tier.explain('none', '1', w(1)), phases('none');
-- A package that no canary has a copy of soaks on time alone, if you say so.
SELECT update_tier.set_policy('customer', require_canary => false, soak => '2 hours');
SELECT update_tier.start('customer', '1'), later('1 hour');
SELECT update_tier.allows('customer', '1', w(1));
SELECT later('1 hour');
SELECT update_tier.allows('customer', '1', w(1));

-- Canaries that never answer: production stays closed, and the fix gets through.
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;
SELECT count(*) FROM update_tier.claim_batch('offline', '1');
SELECT later('10 minutes');
SELECT phases('offline'), update_tier.allows('offline', '1', w(4));
SELECT update_tier.start('offline', '2'), phases('offline');
-- Left alone, their last leases run out: halted, not promoted.
SELECT count(*) FROM update_tier.claim_batch('offline', '2');
SELECT later('1 hour');
SELECT count(*) FROM update_tier.claim_batch('offline', '2');
SELECT later('1 hour');
SELECT count(*) FROM update_tier.claim_batch('offline', '2');
SELECT later('1 hour');
SELECT phases('offline');

-- All canaries demoted in mid-soak: what they have shown stays shown.
SELECT run('demoted', '1', 1);
UPDATE workspaces SET update_tier = 'production';
SELECT later('24 hours');
SELECT phases('demoted');
-- Demoted before they answered: nobody can, until there are canaries again.
SELECT update_tier.start('demoted', '2');
SELECT update_tier.explain('demoted', '2', w(1));
UPDATE workspaces SET update_tier = 'canary' WHERE n(id) <= 3;
SELECT update_tier.explain('demoted', '2', w(1)), update_tier.explain('demoted', '2', w(4));

-- The canary is deleted, or no longer live, while it is claimed.
SELECT update_tier.claim('deleted', '1', w(1)) AS gone, update_tier.claim('deleted', '1', w(2)) AS asleep \gset
DELETE FROM workspaces WHERE id = w(1);
UPDATE workspaces SET live = false WHERE id = w(2);
SELECT update_tier.report(:gone, 'succeeded');
SELECT update_tier.report(:asleep, 'error');
SELECT * FROM update_tier.claim_batch('deleted', '1') WHERE workspace <> w(3);
SELECT * FROM update_tier.progress('deleted', '1');
SELECT later('24 hours');
SELECT phases('deleted');

-- A flip in mid-rollout, both ways: evidence counts for the tier of the claim.
SELECT update_tier.claim('flip', '1', w(3)) AS t \gset
UPDATE workspaces SET update_tier = 'production' WHERE id = w(3);
SELECT update_tier.explain('flip', '1', w(3)) LIKE 'leased until %' AS leased;
SELECT update_tier.report(:t, 'succeeded');
SELECT canary_succeeded, production_succeeded, phase FROM update_tier.status WHERE package = 'flip';
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (w(4), w(5));
SELECT run('flip', '1', 4, 'error'), update_tier.promote('flip', '1');
UPDATE workspaces SET update_tier = 'production' WHERE id = w(4);
SELECT run('flip', '1', 4), run('flip', '1', 5);
SELECT canary_succeeded, production_succeeded, phase FROM update_tier.status WHERE package = 'flip';
SELECT * FROM update_tier.progress('flip', '1');

-- Nothing attached, or something else: clear errors, evidence kept.
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
