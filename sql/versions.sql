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

-- In canary: the newer one takes the place, so that an update whose canaries
-- never answer cannot block its own fix.
SELECT update_tier.claim('p', '1', w(1)) AS unanswered \gset
SELECT update_tier.start('p', '2');
SELECT phases('p'), phases('q');
SELECT update_tier.explain('p', '1', w(2));
SELECT update_tier.report(:unanswered, 'succeeded');
SELECT phases('p');

-- Soaking: the newer one waits, and of several only the newest does.
SELECT run('p', '2', 1);
SELECT update_tier.start('p', '3');
SELECT update_tier.start('p', '4');
SELECT phases('p');
SELECT update_tier.explain('p', '4', w(1)), update_tier.explain('p', '3', w(1));
SELECT update_tier.claim('p', '4', w(1)) IS NULL AS refused;
-- One nobody has heard of would wait, too.
SELECT update_tier.is_open('p', '5', 'canary'), update_tier.explain('p', '5', w(1));

-- The soak ends: the older one is open to production, the newer to canaries.
SELECT later('24 hours');
SELECT phases('p');
SELECT update_tier.is_open('p', '2', 'production'), update_tier.is_open('p', '4', 'canary'),
       update_tier.is_open('p', '4', 'production');
SELECT run('p', '2', 4), run('p', '4', 1);
SELECT phases('p');

-- The older one stays open to production until the newer one is promoted.
SELECT update_tier.is_open('p', '2', 'production');
SELECT later('24 hours');
SELECT phases('p');
SELECT update_tier.is_open('p', '2', 'production'), update_tier.is_open('p', '4', 'production');
SELECT update_tier.promoted_version('p');

-- All of it in the stored rows, once somebody writes.
SELECT update_tier.start('p', '5');
SELECT version, phase, related FROM update_tier.rollout WHERE package = 'p' ORDER BY ordinal;
-- A new one in canary does not close the promoted one.
SELECT update_tier.is_open('p', '4', 'production');
SELECT phases('q');

-- Halted and aborted ones block nobody, and the promoted one goes on.
SELECT update_tier.halt('p', '5', 'bad');
SELECT update_tier.start('p', '6');
SELECT update_tier.abort('p', '6');
SELECT update_tier.start('p', '7');
SELECT phases('p');
SELECT update_tier.is_open('p', '4', 'production');

-- One that soaks is halted: who waited gets its turn at once.
SELECT run('p', '7', 1), update_tier.start('p', '8');
SELECT update_tier.halt('p', '7');
SELECT phases('p');
SELECT update_tier.is_open('p', '4', 'production');
-- The halted one cannot come back behind its back.
SELECT update_tier.resume('p', '7');
SELECT update_tier.retry('p', '7');
SELECT phases('p');

-- The newer one has halted by the clock alone, and nobody has written it down
-- yet: the older one may be resumed, and the newer one then waits behind it.
SELECT update_tier.set_policy('s', max_attempts => 1);
SELECT update_tier.start('s', '1'), update_tier.halt('s', '1');
SELECT update_tier.start('s', '2'), update_tier.claim('s', '2', w(1)) IS NOT NULL AS claimed;
SELECT later('1 hour');
SELECT phases('s');
SELECT update_tier.resume('s', '1');
SELECT phases('s'), run('s', '1', 1);
SELECT update_tier.resume('s', '2');
SELECT phases('s');

-- One that waits after a resume still hears from leases of before: a failure
-- halts it, and so does the expiry of a last attempt, at its turn.
SELECT update_tier.set_policy('t', soak => '1 hour');
SELECT run('t', '1', 1), update_tier.halt('t', '1');
SELECT run('t', '2', 1), update_tier.claim('t', '2', w(2)) AS t \gset
SELECT update_tier.halt('t', '2'), update_tier.resume('t', '1'), update_tier.resume('t', '2');
SELECT update_tier.report(:t, 'failed');
SELECT later('130 minutes');
SELECT phases('t'), update_tier.is_open('t', '2', 'production');
SELECT update_tier.start('t', '3');
SELECT update_tier.set_policy('u', soak => '1 hour', max_attempts => 1);
SELECT run('u', '1', 1), update_tier.halt('u', '1');
SELECT run('u', '2', 1), update_tier.claim('u', '2', w(2)) IS NOT NULL AS claimed;
SELECT update_tier.halt('u', '2'), update_tier.resume('u', '1'), update_tier.resume('u', '2');
SELECT later('130 minutes');
SELECT phases('u'), update_tier.is_open('u', '2', 'production'), update_tier.explain('u', '2', w(9));

-- Superseded by the clock: by whom is known before anybody writes it down.
SELECT update_tier.set_policy('x', soak => '1 hour');
SELECT run('x', '1', 1), later('30 minutes'), update_tier.start('x', '2');
SELECT later('31 minutes');
SELECT run('x', '2', 1);
SELECT later('61 minutes');
SELECT waits_for, update_tier.explain('x', '1', w(9)) FROM update_tier.status WHERE package = 'x' AND version = '1';
-- Its turn has come by the clock, and it waits for approval.
SELECT update_tier.set_policy('y', soak => '1 hour', require_canary => false), update_tier.start('y', '1');
SELECT update_tier.set_policy('y', auto_promote => false), update_tier.start('y', '2');
SELECT later('61 minutes');
SELECT waits_for, update_tier.explain('y', '2', w(9)) FROM update_tier.status WHERE package = 'y' AND version = '2';

-- A chain that nobody touches: soaking, waiting without canaries, promoted.
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

\set ECHO none
\i :fleet_gone
