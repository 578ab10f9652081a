--
-- A freeze closes every gate of a package, or of all packages.  Phases, clocks, leases
-- and reports go on.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
\pset null (null)
-- explain() and what a rollout waits for, with "(a moment)" for the moment.
CREATE FUNCTION why(package text, version text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(update_tier.explain(package, version, w(n)), '\d{4}-\d\d-\d\d [0-9:.]+[-+]\d\d(:\d\d)*', '(a moment)')
$$;
CREATE VIEW waiting AS
    SELECT package, version, phase, regexp_replace(waits_for, '\d{4}-\d\d-\d\d [0-9:.]+[-+]\d\d(:\d\d)*', '(a moment)') AS waits_for
      FROM update_tier.status ORDER BY package, version;
-- Every gate for a canary and for a production workspace, and what claims grant.
CREATE FUNCTION gates(package text, version text) RETURNS TABLE (is_open text, allows text, wanted text, claims text) LANGUAGE sql AS $$
    SELECT concat_ws(' ', update_tier.is_open(package, version, 'canary'), update_tier.is_open(package, version, 'production')),
           concat_ws(' ', update_tier.allows(package, version, w(2)), update_tier.allows(package, version, w(5))),
           concat_ws(' ', coalesce(update_tier.wanted_version(package, w(2)), '-'), coalesce(update_tier.wanted_version(package, w(5)), '-')),
           concat_ws(' ', update_tier.claim(package, version, w(2)) IS NOT NULL,
                     (SELECT count(*) FROM update_tier.claim_batch(package, version)), (SELECT count(*) FROM update_tier.claim_batch(package)),
                     (SELECT count(*) FROM update_tier.claim_batch(package, version, candidates => ARRAY[w(2), w(5)])))
$$;
SELECT update_tier.set_policy(soak => '1 hour', retry_delay => '0', max_failures => 1, lease => '2 hours');
SELECT update_tier.start('p', 'v1'), update_tier.start('q', 'v1');
SELECT run('p', 'v1', 1);
SELECT later('1 hour');
SELECT update_tier.start('p', 'v2');
SELECT update_tier.claim('p', 'v1', w(4)) AS t4, update_tier.claim('p', 'v2', w(3)) AS t3 \gset

-- A freeze of one package, for an hour, with a reason.
SELECT update_tier.freeze('p', now() + interval '1 hour', 'database is being moved');
SELECT * FROM gates('p', 'v1');
SELECT * FROM gates('p', 'v2');
SELECT why('p', 'v1', 5), why('p', 'v2', 2);
-- If another reason will still apply after the freeze, explain() names that reason.
SELECT why('p', 'v2', 5), why('p', 'v1', 1), why('p', 'v1', 4), why('p', 'v1', 99);
SELECT * FROM waiting;
SELECT update_tier.promoted_version('p');
-- Other packages are open.
SELECT update_tier.is_open('q', 'v1', 'canary'), why('q', 'v1', 2);

-- Leases, reports and observations go on, and phases follow from them.
SELECT update_tier.extend(:t4) IS NOT NULL AS extended;
SELECT update_tier.report(:t4, 'succeeded'), update_tier.report(:t3, 'succeeded');
SELECT update_tier.observe('p', 'v2', w(1));
SELECT * FROM waiting WHERE package = 'p';
-- Each workspace wants what it has.
SELECT n, update_tier.wanted_version('p', w(n)) FROM unnest(ARRAY[1, 3, 4, 5]) AS n;
-- Verbs and force() go on.
SELECT update_tier.halt('p', 'v2', 'no'), update_tier.resume('p', 'v2');
SELECT update_tier.force('p', 'v2', w(5), 'the one that is on fire') AS t5 \gset
SELECT update_tier.report(:t5, 'failed', detail => 'no help');
-- The soak goes on.  At the end of the freeze the version that was promoted meanwhile is
-- open.
SELECT later('50 minutes');
SELECT update_tier.is_open('p', 'v2', 'canary'), phases('p');
SELECT later('10 minutes');
SELECT phases('p'), update_tier.is_open('p', 'v2', 'canary'), update_tier.is_open('p', 'v2', 'production'), why('p', 'v2', 6), update_tier.wanted_version('p', w(6));
SELECT * FROM waiting;

-- A second freeze replaces the first.  Without an end it lasts until thaw().
SELECT update_tier.freeze('p', now() + interval '1 hour', 'an hour');
SELECT update_tier.freeze('p', reason => 'until we know more');
SELECT why('p', 'v2', 6), (SELECT waits_for FROM waiting WHERE version = 'v2');
SELECT update_tier.freeze('p');
SELECT why('p', 'v2', 6), (SELECT waits_for FROM waiting WHERE version = 'v2');
SELECT later('10 years');
SELECT why('p', 'v2', 6);
SELECT update_tier.thaw('p');
SELECT why('p', 'v2', 6), update_tier.claim('p', 'v2', w(6)) IS NOT NULL AS claimed;
SELECT update_tier.thaw('p'), update_tier.thaw('never frozen');

-- A freeze of all packages, including those that are started later.
SELECT update_tier.freeze(until => now() + interval '2 hours', reason => 'change freeze');
SELECT update_tier.start('r', 'v1');
SELECT * FROM waiting;
SELECT * FROM gates('q', 'v1');
SELECT * FROM gates('r', 'v1');
-- If both a package and all packages are frozen, explain() names the freeze that lasts
-- longer.
SELECT update_tier.freeze('q', now() + interval '1 hour', 'ours'), update_tier.freeze('r', now() + interval '3 hours', 'theirs');
SELECT why('q', 'v1', 1), why('r', 'v1', 1);
-- thaw() says that the package stays frozen by the other freeze.
SELECT update_tier.thaw('q');
SELECT why('q', 'v1', 1);
SELECT update_tier.freeze('q', now() + interval '1 hour', 'ours');
SELECT update_tier.thaw();
SELECT why('p', 'v2', 7), why('q', 'v1', 1), why('r', 'v1', 1);
SELECT later('1 hour');
SELECT update_tier.thaw();
SELECT why('q', 'v1', 1), why('r', 'v1', 1);
SELECT update_tier.thaw('r');
SELECT update_tier.thaw('*');
SELECT * FROM gates('r', 'v1');

-- A freeze closes gates at once, also in the transaction that calls it.
BEGIN;
SELECT update_tier.freeze();
SELECT update_tier.is_open('q', 'v1', 'canary'), update_tier.claim('q', 'v1', w(1));
SELECT update_tier.thaw();
SELECT update_tier.is_open('q', 'v1', 'canary'), update_tier.claim('q', 'v1', w(1)) IS NOT NULL AS claimed;
ROLLBACK;
BEGIN;
SELECT update_tier.freeze();
ROLLBACK;
SELECT update_tier.is_open('q', 'v1', 'canary');

-- A package can be frozen before its first version is started.
SELECT update_tier.freeze('not started yet', now() + interval '1 hour', 'not before Monday');
SELECT update_tier.start('not started yet', 'v1');
SELECT why('not started yet', 'v1', 2);
SELECT update_tier.thaw('not started yet');

-- A freeze stops a rollback: it begins after thaw().
SELECT update_tier.start('back', 'v1'), update_tier.promote('back', 'v1', 'ran for a month');
SELECT run('back', 'v1', 2), run('back', 'v1', 5);
SELECT update_tier.start('back', 'v2'), run('back', 'v2', 2);
SELECT update_tier.freeze('back'), update_tier.abort('back', 'v2', 'eats data');
SELECT * FROM gates('back', 'v1');
SELECT why('back', 'v1', 2);
SELECT update_tier.thaw('back');
SELECT update_tier.wanted_version('back', w(2)), why('back', 'v1', 2);
SELECT update_tier.claim('back', 'v1', w(2)) IS NOT NULL AS granted;

-- Bad arguments.
SELECT update_tier.freeze('p', '2001-01-01 00:00:00+00', 'history');
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.freeze('p', '-infinity');
\set VERBOSITY sqlstate
SELECT update_tier.freeze('p', now());
\set VERBOSITY default
SELECT update_tier.freeze('p', NULL);
\echo :LAST_ERROR_SQLSTATE
SELECT update_tier.freeze(NULL);
SELECT update_tier.freeze('');
SELECT update_tier.freeze('p', reason => repeat('x', 1025));
SELECT update_tier.thaw(NULL);
SELECT update_tier.thaw('');

-- The events of freezes.
SELECT package, kind, regexp_replace(detail, '\d{4}-\d\d-\d\d [0-9:.]+[-+]\d\d(:\d\d)*', '(a moment)') AS detail
  FROM update_tier.event WHERE kind IN ('frozen', 'thawed') ORDER BY id;
-- An explanation is one line, whatever the reason.
SELECT update_tier.freeze('p', reason => E'two\nlines');
SELECT why('p', 'v2', 7);
DROP VIEW waiting;
DROP FUNCTION why, gates;

\set ECHO none
\i :fleet_gone
