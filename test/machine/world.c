/*-------------------------------------------------------------------------
 *
 * test/machine/world.c
 *	  What can happen in a small world, and what must hold after it.
 *
 * The invariants are those of the design's table, with the same names.  They are
 * checked against the rows and against what has happened: the machine is not
 * asked whether it is right.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "world.h"
#include "rollout/machine_due.h"

const char *const invariant_names[INVARIANT_COUNT] = {
	"one_runs", "one_lease", "gate", "forward", "soaked", "latched",
	"promoted", "counted", "agree", "monotone", "arrives", "leaves"
};
uint64_t invariants_checked[INVARIANT_COUNT];

static const char *const version_names[MAX_VERSIONS] = { "v1", "v2", "v3", "v4" };
static const uint8_t	 workspace_ids[MAX_WORKSPACES][WORKSPACE_ID_BYTES] = { { 1 }, { 2 }, { 3 }, { 4 } };

#define MUST(invariant, condition) \
	do \
	{ \
		invariants_checked[invariant]++; \
		if (!(condition)) \
			violated(world, invariant, #condition); \
	} while (0)


/* ---- the world ---- */

/* Pointers within a copy are to that copy. */
void
world_relink(World *world)
{
	Package *package = &world->package;

	for (int i = 0; i < package->count; i++)
		world->order[i] = &world->versions[world->order[i]->id - 1];
	package->rollouts = world->order;
	package->events = world->events;
	package->leases = world->leases;
}

/* world_copy: a copy without the events. */
void
world_copy(World *copy, const World *world)
{
	memcpy(copy, world, offsetof(World, events));
	copy->package.event_count = 0;
	world_relink(copy);
}

void
world_make(World *world, const Rules *rules)
{
	memset(world, 0, offsetof(World, events));
	world->rules = rules;
	world->clock = world->package.stamp = 1000;
	world->package.name = "p";
	world_relink(world);
	for (int w = 0; w < rules->workspaces; w++)
	{
		world->live[w] = true;
		world->tiers[w] = w < rules->canaries ? TIER_CANARY : TIER_PRODUCTION;
		world->handed[w] = -1;
	}
	for (int v = 0; v < MAX_VERSIONS; v++)
		world->began_to_soak[v] = NEVER;
}

static Rollout *
rollout_of(const World *world, int version)
{
	return machine_rollout(&world->package, version + 1);
}

Workspace
world_workspace(const World *world, int workspace)
{
	return (Workspace){ .id = workspace_ids[workspace], .live = world->live[workspace], .tier = world->tiers[workspace] };
}

static const Policy *
policy_of(const World *world)
{
	return world->other_policy ? &world->rules->other_policy : &world->rules->policy;
}

static void
load_leases(World *world)
{
	Package *package = &world->package;

	package->lease_count = 0;
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		if (world->installations[w].rollout != NO_ROLLOUT && world->installations[w].state == STATE_CLAIMED)
			world->leases[package->lease_count++] = (Lease){ .installation = &world->installations[w],
															 .live = world->live[w],
															 .asked_at = NEVER };
	}
}

/*
 * As a caller does: load the reports that are not counted yet and the leases
 * that may have expired, and settle.
 */
void
world_settle(World *world, Moment clock)
{
	load_leases(world);
	world->package.uncounted = world->uncounted;
	world->package.uncounted_count = world->uncounted_count;
	world->package.counted = 0;
	world->package.event_count = 0;
	machine_settle(&world->package, clock);
	world->package.uncounted_count = world->uncounted_count = 0;
}


/* ---- the invariants, from outside ---- */

static bool
holds_lease(const World *world, int w)
{
	const Installation *installation = &world->installations[w];

	return installation->rollout != NO_ROLLOUT && installation->state == STATE_CLAIMED &&
		installation->lease_until > world->package.stamp;
}

static bool
is_of_run(const World *world, int w, const Rollout *rollout)
{
	const Installation *installation = &world->installations[w];

	return installation->rollout == rollout->id && installation->run == rollout->run;
}

static const Rollout *
newest_promoted(const World *world)
{
	const Rollout *newest = NULL;

	for (int i = 0; i < world->package.count; i++)
	{
		if (world->order[i]->phase == PHASE_PROMOTED)
			newest = world->order[i];
	}
	return newest;
}

