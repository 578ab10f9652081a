/*-------------------------------------------------------------------------
 *
 * rollout/machine.c
 *	  The state of a package: a pure function of its rows and a moment.
 *
 * Nothing has to run for a soak to end, for a version that waits to get its
 * turn, or for a lease to expire.  machine_settle() goes through what has
 * happened by itself since the rows were written, in the order of time.
 * Nothing is predicted, and nothing is stored that can be derived.
 *
 * The terms are those of progressive delivery: rollout, canary, soak (or bake)
 * time, promote, halt, resume, abort, retry.  That each member of a fleet has a
 * moment of its own, a hash of the package, the version and the member, is how
 * Ubuntu phases its updates.
 *
 * Pure C: no server, no clock, no allocation.
 *
 *-------------------------------------------------------------------------
 */
#include <assert.h>
#include <string.h>

#include "rollout/machine.h"

#define POLICY_DEFAULT(kind, name, standard, least) .name = (standard),
const Policy policy_default = { POLICY_SETTINGS(POLICY_DEFAULT) };


/* ---------------------------------------------------------------------
 * Moments
 * ---------------------------------------------------------------------
 */

/* So much later; NEVER when that is beyond all moments. */
static Moment
later(Moment moment, Span span)
{
	return moment == NEVER || moment > NEVER - span ? NEVER : moment + span;
}

static Moment
latest(Moment a, Moment b)
{
	return a > b ? a : b;
}

static Moment
earliest(Moment a, Moment b)
{
	return a < b ? a : b;
}


/* ---------------------------------------------------------------------
 * Rollouts among one another
 * ---------------------------------------------------------------------
 */

/* machine_rollout: the rollout with this id, or NULL. */
Rollout *
machine_rollout(const Package *package, int64_t id)
{
	for (int i = 0; i < package->count; i++)
	{
		if (package->rollouts[i]->id == id)
			return package->rollouts[i];
	}
	return NULL;
}

/* The newest rollout that is stored in this phase; NULL if there is none. */
static Rollout *
newest_in(const Package *package, Phase phase)
{
	for (int i = package->count - 1; i >= 0; i--)
	{
		if (package->rollouts[i]->phase == phase)
			return package->rollouts[i];
	}
	return NULL;
}

/* machine_running: the rollout in canary or soaking; NULL if there is none. */
Rollout *
machine_running(const Package *package)
{
	Rollout *canary = newest_in(package, PHASE_CANARY);

	return canary ? canary : newest_in(package, PHASE_SOAKING);
}

/*
 * machine_promoted
 *		What production, and every new workspace, should have: the newest
 *		rollout that was promoted and is neither halted nor aborted.
 */
Rollout *
machine_promoted(const Package *package)
{
	return newest_in(package, PHASE_PROMOTED);
}

/* machine_promoted_before: the newest promoted one that is older; NULL: there is none. */
Rollout *
machine_promoted_before(const Package *package, const Rollout *rollout)
{
	for (int i = package->count - 1; i >= 0; i--)
	{
		Rollout *other = package->rollouts[i];

		if (other->phase == PHASE_PROMOTED && other->ordinal < rollout->ordinal)
			return other;
	}
	return NULL;
}

/*
 * machine_phase
 *		The phase of a rollout, as shown: what was promoted is superseded when a
 *		newer one is promoted, and so is what was halted.  If that newer one is
 *		halted or aborted, the former is promoted again.
 */
Phase
machine_phase(const Package *package, const Rollout *rollout)
{
	const Rollout *promoted = machine_promoted(package);

	if ((rollout->phase == PHASE_PROMOTED || rollout->phase == PHASE_HALTED) &&
		promoted != NULL && promoted->ordinal > rollout->ordinal)
		return PHASE_SUPERSEDED;
	return rollout->phase;
}

/*
 * machine_successor
 *		The newer rollout that has taken a rollout's place, or stands in the
 *		way of its return; NULL if there is none.
 */
Rollout *
machine_successor(const Package *package, const Rollout *rollout)
{
	for (int i = package->count - 1; i >= 0; i--)
	{
		Rollout *other = package->rollouts[i];

		if (other->ordinal > rollout->ordinal &&
			(other->phase == PHASE_QUEUED || other->phase == PHASE_CANARY ||
			 other->phase == PHASE_SOAKING || other->phase == PHASE_PROMOTED))
			return other;
	}
	return NULL;
}

/* Is something newer in canary, soaking or promoted? */
static bool
newer_is_open(const Package *package, const Rollout *rollout)
{
	const Rollout *current = machine_running(package);
	const Rollout *promoted = machine_promoted(package);

	return (current != NULL && current->ordinal > rollout->ordinal) ||
		(promoted != NULL && promoted->ordinal > rollout->ordinal);
}

/* machine_soak_ends_at: NEVER without a soak, or if it ends with an approval only. */
Moment
machine_soak_ends_at(const Rollout *rollout)
{
	return rollout->policy.auto_promote ? machine_soak_over_at(rollout) : NEVER;
}

/* machine_soak_over_at: when the soak has lasted long enough, approval or not. */
Moment
machine_soak_over_at(const Rollout *rollout)
{
	return later(rollout->soaks_from, rollout->policy.soak);
}

/* machine_ramp_ends_at: when all of production has the version open to it. */
Moment
machine_ramp_ends_at(const Rollout *rollout)
{
	return later(rollout->promoted_at, rollout->policy.ramp);
}

/*
 * A rollout in canary makes progress for one lease after a canary succeeded:
 * that long a newer version waits.
 */
static Moment
progress_ends_at(const Rollout *rollout)
{
	return rollout->progress_at == NEVER ? -NEVER : later(rollout->progress_at, rollout->policy.lease);
}

