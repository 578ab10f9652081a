--
-- The ramp: each production workspace has its own moment at which a promoted version
-- opens to it.
--
\getenv abs_srcdir PG_ABS_SRCDIR
\set fleet :abs_srcdir '/test/fleet.sql'
\set fleet_gone :abs_srcdir '/test/fleet_gone.sql'
\set ECHO none
\i :fleet
\set ECHO all
\pset null (null)
-- explain(), with "(a moment)" for the moment; and the part of the ramp that is over
-- at that moment.
CREATE FUNCTION why(package text, version text, n integer) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace(update_tier.explain(package, version, w(n)), '\d{4}-\d\d-\d\d .*', '(a moment)')
$$;
CREATE FUNCTION share(p text, v text, n integer) RETURNS numeric LANGUAGE sql AS $$
    SELECT round(1 - extract(epoch FROM ramp_ends_at - substring(update_tier.explain(p, v, w(n)) FROM 'opens for this workspace at (.*)')::timestamptz)
                     / extract(epoch FROM ramp), 5)
      FROM update_tier.status JOIN update_tier.rollout USING (package, version) WHERE package = p AND version = v
$$;
-- The workspaces that are due for a version.
CREATE FUNCTION open_to(p text, v text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n::text, ' ' ORDER BY n) FROM generate_series(1, 9) AS n WHERE update_tier.allows(p, v, w(n))
$$;
CREATE FUNCTION wanted(p text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(n || ':' || coalesce(update_tier.wanted_version(p, w(n)), '-'), ' ' ORDER BY n) FROM generate_series(1, 9) AS n
$$;

SELECT update_tier.set_policy('p', soak => '0', ramp => '10 hours', retry_delay => '0');
SELECT update_tier.start('p', 'v1');
SELECT run('p', 'v1', n) FROM generate_series(1, 3) AS n;
-- At the promotion the version is open to canaries and to no production workspace.
SELECT phases('p'), update_tier.promoted_version('p'), update_tier.is_open('p', 'v1', 'canary'), update_tier.is_open('p', 'v1', 'production');
SELECT phase, ramp_ends_at - changed_at > '9:59' AS later, waits_for LIKE 'ramping until %' AS waits FROM update_tier.status;
SELECT r.promoted_at + '10 hours' = s.ramp_ends_at AS measured_from_the_promotion FROM update_tier.rollout AS r, update_tier.status AS s;
-- The moment of each workspace depends on the package, the version and the workspace
-- alone.
SELECT n, share('p', 'v1', n), why('p', 'v1', n) FROM generate_series(4, 9) AS n;
SELECT open_to('p', 'v1'), wanted('p'), update_tier.claim('p', 'v1', w(4));
SELECT * FROM update_tier.claim_batch('p');
CREATE TABLE shares AS SELECT n, share('p', 'v1', n) AS v1 FROM generate_series(4, 9) AS n;

-- As time passes, gates, claims, batches and wanted_version() go by these moments.
SELECT later('5 hours');
SELECT string_agg(n::text, ' ' ORDER BY n) AS due FROM shares WHERE v1 <= 0.5;
SELECT open_to('p', 'v1'), wanted('p');
SELECT n(workspace), tier FROM update_tier.claim_batch('p', 'v1') ORDER BY workspace;
SELECT n(workspace), tier FROM update_tier.claim_batch('p', 'v1', candidates => ARRAY(SELECT w(n) FROM generate_series(4, 9) AS n));
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installed WHERE state = 'claimed';
SELECT count(*) AS unchanged FROM shares WHERE share('p', 'v1', n) = v1;
SELECT update_tier.is_open('p', 'v1', 'production'), phases('p');
SELECT later('290 minutes');
SELECT update_tier.is_open('p', 'v1', 'production'), (SELECT waits_for LIKE 'ramping until %' FROM update_tier.status) AS waits;
SELECT later('10 minutes');
SELECT update_tier.is_open('p', 'v1', 'production'), (SELECT waits_for FROM update_tier.status);
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.claim_batch('p');

-- The next version opens in another order.  Until its moment a workspace may have the
-- version promoted before.
SELECT update_tier.start('p', 'v2');
SELECT run('p', 'v2', 1);
SELECT phases('p'), update_tier.promoted_version('p'), update_tier.is_open('p', 'v1', 'production'), update_tier.is_open('p', 'v2', 'production');
ALTER TABLE shares ADD v2_of_p numeric, ADD v2 numeric, ADD v3 numeric;
UPDATE shares SET v2_of_p = share('p', 'v2', n);
SELECT n, v1, v2_of_p FROM shares ORDER BY n;
SELECT string_agg(n::text, ' ' ORDER BY v1) AS v1, string_agg(n::text, ' ' ORDER BY v2_of_p) AS v2 FROM shares;
SELECT wanted('p');
SELECT update_tier.forget('p', w(5), 'replaced'), update_tier.forget('p', w(9), 'replaced'), update_tier.forget('p', w(2), 'replaced');
SELECT n, why('p', 'v1', n), why('p', 'v2', n) FROM unnest(ARRAY[2, 5, 9]) AS n;
SELECT n(workspace), version FROM update_tier.claim_batch('p', 'v1');
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installed WHERE state = 'claimed';
-- A workspace that was given v2 before its moment keeps it.
SELECT update_tier.force('p', 'v2', w(9), 'asks for it') AS t \gset
SELECT update_tier.report(:t, 'succeeded'), why('p', 'v1', 9), wanted('p');
SELECT later('5 hours');
SELECT n, why('p', 'v1', n), why('p', 'v2', n), share('p', 'v2', n) FROM shares ORDER BY n;
SELECT wanted('p');
SELECT n(workspace), version FROM update_tier.claim_batch('p') ORDER BY workspace;
SELECT count(update_tier.report(token, 'succeeded')) FROM update_tier.installed WHERE state = 'claimed';

-- A halt stops the ramp, and opens the version promoted before to all.
SELECT update_tier.halt('p', 'v2', 'slow');
SELECT phases('p'), update_tier.is_open('p', 'v1', 'production'), open_to('p', 'v2'), wanted('p');
SELECT n, why('p', 'v1', n), why('p', 'v2', n) FROM unnest(ARRAY[5, 8]) AS n;
SELECT phase, ramp_ends_at, waits_for FROM update_tier.status WHERE version = 'v2';
-- After resume() the version soaks and ramps again.  The workspace's share of the ramp
-- is the same.
SELECT update_tier.set_policy('p', soak => '1 hour', apply_to_running => true);
SELECT update_tier.resume('p', 'v2');
SELECT phases('p'), why('p', 'v2', 5), why('p', 'v1', 5);
SELECT later('1 hour');
SELECT phases('p'), ramp_ends_at = soaks_from + interval '11 hours' AS anew FROM update_tier.status JOIN update_tier.rollout USING (package, version) WHERE version = 'v2';
SELECT why('p', 'v2', 5), share('p', 'v2', 5), why('p', 'v1', 5);

-- promote() ends the ramp.
SELECT update_tier.promote('p', 'v2', 'seen enough');
SELECT update_tier.is_open('p', 'v2', 'production'), open_to('p', 'v2'), wanted('p');
SELECT ramp_ends_at, waits_for, reason FROM update_tier.status WHERE version = 'v2';
SELECT update_tier.promote('p', 'v2');
SELECT kind, detail FROM update_tier.event WHERE version = 'v2' AND kind IN ('promoted', 'ramp ended') ORDER BY id;

-- A changed ramp is measured from the promotion.
SELECT update_tier.start('p', 'v3'), update_tier.promote('p', 'v3', 'urgent');
SELECT n, share('p', 'v3', n) FROM shares ORDER BY n;
SELECT later('2 hours');
SELECT open_to('p', 'v3');
SELECT update_tier.set_policy('p', ramp => '4 hours', apply_to_running => true);
SELECT open_to('p', 'v3');
SELECT update_tier.set_policy('p', ramp => '20 hours', apply_to_running => true);
SELECT open_to('p', 'v3');
SELECT update_tier.set_policy('p', ramp => '0', apply_to_running => true);
SELECT open_to('p', 'v3'), update_tier.is_open('p', 'v3', 'production');

-- While several versions ramp, a workspace has the newest one whose moment for it has
-- come.
SELECT update_tier.set_policy('q', ramp => '10 hours');
SELECT update_tier.start('q', 'v1'), update_tier.promote('q', 'v1', 'at once');
SELECT later('10 hours');
SELECT update_tier.start('q', 'v2'), update_tier.promote('q', 'v2', 'at once');
UPDATE shares SET v2 = share('q', 'v2', n);
SELECT later('2 hours');
SELECT update_tier.start('q', 'v3'), update_tier.promote('q', 'v3', 'at once');
UPDATE shares SET v3 = share('q', 'v3', n);
SELECT later('5 hours');
SELECT n, v2, v3, CASE WHEN v3 <= 0.5 THEN 'v3' WHEN v2 <= 0.7 THEN 'v2' ELSE 'v1' END AS expected, update_tier.wanted_version('q', w(n)),
       update_tier.allows('q', 'v1', w(n)) AS v1, update_tier.allows('q', 'v2', w(n)) AS v2, update_tier.allows('q', 'v3', w(n)) AS v3
  FROM shares ORDER BY n;
SELECT n(workspace), version FROM update_tier.claim_batch('q') WHERE tier = 'production' ORDER BY workspace;
-- In another package the same version and workspace have another moment.
SELECT count(*) AS same FROM shares WHERE v2 = v2_of_p;

-- The moments are evenly distributed: about a tenth of the workspaces in each tenth of
-- the ramp.
INSERT INTO workspaces SELECT w(n) FROM generate_series(1001, 2000) AS n;
SELECT update_tier.start('q', 'v4'), update_tier.promote('q', 'v4', 'at once');
SELECT floor(share('q', 'v4', n) * 10) AS tenth, count(*) BETWEEN 70 AND 130 AS evenly FROM generate_series(1001, 2000) AS n GROUP BY 1 ORDER BY 1;
SELECT count(DISTINCT share('q', 'v4', n)) > 950 AS apart FROM generate_series(1001, 2000) AS n;
DROP TABLE shares;
DROP FUNCTION why, share, open_to, wanted;

\set ECHO none
\i :fleet_gone
