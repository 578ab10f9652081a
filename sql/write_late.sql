--
-- Write late, read early: stamps are the clock's, under the lock; gates read
-- the start of the transaction.  No transaction, however long it is open,
-- makes a soak shorter.
--
-- A transaction that began ten minutes ago, as far as the clock is concerned:
-- the stamp of its report is not the start of the transaction.
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
BEGIN;
SELECT update_tier.claim('p', '1', w(1)) AS t \gset
SELECT count(*) FROM pg_sleep(0.05);
SELECT update_tier.report(:t, 'succeeded');
SELECT changed_at > now() + interval '50 milliseconds' AS stamped_late,
       soak_ends_at = changed_at + interval '24 hours' AS soaks_from_there
  FROM update_tier.rollout;
COMMIT;

-- Even a soak of no length is not over for who started it.
SELECT update_tier.set_policy('q', soak => '0');
BEGIN;
SELECT run('q', '1', 1);
SELECT update_tier.allows('q', '1', w(4)), phases('q');
SELECT update_tier.claim('q', '1', w(4)) IS NULL AS refused;
COMMIT;
SELECT update_tier.allows('q', '1', w(4)), phases('q');

-- Stamps never run backwards, whatever the clock does.
UPDATE update_tier.rollout SET changed_at = changed_at + interval '1 hour' WHERE package = 'q';
SELECT run('q', '1', 4);
SELECT changed_at > now() + interval '59 minutes' AS not_before_the_last FROM update_tier.rollout WHERE package = 'q';
SELECT update_tier.claim('q', '1', w(5)) IS NOT NULL AS granted;
SELECT lease_until - changed_at AS lease, changed_at > now() + interval '59 minutes' AS stamped
  FROM update_tier.execution WHERE workspace = w(5);

\set ECHO none
\i :fleet_gone
