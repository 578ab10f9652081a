--
-- A typo is told in full: what it was, what is allowed, what was meant.
--
CREATE TABLE workspaces (id uuid PRIMARY KEY);
INSERT INTO workspaces VALUES ('00000000-0000-0000-0000-000000000001');
CREATE EXTENSION update_tier;

-- All the fields of an error that say what is wrong.
CREATE FUNCTION told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text; type_name text; constraint_name text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT, type_name = PG_DATATYPE_NAME, constraint_name = CONSTRAINT_NAME;
    RETURN concat_ws(E'\n', SQLSTATE || ': ' || message, 'DETAIL:  ' || nullif(detail, ''),
                     'HINT:  ' || nullif(hint, ''),
                     'TYPE:  ' || nullif(type_name, ''), 'CONSTRAINT:  ' || nullif(constraint_name, ''));
END $$;
\pset format unaligned
\pset tuples_only on

SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canery')$$);
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary', 'prodcution')$$);
-- Swapped letters are one edit each: three here, and five if they were two.
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary', 'rpodcutoin')$$);
SELECT told($$SELECT * FROM workspaces_in_tier('canery')$$);

-- Near: another case, blanks around it, an abbreviation, letters swapped,
-- missing, doubled or wrong.
SELECT v, substring(told(format('SELECT * FROM workspaces_in_tier(%L)', v)) FROM 'HINT:[^\n]*')
  FROM unnest(ARRAY['CANARY', 'Canary', ' canary', E'canary\t\n', 'can', 'canarys', 'canaries', 'cnaary',
                    'canry', 'PRODUCTION', 'prod', 'Prod', 'productoin', 'prodction', 'productions',
                    'producton ']) AS v;
-- Not near: no hint.
SELECT v, substring(told(format('SELECT * FROM workspaces_in_tier(%L)', v)) FROM 'HINT:[^\n]*')
  FROM unnest(ARRAY['staging', 'dev', 'p', 'pr', 'ca', 'stable', 'beta', 'x', '*', 'any', 'secondary', 'primary',
                    'canary production', 'canary,production']) AS v;

-- Nothing to guess from.
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', NULL)$$);
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', '')$$);
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', '   ')$$);

-- A long value is cut between two characters: after 64 bytes, or before.
SELECT told(format('SELECT * FROM workspaces_in_tier(%L)', repeat('x', 64)));
SELECT told(format('SELECT * FROM workspaces_in_tier(%L)', repeat('x', 65)));
SELECT told(format('SELECT * FROM workspaces_in_tier(%L)', 'x' || repeat('é', 1000)));
SELECT told(format('SELECT * FROM workspaces_in_tier(%L)', repeat('€', 1000)));
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', repeat('canary', 10000000))$$);
-- As long as a text can be.
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', repeat('x', 1073741800))$$);

-- Nothing was lost.
SELECT id, update_tier FROM workspaces;

\pset format aligned
\pset tuples_only off
DROP FUNCTION told;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
