/*-------------------------------------------------------------------------
 *
 * test/machine/cases.c
 *	  The design, case by case: a line for each sentence that can be tested.
 *
 * Each case is about a package "p".  Its policy is the default with short spans
 * (a soak of 10, a lease of 5, a retry delay of 2), unless the case sets another.
 * Workspaces 1 and 2 are canaries, 3 and 4 production.
 *
 *-------------------------------------------------------------------------
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "invariants.h"
#include "rollout/machine_due.h"

static Rules	   rules;
static World	   world;
static const char *story;
static int		   stories;
static int		   expectations;

void
violated(const World *at, Invariant invariant, const char *what)
{
	fprintf(stderr, "%s: %s is violated: %s\n", story, invariant_names[invariant], what);
	world_describe(at);
	exit(1);
}

#define EXPECT(condition) \
	do \
	{ \
		expectations++; \
		if (!(condition)) \
		{ \
			fprintf(stderr, "%s:%d: %s: not so: %s\n", __FILE__, __LINE__, story, #condition); \
			world_describe(&world); \
			exit(1); \
		} \
	} while (0)

/* The verbs of the cases. */

static void
begin(const char *what)
{
	story = what;
	stories++;
	memset(&rules, 0, sizeof(rules));
	rules.name = what;
	rules.versions = MAX_VERSIONS;
	rules.canaries = 2;
	rules.workspaces = 4;
	rules.policy = policy_default;
	rules.policy.soak = 10;
	rules.policy.lease = 5;
	rules.policy.retry_delay = 2;
	rules.other_policy = rules.policy;
	world_make(&world, &rules);
}

static bool
did(Deed deed, int version, int workspace)
{
	bool changed = world_do(&world, (Step){ .deed = deed, .version = version - 1, .workspace = workspace - 1 });

	world_check_future(&world);
	return changed;
}

static void
wait_for(int spans)
{
	for (int i = 0; i < spans; i++)
		(void) did(DEED_TICK, 0, 0);
}

#define start(v)		   ((void) did(DEED_START, v, 0))
#define promote(v)		   did(DEED_PROMOTE, v, 0)
#define promote_because(v) did(DEED_PROMOTE_WITH_REASON, v, 0)
#define halt(v)			   did(DEED_HALT, v, 0)
#define resume(v)		   did(DEED_RESUME, v, 0)
#define abort_version(v)   did(DEED_ABORT, v, 0)
#define retry(v)		   did(DEED_RETRY, v, 0)
#define claim(v, w)		   did(DEED_CLAIM, v, w)
#define force(v, w)		   did(DEED_FORCE, v, w)
#define succeeded(w)	   did(DEED_SUCCEEDED, 0, w)
#define failed(w)		   did(DEED_FAILED, 0, w)
#define error(w)		   did(DEED_ERROR, 0, w)
#define skipped(w)		   did(DEED_SKIPPED, 0, w)
#define succeeds(v, w)	   (claim(v, w) && succeeded(w))

static Phase
phase(int v)
{
	return machine_phase(&world.package, machine_rollout(&world.package, v));
}

static Answer
answer(int v, int w)
{
	Workspace workspace = world_workspace(&world, w - 1);

	return machine_due(&world.package, machine_rollout(&world.package, v), &world.installations[w - 1],
					   &workspace, world.clock)
		.answer;
}

static int
wanted(int w)
{
	Workspace workspace = world_workspace(&world, w - 1);
	Rollout	 *rollout = machine_wanted(&world.package, &world.installations[w - 1], &workspace, world.clock);

	return rollout ? (int) rollout->id : 0;
}

static int
promoted(void)
{
	Rollout *rollout = machine_promoted(&world.package);

	return rollout ? (int) rollout->id : 0;
}

/* Start a version, and take it to promoted. */
static void
ship(int v)
{
	start(v);
	EXPECT(succeeds(v, 1));
	wait_for(10);
	EXPECT(phase(v) == PHASE_PROMOTED);
}

/* The machine's answer to a verb. */
#define refuses(verb, v, ...) machine_##verb(&world.package, &world.versions[(v) -1], ##__VA_ARGS__)

static const Tally *
tally(int v, Tier tier)
{
	return &world.versions[v - 1].tally[tier];
}

