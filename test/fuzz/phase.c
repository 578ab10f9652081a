/*-------------------------------------------------------------------------
 *
 * test/fuzz/phase.c
 *	  libFuzzer target: any stored row at any two moments.
 *
 * Whatever the stamps are, time that passes must not open what is closed for
 * good, and production must not get a version before its soak is over.
 *
 *-------------------------------------------------------------------------
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "old_rollout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MUST(condition) \
	do \
	{ \
		if (!(condition)) \
			abort(); \
	} while (0)

/* In the order in which phases can follow one another by themselves. */
static int
rank(Phase phase)
{
	switch (phase)
	{
		case PHASE_QUEUED:
			return 0;
		case PHASE_CANARY:
			return 1;
		case PHASE_SOAKING:
			return 2;
		case PHASE_PROMOTED:
			return 3;
		default:
			return 4;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int64_t	 moments[6];
	char	 name[16] = "";
	Timeline timeline;
	Phase	 parsed;
	Phase	 sooner;
	Phase	 later;

	/* First byte: the phase; second: flag; then the moments; then a name. */
	if (size < 2 + sizeof(moments))
		return 0;
	memcpy(moments, data + 2, sizeof(moments));
	timeline.phase = (Phase) (data[0] % PHASE_COUNT);
	timeline.needs_canary = data[1] & 1;
	timeline.turn_at = moments[0];
	timeline.soak_ends_at = moments[1];
	timeline.superseded_at = moments[2];
	timeline.halts_at = moments[3];
	if (moments[4] > moments[5])
	{
		int64_t swap = moments[4];

		moments[4] = moments[5];
		moments[5] = swap;
	}
	sooner = phase_at(&timeline, moments[4]);
	later = phase_at(&timeline, moments[5]);

	MUST(sooner >= 0 && sooner < PHASE_COUNT && later >= 0 && later < PHASE_COUNT);

	/* Time goes one way, and what has ended stays so. */
	MUST(rank(later) >= rank(sooner));
	MUST(rank(sooner) < 4 || later == sooner);
	MUST(rank(sooner) >= rank(timeline.phase));

	/* Production has it only after the soak, never past a halt. */
	if (phase_open(later, TIER_PRODUCTION) && timeline.phase != PHASE_PROMOTED)
		MUST(timeline.soak_ends_at <= moments[5] &&
			 (timeline.phase == PHASE_SOAKING ||
			  (timeline.phase == PHASE_QUEUED && timeline.turn_at <= moments[5] && !timeline.needs_canary)));
	if (phase_open(later, TIER_PRODUCTION))
		MUST(timeline.halts_at > moments[5] && phase_open(later, TIER_CANARY));
	if (phase_runs(timeline.phase) && timeline.halts_at <= moments[5])
		MUST(!phase_open(later, TIER_CANARY));

	/* What is left may be the name of a phase. */
	size -= 2 + sizeof(moments);
	memcpy(name, data + 2 + sizeof(moments), size < sizeof(name) ? size : sizeof(name) - 1);
	if (phase_parse(name, &parsed))
		MUST(strcmp(phase_names[parsed], name) == 0);
	MUST(phase_parse(phase_names[later], &parsed) && parsed == later);
	return 0;
}
