--
-- Bad input of the rollout functions: clear errors, and nothing is lost.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
CREATE FUNCTION told(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    message text; detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', SQLSTATE, message, nullif(detail, ''), nullif(hint, ''));
END $$;
\pset format unaligned
\pset tuples_only on
SELECT update_tier.claim('p', '1', w(1)) AS token \gset
SELECT told($$SELECT update_tier.start('', '1')$$);
SELECT told($$SELECT update_tier.start('p', '')$$);
SELECT told($$SELECT update_tier.start(NULL, '1')$$);
SELECT told($$SELECT update_tier.start('p', NULL)$$);
SELECT told($$SELECT update_tier.start('p', repeat('x', 10240))$$);
SELECT told($$SELECT update_tier.start(repeat('x', 1025), '1')$$);
SELECT told($$SELECT update_tier.start(repeat('€', 342), '1')$$);
SELECT told($$SELECT update_tier.claim('p', '', w(1))$$);
SELECT told($$SELECT update_tier.claim('p', NULL, w(1))$$);
SELECT told($$SELECT update_tier.claim('p', '1', 'nonsense')$$);
SELECT told($$SELECT update_tier.report(NULL, 'succeeded')$$);
SELECT told($$SELECT update_tier.report(-1, 'succeeded')$$);
SELECT told($$SELECT update_tier.report(9223372036854775807, 'succeeded')$$);
SELECT told(format($$SELECT update_tier.report(%s, NULL)$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'success')$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, 'Succeeded')$$, :token));
SELECT told(format($$SELECT update_tier.report(%s, repeat('x', 10000))$$, :token));
SELECT told($$SELECT update_tier.promote('', '1')$$);
SELECT told($$SELECT update_tier.halt(NULL, '1')$$);
SELECT told($$SELECT update_tier.progress('p', 'unknown')$$);
SELECT told($$SELECT update_tier.progress('p', NULL)$$);
SELECT told($$SELECT update_tier.promoted_version(NULL)$$), update_tier.promoted_version('unknown') IS NULL;
-- The longest that is allowed, twice, of bytes that do not compress.
SELECT told($$SELECT update_tier.start(left(string_agg(md5(i::text), ''), 1024), left(string_agg(md5((-i)::text), ''), 1024))
              FROM generate_series(1, 40) AS i$$);
-- Whatever is in a name.
SELECT told($$SELECT update_tier.start('''; DROP TABLE workspaces; --', E'\n\t"%s"$1')$$);
SELECT phases($$'; DROP TABLE workspaces; --$$);
-- A long detail is no problem.
SELECT update_tier.report(:token, 'succeeded', '1', repeat('x', 100000));
SELECT phases('p');
\pset format aligned
\pset tuples_only off
DROP FUNCTION told;

\set ECHO none
\i :fleet_gone
