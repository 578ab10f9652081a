SELECT update_tier.attach('workspaces', live_when => $$status <> 'removed'$$);
