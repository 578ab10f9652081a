/*-------------------------------------------------------------------------
 *
 * rollout/phase.h
 *	  The phases of a rollout.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_PHASE_H
#define ROLLOUT_PHASE_H

#include <stdbool.h>

typedef enum Phase
{
	PHASE_QUEUED,	 /* waits for another version that runs */
	PHASE_CANARY,	 /* open to canaries */
	PHASE_SOAKING,	 /* enough canaries succeeded */
	PHASE_PROMOTED,	 /* open to production, too */
	PHASE_HALTED,	 /* closed until an operator decides */
	PHASE_ABORTED,	 /* ended by an operator */
	PHASE_SUPERSEDED /* ended by a newer version */
} Phase;

#define PHASE_COUNT 7

extern const char *const phase_names[PHASE_COUNT];

extern bool phase_parse(const char *name, Phase *phase);

#endif /* ROLLOUT_PHASE_H */