static bool
newer_is_on_its_way(const World *world, const Rollout *than)
{
	for (int i = 0; i < world->package.count; i++)
	{
		const Rollout *other = world->order[i];

		if (other->ordinal > than->ordinal &&
			(other->phase == PHASE_CANARY || other->phase == PHASE_SOAKING || other->phase == PHASE_PROMOTED))
			return true;
	}
	return false;
}

static bool
is_acknowledged(const Rollout *rollout, const Installation *installation)
{
	return installation->evidence == EVIDENCE_FAILED && installation->resumed < rollout->resumed;
}

/*
 * world_evidence
 *		The evidence of the workspaces whose latest attempt is of the rollout, a
 *		tally for each tier.
 */
void
world_evidence(const World *world, const Rollout *rollout, Tally *counted)
{
	memset(counted, 0, TIER_COUNT * sizeof(*counted));
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		const Installation *installation = &world->installations[w];
		Tally			   *tally = &counted[installation->evidence_tier];

		if (!is_of_run(world, w, rollout))
			continue;
		tally->succeeded += installation->evidence == EVIDENCE_SUCCEEDED;
		tally->failed += installation->evidence == EVIDENCE_FAILED;
		tally->acknowledged += is_acknowledged(rollout, installation);
	}
}

/* Are there more failures than tolerated, by number and by share of all outcomes? */
static bool
fails_too_often(const World *world, const Rollout *rollout, const Tally *counted, Tier tier)
{
	int v = (int) rollout->id - 1;
	int failures = counted[tier].failed - counted[tier].acknowledged +
		world->left_failed[v][tier] - world->left_acknowledged[v][tier];
	int outcomes = failures + counted[tier].succeeded + world->left_succeeded[v][tier];

	return failures > rollout->policy.max_failures &&
		100 * failures > rollout->policy.max_failure_percent * outcomes;
}

/* Check what must hold at any moment. */
static void
check_state(const World *world)
{
	const Package *package = &world->package;
	const Rollout *promoted = newest_promoted(world);
	int			   running = 0;
	int			   queued = 0;
	int			   leases = 0;

	for (int i = 0; i < package->count; i++)
	{
		running += world->order[i]->phase == PHASE_CANARY || world->order[i]->phase == PHASE_SOAKING;
		queued += world->order[i]->phase == PHASE_QUEUED;
	}
	MUST(ONE_RUNS, running <= 1 && queued <= 1);
	MUST(ONE_RUNS, queued == 0 || running == 1);

	for (int w = 0; w < world->rules->workspaces; w++)
		leases += holds_lease(world, w);
	MUST(ONE_LEASE, package->in_flight == leases);

	MUST(PROMOTED_VERSION, machine_promoted(package) == promoted);
	MUST(PROMOTED_VERSION, promoted == NULL || package->frozen_until > package->stamp || machine_is_open(package, promoted, TIER_PRODUCTION, NEVER - 1));

	for (int i = 0; i < package->count; i++)
	{
		const Rollout *rollout = world->order[i];
		int			   v = (int) rollout->id - 1;
		bool		   open = rollout->phase == PHASE_QUEUED || rollout->phase == PHASE_CANARY ||
			rollout->phase == PHASE_SOAKING || rollout->phase == PHASE_PROMOTED;
		Tally counted[TIER_COUNT];

		world_evidence(world, rollout, counted);
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			const Tally *tally = &rollout->tally[tier];

			/* Evidence of workspaces that have left stays counted. */
			MUST(COUNTED, tally->succeeded == counted[tier].succeeded);
			MUST(COUNTED, tally->moved_on == world->left_succeeded[v][tier]);
			MUST(COUNTED, tally->failed == counted[tier].failed + world->left_failed[v][tier]);
			MUST(COUNTED, tally->acknowledged == counted[tier].acknowledged + world->left_acknowledged[v][tier]);
			MUST(COUNTED, !open || !fails_too_often(world, rollout, counted, (Tier) tier));
		}
		MUST(COUNTED, machine_is_consistent(rollout));
		MUST(SOAKED, rollout->soaks_from == NEVER || (rollout->phase != PHASE_QUEUED && rollout->phase != PHASE_CANARY && rollout->phase != PHASE_SUPERSEDED));
	}
}