/*
 * machine_turn_at
 *		When a queued rollout gets its turn, if nothing else happens; NEVER
 *		where that takes an operator.
 */
Moment
machine_turn_at(const Package *package, const Rollout *rollout)
{
	const Rollout *current = machine_running(package);

	if (rollout->phase != PHASE_QUEUED || current == NULL)
		return package->stamp;
	return current->phase == PHASE_SOAKING ? machine_soak_ends_at(current) : progress_ends_at(current);
}


/* ---------------------------------------------------------------------
 * What happened
 * ---------------------------------------------------------------------
 */

/*
 * machine_events_at_most
 *		How many events settling, and one function after it, can yield: a
 *		lease expires at most once and a rollout enters each phase at most once
 *		for each thing that happens.
 */
int
machine_events_at_most(const Package *package)
{
	return 2 * package->lease_count + (PHASE_COUNT + 1) * (package->count + package->uncounted_count + 1);
}

static void
happened(Package *package, Event event)
{
	assert(package->event_count < machine_events_at_most(package));
	event.at = package->stamp;
	package->events[package->event_count++] = event;
}

static void
enter(Package *package, Rollout *rollout, Phase phase, const Rollout *by)
{
	rollout->phase = phase;
	rollout->changed = true;
	happened(package, (Event){ .what = HAPPENED_PHASE, .rollout = rollout, .phase = phase, .by = by });
}


/* ---------------------------------------------------------------------
 * Who runs
 * ---------------------------------------------------------------------
 */

static bool
needs_canary(const Rollout *rollout)
{
	return rollout->policy.require_canary &&
		rollout->tally[TIER_CANARY].succeeded < rollout->policy.min_successes;
}

/* It is the rollout's turn: canaries first, or the soak if they did enough. */
static void
run(Package *package, Rollout *rollout)
{
	rollout->soaks_from = needs_canary(rollout) ? NEVER : package->stamp;
	enter(package, rollout, needs_canary(rollout) ? PHASE_CANARY : PHASE_SOAKING, NULL);
}

static void
supersede(Package *package, Rollout *rollout, const Rollout *by)
{
	rollout->soaks_from = NEVER;
	enter(package, rollout, PHASE_SUPERSEDED, by);
}

/* Does a rollout that runs make a newer one wait? */
static bool
holds_its_place(const Package *package, const Rollout *rollout)
{
	return rollout->phase == PHASE_SOAKING || package->stamp < progress_ends_at(rollout);
}

/*
 * Let a rollout in that is newer than all that wait or run.  A rollout in
 * canary gives way: one whose canaries never answer must not block its own
 * fix.  A rollout that soaks, or makes progress, does not: else a package that
 * moves often would never be promoted.  Of those that wait the newest waits.
 */
static void
admit(Package *package, Rollout *rollout)
{
	Rollout *waiting = newest_in(package, PHASE_QUEUED);
	Rollout *current = machine_running(package);

	if (waiting != NULL)
		supersede(package, waiting, rollout);
	if (current != NULL && holds_its_place(package, current))
	{
		rollout->soaks_from = NEVER;
		enter(package, rollout, PHASE_QUEUED, current);
		return;
	}
	if (current != NULL)
		supersede(package, current, rollout);
	run(package, rollout);
}

/*
 * Too many failures in a tier?  Both thresholds must be exceeded: a share alone
 * would halt a large fleet's rollout at its first failure, a number alone is
 * too small for a large fleet or too large for a small one.
 */
static bool
fails_too_often(const Rollout *rollout, Tier tier)
{
	const Tally *tally = &rollout->tally[tier];
	int64_t		 failures = (int64_t) tally->failed - tally->acknowledged;

	return failures > rollout->policy.max_failures &&
		100 * failures > rollout->policy.max_failure_percent *
			(failures + tally->succeeded + tally->moved_on);
}

/*
 * machine_is_consistent
 *		Do the fields of a rollout agree, as far as they can without the others?
 */
bool
machine_is_consistent(const Rollout *rollout)
{
	bool is_open = rollout->phase == PHASE_QUEUED || rollout->phase == PHASE_CANARY ||
		rollout->phase == PHASE_SOAKING || rollout->phase == PHASE_PROMOTED;

	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		const Tally *tally = &rollout->tally[tier];

		if (tally->acknowledged < 0 || tally->acknowledged > tally->failed ||
			(is_open && fails_too_often(rollout, (Tier) tier)))
			return false;
	}
	if (rollout->phase == PHASE_SOAKING && rollout->soaks_from == NEVER)
		return false;
	return rollout->phase != PHASE_PROMOTED || rollout->promoted_at != NEVER;
}

static void
halt_failing(Package *package, Rollout *rollout, const Lease *tipped_by)
{
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		if (!fails_too_often(rollout, (Tier) tier))
			continue;
		enter(package, rollout, PHASE_HALTED, NULL);
		package->events[package->event_count - 1].lease = tipped_by;
		package->events[package->event_count - 1].tier = (Tier) tier;
		return;
	}
}

/*
 * Draw the conclusions from the rows as they are, at the package's stamp.
 * Halts come first: where two things could happen, the one that holds
 * production back does.
 */
static void
conclude(Package *package, const Lease *tipped_by)
{
	Rollout *waiting;
	Rollout *current;

	for (int i = 0; i < package->count; i++)
	{
		Rollout *rollout = package->rollouts[i];

		if (rollout->phase == PHASE_QUEUED || rollout->phase == PHASE_CANARY ||
			rollout->phase == PHASE_SOAKING || rollout->phase == PHASE_PROMOTED)
			halt_failing(package, rollout, tipped_by);
	}

	current = machine_running(package);
	if (current != NULL && current->phase == PHASE_CANARY && !needs_canary(current))
		run(package, current);

	waiting = newest_in(package, PHASE_QUEUED);
	if (waiting == NULL || (current != NULL && holds_its_place(package, current)))
		return;
	if (current != NULL)
		supersede(package, current, waiting);
	run(package, waiting);
}

