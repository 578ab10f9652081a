--
-- attach sets the NULLs of an existing column to production while no other session can
-- use the table.  If they are 10,000 or more, a NOTICE says so first.  If they were set
-- in batches before, nothing is left to do: see "A large table" in doc/operations.md.
--
CREATE EXTENSION update_tier;
CREATE TABLE w (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), update_tier text);
INSERT INTO w (update_tier) SELECT CASE WHEN n = 1 THEN 'canary' END FROM generate_series(1, 10000) AS n;
-- 9,999 NULLs: no NOTICE, because that is quick.
BEGIN;
SELECT update_tier.attach('w');
ROLLBACK;
INSERT INTO w (update_tier) VALUES (NULL);
BEGIN;
SELECT update_tier.attach('w');
SELECT update_tier, count(*) FROM w GROUP BY 1 ORDER BY 1;
ROLLBACK;
UPDATE w SET update_tier = 'production' WHERE update_tier IS NULL;
SELECT update_tier.attach('w');
SELECT update_tier, count(*) FROM w GROUP BY 1 ORDER BY 1;

-- After attach the domain's constraint is valid.  Other tables that use the domain are
-- not scanned for that, because the constraint was enforced there all the time.
SELECT conname, convalidated FROM pg_constraint WHERE contypid = 'update_tier'::regtype;
CREATE TABLE other (tier update_tier);
SELECT update_tier.detach();
SELECT pg_stat_force_next_flush();
SELECT seq_scan AS scans_before FROM pg_stat_user_tables WHERE relname = 'other' \gset
SELECT update_tier.attach('w');
SELECT pg_stat_force_next_flush();
SELECT seq_scan - :scans_before AS scans FROM pg_stat_user_tables WHERE relname = 'other';
SELECT conname, convalidated FROM pg_constraint WHERE contypid = 'update_tier'::regtype;
INSERT INTO other VALUES ('canery');
SELECT update_tier.detach();
DROP TABLE w;
DROP TABLE other;
DROP EXTENSION update_tier;