/*
 * Note the evidence that workspaces have left behind in the step: they have
 * another version now, or none.
 */
static void
note_left(const World *before, World *world)
{
	for (int v = 0; v < world->rules->versions; v++)
	{
		const Rollout *was = rollout_of(before, v);
		const Rollout *is = rollout_of(world, v);
		bool		   same_run = was != NULL && is != NULL && was->run == is->run;

		for (int w = 0; same_run && w < world->rules->workspaces; w++)
		{
			const Installation *had = &before->installations[w];

			if (!is_of_run(before, w, was) || is_of_run(world, w, is))
				continue;
			world->left_succeeded[v][had->evidence_tier] += had->evidence == EVIDENCE_SUCCEEDED;
			world->left_failed[v][had->evidence_tier] += had->evidence == EVIDENCE_FAILED;
			world->left_acknowledged[v][had->evidence_tier] += is_acknowledged(was, had);
		}
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			if (!same_run)
				world->left_succeeded[v][tier] = world->left_failed[v][tier] = world->left_acknowledged[v][tier] = 0;
			else if (was->resumed != is->resumed)
				world->left_acknowledged[v][tier] = world->left_failed[v][tier];
		}
	}
}

static bool
same_rollout(const Rollout *a, const Rollout *b)
{
	return a->ordinal == b->ordinal && a->run == b->run && a->resumed == b->resumed && a->phase == b->phase &&
		a->soaks_from == b->soaks_from && a->promoted_at == b->promoted_at && a->progress_at == b->progress_at &&
		memcmp(a->tally, b->tally, sizeof(a->tally)) == 0 && memcmp(&a->policy, &b->policy, sizeof(a->policy)) == 0;
}

/* Check what must hold between the states before and after a step. */
static void
check_step(const World *before, World *world, Step step)
{
	MUST(MONOTONE, world->package.stamp >= before->package.stamp);

	/* Several changes can happen at one moment. */
	for (int i = 0; i < world->package.event_count; i++)
	{
		const Event *event = &world->events[i];

		MUST(MONOTONE, event->at >= (i == 0 ? before->package.stamp : event[-1].at) && event->at <= world->package.stamp);
		if (event->what == HAPPENED_PHASE && event->phase == PHASE_SOAKING)
			world->began_to_soak[event->rollout->id - 1] = event->at;
	}

	for (int v = 0; v < world->rules->versions; v++)
	{
		const Rollout *was = rollout_of(before, v);
		const Rollout *is = rollout_of(world, v);
		bool		   ordered = step.version == v;

		if (is == NULL)
			continue;
		/* The caller saves only what is marked as changed. */
		MUST(AGREE, is->changed || (was != NULL && same_rollout(was, is)));
		if (was != NULL && was->phase == PHASE_HALTED && is->phase != PHASE_HALTED)
			MUST(LATCHED, ordered && (step.deed == DEED_RESUME || step.deed == DEED_RETRY || step.deed == DEED_ABORT));
		if (step.deed == DEED_RESUME && ordered && was->phase == PHASE_HALTED)
			MUST(LATCHED, is->phase != PHASE_PROMOTED);

		/* A promotion that no operator ordered. */
		if (is->phase == PHASE_PROMOTED && (was == NULL || was->phase != PHASE_PROMOTED) &&
			!(ordered && (step.deed == DEED_PROMOTE || step.deed == DEED_PROMOTE_WITH_REASON)))
		{
			/* By the policy that it had at the promotion. */
			const Rollout *then = was != NULL ? was : is;
			const Policy  *policy = &then->policy;
			Tally		   counted[TIER_COUNT];

			MUST(SOAKED, policy->auto_promote);
			MUST(SOAKED, world->began_to_soak[v] != NEVER && world->package.stamp >= world->began_to_soak[v] + policy->soak);
			world_evidence(world, then, counted);
			for (int tier = 0; tier < TIER_COUNT; tier++)
				MUST(SOAKED, !fails_too_often(world, then, counted, (Tier) tier));
		}

		/* The soak begins when enough canaries have succeeded, and not before. */
		if (is->phase == PHASE_SOAKING && (was == NULL || was->phase != PHASE_SOAKING || was->run != is->run))
		{
			int canaries = 0;

			for (int w = 0; w < world->rules->workspaces; w++)
				canaries += is_of_run(world, w, is) && world->installations[w].evidence == EVIDENCE_SUCCEEDED &&
					world->installations[w].evidence_tier == TIER_CANARY;
			MUST(SOAKED, !is->policy.require_canary || canaries >= is->policy.min_successes);
			MUST(SOAKED, is->soaks_from == world->began_to_soak[v]);
			MUST(SOAKED, is->soaks_from >= before->package.stamp && is->soaks_from <= world->package.stamp);
		}
	}
}

