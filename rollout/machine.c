/*-------------------------------------------------------------------------
 *
 * rollout/machine.c
 *	  The state of a package: a pure function of its rows and a moment.
 *
 * No background process ends a soak, runs a queued version or expires a lease.
 * machine_settle() derives these changes from the rows and the clock, in the
 * order of time.  Nothing is predicted, and nothing is stored that can be
 * derived.
 *
 * The terms are those of progressive delivery: rollout, canary, soak time,
 * promote, halt, resume, abort, retry.
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

/* machine_later: the sum; NEVER if it is too large for a moment. */
Moment
machine_later(Moment moment, Span span)
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
 * How the rollouts of a package relate
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

/* The newest rollout that is stored in this phase, or NULL. */
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

/* machine_running: the rollout in canary or soaking, or NULL. */
Rollout *
machine_running(const Package *package)
{
	Rollout *canary = newest_in(package, PHASE_CANARY);

	return canary ? canary : newest_in(package, PHASE_SOAKING);
}

/*
 * machine_promoted
 *		The newest rollout that was promoted and is neither halted nor aborted,
 *		or NULL: the version that production, and every new workspace, should
 *		have.
 */
Rollout *
machine_promoted(const Package *package)
{
	return newest_in(package, PHASE_PROMOTED);
}

/* machine_promoted_before: the newest promoted rollout that is older, or NULL. */
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
 *		The phase of a rollout as shown: a rollout that is stored as promoted or
 *		halted is superseded while a newer one is promoted.  When the newer one
 *		is halted or aborted, the older one shows its stored phase again.
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
 *		The newest of the newer rollouts that are queued, in canary, soaking or
 *		promoted, or NULL.  It has taken the rollout's place, and prevents its
 *		return.
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

/*
 * machine_soak_ends_at
 *		When the soak ends by itself; NEVER: it has not begun, or only promote
 *		ends it.
 */
Moment
machine_soak_ends_at(const Rollout *rollout)
{
	return rollout->policy.auto_promote ? machine_soak_over_at(rollout) : NEVER;
}

/*
 * machine_soak_over_at
 *		When the soak has lasted its time, whether that promotes the version or
 *		not.
 */
Moment
machine_soak_over_at(const Rollout *rollout)
{
	return machine_later(rollout->soaks_from, rollout->policy.soak);
}

/* machine_ramp_ends_at: when a promoted version is open to all of production. */
Moment
machine_ramp_ends_at(const Rollout *rollout)
{
	return machine_later(rollout->promoted_at, rollout->policy.ramp);
}

/*
 * A rollout in canary makes progress until one lease after its latest success
 * of a canary.  A newer version waits until then.
 */
static Moment
progress_ends_at(const Rollout *rollout)
{
	return rollout->progress_at == NEVER ? -NEVER : machine_later(rollout->progress_at, rollout->policy.lease);
}

/*
 * machine_turn_at
 *		When a queued rollout starts to run, if nothing else happens; NEVER if
 *		an operator has to act first.
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
 * Events
 * ---------------------------------------------------------------------
 */

/*
 * machine_events_at_most
 *		The number of events that machine_settle(), or one function after it,
 *		can yield at most: a lease expires at most once, and a rollout enters
 *		each phase at most once for each thing that happens.
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
 * Which rollout runs
 * ---------------------------------------------------------------------
 */

static bool
needs_canary(const Rollout *rollout)
{
	return rollout->policy.require_canary &&
		rollout->tally[TIER_CANARY].succeeded < rollout->policy.min_successes;
}

/* Run a rollout: in canary, or in soaking if no more canaries have to succeed. */
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

/* Does a running rollout make a newer one wait? */
static bool
holds_its_place(const Package *package, const Rollout *rollout)
{
	return rollout->phase == PHASE_SOAKING || package->stamp < progress_ends_at(rollout);
}

