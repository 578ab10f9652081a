--
-- update_tier.set_policy: settings that rollouts copy when they start.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE FUNCTION settings(p text, v text) RETURNS text LANGUAGE sql AS $$
    SELECT format('soak %s, successes %s, failures %s, in flight %s, attempts %s, lease %s, auto %s, canary %s',
                  soak, min_successes, max_failures, max_in_flight, max_attempts, lease, auto_promote, require_canary)
      FROM update_tier.rollout WHERE package = p AND version = v $$;

-- The defaults.
SELECT update_tier.start('a', '1');
SELECT settings('a', '1');

-- For all packages; over that, for one; NULL leaves a setting as it is.
SELECT update_tier.set_policy(soak => '2 hours', max_in_flight => 10);
SELECT update_tier.set_policy('b', min_successes => 2, soak => '30 minutes');
SELECT update_tier.set_policy('b', lease => '1 minute', auto_promote => false);
SELECT update_tier.set_policy('*', max_attempts => 5);
SELECT update_tier.start('a', '2'), update_tier.start('b', '1');
SELECT settings('a', '2');
SELECT settings('b', '1');
-- A rollout keeps what it has copied.
SELECT settings('a', '1');
SELECT update_tier.set_policy('b', max_failures => 3, require_canary => false);
SELECT settings('b', '1');
SELECT update_tier.start('b', '2');
SELECT settings('b', '2');
-- retry copies anew.
SELECT update_tier.abort('a', '2');
SELECT update_tier.set_policy('a', min_successes => 3);
SELECT update_tier.retry('a', '2');
SELECT settings('a', '2');

-- A day is 24 hours and a month 30 days, in every time zone.
SELECT update_tier.set_policy('c', soak => '1 month 1 day', require_canary => false);
SET TimeZone = 'Europe/Berlin';
SELECT update_tier.start('c', '1');
SELECT soak_ends_at - changed_at AS soak FROM update_tier.rollout WHERE package = 'c';
RESET TimeZone;
-- For ever is not too long.
SELECT update_tier.set_policy('d', soak => '100000000 years', require_canary => false);
SELECT update_tier.start('d', '1');
SELECT soak_ends_at FROM update_tier.rollout WHERE package = 'd';

-- Nonsense.
SELECT update_tier.set_policy('a', soak => '-1 second');
SELECT update_tier.set_policy('a', lease => '0');
SELECT update_tier.set_policy('a', lease => '1 month -31 days');
SELECT update_tier.set_policy('a', min_successes => 0);
SELECT update_tier.set_policy('a', max_failures => -1);
SELECT update_tier.set_policy('a', max_in_flight => 0);
SELECT update_tier.set_policy('a', max_attempts => 0);
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.set_policy('');
SELECT update_tier.set_policy(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT package, soak, min_successes, max_failures, max_in_flight, max_attempts, lease, auto_promote, require_canary
  FROM update_tier.policy ORDER BY package;
DROP FUNCTION settings;

\set ECHO none
\i :fleet_gone
