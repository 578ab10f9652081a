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

#include "world.h"

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
	begin("canaries, then a soak, then everybody");
	start(1);
	EXPECT(phase(1) == PHASE_CANARY);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 3) == ANSWER_NEEDS_CANARY);
	EXPECT(succeeds(1, 1) && phase(1) == PHASE_SOAKING);
	EXPECT(answer(1, 2) == ANSWER_DUE && answer(1, 3) == ANSWER_SOAKING);
	wait_for(9);
	EXPECT(phase(1) == PHASE_SOAKING);
	wait_for(1);
	EXPECT(phase(1) == PHASE_PROMOTED && answer(1, 3) == ANSWER_DUE);

	begin("distinct canaries: one that succeeds twice is one");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1) && force(1, 1) && succeeded(1) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_CANARY)->succeeded == 1);
	EXPECT(succeeds(1, 2) && phase(1) == PHASE_SOAKING);

	begin("a newer version takes the place of one in canary");
	start(1);
	start(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_CANARY);

	begin("but not while canaries make progress, until a lease is over");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(1) == PHASE_CANARY && phase(2) == PHASE_QUEUED);
	wait_for(4);
	EXPECT(phase(2) == PHASE_QUEUED);
	wait_for(1);
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_CANARY);

	begin("what production does is no progress of canaries");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(force(1, 3) && succeeded(3));
	start(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);

	begin("it queues behind one that soaks, and of several the newest waits");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	start(3);
	EXPECT(phase(2) == PHASE_SUPERSEDED && phase(3) == PHASE_QUEUED);
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && phase(3) == PHASE_CANARY);

	begin("halted and aborted block nobody");
	start(1);
	EXPECT(halt(1));
	start(2);
	EXPECT(phase(1) == PHASE_HALTED && phase(2) == PHASE_CANARY);
	EXPECT(abort_version(2));
	start(3);
	EXPECT(phase(2) == PHASE_ABORTED && phase(3) == PHASE_CANARY);

	begin("what waits gets its turn at once when the one before it is halted, or aborted");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(2) == PHASE_QUEUED && halt(1) && phase(2) == PHASE_CANARY);
	EXPECT(succeeds(2, 1));
	start(3);
	EXPECT(phase(3) == PHASE_QUEUED && abort_version(2) && phase(3) == PHASE_CANARY);

	begin("what was promoted before shows as superseded, and is open again when the newer one is halted");
	ship(1);
	ship(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED && promoted() == 2);
	EXPECT(halt(2));
	EXPECT(phase(1) == PHASE_PROMOTED && promoted() == 1 && answer(1, 3) == ANSWER_DUE);

	begin("or aborted: without a new soak or ramp");
	rules.policy.ramp = 100;
	ship(1);
	wait_for(100);
	ship(2);
	EXPECT(abort_version(2) && phase(1) == PHASE_PROMOTED && promoted() == 1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
	EXPECT(answer(1, 3) == ANSWER_DUE && answer(1, 4) == ANSWER_DUE);

	begin("the promoted version is the newest that is neither halted nor aborted, however many are");
	ship(1);
	ship(2);
	ship(3);
	EXPECT(promoted() == 3 && halt(3) && promoted() == 2 && abort_version(2) && promoted() == 1);
	EXPECT(halt(1) && promoted() == 0 && wanted(3) == 0);

	begin("a halted version that a newer one was promoted past shows as superseded");
	ship(1);
	EXPECT(halt(1));
	ship(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);
	EXPECT(refuses(resume, 1) == REFUSED_REPLACED);

	begin("no canary, no production; require_canary = false soaks on time alone");
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

	begin("without auto_promote the soak ends with promote");
	rules.policy.auto_promote = false;
	start(1);
	EXPECT(succeeds(1, 1));
	wait_for(50);
	EXPECT(phase(1) == PHASE_SOAKING);
	EXPECT(promote(1) && phase(1) == PHASE_PROMOTED);

	begin("promote from canary or from the queue takes a reason, and supersedes what is older");
	start(1);
	EXPECT(!promote(1) && phase(1) == PHASE_CANARY);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(refuses(promote, 2, false) == REFUSED_REASON && promote_because(2));
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_PROMOTED);

	begin("promote supersedes what is older and on its way, and lets what is newer have its turn");
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(promote(1) && phase(1) == PHASE_PROMOTED && phase(2) == PHASE_CANARY);
	EXPECT(succeeds(2, 1));
	start(3);
	EXPECT(phase(3) == PHASE_QUEUED && promote_because(3));
	EXPECT(phase(2) == PHASE_SUPERSEDED && phase(1) == PHASE_SUPERSEDED);

	begin("also what is in canary; what skips the soak has no soak");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1));
	start(2);
	EXPECT(phase(1) == PHASE_CANARY && phase(2) == PHASE_QUEUED && promote_because(2) && phase(1) == PHASE_SUPERSEDED);
	EXPECT(world.versions[1].soaks_from == world.clock && world.versions[1].promoted_at == world.clock);

	begin("progress is what canaries did in this run");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1) && abort_version(1) && retry(1) && phase(1) == PHASE_CANARY);
	EXPECT(world.versions[0].run == 2);
	start(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);

	begin("also if it was halted and resumed since");
	rules.policy.min_successes = 2;
	start(1);
	EXPECT(succeeds(1, 1) && halt(1) && resume(1) && phase(1) == PHASE_CANARY);
	start(2);
	EXPECT(phase(1) == PHASE_CANARY && phase(2) == PHASE_QUEUED);

	begin("what takes the place of a version is named, also while it soaks or waits");
	start(1);
	EXPECT(succeeds(1, 1) && halt(1));
	start(2);
	EXPECT(succeeds(2, 1) && phase(2) == PHASE_SOAKING && machine_successor(&world.package, &world.versions[0]) == &world.versions[1]);
	EXPECT(machine_successor(&world.package, &world.versions[1]) == NULL);
	start(3);
	EXPECT(phase(3) == PHASE_QUEUED && machine_successor(&world.package, &world.versions[1]) == &world.versions[2]);
	EXPECT(machine_turn_at(&world.package, &world.versions[1]) == world.package.stamp);

	begin("the way back from the promoted version is the one promoted before it");
	ship(1);
	EXPECT(machine_promoted_before(&world.package, &world.versions[0]) == NULL);
	ship(2);
	EXPECT(machine_promoted_before(&world.package, &world.versions[1]) == &world.versions[0]);
	ship(3);
	EXPECT(machine_promoted_before(&world.package, &world.versions[2]) == &world.versions[1] && abort_version(2));
	EXPECT(machine_promoted_before(&world.package, &world.versions[2]) == &world.versions[0]);

	begin("a version is started with the policy of that time, and keeps it");
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

	begin("and while it is queued");
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

	begin("resume acknowledges the failures so far, and no others");
	rules.policy.max_failures = 1;
	rules.canaries = 4;
	world_make(&world, &rules);
	start(1);
	EXPECT(claim(1, 1) && failed(1) && claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);
	EXPECT(resume(1) && tally(1, TIER_CANARY)->acknowledged == 2);
	EXPECT(claim(1, 3) && failed(3) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 4) && failed(4) && phase(1) == PHASE_HALTED);

	begin("nor does a failure that was acknowledged count again when it is reported anew");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && halt(1) && resume(1));
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_CANARY);
	wait_for(2);
	EXPECT(succeeds(1, 1));
	EXPECT(tally(1, TIER_CANARY)->failed == 1 && tally(1, TIER_CANARY)->acknowledged == 0);

	begin("a retry ends a halt, too, and needs no resume");
	start(1);
	EXPECT(claim(1, 1) && failed(1) && retry(1) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_CANARY)->failed == 0);

	begin("resume restarts the soak, also of what was promoted");
	ship(1);
	EXPECT(halt(1) && resume(1) && phase(1) == PHASE_SOAKING);
	EXPECT(machine_ramp_ends_at(&world.versions[0]) == NEVER);
	wait_for(9);
	EXPECT(phase(1) == PHASE_SOAKING);

	begin("resume gives the workspaces behind the failures their attempts back");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);
	EXPECT(resume(1));
	wait_for(2);
	EXPECT(answer(1, 1) == ANSWER_DUE);

	begin("from the next attempt on they count again");
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1));
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED && resume(1));
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_CANARY);
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);

	begin("also where the lease of the last attempt ends");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED && resume(1));
	wait_for(2);
	EXPECT(claim(1, 1));
	wait_for(rules.policy.lease + 1);
	EXPECT(phase(1) == PHASE_HALTED);

	begin("resume is refused when a newer version has taken the place");
	start(1);
	EXPECT(halt(1));
	start(2);
	EXPECT(refuses(resume, 1) == REFUSED_REPLACED && machine_successor(&world.package, &world.versions[0]) == &world.versions[1]);
	EXPECT(halt(2) && resume(1));

	begin("also what was promoted, and a newer one after it");
	ship(1);
	ship(2);
	EXPECT(refuses(resume, 1) == REFUSED_REPLACED && refuses(promote, 1, true) == REFUSED_PHASE && refuses(halt, 1) == REFUSED_PHASE);

	begin("abort is the rollback: whoever was handed the version is due for the promoted one");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(succeeds(2, 1) && answer(1, 1) == ANSWER_HAS_NEWER && wanted(1) == 2);
	EXPECT(abort_version(2));
	EXPECT(answer(1, 1) == ANSWER_DUE && wanted(1) == 1);
	EXPECT(succeeds(1, 1) && world.installations[0].runs == 1);

	begin("so it is where the attempt failed, or nobody knows what came of it");
	ship(1);
	rules.policy.max_failures = 2;
	start(2);
	EXPECT(claim(2, 1) && failed(1) && claim(2, 2) && error(2) && abort_version(2));
	wait_for(2);
	EXPECT(succeeds(1, 1) && succeeds(1, 2));

	begin("a superseded version is left for an older one where nothing newer is on its way");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && error(1));
	wait_for(2);
	start(3);
	EXPECT(phase(2) == PHASE_SUPERSEDED && answer(1, 1) == ANSWER_HAS_NEWER && answer(3, 1) == ANSWER_DUE);
	EXPECT(abort_version(3) && answer(1, 1) == ANSWER_DUE && wanted(1) == 1);

	begin("and not back to what a ramp still has open, where something newer is promoted");
	rules.policy.soak = 0;
	ship(1);
	start(2);
	rules.policy.ramp = 1000;
	EXPECT(force(2, 4) && succeeded(4));
	start(3);
	EXPECT(phase(2) == PHASE_SUPERSEDED && promote_because(3));
	EXPECT(answer(3, 4) == ANSWER_RAMPING && answer(1, 4) == ANSWER_HAS_NEWER && wanted(4) == 2);
	EXPECT(answer(1, 3) == ANSWER_DUE && wanted(3) == 1);

	begin("also where it was promoted, and a newer one that was promoted after it is aborted");
	ship(1);
	ship(2);
	EXPECT(succeeds(2, 3));
	ship(3);
	EXPECT(abort_version(2) && answer(1, 3) == ANSWER_SUPERSEDED && answer(3, 3) == ANSWER_DUE);
	EXPECT(abort_version(3) && answer(1, 3) == ANSWER_DUE && succeeds(1, 3));

	begin("while the newer version is halted a workspace waits, and keeps what it has");
	ship(1);
	start(2);
	EXPECT(succeeds(2, 1) && halt(2));
	EXPECT(answer(1, 1) == ANSWER_HAS_HALTED && wanted(1) == 2);
	EXPECT(answer(1, 2) == ANSWER_DUE && wanted(2) == 1);

	begin("retry begins a new run as the newest: evidence and attempts no longer count, leases do");
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2));
	EXPECT(abort_version(1) && retry(1));
	EXPECT(phase(1) == PHASE_CANARY && world.package.in_flight == 1);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 2) == ANSWER_LEASED);
	EXPECT(succeeded(2) && phase(1) == PHASE_CANARY);
	EXPECT(world.package.in_flight == 0 && tally(1, TIER_CANARY)->succeeded == 0 && world.installations[1].runs == 1);
	EXPECT(!retry(1));

	begin("and a lease of the run before that expires is no failure of this one");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && abort_version(1) && retry(1));
	wait_for(5);
	EXPECT(world.installations[0].state == STATE_EXPIRED && world.package.in_flight == 0);
	EXPECT(phase(1) == PHASE_CANARY && tally(1, TIER_CANARY)->failed == 0);

	begin("of an attempt the caller can ask whether it is of this run, and the last");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && machine_is_of_run(&world.package, &world.installations[0]));
	EXPECT(machine_is_last_attempt(&world.package, &world.installations[0]));
	EXPECT(!machine_is_of_run(&world.package, &world.installations[1]) && !machine_is_last_attempt(&world.package, &world.installations[1]));
	EXPECT(abort_version(1) && retry(1) && !machine_is_of_run(&world.package, &world.installations[0]));
	EXPECT(!machine_is_last_attempt(&world.package, &world.installations[0]));

	begin("what is left of a version that was deleted is no evidence, and ends");
	start(1);
	world.installations[0] = (Installation){ .rollout = 99, .run = 1, .ordinal = 0, .attempt = 1, .token = 7, .state = STATE_CLAIMED, .lease_until = world.clock + 5 };
	world.installations[1] = world.installations[0];
	world.package.in_flight = 2;
	EXPECT(answer(1, 1) == ANSWER_LEASED);
	EXPECT(machine_report(&world.package, &world.installations[0], STATE_FAILED, true) == ACCEPTED);
	world_settle(&world, world.clock + 5);
	EXPECT(world.package.in_flight == 0 && world.installations[1].state == STATE_EXPIRED && phase(1) == PHASE_CANARY);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 2) == ANSWER_DUE);

	begin("retry makes a version the newest, with the policy of that time");
	ship(1);
	ship(2);
	rules.policy.soak = 1;
	EXPECT(retry(1) && phase(1) == PHASE_CANARY && phase(2) == PHASE_PROMOTED);
	EXPECT(answer(1, 1) == ANSWER_DUE && succeeds(1, 1));
	wait_for(1);
	EXPECT(promoted() == 1 && phase(2) == PHASE_SUPERSEDED);

	begin("a version that was retried does not hold back who had it from before");
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

	begin("what opens to production is asked with the caller's moment, what closes goes by the clock");
	ship(1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock - 1));
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock - 1));
	EXPECT(halt(1));
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock - 1));

	begin("the next moment is the end of a lease, of a soak, or of the progress that others wait for");
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

	begin("where a soak and a last attempt end at one moment, the one that holds production back comes first");
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

