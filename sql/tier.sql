--
-- The domain update_tier has two values, in lower case.
--
CREATE EXTENSION update_tier;
\dD update_tier

-- is_valid() returns true, false or NULL, and never raises an error.
SELECT v, update_tier.is_valid(v)
  FROM (VALUES ('canary'), ('production'), ('Canary'), ('CANARY'), (' canary'), ('canary '),
               (E'canary\n'), ('canar'), ('canaryy'), ('production2'), ('staging'), (''),
               ('canаry' /* a Cyrillic letter */), (NULL)) AS t (v);
SELECT update_tier.is_valid(repeat('canary', 10000000));

-- As a type.
SELECT 'canary'::update_tier, 'production'::update_tier, NULL::update_tier;
SELECT 'canery'::update_tier;
SELECT ''::update_tier;
SELECT 'Production'::update_tier;

-- The error names the domain and the constraint; the constraint's name says
-- what is allowed.
DO $$
DECLARE
    type_name text;
    constraint_name text;
BEGIN
    PERFORM 'canery'::update_tier;
EXCEPTION WHEN check_violation THEN
    GET STACKED DIAGNOSTICS type_name = PG_DATATYPE_NAME, constraint_name = CONSTRAINT_NAME;
    RAISE NOTICE '% % %', SQLSTATE, type_name, constraint_name;
END $$;

-- A value is a text for clients: they need not know the domain.
CREATE TABLE t (tier update_tier);
INSERT INTO t VALUES ('production'), ('canary'), ('production') RETURNING tier || '!' AS shout;
INSERT INTO t VALUES ('prod');
\copy t from stdin
canery
\.
PREPARE add (text) AS INSERT INTO t VALUES ($1);
EXECUTE add('canary');
EXECUTE add('prod');

-- The sort order is the rollout order, in every locale.
SELECT tier, count(*) FROM t GROUP BY tier ORDER BY tier;
SELECT collation for (tier) FROM t LIMIT 1;

-- tiers() returns the values for pick lists.
SELECT * FROM update_tier.tiers();
SELECT pg_typeof(tiers) FROM update_tier.tiers() LIMIT 1;

-- Every role may use the domain.
CREATE ROLE regress_nobody;
SET ROLE regress_nobody;
SELECT 'canary'::update_tier, update_tier.is_valid('x');
SELECT 'x'::update_tier;
SELECT * FROM update_tier.tiers();
RESET ROLE;
DROP ROLE regress_nobody;

DROP TABLE t;
DROP EXTENSION update_tier;
