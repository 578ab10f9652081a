--
-- The error for an invalid tier quotes the value, lists the allowed values and suggests
-- the nearest value.
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
-- Two swapped letters count as one edit: so these are three edits, and not five, which
-- would be too many for a hint.
SELECT told($$SELECT set_update_tier('00000000-0000-0000-0000-000000000001', 'canary', 'rpodcutoin')$$);
SELECT told($$SELECT * FROM workspaces_in_tier('canery')$$);

-- A hint is given for another case, blanks around the value, an abbreviation, and
-- letters that are swapped, missing, doubled or wrong.
SELECT v, substring(told(format('SELECT * FROM workspaces_in_tier(%L)', v)) FROM 'HINT:[^\n]*')
  FROM unnest(ARRAY['CANARY', 'Canary', ' canary', E'canary\t\n', 'can', 'canarys', 'canaries', 'cnaary',
                    'canry', 'PRODUCTION', 'prod', 'Prod', 'productoin', 'prodction', 'productions',
                    'producton ']) AS v;
-- No hint is given for these.
SELECT v, substring(told(format('SELECT * FROM workspaces_in_tier(%L)', v)) FROM 'HINT:[^\n]*')
  FROM unnest(ARRAY['staging', 'dev', 'p', 'pr', 'ca', 'stable', 'beta', 'x', '*', 'any', 'secondary', 'primary',
                    'canary production', 'canary,production']) AS v;

-- NULL and blank values get no hint.
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

-- No error has changed the row.
SELECT id, update_tier FROM workspaces;

\pset format aligned
\pset tuples_only off
DROP FUNCTION told;
SELECT update_tier.detach();
DROP EXTENSION update_tier;
DROP TABLE workspaces;
