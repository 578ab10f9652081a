--
-- live_when: conditions that attach refuses, with the error for each, and conditions
-- that it accepts.
--
CREATE EXTENSION update_tier;
CREATE TYPE color AS ENUM ('red', 'green');
CREATE TYPE pair AS (a integer, b integer);
CREATE TYPE mood AS RANGE (subtype = float8);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE FUNCTION is_live(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE FUNCTION is_less(text, text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
CREATE OPERATOR <<< (FUNCTION = is_less, LEFTARG = text, RIGHTARG = text);
CREATE COLLATION mine FROM "C";
CREATE TABLE w (
    id uuid PRIMARY KEY, name text, live boolean, n integer, hue color, hues color[],
    p pair, m mood, positive positive, since timestamptz, j jsonb);
CREATE TABLE other (live boolean);

-- Texts that are not a condition, or more than one.
SELECT update_tier.attach('w', '');
SELECT update_tier.attach('w', '   ');
SELECT update_tier.attach('w', 'live and');
SELECT update_tier.attach('w', 'live; DROP TABLE w');
SELECT update_tier.attach('w', 'live ORDER BY id');
SELECT update_tier.attach('w', 'live UNION SELECT true');
SELECT update_tier.attach('w', 'live LIMIT 1');
SELECT update_tier.attach('w', 'live) OR (true');
SELECT update_tier.attach('w', 'name');
SELECT update_tier.attach('w', '$1');
SELECT update_tier.attach('w', 'no_such_column');
SELECT update_tier.attach('w', 'name = 5 + ''x''');
SELECT update_tier.attach('w', 'count(*) > 1');

-- Conditions that depend on more than the row.
SELECT update_tier.attach('w', 'EXISTS (SELECT 1 FROM other)');
SELECT update_tier.attach('w', 'live OFFSET 1');
SELECT update_tier.attach('w', 'live IN (SELECT live FROM other)');
SELECT update_tier.attach('w', 'other.live');
SELECT update_tier.attach('w', 'since < now()');
SELECT update_tier.attach('w', 'random() < 0.5');
SELECT update_tier.attach('w', 'name = current_user');
SELECT update_tier.attach('w', $$since > '2026-01-01'::text::timestamptz$$);
SELECT update_tier.attach('w', $$hue::text = 'red'$$);
SELECT update_tier.attach('w', 'ctid IS NOT NULL');
SELECT update_tier.attach('w', 'w IS NOT NULL');

-- Functions, operators, collations and types of a user.
SELECT update_tier.attach('w', 'is_live(name)');
SELECT update_tier.attach('w', $$name <<< 'x'$$);
SELECT update_tier.attach('w', $$name <<< ANY (ARRAY['x'])$$);
SELECT update_tier.attach('w', $$name < 'x' COLLATE mine$$);
SELECT update_tier.attach('w', 'p IS NOT NULL');
SELECT update_tier.attach('w', $$m <> '[1,2]'$$);
SELECT update_tier.attach('w', 'n::positive > 1');

-- The column update_tier itself.
ALTER TABLE w ADD COLUMN update_tier text NOT NULL DEFAULT 'production';
SELECT update_tier.attach('w', $$update_tier <> 'production'$$);

-- Nothing has changed.
SELECT * FROM update_tier.attached;
SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'w'::regclass AND attname = 'update_tier';

-- Allowed are the server's own functions, operators and types, as far as they depend on
-- the row alone, and the user's enums, and columns of the user's domains.
CREATE FUNCTION canonical(condition text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM update_tier.attach('w', condition);
    PERFORM canary_workspaces();
    RETURN (SELECT live_when FROM update_tier.attached);
END $$;
\pset format unaligned
\pset tuples_only on
SELECT canonical(c) FROM unnest(ARRAY[
    'live', 'NOT live', 'live IS NOT FALSE', 'true', 'NULL',
    'name IS NOT NULL AND n BETWEEN 1 AND 10',
    $$hue = 'red'$$, $$hue IN ('red', 'green')$$, $$'red' = ANY (hues)$$, $$hues <> '{red}'$$,
    'positive > 0', $$coalesce(name, 'x') <> 'x'$$, $$CASE WHEN live THEN n > 1 ELSE n > 2 END$$,
    $$lower(name) LIKE 'a%' OR name ~ '^b'$$, $$name COLLATE "C" < 'x'$$, $$(j ->> 'live')::boolean$$,
    $$since < '2030-01-01 00:00:00+00'$$, 'nullif(n, 1) IS DISTINCT FROM 2', '(n, name) > (1, ''x'')',
    'greatest(n, 2) = 3 -- a comment', 'w.live', 'public.w.live']) AS c;
\pset format aligned
\pset tuples_only off

DROP TABLE w, other;
SELECT update_tier.detach();
DROP FUNCTION canonical, is_live;
DROP OPERATOR <<< (text, text);
DROP FUNCTION is_less;
DROP COLLATION mine;
DROP DOMAIN positive;
DROP TYPE color, pair, mood;
DROP EXTENSION update_tier;