static void
phases(void)
{
	begin("canaries first, then a soak, then production");
	start(1);
	EXPECT(phase(1) == PHASE_CANARY);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 3) == ANSWER_NEEDS_CANARY);
	EXPECT(succeeds(1, 1) && phase(1) == PHASE_SOAKING);
	EXPECT(answer(1, 2) == ANSWER_DUE && answer(1, 3) == ANSWER_SOAKING);
	wait_for(9);
	EXPECT(phase(1) == PHASE_SOAKING);
	wait_for(1);
	EXPECT(phase(1) == PHASE_PROMOTED && answer(1, 3) == ANSWER_DUE);

	begin("min_successes counts distinct canaries: a canary that succeeds twice counts once");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1) && force(1, 1) && succeeded(1) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_CANARY)->succeeded == 1);
	EXPECT(succeeds(1, 2) && phase(1) == PHASE_SOAKING);

	begin("a newer version supersedes a version in canary");
	start(1);
	start(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_CANARY);

	begin("a newer version is queued while the canaries of the older one make progress, until a lease is over");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(1) == PHASE_CANARY && phase(2) == PHASE_QUEUED);
	wait_for(4);
	EXPECT(phase(2) == PHASE_QUEUED);
	wait_for(1);
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_CANARY);

	begin("a report that is counted late does not put the progress of the canaries back");
	ship(1);
	world.versions[0].progress_at = world.clock;
	world.uncounted[0] = (Uncounted){ .rollout = 1, .run = 1, .tier = TIER_CANARY, .succeeded = true, .at = world.clock - 1 };
	world.package.uncounted = world.uncounted;
	world.package.uncounted_count = 1;
	world.package.counted = 0;
	machine_settle(&world.package, world.clock);
	EXPECT(world.package.counted == 1 && world.versions[0].progress_at == world.clock);

	begin("a success in production is no progress of the canaries");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(force(1, 3) && succeeded(3));
	start(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);

	begin("a newer version is queued while an older one soaks; of several queued versions only the newest waits");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	start(3);
	EXPECT(phase(2) == PHASE_SUPERSEDED && phase(3) == PHASE_QUEUED);
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && phase(3) == PHASE_CANARY);

	begin("halted and aborted versions do not block a newer version");
	start(1);
	EXPECT(halt(1));
	start(2);
	EXPECT(phase(1) == PHASE_HALTED && phase(2) == PHASE_CANARY);
	EXPECT(abort_version(2));
	start(3);
	EXPECT(phase(2) == PHASE_ABORTED && phase(3) == PHASE_CANARY);

	begin("a queued version enters canary at once when the version before it is halted or aborted");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(2) == PHASE_QUEUED && halt(1) && phase(2) == PHASE_CANARY);
	EXPECT(succeeds(2, 1));
	start(3);
	EXPECT(phase(3) == PHASE_QUEUED && abort_version(2) && phase(3) == PHASE_CANARY);

	begin("a version promoted before shows as superseded, and is open again when the newer one is halted");
	ship(1);
	ship(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED && promoted() == 2);
	EXPECT(halt(2));
	EXPECT(phase(1) == PHASE_PROMOTED && promoted() == 1 && answer(1, 3) == ANSWER_DUE);

	begin("a version promoted before is open again when the newer one is aborted, without a new soak or ramp");
	rules.policy.ramp = 100;
	ship(1);
	wait_for(100);
	ship(2);
	EXPECT(abort_version(2) && phase(1) == PHASE_PROMOTED && promoted() == 1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
	EXPECT(answer(1, 3) == ANSWER_DUE && answer(1, 4) == ANSWER_DUE);

	begin("the promoted version is the newest that was promoted and is neither halted nor aborted");
	ship(1);
	ship(2);
	ship(3);
	EXPECT(promoted() == 3 && halt(3) && promoted() == 2 && abort_version(2) && promoted() == 1);
	EXPECT(halt(1) && promoted() == 0 && wanted(3) == 0);

	begin("a halted version shows as superseded after a newer one was promoted");
	ship(1);
	EXPECT(halt(1));
	ship(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);
	EXPECT(refuses(resume, 1) == REFUSED_REPLACED);

	begin("without canaries production stays closed; with require_canary = false a version soaks from its start");
	rules.canaries = 0;
	world_make(&world, &rules);
	start(1);
	wait_for(30);
	EXPECT(phase(1) == PHASE_CANARY);
	rules.policy.require_canary = false;
	start(2);
	EXPECT(phase(2) == PHASE_SOAKING);
	wait_for(10);
	EXPECT(phase(2) == PHASE_PROMOTED);

	begin("with auto_promote = false only promote ends the soak");
	rules.policy.auto_promote = false;
	start(1);
	EXPECT(succeeds(1, 1));
	wait_for(50);
	EXPECT(phase(1) == PHASE_SOAKING);
	EXPECT(promote(1) && phase(1) == PHASE_PROMOTED);

	begin("promote needs a reason in canary and in queued, and supersedes older versions");
	start(1);
	EXPECT(!promote(1) && phase(1) == PHASE_CANARY);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(refuses(promote, 2, false) == REFUSED_REASON && promote_because(2));
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_PROMOTED);

	begin("promote supersedes an older version that soaks, and lets a queued newer version enter canary");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(promote(1) && phase(1) == PHASE_PROMOTED && phase(2) == PHASE_CANARY);
	EXPECT(succeeds(2, 1));
	start(3);
	EXPECT(phase(3) == PHASE_QUEUED && promote_because(3));
	EXPECT(phase(2) == PHASE_SUPERSEDED && phase(1) == PHASE_SUPERSEDED);

	begin("promote supersedes an older version in canary; a version promoted from queued has no soak");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(1) == PHASE_CANARY && phase(2) == PHASE_QUEUED && promote_because(2) && phase(1) == PHASE_SUPERSEDED);
	EXPECT(world.versions[1].soaks_from == world.clock && world.versions[1].promoted_at == world.clock);

	begin("only successes of this run count as progress");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1) && abort_version(1) && retry(1) && phase(1) == PHASE_CANARY);
	EXPECT(world.versions[0].run == 2);
	start(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);

	begin("a success before halt and resume still counts as progress");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1) && halt(1) && resume(1) && phase(1) == PHASE_CANARY);
	start(2);
	EXPECT(phase(1) == PHASE_CANARY && phase(2) == PHASE_QUEUED);

	begin("machine_successor() returns the version that takes the place, also while that one soaks or is queued");
	start(1);
	EXPECT(succeeds(1, 1) && halt(1));
	start(2);
	EXPECT(succeeds(2, 1) && phase(2) == PHASE_SOAKING && machine_successor(&world.package, &world.versions[0]) == &world.versions[1]);
	EXPECT(machine_successor(&world.package, &world.versions[1]) == NULL);
	start(3);
	EXPECT(phase(3) == PHASE_QUEUED && machine_successor(&world.package, &world.versions[1]) == &world.versions[2]);
	EXPECT(machine_turn_at(&world.package, &world.versions[1]) == world.package.stamp);

	begin("machine_promoted_before() returns the version promoted before, and skips aborted ones");
	ship(1);
	EXPECT(machine_promoted_before(&world.package, &world.versions[0]) == NULL);
	ship(2);
	EXPECT(machine_promoted_before(&world.package, &world.versions[1]) == &world.versions[0]);
	ship(3);
	EXPECT(machine_promoted_before(&world.package, &world.versions[2]) == &world.versions[1] && abort_version(2));
	EXPECT(machine_promoted_before(&world.package, &world.versions[2]) == &world.versions[0]);

	begin("start copies the policy, and later changes do not affect the version");
	start(1);
	rules.policy.soak = 1;
	EXPECT(succeeds(1, 1));
	wait_for(9);
	EXPECT(phase(1) == PHASE_SOAKING);
	start(2);
	EXPECT(abort_version(1) && succeeds(2, 1));
	wait_for(1);
	EXPECT(phase(2) == PHASE_PROMOTED);
}

/* Start a version and take it to a phase; no other version is promoted. */
static void
put_in(int v, Phase wanted_phase)
{
	start(v);
	switch (wanted_phase)
	{
		case PHASE_SOAKING:
			EXPECT(succeeds(v, 1));
			break;
		case PHASE_PROMOTED:
			EXPECT(promote_because(v));
			break;
		case PHASE_HALTED:
			EXPECT(halt(v));
			break;
		case PHASE_ABORTED:
			EXPECT(abort_version(v));
			break;
		case PHASE_SUPERSEDED:
			start(v + 1);
			break;
		default:
			break;
	}
	EXPECT(phase(v) == wanted_phase);
}

