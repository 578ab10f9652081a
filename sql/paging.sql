--
-- workspaces_in_tier(tier, after, max_rows) lists a tier in pages.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY, n integer);
INSERT INTO workspaces SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 12) AS n;
CREATE EXTENSION update_tier;
UPDATE workspaces SET update_tier = 'canary' WHERE n % 3 = 0;

-- All of them.
SELECT * FROM workspaces_in_tier('canary');
SELECT count(*) FROM workspaces_in_tier('production');

-- A page, and the page after it.
SELECT * FROM workspaces_in_tier('production', NULL, 3);
SELECT * FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000004', 3);
SELECT * FROM workspaces_in_tier('canary', '00000000-0000-0000-0000-000000000004');
SELECT * FROM workspaces_in_tier(tier => 'canary', max_rows => 1);

-- "after" need not be in the tier, and need not exist.  After the last id the page is
-- empty.
SELECT * FROM workspaces_in_tier('canary', '00000000-0000-0000-0000-00000000000f');
SELECT * FROM workspaces_in_tier('canary', '00000000-0000-0000-0000-000000000012');
SELECT * FROM workspaces_in_tier('canary', 'ffffffff-ffff-ffff-ffff-ffffffffffff');

-- The least and the greatest values of max_rows, and negative values.
SELECT * FROM workspaces_in_tier('canary', NULL, 0);
SELECT count(*) FROM workspaces_in_tier('canary', NULL, 9223372036854775807);
SELECT * FROM workspaces_in_tier('canary', NULL, -1);
\echo :LAST_ERROR_SQLSTATE
SELECT * FROM workspaces_in_tier('canary', NULL, -9223372036854775808);

-- Invalid tiers.
SELECT * FROM workspaces_in_tier('canery');
SELECT * FROM workspaces_in_tier(NULL);
\echo :LAST_ERROR_SQLSTATE

-- All pages together are the list, whatever their size.
WITH RECURSIVE page AS (
    SELECT 1 AS number, (SELECT array_agg(w) FROM workspaces_in_tier('production', NULL, 3) AS w) AS ids
    UNION ALL
    SELECT number + 1, (SELECT array_agg(w) FROM workspaces_in_tier('production', ids[cardinality(ids)], 3) AS w)
      FROM page WHERE ids IS NOT NULL)
SELECT number, cardinality(ids), ids[1] AS first FROM page;

SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