/*
 * A rollout becomes the promoted version.  What is older, and still on its way,
 * has lost its purpose.
 */
static void
enter_promoted(Package *package, Rollout *rollout)
{
	rollout->promoted_at = package->stamp;
	if (rollout->soaks_from == NEVER)
		rollout->soaks_from = package->stamp;
	enter(package, rollout, PHASE_PROMOTED, NULL);
	for (int i = 0; i < package->count; i++)
	{
		Rollout *other = package->rollouts[i];

		if (other->ordinal < rollout->ordinal &&
			(other->phase == PHASE_QUEUED || other->phase == PHASE_CANARY || other->phase == PHASE_SOAKING))
			supersede(package, other, rollout);
	}
}


/* ---------------------------------------------------------------------
 * Evidence
 * ---------------------------------------------------------------------
 */

/* Is the installation of the rollout's present run? */
static bool
is_of_run(const Rollout *rollout, const Installation *installation)
{
	return installation->rollout == rollout->id && installation->run == rollout->run;
}

/* Has resume acknowledged the failure of this workspace? */
static bool
is_acknowledged(const Rollout *rollout, const Installation *installation)
{
	return installation->evidence == EVIDENCE_FAILED && installation->resumed < rollout->resumed;
}

/*
 * Change what a workspace says of the rollout, and the tallies with it.  It
 * counts for the tier that the workspace had when it was claimed.
 */
static void
set_evidence(Package *package, Rollout *rollout, Installation *installation, Evidence evidence)
{
	Tally *before = &rollout->tally[installation->evidence_tier];
	Tally *after = &rollout->tally[installation->tier];

	if (installation->evidence == EVIDENCE_SUCCEEDED)
		before->succeeded--;
	else if (installation->evidence == EVIDENCE_FAILED)
	{
		before->failed--;
		if (is_acknowledged(rollout, installation))
			before->acknowledged--;
	}

	if (evidence == EVIDENCE_SUCCEEDED)
	{
		after->succeeded++;
		if (installation->tier == TIER_CANARY)
			rollout->progress_at = package->stamp;
	}
	else if (evidence == EVIDENCE_FAILED)
		after->failed++;
	installation->evidence = evidence;
	installation->evidence_tier = installation->tier;
	installation->resumed = rollout->resumed;
	rollout->changed = true;

	/* A canary has withdrawn its success: the soak had no ground. */
	if (rollout->phase == PHASE_SOAKING && evidence != EVIDENCE_SUCCEEDED && needs_canary(rollout))
	{
		rollout->soaks_from = NEVER;
		enter(package, rollout, PHASE_CANARY, NULL);
	}
}

/*
 * The workspace moves on to another rollout, or is forgotten.  A success is
 * counted where the workspace is now; a failure stays counted where it was.
 */
static void
leave(const Package *package, Installation *installation)
{
	Rollout *rollout = machine_rollout(package, installation->rollout);

	if (rollout != NULL && is_of_run(rollout, installation) &&
		installation->evidence == EVIDENCE_SUCCEEDED)
	{
		rollout->tally[installation->evidence_tier].succeeded--;
		rollout->tally[installation->evidence_tier].moved_on++;
		rollout->changed = true;
	}
	installation->evidence = EVIDENCE_NONE;
}

static int
attempts_used(const Rollout *rollout, const Installation *installation)
{
	if (!is_of_run(rollout, installation) || is_acknowledged(rollout, installation))
		return 0;
	return installation->attempt - (installation->state == STATE_SKIPPED ? 1 : 0);
}

/*
 * machine_attempts_used
 *		How many attempts of the current run a workspace has used: one that was
 *		skipped does not count, and resume gives them back.
 */
int
machine_attempts_used(const Package *package, const Installation *installation)
{
	const Rollout *rollout = machine_rollout(package, installation->rollout);

	return rollout == NULL ? 0 : attempts_used(rollout, installation);
}

static bool
attempts_are_spent(const Rollout *rollout, const Installation *installation)
{
	return attempts_used(rollout, installation) >= rollout->policy.max_attempts;
}

/* machine_is_last_attempt: does what becomes of this attempt count, whatever it is? */
bool
machine_is_last_attempt(const Package *package, const Installation *installation)
{
	const Rollout *rollout = machine_rollout(package, installation->rollout);

	return rollout != NULL && is_of_run(rollout, installation) &&
		attempts_are_spent(rollout, installation);
}

/* machine_is_of_run: is the latest attempt one of the current run of its version? */
bool
machine_is_of_run(const Package *package, const Installation *installation)
{
	const Rollout *rollout = machine_rollout(package, installation->rollout);

	return rollout != NULL && is_of_run(rollout, installation);
}

/*
 * machine_is_leased
 *		Does the workspace hold a live lease?  After machine_settle() an attempt
 *		that is claimed has one, or is being reported on.
 */
bool
machine_is_leased(const Installation *installation)
{
	return installation->rollout != NO_ROLLOUT && installation->state == STATE_CLAIMED;
}


/* ---------------------------------------------------------------------
 * The clock
 * ---------------------------------------------------------------------
 */

