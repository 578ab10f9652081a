--
-- Write late, read early: stamps are taken from the clock under the lock, and gates
-- read now(), the start of the transaction.  So a transaction that stays open makes no
-- soak shorter.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- The stamps are later than the start of the transaction and of the statement.
DO $$
DECLARE
    r record;
BEGIN
    PERFORM update_tier.start('p', '1');
    PERFORM run('p', '1', 1);
    SELECT soaks_from, changed_at, stamp INTO r FROM update_tier.rollout JOIN update_tier.package AS p ON p.name = package;
    RAISE NOTICE 'after the transaction''s start: %, after the statement''s: %', r.soaks_from > now(), r.soaks_from > statement_timestamp();
    RAISE NOTICE 'at the stamp of the change: %, at that of the package: %', r.soaks_from = r.changed_at, r.soaks_from = r.stamp;
END $$;
SELECT soak_ends_at = changed_at + interval '24 hours' AS soaks_from_there FROM update_tier.status;
SELECT lease_until - changed_at < interval '15 minutes' AS report_is_later_than_claim FROM update_tier.installation;

-- With a soak of no length the version is promoted at once, and is open to production
-- in the next transaction.
SELECT update_tier.set_policy('q', soak => '0');
BEGIN;
SELECT update_tier.start('q', '1');
SELECT run('q', '1', 1);
SELECT phases('q'), update_tier.promoted_version('q');
SELECT update_tier.is_open('q', '1', 'production'), update_tier.allows('q', '1', w(4)), update_tier.wanted_version('q', w(4));
SELECT update_tier.claim('q', '1', w(4)) IS NULL AS refused, (SELECT count(*) FROM update_tier.claim_batch('q', '1', candidates => ARRAY[w(4)])) AS batch;
COMMIT;
SELECT phases('q'), update_tier.promoted_version('q');
SELECT update_tier.is_open('q', '1', 'production'), update_tier.allows('q', '1', w(4)), update_tier.wanted_version('q', w(4));

-- What closes goes by the clock: a lease can expire in the transaction that claimed it.
SELECT update_tier.set_policy('s', lease => '1 microsecond', retry_delay => '0');
SELECT update_tier.start('s', '1');
BEGIN;
SELECT update_tier.claim('s', '1', w(1)) IS NOT NULL AS granted;
SELECT canary_in_flight FROM update_tier.status WHERE package = 's';
SELECT state FROM update_tier.installed WHERE package = 's';
-- That the workspace is due again goes by the start of the transaction.
SELECT update_tier.explain('s', '1', w(1)) LIKE 'expired, not due again before %' AS waits;
COMMIT;
SELECT update_tier.explain('s', '1', w(1));

-- Stamps never run backwards, whatever the clock does: no stamp is before the latest
-- stamp of the package.
UPDATE update_tier.package SET stamp = stamp + interval '1 hour' WHERE name = 'q';
SELECT run('q', '1', 4);
SELECT run('q', '1', 2, 'failed');
SELECT min(changed_at) > now() + interval '50 minutes' AS not_before_the_last FROM update_tier.rollout WHERE package = 'q';
SELECT workspace, changed_at > now() + interval '50 minutes' AS not_before_the_last FROM update_tier.installed
 WHERE package = 'q' AND workspace <> w(1) ORDER BY workspace;
SELECT update_tier.start('q', '2');
SELECT update_tier.claim('q', '2', w(3)) IS NOT NULL AS granted;
SELECT lease_until > now() + interval '65 minutes' AS leased_from_there FROM update_tier.installed WHERE package = 'q' AND workspace = w(3);
SELECT run('q', '2', 1);
SELECT count(*) AS backwards FROM (SELECT at < lag(at) OVER (ORDER BY id) AS backwards FROM update_tier.event WHERE package = 'q') AS e WHERE backwards;
-- A version that is promoted with such a stamp opens to production when the clock
-- reaches it.
SELECT phases('q'), update_tier.is_open('q', '2', 'production'), update_tier.wanted_version('q', w(5));
SELECT later('1 hour');
SELECT update_tier.is_open('q', '2', 'production'), update_tier.wanted_version('q', w(5));

\set ECHO none
\i :fleet_gone