/* Check a grant: a claim, or one that an operator forces. */
static void
check_grant(const World *world, int v, int w, bool forced)
{
	const Rollout *rollout = rollout_of(world, v);
	const Rollout *handed = world->handed[w] < 0 ? NULL : rollout_of(world, world->handed[w]);
	Workspace	   workspace = world_workspace(world, w);

	MUST(ONE_LEASE, !holds_lease(world, w));
	if (forced)
		return;
	MUST(ONE_LEASE, world->package.in_flight < rollout->policy.max_in_flight);
	MUST(GATE, world->granted_at[w] != rollout->ordinal || world->grants[w] < rollout->policy.max_attempts);
	MUST(GATE, world->package.frozen_until <= world->package.stamp);
	MUST(GATE, world->live[w]);
	/* A search asks this before it reads the installation. */
	MUST(AGREE, machine_is_open_to(&world->package, rollout, &workspace, world->clock));
	MUST(AGREE, machine_is_open_to(&world->package, NULL, &workspace, world->clock));
	if (world->tiers[w] == TIER_CANARY)
		MUST(GATE, rollout->phase == PHASE_CANARY || rollout->phase == PHASE_SOAKING || (rollout->phase == PHASE_PROMOTED && rollout == newest_promoted(world)));
	else
	{
		MUST(GATE, rollout->phase == PHASE_PROMOTED);
		MUST(GATE, machine_opens_at(&world->package, rollout, &workspace) <= world->clock);
		/* No newer promoted version is open to this workspace yet. */
		for (int i = 0; i < world->package.count; i++)
		{
			const Rollout *other = world->order[i];

			MUST(GATE, other->phase != PHASE_PROMOTED || other->ordinal <= rollout->ordinal || machine_opens_at(&world->package, other, &workspace) > world->clock);
		}
	}
	if (handed != NULL && world->handed_at[w] > rollout->ordinal)
		MUST(FORWARD, handed->phase == PHASE_ABORTED || (machine_phase(&world->package, handed) == PHASE_SUPERSEDED && !newer_is_on_its_way(world, rollout)));
}


/* ---- the future: arrives, leaves, agree ---- */

static bool
same_rows(const World *a, const World *b)
{
	for (int i = 0; i < a->package.count; i++)
	{
		if (a->order[i]->id != b->order[i]->id || !same_rollout(a->order[i], b->order[i]))
			return false;
	}
	for (int w = 0; w < a->rules->workspaces; w++)
	{
		const Installation *x = &a->installations[w];
		const Installation *y = &b->installations[w];

		if (x->state != y->state || x->retry_at != y->retry_at || x->evidence != y->evidence || x->runs != y->runs)
			return false;
	}
	return a->package.in_flight == b->package.in_flight && a->package.stamp == b->package.stamp;
}

/* The result does not depend on whether a caller settled and saved on the way. */
static void
check_agree(const World *world)
{
	for (int first = 1; first <= 3; first++)
	{
		World looked;
		World slept;

		world_copy(&looked, world);
		world_copy(&slept, world);
		world_settle(&looked, world->clock + first);
		world_settle(&looked, world->clock + 4);
		world_settle(&slept, world->clock + 4);
		MUST(AGREE, same_rows(&looked, &slept));
	}
}

/* Report with the package's lock, or apart from it.  False: that is not possible. */
static bool
report_later(World *world, Moment clock, int w, State outcome, bool apart)
{
	Installation *installation = &world->installations[w];
	Rollout		 *rollout = machine_rollout(&world->package, installation->rollout);

	if (!apart)
	{
		world_settle(world, clock);
		world->package.event_count = 0;
		return machine_report(&world->package, installation, outcome, world->live[w]) == ACCEPTED;
	}
	if (rollout == NULL ||
		!machine_report_apart(rollout, installation, outcome, world->live[w], clock,
							  clock > world->package.stamp ? clock : world->package.stamp,
							  &world->uncounted[world->uncounted_count]))
		return false;
	world->uncounted_count++;
	return true;
}