static void
permitted(void)
{
	/*
	 * What the design's diagram permits in each phase: promote with a reason,
	 * halt, resume, abort, retry.
	 */
	static const struct
	{
		Phase	phase;
		Refusal promote, halt, resume, abort, retry;
	} verbs[] = {
		{ PHASE_CANARY, ACCEPTED, ACCEPTED, UNCHANGED, ACCEPTED, REFUSED_PHASE },
		{ PHASE_SOAKING, ACCEPTED, ACCEPTED, UNCHANGED, ACCEPTED, REFUSED_PHASE },
		{ PHASE_PROMOTED, UNCHANGED, ACCEPTED, UNCHANGED, ACCEPTED, REFUSED_PHASE },
		{ PHASE_HALTED, REFUSED_PHASE, UNCHANGED, ACCEPTED, ACCEPTED, ACCEPTED },
		{ PHASE_ABORTED, REFUSED_PHASE, REFUSED_PHASE, REFUSED_PHASE, UNCHANGED, ACCEPTED },
		{ PHASE_SUPERSEDED, REFUSED_PHASE, REFUSED_PHASE, REFUSED_PHASE, ACCEPTED, ACCEPTED },
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
	{
		Policy policy = policy_default;

		begin("each verb, in each phase");
		put_in(1, verbs[i].phase);
		EXPECT(refuses(promote, 1, true) == verbs[i].promote);
		begin("each verb, in each phase");
		put_in(1, verbs[i].phase);
		EXPECT(refuses(halt, 1) == verbs[i].halt);
		begin("each verb, in each phase");
		put_in(1, verbs[i].phase);
		EXPECT(refuses(resume, 1) == verbs[i].resume);
		begin("each verb, in each phase");
		put_in(1, verbs[i].phase);
		EXPECT(refuses(abort, 1) == verbs[i].abort);
		begin("each verb, in each phase");
		put_in(1, verbs[i].phase);
		EXPECT(refuses(retry, 1, 100, &policy) == verbs[i].retry);
	}

	begin("each verb, in phase queued");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(2) == PHASE_QUEUED);
	EXPECT(refuses(resume, 2) == UNCHANGED && refuses(retry, 2, 100, &rules.policy) == REFUSED_PHASE);
	EXPECT(halt(2) && phase(2) == PHASE_HALTED && resume(2) && phase(2) == PHASE_QUEUED);
	EXPECT(abort_version(2) && phase(2) == PHASE_ABORTED);
}

static void
operators(void)
{
	begin("halted is latched, and resume never promotes");
	start(1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_HALTED);
	wait_for(50);
	EXPECT(phase(1) == PHASE_HALTED);
	EXPECT(resume(1) && phase(1) == PHASE_CANARY);
	EXPECT(succeeds(1, 2));
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED);

	begin("resume acknowledges the failures so far, and no later ones");
	rules.policy.max_failures = 1;
	rules.canaries = 4;
	world_make(&world, &rules);
	start(1);
	EXPECT(claim(1, 1) && failed(1) && claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);
	EXPECT(resume(1) && tally(1, TIER_CANARY)->acknowledged == 2);
	EXPECT(claim(1, 3) && failed(3) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 4) && failed(4) && phase(1) == PHASE_HALTED);

	begin("a success after an acknowledged failure removes the failure and its acknowledgement");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && halt(1) && resume(1));
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_CANARY);
	wait_for(2);
	EXPECT(succeeds(1, 1));
	EXPECT(tally(1, TIER_CANARY)->failed == 1 && tally(1, TIER_CANARY)->acknowledged == 0);

	begin("retry ends a halt without resume");
	start(1);
	EXPECT(claim(1, 1) && failed(1) && retry(1) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_CANARY)->failed == 0);

	begin("resume restarts the soak, also of a version that was promoted");
	ship(1);
	EXPECT(halt(1) && resume(1) && phase(1) == PHASE_SOAKING);
	EXPECT(machine_ramp_ends_at(&world.versions[0]) == NEVER);
	wait_for(9);
	EXPECT(phase(1) == PHASE_SOAKING);

	begin("resume gives workspaces that failed their attempts back");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);
	EXPECT(resume(1));
	wait_for(2);
	EXPECT(answer(1, 1) == ANSWER_DUE);

	begin("attempts that begin after resume count");
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1));
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED && resume(1));
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_CANARY);
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);

	begin("a last attempt after resume whose lease ends halts the version again");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED && resume(1));
	wait_for(2);
	EXPECT(claim(1, 1));
	wait_for(rules.policy.lease + 1);
	EXPECT(phase(1) == PHASE_HALTED);

	begin("resume is refused when a newer version has taken the place of this one");
	start(1);
	EXPECT(halt(1));
	start(2);
	EXPECT(refuses(resume, 1) == REFUSED_REPLACED && machine_successor(&world.package, &world.versions[0]) == &world.versions[1]);
	EXPECT(halt(2) && resume(1));

	begin("resume is refused for a promoted version after a newer one was promoted");
	ship(1);
	ship(2);
	EXPECT(refuses(resume, 1) == REFUSED_REPLACED && refuses(promote, 1, true) == REFUSED_PHASE && refuses(halt, 1) == REFUSED_PHASE);

	begin("rollback: after abort, a workspace that was handed the version is due for the promoted one");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(succeeds(2, 1) && answer(1, 1) == ANSWER_HAS_NEWER && wanted(1) == 2);
	EXPECT(abort_version(2));
	EXPECT(answer(1, 1) == ANSWER_DUE && wanted(1) == 1);
	EXPECT(succeeds(1, 1) && world.installations[0].runs == 1);

	begin("rollback after an attempt that failed, or whose outcome is unknown");
	ship(1);
	rules.policy.max_failures = 2;
	start(2);
	EXPECT(claim(2, 1) && failed(1) && claim(2, 2) && error(2) && abort_version(2));
	wait_for(2);
	EXPECT(succeeds(1, 1) && succeeds(1, 2));

	begin("rollback from a superseded version, if no newer version is in canary, soaking or promoted");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && error(1));
	wait_for(2);
	start(3);
	EXPECT(phase(2) == PHASE_SUPERSEDED && answer(1, 1) == ANSWER_HAS_NEWER && answer(3, 1) == ANSWER_DUE);
	EXPECT(abort_version(3) && answer(1, 1) == ANSWER_DUE && wanted(1) == 1);

	begin("no rollback from a superseded version while a newer version is promoted and ramps");
	rules.policy.soak = 0;
	ship(1);
	start(2);
	rules.policy.ramp = 1000;
	EXPECT(force(2, 4) && succeeded(4));
	start(3);
	EXPECT(phase(2) == PHASE_SUPERSEDED && promote_because(3));
	EXPECT(answer(3, 4) == ANSWER_RAMPING && answer(1, 4) == ANSWER_HAS_NEWER && wanted(4) == 2);
	EXPECT(answer(1, 3) == ANSWER_DUE && wanted(3) == 1);

	begin("rollback from an aborted version waits until the newer promoted version is aborted, too");
	ship(1);
	ship(2);
	EXPECT(succeeds(2, 3));
	ship(3);
	EXPECT(abort_version(2) && answer(1, 3) == ANSWER_SUPERSEDED && answer(3, 3) == ANSWER_DUE);
	EXPECT(abort_version(3) && answer(1, 3) == ANSWER_DUE && succeeds(1, 3));

	begin("while the newer version is halted, a workspace that was handed it is due for nothing older");
	ship(1);
	start(2);
	EXPECT(succeeds(2, 1) && halt(2));
	EXPECT(answer(1, 1) == ANSWER_HAS_HALTED && wanted(1) == 2);
	EXPECT(answer(1, 2) == ANSWER_DUE && wanted(2) == 1);

	begin("an error does not say that the halted version is there: the workspace wants what it runs");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && claim(2, 3) && error(3) && claim(2, 4) && error(4) && halt(2));
	EXPECT(answer(1, 3) == ANSWER_HAS_HALTED && wanted(3) == 1 && wanted(4) == 0);

	begin("retry begins a new run: evidence and attempts of the run before no longer count, leases do");
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2));
	EXPECT(abort_version(1) && retry(1));
	EXPECT(phase(1) == PHASE_CANARY && world.package.in_flight == 1);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 2) == ANSWER_LEASED);
	EXPECT(succeeded(2) && phase(1) == PHASE_CANARY);
	EXPECT(world.package.in_flight == 0 && tally(1, TIER_CANARY)->succeeded == 0 && world.installations[1].runs == 1);
	EXPECT(!retry(1));

	begin("a lease of an earlier run that expires is no failure in this run");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && abort_version(1) && retry(1));
	wait_for(5);
	EXPECT(world.installations[0].state == STATE_EXPIRED && world.package.in_flight == 0);
	EXPECT(phase(1) == PHASE_CANARY && tally(1, TIER_CANARY)->failed == 0);

	begin("machine_is_of_run() and machine_is_last_attempt()");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && machine_is_of_run(&world.package, &world.installations[0]));
	EXPECT(machine_is_last_attempt(&world.package, &world.installations[0]));
	EXPECT(!machine_is_of_run(&world.package, &world.installations[1]) && !machine_is_last_attempt(&world.package, &world.installations[1]));
	EXPECT(abort_version(1) && retry(1) && !machine_is_of_run(&world.package, &world.installations[0]));
	EXPECT(!machine_is_last_attempt(&world.package, &world.installations[0]));

	begin("an attempt at a version that was deleted ends, and is no evidence");
	start(1);
	world.installations[0] = (Installation){ .rollout = 99, .run = 1, .ordinal = 0, .attempt = 1, .token = 7, .state = STATE_CLAIMED, .lease_until = world.clock + 5 };
	world.installations[1] = world.installations[0];
	world.package.in_flight = 2;
	EXPECT(answer(1, 1) == ANSWER_LEASED);
	EXPECT(machine_report(&world.package, &world.installations[0], STATE_FAILED, true) == ACCEPTED);
	world_settle(&world, world.clock + 5);
	EXPECT(world.package.in_flight == 0 && world.installations[1].state == STATE_EXPIRED && phase(1) == PHASE_CANARY);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 2) == ANSWER_DUE);

	begin("retry makes a version the newest, and copies the current policy");
	ship(1);
	ship(2);
	rules.policy.soak = 1;
	EXPECT(retry(1) && phase(1) == PHASE_CANARY && phase(2) == PHASE_PROMOTED);
	EXPECT(answer(1, 1) == ANSWER_DUE && succeeds(1, 1));
	wait_for(1);
	EXPECT(promoted() == 1 && phase(2) == PHASE_SUPERSEDED);

	begin("an attempt of an earlier run does not hold a workspace back from another version");
	rules.policy.auto_promote = false;
	start(1);
	EXPECT(promote_because(1) && succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && retry(1));
	EXPECT(answer(2, 3) == ANSWER_DUE);
}

