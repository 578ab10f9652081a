/* update_tier--1.0.sql */

-- complain if script is sourced in psql, rather than via CREATE EXTENSION
\echo Use "CREATE EXTENSION update_tier" to load this file. \quit

-- A fixed schema for tables, views and most functions.  The domain and the
-- functions that list workspaces or read and set a tier are created in the
-- extension's schema.
CREATE SCHEMA update_tier;
COMMENT ON SCHEMA update_tier IS
'Functions, views and tables of the extension update_tier: the attached table, rollouts, settings and events. Functions that use the tables raise 55000 on a Citus worker. Under REPEATABLE READ and SERIALIZABLE, functions that change a package raise 40001 if the package has changed since the transaction began. A package or version is invalid (22023) if it is empty or longer than 1024 bytes; package ''*'' is invalid except for settings and freezes.';
GRANT USAGE ON SCHEMA update_tier TO PUBLIC;


--
-- The tier
--

CREATE FUNCTION update_tier.is_valid(value text) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_is_valid'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE LEAKPROOF;
COMMENT ON FUNCTION update_tier.is_valid(text) IS
'Whether a text is an update tier: canary or production, in lower case. NULL for NULL. Never raises an error.';

-- "C" collation: the sort order is the rollout order, everywhere.
CREATE DOMAIN @extschema@.update_tier AS text COLLATE "C"
    CONSTRAINT canary_or_production CHECK (update_tier.is_valid(VALUE));
COMMENT ON DOMAIN @extschema@.update_tier IS
'When a workspace gets updates: canary (first) or production (after canaries have run them without trouble for a while). Sorts in rollout order. Another value is error 23514.';

CREATE FUNCTION update_tier.tiers() RETURNS SETOF @extschema@.update_tier
AS 'MODULE_PATHNAME', 'update_tier_tiers'
LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 2;
COMMENT ON FUNCTION update_tier.tiers() IS
'Every update tier, one in each row, in rollout order: canary, production.';


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
'The attached table of this database: one row, or none. Written by update_tier.attach and update_tier.detach.';
COMMENT ON COLUMN update_tier.attached.workspaces IS 'The attached table.';
COMMENT ON COLUMN update_tier.attached.live_when IS
'The condition that a row must meet to be a live workspace, in canonical form. NULL: every row is live.';
GRANT SELECT ON update_tier.attached TO PUBLIC;

-- If the table was dropped, the row contains only its OID.  In the database
-- into which the dump is restored, this OID could belong to another table.
SELECT pg_catalog.pg_extension_config_dump('update_tier.attached',
    'WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) workspaces)');

CREATE FUNCTION update_tier.attached_changed() RETURNS trigger
AS 'MODULE_PATHNAME', 'update_tier_attached_changed'
LANGUAGE C;
COMMENT ON FUNCTION update_tier.attached_changed() IS
'Trigger on update_tier.attached: every session looks up again which table is attached. Errors: 39P01 not called as a trigger.';
REVOKE EXECUTE ON FUNCTION update_tier.attached_changed() FROM PUBLIC;

CREATE TRIGGER attached_changed
    AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON update_tier.attached
    FOR EACH STATEMENT EXECUTE FUNCTION update_tier.attached_changed();

CREATE FUNCTION update_tier.attached_replaced() RETURNS trigger
AS 'MODULE_PATHNAME', 'update_tier_attached_replaced'
LANGUAGE C;
COMMENT ON FUNCTION update_tier.attached_replaced() IS
'Trigger on update_tier.attached: a new row replaces the current one, so that data can be restored while a table is attached. Errors: 39P01 not called as a trigger.';
REVOKE EXECUTE ON FUNCTION update_tier.attached_replaced() FROM PUBLIC;

CREATE TRIGGER attached_replaced
    BEFORE INSERT ON update_tier.attached
    FOR EACH ROW EXECUTE FUNCTION update_tier.attached_replaced();

-- They also fire if session_replication_role is replica.
ALTER TABLE update_tier.attached ENABLE ALWAYS TRIGGER attached_changed;
ALTER TABLE update_tier.attached ENABLE ALWAYS TRIGGER attached_replaced;

