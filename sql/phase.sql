--
-- The phase is a pure function of the stored row and a moment.
--
CREATE EXTENSION update_tier;
-- Moments are days in January 2026; a dash is "will not come".
CREATE FUNCTION day(d text) RETURNS timestamptz LANGUAGE sql IMMUTABLE AS
    $$SELECT CASE d WHEN '-' THEN 'infinity'::timestamptz ELSE '2025-12-31 00:00:00+00'::timestamptz + d::integer * interval '24 hours' END$$;
CREATE FUNCTION timeline(phase text, needs_canary boolean, turn_at text, soak_ends_at text, superseded_at text, halts_at text)
RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(d || ' ' || p, ', ' ORDER BY d) FROM (
        SELECT d, p, lag(p) OVER (ORDER BY d) AS before FROM (
            SELECT d, update_tier.phase_at(phase, needs_canary, day(turn_at), day(soak_ends_at),
                                           day(superseded_at), day(halts_at), day(d::text)) AS p
              FROM generate_series(1, 9) AS d) AS x) AS y
     WHERE p IS DISTINCT FROM before
$$;
\pset format unaligned
\pset tuples_only on

-- Left alone, what waits for somebody goes on waiting.
SELECT timeline('canary', true, '-', '-', '-', '-');
SELECT timeline('halted', true, '-', '-', '-', '-');
SELECT timeline('aborted', true, '-', '-', '-', '-');
SELECT timeline('superseded', true, '-', '-', '-', '-');
SELECT timeline('promoted', false, '-', '-', '-', '-');
-- Also what has the other moments set: only who runs can be changed by them.
SELECT timeline('halted', true, '2', '3', '4', '5');
SELECT timeline('aborted', true, '2', '3', '4', '5');
SELECT timeline('superseded', true, '2', '3', '4', '5');
-- A soak ends by itself; with approval it does not.
SELECT timeline('soaking', false, '-', '3', '-', '-');
SELECT timeline('soaking', false, '-', '-', '-', '-');
-- At the very moment it is over.
SELECT update_tier.phase_at('soaking', false, 'infinity', day('3'), 'infinity', 'infinity', day('3') - interval '1 microsecond'),
       update_tier.phase_at('soaking', false, 'infinity', day('3'), 'infinity', 'infinity', day('3'));
-- Queued: it gets its turn; canaries first, or the soak at once.
SELECT timeline('queued', true, '3', '-', '-', '-');
SELECT timeline('queued', false, '3', '5', '-', '-');
SELECT timeline('queued', false, '3', '5', '7', '-');
SELECT timeline('queued', true, '-', '-', '-', '-');
-- Promoted, until a newer one is.
SELECT timeline('promoted', false, '-', '-', '4', '-');
SELECT timeline('soaking', false, '-', '3', '6', '-');
-- Leases of last attempts that expire halt what runs, whatever else was due.
SELECT timeline('canary', true, '-', '-', '-', '4');
SELECT timeline('soaking', false, '-', '6', '-', '4');
SELECT timeline('soaking', false, '-', '4', '-', '6');
SELECT timeline('promoted', false, '-', '-', '-', '4');
SELECT timeline('promoted', false, '-', '-', '3', '4');
SELECT timeline('promoted', false, '-', '-', '5', '4');
-- At the same moment, what holds production back comes first.
SELECT timeline('soaking', false, '-', '4', '-', '4');
SELECT timeline('promoted', false, '-', '-', '4', '4');
-- Nonsense.
SELECT update_tier.phase_at('baking', false, 'infinity', 'infinity', 'infinity', 'infinity', now());
SELECT update_tier.phase_at(NULL, false, 'infinity', 'infinity', 'infinity', 'infinity', now()) IS NULL;
\pset format aligned
\pset tuples_only off
DROP FUNCTION timeline, day;
DROP EXTENSION update_tier;
