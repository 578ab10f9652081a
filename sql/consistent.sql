--
-- What must hold between the columns of the state tables holds for whoever
-- writes to them, a superuser in a hurry included.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- Try a change of the one row there is, and take it back.
CREATE FUNCTION try(relation regclass, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    rows bigint; "constraint" text; "table" text;
BEGIN
    EXECUTE format('UPDATE %s SET %s', relation, change);
    GET DIAGNOSTICS rows = ROW_COUNT;
    RAISE EXCEPTION USING ERRCODE = 'UT000';
EXCEPTION
    WHEN SQLSTATE 'UT000' THEN
        RETURN format('%s row', rows);
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS "constraint" = CONSTRAINT_NAME, "table" = TABLE_NAME;
        RETURN concat_ws(' ', SQLSTATE, nullif("table", ''), nullif("constraint", ''));
END $$;
SELECT update_tier.set_policy(max_failures => 1, max_in_flight => 2);
SELECT update_tier.claim('p', '1', w(1)) AS token \gset
\pset format unaligned
\pset tuples_only on

-- A rollout in canary, with one lease.
\set r '\'update_tier.rollout\''
SELECT try(:r, 'reason = reason');
-- The budget.
SELECT try(:r, 'canary_in_flight = 2');
SELECT try(:r, 'canary_in_flight = 3');
SELECT try(:r, 'production_in_flight = 2');
SELECT try(:r, 'canary_in_flight = 2147483647, production_in_flight = 2147483647');
SELECT try(:r, 'canary_in_flight = -1');
-- Failures: one is tolerated, one more only when it was acknowledged, or halted for.
SELECT try(:r, 'canary_failed = 1, production_failed = 1');
SELECT try(:r, 'canary_failed = 2');
SELECT try(:r, 'production_failed = 2');
SELECT try(:r, 'canary_failed = 2, canary_acknowledged = 1');
SELECT try(:r, $$canary_failed = 2, phase = 'halted'$$);
SELECT try(:r, 'canary_acknowledged = 1');
SELECT try(:r, 'production_acknowledged = 1');
-- A soak begins with evidence, unless none is required.
SELECT try(:r, $$phase = 'soaking'$$);
SELECT try(:r, $$phase = 'soaking', canary_succeeded = 1$$);
SELECT try(:r, $$phase = 'soaking', require_canary = false$$);
-- A promotion has a date.
SELECT try(:r, $$phase = 'promoted'$$);
SELECT try(:r, $$phase = 'promoted', promoted_at = now()$$);
-- Settings make sense, and names and phases are what they are.
SELECT try(:r, $$soak = '-1 second'$$);
SELECT try(:r, $$lease = '0'$$);
SELECT try(:r, 'max_attempts = 0');
SELECT try(:r, 'min_successes = 0');
SELECT try(:r, 'max_failures = -1');
SELECT try(:r, $$phase = 'baking'$$);
SELECT try(:r, $$package = ''$$);
SELECT try(:r, $$version = repeat('x', 1025)$$);
SELECT try(:r, 'halts_at = NULL');

-- Its execution, leased.
\set e '\'update_tier.execution\''
SELECT try(:e, 'detail = detail');
SELECT try(:e, 'due = true');
-- What was reported is the evidence, and evidence has the tier it counts for.
SELECT try(:e, $$state = 'succeeded'$$);
SELECT try(:e, $$state = 'succeeded', evidence = 'failed', evidence_tier = 'canary'$$);
SELECT try(:e, $$state = 'succeeded', evidence = 'succeeded', evidence_tier = 'canary'$$);
SELECT try(:e, $$state = 'failed'$$);
SELECT try(:e, $$state = 'failed', evidence = 'failed', evidence_tier = 'canary'$$);
SELECT try(:e, $$state = 'failed', evidence = 'failed'$$);
SELECT try(:e, $$state = 'failed', evidence_tier = 'canary'$$);
SELECT try(:e, $$state = 'error'$$);
SELECT try(:e, $$state = 'error', evidence = 'unsure', evidence_tier = 'canary'$$);
-- Due again is what has not succeeded.
SELECT try(:e, $$state = 'error', due = true$$);
SELECT try(:e, $$state = 'expired', due = true$$);
SELECT try(:e, $$state = 'succeeded', evidence = 'succeeded', evidence_tier = 'canary', due = true$$);
-- Only failures are acknowledged.
SELECT try(:e, 'acknowledged = true');
SELECT try(:e, $$state = 'failed', evidence = 'failed', evidence_tier = 'canary', acknowledged = true$$);
-- Tiers are tiers.
SELECT try(:e, $$tier = 'canery'$$);
SELECT try(:e, $$state = 'failed', evidence = 'failed', evidence_tier = 'canery'$$);
SELECT try(:e, $$state = 'baking'$$);
SELECT try(:e, 'attempt = 0');

-- A value that is no row of the table is not consistent either.
SELECT update_tier.is_consistent(NULL::update_tier.rollout) IS NULL,
       update_tier.is_consistent(jsonb_populate_record(NULL::update_tier.rollout, '{"version": "1"}'));
SELECT update_tier.is_consistent(NULL::update_tier.execution) IS NULL,
       update_tier.is_consistent(jsonb_populate_record(NULL::update_tier.execution, '{"token": 1}'));
\pset format aligned
\pset tuples_only off
DROP FUNCTION try;
\set ECHO none
\i :fleet_gone