/* Nobody has reported in time: the outcome is unknown. */
static void
expire(Package *package, Lease *lease)
{
	Installation *installation = lease->installation;
	Rollout		 *rollout = machine_rollout(package, installation->rollout);

	lease->expired = true;
	package->in_flight--;
	installation->state = STATE_EXPIRED;
	installation->retry_at = 0;
	happened(package, (Event){ .what = HAPPENED_EXPIRED, .rollout = rollout, .lease = lease });
	if (rollout == NULL)
		return;
	installation->retry_at = later(package->stamp, rollout->policy.retry_delay);

	/*
	 * The last attempt counts, or an update that makes workspaces unreachable
	 * would never be stopped.  A workspace that is gone says nothing.
	 */
	if (lease->live && is_of_run(rollout, installation) && attempts_are_spent(rollout, installation))
	{
		set_evidence(package, rollout, installation, EVIDENCE_FAILED);
		happened(package, (Event){ .what = HAPPENED_FAILED, .rollout = rollout, .lease = lease });
	}
}

/* Of two that run out at the same moment, the one that was granted first comes first. */
static bool
expires_before(const Installation *a, const Installation *b)
{
	return a->lease_until < b->lease_until || (a->lease_until == b->lease_until && a->token < b->token);
}

/* The lease that runs out first, if one has by then. */
static Lease *
next_expiry(const Package *package, Moment clock)
{
	Lease *first = NULL;

	for (int i = 0; i < package->lease_count; i++)
	{
		Lease		 *lease = &package->leases[i];
		Installation *installation = lease->installation;

		if (installation->state == STATE_CLAIMED &&
			installation->lease_until <= earliest(clock, lease->asked_at) &&
			(first == NULL || expires_before(installation, first->installation)))
			first = lease;
	}
	return first;
}

/*
 * Count a report that was written without the package.  Its rollout may have been
 * started again since, or deleted.
 */
static void
count(Package *package, const Uncounted *uncounted)
{
	Rollout *rollout = machine_rollout(package, uncounted->rollout);

	package->counted++;
	package->in_flight--;
	if (rollout == NULL || rollout->run != uncounted->run || !uncounted->succeeded)
		return;
	rollout->tally[uncounted->tier].succeeded++;
	if (uncounted->tier == TIER_CANARY)
		rollout->progress_at = uncounted->at;
	rollout->changed = true;
}

/* The first report that is not counted yet; NULL: there is none. */
static const Uncounted *
next_uncounted(const Package *package)
{
	return package->counted < package->uncounted_count ? &package->uncounted[package->counted] : NULL;
}

/* What happens next by itself, and when. */
typedef struct Next
{
	Moment			 at;		/* NEVER: nothing */
	Lease			*lease;		/* expires; or NULL */
	Rollout			*promoted;	/* its soak ends; or NULL */
	const Uncounted *uncounted; /* was reported; or NULL */
} Next;

static Next
next_by_itself(const Package *package, Moment until)
{
	Rollout			*current = machine_running(package);
	Rollout			*waiting = newest_in(package, PHASE_QUEUED);
	Lease			*lease = next_expiry(package, until);
	Moment			 expires_at = lease ? lease->installation->lease_until : NEVER;
	Moment			 soaked_at = current && current->phase == PHASE_SOAKING ? machine_soak_ends_at(current) : NEVER;
	Moment			 turn_at = current && current->phase == PHASE_CANARY && waiting ? progress_ends_at(current) : NEVER;
	Next			 next = { .at = earliest(expires_at, earliest(soaked_at, turn_at)) };
	const Uncounted *uncounted = next_uncounted(package);

	/* A report that takes its turn finds done what happens at its moment. */
	if (uncounted != NULL && uncounted->at < next.at)
		return (Next){ .at = uncounted->at, .uncounted = uncounted };
	if (next.at == expires_at)
		next.lease = lease;
	else if (next.at == soaked_at)
		next.promoted = current;
	return next;
}

/*
 * machine_next_moment
 *		After machine_settle(): when something happens next by itself, leases
 *		apart that are not among the package's; NEVER: nothing does.
 */
Moment
machine_next_moment(const Package *package)
{
	return next_by_itself(package, NEVER).at;
}

/*
 * machine_settle
 *		Do what has happened by itself up to a moment, in the order of time.
 *
 * Where two things fall on the same moment, the one that holds production back
 * comes first.  Nothing happens before the package's latest stamp, whatever
 * the clock does, and wherever a policy that was changed meanwhile puts it.
 */
void
machine_settle(Package *package, Moment clock)
{
	Moment until = latest(clock, package->stamp);

	if (package->uncounted_count > 0)
		until = latest(until, package->uncounted[package->uncounted_count - 1].at);
	conclude(package, NULL);
	for (;;)
	{
		Next next = next_by_itself(package, until);

		if (next.at > until || next.at == NEVER)
			break;
		package->stamp = latest(next.at, package->stamp);
		if (next.uncounted != NULL)
			count(package, next.uncounted);
		else if (next.lease != NULL)
			expire(package, next.lease);
		else if (next.promoted != NULL)
			enter_promoted(package, next.promoted);
		conclude(package, next.lease);
	}
	package->stamp = until;
}


/* ---------------------------------------------------------------------
 * Gates
 * ---------------------------------------------------------------------
 */

/* machine_is_frozen: has an operator closed every gate, for the time being? */
bool
machine_is_frozen(const Package *package)
{
	return package->frozen_until > package->stamp;
}

/*
 * machine_ramp_share
 *		A workspace's place in the ramp of a version, evenly distributed over
 *		[0, 2^32): pure, stable, and in another order for each version, so that
 *		not always the same customers come first.
 *
 * FNV-1a over the three, and a last round that mixes its bits.
 */