/*
 * The result does not depend on whether a report is written with the package's
 * lock or apart from it, when it is counted, and what happens meanwhile.
 */
static void
check_apart(const World *world, State outcome)
{
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		for (int wait = 0; wait <= 2 && world->installations[w].state == STATE_CLAIMED; wait++)
		{
			World apart;
			World with_package;

			world_copy(&apart, world);
			world_copy(&with_package, world);
			if (!report_later(&apart, world->clock + wait, w, outcome, true))
				break;
			MUST(AGREE, report_later(&with_package, world->clock + wait, w, outcome, false));
			for (int other = w + 1; other < world->rules->workspaces; other++)
			{
				if (report_later(&apart, world->clock + wait + 1, other, outcome, true))
					MUST(AGREE, report_later(&with_package, world->clock + wait + 1, other, outcome, false));
			}
			world_settle(&apart, world->clock + wait + 2);
			world_settle(&with_package, world->clock + wait + 2);
			MUST(AGREE, same_rows(&apart, &with_package));
		}
	}
}

/* Nothing happens without a call before machine_next_moment(), and something happens then. */
static void
check_next_moment(const World *world)
{
	World  waited;
	Moment next;

	world_copy(&waited, world);
	load_leases(&waited);
	next = machine_next_moment(&waited.package);
	if (next > world->package.stamp)
	{
		world_settle(&waited, next == NEVER ? world->clock + 1000 : next - 1);
		MUST(AGREE, waited.package.event_count == 0);
	}
	if (next != NEVER)
	{
		world_settle(&waited, next);
		MUST(AGREE, waited.package.event_count > 0);
	}
}

static void
note_grant(World *world, int v, int w)
{
	int64_t ordinal = rollout_of(world, v)->ordinal;

	world->grants[w] = world->granted_at[w] == ordinal ? world->grants[w] + 1 : 1;
	world->handed[w] = v;
	world->handed_at[w] = world->granted_at[w] = ordinal;
}

/* The rollout's workspaces may have their attempts back. */
static bool
do_resume(World *world, Rollout *rollout)
{
	if (machine_resume(&world->package, rollout) != ACCEPTED)
		return false;
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		if (world->granted_at[w] == rollout->ordinal)
			world->grants[w] = 0;
	}
	return true;
}

/*
 * Let time pass, with every workspace that is due claimed and successful, so
 * long that nothing changes any more.
 */
static void
be_well(World *world)
{
	world->package.frozen_until = 0;
	for (int turn = 0; turn < 40; turn++)
	{
		/* All turns together last longer than any soak and any ramp of these worlds. */
		world->clock += 1 + world->rules->policy.ramp / 10;
		world_settle(world, world->clock);
		for (int w = 0; w < world->rules->workspaces; w++)
		{
			Workspace	  workspace = world_workspace(world, w);
			Installation *installation = &world->installations[w];
			Rollout		 *wanted = machine_wanted(&world->package, installation, &workspace, world->clock);
			World		  before;

			if (wanted == NULL ||
				machine_due(&world->package, wanted, installation, &workspace, world->clock).answer != ANSWER_DUE)
				continue;
			world_copy(&before, world);
			machine_grant(&world->package, wanted, installation, world->tiers[w], 1);
			note_left(&before, world);
			note_grant(world, (int) wanted->id - 1, w);
			(void) machine_report(&world->package, installation, STATE_SUCCEEDED, true);
		}
	}
}

/*
 * May a workspace keep its version?  It may if its attempts are spent, until a
 * resume or a retry; or if it was handed a newer version that is not decided
 * yet: halted, started again, or superseded by one that is on its way.
 */
static bool
may_stay(const World *world, int w, const Rollout *target)
{
	const Installation *installation = &world->installations[w];
	const Rollout	   *has = world->handed[w] < 0 ? NULL : rollout_of(world, world->handed[w]);

	if (is_of_run(world, w, target) &&
		machine_attempts_used(&world->package, installation) >= target->policy.max_attempts)
		return true;
	return has != NULL && world->handed_at[w] > target->ordinal &&
		(has->phase == PHASE_HALTED || has->phase == PHASE_QUEUED || has->phase == PHASE_CANARY ||
		 has->phase == PHASE_SOAKING || (has->phase == PHASE_SUPERSEDED && newer_is_on_its_way(world, target)));
}

