--
-- Versions of a package replace one another; packages do not disturb others.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.start('p', '1'), update_tier.start('q', '1');

-- A newer version takes the place of a version in canary, so that an update whose
-- canaries never answer cannot block its own fix.
SELECT update_tier.claim('p', '1', w(1)) AS unanswered \gset
SELECT update_tier.start('p', '2');
SELECT phases('p'), phases('q');
SELECT update_tier.explain('p', '1', w(2));
SELECT update_tier.report(:unanswered, 'succeeded');
SELECT phases('p');

-- A newer version waits for a version that soaks.  Of several only the newest waits.
SELECT run('p', '2', 1);
SELECT update_tier.start('p', '3');
SELECT update_tier.start('p', '4');
SELECT phases('p');
SELECT update_tier.explain('p', '4', w(1)), update_tier.explain('p', '3', w(1));
SELECT update_tier.claim('p', '4', w(1)) IS NULL AS refused, update_tier.is_open('p', '4', 'canary');

-- When the soak ends, the older version is open to production, and the newer version to
-- canaries.
SELECT later('24 hours');
SELECT phases('p');
SELECT update_tier.is_open('p', '2', 'production'), update_tier.is_open('p', '4', 'canary'),
       update_tier.is_open('p', '4', 'production');
SELECT run('p', '2', 4), run('p', '4', 1);
SELECT phases('p');

-- The older version stays open to production until the newer version is promoted.
SELECT update_tier.is_open('p', '2', 'production');
SELECT later('24 hours');
SELECT phases('p');
SELECT update_tier.is_open('p', '2', 'production'), update_tier.is_open('p', '4', 'production');
SELECT update_tier.promoted_version('p');

-- The next write stores these phases.  A promoted version stays stored as promoted when
-- a newer version is promoted.
SELECT update_tier.start('p', '5');
SELECT version, phase FROM update_tier.rollout WHERE package = 'p' ORDER BY ordinal;
-- A newer version in canary does not close the promoted one.
SELECT update_tier.is_open('p', '4', 'production');
SELECT phases('p'), phases('q');

-- Halted and aborted versions block no other version, and the promoted version stays
-- open.
SELECT update_tier.halt('p', '5', 'bad');
SELECT update_tier.start('p', '6');
SELECT update_tier.abort('p', '6');
SELECT update_tier.start('p', '7');
SELECT phases('p');
SELECT update_tier.is_open('p', '4', 'production');

-- When a version that soaks is halted the queued one gets its turn at once.
SELECT run('p', '7', 2), update_tier.start('p', '8');
SELECT update_tier.halt('p', '7');
SELECT phases('p');
SELECT update_tier.is_open('p', '4', 'production');

-- When the promoted version is halted or aborted the one promoted before it is open
-- again at once, without a new soak.
SELECT update_tier.promote('p', '8', 'hurry');
SELECT phases('p'), update_tier.promoted_version('p');
SELECT update_tier.halt('p', '8');
SELECT phases('p'), update_tier.promoted_version('p');
SELECT update_tier.is_open('p', '4', 'production'), update_tier.is_open('p', '4', 'canary'), update_tier.allows('p', '4', w(9));
SELECT update_tier.abort('p', '8');
SELECT phases('p'), update_tier.promoted_version('p');
SELECT update_tier.abort('p', '4');
SELECT phases('p'), update_tier.promoted_version('p'), update_tier.is_open('p', '2', 'production');
SELECT update_tier.abort('p', '2');
SELECT phases('p'), update_tier.promoted_version('p') IS NULL AS none_is_left;

-- Reports for a halted newer version do not close the promoted one.
SELECT update_tier.start('c', '1'), update_tier.promote('c', '1', 'first');
SELECT update_tier.start('c', '2'), update_tier.claim('c', '2', w(1)) AS t \gset
SELECT update_tier.report(:t, 'succeeded'), update_tier.halt('c', '2');
SELECT update_tier.report(:t, 'succeeded'), update_tier.claim('c', '2', w(2)) IS NULL AS refused;
SELECT phases('c'), update_tier.promoted_version('c'), update_tier.is_open('c', '1', 'production');

