/*-------------------------------------------------------------------------
 *
 * phase.c
 *	  The phase of a rollout: a pure function of what is stored and the clock.
 *
 * Nothing has to run for a soak to end, for a version that waits to get its
 * turn, or for a lease to expire once too often: the moments at which these
 * things happen are known when the row is written, and stored in it.
 *
 * Pure C: no server.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "old_rollout.h"

const char *const phase_names[PHASE_COUNT] = {
	"queued", "canary", "soaking", "promoted", "halted", "aborted", "superseded"
};

bool
phase_parse(const char *name, Phase *phase)
{
	for (int i = 0; i < PHASE_COUNT; i++)
	{
		if (strcmp(phase_names[i], name) == 0)
		{
			*phase = (Phase) i;
			return true;
		}
	}
	return false;
}

/*
 * phase_at
 *		The phase at a moment.
 *
 * The steps are in the order in which they can follow one another.  Where
 * two fall on the same moment, the one that holds production back comes
 * first: halting before promoting.
 */
Phase
phase_at(const Timeline *timeline, int64_t moment)
{
	Phase phase = timeline->phase;

	if (phase == PHASE_QUEUED && timeline->turn_at <= moment)
		phase = timeline->needs_canary ? PHASE_CANARY : PHASE_SOAKING;

	if (phase == PHASE_SOAKING && timeline->soak_ends_at <= moment &&
		timeline->soak_ends_at < timeline->halts_at)
		phase = PHASE_PROMOTED;

	if (phase == PHASE_PROMOTED && timeline->superseded_at <= moment &&
		timeline->superseded_at < timeline->halts_at)
		phase = PHASE_SUPERSEDED;

	if (phase_runs(phase) && timeline->halts_at <= moment)
		phase = PHASE_HALTED;

	return phase;
}

/*
 * phase_runs
 *		Is something open to somebody in this phase?
 */
bool
phase_runs(Phase phase)
{
	return phase == PHASE_CANARY || phase == PHASE_SOAKING || phase == PHASE_PROMOTED;
}

/*
 * phase_open
 *		Does this phase let workspaces of this tier have the version?
 */
bool
phase_open(Phase phase, Tier tier)
{
	return tier == TIER_CANARY ? phase_runs(phase) : phase == PHASE_PROMOTED;
}
