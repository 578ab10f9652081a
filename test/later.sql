-- later(interval) lets time pass: it moves all stored moments into the past.  That has the
-- same effect, because a phase depends on the stored rows and the clock alone.
CREATE FUNCTION later(how_much interval) RETURNS void LANGUAGE sql AS $$
    UPDATE update_tier.package SET
        stamp = stamp - how_much, first_expiry = first_expiry - how_much,
        frozen_until = frozen_until - how_much, swept_at = swept_at - how_much;
    UPDATE update_tier.rollout SET
        soaks_from = soaks_from - how_much, promoted_at = promoted_at - how_much,
        progress_at = progress_at - how_much, changed_at = changed_at - how_much, swept_at = swept_at - how_much;
    UPDATE update_tier.installation SET
        lease_until = lease_until - how_much, retry_at = retry_at - how_much,
        runs_since = runs_since - how_much, changed_at = changed_at - how_much;
    UPDATE update_tier.uncounted SET at = at - how_much;
    UPDATE update_tier.event SET at = at - how_much;
$$;
