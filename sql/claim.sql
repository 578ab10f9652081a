--
-- claim: one lease for each, and no more of them than the budget.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
SELECT update_tier.set_policy(max_in_flight => 2, require_canary => false, soak => '0');
SELECT update_tier.start('p', '1');
SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL AS granted;
SELECT update_tier.claim('p', '1', w(1)) IS NOT NULL AS granted_twice;
SELECT update_tier.claim('p', '1', w(4)) AS t \gset
SELECT update_tier.claim('p', '1', w(5)) IS NOT NULL AS over_budget;
-- allows does not speak of the budget: there is nothing wrong with this one.
SELECT update_tier.allows('p', '1', w(5));
SELECT update_tier.report(:t, 'succeeded');
SELECT update_tier.claim('p', '1', w(5)) IS NOT NULL AS granted;
-- Leases that have run out are not in the budget.
SELECT later('1 hour');
SELECT update_tier.claim('p', '1', w(6)) IS NOT NULL AND update_tier.claim('p', '1', w(7)) IS NOT NULL AS granted;
SELECT update_tier.claim('p', '1', w(8)) IS NOT NULL AS over_budget;
SELECT n(workspace), state, attempt, due FROM update_tier.execution ORDER BY workspace;

-- Every package has its own.
SELECT update_tier.start('q', '1');
SELECT update_tier.claim('q', '1', w(1)) IS NOT NULL AS granted;

-- Tokens are never the same again.
SELECT count(DISTINCT token) = count(*) FROM update_tier.execution;

-- Nothing is granted after a halt; what is out may still report.
SELECT update_tier.halt('p', '1');
SELECT update_tier.claim('p', '1', w(9)) IS NULL AS refused;
SELECT update_tier.report(token, 'succeeded') FROM update_tier.execution
 WHERE state = 'claimed' AND workspace = w(6);
SELECT production_succeeded FROM update_tier.status WHERE package = 'p';

-- Unknown workspaces do not start a rollout.
SELECT update_tier.claim('p', '2', w(99)) IS NULL, update_tier.claim('p', '2', NULL) IS NULL;
SELECT phases('p');

-- Maintenance of the tables, also in the middle of a transaction, moves rows and
-- replaces indexes.
SELECT run('moved', '1', 1);
REINDEX TABLE CONCURRENTLY update_tier.execution;
REINDEX TABLE CONCURRENTLY update_tier.rollout;
SELECT update_tier.allows('moved', '1', w(1)) AS again, run('moved', '1', 2);
BEGIN;
SELECT run('moved', '1', 3, 'error');
CLUSTER update_tier.rollout USING rollout_pkey;
SELECT run('moved', '1', 3);
-- What is changed by hand is seen, and what is rolled back is not.
UPDATE update_tier.rollout SET max_in_flight = 1 WHERE package = 'moved';
SELECT update_tier.claim('moved', '2', w(1)) IS NOT NULL AS granted;
SAVEPOINT before_abort;
SELECT update_tier.abort('moved', '2');
ROLLBACK TO before_abort;
SELECT update_tier.claim('moved', '1', w(4)) IS NOT NULL AS production, phases('moved');
COMMIT;
SELECT version, canary_succeeded, canary_in_flight FROM update_tier.status WHERE package = 'moved' ORDER BY version;

\set ECHO none
\i :fleet_gone