static void
clocks(void)
{
	begin("stamps never run backwards, whatever the clock does");
	ship(1);
	world_settle(&world, world.clock - 5);
	EXPECT(world.package.stamp == world.clock && phase(1) == PHASE_PROMOTED);

	begin("a promotion counts from the caller's moment on, a halt counts at once");
	ship(1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock - 1));
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock - 1));
	EXPECT(halt(1));
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock - 1));

	begin("the next moment is the end of a lease, of a soak, or of progress for which a queued version waits");
	EXPECT(machine_next_moment(&world.package) == NEVER);
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(machine_next_moment(&world.package) == NEVER);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(machine_next_moment(&world.package) == world.clock + 5);
	EXPECT(machine_turn_at(&world.package, &world.versions[1]) == world.clock + 5);
	wait_for(1);
	EXPECT(succeeds(1, 2) && machine_next_moment(&world.package) == world.clock + 10);
	EXPECT(machine_turn_at(&world.package, &world.versions[1]) == world.clock + 10);
	EXPECT(force(1, 3));
	wait_for(1);
	EXPECT(machine_next_moment(&world.package) == world.clock + 4);
	rules.other_policy.auto_promote = false;
	EXPECT(succeeded(3) && did(DEED_POLICY, 0, 0) && machine_next_moment(&world.package) == NEVER);
	EXPECT(machine_turn_at(&world.package, &world.versions[1]) == NEVER);

	begin("if a soak and the lease of a last attempt end at the same moment, the failure comes first");
	rules.policy.soak = 5;
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 2) && succeeds(1, 1) && phase(1) == PHASE_SOAKING);
	wait_for(5);
	EXPECT(phase(1) == PHASE_HALTED);
	EXPECT(world.versions[0].promoted_at == NEVER);
	/* The event names the lease whose failure caused the halt. */
	EXPECT(world.events[world.package.event_count - 1].phase == PHASE_HALTED);
	EXPECT(world.events[world.package.event_count - 1].lease == &world.leases[0]);
	EXPECT(world.events[world.package.event_count - 1].tier == TIER_CANARY);
	EXPECT(world.events[0].what == HAPPENED_EXPIRED && world.events[1].what == HAPPENED_FAILED);
	EXPECT(world.leases[0].expired);
}

/*
 * Of four canaries three succeed with v1 and one fails; 40 % are tolerated.  v1 is
 * promoted then, and v2 starts.
 */
static void
one_of_four_fails(void)
{
	rules.policy.max_failure_percent = 40;
	rules.canaries = 4;
	world_make(&world, &rules);
	start(1);
	EXPECT(succeeds(1, 1) && succeeds(1, 2) && succeeds(1, 3) && claim(1, 4) && failed(4));
	wait_for(10);
	start(2);
}