void
world_check_future(const World *now)
{
	World		   future;
	World		  *world = &future;
	const Rollout *target[TIER_COUNT] = { NULL };

	check_agree(now);
	check_next_moment(now);
	check_apart(now, STATE_SUCCEEDED);
	check_apart(now, STATE_ERROR);
	world_copy(world, now);
	be_well(world);
	check_state(world);

	/*
	 * The target of canaries is the newest version open to them, that of
	 * production the promoted version.
	 */
	target[TIER_PRODUCTION] = newest_promoted(world);
	target[TIER_CANARY] = target[TIER_PRODUCTION];
	for (int i = 0; i < world->package.count; i++)
	{
		const Rollout *rollout = world->order[i];

		if ((rollout->phase == PHASE_CANARY || rollout->phase == PHASE_SOAKING) &&
			(target[TIER_CANARY] == NULL || rollout->ordinal > target[TIER_CANARY]->ordinal))
			target[TIER_CANARY] = rollout;
	}
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		const Rollout *wanted = target[world->tiers[w]];
		const Rollout *runs = machine_rollout(&world->package, world->installations[w].runs);

		if (!world->live[w])
			continue;
		if (wanted != NULL && !may_stay(world, w, wanted))
			MUST(ARRIVES, runs == wanted);
		/* If no version is open, a workspace has to stay. */
		if (runs != NULL && wanted != NULL && !may_stay(world, w, wanted))
			MUST(LEAVES, runs->phase != PHASE_ABORTED);
	}
}


/* ---- what can happen ---- */

static bool
has_rollout(const World *world, int version)
{
	return rollout_of(world, version) != NULL;
}

/* world_steps: all steps that are possible now.  Returns their number. */
int
world_steps(const World *world, Step *steps)
{
	const Rules *rules = world->rules;
	int			 count = 0;

#define MAY(d, v, w) steps[count++] = (Step){ .deed = (d), .version = (v), .workspace = (w) }
	MAY(DEED_TICK, -1, -1);
	for (int v = 0; v < rules->versions; v++)
	{
		if (!has_rollout(world, v))
		{
			/* The versions are alike, so start them in one order only. */
			if (v == world->package.count)
				MAY(DEED_START, v, -1);
			continue;
		}
		MAY(DEED_ABORT, v, -1);
		if (rules->verbs)
		{
			MAY(DEED_HALT, v, -1);
			MAY(DEED_RESUME, v, -1);
			MAY(DEED_RETRY, v, -1);
			MAY(DEED_PROMOTE, v, -1);
			MAY(DEED_PROMOTE_WITH_REASON, v, -1);
		}
		for (int w = 0; w < rules->workspaces; w++)
		{
			MAY(DEED_CLAIM, v, w);
			if (rules->by_hand)
			{
				MAY(DEED_FORCE, v, w);
				MAY(DEED_OBSERVE_GOOD, v, w);
				MAY(DEED_OBSERVE_BAD, v, w);
			}
		}
	}
	for (int w = 0; w < rules->workspaces; w++)
	{
		if (world->installations[w].rollout != NO_ROLLOUT && world->installations[w].token != 0)
		{
			MAY(DEED_SUCCEEDED, -1, w);
			MAY(DEED_FAILED, -1, w);
			MAY(DEED_ERROR, -1, w);
			MAY(DEED_SKIPPED, -1, w);
		}
		if (rules->by_hand)
		{
			MAY(DEED_OBSERVE_UNKNOWN, -1, w);
			MAY(DEED_EXTEND, -1, w);
			MAY(DEED_FORGET, -1, w);
		}
		if (rules->fleet)
		{
			MAY(DEED_FLIP, -1, w);
			MAY(DEED_GO, -1, w);
		}
	}
	if (rules->incidents)
	{
		MAY(DEED_FREEZE, -1, -1);
		MAY(DEED_POLICY, -1, -1);
	}
#undef MAY
	return count;
}

