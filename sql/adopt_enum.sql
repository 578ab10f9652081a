--
-- attach converts an enum column that has the tiers as labels.
--
CREATE EXTENSION update_tier;
CREATE TYPE tier_enum AS ENUM ('production', 'canary');
CREATE TABLE w (id uuid PRIMARY KEY, n integer, update_tier tier_enum NOT NULL DEFAULT 'production'
    CHECK (update_tier IN ('canary', 'production')));
CREATE INDEX w_update_tier_canary ON w (update_tier) WHERE update_tier = 'canary';
INSERT INTO w SELECT ('00000000-0000-0000-0000-' || lpad(n::text, 12, '0'))::uuid, n,
       CASE n WHEN 2 THEN 'canary' ELSE 'production' END::tier_enum FROM generate_series(1, 3) AS n;
SELECT update_tier.attach('w');
\d w
SELECT n, update_tier FROM w ORDER BY n;
SELECT * FROM canary_workspaces();
DROP TYPE tier_enum;
DROP TABLE w;

-- An enum with more labels is converted if no row has one of these.
CREATE TYPE tier_enum AS ENUM ('canary', 'beta', 'production');
CREATE TABLE w (id uuid PRIMARY KEY, update_tier tier_enum);
INSERT INTO w VALUES (gen_random_uuid(), NULL), (gen_random_uuid(), 'beta'), (gen_random_uuid(), 'canary');
SELECT update_tier.attach('w');
UPDATE w SET update_tier = 'production' WHERE update_tier = 'beta';
SELECT update_tier.attach('w');
\d w
SELECT update_tier, count(*) FROM w GROUP BY 1 ORDER BY 1;
DROP TABLE w;
DROP TYPE tier_enum;

-- An enum without the label canary is converted, too.
CREATE TYPE tier_enum AS ENUM ('production');
CREATE TABLE w (id uuid PRIMARY KEY, update_tier tier_enum NOT NULL);
CREATE INDEX w_mine ON w (update_tier);
SELECT update_tier.attach('w');
\d w
DROP TABLE w;
DROP TYPE tier_enum;

-- A CHECK or an index that compares the column as an enum cannot be converted: the
-- error names it, and nothing is changed.  A cast to text and IS NOT NULL can stay, and
-- a CHECK that the domain makes redundant is dropped.
CREATE TYPE tier_enum AS ENUM ('canary', 'production');
CREATE TABLE w (id uuid PRIMARY KEY, n integer, update_tier tier_enum NOT NULL DEFAULT 'production',
    CONSTRAINT known CHECK (update_tier IN ('canary', 'production')),
    CONSTRAINT set CHECK (update_tier IS NOT NULL),
    CONSTRAINT spelt CHECK (update_tier::text <> 'beta'),
    CONSTRAINT few_canaries CHECK (update_tier <> 'canary' OR n < 10),
    CONSTRAINT ordered CHECK (CASE update_tier WHEN 'canary' THEN n > 0 ELSE true END));
CREATE INDEX w_canaries ON w (n) WHERE update_tier = 'canary';
CREATE INDEX w_is_canary ON w ((update_tier = 'canary'));
CREATE INDEX w_tier ON w (update_tier);
INSERT INTO w VALUES (gen_random_uuid(), 1, 'canary');
SELECT update_tier.attach('w');
\echo :LAST_ERROR_SQLSTATE
ALTER TABLE w DROP CONSTRAINT few_canaries, DROP CONSTRAINT ordered;
SELECT update_tier.attach('w');
DROP INDEX w_canaries, w_is_canary;
SELECT update_tier.attach('w');
\d w
DROP TABLE w;
DROP TYPE tier_enum;

-- The same for an index that only a partition has.
CREATE TYPE tier_enum AS ENUM ('canary', 'production');
CREATE TABLE w (id uuid PRIMARY KEY, update_tier tier_enum NOT NULL) PARTITION BY HASH (id);
CREATE TABLE w_0 PARTITION OF w FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE INDEX w_0_canaries ON w_0 (id) WHERE update_tier = 'canary';
SELECT update_tier.attach('w');
DROP INDEX w_0_canaries;
SELECT update_tier.attach('w');
DROP TABLE w;
DROP TYPE tier_enum;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
