--
-- The partial index of the canaries: which index attach accepts, builds, replaces, and
-- leaves alone.
--
CREATE EXTENSION update_tier;
CREATE TABLE w (id uuid PRIMARY KEY, name text);
CREATE VIEW indexes AS
SELECT indexrelid::regclass, indisvalid, pg_get_indexdef(indexrelid) AS definition
  FROM pg_index WHERE indrelid = to_regclass('w') AND NOT indisprimary ORDER BY indexrelid::regclass::text COLLATE "C";

-- A large table: first the column, then the index, which does not block writers, then
-- attach again, which accepts the index.
SELECT update_tier.attach('w', create_index => false);
TABLE indexes;
CREATE INDEX CONCURRENTLY w_update_tier_canary ON w (id) WHERE update_tier = 'canary';
SELECT update_tier.attach('w');
TABLE indexes;

-- attach replaces an invalid index, which a failed build leaves behind.
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'w_update_tier_canary'::regclass;
SELECT update_tier.attach('w');
TABLE indexes;

-- Other indexes are left alone, however similar.
CREATE INDEX w_a ON w (id) WHERE update_tier = 'canary' AND name IS NOT NULL;
CREATE INDEX w_b ON w (update_tier) WHERE update_tier = 'canary';
CREATE INDEX w_c ON w (id, name) WHERE update_tier = 'canary';
CREATE INDEX w_d ON w USING hash (id) WHERE update_tier = 'canary';
CREATE UNIQUE INDEX w_e ON w (id) WHERE update_tier = 'canary';
CREATE INDEX w_f ON w (id) WHERE update_tier = 'production';
SELECT update_tier.attach('w', $$name <> ''$$);
TABLE indexes;
SELECT update_tier.attach('w', $$name IS NOT NULL$$);
TABLE indexes;
DROP INDEX w_a, w_b, w_c, w_d, w_e, w_f;

-- The table is renamed: the index keeps its name, and attach recognizes it.
ALTER TABLE w RENAME TO v;
SELECT update_tier.attach('v', $$name IS NOT NULL$$);
ALTER TABLE v RENAME TO w;
TABLE indexes;
ALTER TABLE w RENAME TO v;
SELECT update_tier.attach('v');
ALTER TABLE v RENAME TO w;
TABLE indexes;

DROP VIEW indexes;
DROP TABLE w;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