uint32_t
machine_ramp_share(const char *package, const char *version, const uint8_t *workspace)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	/* With their final zeroes, so that no two pairs make the same bytes. */
	for (size_t i = 0; i <= strlen(package); i++)
		hash = (hash ^ (uint8_t) package[i]) * UINT64_C(1099511628211);
	for (size_t i = 0; i <= strlen(version); i++)
		hash = (hash ^ (uint8_t) version[i]) * UINT64_C(1099511628211);
	for (int i = 0; i < WORKSPACE_ID_BYTES; i++)
		hash = (hash ^ workspace[i]) * UINT64_C(1099511628211);
	hash = (hash ^ (hash >> 33)) * UINT64_C(0xff51afd7ed558ccd);
	return (uint32_t) ((hash ^ (hash >> 33)) >> 32);
}

/*
 * machine_opens_at
 *		When a promoted version opens to a workspace of production.
 */
Moment
machine_opens_at(const Package *package, const Rollout *rollout, const Workspace *workspace)
{
	uint64_t ramp = (uint64_t) rollout->policy.ramp;
	uint64_t share;

	if (ramp == 0)
		return rollout->promoted_at;
	share = machine_ramp_share(package->name, rollout->version, workspace->id);
	return later(rollout->promoted_at,
				 (Span) ((ramp >> 32) * share + (((ramp & UINT32_MAX) * share) >> 32)));
}

/*
 * The version that production has open to a workspace: the newest that is
 * promoted and whose moment for this workspace has come.  While a version
 * ramps, that is its predecessor for those whose turn it is not.
 */
static Rollout *
open_to_production(const Package *package, const Workspace *workspace, Moment now)
{
	for (int i = package->count - 1; i >= 0; i--)
	{
		Rollout *rollout = package->rollouts[i];

		if (rollout->phase == PHASE_PROMOTED && machine_opens_at(package, rollout, workspace) <= now)
			return rollout;
	}
	return NULL;
}

/* Do the canaries have the version open to them? */
static bool
is_open_to_canaries(const Package *package, const Rollout *rollout)
{
	Phase phase = machine_phase(package, rollout);

	return phase == PHASE_CANARY || phase == PHASE_SOAKING || phase == PHASE_PROMOTED;
}

/*
 * machine_is_open
 *		Is the version open to all of a tier?
 */
bool
machine_is_open(const Package *package, const Rollout *rollout, Tier tier, Moment now)
{
	if (machine_is_frozen(package))
		return false;
	if (tier == TIER_CANARY)
		return is_open_to_canaries(package, rollout);
	return machine_phase(package, rollout) == PHASE_PROMOTED && machine_ramp_ends_at(rollout) <= now;
}

/*
 * machine_is_open_to
 *		Is the version open to this workspace, but for a freeze?  Without a version
 *		(NULL): is any?
 *
 * If not, the workspace is not due, whatever it has.
 */
bool
machine_is_open_to(const Package *package, const Rollout *rollout, const Workspace *workspace, Moment now)
{
	const Rollout *open;

	if (workspace->tier == TIER_PRODUCTION)
	{
		open = open_to_production(package, workspace, now);
		return open != NULL && (rollout == NULL || rollout == open);
	}
	if (rollout != NULL)
		return is_open_to_canaries(package, rollout);
	for (int i = 0; i < package->count; i++)
	{
		if (is_open_to_canaries(package, package->rollouts[i]))
			return true;
	}
	return false;
}

static bool
counts_as_none(const Installation *installation)
{
	return installation->rollout != NO_ROLLOUT && installation->state == STATE_SKIPPED &&
		installation->attempt <= 1;
}

/*
 * What a workspace was last handed; NULL: nothing.  A first attempt that was
 * skipped counts as none: what counts then is what the workspace runs.
 */
static Rollout *
last_handed(const Package *package, const Installation *installation)
{
	return machine_rollout(package, counts_as_none(installation) ? installation->runs : installation->rollout);
}

/*
 * Its place among the versions when it was handed out.  A retry since then has
 * made the version the newest, but not what this workspace had of it.
 */
static int64_t
ordinal_handed(const Installation *installation)
{
	return counts_as_none(installation) ? installation->runs_ordinal : installation->ordinal;
}

/* machine_goes_back: would this version be older than what the workspace was last handed? */
bool
machine_goes_back(const Installation *installation, const Rollout *rollout)
{
	return ordinal_handed(installation) > rollout->ordinal;
}

/*
 * machine_may_go_back
 *		Forward only: may a workspace that was last handed a newer version be
 *		handed this one?  Only back from one that was aborted, or was superseded with
 * nothing newer on its way: that is the rollback.
 */
bool
machine_may_go_back(const Package *package, const Rollout *from, const Rollout *to)
{
	switch (machine_phase(package, from))
	{
		case PHASE_ABORTED:
			return true;
		case PHASE_SUPERSEDED:
			return !newer_is_open(package, to);
		default:
			return false;
	}
}

/*
 * An attempt at another version was skipped, and the workspace runs this one: of
 * this run of it, as a retry would have given it another place.
 */
static bool
runs_well_already(const Rollout *rollout, const Installation *installation)
{
	return counts_as_none(installation) && installation->runs == rollout->id &&
		installation->runs_ordinal == rollout->ordinal && installation->runs_well;
}

/* Why is the version closed to a workspace? */
static Due
why_closed(const Package *package, const Rollout *rollout, const Workspace *workspace)
{
	switch (machine_phase(package, rollout))
	{
		case PHASE_QUEUED:
			return (Due){ ANSWER_QUEUED, machine_turn_at(package, rollout), machine_running(package) };
		case PHASE_HALTED:
			return (Due){ .answer = ANSWER_HALTED };
		case PHASE_ABORTED:
			return (Due){ .answer = ANSWER_ABORTED };
		case PHASE_SUPERSEDED:
			return (Due){ .answer = ANSWER_SUPERSEDED, .other = machine_successor(package, rollout) };
		case PHASE_SOAKING:
			return (Due){ .answer = ANSWER_SOAKING, .at = machine_soak_ends_at(rollout) };
		case PHASE_PROMOTED:
			return (Due){ .answer = ANSWER_RAMPING, .at = machine_opens_at(package, rollout, workspace) };
		case PHASE_CANARY:
			break;
	}
	return (Due){ .answer = ANSWER_NEEDS_CANARY };
}

