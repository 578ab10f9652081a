/*-------------------------------------------------------------------------
 *
 * test/machine/world.c
 *	  What can happen in a small world.
 *
 *-------------------------------------------------------------------------
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "invariants.h"
#include "rollout/machine_due.h"

static const char *const version_names[MAX_VERSIONS] = { "v1", "v2", "v3", "v4" };
static const uint8_t	 workspace_ids[MAX_WORKSPACES][WORKSPACE_ID_BYTES] = { { 1 }, { 2 }, { 3 }, { 4 } };


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

Rollout *
world_rollout(const World *world, int version)
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

void
world_load_leases(World *world)
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
	world_load_leases(world);
	world->package.uncounted = world->uncounted;
	world->package.uncounted_count = world->uncounted_count;
	world->package.counted = 0;
	world->package.event_count = 0;
	machine_settle(&world->package, clock);
	world->package.uncounted_count = world->uncounted_count = 0;
}


/* ---- what the world notes of its workspaces, for the invariants ---- */

bool
world_holds_lease(const World *world, int w)
{
	const Installation *installation = &world->installations[w];

	return installation->rollout != NO_ROLLOUT && installation->state == STATE_CLAIMED &&
		installation->lease_until > world->package.stamp;
}

bool
world_is_of_run(const World *world, int w, const Rollout *rollout)
{
	const Installation *installation = &world->installations[w];

	return installation->rollout == rollout->id && installation->run == rollout->run;
}

bool
world_is_acknowledged(const Rollout *rollout, const Installation *installation)
{
	return installation->evidence == EVIDENCE_FAILED && installation->resumed < rollout->resumed;
}

/*
 * Note the evidence that workspaces have left behind in the step: they have
 * another version now, or none.  A workspace that comes back, as far as its row
 * shows, takes one success with it.
 */
void
world_note_left(const World *before, World *world)
{
	for (int v = 0; v < world->rules->versions; v++)
	{
		const Rollout *was = world_rollout(before, v);
		const Rollout *is = world_rollout(world, v);
		bool		   same_run = was != NULL && is != NULL && was->run == is->run;

		for (int w = 0; same_run && w < world->rules->workspaces; w++)
		{
			const Installation *had = &before->installations[w];

			if (world_is_of_run(world, w, is) && world->installations[w].evidence != EVIDENCE_NONE &&
				(!world_is_of_run(before, w, was) || had->evidence == EVIDENCE_NONE) &&
				((had->runs == was->id && had->runs_ordinal == was->ordinal && had->runs_well) || had->runs_ordinal > was->ordinal) &&
				world->left_succeeded[v][world->installations[w].tier] > 0)
				world->left_succeeded[v][world->installations[w].tier]--;
			if (!world_is_of_run(before, w, was) || world_is_of_run(world, w, is))
				continue;
			world->left_succeeded[v][had->evidence_tier] += had->evidence == EVIDENCE_SUCCEEDED;
			world->left_failed[v][had->evidence_tier] += had->evidence == EVIDENCE_FAILED;
			world->left_acknowledged[v][had->evidence_tier] += world_is_acknowledged(was, had);
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

void
world_note_grant(World *world, int v, int w)
{
	int64_t ordinal = world_rollout(world, v)->ordinal;

	world->grants[w] = world->granted_at[w] == ordinal ? world->grants[w] + 1 : 1;
	world->handed[w] = v;
	world->handed_at[w] = world->granted_at[w] = ordinal;
}


/* ---- what can happen ---- */

static bool
has_rollout(const World *world, int version)
{
	return world_rollout(world, version) != NULL;
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
	bool	  leased = world_holds_lease(world, w);
	Refusal	  refusal = machine_observe(&world->package, v < 0 ? NULL : world_rollout(world, v),
										&world->installations[w], outcome, &workspace);

	if (refusal != ACCEPTED)
		return false;
	if (leased && world->installations[w].state != STATE_CLAIMED)
		note_report(world, w, outcome); /* it was a report for its lease */
	else
		world->runs_at[w] = v < 0 ? 0 : world_rollout(world, v)->ordinal;
	if (!leased)
	{
		world->grants[w] = 0;
		world->handed[w] = v;
		world->handed_at[w] = world->granted_at[w] = world->runs_at[w];
	}
	return true;
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

/* Do a step; false: nothing has changed. */
static bool
perform(World *world, Step step)
{
	Package		 *package = &world->package;
	Rollout		 *rollout = step.version < 0 ? NULL : world_rollout(world, step.version);
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
			world_note_grant(world, step.version, step.workspace);
			return true;
		case DEED_FORCE:
			if (!workspace.live || world_holds_lease(world, step.workspace))
				return false;
			check_grant(world, step.version, step.workspace, true);
			machine_grant(package, rollout, installation, workspace.tier, 1);
			world_note_grant(world, step.version, step.workspace);
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
	world_note_left(&before, world);
	world_copy(&settled, world);
	changed = perform(world, step);
	world_note_left(&settled, world);
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
