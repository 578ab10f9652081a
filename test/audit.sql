-- The audit of test/stress and test/machine/compare: the invariants of doc/design.md that
-- rows can show, by their names there.
--
-- Facts that rows do not show later are written by the clients into two tables, in the
-- transaction of the call, which has the package locked.  Each call must be a separate
-- transaction.

-- Each version that a workspace was handed or was observed to run, and each forget().
CREATE TABLE handed (
    id            bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    kind          text NOT NULL CHECK (kind IN ('granted', 'forced', 'observed', 'forgotten')),
    package       text NOT NULL,
    workspace     uuid NOT NULL,
    -- The rest as it was at that moment.
    rollout       bigint,
    ordinal       bigint,
    token         bigint,
    attempt       integer,
    tier          text,
    lease_until   timestamptz,
    phase         text,         -- of the rollout, as stored
    replaced      boolean,      -- by a newer one, which is open to this workspace
    frozen        boolean,
    in_flight     integer,      -- leases of the package, this one included
    max_in_flight integer,
    max_attempts  integer,
    last_ordinal  bigint,       -- of what it was last handed; NULL: nothing
    may_go_back   boolean       -- from that
);
CREATE INDEX ON handed (package, workspace, id);
CREATE INDEX ON handed (token);

-- Each report for an attempt that was accepted.
CREATE TABLE reported (token bigint NOT NULL, outcome text NOT NULL);
CREATE INDEX ON reported (token);

-- A stored rollout that shows as superseded.
CREATE FUNCTION is_passed(r update_tier.rollout) RETURNS boolean LANGUAGE sql AS $$
    SELECT r.phase = 'superseded' OR r.phase IN ('promoted', 'halted') AND EXISTS (
        SELECT 1 FROM update_tier.rollout AS n
         WHERE n.package = r.package AND n.phase = 'promoted' AND n.ordinal > r.ordinal)
$$;

-- Record what a workspace has of a package now.  For a workspace of a batch, "later" is
-- the number of workspaces that the batch leased after it.
CREATE FUNCTION note(k text, p text, w uuid, later integer DEFAULT 0) RETURNS void LANGUAGE sql AS $$
    INSERT INTO handed (kind, package, workspace, rollout, ordinal, token, attempt, tier, lease_until, phase, replaced,
                        frozen, in_flight, max_in_flight, max_attempts, last_ordinal, may_go_back)
    SELECT k, p, w, i.rollout, i.ordinal, i.token, i.attempt, i.tier, i.lease_until, r.phase,
           EXISTS (SELECT 1 FROM update_tier.rollout AS n
                    WHERE n.package = p AND n.phase = 'promoted' AND n.ordinal > r.ordinal
                      AND (i.tier = 'canary' OR n.ramp <= now() - n.promoted_at)),
           greatest(q.frozen_until, a.frozen_until) > q.stamp,
           greatest(q.in_flight, (SELECT count(*) FROM update_tier.installation AS c
                                   WHERE c.package_id = q.id AND c.state = 'claimed')) - later,
           r.max_in_flight, r.max_attempts, last.ordinal,
           -- Back from an aborted version, or from a superseded version if nothing newer is
           -- in canary, soaking or promoted.
           COALESCE((SELECT l.phase = 'aborted'
                         OR is_passed(l) AND NOT EXISTS (SELECT 1 FROM update_tier.rollout AS n
                             WHERE n.package = p AND n.phase IN ('canary', 'soaking', 'promoted') AND n.ordinal > r.ordinal)
                       FROM update_tier.rollout AS l WHERE l.id = last.rollout), true)
      FROM update_tier.package AS q
      LEFT JOIN update_tier.package AS a ON a.name = '*'
      LEFT JOIN update_tier.installation AS i ON i.package_id = q.id AND i.workspace = w
      LEFT JOIN update_tier.rollout AS r ON r.id = i.rollout
      LEFT JOIN LATERAL (SELECT * FROM handed AS h WHERE h.package = p AND h.workspace = w
                          ORDER BY h.id DESC LIMIT 1) AS before ON true
      -- A first attempt that was skipped counts as not handed out.
      LEFT JOIN LATERAL (SELECT CASE WHEN s.skipped THEN i.runs ELSE before.rollout END AS rollout,
                                CASE WHEN s.skipped THEN i.runs_ordinal ELSE before.ordinal END AS ordinal
                           FROM (SELECT before.attempt <= 1 AND
                                        (SELECT bool_and(outcome = 'skipped') FROM reported AS v WHERE v.token = before.token)
                                        IS TRUE AS skipped) AS s
                          WHERE before.kind <> 'forgotten') AS last ON true
     WHERE q.name = p
