--
-- The constraints of the state tables hold for every role that writes to the tables,
-- superusers included.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
-- Try a change of the only row, and take it back.
CREATE FUNCTION try(relation regclass, change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    rows bigint; "constraint" text; "table" text; column_name text;
BEGIN
    EXECUTE format('UPDATE %s SET %s', relation, change);
    GET DIAGNOSTICS rows = ROW_COUNT;
    RAISE EXCEPTION USING ERRCODE = 'UT000';
EXCEPTION
    WHEN SQLSTATE 'UT000' THEN
        RETURN format('%s row', rows);
    WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS "constraint" = CONSTRAINT_NAME, "table" = TABLE_NAME, column_name = COLUMN_NAME;
        RETURN concat_ws(' ', SQLSTATE, nullif("table", ''), nullif("constraint", ''), nullif(column_name, ''));
END $$;
SELECT update_tier.set_policy('p', max_failures => 1, max_failure_percent => 50);
SELECT update_tier.start('p', '1'), update_tier.claim('p', '1', w(1)) AS token \gset
\pset format unaligned
\pset tuples_only on

-- A rollout in canary.
\set r '\'update_tier.rollout\''
SELECT try(:r, 'reason = reason');
-- An open rollout has no more failures than are tolerated or acknowledged.
SELECT try(:r, 'canary_failed = 1, production_failed = 1');
SELECT try(:r, 'canary_failed = 2');
SELECT try(:r, 'production_failed = 2');
SELECT try(:r, 'canary_failed = 2, canary_acknowledged = 1');
SELECT try(:r, $$canary_failed = 2, phase = 'halted'$$);
SELECT try(:r, $$canary_failed = 2, phase = 'superseded'$$);
SELECT try(:r, $$canary_failed = 2, phase = 'queued'$$);
-- max_failure_percent is a share of the outcomes: failures, and successes of
-- workspaces that have the version or have moved on.
SELECT try(:r, 'canary_failed = 3, canary_succeeded = 3');
SELECT try(:r, 'canary_failed = 3, canary_succeeded = 1, canary_moved_on = 2');
SELECT try(:r, 'canary_failed = 3, canary_succeeded = 2');
SELECT try(:r, 'canary_failed = 3, production_succeeded = 3');
SELECT try(:r, 'production_failed = 2147483647, production_succeeded = 2147483647');
-- Only failures are acknowledged.
SELECT try(:r, 'canary_acknowledged = 1');
SELECT try(:r, 'production_failed = 1, production_acknowledged = 2');
-- A soak has a beginning, and a promotion a date.
SELECT try(:r, $$phase = 'soaking'$$);
SELECT try(:r, $$phase = 'soaking', soaks_from = now()$$);
SELECT try(:r, $$phase = 'promoted'$$);
SELECT try(:r, $$phase = 'promoted', promoted_at = now()$$);
-- Settings and counters are in range; names and phases are valid.
SELECT try(:r, 'min_successes = 0');
SELECT try(:r, 'max_failures = -1');
SELECT try(:r, 'max_failure_percent = 101');
SELECT try(:r, 'max_in_flight = 0');
SELECT try(:r, 'max_attempts = 0');
SELECT try(:r, 'soak = NULL');
SELECT try(:r, 'run = 0');
SELECT try(:r, 'resumed = -1');
SELECT try(:r, 'canary_succeeded = -1');
SELECT try(:r, 'production_moved_on = -1');
SELECT try(:r, $$phase = 'baking'$$);
SELECT try(:r, $$package = ''$$);
SELECT try(:r, $$version = repeat('x', 1025)$$);
SELECT try(:r, 'promoted_at = NULL');

-- Settings of a package are in range, too.
\set p '\'update_tier.package\''
SELECT try(:p, 'freeze_reason = freeze_reason');
SELECT try(:p, $$soak = '-1 second'$$);
SELECT try(:p, $$ramp = '-1 second'$$);
SELECT try(:p, 'min_successes = 0');
SELECT try(:p, 'max_failures = -1');
SELECT try(:p, 'max_failure_percent = -1');
SELECT try(:p, 'max_in_flight = 0');
SELECT try(:p, 'max_attempts = 0');
SELECT try(:p, $$retry_delay = '-1 second'$$);
SELECT try(:p, $$lease = '0'$$);
SELECT try(:p, 'in_flight = -1');
SELECT try(:p, $$name = ''$$);
SELECT try(:p, 'frozen_until = NULL');

-- An installation with a lease.
\set i '\'update_tier.installation\''
SELECT try(:i, 'detail = detail');
-- A claimed attempt has a token and a number.
SELECT try(:i, 'token = NULL');
SELECT try(:i, 'attempt = 0');
SELECT try(:i, $$state = 'succeeded', attempt = 0, token = NULL$$);
SELECT try(:i, 'attempt = -1');
-- Evidence has the tier that it counts for, and a rollout.
SELECT try(:i, $$state = 'failed', evidence = 'failed', evidence_tier = 'canary'$$);
SELECT try(:i, $$state = 'failed', evidence = 'failed'$$);
SELECT try(:i, $$state = 'failed', evidence_tier = 'canary'$$);
SELECT try(:i, $$state = 'succeeded', evidence = 'succeeded', evidence_tier = 'canary', rollout = NULL, attempt = 0$$);
SELECT try(:i, $$state = 'error', evidence = 'unsure', evidence_tier = 'canary'$$);
-- An attempt belongs to a rollout.  A workspace that was observed to run a version that
-- is not started has neither.
SELECT try(:i, $$state = 'succeeded', rollout = NULL$$);
SELECT try(:i, $$state = 'succeeded', rollout = NULL, attempt = 0$$);
-- A workspace runs one version, which is either started or not started.
SELECT try(:i, 'runs = rollout');
SELECT try(:i, $$runs_version = '0'$$);
SELECT try(:i, $$runs = rollout, runs_version = '0'$$);
-- Tiers and states are valid.
SELECT try(:i, $$tier = 'canery'$$);
SELECT try(:i, $$state = 'failed', evidence = 'failed', evidence_tier = 'canery'$$);
SELECT try(:i, $$state = 'baking'$$);
SELECT try(:i, 'tier = NULL');

-- These are unique: the name of a package; a version of a package; for each package
-- the version in canary or soaking, and the queued version; an installation for each
-- package and workspace; a token.
CREATE FUNCTION try_insert(relation regclass, columns text, "values" text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    others text; "constraint" text;
BEGIN
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO others FROM pg_attribute
     WHERE attrelid = relation AND attnum > 0 AND attname <> ALL (regexp_split_to_array(columns, ', '));
    EXECUTE format('INSERT INTO %s (%s, %s) SELECT %s, %s FROM %1$s', relation, columns, others, "values", others);
    RAISE EXCEPTION USING ERRCODE = 'UT000';
EXCEPTION
    WHEN SQLSTATE 'UT000' THEN
        RETURN 'inserted';
    WHEN unique_violation THEN
        GET STACKED DIAGNOSTICS "constraint" = CONSTRAINT_NAME;
        RETURN concat_ws(' ', SQLSTATE, "constraint");
END $$;
SELECT try_insert(:p, 'id', '0');
SELECT try_insert(:p, 'id, name', '0, ''q''');
SELECT try_insert(:r, 'id, ordinal, phase', '0, 0, ''halted''');
SELECT try_insert(:r, 'id, ordinal, phase, version', '0, 0, ''halted'', ''2''');
SELECT try_insert(:r, 'id, version, phase', '0, ''2'', ''halted''');
SELECT try_insert(:r, 'id, ordinal, version', '0, 0, ''2''');
SELECT try_insert(:r, 'id, ordinal, version, phase, soaks_from', '0, 0, ''2'', ''soaking'', now()');
SELECT try_insert(:i, 'token', '0');
SELECT try_insert(:i, 'workspace', 'w(2)');
SELECT try_insert(:i, 'workspace, token', 'w(2), 0');
SELECT update_tier.report(:token, 'succeeded'), update_tier.start('p', '2');
SELECT try_insert(:r, 'id, ordinal, version, phase', 'id + 100, ordinal + 100, version || ''+'', ''queued''');

-- A value with NULLs that the table does not allow is not consistent either.
SELECT update_tier.is_consistent(NULL::update_tier.rollout) IS NULL,
       update_tier.is_consistent(jsonb_populate_record(NULL::update_tier.rollout, '{"version": "1"}'));
SELECT update_tier.is_consistent(NULL::update_tier.installation) IS NULL,
       update_tier.is_consistent(jsonb_populate_record(NULL::update_tier.installation, '{"token": 1}'));
\pset format aligned
\pset tuples_only off
DROP FUNCTION try, try_insert;
\set ECHO none
\i :fleet_gone