static void
outcomes(void)
{
	begin("a failure is against the version, and more than max_failures halt it");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);

	begin("each tier by itself");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && force(1, 3) && failed(3) && phase(1) == PHASE_CANARY);
	EXPECT(force(1, 4) && failed(4) && phase(1) == PHASE_HALTED);
	EXPECT(world.events[world.package.event_count - 1].tier == TIER_PRODUCTION);

	begin("a workspace that failed is due again after the delay, unless that has halted the version");
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

	begin("until its attempts are spent");
	rules.policy.max_failures = 1;
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1));
	wait_for(2);
	EXPECT(claim(1, 1) && failed(1) && tally(1, TIER_CANARY)->failed == 1);
	wait_for(2);
	EXPECT(answer(1, 1) == ANSWER_SPENT && wanted(1) == 1 && !claim(1, 1));

	begin("and more than max_failure_percent of the tier's outcomes");
	rules.policy.max_failure_percent = 50;
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2) && failed(2));
	EXPECT(phase(1) == PHASE_SOAKING);
	EXPECT(failed(1) && phase(1) == PHASE_HALTED);

	begin("both thresholds, and not one of them");
	rules.policy.max_failures = 1;
	rules.policy.max_failure_percent = 10;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);

	begin("the share does not grow as a newer version takes the successes away");
	rules.policy.max_failure_percent = 40;
	rules.canaries = 4;
	world_make(&world, &rules);
	start(1);
	EXPECT(succeeds(1, 1) && succeeds(1, 2) && succeeds(1, 3) && claim(1, 4) && failed(4));
	wait_for(10);
	start(2);
	EXPECT(phase(1) == PHASE_PROMOTED && succeeds(2, 1) && succeeds(2, 2) && succeeds(2, 3));
	EXPECT(tally(1, TIER_CANARY)->succeeded == 0 && tally(1, TIER_CANARY)->failed == 1);
	EXPECT(phase(1) == PHASE_PROMOTED && promoted() == 1);
	/* A failure stays counted, even if the workspace now has the newer version. */
	EXPECT(succeeds(2, 4) && tally(1, TIER_CANARY)->failed == 1);
	EXPECT(abort_version(2) && promoted() == 1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_PROMOTED);
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);

	begin("an error is no evidence, but for the last attempt");
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1) && answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);

	begin("which is none of a workspace that is gone");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && did(DEED_GO, 0, 1) && error(1) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_CANARY)->failed == 0);

	begin("a lease that expires uses an attempt, and the workspace is due after the delay");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(5);
	EXPECT(world.installations[0].state == STATE_EXPIRED && world.package.in_flight == 0);
	EXPECT(answer(1, 1) == ANSWER_RETRY_LATER && tally(1, TIER_CANARY)->failed == 0);
	wait_for(2);
	EXPECT(claim(1, 1) && world.installations[0].attempt == 2);

	begin("a report after that is good: the attempt was not replaced");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(6);
	EXPECT(succeeded(1) && phase(1) == PHASE_SOAKING && world.package.in_flight == 0);

	begin("so is a lease that expires; not of a workspace that is gone");
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

	begin("nor is a report of a workspace that is gone");
	start(1);
	EXPECT(claim(1, 1) && did(DEED_GO, 0, 1) && failed(1) && phase(1) == PHASE_CANARY);

	begin("what expired is not counted again by a late report, nor for the first time");
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 1) && did(DEED_GO, 0, 1));
	wait_for(5);
	EXPECT(world.installations[0].state == STATE_EXPIRED && did(DEED_GO, 0, 1));
	EXPECT(error(1) && phase(1) == PHASE_CANARY);

	begin("what was skipped is no evidence, ever, and uses no attempt");
	rules.policy.max_attempts = 1;
	start(1);
	for (int i = 0; i < 5; i++)
	{
		EXPECT(claim(1, 1) && skipped(1) && answer(1, 1) == ANSWER_RETRY_LATER);
		wait_for(2);
	}
	EXPECT(succeeds(1, 1) && phase(1) == PHASE_SOAKING);

	begin("a workspace that was skipped counts with what it runs");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && skipped(1) && abort_version(2));
	EXPECT(world.installations[0].runs == 1 && wanted(1) == 1);

	begin("and is due for nothing when the newer version is halted, as it runs the promoted one");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && claim(2, 3) && skipped(3) && halt(2));
	wait_for(2);
	EXPECT(answer(1, 3) == ANSWER_DONE);

	begin("one that was handed nothing before is as good as new");
	ship(1);
	start(2);
	EXPECT(promote_because(2) && claim(2, 3) && skipped(3) && halt(2));
	wait_for(2);
	EXPECT(wanted(3) == 1 && answer(1, 3) == ANSWER_DUE);

	begin("unless an attempt before was not skipped");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && error(1));
	wait_for(2);
	EXPECT(claim(2, 1) && skipped(1) && halt(2) && answer(1, 1) == ANSWER_HAS_HALTED);

	begin("what it runs can be halted, too");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && succeeds(2, 3));
	start(3);
	EXPECT(promote_because(3) && claim(3, 3) && skipped(3) && abort_version(3) && halt(2));
	wait_for(2);
	EXPECT(promoted() == 1 && answer(1, 3) == ANSWER_HAS_HALTED && wanted(3) == 2);

	begin("within an attempt a report may worsen, and never improve");
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

	begin("a success that is tried again replaces that workspace's failure");
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

	begin("so does a failure, and what production did is no canary's success");
	start(1);
	EXPECT(force(1, 3) && did(DEED_FLIP, 0, 3) && succeeded(3) && phase(1) == PHASE_CANARY);
	EXPECT(tally(1, TIER_PRODUCTION)->succeeded == 1);
	EXPECT(claim(1, 1) && did(DEED_FLIP, 0, 1) && failed(1) && phase(1) == PHASE_HALTED);
	EXPECT(tally(1, TIER_CANARY)->failed == 1);

	begin("a workspace that appears, or changes tier, is due for what its tier has open");
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
	begin("one lease for each workspace, whatever the version");
	ship(1);
	EXPECT(claim(1, 3));
	start(2);
	EXPECT(answer(2, 3) == ANSWER_LEASED && !force(2, 3));

	begin("the budget is of the package, all versions together");
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

	begin("and never brings it forward");
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

	begin("so is an extension");
	start(1);
	EXPECT(claim(1, 1));
	world.package.lease_count = 1;
	world.package.event_count = 0;
	world.leases[0] = (Lease){ .installation = &world.installations[0], .live = true, .asked_at = world.clock + 4 };
	machine_settle(&world.package, world.clock + 60);
	EXPECT(machine_extend(&world.package, &world.installations[0], 0) == ACCEPTED);
	EXPECT(world.installations[0].lease_until == world.clock + 65);

	begin("extend by a span puts off the end by that");
	start(1);
	EXPECT(claim(1, 1));
	wait_for(1);
	EXPECT(machine_extend(&world.package, &world.installations[0], 3) == ACCEPTED);
	EXPECT(world.installations[0].lease_until == world.clock + 7);
	EXPECT(succeeded(1) && machine_extend(&world.package, &world.installations[0], 3) == REFUSED_NO_LEASE);

	begin("a budget below what is in flight grants nothing until it has drained");
	rules.other_policy.max_in_flight = 1;
	start(1);
	EXPECT(claim(1, 1) && force(1, 3) && did(DEED_POLICY, 0, 0));
	EXPECT(!claim(1, 2) && succeeded(3) && !claim(1, 2) && succeeded(1) && claim(1, 2));

	begin("a soak is measured from when it began, by whatever policy is applied meanwhile");
	rules.other_policy.soak = 4;
	start(1);
	EXPECT(succeeds(1, 1));
	wait_for(3);
	EXPECT(did(DEED_POLICY, 0, 0) && phase(1) == PHASE_SOAKING);
	wait_for(1);
	EXPECT(phase(1) == PHASE_PROMOTED);

	begin("what the new policy does not tolerate halts at once");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2) && failed(2) && phase(1) == PHASE_SOAKING);
	EXPECT(did(DEED_POLICY, 0, 0) && phase(1) == PHASE_HALTED);

	begin("a policy that is applied changes nothing that has ended");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1));
	start(2);
	EXPECT(did(DEED_POLICY, 0, 0) && phase(1) == PHASE_SUPERSEDED && world.versions[0].policy.max_failures == 1);

	begin("not even if it is open again, as a newer one is halted by that");
	rules.policy.max_failures = 1;
	rules.other_policy.max_failures = 0;
	start(1);
	EXPECT(promote_because(1) && claim(1, 1) && failed(1));
	start(2);
	EXPECT(promote_because(2) && claim(2, 2) && failed(2));
	EXPECT(did(DEED_POLICY, 0, 0) && phase(2) == PHASE_HALTED && promoted() == 1);
	EXPECT(world.versions[0].policy.max_failures == 1);

	begin("freeze closes every gate, and phases go on");
	start(1);
	EXPECT(succeeds(1, 1) && did(DEED_FREEZE, 0, 0));
	EXPECT(answer(1, 2) == ANSWER_FROZEN && !claim(1, 2));
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && answer(1, 3) == ANSWER_FROZEN);
	EXPECT(did(DEED_FREEZE, 0, 0) && claim(1, 3));

	begin("leases and reports go on, too");
	start(1);
	EXPECT(claim(1, 1) && claim(1, 2) && did(DEED_FREEZE, 0, 0));
	EXPECT(succeeded(1) && phase(1) == PHASE_SOAKING && wanted(1) == 1 && wanted(2) == 0);
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock));
	wait_for(5);
	EXPECT(world.installations[1].state == STATE_EXPIRED);

	begin("until the moment that the freeze names");
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

	begin("and not one of another version, of which it tells nothing");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && did(DEED_OBSERVE_GOOD, 1, 1));
	EXPECT(world.package.in_flight == 1 && world.installations[0].runs == 1 && phase(2) == PHASE_CANARY);
	EXPECT(succeeded(1) && world.installations[0].runs == 2);

	begin("it can be evidence against a version, for the tier that the workspace has");
	start(1);
	EXPECT(did(DEED_OBSERVE_BAD, 1, 3) && phase(1) == PHASE_HALTED && tally(1, TIER_PRODUCTION)->failed == 1);

	begin("as a report would, it puts off the next attempt, and uses none");
	rules.policy.max_failures = 1;
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(did(DEED_OBSERVE_BAD, 1, 1) && answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(2);
	EXPECT(claim(1, 1) && world.installations[0].attempt == 1);

	begin("what was observed has been handed out, as far as halts and older versions go");
	ship(1);
	start(2);
	EXPECT(claim(1, 1) == false && did(DEED_OBSERVE_GOOD, 2, 1) && halt(2) && answer(1, 1) == ANSWER_HAS_HALTED);
	EXPECT(abort_version(2) && answer(1, 1) == ANSWER_DUE && machine_goes_back(&world.installations[0], &world.versions[0]));
	EXPECT(!machine_goes_back(&world.installations[0], &world.versions[1]));

	begin("unless the workspace is gone");
	start(1);
	EXPECT(did(DEED_GO, 0, 1) && did(DEED_OBSERVE_BAD, 1, 1) && did(DEED_OBSERVE_GOOD, 1, 1));
	EXPECT(phase(1) == PHASE_CANARY && tally(1, TIER_CANARY)->failed == 0 && world.installations[0].runs == 1);

	begin("what was observed without an attempt may also be seen to be better");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(did(DEED_OBSERVE_BAD, 1, 1) && tally(1, TIER_CANARY)->failed == 1);
	EXPECT(did(DEED_OBSERVE_GOOD, 1, 1) && tally(1, TIER_CANARY)->failed == 0 && phase(1) == PHASE_SOAKING);
	EXPECT(!did(DEED_OBSERVE_GOOD, 1, 1));

	begin("an error, or what was skipped, ends a lease of the version and tells nothing else");
	start(1);
	{
		Workspace one = world_workspace(&world, 0);

		EXPECT(machine_observe(&world.package, &world.versions[0], &world.installations[0], STATE_ERROR, &one) == UNCHANGED);
		EXPECT(machine_observe(&world.package, &world.versions[0], &world.installations[0], STATE_SKIPPED, &one) == UNCHANGED);
		EXPECT(claim(1, 1));
		EXPECT(machine_observe(&world.package, &world.versions[0], &world.installations[0], STATE_ERROR, &one) == ACCEPTED);
		EXPECT(world.package.in_flight == 0 && world.installations[0].runs == NO_ROLLOUT && phase(1) == PHASE_CANARY);
	}

	begin("an older version by hand: the workspace is due for the one that it should have");
	ship(1);
	ship(2);
	EXPECT(succeeds(2, 3) && did(DEED_OBSERVE_GOOD, 1, 3) && tally(2, TIER_PRODUCTION)->succeeded == 0);
	EXPECT(answer(2, 3) == ANSWER_DUE && wanted(3) == 2);

	begin("a version that nobody started is known to run, and the workspace is due");
	ship(1);
	EXPECT(did(DEED_OBSERVE_UNKNOWN, 0, 1) && answer(1, 1) == ANSWER_DUE);

	begin("forget: due from the beginning; not under a live lease");
	ship(1);
	EXPECT(answer(1, 1) == ANSWER_DONE && did(DEED_FORGET, 0, 1) && answer(1, 1) == ANSWER_DUE);
	EXPECT(claim(1, 1) && !did(DEED_FORGET, 0, 1));

	begin("also for what is older than what was forgotten, and with all attempts");
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

	begin("a ramp: each workspace has its moment, and until then the version before");
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

	begin("is_open says production when the ramp is over; canaries do not wait for theirs");
	rules.policy.ramp = 20;
	ship(1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_CANARY, world.clock) && answer(1, 2) == ANSWER_DUE);
	wait_for(19);
	EXPECT(!machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));
	wait_for(1);
	EXPECT(machine_is_open(&world.package, &world.versions[0], TIER_PRODUCTION, world.clock));

	begin("the moment of a workspace is its share of the ramp after the promotion, also of a long one");
	rules.policy.ramp = 8 * ((Span) 1 << 40) + 8;
	ship(1);
	for (int w = 0; w < 4; w++)
	{
		Workspace workspace = world_workspace(&world, w);
		uint64_t  share = machine_ramp_share("p", "v1", workspace.id);
		Moment	  opens = machine_opens_at(&world.package, &world.versions[0], &workspace);

		EXPECT(opens - world.versions[0].promoted_at == (Moment) (share * 8 * 256 + share * 8 / (UINT64_C(1) << 32)));
	}

	begin("resume soaks and ramps anew");
	rules.policy.ramp = 20;
	ship(1);
	wait_for(20);
	EXPECT(answer(1, 3) == ANSWER_DUE && halt(1) && resume(1) && phase(1) == PHASE_SOAKING);
	EXPECT(answer(1, 3) == ANSWER_SOAKING);
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && machine_ramp_ends_at(&world.versions[0]) == world.clock + 20);

	begin("a ramp is measured from when it began, by whatever policy is applied meanwhile");
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

	begin("a share is of package, version and workspace, and not of their bytes one after the other");
	EXPECT(machine_ramp_share("ab", "c", (const uint8_t[WORKSPACE_ID_BYTES]){ 1 }) != machine_ramp_share("a", "bc", (const uint8_t[WORKSPACE_ID_BYTES]){ 1 }));

	begin("shares are spread over the fleet, and in another order for each version");
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

		begin("a rollout is consistent, in every phase");
		EXPECT(machine_is_consistent(&rollout));

		begin("not with failures that it does not tolerate, while it is open, in either tier");
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

		begin("of the percentage, what has moved on counts");
		rollout = some_rollout(in);
		rollout.policy.max_failure_percent = 50;
		rollout.tally[TIER_CANARY] = (Tally){ .failed = 1 };
		EXPECT(machine_is_consistent(&rollout) == !open);
		rollout.tally[TIER_CANARY].moved_on = 1;
		EXPECT(machine_is_consistent(&rollout));

		begin("nor with more acknowledged than failed, or fewer than none");
		rollout = some_rollout(in);
		rollout.tally[TIER_PRODUCTION] = (Tally){ .failed = 1, .acknowledged = 2 };
		EXPECT(!machine_is_consistent(&rollout));
		rollout.tally[TIER_PRODUCTION] = (Tally){ .acknowledged = -1 };
		EXPECT(!machine_is_consistent(&rollout));

		begin("nor without the moment at which its soak began, or it was promoted");
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