-- PUBLIC may execute it: it checks that the caller owns the table.
CREATE FUNCTION update_tier.attach(
    workspaces   regclass,
    live_when    text    DEFAULT NULL,
    create_index boolean DEFAULT true,
    audit        boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_attach'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.attach(regclass, text, boolean, boolean) IS
'Makes a table the workspaces table of this database. workspaces: a table with a unique column id uuid NOT NULL. The table gets a column update_tier (NOT NULL, DEFAULT ''production''; an existing one is converted, and its NULLs become production), a partial index of the canaries, and a trigger that records changes of a tier in update_tier.tier_change. live_when: the condition that live workspaces meet; NULL: every row is live. create_index: false if you build the index yourself. audit: false for no trigger, as it must be for a table that Citus distributes. Idempotent: changes only what differs, live_when included. If the table that was attached before no longer exists, live_when NULL keeps its condition. Locks: readers and writers wait until the transaction ends if the column is added or changed, an index is dropped (as with another live_when), or the trigger is dropped; otherwise writers wait if the index is built or the trigger is created. A new column and its index take a moment. Checking values, setting NULLs, and building the index for an existing column each read the table; converting an enum rewrites it. A call that finds nothing to change makes no other session wait. For the table''s owner; other code that the owner has put on the table runs as the owner. Errors: 55000 another table is attached, or rows from before Citus distributed the table are still on disk, 42501 not the owner of the table, or a child has another owner, 23514 the column contains invalid tiers, 42809 not an ordinary or partitioned table, 42P01 the table was dropped, 42703 no column id, 42804 wrong type of id or update_tier, 42P16 id can be NULL or is not unique, 42601 live_when is not one condition, 0A000 live_when is not allowed, an index or CHECK prevents the conversion of the column, or Citus distributes the table and audit is true or the owner cannot read all rows of its shards, 42P07 the name of the index is taken, 55006 a query of the session is using the table, 55P03 an index is being built concurrently, 22004 workspaces, create_index or audit NULL.';

CREATE FUNCTION update_tier.detach() RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_detach'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.detach() IS
'Turns the attached table back to plain SQL (text column with CHECK, NOT NULL, default and index), every tier kept, so that DROP EXTENSION needs no CASCADE. Rollouts are kept, too. Readers and writers of the table wait until the transaction ends; the call reads the table twice. NOTICE when no table is attached. For the table''s owner; if the table no longer exists, for the owner of the extension. Errors: 42501 not the owner, 55000 Citus has made the table a shard of another table.';


--
-- Reading and changing tiers
--

CREATE FUNCTION update_tier.list_support(internal) RETURNS internal
AS 'MODULE_PATHNAME', 'update_tier_list_support'
LANGUAGE C STRICT;
COMMENT ON FUNCTION update_tier.list_support(internal) IS
'Planner support: estimates how many rows the functions return that list workspaces.';

CREATE FUNCTION @extschema@.canary_workspaces() RETURNS SETOF uuid
AS 'MODULE_PATHNAME', 'update_tier_canary_workspaces'
LANGUAGE C STABLE PARALLEL SAFE COST 100
SUPPORT update_tier.list_support;
COMMENT ON FUNCTION @extschema@.canary_workspaces() IS
'The ids of the live workspaces of tier canary, ordered by id. Reads the table with the caller''s rights. Errors: 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION @extschema@.production_workspaces() RETURNS SETOF uuid
AS 'MODULE_PATHNAME', 'update_tier_production_workspaces'
LANGUAGE C STABLE PARALLEL SAFE COST 100
SUPPORT update_tier.list_support;
COMMENT ON FUNCTION @extschema@.production_workspaces() IS
'The ids of the live workspaces of tier production, ordered by id. Reads the table with the caller''s rights. Errors: 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION @extschema@.workspaces_in_tier(
    tier     text,
    after    uuid   DEFAULT NULL,
    max_rows bigint DEFAULT NULL)
RETURNS SETOF uuid
AS 'MODULE_PATHNAME', 'update_tier_workspaces_in_tier'
LANGUAGE C STABLE PARALLEL SAFE COST 100
SUPPORT update_tier.list_support;
COMMENT ON FUNCTION @extschema@.workspaces_in_tier(text, uuid, bigint) IS
'The ids of the live workspaces of a tier, ordered by id. after: only ids greater than this one, as for the next page; NULL: from the first. max_rows: at most this many; NULL: all. Reads the table with the caller''s rights. Errors: 23514 invalid tier, or NULL, 22023 negative max_rows, 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION @extschema@.workspace_tier(workspace uuid) RETURNS @extschema@.update_tier
AS 'MODULE_PATHNAME', 'update_tier_workspace_tier'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION @extschema@.workspace_tier(uuid) IS
'The tier of a workspace, live or not. NULL for an unknown workspace and for NULL. Reads the table with the caller''s rights. Errors: 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION @extschema@.set_update_tier(
    workspace uuid,
    tier      text,
    expected  text DEFAULT NULL)
RETURNS @extschema@.update_tier
AS 'MODULE_PATHNAME', 'update_tier_set_update_tier'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION @extschema@.set_update_tier(uuid, text, text) IS
'Gives a workspace a tier, and returns the tier that it had. Writes nothing if the workspace has the tier already. expected: an error unless the current tier is this one; NULL: whatever it is. Writes with the caller''s rights. NOTICE when no live canary is left. Errors: 23514 invalid tier, or NULL, 22004 workspace NULL, P0002 unknown workspace, 55000 the current tier is not the expected one, a trigger or rule kept the old tier, no table is attached, or the attached table has changed, 42501 a row-level security policy lets the caller see the row but not update it.';