/*
 * Run a rollout that is newer than those that run or are queued; or queue it.
 *
 * A rollout in canary gives way: a version whose canaries never report must not
 * block its own fix.  A rollout that soaks, or makes progress, does not give
 * way: otherwise a package with frequent versions would never have one
 * promoted.  Only the newest rollout is queued.
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
 * Are there too many failures in a tier?  Both thresholds must be exceeded: a
 * share alone would halt a rollout whose first outcome is a failure; a number
 * alone is too small for a large fleet, or too large for a small one.
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
 *		Do the fields of a rollout agree, as far as a single rollout can show
 *		it?
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
 * Change phases as the rows require it, at the package's stamp.  Halts come
 * first: if two changes are possible, the one that holds production back
 * happens.
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
 * A rollout becomes the promoted version.  Older rollouts that are queued, in
 * canary or soaking have no purpose any more.
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

/* Is the latest attempt one of the rollout's current run? */
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
 * Does the workspace come back to the version?  Then it may have succeeded with
 * it before, and be counted in moved_on.
 *
 * Its row says what it runs, not what it ran before that.  So of the workspaces
 * that come from a newer version some may never have had this one: they count
 * out the success of another, which makes the share of failures greater.  A
 * workspace that comes from an older or unknown version, or was forgotten, is
 * not recognised, and counts twice.
 */
static bool
comes_back(const Rollout *rollout, const Installation *installation)
{
	return installation->runs_ordinal > rollout->ordinal ||
		(installation->runs == rollout->id && installation->runs_ordinal == rollout->ordinal && installation->runs_well);
}

/* Such a workspace no longer counts in moved_on.  False: it did not count there. */
static bool
count_out(Tally *tally, bool came_back)
{
	if (!came_back || tally->moved_on == 0)
		return false;
	tally->moved_on--;
	return true;
}

/*
 * Change the evidence of a workspace, and the tallies with it.  It counts for
 * the tier that the workspace had when it was claimed.  Call it before the
 * installation says that the workspace runs the version.
 */
static void
set_evidence(Package *package, Rollout *rollout, Installation *installation, Evidence evidence)
{
	Tally *before = &rollout->tally[installation->evidence_tier];
	Tally *after = &rollout->tally[installation->tier];
	bool   withdrawn = false;

	if (installation->evidence == EVIDENCE_NONE)
	{
		if (evidence != EVIDENCE_NONE && count_out(after, comes_back(rollout, installation)))
			withdrawn = installation->tier == TIER_CANARY;
	}
	else if (installation->evidence == EVIDENCE_SUCCEEDED)
	{
		before->succeeded--;
		withdrawn = installation->evidence_tier == TIER_CANARY;
	}
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

	/* The soak began with a success that a canary has now withdrawn. */
	if (rollout->phase == PHASE_SOAKING && withdrawn && evidence != EVIDENCE_SUCCEEDED && needs_canary(rollout))
	{
		rollout->soaks_from = NEVER;
		enter(package, rollout, PHASE_CANARY, NULL);
	}
}

/*
 * The workspace leaves the rollout for another one, or is forgotten.  Its
 * success is counted in moved_on from then on, until it comes back.  Its failure
 * stays counted.
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
 *		The number of attempts that a workspace has used in the current run.  A
 *		skipped attempt does not count.  A resume gives a failed workspace its
 *		attempts back.
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

/*
 * machine_is_last_attempt
 *		Are all attempts used?  An error or an expiry then counts as a failure.
 */
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
 *		Does the workspace hold a live lease?  After machine_settle() a claimed
 *		attempt has a live lease, or another transaction is reporting on it.
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

/* The lease ended without a report: the outcome is unknown. */
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
	installation->retry_at = machine_later(package->stamp, rollout->policy.retry_delay);

	/*
	 * The last attempt counts as a failure: otherwise an update that makes
	 * workspaces unreachable would never be halted.  A workspace that is not
	 * live is no evidence.
	 */
	if (lease->live && is_of_run(rollout, installation) && attempts_are_spent(rollout, installation))
	{
		set_evidence(package, rollout, installation, EVIDENCE_FAILED);
		happened(package, (Event){ .what = HAPPENED_FAILED, .rollout = rollout, .lease = lease });
	}
}

/* Leases that end at the same moment expire in the order in which they were granted. */
static bool
expires_before(const Installation *a, const Installation *b)
{
	return a->lease_until < b->lease_until || (a->lease_until == b->lease_until && a->token < b->token);
}