-- A halted version shows as superseded while a newer version is promoted.  When that
-- version is halted, it shows as halted again.
SELECT update_tier.start('c', '3'), update_tier.promote('c', '3', 'fixes it');
SELECT phases('c');
SELECT update_tier.halt('c', '3');
SELECT phases('c'), update_tier.promoted_version('c');
-- While the newer version soaks again the older version stays the promoted version.
SELECT update_tier.resume('c', '3'), run('c', '3', 2);
SELECT phases('c'), update_tier.promoted_version('c'), update_tier.is_open('c', '1', 'production');
SELECT later('24 hours');
SELECT phases('c'), update_tier.promoted_version('c');

-- The success of a canary is progress: for one lease after that a newer version waits.
-- Then it takes the place of the version in canary.
SELECT update_tier.set_policy('busy', min_successes => 3, lease => '10 minutes', retry_delay => '0');
SELECT update_tier.start('busy', '1'), run('busy', '1', 1), update_tier.start('busy', '2');
SELECT phases('busy'), update_tier.explain('busy', '2', w(1));
SELECT update_tier.claim('busy', '2', w(3)) IS NULL AS refused;
SELECT later('9 minutes');
SELECT phases('busy');
-- Only the success of a canary is progress.
SELECT update_tier.report(update_tier.force('busy', '1', w(4), 'the customer has asked for it'), 'succeeded');
SELECT run('busy', '1', 3, 'error');
SELECT later('1 minute');
SELECT phases('busy'), update_tier.is_open('busy', '2', 'canary');
-- Each success gives another lease, and of several newer versions only the newest
-- waits.
SELECT run('busy', '2', 1), update_tier.start('busy', '3');
SELECT later('9 minutes');
SELECT run('busy', '2', 2), update_tier.start('busy', '4');
SELECT later('9 minutes');
SELECT phases('busy');
SELECT run('busy', '2', 3);
SELECT phases('busy');
-- So a version is promoted also if a newer version starts between any two successes.
SELECT later('24 hours');
SELECT phases('busy'), update_tier.promoted_version('busy');

-- The newer version has halted by the clock alone, and nothing has saved that yet:
-- the older one can be resumed, and the newer one is queued when it is resumed.
SELECT update_tier.set_policy('s', max_attempts => 1);
SELECT update_tier.start('s', '1'), update_tier.halt('s', '1');
SELECT update_tier.start('s', '2'), update_tier.claim('s', '2', w(1)) IS NOT NULL AS claimed;
SELECT later('1 hour');
SELECT phases('s');
SELECT update_tier.resume('s', '1');
SELECT phases('s'), run('s', '1', 2);
SELECT update_tier.resume('s', '2');
SELECT phases('s');

-- A version that is queued after a resume has leases of before: a failure halts it,
-- and so does the expiry of a last attempt.
SELECT update_tier.set_policy('t', soak => '1 hour');
SELECT update_tier.start('t', '1'), run('t', '1', 1), update_tier.halt('t', '1');
SELECT update_tier.start('t', '2'), run('t', '2', 3), update_tier.claim('t', '2', w(2)) AS t \gset
SELECT update_tier.halt('t', '2'), update_tier.resume('t', '1'), update_tier.resume('t', '2');
SELECT update_tier.report(:t, 'failed');
SELECT later('130 minutes');
SELECT phases('t'), update_tier.is_open('t', '2', 'production');
SELECT update_tier.start('t', '3');
SELECT update_tier.set_policy('u', soak => '1 hour', max_attempts => 1);
SELECT update_tier.start('u', '1'), run('u', '1', 1), update_tier.halt('u', '1');
SELECT update_tier.start('u', '2'), run('u', '2', 3), update_tier.claim('u', '2', w(2)) IS NOT NULL AS claimed;
SELECT update_tier.halt('u', '2'), update_tier.resume('u', '1'), update_tier.resume('u', '2');
SELECT later('130 minutes');
SELECT phases('u'), update_tier.is_open('u', '2', 'production'), update_tier.explain('u', '2', w(9));

