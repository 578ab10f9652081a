--
-- attach works for partitioned tables, and for tables with children.
--
CREATE EXTENSION update_tier;

-- Partitioned by id: unique on id.
CREATE TABLE w (id uuid PRIMARY KEY, name text) PARTITION BY HASH (id);
CREATE TABLE w_0 PARTITION OF w FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE w_1 PARTITION OF w FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO w SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, 'w' || n FROM generate_series(1, 6) AS n;
SELECT pg_relation_filenode('w_0') AS file_0, pg_relation_filenode('w_1') AS file_1 \gset
SELECT update_tier.attach('w', $$name <> 'w5'$$);
SELECT pg_relation_filenode('w_0') = :file_0 AND pg_relation_filenode('w_1') = :file_1 AS not_rewritten;
\d w_0
SELECT set_update_tier(id, 'canary') FROM w WHERE name IN ('w2', 'w5', 'w6') ORDER BY id;
SELECT * FROM canary_workspaces();
SELECT * FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000001', 2);
SELECT * FROM update_tier.counts();
UPDATE w SET update_tier = 'canery' WHERE name = 'w1';

-- A partition is detached, and attached again.
ALTER TABLE w DETACH PARTITION w_1;
SELECT * FROM canary_workspaces();
ALTER TABLE w ATTACH PARTITION w_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT * FROM canary_workspaces();
SELECT update_tier.attach('w', $$name <> 'w5'$$);
SELECT update_tier.detach();
\d w_1
DROP TABLE w;

-- Partitioned by something else: unique on id and the partition key.  The
-- plain-SQL form, with a CHECK that is kept, adopted without a scan.
CREATE TABLE w (id uuid NOT NULL, region text NOT NULL,
    update_tier text NOT NULL DEFAULT 'production' CHECK (update_tier IN ('canary', 'production')),
    CHECK (region <> 'lab' OR update_tier = 'canary'),
    PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE INDEX w_update_tier_canary ON w (update_tier) WHERE update_tier = 'canary';
CREATE TABLE w_eu PARTITION OF w FOR VALUES IN ('eu');
CREATE TABLE w_us PARTITION OF w (CHECK (update_tier <> 'canary')) FOR VALUES IN ('us') PARTITION BY LIST (region);
CREATE TABLE w_us_1 PARTITION OF w_us FOR VALUES IN ('us');
INSERT INTO w VALUES ('00000000-0000-0000-0000-000000000001', 'eu', 'canary'),
                     ('00000000-0000-0000-0000-000000000002', 'us', 'production');
BEGIN;
SELECT pg_stat_get_xact_numscans('w_eu'::regclass) + pg_stat_get_xact_numscans('w_us_1'::regclass) AS scans_before \gset
SELECT update_tier.attach('w', create_index => false);
SELECT pg_stat_get_xact_numscans('w_eu'::regclass) + pg_stat_get_xact_numscans('w_us_1'::regclass) - :scans_before AS scans;
COMMIT;
SELECT conrelid::regclass, conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid IN ('w'::regclass, 'w_eu'::regclass, 'w_us'::regclass, 'w_us_1'::regclass) AND contype = 'c'
 ORDER BY conrelid::regclass::text, conname;
SELECT * FROM canary_workspaces();
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
DROP TABLE w;
SELECT update_tier.detach();

-- An id that is in two partitions is one workspace.
CREATE TABLE w (id uuid NOT NULL, region text NOT NULL, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE w_eu PARTITION OF w FOR VALUES IN ('eu');
CREATE TABLE w_us PARTITION OF w FOR VALUES IN ('us');
SELECT update_tier.attach('w');
INSERT INTO w VALUES ('00000000-0000-0000-0000-000000000001', 'eu', 'canary'),
                     ('00000000-0000-0000-0000-000000000001', 'us', 'canary'),
                     ('00000000-0000-0000-0000-000000000002', 'eu', 'canary');
SELECT update_tier.start('p', '1');
SELECT * FROM update_tier.claim_batch('p', '1');
SELECT * FROM update_tier.claim_batch('p', '1');
-- An UPDATE that moves a row to another partition deletes and inserts it, so its change
-- of the tier is not recorded.
UPDATE w SET update_tier = 'production', region = 'us' WHERE id = '00000000-0000-0000-0000-000000000002';
UPDATE w SET update_tier = 'canary' WHERE id = '00000000-0000-0000-0000-000000000002';
SELECT workspace, old_tier, new_tier, path FROM update_tier.tier_change;
DROP TABLE w;
SELECT update_tier.detach();

-- A table with children: their rows count, and a CHECK of the parent that they do not
-- inherit guarantees nothing about them.
CREATE TABLE w (id uuid PRIMARY KEY, update_tier text NOT NULL DEFAULT 'production',
    CONSTRAINT mine_alone CHECK (update_tier IN ('canary', 'production')) NO INHERIT);
CREATE TABLE w_child (UNIQUE (id)) INHERITS (w);
INSERT INTO w_child VALUES ('00000000-0000-0000-0000-000000000001', 'beta');
SELECT update_tier.attach('w');
UPDATE w SET update_tier = 'canary';
SELECT update_tier.attach('w');
SELECT * FROM canary_workspaces();
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'w_child'::regclass AND attname = 'update_tier';
DROP TABLE w CASCADE;
SELECT update_tier.detach();

-- A partition has another owner: attach acts as the owner of the table, which may not
-- alter the partition.
CREATE ROLE regress_table;
CREATE ROLE regress_partition;
CREATE TABLE workspaces (id uuid PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE workspaces_0 PARTITION OF workspaces FOR VALUES WITH (MODULUS 1, REMAINDER 0);
ALTER TABLE workspaces OWNER TO regress_table;
ALTER TABLE workspaces_0 OWNER TO regress_partition;
SELECT update_tier.attach('workspaces');
\echo :LAST_ERROR_SQLSTATE
-- CREATE EXTENSION succeeds, without attaching the table.
DROP EXTENSION update_tier;
CREATE EXTENSION update_tier;
SELECT count(*) AS attached FROM update_tier.attached;
SELECT count(*) AS columns FROM pg_attribute WHERE attrelid = 'workspaces'::regclass AND attname = 'update_tier';
ALTER TABLE public.workspaces_0 OWNER TO regress_table;
SELECT update_tier.attach('workspaces');
-- If nothing has to be changed, no right on the partition is needed.
ALTER TABLE public.workspaces_0 OWNER TO regress_partition;
SELECT update_tier.attach('workspaces');
DROP TABLE workspaces;
DROP ROLE regress_table, regress_partition;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