/*
 * machine_due
 *		May a workspace have a version now, budget apart, and why?
 *
 * "installation" may be all zeroes, for a workspace that was never handed
 * anything; the rollouts that it names must be among the package's.  The order
 * is that of a person's questions: is there anything left to do for this
 * workspace, can it ever have this version, and when.
 */
Due
machine_due(const Package *package, const Rollout *rollout, const Installation *installation,
			const Workspace *workspace, Moment now)
{
	const Rollout *handed = last_handed(package, installation);
	bool		   open = machine_is_open_to(package, rollout, workspace, now);
	bool		   of_run = handed == rollout && is_of_run(rollout, installation) &&
		installation->rollout == rollout->id;

	if (!workspace->live)
		return (Due){ .answer = ANSWER_NOT_LIVE };
	if ((of_run && installation->state == STATE_SUCCEEDED) || runs_well_already(rollout, installation))
		return (Due){ .answer = ANSWER_DONE };
	if (machine_is_leased(installation))
		return (Due){ .answer = ANSWER_LEASED, .at = installation->lease_until };
	if (handed != NULL && ordinal_handed(installation) > rollout->ordinal && !machine_may_go_back(package, handed, rollout))
		return (Due){ .answer = machine_phase(package, handed) == PHASE_HALTED ? ANSWER_HAS_HALTED : ANSWER_HAS_NEWER,
					  .other = handed };
	if (!open)
		return why_closed(package, rollout, workspace);
	if (installation->rollout == rollout->id && attempts_are_spent(rollout, installation))
		return (Due){ .answer = ANSWER_SPENT };
	if (machine_is_frozen(package))
		return (Due){ .answer = ANSWER_FROZEN, .at = package->frozen_until };
	if (installation->retry_at > now)
		return (Due){ .answer = ANSWER_RETRY_LATER, .at = installation->retry_at };
	return (Due){ .answer = ANSWER_DUE };
}

/*
 * machine_wanted
 *		The version that a workspace should run now; NULL: none.
 */
Rollout *
machine_wanted(const Package *package, const Installation *installation,
			   const Workspace *workspace, Moment now)
{
	Rollout *handed = last_handed(package, installation);
	Rollout *open = NULL;

	/* Nothing moves: it keeps what it runs. */
	if (machine_is_frozen(package))
		return machine_rollout(package, installation->runs);

	if (workspace->tier == TIER_PRODUCTION)
		open = open_to_production(package, workspace, now);
	for (int i = 0; workspace->tier == TIER_CANARY && i < package->count; i++)
	{
		if (is_open_to_canaries(package, package->rollouts[i]))
			open = package->rollouts[i];
	}
	if (handed == NULL || machine_phase(package, handed) == PHASE_ABORTED ||
		(open != NULL && (ordinal_handed(installation) <= open->ordinal || machine_may_go_back(package, handed, open))))
		return open;
	return handed;
}

/* machine_has_budget: may one lease more of this version be granted? */
bool
machine_has_budget(const Package *package, const Rollout *rollout)
{
	return package->in_flight < rollout->policy.max_in_flight;
}


/* ---------------------------------------------------------------------
 * Operators
 * ---------------------------------------------------------------------
 */

/* Begin a run of the newest rollout. */
static void
begin(Package *package, Rollout *rollout)
{
	memset(rollout->tally, 0, sizeof(rollout->tally));
	rollout->resumed = 0;
	rollout->soaks_from = NEVER;
	rollout->promoted_at = NEVER;
	rollout->progress_at = NEVER;
	rollout->phase = PHASE_SUPERSEDED; /* until it is admitted */
	rollout->changed = true;
	admit(package, rollout);
}

/*
 * machine_start
 *		A new version, which is the last of the package's rollouts, with its
 *		id, ordinal, version and policy set.
 */
void
machine_start(Package *package, Rollout *rollout)
{
	assert(package->rollouts[package->count - 1] == rollout);
	rollout->run = 1;
	begin(package, rollout);
}

/*
 * machine_promote
 *		End a soak, or a ramp.  To skip the canaries takes a reason: an operator
 *		outranks the policy, on record.
 */
Refusal
machine_promote(Package *package, Rollout *rollout, bool has_reason)
{
	switch (machine_phase(package, rollout))
	{
		case PHASE_PROMOTED:
			if (machine_ramp_ends_at(rollout) <= package->stamp)
				return UNCHANGED;
			rollout->policy.ramp = 0;
			rollout->changed = true;
			return ACCEPTED;
		case PHASE_QUEUED:
		case PHASE_CANARY:
			if (!has_reason)
				return REFUSED_REASON;
			break;
		case PHASE_SOAKING:
			break;
		default:
			return REFUSED_PHASE;
	}
	enter_promoted(package, rollout);
	conclude(package, NULL);
	return ACCEPTED;
}

/* machine_halt: stop a version until somebody decides. */
Refusal
machine_halt(Package *package, Rollout *rollout)
{
	switch (machine_phase(package, rollout))
	{
		case PHASE_HALTED:
			return UNCHANGED;
		case PHASE_ABORTED:
		case PHASE_SUPERSEDED:
			return REFUSED_PHASE;
		default:
			break;
	}
	enter(package, rollout, PHASE_HALTED, NULL);
	conclude(package, NULL);
	return ACCEPTED;
}

