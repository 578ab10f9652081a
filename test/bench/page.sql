-- The first and the last page of the largest fleet.
SELECT id AS near_the_end FROM workspaces ORDER BY id DESC OFFSET 1100 LIMIT 1 \gset
SELECT compare(:turns * 5, false,
    'first page', $$SELECT count(*) FROM workspaces_in_tier('production', '00000000-0000-0000-0000-000000000000', 1000)$$,
    'last page', format($$SELECT count(*) FROM workspaces_in_tier('production', %L, 1000)$$, :'near_the_end'));
