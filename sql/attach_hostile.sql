--
-- A superuser attaches a table to which its owner has added code, such as triggers and
-- index functions; or creates the extension where such a table is.  The code runs as
-- the table's owner, and gets no rights of the superuser.
--
CREATE ROLE regress_mallory;
GRANT CREATE ON SCHEMA public TO regress_mallory;
CREATE TABLE run_as (who text, as_superuser boolean);
GRANT INSERT ON run_as TO regress_mallory;
SET ROLE regress_mallory;
CREATE FUNCTION note(x text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.run_as SELECT rolname, rolsuper FROM pg_roles WHERE rolname = current_user;
    RETURN x;
END $$;
-- Not immutable, although it says so.
CREATE FUNCTION folded(x text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.note(x); END';
CREATE FUNCTION tripped() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM public.note(NULL); RETURN NEW; END';

-- A trigger, a rule, a CHECK and an index, which all run when NULLs become production;
-- a CHECK and an index whose function the planner evaluates.
CREATE TABLE workspaces (id uuid PRIMARY KEY, n text DEFAULT 'n',
    update_tier text CHECK (update_tier <> folded('x')), CHECK (folded(n) <> 'x'));
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001');
CREATE TRIGGER tripped BEFORE UPDATE ON workspaces FOR EACH ROW EXECUTE FUNCTION tripped();
CREATE RULE noted AS ON UPDATE TO workspaces DO ALSO SELECT note(NULL);
CREATE INDEX ON workspaces (folded(n));
CREATE INDEX ON workspaces (id) WHERE n = folded('x');
RESET ROLE;
TRUNCATE run_as;
CREATE EXTENSION update_tier;
SELECT DISTINCT * FROM run_as;
TRUNCATE run_as;
SELECT update_tier.detach();
SELECT DISTINCT * FROM run_as;
TRUNCATE run_as;
SELECT update_tier.attach('workspaces');
SELECT DISTINCT * FROM run_as;
SELECT update_tier.detach();
DROP TABLE workspaces;

-- attach converts an enum without the owner's own cast to text.
SET ROLE regress_mallory;
CREATE TYPE tier_enum AS ENUM ('canary', 'production');
CREATE FUNCTION turned(tier_enum) RETURNS text LANGUAGE sql IMMUTABLE AS $$SELECT 'production'::text$$;
CREATE CAST (tier_enum AS text) WITH FUNCTION turned(tier_enum);
CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier tier_enum);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'canary');
RESET ROLE;
SELECT update_tier.attach('workspaces');
SELECT update_tier FROM workspaces;
DROP TABLE workspaces;
SELECT update_tier.detach();

