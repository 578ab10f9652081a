-- Writing :rows rows with a tier: the domain, text with a CHECK, an enum.
SET client_min_messages = warning;
CREATE TYPE tier_enum AS ENUM ('canary', 'production');
CREATE TABLE as_domain (id uuid, update_tier update_tier NOT NULL DEFAULT 'production');
CREATE TABLE as_check (id uuid, update_tier text NOT NULL DEFAULT 'production' CHECK (update_tier IN ('canary', 'production')));
CREATE TABLE as_enum (id uuid, update_tier tier_enum NOT NULL DEFAULT 'production');
CREATE UNLOGGED TABLE source AS SELECT md5(n::text)::uuid AS id, CASE n % 1000 WHEN 0 THEN 'canary' ELSE 'production' END AS tier
  FROM generate_series(1, :rows) AS n;
VACUUM ANALYZE source;
COPY source TO :'file';
SELECT compare(:turns, true,
    'insert domain', 'INSERT INTO as_domain SELECT id, tier::update_tier FROM source',
    'insert check', 'INSERT INTO as_check SELECT id, tier FROM source',
    'insert enum', 'INSERT INTO as_enum SELECT id, tier::tier_enum FROM source',
    'copy domain', format('COPY as_domain FROM %L', :'file'),
    'copy check', format('COPY as_check FROM %L', :'file'),
    'copy enum', format('COPY as_enum FROM %L', :'file'));
DROP TABLE as_domain, as_check, as_enum, source;
