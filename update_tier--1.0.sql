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
-- Also where a replication role or a restore turns ordinary triggers off.
ALTER TABLE update_tier.attached ENABLE ALWAYS TRIGGER attached_changed;

-- Executable by everybody, as ALTER TABLE and CREATE INDEX are: what decides
-- is who owns the table.
CREATE FUNCTION update_tier.attach(
    workspaces   regclass,
    live_when    text    DEFAULT NULL,
    create_index boolean DEFAULT true)
RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_attach'
LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100;
COMMENT ON FUNCTION update_tier.attach(regclass, text, boolean) IS
'Makes a table the workspaces table: column update_tier (NOT NULL, DEFAULT ''production'') and a partial index of the canaries. live_when: condition that live rows meet. create_index false: you build the index yourself. Idempotent; changes what differs. For the table''s owner. Errors: 55000 another table is attached, 42501 not the owner, 23514 values that are no tier, 42809 not an ordinary or partitioned table, 42703 no column id, 42804 wrong type of id or update_tier, 42P16 id nullable or not unique, 0A000 live_when not allowed, 42P07 name of the index taken.';

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

CREATE FUNCTION update_tier.counts(OUT tier @extschema@.update_tier, OUT workspaces bigint)
RETURNS SETOF record
AS 'MODULE_PATHNAME', 'update_tier_counts'
LANGUAGE C STABLE PARALLEL SAFE COST 100 ROWS 2;
COMMENT ON FUNCTION update_tier.counts() IS
'How many live workspaces each tier has: a row for each tier, in rollout order. Errors: 55000 no table attached.';


--
-- Attach "workspaces", where there is one beside us
--

CREATE FUNCTION update_tier.attach_at_install(workspaces regclass) RETURNS void
AS 'MODULE_PATHNAME', 'update_tier_attach_at_install'
LANGUAGE C;
SELECT update_tier.attach_at_install(pg_catalog.to_regclass('@extschema@.workspaces'));
DROP FUNCTION update_tier.attach_at_install(regclass);
