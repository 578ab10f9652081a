/*-------------------------------------------------------------------------
 *
 * test/machine/invariants.c
 *	  What must hold after each step in a small world.
 *
 * The invariants are those of the design's table, with the same names.  They are
 * checked against the rows and against what has happened: the machine is not
 * asked whether it is right.
 *
 *-------------------------------------------------------------------------
 */
#include <string.h>

#include "invariants.h"
#include "rollout/machine_due.h"

const char *const invariant_names[INVARIANT_COUNT] = {
	"one_runs", "one_lease", "gate", "forward", "soaked", "latched",
	"promoted", "counted", "agree", "monotone", "arrives", "leaves"
};
uint64_t invariants_checked[INVARIANT_COUNT];

#define MUST(invariant, condition) \
	do \
	{ \
		invariants_checked[invariant]++; \
		if (!(condition)) \
			violated(world, invariant, #condition); \
	} while (0)


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

		if (!world_is_of_run(world, w, rollout))
			continue;
		tally->succeeded += installation->evidence == EVIDENCE_SUCCEEDED;
		tally->failed += installation->evidence == EVIDENCE_FAILED;
		tally->acknowledged += world_is_acknowledged(rollout, installation);
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
void
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
		leases += world_holds_lease(world, w);
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

static bool
same_rollout(const Rollout *a, const Rollout *b)
{
	return a->ordinal == b->ordinal && a->run == b->run && a->resumed == b->resumed && a->phase == b->phase &&
		a->soaks_from == b->soaks_from && a->promoted_at == b->promoted_at && a->progress_at == b->progress_at &&
		memcmp(a->tally, b->tally, sizeof(a->tally)) == 0 && memcmp(&a->policy, &b->policy, sizeof(a->policy)) == 0;
}

/* Check what must hold between the states before and after a step. */
void
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
		const Rollout *was = world_rollout(before, v);
		const Rollout *is = world_rollout(world, v);
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
				canaries += world_is_of_run(world, w, is) && world->installations[w].evidence == EVIDENCE_SUCCEEDED &&
					world->installations[w].evidence_tier == TIER_CANARY;
			MUST(SOAKED, !is->policy.require_canary || canaries >= is->policy.min_successes);
			MUST(SOAKED, is->soaks_from == world->began_to_soak[v]);
			MUST(SOAKED, is->soaks_from >= before->package.stamp && is->soaks_from <= world->package.stamp);
		}
	}
}

/* Check a grant: a claim, or one that an operator forces. */
void
check_grant(const World *world, int v, int w, bool forced)
{
	const Rollout *rollout = world_rollout(world, v);
	const Rollout *handed = world->handed[w] < 0 ? NULL : world_rollout(world, world->handed[w]);
	Workspace	   workspace = world_workspace(world, w);

	MUST(ONE_LEASE, !world_holds_lease(world, w));
	if (forced)
		return;
	MUST(ONE_LEASE, world->package.in_flight < rollout->policy.max_in_flight);
	MUST(GATE, world->granted_at[w] != rollout->ordinal || world->grants[w] < rollout->policy.max_attempts);
	MUST(GATE, world->package.frozen_until <= world->package.stamp);
	MUST(GATE, world->live[w]);
	/* A search asks this before it looks at a tier, and before it reads an installation. */
	MUST(AGREE, machine_is_open_to_some(&world->package, rollout, workspace.tier));
	MUST(AGREE, machine_is_open_to_some(&world->package, NULL, workspace.tier));
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
	world_load_leases(&waited);
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

/*
 * Let time pass, with every workspace that is due claimed and successful, so
 * long that nothing changes any more.
 */
static void
be_well(World *world)
{
	World before;

	world->package.frozen_until = 0;
	for (int turn = 0; turn < 40; turn++)
	{
		/* All turns together last longer than any soak and any ramp of these worlds. */
		world->clock += 1 + world->rules->policy.ramp / 10;
		world_copy(&before, world);
		world_settle(world, world->clock);
		world_note_left(&before, world);
		for (int w = 0; w < world->rules->workspaces; w++)
		{
			Workspace	  workspace = world_workspace(world, w);
			Installation *installation = &world->installations[w];
			Rollout		 *wanted = machine_wanted(&world->package, installation, &workspace, world->clock);

			if (wanted == NULL ||
				machine_due(&world->package, wanted, installation, &workspace, world->clock).answer != ANSWER_DUE)
				continue;
			world_copy(&before, world);
			machine_grant(&world->package, wanted, installation, world->tiers[w], 1);
			world_note_left(&before, world);
			world_note_grant(world, (int) wanted->id - 1, w);
			world_copy(&before, world);
			(void) machine_report(&world->package, installation, STATE_SUCCEEDED, true);
			world_note_left(&before, world);
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
	const Rollout	   *has = world->handed[w] < 0 ? NULL : world_rollout(world, world->handed[w]);

	if (world_is_of_run(world, w, target) &&
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
