/*-------------------------------------------------------------------------
 *
 * test/machine/walk.c
 *	  Every sequence of steps in small worlds, to a depth, with every
 *	  invariant checked after every step.
 *
 * Breadth first, so that a violation is found with as few steps as possible.
 * Two worlds that no future can tell apart are one state, whose future is walked
 * once: moments are relative to now, those long ago are all the same, and of a
 * run it only matters whether it is the current one.
 *
 * usage: walk [DEPTH]     (default: that of each world)
 *
 *-------------------------------------------------------------------------
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariants.h"

/* clang-format off */
#define POLICY(...) { .soak = 2, .ramp = 0, .min_successes = 1, .max_failures = 0, .max_failure_percent = 0, \
	.max_in_flight = 2, .max_attempts = 2, .retry_delay = 1, .lease = 2, .auto_promote = true, .require_canary = true, __VA_ARGS__ }

static const Rules worlds[] = {
	{ .name = "two versions, every verb", .versions = 2, .canaries = 1, .workspaces = 2, .verbs = true,
	  .policy = POLICY(.max_in_flight = 2), .depth = 12 },
	{ .name = "two versions, tiers that flip and workspaces that go", .versions = 2, .canaries = 1, .workspaces = 2, .fleet = true,
	  .policy = POLICY(.max_in_flight = 1), .depth = 13 },
	{ .name = "two versions, by hand", .versions = 2, .canaries = 1, .workspaces = 2, .by_hand = true,
	  .policy = POLICY(.max_attempts = 1), .depth = 9 },
	{ .name = "two versions, a ramp, freezes and another policy", .versions = 2, .canaries = 1, .workspaces = 2, .incidents = true, .verbs = true,
	  .policy = POLICY(.ramp = 3), .other_policy = POLICY(.soak = 0, .max_failures = 1, .max_failure_percent = 40, .max_in_flight = 1), .depth = 11 },
	{ .name = "three versions, a canary", .versions = 3, .canaries = 1, .workspaces = 1, .verbs = true,
	  .policy = POLICY(.lease = 1, .soak = 1), .depth = 11 },
	{ .name = "two canaries, both needed, one may fail", .versions = 2, .canaries = 2, .workspaces = 3, .verbs = false,
	  .policy = POLICY(.min_successes = 2, .max_failures = 1, .max_failure_percent = 40, .retry_delay = 0), .depth = 14 },
	{ .name = "no canary needed, approval needed", .versions = 2, .canaries = 0, .workspaces = 2, .verbs = true,
	  .policy = POLICY(.require_canary = false, .auto_promote = false), .depth = 12 },
	{ .name = "one workspace, one attempt", .versions = 1, .canaries = 1, .workspaces = 1, .verbs = true,
	  .policy = POLICY(.max_attempts = 1), .depth = 20 },
};
/* clang-format on */

#define WORLDS ((int) (sizeof(worlds) / sizeof(worlds[0])))


/* ---- a world in few bytes, the same for worlds that have the same future ---- */

#define LONG_AGO	 (-12) /* longer than any span of these policies */
#define PACKED_BYTES 128
#define MAX_STEPS	 256

/* Attempts at one workspace, in all of these policies. */
#define GRANTS_AT_MOST 2

typedef struct Packed
{
	uint8_t bytes[PACKED_BYTES];
} Packed;

typedef struct WalkState
{
	Packed	 packed;
	uint32_t from; /* the state before */
	Step	 step; /* the step from there to here */
} WalkState;

static uint8_t
pack_moment(const World *world, Moment moment)
{
	Moment distance = moment - world->package.stamp;

	if (moment == NEVER)
		return 127;
	if (distance < LONG_AGO)
		distance = LONG_AGO;
	return (uint8_t) (int8_t) distance;
}

static Moment
unpack_moment(const World *world, uint8_t byte)
{
	int8_t distance = (int8_t) byte;

	return distance == 127 ? NEVER : world->package.stamp + distance;
}

/*
 * Of an ordinal only the number of older rollouts matters, and whether it is
 * the current one of a rollout.
 */
static uint8_t
pack_ordinal(const World *world, int64_t ordinal)
{
	int older = 0;

	for (int i = 0; i < world->package.count; i++)
	{
		if (world->order[i]->ordinal == ordinal)
			return (uint8_t) (2 * older + 2);
		older += world->order[i]->ordinal < ordinal;
	}
	return (uint8_t) (2 * older + 1);
}

