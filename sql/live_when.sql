--
-- live_when: only live rows count.  Platforms delete softly.
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

-- The consumer's condition, on its enum.
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$);
SELECT * FROM update_tier.attached;
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);
SELECT * FROM canary_workspaces();
SELECT count(*) FROM production_workspaces();
SELECT * FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000005', 2);
SELECT * FROM update_tier.counts();

-- A removed workspace still has a tier, and may be given one.
SELECT workspace_tier('00000000-0000-0000-0000-000000000003');
SELECT set_update_tier('00000000-0000-0000-0000-000000000006', 'canary');
SELECT * FROM canary_workspaces();

-- A workspace is removed, and one comes back.
UPDATE workspaces SET status = 'removed' WHERE name = 'w1';
UPDATE workspaces SET status = 'online' WHERE name = 'w3';
SELECT * FROM canary_workspaces();

-- The list is an ordered index-only scan of the partial index.
SET enable_seqscan = off; SET enable_bitmapscan = off;
VACUUM workspaces;
EXPLAIN (COSTS OFF)
SELECT id FROM workspaces WHERE update_tier = 'canary' AND status <> 'removed' ORDER BY id;
RESET enable_seqscan; RESET enable_bitmapscan;

-- Attach again to change it: the index follows.  The same again: nothing.
SELECT update_tier.attach('workspaces', $$status NOT IN ('removed', 'failed') AND kind = 'workspace'$$);
SELECT live_when FROM update_tier.attached;
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);
SELECT relfilenode AS index_before FROM pg_class WHERE relname = 'workspaces_update_tier_canary' \gset
SELECT update_tier.attach('workspaces', $$kind = 'workspace' AND status NOT IN ('removed', 'failed')$$);
SELECT live_when FROM update_tier.attached;
SELECT update_tier.attach('workspaces', $$ kind='workspace'   AND status NOT IN ('removed','failed') -- as it was$$);
SELECT count(*) FROM pg_index WHERE indrelid = 'workspaces'::regclass AND pg_get_indexdef(indexrelid) LIKE '%canary%';

-- Without: every row counts again.
SELECT update_tier.attach('workspaces');
SELECT * FROM update_tier.counts();
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);

-- create_index false: the old index goes, yours comes, under any name.
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$, false);
SELECT to_regclass('workspaces_update_tier_canary');
CREATE INDEX CONCURRENTLY canaries_by_hand ON workspaces (id)
 WHERE update_tier = 'canary' AND status <> 'removed';
SELECT update_tier.attach('workspaces', $$status <> 'removed'$$);
SELECT count(*) FROM pg_index WHERE indrelid = 'workspaces'::regclass AND pg_get_indexdef(indexrelid) LIKE '%canary%';

-- A column it names is renamed: said clearly, also in another session; and
-- again, it is only a matter of attaching again.
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

-- Dropped: the same, and the index has gone with the column.
ALTER TABLE workspaces DROP COLUMN state;
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('workspaces');
SELECT * FROM canary_workspaces();
SELECT pg_get_indexdef('workspaces_update_tier_canary'::regclass);

-- A constant means what it meant where it was written, whatever the session's
-- time zone, order of day and month, and rules for strings and numbers.  (From
-- version 19 on a backslash in a string is always one.)
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

-- A value's spelling survives whatever it is made of.
ALTER TABLE workspaces ADD COLUMN "Odd ""column""" text DEFAULT '';
SELECT update_tier.attach('workspaces', $$"Odd ""column""" IS DISTINCT FROM E'it\'s \\ $live $table' AND true$$);
SELECT live_when FROM update_tier.attached;
UPDATE workspaces SET "Odd ""column""" = E'it\'s \\ $live $table' WHERE name = 'w1';
SELECT * FROM canary_workspaces();

SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE plugin_update_queue, workspace_plugins, workspaces;
DROP TYPE workspace_status;