/* Note what a report changes of what the workspace was last handed. */
static void
note_report(World *world, int w, State outcome)
{
	Installation *installation = &world->installations[w];

	if (outcome == STATE_SKIPPED && world->grants[w] > 0)
		world->grants[w]--;
	if (outcome == STATE_SKIPPED && installation->attempt <= 1)
	{
		world->handed[w] = machine_rollout(&world->package, installation->runs) ? (int) installation->runs - 1 : -1;
		world->handed_at[w] = world->runs_at[w];
		return;
	}
	/* The attempt counts as handed out. */
	world->handed[w] = (int) installation->rollout - 1;
	world->handed_at[w] = world->granted_at[w];
	if (outcome == STATE_SUCCEEDED || outcome == STATE_FAILED)
		world->runs_at[w] = world->granted_at[w];
}

static bool
do_report(World *world, int w, State outcome)
{
	Refusal refusal = machine_report(&world->package, &world->installations[w], outcome, world->live[w]);

	if (refusal == ACCEPTED)
		note_report(world, w, outcome);
	return refusal == ACCEPTED;
}

static bool
do_observe(World *world, int v, int w, State outcome)
{
	Workspace workspace = world_workspace(world, w);
	bool	  leased = holds_lease(world, w);
	Refusal	  refusal = machine_observe(&world->package, v < 0 ? NULL : rollout_of(world, v),
										&world->installations[w], outcome, &workspace);

	if (refusal != ACCEPTED)
		return false;
	if (leased && world->installations[w].state != STATE_CLAIMED)
		note_report(world, w, outcome); /* it was a report for its lease */
	else
		world->runs_at[w] = v < 0 ? 0 : rollout_of(world, v)->ordinal;
	if (!leased)
	{
		world->grants[w] = 0;
		world->handed[w] = v;
		world->handed_at[w] = world->granted_at[w] = world->runs_at[w];
	}
	return true;
}

/* Do a step; false: nothing has changed. */
static bool
perform(World *world, Step step)
{
	Package		 *package = &world->package;
	Rollout		 *rollout = step.version < 0 ? NULL : rollout_of(world, step.version);
	Installation *installation = step.workspace < 0 ? NULL : &world->installations[step.workspace];
	Workspace	  workspace = { 0 };
	int64_t		  next_ordinal = package->count == 0 ? 1 : world->order[package->count - 1]->ordinal + 1;

	if (step.workspace >= 0)
		workspace = world_workspace(world, step.workspace);
	switch (step.deed)
	{
		case DEED_TICK:
			return true;
		case DEED_START:
			rollout = &world->versions[step.version];
			*rollout = (Rollout){ .id = step.version + 1,
								  .version = version_names[step.version],
								  .ordinal = next_ordinal,
								  .policy = *policy_of(world) };
			world->order[package->count++] = rollout;
			machine_start(package, rollout);
			return true;
		case DEED_ABORT:
			return machine_abort(package, rollout) == ACCEPTED;
		case DEED_HALT:
			return machine_halt(package, rollout) == ACCEPTED;
		case DEED_RESUME:
			return do_resume(world, rollout);
		case DEED_RETRY:
			return machine_retry(package, rollout, next_ordinal, policy_of(world)) == ACCEPTED;
		case DEED_PROMOTE:
			return machine_promote(package, rollout, false) == ACCEPTED;
		case DEED_PROMOTE_WITH_REASON:
			return machine_promote(package, rollout, true) == ACCEPTED;
		case DEED_CLAIM:
			if (!machine_has_budget(package, rollout) ||
				machine_due(package, rollout, installation, &workspace, world->clock).answer != ANSWER_DUE)
				return false;
			check_grant(world, step.version, step.workspace, false);
			machine_grant(package, rollout, installation, workspace.tier, 1);
			note_grant(world, step.version, step.workspace);
			return true;
		case DEED_FORCE:
			if (!workspace.live || holds_lease(world, step.workspace))
				return false;
			check_grant(world, step.version, step.workspace, true);
			machine_grant(package, rollout, installation, workspace.tier, 1);
			note_grant(world, step.version, step.workspace);
			return true;
		case DEED_SUCCEEDED:
			return do_report(world, step.workspace, STATE_SUCCEEDED);
		case DEED_FAILED:
			return do_report(world, step.workspace, STATE_FAILED);
		case DEED_ERROR:
			return do_report(world, step.workspace, STATE_ERROR);
		case DEED_SKIPPED:
			return do_report(world, step.workspace, STATE_SKIPPED);
		case DEED_OBSERVE_GOOD:
			return do_observe(world, step.version, step.workspace, STATE_SUCCEEDED);
		case DEED_OBSERVE_BAD:
			return do_observe(world, step.version, step.workspace, STATE_FAILED);
		case DEED_OBSERVE_UNKNOWN:
			return do_observe(world, -1, step.workspace, STATE_SUCCEEDED);
		case DEED_EXTEND:
			return machine_extend(package, installation, 0) == ACCEPTED;
		case DEED_FORGET:
			if (machine_forget(package, installation) != ACCEPTED)
				return false;
			world->handed[step.workspace] = -1;
			world->handed_at[step.workspace] = world->granted_at[step.workspace] = world->runs_at[step.workspace] = 0;
			return true;
		case DEED_FLIP:
			world->tiers[step.workspace] = workspace.tier == TIER_CANARY ? TIER_PRODUCTION : TIER_CANARY;
			return true;
		case DEED_GO:
			world->live[step.workspace] = !workspace.live;
			return true;
		case DEED_FREEZE:
			package->frozen_until = machine_is_frozen(package) ? 0 : NEVER;
			return true;
		case DEED_POLICY:
			world->other_policy = !world->other_policy;
			machine_apply_policy(package, policy_of(world));
			return true;
	}
	return false;
}