/* The lease that expired first, up to the clock; or NULL. */
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
 * Count a report that was written without the lock of the package.  Since then
 * its rollout may have been started again or deleted: then the report only
 * leaves the budget.
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
	(void) count_out(&rollout->tally[uncounted->tier], uncounted->came_back);
	/* A success that was reported later may have been counted before. */
	if (uncounted->tier == TIER_CANARY && (rollout->progress_at == NEVER || rollout->progress_at < uncounted->at))
		rollout->progress_at = uncounted->at;
	rollout->changed = true;
}

/* The oldest report that is not counted yet, or NULL. */
static const Uncounted *
next_uncounted(const Package *package)
{
	return package->counted < package->uncounted_count ? &package->uncounted[package->counted] : NULL;
}

/* The next change that happens without a call, and its moment. */
typedef struct Next
{
	Moment			 at;		/* NEVER: no change */
	Lease			*lease;		/* that expires, or NULL */
	Rollout			*promoted;	/* whose soak ends, or NULL */
	const Uncounted *uncounted; /* that is counted, or NULL */
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

	/*
	 * At the same moment the report comes last: a report under the lock of the
	 * package also finds the package settled to its moment.
	 */
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
 *		After machine_settle(): the moment of the next change that happens
 *		without a call, or NEVER.  Of leases it knows only those of the package
 *		that are loaded.
 */
Moment
machine_next_moment(const Package *package)
{
	return next_by_itself(package, NEVER).at;
}

/*
 * machine_settle
 *		Make the changes that happen without a call, up to a moment, in the
 *		order of time.
 *
 * Of two changes at the same moment, the one that holds production back comes
 * first.  No change gets a moment before the package's stamp, even if the clock
 * goes back, or if a changed policy puts it there.
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
 * Verbs of operators
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
 *		Start a new version.  It is the last of the package's rollouts, and the
 *		caller has set its id, ordinal, version and policy.
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
 *		End a soak or a ramp.  From queued or canary this skips the canaries,
 *		and needs a reason for the log: an operator outranks the policy.
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

/* machine_halt: close a version until an operator decides. */
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
 *		Acknowledge the failures so far, give the failed workspaces their
 *		attempts back, and start the soak again.  Never promotes.
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

/*
 * machine_abort
 *		End a rollout.  Workspaces that were handed it go back to the promoted
 *		version.
 */
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
 *		visited: evidence and attempts of the earlier run no longer count, and
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

/* machine_has_ended: is the rollout aborted or superseded, as shown? */
bool
machine_has_ended(const Package *package, const Rollout *rollout)
{
	Phase phase = machine_phase(package, rollout);

	return phase == PHASE_ABORTED || phase == PHASE_SUPERSEDED;
}

/*
 * machine_apply_policy
 *		Change the policy of all rollouts that have not ended.  A soak or ramp
 *		is measured from when it began.
 *
 * A rollout that has ended keeps its policy, even if the new policy halts a
 * newer one and so opens it again.
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
 *		Lease a workspace for one attempt at a version.  The caller has checked
 *		that it is due and that budget is left; or, if an operator forces it,
 *		only that it holds no live lease.
 */
void
machine_grant(Package *package, Rollout *rollout, Installation *installation, Tier tier, int64_t token)
{
	if (is_of_run(rollout, installation))
	{
		installation->attempt = machine_attempts_used(package, installation) + 1;

		/*
		 * A failure that resume has acknowledged gives the attempts back once.
		 * From this attempt on they count again.
		 */
		if (is_acknowledged(rollout, installation))
			set_evidence(package, rollout, installation, EVIDENCE_NONE);
	}
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
	installation->lease_until = machine_later(package->stamp, rollout->policy.lease);
	installation->retry_at = 0;
	package->in_flight++;
}

/* Within an attempt a report may only increase this. */
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

/* Set the evidence of an outcome, if it is evidence. */
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
			/* The expiry has already decided whether this attempt counts. */
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
 *		Report the outcome of the latest attempt.  The caller has compared its
 *		token.
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
	installation->retry_at = 0;
	if (rollout != NULL && outcome != STATE_SUCCEEDED)
		installation->retry_at = machine_later(package->stamp, rollout->policy.retry_delay);

	/* The outcome of a workspace that is not live, or of an earlier run, is no evidence. */
	if (rollout != NULL && live && is_of_run(rollout, installation))
		count_outcome(package, rollout, installation, before);
	if (outcome == STATE_SUCCEEDED || outcome == STATE_FAILED)
		runs_what_was_handed(installation, outcome == STATE_SUCCEEDED);
	if (rollout != NULL)
		conclude(package, NULL);
	return ACCEPTED;
}

