/* update_tier--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION update_tier" to load this file. \quit

-- The machinery lives in a schema of its own with a fixed name; the
-- vocabulary goes to the schema the extension is created in.
CREATE SCHEMA update_tier;
COMMENT ON SCHEMA update_tier IS
'Machinery of the update_tier extension: attaching the workspaces table, tiers, counts.';
GRANT USAGE ON SCHEMA update_tier TO PUBLIC;


--
-- The tier
--

CREATE FUNCTION update_tier.is_valid(value text) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_is_valid'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF;
COMMENT ON FUNCTION update_tier.is_valid(text) IS
'Whether a text is the name of an update tier: canary or production, lower case. NULL for NULL. Never raises an error.';

-- "C" collation: the sort order is the rollout order, everywhere.
CREATE DOMAIN @extschema@.update_tier AS text COLLATE "C"
    CONSTRAINT canary_or_production CHECK (update_tier.is_valid(VALUE));
COMMENT ON DOMAIN @extschema@.update_tier IS
'When a workspace gets updates: canary (first) or production (after canaries ran them well for a while).';

CREATE FUNCTION update_tier.tiers() RETURNS SETOF @extschema@.update_tier
AS 'MODULE_PATHNAME', 'update_tier_tiers'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 2;
COMMENT ON FUNCTION update_tier.tiers() IS
'Every update tier, in rollout order.';


--
-- The attached table
--

CREATE TABLE update_tier.attached (
    singleton  boolean  NOT NULL DEFAULT true
        CONSTRAINT one_table_per_database PRIMARY KEY
        CONSTRAINT singleton_is_true CHECK (singleton),
    workspaces regclass NOT NULL,
    live_when  text
);
COMMENT ON TABLE update_tier.attached IS
'The workspaces table of this database: one row, or none. Written by update_tier.attach and update_tier.detach.';
COMMENT ON COLUMN update_tier.attached.workspaces IS 'The table.';
COMMENT ON COLUMN update_tier.attached.live_when IS
'Condition that a row must meet to count as a live workspace, in canonical form; NULL: every row is live.';
GRANT SELECT ON update_tier.attached TO PUBLIC;

-- A table that has been dropped leaves a number, which would mean another
-- table where the dump is restored.
SELECT pg_catalog.pg_extension_config_dump('update_tier.attached',
    'WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) workspaces)');

CREATE FUNCTION update_tier.attached_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'update_tier_attached_changed'
LANGUAGE C;
COMMENT ON FUNCTION update_tier.attached_changed() IS
'Trigger: tells every session to look again which table is attached.';
REVOKE EXECUTE ON FUNCTION update_tier.attached_changed() FROM PUBLIC;

CREATE TRIGGER attached_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON update_tier.attached
    FOR EACH STATEMENT EXECUTE FUNCTION update_tier.attached_changed();

CREATE FUNCTION update_tier.attached_replaced() RETURNS trigger
AS 'MODULE_PATHNAME', 'update_tier_attached_replaced'
LANGUAGE C;
COMMENT ON FUNCTION update_tier.attached_replaced() IS
'Trigger: a new row takes the place of the one there is, so that data can be restored where a table is attached already.';
REVOKE EXECUTE ON FUNCTION update_tier.attached_replaced() FROM PUBLIC;

CREATE TRIGGER attached_replaced
    BEFORE INSERT ON update_tier.attached
    FOR EACH ROW EXECUTE FUNCTION update_tier.attached_replaced();

-- Also where a replication role or a restore turns ordinary triggers off.
ALTER TABLE update_tier.attached ENABLE ALWAYS TRIGGER attached_changed;
ALTER TABLE update_tier.attached ENABLE ALWAYS TRIGGER attached_replaced;

-- Executable by everybody, as ALTER TABLE and CREATE INDEX are: what decides
-- is who owns the table.
CREATE FUNCTION update_tier.attach(
    workspaces   regclass,
    live_when    text    DEFAULT NULL,
    create_index boolean DEFAULT true,
    audit        boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_attach'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.attach(regclass, text, boolean, boolean) IS
'Makes a table the workspaces table: column update_tier (NOT NULL, DEFAULT ''production'') and a partial index of the canaries. live_when: condition that live rows meet. create_index false: you build the index yourself. audit: a trigger that records every change of a tier in update_tier.tier_change; false: none. Idempotent; changes what differs, also the condition: NULL means that every row is live. For the table''s owner; what else the owner has put on the table runs as the owner. Errors: 55000 another table is attached, 42501 not the owner of the table or of a child, 23514 values that are no tier, 42809 not an ordinary or partitioned table, 42703 no column id, 42804 wrong type of id or update_tier, 42P16 id nullable or not unique, 0A000 live_when not allowed, or what depends on the column cannot follow, 42P07 name of the index taken, 55006 a query of the session is using the table, 55P03 an index is being built concurrently.';

CREATE FUNCTION update_tier.detach() RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_detach'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.detach() IS
'Turns the attached table back to plain SQL (text column with CHECK, NOT NULL, default and index), every value kept, so that DROP EXTENSION needs no CASCADE. NOTICE when nothing is attached. For the table''s owner. Errors: 42501 not the owner.';


--
-- Reading and changing tiers
--

CREATE FUNCTION update_tier.list_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'update_tier_list_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION update_tier.list_support(internal) IS
'Planner support: row estimates of the functions that list workspaces.';

CREATE FUNCTION @extschema@.canary_workspaces() RETURNS SETOF uuid
AS 'MODULE_PATHNAME', 'update_tier_canary_workspaces'
LANGUAGE C STABLE PARALLEL SAFE COST 100
SUPPORT update_tier.list_support;
COMMENT ON FUNCTION @extschema@.canary_workspaces() IS
'The live workspaces of tier canary, ordered by id. Errors: 55000 no table attached.';

CREATE FUNCTION @extschema@.production_workspaces() RETURNS SETOF uuid
AS 'MODULE_PATHNAME', 'update_tier_production_workspaces'
LANGUAGE C STABLE PARALLEL SAFE COST 100
SUPPORT update_tier.list_support;
COMMENT ON FUNCTION @extschema@.production_workspaces() IS
'The live workspaces of tier production, ordered by id. Errors: 55000 no table attached.';

CREATE FUNCTION @extschema@.workspaces_in_tier(
    tier     text,
    after    uuid   DEFAULT NULL,
    max_rows bigint DEFAULT NULL)
RETURNS SETOF uuid
AS 'MODULE_PATHNAME', 'update_tier_workspaces_in_tier'
LANGUAGE C STABLE PARALLEL SAFE COST 100
SUPPORT update_tier.list_support;
COMMENT ON FUNCTION @extschema@.workspaces_in_tier(text, uuid, bigint) IS
'The live workspaces of a tier, ordered by id: those behind "after" (NULL: from the first), at most max_rows (NULL: all). Errors: 23514 not a tier, 22023 negative max_rows, 55000 no table attached.';

CREATE FUNCTION @extschema@.workspace_tier(workspace uuid) RETURNS @extschema@.update_tier
AS 'MODULE_PATHNAME', 'update_tier_workspace_tier'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.workspace_tier(uuid) IS
'The tier of a workspace, live or not; NULL for an unknown one. Errors: 55000 no table attached.';

CREATE FUNCTION @extschema@.set_update_tier(
    workspace uuid,
    tier      text,
    expected  text DEFAULT NULL)
RETURNS @extschema@.update_tier
AS 'MODULE_PATHNAME', 'update_tier_set_update_tier'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION @extschema@.set_update_tier(uuid, text, text) IS
'Gives a workspace a tier and returns the one it had; writes nothing when nothing changes. expected: only if the present tier is this one. NOTICE when no canary is left. Errors: 23514 not a tier, 22004 workspace NULL, P0002 unknown workspace, 55000 present tier not the expected one, change suppressed, or no table attached, 42501 row not updatable by the caller.';

-- Who made whom a canary, and when.  The trigger that writes it is on the
-- attached table; executable by everybody, as the table's owner creates it, but
-- it records nothing for any other table.
CREATE SEQUENCE update_tier.tier_change_id;
CREATE TABLE update_tier.tier_change (
    id        bigint      NOT NULL PRIMARY KEY DEFAULT pg_catalog.nextval('update_tier.tier_change_id'),
    at        timestamptz NOT NULL,
    actor     text        NOT NULL,
    workspace uuid,
    old_tier  text,
    new_tier  text,
    path      text        NOT NULL
        CONSTRAINT known_path CHECK (path IN ('set_update_tier', 'UPDATE'))
);
CREATE INDEX tier_change_workspace ON update_tier.tier_change (workspace, id);
COMMENT ON TABLE update_tier.tier_change IS
'Every change of a workspace''s tier, appended to only: when, who (actor is the role), from what to what, and by which statement.';
ALTER SEQUENCE update_tier.tier_change_id OWNED BY update_tier.tier_change.id;
SELECT pg_catalog.pg_extension_config_dump('update_tier.tier_change', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.tier_change_id', '');

-- For the trigger's condition.  It takes whole rows: a condition that names
-- the column would stand in the way of who drops it, or alters its type.
CREATE FUNCTION update_tier.tier_changes(old_row record, new_row record) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_tier_changes'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.tier_changes(record, record) IS
'Whether two rows of a table differ in their column update_tier. False for rows that have none.';

CREATE FUNCTION update_tier.record_tier() RETURNS trigger
AS 'MODULE_PATHNAME', 'update_tier_record_tier'
LANGUAGE C;
COMMENT ON FUNCTION update_tier.record_tier() IS
'Trigger on the attached table: appends to update_tier.tier_change.';


CREATE FUNCTION update_tier.counts(OUT tier @extschema@.update_tier, OUT workspaces bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_counts'
LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 2;
COMMENT ON FUNCTION update_tier.counts() IS
'How many live workspaces each tier has: a row for each tier, in rollout order. Errors: 55000 no table attached.';


--
-- Rollouts: state
--
-- The state machine is in the constraints; who reads and writes is in C.
-- Moments that will not come are infinity, so that the phase is a matter of
-- comparing.
--
-- What can be said of one column is said by its domain: a table's CHECKs are
-- parsed anew by every statement that writes a row, a domain's are not, and
-- are looked at only when the column is assigned.
--

CREATE DOMAIN update_tier.label AS text COLLATE "C"
    CONSTRAINT one_to_1024_bytes CHECK (octet_length(VALUE) BETWEEN 1 AND 1024);
COMMENT ON DOMAIN update_tier.label IS 'The name of a package or of a version.';

CREATE DOMAIN update_tier.tally AS integer CONSTRAINT not_negative CHECK (VALUE >= 0);
COMMENT ON DOMAIN update_tier.tally IS 'How many there are.';

CREATE DOMAIN update_tier.limit AS integer CONSTRAINT positive CHECK (VALUE > 0);
COMMENT ON DOMAIN update_tier.limit IS 'How many there may, or must, be.';

CREATE DOMAIN update_tier.phase AS text
    CONSTRAINT known_phase CHECK (VALUE IN
        ('queued', 'canary', 'soaking', 'promoted', 'halted', 'aborted', 'superseded'));
COMMENT ON DOMAIN update_tier.phase IS 'Where a rollout is.';

CREATE DOMAIN update_tier.state AS text
    CONSTRAINT known_state CHECK (VALUE IN ('claimed', 'succeeded', 'failed', 'error', 'expired'));
COMMENT ON DOMAIN update_tier.state IS 'What has become of an attempt.';

CREATE DOMAIN update_tier.evidence AS text
    CONSTRAINT known_evidence CHECK (VALUE IN ('succeeded', 'failed'));
COMMENT ON DOMAIN update_tier.evidence IS 'What is known of a version on a workspace.';

CREATE TABLE update_tier.policy (
    package        update_tier.label NOT NULL PRIMARY KEY,
    soak           interval CONSTRAINT soak_is_not_negative CHECK (soak >= '0'),
    min_successes  update_tier.limit,
    max_failures   update_tier.tally,
    max_in_flight  update_tier.limit,
    max_attempts   update_tier.limit,
    lease          interval CONSTRAINT lease_is_positive CHECK (lease > '0'),
    auto_promote   boolean,
    require_canary boolean
);
COMMENT ON TABLE update_tier.policy IS
'Settings that rollouts copy when they start. NULL: as for package ''*'', and there: the built-in default. Written by update_tier.set_policy.';

CREATE SEQUENCE update_tier.rollout_id;
CREATE SEQUENCE update_tier.rollout_ordinal;
CREATE SEQUENCE update_tier.execution_token;
CREATE SEQUENCE update_tier.event_id;

-- Pages are filled sparsely: each report leaves a version of a row, and while
-- others wait for the package none of them can be cleaned up.
CREATE TABLE update_tier.rollout (
    id                      bigint      NOT NULL PRIMARY KEY
        DEFAULT pg_catalog.nextval('update_tier.rollout_id'),
    package                 update_tier.label NOT NULL,
    version                 update_tier.label NOT NULL,
    ordinal                 bigint      NOT NULL CONSTRAINT one_newest UNIQUE
        DEFAULT pg_catalog.nextval('update_tier.rollout_ordinal'),
    phase                   update_tier.phase NOT NULL,
    soak                    interval    NOT NULL,
    min_successes           update_tier.limit NOT NULL,
    max_failures            update_tier.tally NOT NULL,
    max_in_flight           update_tier.limit NOT NULL,
    max_attempts            update_tier.limit NOT NULL,
    lease                   interval    NOT NULL,
    auto_promote            boolean     NOT NULL,
    require_canary          boolean     NOT NULL,
    turn_at                 timestamptz NOT NULL DEFAULT 'infinity',
    soak_ends_at            timestamptz NOT NULL DEFAULT 'infinity',
    superseded_at           timestamptz NOT NULL DEFAULT 'infinity',
    halts_at                timestamptz NOT NULL DEFAULT 'infinity',
    promoted_at             timestamptz NOT NULL DEFAULT 'infinity',
    changed_at              timestamptz NOT NULL,
    canary_succeeded        update_tier.tally NOT NULL DEFAULT 0,
    canary_failed           update_tier.tally NOT NULL DEFAULT 0,
    canary_acknowledged     update_tier.tally NOT NULL DEFAULT 0,
    canary_in_flight        update_tier.tally NOT NULL DEFAULT 0,
    canary_position         uuid,
    canary_due_position     bigint      NOT NULL DEFAULT 0,
    production_succeeded    update_tier.tally NOT NULL DEFAULT 0,
    production_failed       update_tier.tally NOT NULL DEFAULT 0,
    production_acknowledged update_tier.tally NOT NULL DEFAULT 0,
    production_in_flight    update_tier.tally NOT NULL DEFAULT 0,
    production_position     uuid,
    production_due_position bigint      NOT NULL DEFAULT 0,
    first_expiry            timestamptz NOT NULL DEFAULT 'infinity',
    related                 text,
    reason                  text,
    CONSTRAINT package_version UNIQUE (package, version)
) WITH (fillfactor = 10);
CREATE UNIQUE INDEX rollout_one_runs ON update_tier.rollout (package)
    WHERE phase IN ('canary', 'soaking');
CREATE UNIQUE INDEX rollout_one_queued ON update_tier.rollout (package)
    WHERE phase = 'queued';
CREATE INDEX rollout_can_change ON update_tier.rollout (package, ordinal)
    WHERE phase IN ('queued', 'canary', 'soaking', 'promoted');
CREATE INDEX rollout_was_promoted ON update_tier.rollout (package, promoted_at)
    WHERE phase IN ('soaking', 'promoted', 'superseded');
COMMENT ON COLUMN update_tier.rollout.first_expiry IS
'No lease runs out before this; the first of them may do so later.';
COMMENT ON TABLE update_tier.rollout IS
'One row for each version of a package. Read it through update_tier.status: phase is the one at the time of writing, from which update_tier.phase_at tells the present one.';

-- "rollout" is no foreign key: a restore in parallel jobs fills the tables of
-- an extension in any order, and would fail.  Rows of update_tier.rollout are
-- deleted by update_tier.prune alone, after those that refer to them.
CREATE TABLE update_tier.execution (
    rollout           bigint      NOT NULL,
    workspace         uuid        NOT NULL,
    tier              text        NOT NULL,
    attempt           update_tier.limit NOT NULL,
    token             bigint      NOT NULL CONSTRAINT one_token UNIQUE,
    state             update_tier.state NOT NULL,
    lease_until       timestamptz NOT NULL,
    changed_at        timestamptz NOT NULL,
    due               boolean     NOT NULL,
    evidence          update_tier.evidence,
    evidence_tier     text,
    acknowledged      boolean     NOT NULL DEFAULT false,
    installed_version text,
    detail            text,
    PRIMARY KEY (rollout, workspace)
);
CREATE INDEX execution_leased ON update_tier.execution (rollout, lease_until) WHERE state = 'claimed';
CREATE INDEX execution_due ON update_tier.execution (rollout, token) WHERE due;
CREATE INDEX execution_failed ON update_tier.execution (rollout) WHERE evidence = 'failed';
COMMENT ON TABLE update_tier.execution IS
'One row for each workspace that a rollout was claimed for: the present attempt, and what is known of the workspace so far (evidence).';

-- What must hold between the columns of a row.  The executor reads the stored
-- form of a table's CHECKs for every statement that writes to it, which took
-- four times as long as the rest of the statement: so it is one short call.
CREATE FUNCTION update_tier.is_consistent(rollout update_tier.rollout) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_rollout_is_consistent'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.is_consistent(update_tier.rollout) IS
'Whether the columns of a rollout agree: no more leases than its budget, no more failures acknowledged than there are nor tolerated than its policy says while it runs, no soak without evidence, no promotion without a date. The CHECK of the table.';
ALTER TABLE update_tier.rollout ADD CONSTRAINT consistent CHECK (update_tier.is_consistent(rollout));

CREATE FUNCTION update_tier.is_consistent(execution update_tier.execution) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_execution_is_consistent'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.is_consistent(update_tier.execution) IS
'Whether the columns of an execution agree: tiers are tiers, a reported success or failure is the evidence, evidence has a tier, neither a success nor a live lease is due again, only failures are acknowledged. The CHECK of the table.';
ALTER TABLE update_tier.execution ADD CONSTRAINT consistent CHECK (update_tier.is_consistent(execution));

CREATE TABLE update_tier.event (
    id        bigint      NOT NULL PRIMARY KEY DEFAULT pg_catalog.nextval('update_tier.event_id'),
    at        timestamptz NOT NULL,
    actor     text        NOT NULL,
    kind      text        NOT NULL,
    package   text        NOT NULL,
    version   text,
    workspace uuid,
    token     bigint,
    detail    text
);
CREATE INDEX event_token ON update_tier.event (token) WHERE token IS NOT NULL;
CREATE INDEX event_at ON update_tier.event (at);
COMMENT ON TABLE update_tier.event IS
'What happened to rollouts, appended to only: when, who (actor is the role), what, and why.';

ALTER SEQUENCE update_tier.rollout_id OWNED BY update_tier.rollout.id;
ALTER SEQUENCE update_tier.rollout_ordinal OWNED BY update_tier.rollout.ordinal;
ALTER SEQUENCE update_tier.execution_token OWNED BY update_tier.execution.token;
ALTER SEQUENCE update_tier.event_id OWNED BY update_tier.event.id;

SELECT pg_catalog.pg_extension_config_dump('update_tier.policy', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.rollout', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.execution', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.event', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.rollout_id', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.rollout_ordinal', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.execution_token', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.event_id', '');


--
-- Rollouts: functions
--
-- None of them is for everybody: those that change something, nor those that
-- tell of workspaces, which they read as the table's owner.
--

CREATE FUNCTION update_tier.phase_at(
    phase         text,
    needs_canary  boolean,
    turn_at       timestamptz,
    soak_ends_at  timestamptz,
    superseded_at timestamptz,
    halts_at      timestamptz,
    at            timestamptz)
RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_phase_at'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.phase_at(text, boolean, timestamptz, timestamptz, timestamptz, timestamptz, timestamptz) IS
'The phase of a rollout at a moment, from its stored row; needs_canary: too few canaries have succeeded so far. Errors: 22023 unknown phase.';

CREATE FUNCTION update_tier.set_policy(
    package        text     DEFAULT '*',
    soak           interval DEFAULT NULL,
    min_successes  integer  DEFAULT NULL,
    max_failures   integer  DEFAULT NULL,
    max_in_flight  integer  DEFAULT NULL,
    max_attempts   integer  DEFAULT NULL,
    lease          interval DEFAULT NULL,
    auto_promote   boolean  DEFAULT NULL,
    require_canary boolean  DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_set_policy'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.set_policy(text, interval, integer, integer, integer, integer, interval, boolean, boolean) IS
'Settings for the rollouts of a package that start from now on; package ''*'': for all that have none of their own. NULL leaves a setting as it is. A day of an interval is 24 hours, a month 30 days. Errors: 22023 nonsense, 22004 package NULL.';

CREATE FUNCTION update_tier.start(package text, version text) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_start'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.start(text, text) IS
'Registers a version of a package and returns its phase; one that is known already is left as it is. Errors: 22023 empty or longer than 1024 bytes, 22004 NULL.';

CREATE FUNCTION update_tier.is_open(package text, version text, tier text) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_is_open'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.is_open(text, text, text) IS
'Whether a version is open to a tier now. False for a NULL package or version; an unknown version is open to canaries only. Errors: 23514 not a tier.';

CREATE FUNCTION update_tier.allows(package text, version text, workspace uuid) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_allows'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.allows(text, text, uuid) IS
'Whether a workspace may get a version now: open to its tier, live, not leased, not done, attempts left. False for NULL or unknown. Errors: 55000 no table attached.';

CREATE FUNCTION update_tier.explain(package text, version text, workspace uuid) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_explain'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.explain(text, text, uuid) IS
'One line: why update_tier.allows says what it says. Errors: 55000 no table attached.';

CREATE FUNCTION update_tier.claim(package text, version text, workspace uuid) RETURNS bigint
AS 'MODULE_PATHNAME', 'update_tier_claim'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.claim(text, text, uuid) IS
'Leases a workspace for applying a version: a token for update_tier.report, or NULL where update_tier.allows would be false or max_in_flight leases are out. Starts the rollout if need be. Errors: 22023 empty or too long, 22004 package or version NULL, 55000 no table attached.';

CREATE FUNCTION update_tier.claim_batch(
    package        text,
    version        text,
    max_claims     integer DEFAULT 25,
    OUT workspace  uuid,
    OUT tier       @extschema@.update_tier,
    OUT attempt    integer,
    OUT token      bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_claim_batch'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100 ROWS 25;
COMMENT ON FUNCTION update_tier.claim_batch(text, text, integer) IS
'Leases the next workspaces of the fleet, canaries before production, first attempts before further ones. Looks at a bounded number of workspaces behind the last one it looked at, and comes round. Errors: 22023 negative max_claims, empty or too long, 22004 NULL, 55000 no table attached.';

CREATE FUNCTION update_tier.report(
    token             bigint,
    outcome           text,
    installed_version text DEFAULT NULL,
    detail            text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_report'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.report(bigint, text, text, text) IS
'Reports what became of a claim: succeeded, failed (applied, and bad) or error (nobody knows). An installed_version other than the rollout''s makes it an error. Returns the phase. The same report again changes nothing; a report for an attempt that was replaced is logged with a WARNING and not counted. Errors: P0002 unknown token, 22023 unknown outcome, 22004 NULL, 55000 better than reported before.';

CREATE FUNCTION update_tier.promote(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_promote'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.promote(text, text, text) IS
'Ends a soak: the version is open to production. Returns the phase. Errors: P0002 unknown rollout, 22023 reason longer than 1024 bytes, 55000 it does not soak.';

CREATE FUNCTION update_tier.halt(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_halt'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.halt(text, text, text) IS
'Stops a version: nobody gets it until somebody resumes or retries it. Returns the phase. Errors: P0002 unknown rollout, 22023 reason longer than 1024 bytes, 55000 it has ended.';

CREATE FUNCTION update_tier.resume(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.resume(text, text, text) IS
'Lets a halted version go on: the failures so far are acknowledged and the soak starts again; never promotes. Returns the phase. Errors: P0002 unknown rollout, 22023 reason longer than 1024 bytes, 55000 it has ended, or a newer version has taken its place.';

CREATE FUNCTION update_tier.abort(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_abort'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.abort(text, text, text) IS
'Ends a rollout. Returns the phase. Errors: P0002 unknown rollout, 22023 reason longer than 1024 bytes.';

CREATE FUNCTION update_tier.retry(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_retry'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.retry(text, text, text) IS
'Starts a halted, aborted or superseded version again as the newest, with the policy of now and all its evidence cleared. Returns the phase. Errors: P0002 unknown rollout, 22023 reason longer than 1024 bytes, 55000 it has not ended.';

CREATE FUNCTION update_tier.promoted_version(package text) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_promoted_version'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.promoted_version(text) IS
'The version promoted last that was not halted or aborted since: what to roll back to. NULL if there is none.';

CREATE FUNCTION update_tier.progress(
    package       text,
    version       text,
    OUT tier       @extschema@.update_tier,
    OUT workspaces bigint,
    OUT succeeded  bigint,
    OUT failed     bigint,
    OUT in_flight  bigint,
    OUT remaining  bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_progress'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 2;
COMMENT ON FUNCTION update_tier.progress(text, text) IS
'How far a rollout is, per tier; counts the fleet. workspaces and remaining: by present tier, live ones; remaining are neither done, nor leased, nor out of attempts. The others: by tier when claimed. Errors: P0002 unknown rollout, 22004 NULL, 55000 no table attached.';

CREATE FUNCTION update_tier.prune(older_than interval) RETURNS bigint
AS 'MODULE_PATHNAME', 'update_tier_prune'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION update_tier.prune(interval) IS
'Deletes rollouts that were superseded or aborted longer ago than that, with their executions, and events older than that; never what update_tier.promoted_version names. Returns the number of rollouts. Errors: 22023 negative, 22004 NULL.';

REVOKE EXECUTE ON FUNCTION
    update_tier.set_policy(text, interval, integer, integer, integer, integer, interval, boolean, boolean),
    update_tier.start(text, text),
    update_tier.is_open(text, text, text),
    update_tier.allows(text, text, uuid),
    update_tier.explain(text, text, uuid),
    update_tier.claim(text, text, uuid),
    update_tier.claim_batch(text, text, integer),
    update_tier.report(bigint, text, text, text),
    update_tier.promote(text, text, text),
    update_tier.halt(text, text, text),
    update_tier.resume(text, text, text),
    update_tier.abort(text, text, text),
    update_tier.retry(text, text, text),
    update_tier.promoted_version(text),
    update_tier.progress(text, text),
    update_tier.prune(interval)
FROM PUBLIC;

-- What an operator watches: what needs attention first.  Reads rollouts and
-- leases, never the fleet.
CREATE VIEW update_tier.status AS
SELECT r.package,
       r.version,
       r.present AS phase,
       r.canary_succeeded,
       r.canary_failed,
       COALESCE(l.canary, 0) AS canary_in_flight,
       r.production_succeeded,
       r.production_failed,
       COALESCE(l.production, 0) AS production_in_flight,
       CASE WHEN r.present = 'soaking' AND r.soak_ends_at < 'infinity' THEN r.soak_ends_at END AS soak_ends_at,
       CASE r.present
            WHEN 'halted' THEN pg_catalog.format('halted: %s', COALESCE(
                CASE WHEN r.phase = 'halted' THEN r.reason ELSE 'a lease of a last attempt expired' END, 'no reason given'))
            WHEN 'canary' THEN pg_catalog.format('%s of %s canary successes', r.canary_succeeded, r.min_successes)
            WHEN 'soaking' THEN CASE WHEN r.auto_promote THEN 'soaking' ELSE 'waiting for approval' END
            WHEN 'queued' THEN pg_catalog.format('queued behind %s', r.related)
            WHEN 'superseded' THEN pg_catalog.format('superseded by %s', r.related)
       END AS waits_for,
       r.reason,
       r.changed_at
  FROM (SELECT *, update_tier.phase_at(phase, require_canary AND canary_succeeded < min_successes,
                                       turn_at, soak_ends_at, superseded_at, halts_at, now()) AS present
          FROM update_tier.rollout) AS r
  LEFT JOIN (SELECT rollout,
                    count(*) FILTER (WHERE tier = 'canary') AS canary,
                    count(*) FILTER (WHERE tier = 'production') AS production
               FROM update_tier.execution
              WHERE state = 'claimed' AND lease_until > now()
              GROUP BY rollout) AS l ON l.rollout = r.id
 ORDER BY pg_catalog.array_position(ARRAY['halted', 'soaking', 'canary', 'queued', 'promoted', 'aborted', 'superseded'], r.present),
          r.changed_at DESC, r.package, r.version;
COMMENT ON VIEW update_tier.status IS
'A row for each rollout, what needs attention first: its phase, counts per tier, when its soak ends, what it waits for, and the reason given with the last verb.';


--
-- Attach "workspaces", where there is one beside us
--

CREATE FUNCTION update_tier.attach_at_install(workspaces regclass) RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_attach_at_install'
LANGUAGE C;
SELECT update_tier.attach_at_install(pg_catalog.to_regclass('@extschema@.workspaces'));
DROP FUNCTION update_tier.attach_at_install(regclass);