static void
outcomes(void)
{
	begin("more than max_failures failures halt a version");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);

	begin("max_failures counts each tier by itself");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && force(1, 3) && failed(3) && phase(1) == PHASE_CANARY);
	EXPECT(force(1, 4) && failed(4) && phase(1) == PHASE_HALTED);
	EXPECT(world.events[world.package.event_count - 1].tier == TIER_PRODUCTION);

	begin("a workspace that failed is due again after retry_delay, unless the version is halted");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(1);
	EXPECT(answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(1);
	EXPECT(answer(1, 1) == ANSWER_DUE);
	EXPECT(claim(1, 2) && failed(2));
	wait_for(2);
	EXPECT(answer(1, 1) == ANSWER_HALTED);

	begin("after max_attempts attempts a workspace is not due again");
	rules.policy.max_failures = 1;
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1));
	wait_for(2);
	EXPECT(claim(1, 1) && failed(1) && tally(1, TIER_CANARY)->failed == 1);
	wait_for(2);
	EXPECT(answer(1, 1) == ANSWER_SPENT && wanted(1) == 1 && !claim(1, 1));

	begin("more than max_failure_percent of the tier's outcomes halt a version");
	rules.policy.max_failure_percent = 50;
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2) && failed(2));
	EXPECT(phase(1) == PHASE_SOAKING);
	EXPECT(failed(1) && phase(1) == PHASE_HALTED);

	begin("a version is halted only if both thresholds are exceeded");
	rules.policy.max_failures = 1;
	rules.policy.max_failure_percent = 10;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);

	begin("the percentage of failures does not grow when workspaces get a newer version");
	one_of_four_fails();
	EXPECT(phase(1) == PHASE_PROMOTED && succeeds(2, 1) && succeeds(2, 2) && succeeds(2, 3));
	EXPECT(tally(1, TIER_CANARY)->succeeded == 0 && tally(1, TIER_CANARY)->failed == 1);
	EXPECT(phase(1) == PHASE_PROMOTED && promoted() == 1);
	/* A failure stays counted, even if the workspace now has the newer version. */
	EXPECT(succeeds(2, 4) && tally(1, TIER_CANARY)->failed == 1);
	EXPECT(abort_version(2) && promoted() == 1);
	/* Two of four workspaces have failed then, and 40 % are tolerated. */
	EXPECT(claim(1, 1) && phase(1) == PHASE_PROMOTED && failed(1) && phase(1) == PHASE_HALTED);

	begin("nor does it shrink when they come back: each is one outcome");
	one_of_four_fails();
	for (int time = 0; time < 3; time++)
	{
		EXPECT(succeeds(2, 1) && succeeds(2, 2) && succeeds(2, 3) && tally(1, TIER_CANARY)->moved_on == 3);
		EXPECT(abort_version(2) && succeeds(1, 1) && succeeds(1, 2) && claim(1, 3));
		EXPECT(tally(1, TIER_CANARY)->succeeded == 2 && tally(1, TIER_CANARY)->moved_on == 1 && phase(1) == PHASE_PROMOTED);
		if (time < 2)
			EXPECT(succeeded(3) && retry(2));
	}
	EXPECT(failed(3) && tally(1, TIER_CANARY)->moved_on == 0 && phase(1) == PHASE_HALTED);

	begin("an error is no evidence, except that the last attempt counts as a failure");
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1) && answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);

	begin("an error of a last attempt is no failure if the workspace is no longer live");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && did(DEED_GO, 0, 1) && error(1) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_CANARY)->failed == 0);

	begin("a lease that expires uses an attempt, and the workspace is due again after retry_delay");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(5);
	EXPECT(world.installations[0].state == STATE_EXPIRED && world.package.in_flight == 0);
	EXPECT(answer(1, 1) == ANSWER_RETRY_LATER && tally(1, TIER_CANARY)->failed == 0);
	wait_for(2);
	EXPECT(claim(1, 1) && world.installations[0].attempt == 2);

	begin("a report for an expired lease counts if the attempt was not replaced");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(6);
	EXPECT(succeeded(1) && phase(1) == PHASE_SOAKING && world.package.in_flight == 0);

	begin("the expired lease of a last attempt is a failure, unless the workspace is no longer live");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && claim(1, 2) && did(DEED_GO, 0, 1));
	EXPECT(succeeded(2));
	wait_for(5);
	EXPECT(phase(1) == PHASE_SOAKING);
	EXPECT(claim(1, 2) == false);
	start(2);
	EXPECT(abort_version(1) && claim(2, 2));
	wait_for(5);
	EXPECT(phase(2) == PHASE_HALTED);

	begin("a report is no evidence if the workspace is no longer live");
	start(1);
	EXPECT(claim(1, 1) && did(DEED_GO, 0, 1) && failed(1) && phase(1) == PHASE_CANARY);

	begin("an error reported after the lease expired adds no failure");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && did(DEED_GO, 0, 1));
	wait_for(5);
	EXPECT(world.installations[0].state == STATE_EXPIRED && did(DEED_GO, 0, 1));
	EXPECT(error(1) && phase(1) == PHASE_CANARY);

	begin("skipped is no evidence and uses no attempt");
	rules.policy.max_attempts = 1;
	start(1);
	for (int i = 0; i < 5; i++)
	{
		EXPECT(claim(1, 1) && skipped(1) && answer(1, 1) == ANSWER_RETRY_LATER);
		wait_for(2);
	}
	EXPECT(succeeds(1, 1) && phase(1) == PHASE_SOAKING);

	begin("after skipped, the version that the workspace runs counts as the one it was handed");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && skipped(1) && abort_version(2));
	EXPECT(world.installations[0].runs == 1 && wanted(1) == 1);

	begin("after skipped, a workspace that runs the promoted version is not due when the newer version is halted");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && claim(2, 3) && skipped(3) && halt(2));
	wait_for(2);
	EXPECT(answer(1, 3) == ANSWER_DONE);

	begin("after skipped, a workspace that runs no known version is due like a new one");
	ship(1);
	start(2);
	EXPECT(promote_because(2) && claim(2, 3) && skipped(3) && halt(2));
	wait_for(2);
	EXPECT(wanted(3) == 1 && answer(1, 3) == ANSWER_DUE);

	begin("skipped after an error: the version counts as handed out");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && error(1));
	wait_for(2);
	EXPECT(claim(2, 1) && skipped(1) && halt(2) && answer(1, 1) == ANSWER_HAS_HALTED);

	begin("after skipped, a workspace that runs a halted version is due for nothing older");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && succeeds(2, 3));
	start(3);
	EXPECT(promote_because(3) && claim(3, 3) && skipped(3) && abort_version(3) && halt(2));
	wait_for(2);
	EXPECT(promoted() == 1 && answer(1, 3) == ANSWER_HAS_HALTED && wanted(3) == 2);

	begin("within an attempt an outcome may worsen, never improve");
	start(1);
	EXPECT(succeeds(1, 1) && phase(1) == PHASE_SOAKING);
	EXPECT(!succeeded(1) && !skipped(1));
	EXPECT(error(1) && phase(1) == PHASE_CANARY);
	EXPECT(!succeeded(1));
	EXPECT(failed(1) && phase(1) == PHASE_HALTED);
	EXPECT(!error(1));

	begin("the same report again changes nothing");
	start(1);
	EXPECT(claim(1, 1) && error(1));
	wait_for(1);
	EXPECT(machine_report(&world.package, &world.installations[0], STATE_ERROR, true) == UNCHANGED);
	EXPECT(world.installations[0].retry_at == world.clock + 1);

	begin("a success of a later attempt replaces the failure of the workspace");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1));
	wait_for(2);
	EXPECT(succeeds(1, 1));
	EXPECT(world.versions[0].tally[TIER_CANARY].failed == 0 && world.versions[0].tally[TIER_CANARY].succeeded == 1);

	begin("evidence counts for the tier that the workspace had when it was claimed");
	start(1);
	EXPECT(claim(1, 1) && did(DEED_FLIP, 0, 1) && succeeded(1));
	EXPECT(world.versions[0].tally[TIER_CANARY].succeeded == 1 && phase(1) == PHASE_SOAKING);

	begin("a failure, and a success in production, count for the tier at the time of the claim");
	start(1);
	EXPECT(force(1, 3) && did(DEED_FLIP, 0, 3) && succeeded(3) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_PRODUCTION)->succeeded == 1);
	EXPECT(claim(1, 1) && did(DEED_FLIP, 0, 1) && failed(1) && phase(1) == PHASE_HALTED);
	EXPECT(tally(1, TIER_CANARY)->failed == 1);

	begin("a workspace that appears or changes tier is due for the version open to its tier");
	EXPECT(did(DEED_GO, 0, 2));
	start(1);
	EXPECT(answer(1, 2) == ANSWER_NOT_LIVE && !claim(1, 2) && !force(1, 2));
	EXPECT(did(DEED_GO, 0, 2) && answer(1, 2) == ANSWER_DUE);
	EXPECT(answer(1, 3) == ANSWER_NEEDS_CANARY && did(DEED_FLIP, 0, 3) && answer(1, 3) == ANSWER_DUE);
	EXPECT(did(DEED_FLIP, 0, 1) && answer(1, 1) == ANSWER_NEEDS_CANARY);
}

