/*-------------------------------------------------------------------------
 *
 * rollout/phase.c
 *	  The names of the phases of a rollout.
 *
 * Pure C: no server.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "rollout/phase.h"

const char *const phase_names[PHASE_COUNT] = {
	"queued", "canary", "soaking", "promoted", "halted", "aborted", "superseded"
};

/* phase_parse: the phase with this name; false: there is no such phase. */
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
