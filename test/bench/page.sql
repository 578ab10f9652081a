-- A page at either end of the largest fleet.
SELECT compare(:turns * 5, false,
    'first page', $$SELECT count(*) FROM workspaces_in_tier('production', NULL, 1000)$$,
    'last page', $$SELECT count(*) FROM workspaces_in_tier('production', (SELECT id FROM workspaces ORDER BY id DESC OFFSET 1100 LIMIT 1), 1000)$$);
