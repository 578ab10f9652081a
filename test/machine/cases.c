/*-------------------------------------------------------------------------
 *
 * test/machine/cases.c
 *	  The design, case by case: a line for each sentence that can be tried.
 *
 * Each case is a story of a package "p" with the policy that it states, else
 * that of the default but for spans, which are short: a soak of 10, a lease of
 * 5, a retry delay of 2.  Workspaces 1 and 2 are canaries, 3 and 4 production.
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

/* The words of the stories. */

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

/* A version that has gone all the way. */
static void
ship(int v)
{
	start(v);
	EXPECT(succeeds(v, 1));
	wait_for(10);
	EXPECT(phase(v) == PHASE_PROMOTED);
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

	begin("what was promoted before shows as superseded, and is open again when the newer one is halted");
	ship(1);
	ship(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED && promoted() == 2);
	EXPECT(halt(2));
	EXPECT(phase(1) == PHASE_PROMOTED && promoted() == 1 && answer(1, 3) == ANSWER_DUE);

	begin("a halted version that a newer one was promoted past shows as superseded");
	ship(1);
	EXPECT(halt(1));
	ship(2);
	EXPECT(phase(1) == PHASE_SUPERSEDED);
	EXPECT(!resume(1));

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
	EXPECT(!promote(2) && promote_because(2));
	EXPECT(phase(1) == PHASE_SUPERSEDED && phase(2) == PHASE_PROMOTED);
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

	begin("resume is refused when a newer version has taken the place");
	start(1);
	EXPECT(halt(1));
	start(2);
	EXPECT(!resume(1));

	begin("abort is the rollback: whoever was handed the version is due for the promoted one");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(succeeds(2, 1) && answer(1, 1) == ANSWER_HAS_NEWER && wanted(1) == 2);
	EXPECT(abort_version(2));
	EXPECT(answer(1, 1) == ANSWER_DUE && wanted(1) == 1);
	EXPECT(succeeds(1, 1) && world.installations[0].runs == 1);

	begin("while the newer version is halted a workspace waits, and keeps what it has");
	ship(1);
	start(2);
	EXPECT(succeeds(2, 1) && halt(2));
	EXPECT(answer(1, 1) == ANSWER_HAS_HALTED && wanted(1) == 2);

	begin("retry begins a new run as the newest: evidence and attempts no longer count, leases do");
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2));
	EXPECT(abort_version(1) && retry(1));
	EXPECT(phase(1) == PHASE_CANARY && world.package.in_flight == 1);
	EXPECT(answer(1, 1) == ANSWER_DUE && answer(1, 2) == ANSWER_LEASED);
	EXPECT(succeeded(2) && phase(1) == PHASE_CANARY);
	EXPECT(!retry(1));

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

	begin("where a soak and a last attempt end at one moment, the one that holds production back comes first");
	rules.policy.soak = 5;
	rules.policy.max_attempts = 1;
	start(1);
	EXPECT(claim(1, 2) && succeeds(1, 1) && phase(1) == PHASE_SOAKING);
	wait_for(5);
	EXPECT(phase(1) == PHASE_HALTED);
	EXPECT(world.versions[0].promoted_at == NEVER);
	/* And the lease that tipped it is named. */
	EXPECT(world.events[world.package.event_count - 1].phase == PHASE_HALTED);
	EXPECT(world.events[world.package.event_count - 1].lease == &world.leases[0]);
}

static void
outcomes(void)
{
	begin("a failure is against the version, and more than max_failures halt it");
	rules.policy.max_failures = 1;
	start(1);
	EXPECT(claim(1, 1) && failed(1) && phase(1) == PHASE_CANARY);
	EXPECT(claim(1, 2) && failed(2) && phase(1) == PHASE_HALTED);

	begin("and more than max_failure_percent of the tier's outcomes");
	rules.policy.max_failure_percent = 50;
	start(1);
	EXPECT(succeeds(1, 1) && claim(1, 2) && failed(2));
	EXPECT(phase(1) == PHASE_SOAKING);
	EXPECT(failed(1) && phase(1) == PHASE_HALTED);

	begin("an error is no evidence, but for the last attempt");
	rules.policy.max_attempts = 2;
	start(1);
	EXPECT(claim(1, 1) && error(1) && answer(1, 1) == ANSWER_RETRY_LATER);
	wait_for(2);
	EXPECT(claim(1, 1) && error(1) && phase(1) == PHASE_HALTED);

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

	begin("and is due for that again when the newer version is halted");
	ship(1);
	EXPECT(succeeds(1, 3));
	start(2);
	EXPECT(promote_because(2) && claim(2, 3) && skipped(3) && halt(2));
	wait_for(2);
	EXPECT(answer(1, 3) == ANSWER_DUE);

	begin("unless an attempt before was not skipped");
	ship(1);
	start(2);
	EXPECT(claim(2, 1) && error(1));
	wait_for(2);
	EXPECT(claim(2, 1) && skipped(1) && halt(2) && answer(1, 1) == ANSWER_HAS_HALTED);

	begin("within an attempt a report may worsen, and never improve");
	start(1);
	EXPECT(succeeds(1, 1) && phase(1) == PHASE_SOAKING);
	EXPECT(!succeeded(1) && !skipped(1));
	EXPECT(error(1) && phase(1) == PHASE_CANARY);
	EXPECT(!succeeded(1));
	EXPECT(failed(1) && phase(1) == PHASE_HALTED);
	EXPECT(!error(1));

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

	begin("freeze closes every gate, and phases go on");
	start(1);
	EXPECT(succeeds(1, 1) && did(DEED_FREEZE, 0, 0));
	EXPECT(answer(1, 2) == ANSWER_FROZEN && !claim(1, 2));
	wait_for(10);
	EXPECT(phase(1) == PHASE_PROMOTED && answer(1, 3) == ANSWER_FROZEN);
	EXPECT(did(DEED_FREEZE, 0, 0) && claim(1, 3));
}

static void
by_hand(void)
{
	begin("observe tells what a workspace runs, and is evidence if the version was started");
	start(1);
	EXPECT(did(DEED_OBSERVE_GOOD, 1, 1) && phase(1) == PHASE_SOAKING);
	EXPECT(answer(1, 1) == ANSWER_DONE);

	begin("observe ends a live lease of that version");
	start(1);
	EXPECT(claim(1, 1) && did(DEED_OBSERVE_GOOD, 1, 1) && world.package.in_flight == 0);

	begin("a version that nobody started is known to run, and the workspace is due");
	ship(1);
	EXPECT(did(DEED_OBSERVE_UNKNOWN, 0, 1) && answer(1, 1) == ANSWER_DUE);

	begin("forget: due from the beginning; not under a live lease");
	ship(1);
	EXPECT(answer(1, 1) == ANSWER_DONE && did(DEED_FORGET, 0, 1) && answer(1, 1) == ANSWER_DUE);
	EXPECT(claim(1, 1) && !did(DEED_FORGET, 0, 1));
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

	begin("promote ends a ramp, and a halt stops it");
	ship(1);
	rules.policy.ramp = 1000;
	start(2);
	EXPECT(succeeds(2, 1));
	wait_for(10);
	EXPECT(promote(2) && answer(2, 3) == ANSWER_DUE);
	EXPECT(halt(2) && answer(1, 3) == ANSWER_DUE);

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

int
main(void)
{
	phases();
	operators();
	clocks();
	outcomes();
	leases();
	by_hand();
	ramps();
	printf("%d cases, %d expectations\n", stories, expectations);
	return 0;
}