static Packed
pack(const World *world)
{
	Packed	 packed = { { 0 } };
	uint8_t *at = packed.bytes;

#define PUT(value) (*at++ = (uint8_t) (value))
	PUT(world->package.count);
	PUT(pack_moment(world, world->clock));
	PUT(world->package.frozen_until > world->package.stamp);
	PUT(world->other_policy);
	for (int i = 0; i < world->package.count; i++)
	{
		const Rollout *r = world->order[i];

		PUT(r->id);
		PUT(r->phase);
		PUT(r->policy.soak == world->rules->policy.soak && r->policy.ramp == world->rules->policy.ramp &&
					r->policy.max_in_flight == world->rules->policy.max_in_flight ?
				0 :
				r->policy.soak == world->rules->policy.soak && r->policy.ramp == 0 ? 2 :
																					 1);
		PUT(pack_moment(world, r->soaks_from));
		PUT(pack_moment(world, r->promoted_at));
		PUT(pack_moment(world, r->progress_at));
		PUT(pack_moment(world, world->began_to_soak[r->id - 1]));
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			PUT(r->tally[tier].succeeded);
			PUT(r->tally[tier].failed);
			PUT(r->tally[tier].acknowledged);
			PUT(r->tally[tier].moved_on);
		}
	}
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		const Installation *n = &world->installations[w];
		const Rollout	   *r = machine_rollout(&world->package, n->rollout);

		PUT(world->live[w] | world->tiers[w] << 1);
		PUT(world->handed[w] + 1);
		PUT(pack_ordinal(world, world->handed_at[w]));
		PUT(pack_ordinal(world, world->granted_at[w]));
		/* More are not possible without force. */
		PUT(world->grants[w] < GRANTS_AT_MOST ? world->grants[w] : GRANTS_AT_MOST);
		PUT(pack_ordinal(world, world->runs_at[w]));
		PUT(pack_ordinal(world, n->ordinal));
		PUT(pack_ordinal(world, n->runs_ordinal));
		PUT(n->rollout);
		PUT(n->runs << 1 | n->runs_well);
		PUT(r != NULL && r->run == n->run);
		PUT(n->attempt);
		PUT(n->token != 0);
		PUT(n->state);
		PUT(n->tier);
		PUT(n->state == STATE_CLAIMED ? pack_moment(world, n->lease_until) : 0);
		PUT(n->retry_at <= world->package.stamp ? 0 : pack_moment(world, n->retry_at));
		PUT(n->evidence);
		PUT(n->evidence_tier);
		PUT(r != NULL && n->evidence == EVIDENCE_FAILED && n->resumed < r->resumed);
	}
#undef PUT
	if (at - packed.bytes > PACKED_BYTES)
		abort();
	return packed;
}

static void
unpack(World *world, const Rules *rules, const Packed *packed)
{
	const uint8_t *at = packed->bytes;

	world_make(world, rules);
#define GET() (*at++)
	world->package.count = GET();
	world->clock = unpack_moment(world, GET());
	world->package.frozen_until = GET() ? NEVER : 0;
	world->other_policy = GET();
	for (int i = 0; i < world->package.count; i++)
	{
		int		 id = GET();
		Rollout *r = &world->versions[id - 1];
		uint8_t	 policy;

		static const char *const names[] = { "v1", "v2", "v3", "v4" };

		*r = (Rollout){ .id = id, .version = names[id - 1], .ordinal = 2 * (i + 1), .run = 2, .resumed = 1 };
		world->order[i] = r;
		r->phase = (Phase) GET();
		policy = GET();
		r->policy = policy == 1 ? rules->other_policy : rules->policy;
		if (policy == 2)
			r->policy.ramp = 0;
		r->soaks_from = unpack_moment(world, GET());
		r->promoted_at = unpack_moment(world, GET());
		r->progress_at = unpack_moment(world, GET());
		world->began_to_soak[id - 1] = unpack_moment(world, GET());
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			r->tally[tier].succeeded = GET();
			r->tally[tier].failed = GET();
			r->tally[tier].acknowledged = GET();
			r->tally[tier].moved_on = GET();
		}
	}
	for (int w = 0; w < rules->workspaces; w++)
	{
		Installation *n = &world->installations[w];
		uint8_t		  who = GET();

		world->live[w] = who & 1;
		world->tiers[w] = (Tier) (who >> 1);
		world->handed[w] = GET() - 1;
		world->handed_at[w] = GET();
		world->granted_at[w] = GET();
		world->grants[w] = GET();
		world->runs_at[w] = GET();
		n->ordinal = GET();
		n->runs_ordinal = GET();
		n->rollout = GET();
		n->runs = GET();
		n->runs_well = n->runs & 1;
		n->runs >>= 1;
		n->run = GET() ? 2 : 1;
		n->attempt = GET();
		n->token = GET();
		n->state = (State) GET();
		n->tier = (Tier) GET();
		n->lease_until = unpack_moment(world, GET());
		n->retry_at = unpack_moment(world, GET());
		n->evidence = (Evidence) GET();
		n->evidence_tier = (Tier) GET();
		n->resumed = GET() ? 0 : 1;
		if (n->rollout != NO_ROLLOUT && n->state == STATE_CLAIMED)
			world->package.in_flight++;
	}
#undef GET
	world_relink(world);

	/*
	 * The evidence that is counted, but that no workspace has, is of workspaces
	 * that have left.
	 */
	for (int i = 0; i < world->package.count; i++)
	{
		const Rollout *r = world->order[i];
		Tally		   counted[TIER_COUNT];

		world_evidence(world, r, counted);
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			world->left_succeeded[r->id - 1][tier] = r->tally[tier].moved_on;
			world->left_failed[r->id - 1][tier] = r->tally[tier].failed - counted[tier].failed;
			world->left_acknowledged[r->id - 1][tier] = r->tally[tier].acknowledged - counted[tier].acknowledged;
		}
	}
}