$$;

-- The invariants, each as a query that must find nothing.  "complete": prune() has
-- deleted no event and no installation.
CREATE FUNCTION audit(complete boolean DEFAULT true) RETURNS TABLE (violation text) LANGUAGE sql AS $$
    SELECT format('one_runs: %s of %s in canary or soaking', count(*), package) FROM update_tier.rollout
     WHERE phase IN ('canary', 'soaking') GROUP BY package HAVING count(*) > 1
    UNION ALL
    SELECT format('one_runs: %s of %s queued', count(*), package) FROM update_tier.rollout
     WHERE phase = 'queued' GROUP BY package HAVING count(*) > 1
    UNION ALL
    SELECT format('one_runs: %s %s is queued behind none', package, version) FROM update_tier.rollout AS r
     WHERE phase = 'queued' AND NOT EXISTS (SELECT 1 FROM update_tier.rollout AS s
            WHERE s.package = r.package AND s.phase IN ('canary', 'soaking') AND s.ordinal < r.ordinal)

    UNION ALL
    SELECT format('one_lease: token %s was granted as lease %s of %s', token, in_flight, max_in_flight) FROM handed
     WHERE kind = 'granted' AND in_flight > max_in_flight
    UNION ALL
    SELECT format('one_lease: token %s expired before its lease had ended', h.token)
      FROM handed AS h JOIN update_tier.event AS e ON e.token = h.token AND e.kind = 'expired'
     WHERE h.kind IN ('granted', 'forced') AND e.at < h.lease_until
    UNION ALL
    SELECT format('one_lease: token %s was replaced while its lease was live', token) FROM update_tier.event
     WHERE kind = 'replaced' AND detail = 'claimed'
    UNION ALL
    SELECT format('one_lease: token %s is lost', token) FROM handed AS h
     WHERE complete AND kind IN ('granted', 'forced')
       AND NOT EXISTS (SELECT 1 FROM update_tier.installation AS i WHERE i.token = h.token)
       AND NOT EXISTS (SELECT 1 FROM update_tier.event AS e WHERE e.token = h.token AND e.kind = 'replaced')
    UNION ALL
    SELECT format('one_lease: the lease of token %s will not be seen to expire', i.token)
      FROM update_tier.installation AS i JOIN update_tier.package AS p ON p.id = i.package_id
     WHERE i.state = 'claimed' AND p.first_expiry > i.lease_until

    UNION ALL
    SELECT format('gate: token %s was granted in phase %s to %s%s%s', token, phase, tier,
                  CASE WHEN frozen THEN ', frozen' END, CASE WHEN replaced THEN ', superseded' END) FROM handed
     WHERE kind = 'granted'
       AND (frozen OR replaced OR phase <> 'promoted' AND NOT (tier = 'canary' AND phase IN ('canary', 'soaking')))
    UNION ALL
    SELECT format('gate: token %s was granted as attempt %s of %s', token, attempt, max_attempts) FROM handed
     WHERE kind = 'granted' AND attempt > max_attempts

    UNION ALL
    SELECT format('forward: token %s went back from %s to %s', token, last_ordinal, ordinal) FROM handed
     WHERE complete AND kind = 'granted' AND last_ordinal > ordinal AND NOT may_go_back

    UNION ALL
    SELECT format('soaked: %s %s was promoted after %s of %s', package, version, promoted_at - soaks_from, soak)
      FROM update_tier.rollout AS r
     WHERE CASE WHEN isfinite(promoted_at) AND isfinite(soaks_from) THEN promoted_at - soaks_from < soak END
       AND EXISTS (SELECT 1 FROM (SELECT kind, detail FROM update_tier.event AS e
                                   WHERE e.package = r.package AND e.version = r.version AND kind IN ('promoted', 'policy')
                                   ORDER BY id DESC LIMIT 1) AS e
                    WHERE e.kind = 'promoted' AND e.detail = 'the soak is over')
    UNION ALL
    SELECT format('soaked: %s %s soaks after %s of %s successes', package, version, canary_succeeded + canary_moved_on, min_successes)
      FROM update_tier.rollout AS r
     WHERE complete AND phase = 'soaking' AND require_canary AND canary_succeeded + canary_moved_on < min_successes
       AND NOT EXISTS (SELECT 1 FROM update_tier.event AS e
                        WHERE e.package = r.package AND e.version = r.version AND e.kind = 'policy')

    UNION ALL
    -- From halted by a verb only; a version that prune() has deleted can be started again.
    SELECT format('latched: %s %s went from %s to %s by event %s', package, version, before, kind, id)
      FROM (SELECT *, lag(kind) OVER (PARTITION BY package, version ORDER BY id) AS before FROM update_tier.event
             WHERE kind IN ('queued', 'canary', 'soaking', 'promoted', 'halted', 'aborted', 'superseded',
                            'resumed', 'retried', 'started')) AS e
     WHERE before = 'halted' AND kind NOT IN ('resumed', 'retried', 'started', 'aborted')
        OR before = 'resumed' AND kind = 'promoted'

    UNION ALL
    SELECT format('promoted: %s has %s, and status shows %s as promoted', p.name, update_tier.promoted_version(p.name), s.versions)
      FROM update_tier.package AS p
      LEFT JOIN (SELECT package, string_agg(version, ', ' ORDER BY version) AS versions FROM update_tier.status
                  WHERE phase = 'promoted' GROUP BY package) AS s ON s.package = p.name
     WHERE p.name <> '*' AND update_tier.promoted_version(p.name) IS DISTINCT FROM s.versions
    UNION ALL
    -- The promoted version is the newest one that is stored as promoted; older versions show
    -- as superseded.
    SELECT format('promoted: %s %s, stored as %s, shows as %s beside %s', r.package, r.version, r.phase, s.phase, n.version)
      FROM update_tier.rollout AS r
      JOIN update_tier.status AS s USING (package, version)
      LEFT JOIN (SELECT * FROM update_tier.rollout JOIN (SELECT package, version FROM update_tier.status WHERE phase = 'promoted') AS t
                         USING (package, version)) AS n ON n.package = r.package
     WHERE r.phase IN ('promoted', 'halted')
       AND COALESCE(n.ordinal > r.ordinal, false) <> (s.phase = 'superseded') AND n.version IS DISTINCT FROM r.version
    UNION ALL
    SELECT format('promoted: %s %s is not open to production', s.package, s.version)
      FROM update_tier.status AS s
      JOIN update_tier.rollout AS r USING (package, version)
      JOIN update_tier.package AS p ON p.name = s.package
      LEFT JOIN update_tier.package AS a ON a.name = '*'
     WHERE s.phase = 'promoted' AND r.phase = 'promoted' AND CASE WHEN isfinite(r.promoted_at) THEN r.ramp <= now() - r.promoted_at END
       AND greatest(p.frozen_until, a.frozen_until) <= now()
       AND NOT update_tier.is_open(s.package, s.version, 'production')

    UNION ALL
    -- A lease counts until its report is counted.
    SELECT format('counted: %s of %s are in flight, %s are to be counted, stored is %s', c.claimed, p.name, c.uncounted, p.in_flight)
      FROM update_tier.package AS p,
   LATERAL (SELECT (SELECT count(*) FROM update_tier.installation AS i WHERE i.package_id = p.id AND i.state = 'claimed') AS claimed,
                   (SELECT count(*) FROM update_tier.uncounted AS u WHERE u.package_id = p.id) AS uncounted) AS c
     WHERE c.claimed + c.uncounted <> p.in_flight
    UNION ALL
    -- A failure stays counted when the workspace gets another version: each has an event.
    SELECT format('counted: %s %s %s: stored (succeeded, failed, acknowledged) are %s, rows are %s, and there were %s failures',
                  r.package, r.version, t.tier, (t.succeeded, t.failed, t.acknowledged), (c.succeeded, c.failed, c.acknowledged), f.failures)
      FROM update_tier.rollout AS r,
   LATERAL (SELECT count(*) FILTER (WHERE u.tier = 'canary') AS canary, count(*) FILTER (WHERE u.tier = 'production') AS production
              FROM update_tier.uncounted AS u WHERE u.rollout = r.id AND u.run = r.run AND u.succeeded) AS u,
   LATERAL (VALUES ('canary', r.canary_succeeded + u.canary, r.canary_failed, r.canary_acknowledged),
                   ('production', r.production_succeeded + u.production, r.production_failed, r.production_acknowledged))
                   AS t (tier, succeeded, failed, acknowledged),
   LATERAL (SELECT count(*) FILTER (WHERE evidence = 'succeeded') AS succeeded,
                   count(*) FILTER (WHERE evidence = 'failed') AS failed,
                   count(*) FILTER (WHERE evidence = 'failed' AND resumed < r.resumed) AS acknowledged
              FROM update_tier.installation AS i
             WHERE i.rollout = r.id AND i.run = r.run AND i.evidence_tier = t.tier) AS c,
   LATERAL (SELECT count(*) AS failures
              FROM update_tier.event AS e
             WHERE e.package = r.package AND e.version = r.version AND e.kind = 'failed'
               AND e.id > (SELECT max(id) FROM update_tier.event AS b
                            WHERE b.package = r.package AND b.version = r.version AND b.kind IN ('started', 'retried'))) AS f
     WHERE t.succeeded <> c.succeeded OR t.failed < c.failed OR t.acknowledged < c.acknowledged
        OR t.acknowledged > t.failed OR complete AND t.failed > f.failures
    UNION ALL
    -- The worst report of an attempt is its state, unless an observation came after it.
    SELECT format('counted: token %s was reported as %s and is %s', i.token, s.outcome, i.state)
      FROM update_tier.installation AS i
      JOIN LATERAL (SELECT outcome FROM reported AS v WHERE v.token = i.token
                     ORDER BY array_position(ARRAY['failed', 'error'], outcome) LIMIT 1) AS s ON true
     WHERE i.state <> s.outcome
       AND NOT EXISTS (SELECT 1 FROM handed AS h JOIN update_tier.package AS p ON p.name = h.package
                        WHERE p.id = i.package_id AND h.workspace = i.workspace AND h.kind = 'observed'
                          AND h.id > (SELECT max(g.id) FROM handed AS g WHERE g.token = i.token AND g.kind <> 'observed'))
    UNION ALL
    SELECT format('counted: workspace %s has %s %s, which does not exist', i.workspace, x.what, x.id)
      FROM update_tier.installation AS i,
   LATERAL (VALUES ('rollout', i.rollout), ('rollout', i.runs)) AS x (what, id)
     WHERE NOT EXISTS (SELECT 1 FROM update_tier.rollout AS r WHERE r.id = x.id) AND x.id IS NOT NULL
    UNION ALL
    SELECT format('counted: workspace %s has package %s, which does not exist', i.workspace, i.package_id)
      FROM update_tier.installation AS i
     WHERE NOT EXISTS (SELECT 1 FROM update_tier.package AS p WHERE p.id = i.package_id)
    UNION ALL
    SELECT format('counted: version %s is of package %s, which does not exist', r.version, r.package)
      FROM update_tier.rollout AS r
     WHERE NOT EXISTS (SELECT 1 FROM update_tier.package AS p WHERE p.name = r.package)

    UNION ALL
    SELECT format('monotone: event %s of %s is before the one before it', id, package)
      FROM (SELECT *, lag(at) OVER (PARTITION BY package ORDER BY id) AS before FROM update_tier.event) AS e
     WHERE at < before
    UNION ALL
    SELECT format('monotone: %s %s is after the stamp of %s', m.what, m.moment, p.name)
      FROM update_tier.package AS p,
   LATERAL (SELECT 'event', max(at) FROM update_tier.event AS e WHERE e.package = p.name
            UNION ALL
            SELECT x.what, max(x.moment) FROM update_tier.rollout AS r,
           LATERAL (VALUES ('changed_at', r.changed_at), ('progress_at', r.progress_at),
                           ('soaks_from', r.soaks_from), ('promoted_at', r.promoted_at)) AS x (what, moment)
             WHERE r.package = p.name AND isfinite(x.moment) GROUP BY x.what
            UNION ALL
            SELECT 'installation', max(i.changed_at) FROM update_tier.installation AS i WHERE i.package_id = p.id) AS m (what, moment)
     -- A report that is not counted yet can be later than the stamp of the package.
     WHERE m.moment > greatest(p.stamp, (SELECT max(u.at) FROM update_tier.uncounted AS u WHERE u.package_id = p.id))
$$;