/*
 * machine_report_apart
 *		A report that can change no decision changes its installation alone, so
 *		that reports do not wait for one another.  machine_settle() counts
 *		"uncounted" later.  Returns false, and changes nothing, if the report can
 *		change a decision or the lease had ended at "asked_at": then call
 *		machine_report().
 *
 * Once a version is promoted, a success decides nothing, nor does an outcome
 * that is no evidence.  A success that replaces a failure changes a tally of
 * failures, and so returns false.
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
		.came_back = comes_back(rollout, installation),
		.at = stamp
	};
	installation->state = outcome;
	installation->retry_at = outcome == STATE_SUCCEEDED ? 0 : machine_later(stamp, rollout->policy.retry_delay);
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

/*
 * machine_runs
 *		The workspace was seen to run a version; NULL: a version that was never
 *		started.
 */
void
machine_runs(Installation *installation, const Rollout *rollout, bool well)
{
	installation->runs = rollout ? rollout->id : NO_ROLLOUT;
	installation->runs_ordinal = rollout ? rollout->ordinal : 0;
	installation->runs_well = well;
}

/*
 * machine_observe
 *		A workspace was observed to run a version; NULL: a version that was never
 *		started.  "error" and "skipped" do not say which version it runs: they
 *		only end a lease of the version.
 */
Refusal
machine_observe(Package *package, Rollout *rollout, Installation *installation, State outcome,
				const Workspace *workspace)
{
	bool leased = machine_is_leased(installation);
	bool of_run;

	if (leased && rollout != NULL && installation->rollout == rollout->id)
		return machine_report(package, installation, outcome, workspace->live);
	if (outcome != STATE_SUCCEEDED && outcome != STATE_FAILED)
		return UNCHANGED;

	of_run = rollout != NULL && is_of_run(rollout, installation);
	/* If it is leased, the report of the current attempt decides. */
	if (leased || (of_run && installation->state == outcome))
	{
		machine_runs(installation, rollout, outcome == STATE_SUCCEEDED);
		return leased ? ACCEPTED : UNCHANGED;
	}

	if (of_run)
		installation->attempt = machine_attempts_used(package, installation);
	else
	{
		leave(package, installation);
		installation->rollout = rollout ? rollout->id : NO_ROLLOUT;
		installation->run = rollout ? rollout->run : 0;
		installation->ordinal = rollout ? rollout->ordinal : 0;
		installation->attempt = 0;
		installation->token = 0;
	}
	installation->state = outcome;
	installation->tier = workspace->tier;
	installation->retry_at = 0;
	if (rollout != NULL && outcome == STATE_FAILED)
		installation->retry_at = machine_later(package->stamp, rollout->policy.retry_delay);
	if (rollout != NULL && workspace->live)
		count_outcome(package, rollout, installation, STATE_CLAIMED);
	machine_runs(installation, rollout, outcome == STATE_SUCCEEDED);
	if (rollout != NULL)
		conclude(package, NULL);
	return ACCEPTED;
}

/*
 * machine_extend
 *		Extend a live lease by a span; 0: to one lease from now.  Never shortens
 *		it.
 */
Refusal
machine_extend(Package *package, Installation *installation, Span by)
{
	const Rollout *rollout = machine_rollout(package, installation->rollout);
	Moment		   until;

	if (installation->rollout == NO_ROLLOUT || installation->state != STATE_CLAIMED)
		return REFUSED_NO_LEASE;
	if (by > 0)
		until = machine_later(installation->lease_until, by);
	else
		until = machine_later(package->stamp, rollout ? rollout->policy.lease : 0);
	installation->lease_until = latest(installation->lease_until, until);
	return ACCEPTED;
}

/*
 * machine_forget
 *		Drop what is known of a workspace that was restored from a backup or
 *		replaced: it is due from the beginning.  Sets the installation to all
 *		zeroes.
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
