/*-------------------------------------------------------------------------
 *
 * rollout/machine_due.c
 *	  Which version is open, to which tier or workspace, and why.
 *
 * The part of the machine that changes nothing: it answers for a package that
 * machine_settle() has brought up to date.
 *
 * The ramp is the one of Ubuntu's phased updates: each member of a fleet has its
 * own moment, a hash of the package, the version and the member.
 *
 * Pure C: no server, no clock, no allocation.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "rollout/machine_due.h"

/* machine_is_frozen: has an operator closed all gates of the package for a time? */
bool
machine_is_frozen(const Package *package)
{
	return package->frozen_until > package->stamp;
}

/*
 * machine_ramp_share
 *		A workspace's place in the ramp of a version, evenly distributed over
 *		[0, 2^32): pure, stable, and in another order for each version, so that
 *		the same customers are not always first.
 *
 * FNV-1a over all three, whose bits are then mixed by the first half of
 * MurmurHash3's finalizer.
 */
uint32_t
machine_ramp_share(const char *package, const char *version, const uint8_t *workspace)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	/* With their final zeroes, so that two different pairs never give the same bytes. */
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
 *		When a promoted version opens to a workspace of production: at
 *		promoted_at + ramp * share / 2^32, calculated in two parts that cannot
 *		overflow.
 */
Moment
machine_opens_at(const Package *package, const Rollout *rollout, const Workspace *workspace)
{
	uint64_t ramp = (uint64_t) rollout->policy.ramp;
	uint64_t share;

	if (ramp == 0)
		return rollout->promoted_at;
	share = machine_ramp_share(package->name, rollout->version, workspace->id);
	return machine_later(rollout->promoted_at,
						 (Span) ((ramp >> 32) * share + (((ramp & UINT32_MAX) * share) >> 32)));
}

/*
 * The version that is open to a workspace of production: the newest that is
 * promoted and whose moment for this workspace has come.  Until then a
 * workspace has the version promoted before.
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

/* Is the version open to canaries? */
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
 * machine_is_open_to_some
 *		Can the version be open to any workspace of a tier, a freeze apart?
 *		Without a version (NULL): can any version?
 *
 * If not, a search need not look at the workspaces of the tier.  It looks at no
 * clock, so during a ramp it says yes.
 */
bool
machine_is_open_to_some(const Package *package, const Rollout *rollout, Tier tier)
{
	if (tier == TIER_PRODUCTION)
		return rollout != NULL ? rollout->phase == PHASE_PROMOTED : machine_promoted(package) != NULL;
	if (rollout != NULL)
		return is_open_to_canaries(package, rollout);
	for (int i = 0; i < package->count; i++)
	{
		if (is_open_to_canaries(package, package->rollouts[i]))
			return true;
	}
	return false;
}

/*
 * machine_is_open_to
 *		Is the version open to this workspace, a freeze apart?  Without a
 *		version (NULL): is any version open to it?
 *
 * If not, the workspace is not due, whatever its installation says.
 */
bool
machine_is_open_to(const Package *package, const Rollout *rollout, const Workspace *workspace, Moment now)
{
	const Rollout *open;

	if (workspace->tier == TIER_CANARY)
		return machine_is_open_to_some(package, rollout, TIER_CANARY);
	open = open_to_production(package, workspace, now);
	return open != NULL && (rollout == NULL || rollout == open);
}

static bool
counts_as_none(const Installation *installation)
{
	return installation->rollout != NO_ROLLOUT && installation->state == STATE_SKIPPED &&
		installation->attempt <= 1;
}

/*
 * machine_last_handed
 *		The version that a workspace was last handed, or NULL.  A first attempt
 *		that was skipped does not count: the version that the workspace runs then
 *		takes its place.
 */
Rollout *
machine_last_handed(const Package *package, const Installation *installation)
{
	return machine_rollout(package, counts_as_none(installation) ? installation->runs : installation->rollout);
}

/*
 * The ordinal that machine_last_handed() had when it was handed out.  A retry since
 * then has made that version the newest, but the workspace has an earlier run
 * of it.
 */
static int64_t
ordinal_handed(const Installation *installation)
{
	return counts_as_none(installation) ? installation->runs_ordinal : installation->ordinal;
}

/*
 * machine_goes_back
 *		Is the version older than the one that the workspace was last handed?
 */
bool
machine_goes_back(const Installation *installation, const Rollout *rollout)
{
	return ordinal_handed(installation) > rollout->ordinal;
}

/* Is a newer rollout in canary, soaking or promoted? */
static bool
newer_is_open(const Package *package, const Rollout *rollout)
{
	const Rollout *current = machine_running(package);
	const Rollout *promoted = machine_promoted(package);

	return (current != NULL && current->ordinal > rollout->ordinal) ||
		(promoted != NULL && promoted->ordinal > rollout->ordinal);
}

/*
 * machine_may_go_back
 *		May a workspace that was last handed "from", a newer version, be handed
 *		"to"?  Only if "from" was aborted, or if it is superseded and nothing
 *		newer than "to" is in canary, soaking or promoted: that is the rollback.
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
 * The latest attempt was skipped, but the workspace already runs this version.
 * With the same ordinal it is the current run: a retry changes the ordinal.
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
 *		Is a workspace due for a version now, budget apart, and why?
 *
 * "installation" may be all zeroes, for a workspace that was never handed
 * anything.  The rollouts that it names must be among the package's.  The
 * checks are in the order in which a person asks: is anything left to do for
 * this workspace, can it ever get this version, and when.
 */
Due
machine_due(const Package *package, const Rollout *rollout, const Installation *installation,
			const Workspace *workspace, Moment now)
{
	const Rollout *handed = machine_last_handed(package, installation);
	bool		   open = machine_is_open_to(package, rollout, workspace, now);
	bool		   of_run = handed == rollout && installation->rollout == rollout->id &&
		machine_is_of_run(package, installation);

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
	if (installation->rollout == rollout->id && machine_attempts_used(package, installation) >= rollout->policy.max_attempts)
		return (Due){ .answer = ANSWER_SPENT };
	if (machine_is_frozen(package))
		return (Due){ .answer = ANSWER_FROZEN, .at = package->frozen_until };
	if (installation->retry_at > now)
		return (Due){ .answer = ANSWER_RETRY_LATER, .at = installation->retry_at };
	return (Due){ .answer = ANSWER_DUE };
}

/*
 * machine_wanted
 *		The version that a workspace should run now, or NULL.
 *
 * While nothing is open to it, it keeps the version that it runs, as far as
 * that is known.  That need not be the version that it was last handed: nobody
 * should install a version that is halted, because an attempt at it ended with
 * an error.  The same holds for an aborted version.
 */
Rollout *
machine_wanted(const Package *package, const Installation *installation,
			   const Workspace *workspace, Moment now)
{
	Rollout *handed = machine_last_handed(package, installation);
	Rollout *runs = machine_rollout(package, installation->runs);
	Rollout *open = NULL;

	if (machine_is_frozen(package))
		return runs;

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
	return runs != NULL && runs->phase == PHASE_ABORTED ? NULL : runs;
}

/* machine_has_budget: may one more lease of this version be granted? */
bool
machine_has_budget(const Package *package, const Rollout *rollout)
{
	return package->in_flight < rollout->policy.max_in_flight;
}