/* ---- the states that were seen ---- */

static WalkState *states;
static uint32_t	  state_count;
static uint32_t	  state_room;
static uint32_t	 *table; /* index + 1, open addressing */
static uint32_t	  table_size;

static uint64_t
hash_packed(const Packed *packed)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (int i = 0; i < PACKED_BYTES; i += 8)
	{
		uint64_t word;

		memcpy(&word, packed->bytes + i, 8);
		hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
		hash ^= hash >> 29;
	}
	return hash;
}

static void
grow_table(void)
{
	uint32_t size = table_size ? table_size * 2 : 1 << 16;

	free(table);
	table = calloc(size, sizeof(*table));
	if (table == NULL)
		abort();
	table_size = size;
	for (uint32_t n = 0; n < state_count; n++)
	{
		uint64_t slot = hash_packed(&states[n].packed) & (size - 1);

		while (table[slot] != 0)
			slot = (slot + 1) & (size - 1);
		table[slot] = n + 1;
	}
}

/* The state's number; *is_new: it was not seen before. */
static uint32_t
find_state(const Packed *packed, bool *is_new)
{
	uint64_t slot;

	if (state_count * 2 >= table_size)
		grow_table();
	slot = hash_packed(packed) & (table_size - 1);
	while (table[slot] != 0)
	{
		if (memcmp(&states[table[slot] - 1].packed, packed, sizeof(*packed)) == 0)
		{
			*is_new = false;
			return table[slot] - 1;
		}
		slot = (slot + 1) & (table_size - 1);
	}
	if (state_count == state_room)
	{
		state_room = state_room ? state_room * 2 : 1 << 16;
		states = realloc(states, state_room * sizeof(*states));
		if (states == NULL)
			abort();
	}
	*is_new = true;
	states[state_count].packed = *packed;
	table[slot] = state_count + 1;
	return state_count++;
}


/* ---- the walk ---- */

static uint32_t current;
static Step		current_step;

static void
print_step(Step step)
{
	fprintf(stderr, "  %s", deed_name(step.deed));
	if (step.version >= 0)
		fprintf(stderr, " v%d", step.version + 1);
	if (step.workspace >= 0)
		fprintf(stderr, " workspace %d", step.workspace + 1);
	fprintf(stderr, "\n");
}

static void
print_way(uint32_t state)
{
	if (state == 0)
		return;
	print_way(states[state].from);
	print_step(states[state].step);
}

void
violated(const World *world, Invariant invariant, const char *what)
{
	fprintf(stderr, "%s is violated in \"%s\": %s\nafter\n", invariant_names[invariant], world->rules->name, what);
	print_way(current);
	print_step(current_step);
	world_describe(world);
	exit(1);
}

static void
walk(const Rules *rules, int depth)
{
	World	 world;
	Packed	 packed;
	bool	 is_new;
	uint32_t layer = 0;
	uint64_t steps_taken = 0;

	state_count = 0;
	memset(table, 0, table_size * sizeof(*table));
	world_make(&world, rules);
	packed = pack(&world);
	(void) find_state(&packed, &is_new);

	for (int d = 0; d < depth; d++)
	{
		uint32_t end = state_count;

		/* Each layer by itself: a state can be reached at several depths. */
		for (uint32_t n = layer; n < end; n++)
		{
			Step steps[MAX_STEPS];
			int	 count;

			unpack(&world, rules, &states[n].packed);
			count = world_steps(&world, steps);
			for (int i = 0; i < count; i++)
			{
				uint32_t next;

				unpack(&world, rules, &states[n].packed);
				current = n;
				current_step = steps[i];
				steps_taken++;
				if (!world_do(&world, steps[i]))
					continue;
				packed = pack(&world);
				next = find_state(&packed, &is_new);
				if (is_new)
				{
					states[next].from = n;
					states[next].step = steps[i];
					world_check_future(&world);
				}
			}
		}
		layer = end;
		if (layer == state_count)
		{
			depth = d + 1;
			printf("%s: every sequence of any length, %" PRIu32 " states, %" PRIu64 " steps\n", rules->name, state_count, steps_taken);
			return;
		}
	}
	printf("%s: every sequence of %d steps, %" PRIu32 " states, %" PRIu64 " steps\n", rules->name, depth, state_count, steps_taken);
}

int
main(int argc, char **argv)
{
	grow_table();
	for (int i = 0; i < WORLDS; i++)
		walk(&worlds[i], argc > 1 ? atoi(argv[1]) : worlds[i].depth);
	for (int i = 0; i < INVARIANT_COUNT; i++)
	{
		printf("%s: checked %" PRIu64 " times\n", invariant_names[i], invariants_checked[i]);
		if (invariants_checked[i] == 0)
		{
			fprintf(stderr, "%s was never checked.\n", invariant_names[i]);
			return 1;
		}
	}
	return 0;
}