-- While the domain has no constraint no function of a user may run.  So attach refuses
-- an index with such a function on the column, which would be rebuilt then.
SET ROLE regress_mallory;
CREATE TABLE other (tier update_tier);
CREATE FUNCTION store(x text) RETURNS text LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.other VALUES ('bogus'); RETURN x; END$$;
CREATE FUNCTION calm(x text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN x; END';
CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier text NOT NULL CHECK (update_tier IN ('canary', 'production')));
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', 'canary');
CREATE INDEX calm_index ON workspaces (calm(update_tier));
ALTER TABLE workspaces ADD CONSTRAINT calm_check CHECK (calm(update_tier) <> 'x');
CREATE OR REPLACE FUNCTION calm(x text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN public.store(x); END';
SELECT update_tier.attach('workspaces');
DROP INDEX calm_index;
-- A CHECK is checked after the constraint is back: its function cannot store an
-- invalid value.
\set SHOW_CONTEXT never
SELECT update_tier.attach('workspaces');
\set SHOW_CONTEXT errors
ALTER TABLE workspaces DROP CONSTRAINT calm_check;
SELECT update_tier.attach('workspaces');
TABLE other;
RESET ROLE;
DROP TABLE workspaces, other;
SELECT update_tier.detach();

-- Triggers write an invalid value: the domain refuses it, and attach fails.
CREATE TABLE workspaces (id uuid PRIMARY KEY, update_tier varchar(6));
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001');
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.update_tier := upper(NEW.update_tier); RETURN NEW; END';
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON workspaces FOR EACH ROW EXECUTE FUNCTION shout();
\set SHOW_CONTEXT never
SELECT update_tier.attach('workspaces');
DROP TRIGGER shout ON workspaces;
CREATE FUNCTION add() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO workspaces VALUES (gen_random_uuid(), 'evil'); RETURN NULL; END$$;
CREATE TRIGGER add AFTER UPDATE ON workspaces FOR EACH STATEMENT EXECUTE FUNCTION add();
SELECT update_tier.attach('workspaces');
\set SHOW_CONTEXT errors
DROP TRIGGER add ON workspaces;
-- Without these triggers attach succeeds, although "production" is too long for the
-- column's former type.
SELECT update_tier.attach('workspaces');
SELECT update_tier FROM workspaces;
DROP TABLE workspaces;
SELECT update_tier.detach();
DROP FUNCTION shout, add;

-- CREATE EXTENSION also succeeds if workspaces is a view, or a table that cannot be
-- attached.
DROP EXTENSION update_tier;
CREATE VIEW workspaces AS SELECT gen_random_uuid() AS id;
CREATE EXTENSION update_tier;
DROP EXTENSION update_tier;
DROP VIEW workspaces;
CREATE TABLE workspaces (id bigint PRIMARY KEY);
CREATE EXTENSION update_tier;
DROP TABLE workspaces;

-- The table's columns and values may look like the placeholders in the extension's
-- statements.
CREATE TABLE workspaces (id uuid PRIMARY KEY, "$live" boolean, "$table" text[]);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001', true, ARRAY['NULL', 'a']), ('00000000-0000-0000-0000-000000000002', false, NULL);
SELECT update_tier.attach('workspaces', $$"$live" AND "$table" IS DISTINCT FROM '{NULL,a}'::text[]$$);
SELECT * FROM production_workspaces();
SET array_nulls = off;
\c -
SET array_nulls = off;
SELECT * FROM production_workspaces();

-- The planner support recognizes the functions by their C code and not by their names.
ALTER FUNCTION canary_workspaces() RENAME TO canaries;
SELECT * FROM canaries();
EXPLAIN (COSTS OFF) SELECT * FROM canaries();
CREATE FUNCTION nobodys() RETURNS SETOF uuid LANGUAGE sql SUPPORT update_tier.list_support AS 'SELECT gen_random_uuid() WHERE false';
EXPLAIN (COSTS OFF) SELECT * FROM nobodys();
DROP FUNCTION nobodys;

-- A role that may not read the table gets no estimate of its size, and takes no lock.
SET ROLE regress_mallory;
BEGIN;
EXPLAIN SELECT * FROM production_workspaces();
SELECT count(*) AS locks FROM pg_locks WHERE relation = 'workspaces'::regclass AND pid = pg_backend_pid();
ROLLBACK;
RESET ROLE;

DROP TABLE workspaces;
SELECT update_tier.detach();

-- A deferred trigger would run at the end of the transaction, as the superuser.  So a
-- call is an error that has queued one: by setting NULLs, or through a function that
-- the planner evaluates.
CREATE TABLE booty (who text);
GRANT INSERT ON booty TO regress_mallory;
CREATE EXTENSION IF NOT EXISTS update_tier;
SET ROLE regress_mallory;
CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.booty VALUES (current_user);
    RETURN NULL;
END $$;
CREATE TABLE late_trap (id uuid PRIMARY KEY, update_tier text);
INSERT INTO late_trap VALUES (gen_random_uuid(), NULL);
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON late_trap DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
RESET ROLE;
\set SHOW_CONTEXT never
SELECT update_tier.attach('late_trap');
\echo :LAST_ERROR_SQLSTATE
SET ROLE regress_mallory;
DROP TRIGGER late ON late_trap;
SELECT update_tier.attach('late_trap');
CREATE TABLE mine (n integer);
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON mine DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late();
CREATE FUNCTION write_late() RETURNS void LANGUAGE sql AS 'INSERT INTO public.mine VALUES (1)';
CREATE FUNCTION bait() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    IF current_setting('test.bait', true) = 'set' THEN
        PERFORM public.write_late();
    END IF;
    RETURN true;
END $$;
CREATE INDEX late_trap_bait ON late_trap (update_tier) WHERE bait();
RESET ROLE;
SELECT update_tier.start('late', '1');
SET test.bait = 'set';
SELECT count(*) FROM update_tier.claim_batch('late', '1');
\echo :LAST_ERROR_SQLSTATE
RESET test.bait;
\set SHOW_CONTEXT errors
SELECT * FROM booty;
SELECT update_tier.abort('late', '1');
DROP TABLE late_trap, mine, booty;
DROP FUNCTION bait, write_late, late;
SELECT update_tier.detach();

-- An index on the column is rebuilt while the domain has no constraint.  So attach also
-- refuses an index that casts to a domain whose CHECK calls a function of a user.
CREATE TABLE loot (tier update_tier);
GRANT INSERT ON loot TO regress_mallory;
SET ROLE regress_mallory;
CREATE TABLE trap (id uuid PRIMARY KEY, update_tier text NOT NULL DEFAULT 'production');
INSERT INTO trap VALUES (gen_random_uuid(), 'canary');
CREATE FUNCTION steal(text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.loot VALUES ('bogus');
    RETURN true;
EXCEPTION WHEN check_violation THEN
    RETURN true;
END $$;
CREATE DOMAIN thief AS text CHECK (steal(VALUE));
CREATE INDEX trap_scalar ON trap ((update_tier::thief));
SELECT update_tier.attach('trap');
DROP INDEX trap_scalar;
CREATE INDEX trap_array ON trap ((ARRAY[update_tier]::thief[]));
SELECT update_tier.attach('trap');
DROP INDEX trap_array;
CREATE INDEX trap_predicate ON trap (id) WHERE update_tier::thief = 'canary';
SELECT update_tier.attach('trap');
DROP TABLE trap;
DROP DOMAIN thief;
DROP FUNCTION steal;
RESET ROLE;
SELECT count(*) FROM loot;
DROP TABLE loot;

DROP EXTENSION update_tier;
DROP TABLE run_as;
SET client_min_messages = 'warning';
DROP OWNED BY regress_mallory CASCADE;
DROP ROLE regress_mallory;
