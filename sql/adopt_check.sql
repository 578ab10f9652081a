--
-- attach drops a CHECK that the domain makes redundant: one that only lists allowed
-- values, both tiers among them.  It keeps every other CHECK.
--
CREATE EXTENSION update_tier;
CREATE TABLE w (
    id uuid PRIMARY KEY,
    kind text NOT NULL DEFAULT 'workspace',
    update_tier text NOT NULL DEFAULT 'production',
    -- redundant
    CONSTRAINT value_set CHECK (update_tier IN ('canary', 'production')),
    CONSTRAINT value_set_with_or CHECK (update_tier = 'production' OR update_tier = 'canary'),
    CONSTRAINT wider CHECK (update_tier IN ('canary', 'beta', 'production')),
    -- says more
    CONSTRAINT narrower CHECK (update_tier = 'production'),
    CONSTRAINT not_null CHECK (update_tier IS NOT NULL),
    CONSTRAINT about_another CHECK (kind <> 'platform' OR update_tier = 'canary'),
    CONSTRAINT kind_check CHECK (kind IN ('workspace', 'platform')),
    -- attach cannot tell that these are redundant
    CONSTRAINT by_pattern CHECK (update_tier ~ '^[a-z]+$'),
    CONSTRAINT by_length CHECK (length(update_tier) < 20)
);
ALTER TABLE w ADD CONSTRAINT unchecked CHECK (length(update_tier) > 3) NOT VALID;
SELECT update_tier.attach('w');
SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = 'w'::regclass AND contype = 'c' ORDER BY conname;

-- The other CHECKs are still enforced.
INSERT INTO w (id, update_tier) VALUES ('00000000-0000-0000-0000-000000000001', 'canary');
INSERT INTO w (id, kind) VALUES ('00000000-0000-0000-0000-000000000002', 'platform');
INSERT INTO w (id) VALUES (gen_random_uuid());

-- detach keeps them, and adds a CHECK of the two values.
SELECT update_tier.detach();
SELECT conname, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
 WHERE conrelid = 'w'::regclass AND contype = 'c' ORDER BY conname;

DROP TABLE w;
DROP EXTENSION update_tier;