static void
leases(void)
{
	begin("one live lease for each workspace, all versions together");
	ship(1);
	EXPECT(claim(1, 3));
	start(2);
	EXPECT(answer(2, 3) == ANSWER_LEASED && !force(2, 3));

	begin("the budget counts the leases of the package, all versions together");
	rules.policy.max_in_flight = 1;
	ship(1);
	EXPECT(claim(1, 3));
	start(2);
	EXPECT(!claim(2, 1) && answer(2, 1) == ANSWER_DUE);
	EXPECT(succeeded(3) && claim(2, 1));

	begin("force goes past gate, freeze and budget");
	rules.policy.max_in_flight = 1;
	start(1);
	EXPECT(claim(1, 1) && did(DEED_FREEZE, 0, 0));
	EXPECT(!claim(1, 3) && force(1, 3) && world.package.in_flight == 2);

	begin("extend puts off the end of a live lease");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(4);
	EXPECT(did(DEED_EXTEND, 0, 1));
	wait_for(4);
	EXPECT(world.installations[0].state == STATE_CLAIMED);
	wait_for(1);
	EXPECT(world.installations[0].state == STATE_EXPIRED && !did(DEED_EXTEND, 0, 1));

	begin("extend never brings the end of a lease forward");
	start(1);
	EXPECT(claim(1, 1) && machine_extend(&world.package, &world.installations[0], 20) == ACCEPTED);
	EXPECT(machine_extend(&world.package, &world.installations[0], 0) == ACCEPTED);
	wait_for(24);
	EXPECT(world.installations[0].state == STATE_CLAIMED);

	begin("a report is judged by the start of its statement");
	start(1);
	EXPECT(claim(1, 1));
	world.package.leases = world.leases;
	world.package.lease_count = 1;
	world.package.event_count = 0;
	world.leases[0] = (Lease){ .installation = &world.installations[0], .live = true, .asked_at = world.clock + 4 };
	machine_settle(&world.package, world.clock + 60);
	EXPECT(world.installations[0].state == STATE_CLAIMED);
	EXPECT(machine_report(&world.package, &world.installations[0], STATE_SUCCEEDED, true) == ACCEPTED);

	begin("extend is judged by the start of its statement");
	start(1);
	EXPECT(claim(1, 1));
	world.package.lease_count = 1;
	world.package.event_count = 0;
	world.leases[0] = (Lease){ .installation = &world.installations[0], .live = true, .asked_at = world.clock + 4 };
	machine_settle(&world.package, world.clock + 60);
	EXPECT(machine_extend(&world.package, &world.installations[0], 0) == ACCEPTED);
	EXPECT(world.installations[0].lease_until == world.clock + 65);

	begin("extend by a span puts off the end by that span");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(1);
	EXPECT(machine_extend(&world.package, &world.installations[0], 3) == ACCEPTED);
	EXPECT(world.installations[0].lease_until == world.clock + 7);
	EXPECT(succeeded(1) && machine_extend(&world.package, &world.installations[0], 3) == REFUSED_NO_LEASE);

	begin("with more leases than a new budget, no claim is granted until enough leases have ended");
	rules.other_policy.max_in_flight = 1;
	start(1);
	EXPECT(claim(1, 1) && force(1, 3) && did(DEED_POLICY, 0, 0));
	EXPECT(!claim(1, 2) && succeeded(3) && !claim(1, 2) && succeeded(1) && claim(1, 2));

	begin("a soak that a new policy changes is measured from its beginning");
	rules.other_policy.soak = 4;
	start(1);
	EXPECT(succeeds(1, 1));
	wait_for(3);
	EXPECT(did(DEED_POLICY, 0, 0) && phase(1) == PHASE_SOAKING);
	wait_for(1);
	EXPECT(phase(1) == PHASE_PROMOTED);

	begin("more failures than a new policy tolerates halt a version at once");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2) && failed(2) && phase(1) == PHASE_SOAKING);
	EXPECT(did(DEED_POLICY, 0, 0) && phase(1) == PHASE_HALTED);

	begin("a new policy does not change a rollout that has ended");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1));
	start(2);
	EXPECT(did(DEED_POLICY, 0, 0) && phase(1) == PHASE_SUPERSEDED && world.versions[0].policy.max_failures == 1);

	begin("a new policy does not change a superseded version, even if it opens again because the newer one is halted");
	rules.policy.max_failures = 1;
	rules.other_policy.max_failures = 0;
	start(1);
	EXPECT(promote_because(1) && claim(1, 1) && failed(1));
	start(2);
	EXPECT(promote_because(2) && claim(2, 2) && failed(2));
	EXPECT(did(DEED_POLICY, 0, 0) && phase(2) == PHASE_HALTED && promoted() == 1);
	EXPECT(world.versions[0].policy.max_failures == 1);

	begin("a freeze closes every gate, and phases still change");
	start(1);
	EXPECT(succeeds(1, 1) && did(DEED_FREEZE, 0, 0));
	EXPECT(answer(1, 2) == ANSWER_FROZEN && !claim(1, 2));
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && answer(1, 3) == ANSWER_FROZEN);
	EXPECT(did(DEED_FREEZE, 0, 0) && claim(1, 3));

	begin("during a freeze reports count and leases expire");
	start(1);
	EXPECT(claim(1, 1) && claim(1, 2) && did(DEED_FREEZE, 0, 0));
	EXPECT(succeeded(1) && phase(1) == PHASE_SOAKING && wanted(1) == 1 && wanted(2) == 0);
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock));
	wait_for(5);
	EXPECT(world.installations[1].state == STATE_EXPIRED);

	begin("a freeze ends at the moment that it names");
	ship(1);
	world.package.frozen_until = world.clock + 3;
	wait_for(2);
	EXPECT(answer(1, 3) == ANSWER_FROZEN);
	wait_for(1);
	EXPECT(answer(1, 3) == ANSWER_DUE);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
}

