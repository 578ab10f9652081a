--
-- update_tier.set_policy: settings that rollouts copy when they start.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- The settings are the same list, with the same types and in the same order: as
-- columns of package and of rollout, and as parameters of set_policy.
CREATE FUNCTION settings_of("table" regclass, before text, after text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(a.attname || ' ' || CASE t.typbasetype WHEN 0 THEN t.oid ELSE t.typbasetype END::regtype, ', ' ORDER BY a.attnum)
      FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
     WHERE a.attrelid = "table" AND NOT a.attisdropped
       AND a.attnum > (SELECT b.attnum FROM pg_attribute AS b WHERE b.attrelid = "table" AND b.attname = before)
       AND a.attnum < (SELECT b.attnum FROM pg_attribute AS b WHERE b.attrelid = "table" AND b.attname = after)
$$;
SELECT string_agg(name || ' ' || type::regtype, ', ' ORDER BY n) AS parameters
  FROM pg_proc, unnest(proargnames, proargtypes) WITH ORDINALITY AS p(name, type, n)
 WHERE pg_proc.oid = 'update_tier.set_policy'::regproc AND name NOT IN ('package', 'apply_to_running') \gset
SELECT replace(:'parameters', ', ', E'\n') AS settings;
SELECT settings_of('update_tier.package', 'name', 'frozen_until') = :'parameters' AS package,
       settings_of('update_tier.rollout', 'production_moved_on', 'reason') = :'parameters' AS rollout;
DROP FUNCTION settings_of;

CREATE FUNCTION settings(p text, v text) RETURNS text LANGUAGE sql AS $$
    SELECT format('soak %s, ramp %s, successes %s, failures %s, %s %%, in flight %s, attempts %s, delay %s, lease %s, auto %s, canary %s',
                  soak, ramp, min_successes, max_failures, max_failure_percent, max_in_flight, max_attempts, retry_delay, lease,
                  auto_promote, require_canary)
      FROM update_tier.rollout WHERE package = p AND version = v $$;

-- The defaults.
SELECT update_tier.start('a', '1');
SELECT settings('a', '1');

-- A setting of one package has precedence over the setting of all packages.  NULL leaves
-- a setting as it is.
SELECT update_tier.set_policy(soak => '2 hours', max_in_flight => 10);
SELECT update_tier.set_policy('b', min_successes => 2, soak => '30 minutes');
SELECT update_tier.set_policy('b', lease => '1 minute', auto_promote => false, soak => NULL);
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
-- retry copies the current settings.
SELECT update_tier.abort('a', '2');
SELECT update_tier.set_policy('a', min_successes => 3);
SELECT update_tier.retry('a', '2');
SELECT settings('a', '2');

-- Every setting at its least and at its greatest value.
SELECT update_tier.set_policy('c', '0', '0', 1, 0, 0, 1, 1, '0', '1 microsecond', false, false);
SELECT update_tier.start('c', 'least');
SELECT settings('c', 'least');
SELECT update_tier.set_policy('c', '100000000 years', '100000000 years', 2147483647, 2147483647, 100, 2147483647, 2147483647,
                              '100000000 years', '100000000 years', true, true);
SELECT update_tier.start('c', 'most');
SELECT settings('c', 'most');
-- A day is 24 hours and a month 30 days, in every time zone.
SELECT update_tier.set_policy('d', soak => '1 month 1 day', require_canary => false);
SET TimeZone = 'Europe/Berlin';
SELECT update_tier.start('d', '1');
SELECT soak_ends_at - changed_at AS soak FROM update_tier.status WHERE package = 'd';
RESET TimeZone;
-- A soak and a ramp that end later than any timestamp end at infinity.
SELECT update_tier.set_policy('e', soak => '100000000 years', ramp => '100000000 years', require_canary => false);
SELECT update_tier.start('e', '1');
SELECT soak_ends_at, waits_for FROM update_tier.status WHERE package = 'e';
SELECT update_tier.promote('e', '1');
SELECT ramp_ends_at, waits_for, update_tier.is_open('e', '1', 'production') FROM update_tier.status WHERE package = 'e';

-- Out of range: an error, and no setting is changed.
SELECT update_tier.set_policy('a', soak => '-1 second');
SELECT update_tier.set_policy('a', ramp => '-1 second');
SELECT update_tier.set_policy('a', min_successes => 0);
SELECT update_tier.set_policy('a', max_failures => -1);
SELECT update_tier.set_policy('a', max_failure_percent => -1);
SELECT update_tier.set_policy('a', max_failure_percent => 101);
SELECT update_tier.set_policy('a', max_in_flight => 0);
SELECT update_tier.set_policy('a', max_attempts => 0);
SELECT update_tier.set_policy('a', retry_delay => '-1 second');
SELECT update_tier.set_policy('a', lease => '0');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.set_policy('a', lease => '1 month -31 days');
SELECT update_tier.set_policy('a', max_failures => 7, max_attempts => -7);
SELECT update_tier.set_policy('');
SELECT update_tier.set_policy(NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.set_policy('a', apply_to_running => NULL);
SELECT update_tier.set_policy(repeat('x', 1025));
\x on
SELECT name, soak, ramp, min_successes, max_failures, max_failure_percent, max_in_flight, max_attempts, retry_delay, lease,
       auto_promote, require_canary
  FROM update_tier.package WHERE name IN ('*', 'a', 'b') ORDER BY name;
\x off

-- reset_policy takes settings of a package back to those of all packages, and
-- settings of all packages back to the defaults.
SELECT update_tier.reset_policy('b', 'soak', 'auto_promote', 'lease');
SELECT update_tier.start('b', '3');
SELECT settings('b', '3');
SELECT update_tier.reset_policy('*', 'soak', 'max_in_flight');
SELECT update_tier.start('b', '4');
SELECT settings('b', '4');
-- It changes no rollout.
SELECT settings('b', '3');
SELECT update_tier.reset_policy('b', 'soak', 'turn_at');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.reset_policy('b', 'max_attempts', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.reset_policy('b', VARIADIC NULL);
SELECT update_tier.reset_policy(NULL, 'soak');
SELECT update_tier.reset_policy('', 'soak');
SELECT min_successes FROM update_tier.package WHERE name = 'b';
SELECT update_tier.reset_policy('b', VARIADIC '{}');
-- Changes of a policy are on record.
SELECT actor = current_user AS by_me, kind, version, detail, count(*) FROM update_tier.event
 WHERE package = 'b' AND kind = 'policy' GROUP BY actor, kind, version, detail ORDER BY detail;

-- apply_to_running: the rollouts of the package that have not ended get the settings
-- that it has now.
SELECT update_tier.set_policy('r', require_canary => false);
SELECT update_tier.start('r', '1'), update_tier.promote('r', '1');
SELECT update_tier.start('r', '2'), update_tier.promote('r', '2');
SELECT update_tier.start('r', '3'), update_tier.halt('r', '3');
SELECT update_tier.start('r', '4'), update_tier.abort('r', '4');
SELECT update_tier.start('r', '5'), update_tier.start('r', '6'), update_tier.start('r', '7');
SELECT update_tier.set_policy('r', max_attempts => 9);
SELECT update_tier.set_policy('r', max_failures => 9, apply_to_running => true);
SELECT s.version, s.phase, r.max_attempts, r.max_failures
  FROM update_tier.status AS s JOIN update_tier.rollout AS r USING (package, version) WHERE package = 'r' ORDER BY ordinal;
SELECT version, detail FROM update_tier.event WHERE package = 'r' AND kind = 'policy' AND version IS NOT NULL ORDER BY id;
-- All packages: a package's own value has precedence.
SELECT update_tier.set_policy(max_attempts => 2, lease => '7 minutes', apply_to_running => true);
SELECT package, version, max_attempts, lease FROM update_tier.rollout
 WHERE package IN ('a', 'r') AND phase IN ('canary', 'soaking', 'promoted', 'halted') ORDER BY package, ordinal;
SELECT update_tier.reset_policy('*', 'max_attempts', 'lease');

-- A soak is measured from when it began, whichever way its length changes.
SELECT update_tier.set_policy('s', soak => '10 hours');
SELECT update_tier.start('s', '1'), run('s', '1', 1);
SELECT later('5 hours');
SELECT update_tier.set_policy('s', soak => '20 hours', apply_to_running => true);
SELECT later('14 hours');
SELECT phases('s');
SELECT soak_ends_at = soaks_from + interval '20 hours' AS from_its_beginning
  FROM update_tier.status JOIN update_tier.rollout USING (package, version) WHERE package = 's';
SELECT update_tier.set_policy('s', soak => '19 hours', apply_to_running => true);
SELECT phases('s'), update_tier.is_open('s', '1', 'production');
-- A soak that is shortened to less than has passed ends when it is shortened.
SELECT update_tier.start('s', '2'), run('s', '2', 2);
SELECT later('10 hours');
SELECT update_tier.set_policy('s', soak => '1 hour', apply_to_running => true);
SELECT phases('s');
SELECT update_tier.start('s', '3');
SELECT promoted_at > now() - interval '1 hour' AS lately FROM update_tier.rollout WHERE package = 's' AND version = '2';
-- With fewer successes required the soak starts; when no approval is needed any
-- more the soak ends.
SELECT update_tier.set_policy('t', min_successes => 2, auto_promote => false, soak => '1 hour');
SELECT update_tier.start('t', '1'), run('t', '1', 1);
SELECT update_tier.set_policy('t', min_successes => 1, apply_to_running => true);
SELECT later('1 hour');
SELECT phases('t');
SELECT update_tier.set_policy('t', auto_promote => true, apply_to_running => true);
SELECT phases('t');
-- With fewer failures tolerated the rollout is halted; with more tolerated it stays
-- halted.
SELECT update_tier.set_policy('u', max_failures => 2);
SELECT update_tier.start('u', '1'), run('u', '1', 1, 'failed'), run('u', '1', 2, 'failed');
SELECT update_tier.set_policy('u', max_failures => 1, apply_to_running => true);
SELECT phase, reason FROM update_tier.status WHERE package = 'u';
SELECT update_tier.set_policy('u', max_failures => 9, apply_to_running => true);
SELECT phases('u');

-- With a budget below what is in flight nothing is granted until it has drained.
SELECT update_tier.set_policy('v', max_in_flight => 3);
SELECT update_tier.start('v', '1'), update_tier.promote('v', '1', 'at once');
SELECT count(*) FROM update_tier.claim_batch('v', '1');
SELECT update_tier.set_policy('v', max_in_flight => 1, apply_to_running => true);
SELECT update_tier.claim('v', '1', w(9)) IS NULL AS refused, update_tier.explain('v', '1', w(9));
SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = 'v' ORDER BY token LIMIT 2;
SELECT update_tier.claim('v', '1', w(9)) IS NULL AS refused, update_tier.explain('v', '1', w(9));
SELECT update_tier.report(token, 'succeeded') FROM update_tier.installed WHERE package = 'v' AND state = 'claimed';
SELECT update_tier.claim('v', '1', w(9)) IS NOT NULL AS granted, update_tier.claim('v', '1', w(8)) IS NULL AS refused;
DROP FUNCTION settings;

\set ECHO none
\i :fleet_gone