/* world_do: do a step, and check every invariant after it; false: nothing has changed. */
bool
world_do(World *world, Step step)
{
	World before;
	World settled;
	bool  changed;

	for (int v = 0; v < world->rules->versions; v++)
		world->versions[v].changed = false;
	world_copy(&before, world);
	if (step.deed == DEED_TICK)
		world->clock++;
	world_settle(world, world->clock);
	world_copy(&settled, world);
	changed = perform(world, step);
	note_left(&settled, world);
	check_step(&before, world, step);
	check_state(world);
	return changed;
}


/* ---- in words ---- */

const char *
deed_name(Deed deed)
{
	static const char *const names[DEED_COUNT] = {
		"time passes", "start", "abort", "halt", "resume", "retry", "promote", "promote, with a reason", "claim",
		"succeeded", "failed", "error", "skipped", "force", "observe, good", "observe, bad", "observe, unknown",
		"extend", "forget", "flip", "go or come back", "freeze or thaw", "apply the other policy"
	};

	return names[deed];
}

void
world_describe(const World *world)
{
	static const char *const states[] = { "claimed", "succeeded", "skipped", "error", "failed", "expired" };

	fprintf(stderr, "  clock %lld, stamp %lld, in flight %d%s\n", (long long) world->clock,
			(long long) world->package.stamp, world->package.in_flight,
			world->package.frozen_until > world->package.stamp ? ", frozen" : "");
	for (int i = 0; i < world->package.count; i++)
	{
		const Rollout *r = world->order[i];

		fprintf(stderr, "  %s %s (run %d, resumed %d, soaks from %lld, promoted %lld, canary %d/%d/%d/%d, production %d/%d/%d/%d)\n",
				r->version, phase_names[r->phase], r->run, r->resumed,
				r->soaks_from == NEVER ? -1LL : (long long) r->soaks_from,
				r->promoted_at == NEVER ? -1LL : (long long) r->promoted_at,
				r->tally[0].succeeded, r->tally[0].failed, r->tally[0].acknowledged, r->tally[0].moved_on,
				r->tally[1].succeeded, r->tally[1].failed, r->tally[1].acknowledged, r->tally[1].moved_on);
	}
	for (int w = 0; w < world->rules->workspaces; w++)
	{
		const Installation *n = &world->installations[w];

		fprintf(stderr, "  workspace %d (%s%s): v%d run %d attempt %d %s, until %lld, retry at %lld, runs v%d\n", w + 1,
				tier_names[world->tiers[w]], world->live[w] ? "" : ", gone", (int) n->rollout, n->run, n->attempt,
				states[n->state], (long long) n->lease_until, (long long) n->retry_at, (int) n->runs);
	}
}
