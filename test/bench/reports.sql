-- Many reports of one package in a single transaction: microseconds for each of 100
-- reports, and of :reports.  "apart": the transaction does nothing else.  "holding": the
-- transaction holds the package, because it has claimed.
SET client_min_messages = warning;
SELECT update_tier.set_policy('r', max_in_flight => 100000), update_tier.start('r', '1') \g /dev/null
CREATE TABLE taken (key text, turn integer, us double precision);
CREATE PROCEDURE report_in_one_transaction(turns integer, many integer) LANGUAGE plpgsql AS $$
DECLARE
    tokens bigint[]; n integer; holding boolean; began timestamptz; seconds double precision;
BEGIN
    -- The first turn is not counted.
    FOR turn IN 0 .. turns LOOP
        FOREACH holding IN ARRAY ARRAY[false, true] LOOP
            FOREACH n IN ARRAY ARRAY[100, many] LOOP
                seconds := 0;
                -- One short transaction would be too short to time.
                FOR i IN 1 .. CASE n WHEN 100 THEN 10 ELSE 1 END LOOP
                    tokens := ARRAY(SELECT token FROM update_tier.claim_batch('r', '1', n));
                    COMMIT;
                    ASSERT cardinality(tokens) = n;
                    IF holding THEN
                        PERFORM update_tier.claim_batch('r', '1', 0);
                    END IF;
                    began := clock_timestamp();
                    PERFORM count(update_tier.report(token, 'succeeded')) FROM unnest(tokens) AS token;
                    seconds := seconds + extract(epoch FROM clock_timestamp() - began);
                    COMMIT;
                END LOOP;
                INSERT INTO taken VALUES (concat_ws(' ', 'reports', CASE WHEN holding THEN 'holding' ELSE 'apart' END,
                                                    CASE n WHEN 100 THEN 'few' ELSE 'many' END),
                                          turn, seconds * 1e6 / CASE n WHEN 100 THEN 1000 ELSE n END);
            END LOOP;
        END LOOP;
    END LOOP;
END $$;
CALL report_in_one_transaction(:turns, :reports);
SELECT concat_ws(E'\t', key, 'µs', string_agg(us::text, ' ' ORDER BY turn)) FROM taken WHERE turn > 0 GROUP BY key ORDER BY key;