/*
 * machine_resume
 *		Acknowledge the failures so far, give the workspaces that failed their
 *		attempts back, and soak anew.  Never promotes.
 */
Refusal
machine_resume(Package *package, Rollout *rollout)
{
	if (rollout->phase == PHASE_ABORTED || rollout->phase == PHASE_SUPERSEDED)
		return REFUSED_PHASE;
	if (machine_phase(package, rollout) == PHASE_SUPERSEDED)
		return REFUSED_REPLACED;
	if (rollout->phase != PHASE_HALTED)
		return UNCHANGED;
	if (machine_successor(package, rollout) != NULL)
		return REFUSED_REPLACED;

	for (int tier = 0; tier < TIER_COUNT; tier++)
		rollout->tally[tier].acknowledged = rollout->tally[tier].failed;
	rollout->resumed++;
	rollout->promoted_at = NEVER;
	admit(package, rollout);
	return ACCEPTED;
}

/* machine_abort: end a rollout; what was handed it goes back to the promoted version. */
Refusal
machine_abort(Package *package, Rollout *rollout)
{
	if (rollout->phase == PHASE_ABORTED)
		return UNCHANGED;
	enter(package, rollout, PHASE_ABORTED, NULL);
	conclude(package, NULL);
	return ACCEPTED;
}

/*
 * machine_retry
 *		Start a version again as the newest, in a new run.  No installation is
 *		visited: evidence and attempts of the run before no longer count, and
 *		its leases stay leases until they end.
 */
Refusal
machine_retry(Package *package, Rollout *rollout, int64_t ordinal, const Policy *policy)
{
	int i = 0;

	switch (machine_phase(package, rollout))
	{
		case PHASE_HALTED:
		case PHASE_ABORTED:
		case PHASE_SUPERSEDED:
			break;
		default:
			return REFUSED_PHASE;
	}
	while (package->rollouts[i] != rollout)
		i++;
	for (; i < package->count - 1; i++)
		package->rollouts[i] = package->rollouts[i + 1];
	package->rollouts[i] = rollout;
	rollout->ordinal = ordinal;
	rollout->policy = *policy;
	rollout->run++;
	begin(package, rollout);
	return ACCEPTED;
}

/* machine_has_ended: does nothing come of the rollout any more, unless it is started again? */
bool
machine_has_ended(const Package *package, const Rollout *rollout)
{
	Phase phase = machine_phase(package, rollout);

	return phase == PHASE_ABORTED || phase == PHASE_SUPERSEDED;
}

/*
 * machine_apply_policy
 *		Change the policy of all rollouts that have not ended.  A soak or ramp is
 *		measured from when it began.
 *
 * A rollout that has ended keeps its policy, also if it is open again because
 * this halts a newer one.
 */
void
machine_apply_policy(Package *package, const Policy *policy)
{
	for (int i = 0; i < package->count; i++)
	{
		Rollout *rollout = package->rollouts[i];

		if (machine_has_ended(package, rollout))
			continue;
		rollout->policy = *policy;
		rollout->changed = true;
	}
	conclude(package, NULL);
}


/* ---------------------------------------------------------------------
 * Workspaces
 * ---------------------------------------------------------------------
 */

/*
 * machine_grant
 *		Lease a workspace for one attempt at a version.  The caller has found
 *		it due, with budget left; or an operator forces it, and it holds no
 *		live lease.
 */
void
machine_grant(Package *package, Rollout *rollout, Installation *installation, Tier tier, int64_t token)
{
	if (is_of_run(rollout, installation))
		installation->attempt = machine_attempts_used(package, installation) + 1;
	else
	{
		leave(package, installation);
		installation->rollout = rollout->id;
		installation->run = rollout->run;
		installation->ordinal = rollout->ordinal;
		installation->attempt = 1;
	}
	installation->token = token;
	installation->state = STATE_CLAIMED;
	installation->tier = tier;
	installation->lease_until = later(package->stamp, rollout->policy.lease);
	installation->retry_at = 0;
	package->in_flight++;
}

/* Within an attempt a report may worsen, and not improve. */
static int
badness(State outcome)
{
	switch (outcome)
	{
		case STATE_ERROR:
			return 1;
		case STATE_FAILED:
			return 2;
		default:
			return 0;
	}
}

/* What an outcome says of the rollout, if it says anything. */
static void
count_outcome(Package *package, Rollout *rollout, Installation *installation, State before)
{
	switch (installation->state)
	{
		case STATE_SUCCEEDED:
			set_evidence(package, rollout, installation, EVIDENCE_SUCCEEDED);
			break;
		case STATE_FAILED:
			set_evidence(package, rollout, installation, EVIDENCE_FAILED);
			break;
		case STATE_ERROR:
			/* What expired has been counted, or not, when it did. */
			if (before == STATE_EXPIRED)
				break;
			if (attempts_are_spent(rollout, installation))
				set_evidence(package, rollout, installation, EVIDENCE_FAILED);
			else if (before == STATE_SUCCEEDED)
				set_evidence(package, rollout, installation, EVIDENCE_NONE);
			break;
		default:
			break;
	}
}

/* The workspace runs the version of its latest attempt. */
static void
runs_what_was_handed(Installation *installation, bool well)
{
	installation->runs = installation->rollout;
	installation->runs_ordinal = installation->ordinal;
	installation->runs_well = well;
}

/*
 * machine_report
 *		What became of the latest attempt.  Whether it is the latest the caller
 *		knows by its token.
 */
