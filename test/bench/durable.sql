-- For test/bench/durable: packages that are never used up, for each kind of queue.
\ir queue.sql

-- Packages are numbers, so that a client can work out the name of its own.
CREATE SEQUENCE package_number;
CREATE TABLE series (kind text, packages integer, first bigint, PRIMARY KEY (kind, packages));

-- The number of workspaces of each of some packages that have not been claimed.  (A client
-- can end before it has reported all of its last batch.)
CREATE FUNCTION left_of(kind text, first bigint, packages integer) RETURNS SETOF bigint LANGUAGE plpgsql AS $$
DECLARE
    fleet bigint := (SELECT count(*) FROM workspaces);
BEGIN
    FOR p IN first .. first + packages - 1 LOOP
        IF kind = 'queue' THEN
            RETURN NEXT (SELECT count(*) FROM queue WHERE package = p::text AND status = 'pending');
        ELSIF kind = 'ours' THEN
            RETURN NEXT fleet - (SELECT canary_succeeded + production_succeeded + canary_in_flight + production_in_flight FROM update_tier.status WHERE package = p::text);
        ELSE
            RETURN NEXT fleet - (SELECT canary_succeeded + production_succeeded + canary_in_flight + production_in_flight FROM plain.rollout WHERE package = p::text);
        END IF;
    END LOOP;
END $$;

-- The first of some consecutive packages, each with at least so many workspaces left.  Makes
-- new packages, for the whole fleet, if one of the last packages has fewer left.
CREATE FUNCTION first_package(of_kind text, of_packages integer, least_left bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint := (SELECT first FROM series WHERE kind = of_kind AND packages = of_packages);
BEGIN
    IF n IS NOT NULL AND (SELECT min(l) FROM left_of(of_kind, n, of_packages) AS l) >= least_left THEN
        RETURN n;
    END IF;
    n := min(nextval('package_number')) FROM generate_series(1, of_packages);
    FOR p IN n .. n + of_packages - 1 LOOP
        IF of_kind = 'queue' THEN
            INSERT INTO queue (package, version, workspace) SELECT p::text, '1', id FROM workspaces ORDER BY id LIMIT 2 * least_left;
        ELSIF of_kind = 'ours' THEN
            PERFORM update_tier.start(p::text, '1');
        ELSE
            PERFORM plain.start(p::text, '1', '0', false, 100000);
        END IF;
    END LOOP;
    ANALYZE queue;
    INSERT INTO series VALUES (of_kind, of_packages, n) ON CONFLICT (kind, packages) DO UPDATE SET first = excluded.first;
    RETURN n;
END $$;

SELECT update_tier.attach('workspaces', 'live') \g /dev/null
SELECT update_tier.set_policy(soak => '0', require_canary => false, max_in_flight => 100000) \g /dev/null
UPDATE workspaces SET update_tier = 'canary' WHERE id IN (SELECT id FROM workspaces ORDER BY id LIMIT 20);
VACUUM ANALYZE workspaces;
