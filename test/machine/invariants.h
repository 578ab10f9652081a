/*-------------------------------------------------------------------------
 *
 * test/machine/invariants.h
 *	  What must hold after each step in a small world.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_MACHINE_INVARIANTS_H
#define TEST_MACHINE_INVARIANTS_H

#include "world.h"

/* By the names of the table in doc/design.md. */
typedef enum Invariant
{
	ONE_RUNS,
	ONE_LEASE,
	GATE,
	FORWARD,
	SOAKED,
	LATCHED,
	PROMOTED_VERSION,
	COUNTED,
	AGREE,
	MONOTONE,
	ARRIVES,
	LEAVES
} Invariant;

#define INVARIANT_COUNT 12

extern const char *const invariant_names[INVARIANT_COUNT];
extern uint64_t			 invariants_checked[INVARIANT_COUNT];

/* Called when an invariant is violated; must not return. */
extern void violated(const World *world, Invariant invariant, const char *what);

extern void check_state(const World *world);
extern void check_step(const World *before, World *world, Step step);
extern void check_grant(const World *world, int v, int w, bool forced);
extern void world_evidence(const World *world, const Rollout *rollout, Tally *counted);
extern void world_check_future(const World *world);

#endif /* TEST_MACHINE_INVARIANTS_H */
