--
-- live_when: only rows that meet the condition are listed and counted, because platforms
-- often mark a workspace as removed and do not delete its row.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set consumer :abs_srcdir '/test/consumer.sql'
\i :consumer
INSERT INTO workspaces (id, name, status)
SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'w' || n,
       CASE WHEN n % 3 = 0 THEN 'removed' ELSE 'online' END::workspace_status
  FROM generate_series(1, 9) AS n;
CREATE EXTENSION update_tier;
UPDATE workspaces SET update_tier = 'canary' WHERE name IN ('w1', 'w2', 'w3');
SELECT * FROM canary_workspaces();

-- A condition on an enum column.
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$);
SELECT * FROM update_tier.attached;
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);
SELECT * FROM canary_workspaces();
SELECT count(*) FROM production_workspaces();
SELECT * FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000005', 2);
SELECT * FROM update_tier.counts();

-- A removed workspace still has a tier, and it can be changed.
SELECT workspace_tier('00000000-0000-0000-0000-000000000003');
SELECT set_update_tier('00000000-0000-0000-0000-000000000006', 'canary');
SELECT * FROM canary_workspaces();

-- A workspace is removed, and another is live again.
UPDATE workspaces SET status = 'removed' WHERE name = 'w1';
UPDATE workspaces SET status = 'online' WHERE name = 'w3';
SELECT * FROM canary_workspaces();

-- The list is an ordered index-only scan of the partial index.
SET enable_seqscan = off; SET enable_bitmapscan = off;
VACUUM workspaces;
EXPLAIN (COSTS OFF)
SELECT id FROM workspaces WHERE update_tier = 'canary' AND status <> 'removed' ORDER BY id;
RESET enable_seqscan; RESET enable_bitmapscan;

-- attach changes the condition, and replaces the index.  attach with the same condition
-- changes nothing.
SELECT update_tier.attach('workspaces', $$status NOT IN ('removed', 'failed') AND kind = 'workspace'$$);
SELECT live_when FROM update_tier.attached;
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);
SELECT relfilenode AS index_before FROM pg_class WHERE relname = 'workspaces_update_tier_canary' \gset
SELECT update_tier.attach('workspaces', $$kind = 'workspace' AND status NOT IN ('removed', 'failed')$$);
SELECT live_when FROM update_tier.attached;
SELECT update_tier.attach('workspaces', $$ kind='workspace'   AND status NOT IN ('removed','failed') -- as it was$$);
SELECT count(*) FROM pg_index WHERE indrelid = 'workspaces'::regclass AND pg_get_indexdef(indexrelid) LIKE '%canary%';

-- attach without a condition: every row counts again.
SELECT update_tier.attach('workspaces');
SELECT * FROM update_tier.counts();
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);

-- With create_index false the old index is dropped.  Then an index of any name, created
-- by hand, is accepted.
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, false);
SELECT to_regclass('workspaces_update_tier_canary');
CREATE INDEX CONCURRENTLY canaries_by_hand ON workspaces (id)
 WHERE update_tier = 'canary' AND status <> 'removed';
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$);
SELECT count(*) FROM pg_index WHERE indrelid = 'workspaces'::regclass AND pg_get_indexdef(indexrelid) LIKE '%canary%';

-- A column of the condition is renamed: calls are an error, also in another session,
-- until attach is called with the new name.
ALTER TABLE workspaces RENAME COLUMN status TO state;
SELECT * FROM canary_workspaces();
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM update_tier.counts();
\echo :LAST_ERROR_SQLSTATE
\c -
SELECT * FROM canary_workspaces();
SELECT workspace_tier('00000000-0000-0000-0000-000000000003');
SELECT update_tier.attach('workspaces', $$state <> 'removed'$$);
SELECT * FROM canary_workspaces();

-- The column is dropped: the same.  The index was dropped with the column.
ALTER TABLE workspaces DROP COLUMN state;
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('workspaces');
SELECT * FROM canary_workspaces();
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);

-- A constant means what it meant in the session that called attach, whatever the time
-- zone, the order of day and month, and the rules for strings and numbers of the reading
-- session.  (From version 19 on a backslash in a string is always a backslash.)
SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'SQL, DMY'; SET extra_float_digits = -10;
\set backslash '\\'
SELECT current_setting('server_version_num')::integer < 190000 AS may_escape \gset
\if :may_escape
SET standard_conforming_strings = off; SET escape_string_warning = off;
\set backslash '\\\\'
\endif
SET IntervalStyle = 'sql_standard';
SELECT format($$created_at > '02/03/2020 01:00' AND name <> 'a%sb'
    AND 0.1::float8 + 0.2::float8 < 1 AND 0.30000000000000004::float8 > 0.1
    AND created_at - updated_at < '-1 2:03:04'::interval$$, :'backslash') AS live_when \gset
SELECT update_tier.attach('workspaces', :'live_when');
SET TimeZone = 'America/New_York'; SET DateStyle = 'German, MDY';
SELECT live_when FROM update_tier.attached;
SELECT * FROM canary_workspaces();
RESET ALL;
SELECT * FROM canary_workspaces();

-- Names and values with quotes, backslashes and dollar signs are kept exactly.
ALTER TABLE workspaces ADD COLUMN "Odd ""column""" text DEFAULT '';
SELECT update_tier.attach('workspaces', $$"Odd ""column""" IS DISTINCT FROM E'it\'s \\ $live $table' AND true$$);
SELECT live_when FROM update_tier.attached;
UPDATE workspaces SET "Odd ""column""" = E'it\'s \\ $live $table' WHERE name = 'w1';
SELECT * FROM canary_workspaces();

SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE plugin_update_queue, workspace_plugins, workspaces;
DROP TYPE workspace_status;
