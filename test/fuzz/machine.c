/*-------------------------------------------------------------------------
 *
 * test/fuzz/machine.c
 *	  libFuzzer target: sequences of steps in a world of the machine, longer
 *	  than those of the walk, with every invariant checked after each step.
 *
 * The first two bytes make the policy.  Each byte after them chooses one of the
 * steps that are possible at that point.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>

#include "invariants.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

void
violated(const World *world, Invariant invariant, const char *what)
{
	fprintf(stderr, "%s is violated: %s\n", invariant_names[invariant], what);
	world_describe(world);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Rules rules = { .name = "fuzz",
					.versions = 3,
					.canaries = 2,
					.workspaces = 4,
					.policy = policy_default,
					.verbs = true,
					.fleet = true,
					.by_hand = true,
					.incidents = true };
	World world;
	Step  steps[256];

	if (size < 2)
		return 0;
	rules.policy.lease = 1 + (data[0] & 3);
	rules.policy.retry_delay = data[0] >> 2 & 3;
	rules.policy.soak = data[0] >> 4 & 7;
	rules.policy.require_canary = data[0] >> 7;
	rules.policy.min_successes = 1 + (data[1] & 1);
	rules.policy.max_failures = data[1] >> 1 & 1;
	rules.policy.max_failure_percent = (data[1] >> 2 & 1) * 40;
	rules.policy.max_attempts = 1 + (data[1] >> 3 & 1);
	rules.policy.max_in_flight = 1 + (data[1] >> 4 & 3);
	rules.policy.ramp = (data[1] >> 6 & 1) * 5;
	rules.policy.auto_promote = data[1] >> 7;
	rules.other_policy = rules.policy;
	rules.other_policy.soak = 0;
	rules.other_policy.max_failures++;

	world_make(&world, &rules);
	for (size_t i = 2; i < size; i++)
	{
		int count = world_steps(&world, steps);

		(void) world_do(&world, steps[data[i] % count]);
	}
	world_check_future(&world);
	return 0;
}
