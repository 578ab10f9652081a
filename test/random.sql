-- Random sequences of every rollout function, verb and policy, with time that
-- jumps; after each step gates, claims and view must agree, and the audit must
-- find nothing.  Prints what went wrong, which is nothing.
--
-- usage: psql -v steps=5000 -v seed=0.5 -f test/random.sql
\set ON_ERROR_STOP 1
SET client_min_messages = error;
\o /dev/null
\ir fleet.sql
\o
CREATE TABLE granted (token bigint, package text, version text, workspace uuid, lease_until timestamptz);
\ir audit.sql
\ir hostile.sql
CREATE TABLE trouble (step integer, call text, what text, detail text);

-- A call, at random.  Few names, so that what happens to one meets another.
CREATE FUNCTION some_call(p text, v text, n integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    k integer := (random() * 99)::integer;
BEGIN
    RETURN CASE
        WHEN k < 22 THEN format('SELECT update_tier.claim(%L, %L, %L)', p, v, w(n))
        WHEN k < 30 THEN format('SELECT count(*) FROM update_tier.claim_batch(%L, %L, %s)', p, v, (random() * 5)::integer)
        WHEN k < 58 THEN format('SELECT update_tier.report(token, %L, %L) FROM (SELECT token FROM update_tier.execution ORDER BY random() LIMIT 1) AS t',
            (ARRAY['succeeded', 'succeeded', 'succeeded', 'failed', 'error'])[1 + (random() * 4)::integer],
            CASE WHEN random() < 0.05 THEN 'another' END)
        WHEN k < 63 THEN format('SELECT update_tier.halt(%L, %L)', p, v)
        WHEN k < 71 THEN format('SELECT update_tier.resume(%L, %L)', p, v)
        WHEN k < 75 THEN format('SELECT update_tier.retry(%L, %L)', p, v)
        WHEN k < 79 THEN format('SELECT update_tier.promote(%L, %L)', p, v)
        WHEN k < 81 THEN format('SELECT update_tier.abort(%L, %L)', p, v)
        WHEN k < 84 THEN format('SELECT update_tier.start(%L, %L)', p, v)
        WHEN k < 88 THEN format('SELECT update_tier.set_policy(%L, %L, %s, %s, %s, %s, %L, %L, %L)', p,
            (ARRAY['0', '10 minutes', '1 hour'])[1 + (random() * 2)::integer], 1 + (random() * 2)::integer,
            (random() * 2)::integer, 1 + (random() * 6)::integer, 1 + (random() * 2)::integer, '15 minutes',
            random() < 0.7, random() < 0.6)
        WHEN k < 92 THEN format('UPDATE workspaces SET live = %L, update_tier = %L WHERE id = w(%s)',
            random() < 0.8, CASE WHEN random() < 0.4 THEN 'canary' ELSE 'production' END, n)
        ELSE format('SELECT later(%L)', (random() * 30)::integer || ' minutes')
    END;
END $$;

CREATE PROCEDURE random_steps(steps integer) LANGUAGE plpgsql AS $$
DECLARE
    p text; v text; n integer; call text; allowed boolean; why text; token bigint; found text; message text;
BEGIN
    FOR step IN 1 .. steps LOOP
        p := 'p' || (1 + random() * 2)::integer; v := 'v' || (1 + random() * 3)::integer; n := 1 + (random() * 8)::integer;
        call := some_call(p, v, n);
        BEGIN
            -- Under a search path full of shadows: none of them is used.
            IF call LIKE 'SELECT%update_tier.%' THEN
                SET LOCAL search_path = evil, pg_catalog, public;
            END IF;
            EXECUTE call;
            SET LOCAL search_path = public;
        EXCEPTION WHEN OTHERS THEN
            -- A phase that does not permit a verb, or a report that would improve.
            GET STACKED DIAGNOSTICS message = MESSAGE_TEXT;
            IF SQLSTATE NOT IN ('55000', 'P0002') OR SQLSTATE = '55000' AND message !~ '^(cannot|token)' THEN
                INSERT INTO trouble VALUES (step, call, SQLSTATE, message);
            END IF;
        END;
        COMMIT;

        allowed := update_tier.allows(p, v, w(n));
        why := update_tier.explain(p, v, w(n));
        IF allowed <> (why LIKE 'open to %') OR why LIKE '%(unknown)%' OR why LIKE '%infinity%' THEN
            INSERT INTO trouble VALUES (step, call, 'explain', why);
        END IF;
        IF step % 3 = 0 THEN
            token := update_tier.claim(p, v, w(n));
            IF token IS NOT NULL AND NOT allowed THEN
                INSERT INTO trouble VALUES (step, call, 'granted', why);
            ELSIF token IS NULL AND allowed AND (SELECT s.canary_in_flight + s.production_in_flight < r.max_in_flight
                    FROM update_tier.status AS s JOIN update_tier.rollout AS r USING (package, version)
                   WHERE (s.package, s.version) = (p, v)) THEN
                INSERT INTO trouble VALUES (step, call, 'refused', why);
            END IF;
            COMMIT;
        END IF;
        IF step % 10 = 0 THEN
            INSERT INTO trouble SELECT step, call, 'audit', violation FROM audit();
            INSERT INTO trouble
            SELECT step, call, 'at once', package || ' ' || string_agg(version || ' ' || phase, ', ')
              FROM update_tier.status WHERE phase IN ('canary', 'soaking', 'promoted')
             GROUP BY package, phase = 'promoted' HAVING count(*) > 1;
            COMMIT;
        END IF;
        EXIT WHEN EXISTS (SELECT 1 FROM trouble);
    END LOOP;
END $$;
SELECT setseed(:seed) \g /dev/null
CALL random_steps(:steps);
\pset tuples_only on
\pset format unaligned
SELECT * FROM trouble ORDER BY step;