static void
by_hand(void)
{
	begin("observe tells what a workspace runs, and is evidence if the version was started");
	start(1);
	EXPECT(did(DEED_OBSERVE_GOOD, 1, 1) && phase(1) == PHASE_SOAKING);
	EXPECT(answer(1, 1) == ANSWER_DONE && world.installations[0].attempt == 0);

	begin("observe ends a live lease of that version");
	start(1);
	EXPECT(claim(1, 1) && did(DEED_OBSERVE_GOOD, 1, 1) && world.package.in_flight == 0);

	begin("observe does not end a lease of another version");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && did(DEED_OBSERVE_GOOD, 1, 1));
	EXPECT(world.package.in_flight == 1 && world.installations[0].runs == 1 && phase(2) == PHASE_CANARY);
	EXPECT(succeeded(1) && world.installations[0].runs == 2);

	begin("observe with a failure is evidence against the version, for the current tier of the workspace");
	start(1);
	EXPECT(did(DEED_OBSERVE_BAD, 1, 3) && phase(1) == PHASE_HALTED && tally(1, TIER_PRODUCTION)->failed == 1);

	begin("observe with a failure starts retry_delay and uses no attempt");
	rules.policy.max_failures = 1;
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(did(DEED_OBSERVE_BAD, 1, 1) && answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(2);
	EXPECT(claim(1, 1) && world.installations[0].attempt == 1);

	begin("an observed version counts as handed out");
	ship(1);
	start(2);
	EXPECT(claim(1, 1) == false && did(DEED_OBSERVE_GOOD, 2, 1) && halt(2) && answer(1, 1) == ANSWER_HAS_HALTED);
	EXPECT(abort_version(2) && answer(1, 1) == ANSWER_DUE && machine_goes_back(&world.installations[0], &world.versions[0]));
	EXPECT(!machine_goes_back(&world.installations[0], &world.versions[1]));

	begin("observe is no evidence if the workspace is no longer live");
	start(1);
	EXPECT(did(DEED_GO, 0, 1) && did(DEED_OBSERVE_BAD, 1, 1) && did(DEED_OBSERVE_GOOD, 1, 1));
	EXPECT(phase(1) == PHASE_CANARY && tally(1, TIER_CANARY)->failed == 0 && world.installations[0].runs == 1);

	begin("a later observation without an attempt may improve the outcome");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(did(DEED_OBSERVE_BAD, 1, 1) && tally(1, TIER_CANARY)->failed == 1);
	EXPECT(did(DEED_OBSERVE_GOOD, 1, 1) && tally(1, TIER_CANARY)->failed == 0 && phase(1) == PHASE_SOAKING);
	EXPECT(!did(DEED_OBSERVE_GOOD, 1, 1));

	begin("observe with error or skipped ends a lease of the version and changes nothing else");
	start(1);
	{
		Workspace one = world_workspace(&world, 0);

		EXPECT(machine_observe(&world.package, &world.versions[0], &world.installations[0], STATE_ERROR, &one) == UNCHANGED);
		EXPECT(machine_observe(&world.package, &world.versions[0], &world.installations[0], STATE_SKIPPED, &one) == UNCHANGED);
		EXPECT(claim(1, 1));
		EXPECT(machine_observe(&world.package, &world.versions[0], &world.installations[0], STATE_ERROR, &one) == ACCEPTED);
		EXPECT(world.package.in_flight == 0 && world.installations[0].runs == NO_ROLLOUT && phase(1) == PHASE_CANARY);
	}

	begin("after a manual install of an older version the workspace is due for its wanted version");
	ship(1);
	ship(2);
	EXPECT(succeeds(2, 3) && did(DEED_OBSERVE_GOOD, 1, 3) && tally(2, TIER_PRODUCTION)->succeeded == 0);
	EXPECT(answer(2, 3) == ANSWER_DUE && wanted(3) == 2);

	begin("after observe of a version that was not started the workspace is due for the promoted one");
	ship(1);
	EXPECT(did(DEED_OBSERVE_UNKNOWN, 0, 1) && answer(1, 1) == ANSWER_DUE);

	begin("after forget a workspace is due from the beginning; forget is refused under a live lease");
	ship(1);
	EXPECT(answer(1, 1) == ANSWER_DONE && did(DEED_FORGET, 0, 1) && answer(1, 1) == ANSWER_DUE);
	EXPECT(claim(1, 1) && !did(DEED_FORGET, 0, 1));

	begin("the soak goes on after forget, also if another canary then fails and that is tolerated");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(succeeds(1, 1) && did(DEED_FORGET, 0, 1) && claim(1, 2) && failed(2) && phase(1) == PHASE_SOAKING);

	begin("after forget a workspace is due for an older version, and has all attempts");
	ship(1);
	rules.policy.max_attempts = 1;
	rules.policy.max_failures = 1;
	start(2);
	EXPECT(claim(2, 1) && error(1) && halt(2) && answer(1, 1) == ANSWER_HAS_HALTED);
	EXPECT(did(DEED_FORGET, 0, 1) && answer(1, 1) == ANSWER_DUE);
	EXPECT(tally(2, TIER_CANARY)->failed == 1 && resume(2) && answer(2, 1) == ANSWER_DUE);
}

