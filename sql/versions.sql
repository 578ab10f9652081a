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