Refusal
machine_report(Package *package, Installation *installation, State outcome, bool live)
{
	Rollout *rollout = machine_rollout(package, installation->rollout);
	State	 before = installation->state;

	if (outcome == before)
		return UNCHANGED;
	if (before != STATE_CLAIMED && before != STATE_EXPIRED && badness(outcome) <= badness(before))
		return REFUSED_BETTER;

	if (before == STATE_CLAIMED)
		package->in_flight--;
	installation->state = outcome;
	if (outcome == STATE_SUCCEEDED || outcome == STATE_FAILED)
		runs_what_was_handed(installation, outcome == STATE_SUCCEEDED);
	installation->retry_at = 0;
	if (rollout == NULL)
		return ACCEPTED;
	if (outcome != STATE_SUCCEEDED)
		installation->retry_at = later(package->stamp, rollout->policy.retry_delay);

	/* What happens to a workspace that is gone, or in an earlier run, is no evidence. */
	if (live && is_of_run(rollout, installation))
		count_outcome(package, rollout, installation, before);
	conclude(package, NULL);
	return ACCEPTED;
}

/*
 * machine_report_apart
 *		A report that can change no decision, told in its installation alone, so
 *		that reports do not take turns: "uncounted" is for machine_settle().
 *		False: it can change one, or the lease had ended when it was asked for;
 *		nothing is changed then, and machine_report() is to be called.
 *
 * Of a version that is promoted a success decides nothing, nor does an outcome
 * that is no evidence.  A success that replaces a failure is not among them.
 */
bool
machine_report_apart(const Rollout *rollout, Installation *installation, State outcome, bool live,
					 Moment asked_at, Moment stamp, Uncounted *uncounted)
{
	if (rollout->phase != PHASE_PROMOTED || !is_of_run(rollout, installation) ||
		installation->state != STATE_CLAIMED || installation->lease_until <= asked_at ||
		installation->evidence != EVIDENCE_NONE || outcome == STATE_FAILED ||
		(outcome == STATE_ERROR && attempts_are_spent(rollout, installation)))
		return false;

	*uncounted = (Uncounted){
		.rollout = rollout->id,
		.run = rollout->run,
		.tier = installation->tier,
		.succeeded = outcome == STATE_SUCCEEDED && live,
		.at = stamp
	};
	installation->state = outcome;
	installation->retry_at = outcome == STATE_SUCCEEDED ? 0 : later(stamp, rollout->policy.retry_delay);
	if (outcome == STATE_SUCCEEDED)
		runs_what_was_handed(installation, true);
	if (uncounted->succeeded)
	{
		installation->evidence = EVIDENCE_SUCCEEDED;
		installation->evidence_tier = installation->tier;
		installation->resumed = rollout->resumed;
	}
	return true;
}

/* machine_runs: the workspace was seen to run a version; NULL: one that was never started. */
void
machine_runs(Installation *installation, const Rollout *rollout, bool well)
{
	installation->runs = rollout ? rollout->id : NO_ROLLOUT;
	installation->runs_ordinal = rollout ? rollout->ordinal : 0;
	installation->runs_well = well;
}

/*
 * machine_observe
 *		A workspace was seen to run a version, however that came about; NULL: a
 *		version that was never started.  Of an error, or of what was skipped,
 *		nothing was seen: that ends a lease of the version, and no more.
 */
Refusal
machine_observe(Package *package, Rollout *rollout, Installation *installation, State outcome,
				const Workspace *workspace)
{
	bool leased = machine_is_leased(installation);

	if (leased && rollout != NULL && installation->rollout == rollout->id)
		return machine_report(package, installation, outcome, workspace->live);
	if (outcome != STATE_SUCCEEDED && outcome != STATE_FAILED)
		return UNCHANGED;

	machine_runs(installation, rollout, outcome == STATE_SUCCEEDED);
	if (leased)
		return ACCEPTED; /* the attempt that is under way will tell more */

	if (rollout == NULL || !is_of_run(rollout, installation))
	{
		leave(package, installation);
		installation->rollout = rollout ? rollout->id : NO_ROLLOUT;
		installation->run = rollout ? rollout->run : 0;
		installation->ordinal = installation->runs_ordinal;
		installation->attempt = 0;
		installation->token = 0;
	}
	else if (installation->state == outcome)
		return UNCHANGED;
	else
		installation->attempt = machine_attempts_used(package, installation);
	installation->state = outcome;
	installation->tier = workspace->tier;
	installation->retry_at = 0;
	if (rollout == NULL)
		return ACCEPTED;
	if (outcome == STATE_FAILED)
		installation->retry_at = later(package->stamp, rollout->policy.retry_delay);
	if (workspace->live)
		count_outcome(package, rollout, installation, STATE_CLAIMED);
	conclude(package, NULL);
	return ACCEPTED;
}

/*
 * machine_extend
 *		Put off the end of a live lease: by a span, or (0) to one lease from now.
 */
Refusal
machine_extend(Package *package, Installation *installation, Span by)
{
	const Rollout *rollout = machine_rollout(package, installation->rollout);
	Moment		   until;

	if (installation->rollout == NO_ROLLOUT || installation->state != STATE_CLAIMED)
		return REFUSED_NO_LEASE;
	if (by > 0)
		until = later(installation->lease_until, by);
	else
		until = later(package->stamp, rollout ? rollout->policy.lease : 0);
	installation->lease_until = latest(installation->lease_until, until);
	return ACCEPTED;
}

/*
 * machine_forget
 *		Drop what is known of a workspace, which was restored from a backup or
 *		replaced: it is due from the beginning.  The row is all zeroes then.
 */
Refusal
machine_forget(Package *package, Installation *installation)
{
	if (machine_is_leased(installation))
		return REFUSED_LEASED;
	leave(package, installation);
	memset(installation, 0, sizeof(*installation));
	return ACCEPTED;
}