-- Changes of tiers.  A trigger on the attached table writes the rows.
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
'Changes of a workspace''s tier: when (at), by which role (actor), from which tier to which, and by which statement (path). Not recorded: inserted and deleted workspaces, changes that replication applies, an UPDATE that moves the row to another partition, and changes by UPDATE while audit is false. Rows are only added.';
ALTER SEQUENCE update_tier.tier_change_id OWNED BY update_tier.tier_change.id;
SELECT pg_catalog.pg_extension_config_dump('update_tier.tier_change', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.tier_change_id', '');

-- The condition of the trigger.  It takes whole rows: if it named the column,
-- DROP COLUMN without CASCADE and ALTER COLUMN TYPE would fail.
CREATE FUNCTION update_tier.tier_changes(old_row record, new_row record) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_tier_changes'
LANGUAGE C STABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.tier_changes(record, record) IS
'The condition of the trigger on the attached table: whether the column update_tier differs between old_row and new_row. False for rows that do not have the column.';

-- PUBLIC may execute it: the owner of the attached table creates the trigger.
-- On another table it records nothing.
CREATE FUNCTION update_tier.record_tier() RETURNS trigger
AS 'MODULE_PATHNAME', 'update_tier_record_tier'
LANGUAGE C;
COMMENT ON FUNCTION update_tier.record_tier() IS
'Trigger on the attached table: adds a row to update_tier.tier_change. On another table it does nothing. Errors: 39P01 not called as a row trigger for UPDATE.';


CREATE FUNCTION update_tier.counts(OUT tier @extschema@.update_tier, OUT workspaces bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_counts'
LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 2;
COMMENT ON FUNCTION update_tier.counts() IS
'How many live workspaces each tier has: one row for each tier, in rollout order, also for a tier without workspaces. Reads the table with the caller''s rights. Errors: 55000 no table is attached, or the attached table has changed.';


--
-- Rollouts: state
--
-- Constraints enforce the invariants of a single row and of uniqueness.  The C
-- code enforces the others.  infinity means never, or not yet.
--
-- A rule about one column is a constraint of its domain.  The server parses the
-- CHECKs of a table for every statement that writes a row, but the CHECKs of a
-- domain only when the column is assigned.
--

CREATE DOMAIN update_tier.label AS text COLLATE "C"
    CONSTRAINT one_to_1024_bytes CHECK (octet_length(VALUE) BETWEEN 1 AND 1024);
COMMENT ON DOMAIN update_tier.label IS 'The name of a package or of a version: 1 to 1024 bytes.';

CREATE DOMAIN update_tier.tally AS integer CONSTRAINT not_negative CHECK (VALUE >= 0);
COMMENT ON DOMAIN update_tier.tally IS 'A number of workspaces, leases or attempts: at least 0.';

CREATE DOMAIN update_tier.limit AS integer CONSTRAINT positive CHECK (VALUE > 0);
COMMENT ON DOMAIN update_tier.limit IS 'A number that must be at least 1.';

CREATE DOMAIN update_tier.percent AS integer CONSTRAINT zero_to_100 CHECK (VALUE BETWEEN 0 AND 100);
COMMENT ON DOMAIN update_tier.percent IS 'A percentage: 0 to 100.';

CREATE DOMAIN update_tier.span AS interval CONSTRAINT not_negative CHECK (VALUE >= '0');
COMMENT ON DOMAIN update_tier.span IS 'A length of time: at least 0.';

CREATE DOMAIN update_tier.duration AS interval CONSTRAINT positive CHECK (VALUE > '0');
COMMENT ON DOMAIN update_tier.duration IS 'A length of time that must be greater than 0.';

CREATE DOMAIN update_tier.phase AS text
    CONSTRAINT known_phase CHECK (VALUE IN
        ('queued', 'canary', 'soaking', 'promoted', 'halted', 'aborted', 'superseded'));
COMMENT ON DOMAIN update_tier.phase IS 'The phase of a rollout.';

CREATE DOMAIN update_tier.state AS text
    CONSTRAINT known_state CHECK (VALUE IN ('claimed', 'succeeded', 'skipped', 'error', 'failed', 'expired'));
COMMENT ON DOMAIN update_tier.state IS 'The state of an attempt: claimed, then the outcome that was reported, or expired if the lease ended without a report.';

CREATE DOMAIN update_tier.evidence AS text
    CONSTRAINT known_evidence CHECK (VALUE IN ('succeeded', 'failed'));
COMMENT ON DOMAIN update_tier.evidence IS 'What a workspace says about a version: succeeded or failed. NULL: nothing.';

CREATE SEQUENCE update_tier.package_id;
CREATE SEQUENCE update_tier.rollout_id;
CREATE SEQUENCE update_tier.rollout_ordinal;
CREATE SEQUENCE update_tier.installation_token;
CREATE SEQUENCE update_tier.event_id;

-- fillfactor: each claim and each report updates a row.  With enough free space
-- the new version of the row fits into the same page.
CREATE TABLE update_tier.package (
    id                  bigint NOT NULL PRIMARY KEY DEFAULT pg_catalog.nextval('update_tier.package_id'),
    name                update_tier.label NOT NULL CONSTRAINT package_name UNIQUE,
    soak                update_tier.span,
    ramp                update_tier.span,
    min_successes       update_tier.limit,
    max_failures        update_tier.tally,
    max_failure_percent update_tier.percent,
    max_in_flight       update_tier.limit,
    max_attempts        update_tier.limit,
    retry_delay         update_tier.span,
    lease               update_tier.duration,
    auto_promote        boolean,
    require_canary      boolean,
    frozen_until        timestamptz NOT NULL DEFAULT '-infinity',
    freeze_reason       text,
    stamp               timestamptz NOT NULL,
    in_flight           update_tier.tally NOT NULL DEFAULT 0,
    first_expiry        timestamptz NOT NULL DEFAULT 'infinity',
    canary_position     uuid,
    production_position uuid,
    rollback_position   uuid,
    quiet_from          uuid,
    swept_at            timestamptz
) WITH (fillfactor = 10);
COMMENT ON TABLE update_tier.package IS
'One row for each package: its settings, its freeze, and the values that all its versions share. Package ''*'': the settings and the freeze of all packages. Written by the functions of update_tier.';
COMMENT ON COLUMN update_tier.package.soak IS
'The columns from soak to require_canary are settings. A rollout copies them when it starts. NULL: the setting of package ''*''; for ''*'' itself, the default.';
COMMENT ON COLUMN update_tier.package.frozen_until IS 'Every gate of the package is closed until this moment. infinity: until update_tier.thaw. -infinity: not frozen.';
COMMENT ON COLUMN update_tier.package.stamp IS 'The latest moment at which something happened to the package. It never decreases.';
COMMENT ON COLUMN update_tier.package.in_flight IS 'Leases that are neither reported nor known to have expired, all versions together; also those whose reports are in update_tier.uncounted.';
COMMENT ON COLUMN update_tier.package.first_expiry IS 'No lease of the package expires before this moment.';
COMMENT ON COLUMN update_tier.package.canary_position IS
'In this column and in those after it, update_tier.claim_batch without a version keeps where its search continues.';
COMMENT ON COLUMN update_tier.package.quiet_from IS
'Since the search was at this workspace, it has found no workspace that was due. NULL: it has found one, or it is at the first workspace.';
COMMENT ON COLUMN update_tier.package.swept_at IS
'When a search last looked through the whole fleet and found no workspace that was due.';

CREATE TABLE update_tier.rollout (
    id                      bigint NOT NULL PRIMARY KEY DEFAULT pg_catalog.nextval('update_tier.rollout_id'),
    package                 update_tier.label NOT NULL,
    version                 update_tier.label NOT NULL,
    ordinal                 bigint NOT NULL CONSTRAINT one_newest UNIQUE,
    run                     update_tier.limit NOT NULL,
    resumed                 update_tier.tally NOT NULL,
    phase                   update_tier.phase NOT NULL,
    soaks_from              timestamptz NOT NULL,
    promoted_at             timestamptz NOT NULL,
    progress_at             timestamptz NOT NULL,
    canary_succeeded        update_tier.tally NOT NULL,
    canary_failed           update_tier.tally NOT NULL,
    canary_acknowledged     update_tier.tally NOT NULL,
    canary_moved_on         update_tier.tally NOT NULL,
    production_succeeded    update_tier.tally NOT NULL,
    production_failed       update_tier.tally NOT NULL,
    production_acknowledged update_tier.tally NOT NULL,
    production_moved_on     update_tier.tally NOT NULL,
    soak                    update_tier.span NOT NULL,
    ramp                    update_tier.span NOT NULL,
    min_successes           update_tier.limit NOT NULL,
    max_failures            update_tier.tally NOT NULL,
    max_failure_percent     update_tier.percent NOT NULL,
    max_in_flight           update_tier.limit NOT NULL,
    max_attempts            update_tier.limit NOT NULL,
    retry_delay             update_tier.span NOT NULL,
    lease                   update_tier.duration NOT NULL,
    auto_promote            boolean NOT NULL,
    require_canary          boolean NOT NULL,
    reason                  text,
    changed_at              timestamptz NOT NULL,
    canary_position         uuid,
    production_position     uuid,
    rollback_position       uuid,
    quiet_from              uuid,
    swept_at                timestamptz,
    CONSTRAINT package_version UNIQUE (package, version)
) WITH (fillfactor = 10);
CREATE UNIQUE INDEX rollout_one_runs ON update_tier.rollout (package)
    WHERE phase IN ('canary', 'soaking');
CREATE UNIQUE INDEX rollout_one_queued ON update_tier.rollout (package)
    WHERE phase = 'queued';
CREATE INDEX rollout_on_its_way ON update_tier.rollout (package)
    WHERE phase IN ('queued', 'canary', 'soaking');
CREATE INDEX rollout_promoted ON update_tier.rollout (package, ordinal)
    WHERE phase = 'promoted';
CREATE INDEX rollout_ended ON update_tier.rollout (package, ordinal)
    WHERE phase IN ('aborted', 'superseded');
COMMENT ON TABLE update_tier.rollout IS
'One row for each version of a package. Read update_tier.status instead: the column phase is the phase that was stored last, and time and newer versions can have changed the phase since then.';
COMMENT ON COLUMN update_tier.rollout.ordinal IS 'The newest version of a package has the highest ordinal. update_tier.retry gives a version a new ordinal.';
COMMENT ON COLUMN update_tier.rollout.run IS 'How often the version was started: by update_tier.start, and by each update_tier.retry.';
COMMENT ON COLUMN update_tier.rollout.resumed IS 'How often the version was resumed in this run.';
COMMENT ON COLUMN update_tier.rollout.soaks_from IS 'When the soak began. infinity: it has not begun.';
COMMENT ON COLUMN update_tier.rollout.canary_succeeded IS 'The number of canaries that succeeded in this run, and whose latest attempt is of this version.';
COMMENT ON COLUMN update_tier.rollout.canary_failed IS 'The number of canaries that failed in this run, also if they have another version now.';
COMMENT ON COLUMN update_tier.rollout.canary_acknowledged IS 'How many of canary_failed update_tier.resume has acknowledged.';
COMMENT ON COLUMN update_tier.rollout.canary_moved_on IS 'The number of canaries that succeeded in this run and have another version now, or were forgotten. They count as outcomes for max_failure_percent.';
COMMENT ON COLUMN update_tier.rollout.progress_at IS 'When a canary succeeded last, in this run.';

-- "package_id" and "rollout" have no foreign keys: a restore in parallel jobs
-- fills the tables of an extension in any order, and foreign keys would fail.
CREATE TABLE update_tier.installation (
    package_id        bigint NOT NULL,
    workspace         uuid NOT NULL,
    rollout           bigint,
    run               integer NOT NULL,
    ordinal           bigint NOT NULL,
    attempt           update_tier.tally NOT NULL,
    token             bigint CONSTRAINT one_token UNIQUE,
    state             update_tier.state NOT NULL,
    tier              text NOT NULL,
    lease_until       timestamptz NOT NULL,
    retry_at          timestamptz NOT NULL,
    evidence          update_tier.evidence,
    evidence_tier     text,
    resumed           update_tier.tally NOT NULL,
    runs              bigint,
    runs_ordinal      bigint NOT NULL,
    runs_well         boolean NOT NULL,
    runs_version      update_tier.label,
    runs_since        timestamptz,
    changed_at        timestamptz NOT NULL,
    installed_version text,
    detail            text,
    PRIMARY KEY (package_id, workspace)
) WITH (fillfactor = 80);
CREATE INDEX installation_leased ON update_tier.installation (package_id, lease_until)
    WHERE state = 'claimed';
CREATE INDEX installation_rollout ON update_tier.installation (rollout, workspace);
CREATE INDEX installation_runs ON update_tier.installation (runs, workspace)
    WHERE runs IS NOT NULL;
CREATE INDEX installation_runs_version ON update_tier.installation (package_id, runs_version)
    WHERE runs_version IS NOT NULL;
COMMENT ON TABLE update_tier.installation IS
'One row for each package and workspace: the latest attempt, and the version that the workspace runs. Read update_tier.installed instead.';
COMMENT ON COLUMN update_tier.installation.rollout IS
'The rollout of the latest attempt, or the rollout that the workspace was observed to run. NULL: the workspace was observed to run a version that was not started.';
COMMENT ON COLUMN update_tier.installation.run IS 'The run of the rollout that the attempt belongs to.';
COMMENT ON COLUMN update_tier.installation.ordinal IS 'The ordinal of the rollout when it was handed out.';
COMMENT ON COLUMN update_tier.installation.attempt IS 'The number of the attempt in this run. 0: the version was observed without an attempt.';
COMMENT ON COLUMN update_tier.installation.tier IS 'The tier that the workspace had when it was claimed.';
COMMENT ON COLUMN update_tier.installation.retry_at IS 'The workspace is not due before this moment.';
COMMENT ON COLUMN update_tier.installation.runs IS 'The rollout of the version that the workspace runs. NULL: see runs_version.';
COMMENT ON COLUMN update_tier.installation.runs_well IS 'False: the version that the workspace runs was reported or observed to be bad.';
COMMENT ON COLUMN update_tier.installation.runs_version IS 'The version that the workspace runs, if that version was not started. NULL: see runs; if that is NULL as well, the version is unknown.';

-- Reports do not wait for one another: a report that cannot change a decision
-- writes only its own installation and a row here.  The next transaction that
-- locks the package counts the report and deletes the row.
CREATE TABLE update_tier.uncounted (
    package_id bigint NOT NULL,
    rollout    bigint NOT NULL,
    run        integer NOT NULL,
    tier       text NOT NULL,
    succeeded  boolean NOT NULL,
    came_back  boolean NOT NULL,
    at         timestamptz NOT NULL
);
CREATE INDEX uncounted_package ON update_tier.uncounted (package_id);
-- The table has no key.  If it is published, the server needs this for DELETE.
ALTER TABLE update_tier.uncounted REPLICA IDENTITY FULL;
COMMENT ON TABLE update_tier.uncounted IS
'One row for each report that is not counted yet in update_tier.rollout and update_tier.package. Gates and views count it, too. The next transaction that locks the package counts it there, and deletes the row.';

-- Rules about several columns of a row.  They are one short function call: the
-- executor reads the stored form of a table's CHECKs for every statement that
-- writes to the table.  With longer CHECKs this took four times as long as the
-- rest of the statement.
CREATE FUNCTION update_tier.is_consistent(rollout update_tier.rollout) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_rollout_is_consistent'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.is_consistent(update_tier.rollout) IS
'The CHECK of the table update_tier.rollout: whether the columns of a row agree. Not more failures are acknowledged than were counted; an open rollout has not more failures than its policy tolerates; a rollout that soaks has a beginning of its soak; a promoted rollout has a moment of its promotion.';
ALTER TABLE update_tier.rollout ADD CONSTRAINT consistent CHECK (update_tier.is_consistent(rollout));

CREATE FUNCTION update_tier.is_consistent(installation update_tier.installation) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_installation_is_consistent'
LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE;
COMMENT ON FUNCTION update_tier.is_consistent(update_tier.installation) IS
'The CHECK of the table update_tier.installation: whether the columns of a row agree. Tiers are valid; evidence has a tier and a rollout; a claimed attempt has a token. Errors: 23514 invalid tier.';
ALTER TABLE update_tier.installation ADD CONSTRAINT consistent CHECK (update_tier.is_consistent(installation));

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
'What happened to packages, rollouts and installations: when (at), by which role (actor), what (kind), and why (detail). Rows are only added, and deleted by update_tier.prune.';

ALTER SEQUENCE update_tier.package_id OWNED BY update_tier.package.id;
ALTER SEQUENCE update_tier.rollout_id OWNED BY update_tier.rollout.id;
ALTER SEQUENCE update_tier.rollout_ordinal OWNED BY update_tier.rollout.ordinal;
ALTER SEQUENCE update_tier.installation_token OWNED BY update_tier.installation.token;
ALTER SEQUENCE update_tier.event_id OWNED BY update_tier.event.id;

SELECT pg_catalog.pg_extension_config_dump('update_tier.package', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.rollout', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.installation', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.uncounted', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.event', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.package_id', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.rollout_id', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.rollout_ordinal', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.installation_token', '');
SELECT pg_catalog.pg_extension_config_dump('update_tier.event_id', '');


--
-- Rollouts: functions
--
-- PUBLIC may not execute them, except rollouts_now(): it checks that the caller
-- may read the view status.  Functions that need the attached table read it as
-- its owner.
--

CREATE FUNCTION update_tier.set_policy(
    package             text     DEFAULT '*',
    soak                interval DEFAULT NULL,
    ramp                interval DEFAULT NULL,
    min_successes       integer  DEFAULT NULL,
    max_failures        integer  DEFAULT NULL,
    max_failure_percent integer  DEFAULT NULL,
    max_in_flight       integer  DEFAULT NULL,
    max_attempts        integer  DEFAULT NULL,
    retry_delay         interval DEFAULT NULL,
    lease               interval DEFAULT NULL,
    auto_promote        boolean  DEFAULT NULL,
    require_canary      boolean  DEFAULT NULL,
    apply_to_running    boolean  DEFAULT false)
RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_set_policy'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.set_policy IS
'Changes the settings of a package. package: its name; ''*'': for all packages that do not have the setting themselves. A setting that is NULL or left out stays as it is. soak, ramp and retry_delay are at least 0, lease is greater than 0; a day is 24 hours, a month 30 days. min_successes, max_in_flight and max_attempts are at least 1, max_failures is at least 0, max_failure_percent is 0 to 100. A rollout copies the settings when it starts; apply_to_running true also changes the rollouts that are neither aborted nor superseded. Errors: 22023 value out of range, or invalid package, 22004 package or apply_to_running NULL.';

CREATE FUNCTION update_tier.reset_policy(package text, VARIADIC settings text[]) RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_reset_policy'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.reset_policy IS
'Takes settings of a package, given by name, back to those of package ''*'', and settings of ''*'' back to the defaults. Changes no rollout. Errors: 22023 unknown setting, or invalid package, 22004 NULL.';

CREATE FUNCTION update_tier.freeze(
    package text        DEFAULT '*',
    until   timestamptz DEFAULT 'infinity',
    reason  text        DEFAULT NULL)
RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_freeze'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.freeze IS
'Closes every gate of a package, or of all packages (''*''). until: the moment at which the freeze ends; infinity: when update_tier.thaw is called. reason: update_tier.explain and update_tier.status show it. Phases, clocks, leases and reports go on. Replaces an earlier freeze of the same package. Errors: 22023 until is not in the future, reason longer than 1024 bytes, or invalid package, 22004 package or until NULL.';

CREATE FUNCTION update_tier.thaw(package text DEFAULT '*') RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_thaw'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.thaw IS
'Ends the freeze of a package, or the freeze of all packages (''*''). NOTICE when another freeze goes on. Errors: 22023 invalid package, 22004 NULL.';

CREATE FUNCTION update_tier.start(package text, version text) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_start'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.start IS
'Registers a version of a package, and returns its phase. A version that is known already is left as it is. Errors: 22023 invalid package or version, 22004 NULL.';

CREATE FUNCTION update_tier.is_open(package text, version text, tier text) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_is_open'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.is_open IS
'Whether a version is open to all workspaces of a tier now. False during a freeze, for a version that was not started, and for package or version NULL. Errors: 23514 invalid tier, or NULL.';

CREATE FUNCTION update_tier.allows(package text, version text, workspace uuid) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_allows'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.allows IS
'Whether a workspace is due for a version now, the budget apart. False for NULL, for an unknown workspace, and for a version that was not started. Errors: 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.explain(package text, version text, workspace uuid) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_explain'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.explain IS
'One line that explains the result of update_tier.allows, and whether a claim would be granted. Errors: 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.wanted_version(package text, workspace uuid) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_wanted_version'
LANGUAGE C STABLE PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.wanted_version IS
'The version that a workspace should run now. During a freeze: the version that it runs. The same while the version that it was handed is halted, or is closed to it without a rollback, and no newer one is open to it; but no aborted version. NULL: no version, or the workspace is unknown or not live. Errors: 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.promoted_version(package text) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_promoted_version'
LANGUAGE C STABLE STRICT PARALLEL SAFE COST 100;
COMMENT ON FUNCTION update_tier.promoted_version IS
'The version that production, and every new workspace, should have: the newest version that was promoted and is neither halted nor aborted. NULL: no version.';

CREATE FUNCTION update_tier.claim(package text, version text, workspace uuid) RETURNS bigint
AS 'MODULE_PATHNAME', 'update_tier_claim'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.claim IS
'Leases a workspace for one attempt at a version. Returns a token for update_tier.report, or NULL if update_tier.allows is false or the budget is spent. Errors: P0002 the version was not started, 22023 invalid package or version, 22004 package or version NULL, 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.claim_batch(
    package        text,
    version        text    DEFAULT NULL,
    max_claims     integer DEFAULT 25,
    candidates     uuid[]  DEFAULT NULL,
    OUT workspace  uuid,
    OUT version    text,
    OUT tier       @extschema@.update_tier,
    OUT attempt    integer,
    OUT token      bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_claim_batch'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100 ROWS 25;
COMMENT ON FUNCTION update_tier.claim_batch IS
'Leases the next workspaces that are due, at most max_claims: canaries first, then rollbacks, then production. version NULL: each workspace with its wanted version. candidates: only these workspaces, in this order. Returns one row for each claim; attempt is its number in this run of the version, token is for update_tier.report. No row means that no workspace is due or the budget is spent, in fleets of up to 100,000 workspaces; in larger ones see update_tier.status.swept_at. Errors: P0002 the version was not started, 22023 negative max_claims, a candidate given twice, invalid package or version, 22004 package, max_claims or a candidate NULL, 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.force(package text, version text, workspace uuid, reason text) RETURNS bigint
AS 'MODULE_PATHNAME', 'update_tier_force'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.force IS
'Leases one live workspace for an attempt at a version, whatever the gates, a freeze and the budget say. Returns the token; its report counts as any other. reason: kept in update_tier.event. Errors: P0002 the version was not started, or the workspace is unknown or not live, 55000 the workspace holds a live lease, no table is attached, or the attached table has changed, 22023 reason empty or longer than 1024 bytes, invalid package or version, 22004 NULL.';

CREATE FUNCTION update_tier.report(
    token             bigint,
    outcome           text,
    installed_version text DEFAULT NULL,
    detail            text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_report'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.report IS
'Reports the outcome of the attempt that a token names: succeeded (applied and running), failed (applied and bad), error (unknown) or skipped (nothing was applied). With an installed_version other than the rollout''s, succeeded and failed become error. detail: cut after 1024 bytes. Returns the phase of the rollout; NULL if it was deleted. The same report again changes nothing. A report for an attempt that was replaced is recorded with a WARNING and not counted. Errors: P0002 unknown token, 22023 unknown outcome, 22004 token or outcome NULL, 55000 the outcome is not worse than the one that was reported before.';

CREATE FUNCTION update_tier.extend(token bigint, by interval DEFAULT NULL) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'update_tier_extend'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.extend IS
'Adds an interval to the end of a live lease, and returns the new end. by NULL: the end is one lease from now. Never makes a lease shorter. Errors: P0002 unknown token, 55000 the lease has ended, 22023 by is not greater than 0, 22004 token NULL.';

CREATE FUNCTION update_tier.observe(
    package   text,
    version   text,
    workspace uuid,
    outcome   text DEFAULT 'succeeded',
    detail    text DEFAULT NULL)
RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_observe'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.observe IS
'A report without a claim: a workspace was seen to run a version, well (succeeded) or not (failed). Ends a live lease of that version. Evidence, if the version was started and the workspace holds no lease of another version: a failure is then only recorded, with a WARNING. Returns the phase; NULL for a version that was not started. Errors: P0002 unknown workspace, 22023 unknown outcome, invalid package or version, 22004 package, version, workspace or outcome NULL, 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.forget(package text, workspace uuid, reason text) RETURNS boolean
AS 'MODULE_PATHNAME', 'update_tier_forget'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.forget IS
'Deletes the installation of a workspace, for example after the workspace was restored from a backup. The workspace is then due as if it were new. reason: kept in update_tier.event. False: the workspace had no installation of the package. Failures stay counted. Errors: 55000 the workspace holds a live lease, 22023 reason empty or longer than 1024 bytes, invalid package, 22004 NULL.';

CREATE FUNCTION update_tier.promote(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_promote'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.promote IS
'Opens a version to production. Ends a soak; in phase canary or queued it skips the canaries, and needs a reason. A ramp begins then, if the policy has one. In phase promoted it ends the ramp. Older versions in canary, soaking or queued are superseded. Changes nothing if the version is promoted and its ramp is over. Returns the phase. Errors: P0002 the version was not started, 22023 no reason in phase canary or queued, reason longer than 1024 bytes, invalid package or version, 22004 package or version NULL, 55000 the phase is halted, aborted or superseded.';

CREATE FUNCTION update_tier.halt(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_halt'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.halt IS
'Closes a version to all workspaces until update_tier.resume, update_tier.retry or update_tier.abort. Changes nothing if the version is halted. Returns the phase. Errors: P0002 the version was not started, 22023 reason longer than 1024 bytes, or invalid package or version, 22004 package or version NULL, 55000 the phase is aborted or superseded.';

CREATE FUNCTION update_tier.resume(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_resume'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.resume IS
'Lets a halted version go on: acknowledges the failures so far, gives the workspaces that failed their attempts back, and restarts the soak, or the phase canary if canary successes are missing. Never promotes. Changes nothing if the version is queued, in canary, soaking or promoted. Returns the phase. Errors: P0002 the version was not started, 22023 reason longer than 1024 bytes, or invalid package or version, 22004 package or version NULL, 55000 the phase is aborted or superseded, or a newer version has taken its place.';

CREATE FUNCTION update_tier.abort(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_abort'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.abort IS
'Ends a rollout. Workspaces that were handed the version are due for the promoted version. Changes nothing if the version is aborted. Returns the phase. Errors: P0002 the version was not started, 22023 reason longer than 1024 bytes, or invalid package or version, 22004 package or version NULL.';

CREATE FUNCTION update_tier.retry(package text, version text, reason text DEFAULT NULL) RETURNS text
AS 'MODULE_PATHNAME', 'update_tier_retry'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.retry IS
'Starts a halted, aborted or superseded version again as the newest, in a new run with the current settings. Evidence of the run before no longer counts. Returns the phase. Errors: P0002 the version was not started, 22023 reason longer than 1024 bytes, or invalid package or version, 22004 package or version NULL, 55000 the phase is queued, canary, soaking or promoted.';

CREATE FUNCTION update_tier.progress(
    package        text,
    version        text,
    OUT tier       @extschema@.update_tier,
    OUT workspaces bigint,
    OUT succeeded  bigint,
    OUT failed     bigint,
    OUT in_flight  bigint,
    OUT remaining  bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_progress'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 2;
COMMENT ON FUNCTION update_tier.progress IS
'How far a rollout is: one row for each tier. Counts the fleet. workspaces: live workspaces of the tier. remaining: those of them that have not succeeded, hold no lease and have attempts left. succeeded, failed, in_flight: workspaces by the tier that they had when they were claimed. Errors: P0002 the version was not started, 22023 invalid package or version, 22004 NULL, 55000 no table is attached, or the attached table has changed.';

CREATE FUNCTION update_tier.prune(older_than interval) RETURNS bigint
AS 'MODULE_PATHNAME', 'update_tier_prune'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10000;
COMMENT ON FUNCTION update_tier.prune IS
'Deletes what last changed longer ago than older_than: installations of workspaces that are not live, superseded rollouts to which no installation refers, and events. Keeps the promoted version of each package, the version promoted before it, and aborted and halted versions. Returns the number of rollouts that it has deleted. Errors: 22023 older_than is negative, 22004 NULL.';

CREATE FUNCTION update_tier.rollouts_now(
    OUT id                   bigint,
    OUT package              text,
    OUT version              text,
    OUT ordinal              bigint,
    OUT phase                text,
    OUT canary_succeeded     integer,
    OUT canary_failed        integer,
    OUT canary_in_flight     integer,
    OUT production_succeeded integer,
    OUT production_failed    integer,
    OUT production_in_flight integer,
    OUT soak_ends_at         timestamptz,
    OUT ramp_ends_at         timestamptz,
    OUT waits_for            text,
    OUT reason               text,
    OUT swept_at             timestamptz,
    OUT changed_at           timestamptz)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_rollouts_now'
LANGUAGE C STABLE PARALLEL SAFE COST 10000 ROWS 100;
COMMENT ON FUNCTION update_tier.rollouts_now IS
'The rows of the view update_tier.status, unordered. For roles that may read that view. Errors: 42501 no right to read update_tier.status.';

REVOKE EXECUTE ON FUNCTION
    update_tier.set_policy,
    update_tier.reset_policy,
    update_tier.freeze,
    update_tier.thaw,
    update_tier.start,
    update_tier.is_open,
    update_tier.allows,
    update_tier.explain,
    update_tier.wanted_version,
    update_tier.promoted_version,
    update_tier.claim,
    update_tier.claim_batch,
    update_tier.force,
    update_tier.report,
    update_tier.extend,
    update_tier.observe,
    update_tier.forget,
    update_tier.promote,
    update_tier.halt,
    update_tier.resume,
    update_tier.abort,
    update_tier.retry,
    update_tier.progress,
    update_tier.prune
FROM PUBLIC;

-- For operators: rollouts that need attention come first.  Does not count the fleet.
CREATE VIEW update_tier.status AS
SELECT r.package,
       r.version,
       r.phase,
       r.canary_succeeded,
       r.canary_failed,
       r.canary_in_flight,
       r.production_succeeded,
       r.production_failed,
       r.production_in_flight,
       r.soak_ends_at,
       r.ramp_ends_at,
       r.waits_for,
       r.reason,
       r.swept_at,
       r.changed_at
  FROM update_tier.rollouts_now() AS r
 ORDER BY pg_catalog.array_position(ARRAY['halted', 'soaking', 'canary', 'queued', 'promoted', 'aborted', 'superseded'], r.phase),
          r.changed_at DESC, r.package, r.ordinal DESC;
COMMENT ON VIEW update_tier.status IS
'One row for each rollout, the rollouts that need attention first: its phase, counts for each tier, the ends of its soak and ramp, the reason why it waits (waits_for), the reason given with the last verb or of the halt, and when a search last looked through the whole fleet and found no workspace that was due (swept_at).';

-- The version is in rollout.version, or in runs_version if it was not started.  A
-- query with package and version uses an index in each part of the UNION ALL.
CREATE VIEW update_tier.installed AS
SELECT i.package,
       i.workspace,
       i.version,
       i.runs_since AS since,
       a.version AS attempted_version,
       i.attempt,
       CASE WHEN i.attempt = 0 AND i.state = 'succeeded' THEN 'observed'
            WHEN i.state = 'claimed' AND i.lease_until <= pg_catalog.clock_timestamp() THEN 'expired'
            ELSE i.state
       END AS state,
       i.token,
       CASE WHEN i.state = 'claimed' THEN i.lease_until END AS lease_until,
       CASE WHEN i.state NOT IN ('claimed', 'succeeded') THEN i.retry_at END AS retry_at,
       i.changed_at,
       i.detail
  FROM (SELECT p.name AS package, v.version, r.*
          FROM update_tier.installation AS r
          JOIN update_tier.package AS p ON p.id = r.package_id
          LEFT JOIN update_tier.rollout AS v ON v.id = r.runs AND v.package = p.name
         WHERE r.runs IS NOT NULL
        UNION ALL
        SELECT p.name, n.runs_version, n.*
          FROM update_tier.installation AS n
          JOIN update_tier.package AS p ON p.id = n.package_id
         WHERE n.runs IS NULL) AS i
  LEFT JOIN update_tier.rollout AS a ON a.id = i.rollout;
COMMENT ON VIEW update_tier.installed IS
'One row for each package and workspace: the version that the workspace runs as far as is known (NULL: unknown) and since when, and the latest attempt with its state.';


--
-- Attach the table "workspaces" of the extension's schema, if it exists
--

CREATE FUNCTION update_tier.attach_at_install(workspaces regclass) RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_attach_at_install'
LANGUAGE C;
SELECT update_tier.attach_at_install(pg_catalog.to_regclass('@extschema@.workspaces'));
DROP FUNCTION update_tier.attach_at_install(regclass);