static void
ramps(void)
{
	Moment first;

	begin("in a ramp each workspace has its own moment, and until then may have the version promoted before");
	ship(1);
	EXPECT(succeeds(1, 3));
	rules.policy.ramp = 1000;
	start(2);
	EXPECT(succeeds(2, 1));
	wait_for(10);
	EXPECT(phase(2) == PHASE_PROMOTED && phase(1) == PHASE_SUPERSEDED);
	EXPECT(answer(2, 3) == ANSWER_RAMPING && answer(2, 4) == ANSWER_RAMPING);
	EXPECT(answer(1, 4) == ANSWER_DUE && wanted(4) == 1);
	EXPECT(answer(2, 2) == ANSWER_DUE);
	EXPECT(!machine_is_open(&world.package, &world.versions[1], TIER_PRODUCTION, world.clock));
	{
		Workspace three = world_workspace(&world, 2);
		Workspace four = world_workspace(&world, 3);

		first = machine_opens_at(&world.package, &world.versions[1], &three);
		EXPECT(first > world.clock && first < world.clock + 1000);
		EXPECT(first != machine_opens_at(&world.package, &world.versions[1], &four));
	}
	wait_for((int) (first - world.clock) - 1);
	EXPECT(answer(2, 3) == ANSWER_RAMPING);
	wait_for(1);
	EXPECT(answer(2, 3) == ANSWER_DUE && wanted(3) == 2);

	begin("is_open is true for production when the ramp is over; canaries do not wait for the ramp");
	rules.policy.ramp = 20;
	ship(1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock) && answer(1, 2) == ANSWER_DUE);
	wait_for(19);
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
	wait_for(1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));

	begin("the moment of a workspace is the promotion plus its share of the ramp, also for a long ramp");
	rules.policy.ramp = 8 * ((Span) 1 << 40) + 8;
	ship(1);
	for (int w = 0; w < 4; w++)
	{
		Workspace workspace = world_workspace(&world, w);
		uint64_t  share = machine_ramp_share("p", "v1", workspace.id);
		Moment	  opens = machine_opens_at(&world.package, &world.versions[0], &workspace);

		EXPECT(opens - world.versions[0].promoted_at == (Moment) (share * 8 * 256 + share * 8 / (UINT64_C(1) << 32)));
	}

	begin("resume restarts the soak and the ramp");
	rules.policy.ramp = 20;
	ship(1);
	wait_for(20);
	EXPECT(answer(1, 3) == ANSWER_DUE && halt(1) && resume(1) && phase(1) == PHASE_SOAKING);
	EXPECT(answer(1, 3) == ANSWER_SOAKING);
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && machine_ramp_ends_at(&world.versions[0]) == world.clock + 20);

	begin("a ramp that a new policy changes is measured from its beginning");
	rules.policy.ramp = 1000;
	rules.other_policy.ramp = 5;
	ship(1);
	wait_for(5);
	EXPECT(answer(1, 3) == ANSWER_RAMPING && did(DEED_POLICY, 0, 0) && answer(1, 3) == ANSWER_DUE);

	begin("promote ends a ramp, and a halt stops it");
	ship(1);
	rules.policy.ramp = 1000;
	start(2);
	EXPECT(succeeds(2, 1));
	wait_for(10);
	EXPECT(promote(2) && answer(2, 3) == ANSWER_DUE);
	EXPECT(halt(2) && answer(1, 3) == ANSWER_DUE);

	begin("the share hashes package and version separately: \"ab\", \"c\" differs from \"a\", \"bc\"");
	EXPECT(machine_ramp_share("ab", "c", (const uint8_t[WORKSPACE_ID_BYTES]){ 1 }) != machine_ramp_share("a", "bc", (const uint8_t[WORKSPACE_ID_BYTES]){ 1 }));

	begin("shares are spread evenly over the fleet, in another order for each version");
	{
		int quarters[4] = { 0 };
		int earlier = 0;

		for (int n = 0; n < 4000; n++)
		{
			uint8_t	 id[WORKSPACE_ID_BYTES] = { (uint8_t) n, (uint8_t) (n >> 8) };
			uint32_t one = machine_ramp_share("p", "v1", id);
			uint32_t two = machine_ramp_share("p", "v2", id);

			quarters[one >> 30]++;
			earlier += one < two;
		}
		for (int q = 0; q < 4; q++)
			EXPECT(quarters[q] > 900 && quarters[q] < 1100);
		EXPECT(earlier > 1900 && earlier < 2100);
	}
}

/* A row as a restore or a statement of a user can insert it. */
static Rollout
some_rollout(Phase in)
{
	return (Rollout){ .id = 1, .version = "v1", .ordinal = 1, .run = 1, .phase = in, .soaks_from = 10, .promoted_at = 20, .progress_at = 10, .policy = policy_default };
}

static void
rows(void)
{
	for (int i = 0; i < PHASE_COUNT; i++)
	{
		Phase	in = (Phase) i;
		bool	open = in == PHASE_QUEUED || in == PHASE_CANARY || in == PHASE_SOAKING || in == PHASE_PROMOTED;
		Rollout rollout = some_rollout(in);

		begin("a rollout is consistent in every phase");
		EXPECT(machine_is_consistent(&rollout));

		begin("a rollout in an open phase with more failures than tolerated is inconsistent");
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			rollout = some_rollout(in);
			rollout.tally[tier].failed = 1;
			EXPECT(machine_is_consistent(&rollout) == !open);
			rollout.tally[tier].acknowledged = 1;
			EXPECT(machine_is_consistent(&rollout));
			rollout.tally[tier].failed = 2;
			rollout.policy.max_failures = 1;
			EXPECT(machine_is_consistent(&rollout));
		}

		begin("workspaces that moved on count for max_failure_percent");
		rollout = some_rollout(in);
		rollout.policy.max_failure_percent = 50;
		rollout.tally[TIER_CANARY] = (Tally){ .failed = 1 };
		EXPECT(machine_is_consistent(&rollout) == !open);
		rollout.tally[TIER_CANARY].moved_on = 1;
		EXPECT(machine_is_consistent(&rollout));

		begin("acknowledged above failed, or negative, is inconsistent");
		rollout = some_rollout(in);
		rollout.tally[TIER_PRODUCTION] = (Tally){ .failed = 1, .acknowledged = 2 };
		EXPECT(!machine_is_consistent(&rollout));
		rollout.tally[TIER_PRODUCTION] = (Tally){ .acknowledged = -1 };
		EXPECT(!machine_is_consistent(&rollout));

		begin("soaking without soaks_from, or promoted without promoted_at, is inconsistent");
		rollout = some_rollout(in);
		rollout.soaks_from = NEVER;
		EXPECT(machine_is_consistent(&rollout) == (in != PHASE_SOAKING));
		rollout = some_rollout(in);
		rollout.promoted_at = NEVER;
		EXPECT(machine_is_consistent(&rollout) == (in != PHASE_PROMOTED));
	}
}

int
main(void)
{
	rows();
	phases();
	permitted();
	operators();
	clocks();
	outcomes();
	leases();
	by_hand();
	ramps();
	printf("%d cases, %d expectations\n", stories, expectations);
	return 0;
}
