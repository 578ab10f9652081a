--
-- The owner can drop NOT NULL of the columns.  Then a row without a tier is no
-- workspace, a row without an id cannot be claimed, and the server does not crash.
--
CREATE TABLE workspaces (id uuid NOT NULL UNIQUE);
CREATE EXTENSION update_tier;
INSERT INTO workspaces VALUES
    ('00000000-0000-0000-0000-000000000001', 'canary'),
    ('00000000-0000-0000-0000-000000000002', 'production'),
    ('00000000-0000-0000-0000-000000000003', 'production');
ALTER TABLE workspaces ALTER update_tier DROP NOT NULL, ALTER id DROP NOT NULL;
UPDATE workspaces SET update_tier = NULL WHERE id = '00000000-0000-0000-0000-000000000003';
INSERT INTO workspaces VALUES (NULL, 'canary'), (NULL, 'production'), (NULL, NULL);
\pset null (null)
SELECT update_tier.set_policy(require_canary => false, soak => '0');
SELECT update_tier.start('p', '1');
SELECT update_tier.allows('p', '1', '00000000-0000-0000-0000-000000000003'),
       update_tier.explain('p', '1', '00000000-0000-0000-0000-000000000003'),
       update_tier.claim('p', '1', '00000000-0000-0000-0000-000000000003');
SELECT update_tier.wanted_version('p', '00000000-0000-0000-0000-000000000003');
SELECT update_tier.force('p', '1', '00000000-0000-0000-0000-000000000003', 'why');
SELECT update_tier.observe('p', '1', '00000000-0000-0000-0000-000000000003');
SELECT right(workspace::text, 1) AS workspace, tier FROM update_tier.claim_batch('p', '1');
SELECT count(*) FROM update_tier.claim_batch('p', '1', candidates => '{00000000-0000-0000-0000-000000000003}');
SELECT * FROM update_tier.progress('p', '1');
SELECT workspace_tier('00000000-0000-0000-0000-000000000003');
SELECT * FROM update_tier.counts();
-- An UPDATE gives the row a tier again.
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canary');
UPDATE workspaces SET update_tier = DEFAULT WHERE update_tier IS NULL;
SELECT set_update_tier('00000000-0000-0000-0000-000000000003', 'canary');
-- attach repairs the column update_tier, after id is NOT NULL again.
SELECT update_tier.attach('workspaces');
DELETE FROM workspaces WHERE id IS NULL;
ALTER TABLE workspaces ALTER id SET NOT NULL;
SELECT update_tier.attach('workspaces');
\d workspaces
DROP TABLE workspaces;
DROP EXTENSION update_tier;
