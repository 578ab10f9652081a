--
-- update_tier.detach turns the table back to plain SQL, and keeps every value.
--
CREATE EXTENSION update_tier;

-- Nothing is attached: detach does nothing.
SELECT update_tier.detach();

CREATE TABLE w (id uuid PRIMARY KEY, n integer);
INSERT INTO w SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 3) AS n;
SELECT update_tier.attach('w', 'n < 3');
SELECT set_update_tier('00000000-0000-0000-0000-000000000002', 'canary');
SELECT pg_relation_filenode('w') AS file \gset
SELECT update_tier.detach();
SELECT pg_relation_filenode('w') = :file AS not_rewritten;
\d w
SELECT n, update_tier FROM w ORDER BY n;
UPDATE w SET update_tier = 'canery' WHERE n = 1;
SELECT * FROM update_tier.attached;
SELECT * FROM canary_workspaces();
DROP EXTENSION update_tier;
SELECT n, update_tier FROM w ORDER BY n;

-- attach after detach finds the same tiers; also several calls in one transaction.
CREATE EXTENSION update_tier;
BEGIN;
SELECT update_tier.attach('w');
SELECT * FROM canary_workspaces();
SELECT update_tier.detach();
SELECT update_tier.attach('w');
SELECT * FROM canary_workspaces();
ROLLBACK;
SELECT * FROM update_tier.attached;

-- detach creates the index of the plain-SQL form if the table has none.
SELECT update_tier.attach('w', create_index => false);
SELECT update_tier.detach();
SELECT pg_get_indexdef('w_update_tier_canary'::regclass);

-- detach succeeds although live_when names a column that was renamed.
SELECT update_tier.attach('w', 'n < 3');
ALTER TABLE w RENAME COLUMN n TO number;
SELECT update_tier.detach();
\d w

-- If the column or the table was dropped, detach only forgets the table.
SELECT update_tier.attach('w');
ALTER TABLE w DROP COLUMN update_tier;
SELECT update_tier.detach();
SELECT update_tier.attach('w');
DROP TABLE w;
SELECT * FROM canary_workspaces();
SELECT update_tier.detach();
SELECT * FROM canary_workspaces();
DROP EXTENSION update_tier;