-- Superseded by the clock alone: status and explain name the newer version.
SELECT update_tier.set_policy('x', soak => '1 hour');
SELECT update_tier.start('x', '1'), run('x', '1', 1), later('30 minutes'), update_tier.start('x', '2');
SELECT later('31 minutes');
SELECT run('x', '2', 2);
SELECT later('61 minutes');
SELECT waits_for, update_tier.explain('x', '1', w(9)) FROM update_tier.status WHERE package = 'x' AND version = '1';

-- Without canaries, and without any call: soaking, promoted, and the queued version
-- after that.
SELECT update_tier.set_policy('r', soak => '10 hours', require_canary => false);
SELECT update_tier.start('r', '1'), update_tier.start('r', '2');
SELECT phases('r');
SELECT later('5 hours');
SELECT update_tier.start('r', '3');
SELECT phases('r');
SELECT later('5 hours');
SELECT phases('r'), update_tier.is_open('r', '3', 'production');
SELECT later('9 hours');
SELECT phases('r');
SELECT later('1 hour');
SELECT phases('r'), update_tier.promoted_version('r');
SELECT update_tier.start('r', '4');
SELECT phases('r');

-- The clock steps back by an hour.  New stamps are not earlier than old ones, also if the
-- latest stamp is of an aborted version, and the newest promoted version is the promoted
-- version.
SELECT update_tier.start('back', v), update_tier.promote('back', v, 'at once') FROM unnest(ARRAY['1', '2']) AS v;
SELECT update_tier.abort('back', '2');
SELECT later('-1 hour');
SELECT update_tier.start('back', '3'), update_tier.promote('back', '3', 'at once');
SELECT phases('back'), update_tier.promoted_version('back');
SELECT version, promoted_at >= lag(promoted_at) OVER (ORDER BY ordinal) AS not_before
  FROM update_tier.rollout WHERE package = 'back' ORDER BY ordinal;
SELECT count(*) AS stamped_before FROM (
    SELECT at, lag(at) OVER (ORDER BY id) AS last FROM update_tier.event WHERE package = 'back') AS e WHERE at < last;
SELECT later('1 hour');
SELECT update_tier.promoted_version('back'), update_tier.is_open('back', '3', 'production');

-- If the clock halts the newest promoted version, the version promoted before it is open,
-- and no older one, whatever is reported meanwhile.
SELECT update_tier.set_policy('late', max_attempts => 1, lease => '1 day');
SELECT update_tier.start('late', '1'), update_tier.promote('late', '1', 'seen elsewhere');
SELECT update_tier.claim('late', '1', w(4)) AS of_the_first \gset
SELECT update_tier.start('late', '2'), update_tier.promote('late', '2', 'seen elsewhere');
SELECT update_tier.set_policy('late', lease => '1 hour');
SELECT update_tier.start('late', '3'), update_tier.promote('late', '3', 'seen elsewhere');
SELECT update_tier.claim('late', '3', w(5)) IS NOT NULL AS claimed;
SELECT update_tier.report(:of_the_first, 'succeeded');
SELECT later('2 hours');
SELECT phases('late');
SELECT update_tier.promoted_version('late'), update_tier.is_open('late', '1', 'production'),
       update_tier.is_open('late', '2', 'production'), update_tier.wanted_version('late', w(6));
SELECT update_tier.claim('late', '1', w(6)) IS NULL AS refused, update_tier.claim('late', '2', w(6)) IS NOT NULL AS claimed;

\set ECHO none
\i :fleet_gone
