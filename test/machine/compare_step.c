/*-------------------------------------------------------------------------
 *
 * test/machine/compare_step.c
 *	  Random steps, each with its statement.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"


/* ---- chance ---- */

uint64_t chance;

uint64_t
next_number(void)
{
	uint64_t z = (chance += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

int
below(int n)
{
	return (int) (next_number() % (uint64_t) n);
}

bool
one_in(int n)
{
	return below(n) == 0;
}


/* ---- steps ---- */

const CallKind calls[CALLS] = {
	[CALL_start] = { "start", 6, false },
	[CALL_claim] = { "claim", 20, true },
	[CALL_claim_batch] = { "claim_batch", 16, true },
	[CALL_force] = { "force", 4, true },
	[CALL_report] = { "report", 40, true },
	[CALL_extend] = { "extend", 3, true },
	[CALL_observe] = { "observe", 7, true },
	[CALL_forget] = { "forget", 2, true },
	[CALL_promote] = { "promote", 5, true },
	[CALL_halt] = { "halt", 3, true },
	[CALL_resume] = { "resume", 8, true },
	[CALL_abort] = { "abort", 2, true },
	[CALL_retry] = { "retry", 8, true },
	[CALL_freeze] = { "freeze", 1, true },
	[CALL_thaw] = { "thaw", 3, false },
	[CALL_set_policy] = { "set_policy", 4, false },
	[CALL_reset_policy] = { "reset_policy", 1, false },
	[CALL_prune] = { "prune", 1, false },
	[CALL_flip] = { "a workspace's tier", 3, false },
	[CALL_go] = { "a workspace goes or comes", 4, false },
	[CALL_later] = { "time passes", 14, false },
};

int accepted[CALLS];
int refused[CALLS];

/* May prune() be called in this sequence?  It deletes events that the audit reads. */
bool may_prune;

/* The package that most calls of the current transaction are about; -1: no transaction. */
int favourite = -1;

static Call
some_call(void)
{
	/* In a transaction, often calls whose effect the next call sees at once. */
	static const Call together[] = { CALL_promote, CALL_promote, CALL_halt, CALL_abort, CALL_start, CALL_claim_batch, CALL_claim_batch };
	int				  sum = 0;
	int				  at;

	if (favourite >= 0 && one_in(2))
		return together[below(7)];

	/* Most calls need a version. */
	if (world.packages[0].package.count + world.packages[1].package.count < PACKAGES && one_in(2))
		return CALL_start;
	if (machine_running(&world.packages[0].package) == NULL && machine_running(&world.packages[1].package) == NULL && one_in(4))
		return one_in(2) ? CALL_start : CALL_retry;
	for (int c = 0; c < CALLS; c++)
		sum += calls[c].weight;
	at = below(sum);
	for (int c = 0; c < CALLS; c++)
	{
		at -= calls[c].weight;
		if (at >= 0)
			continue;
		if (c == CALL_prune && !may_prune)
			return CALL_later;
		/* A report needs a token. */
		return c == CALL_report && world.attempt_count == 0 ? CALL_claim_batch : (Call) c;
	}
	abort();
}

/* A token, mostly of an attempt that is current and not reported yet. */
static int64_t
some_token(void)
{
	int64_t token = 0;

	if (world.attempt_count == 0 || one_in(40))
		return 1000000000;
	for (int turn = 0; turn < 8 && token == 0; turn++)
	{
		const Attempt *attempt = &world.attempts[below(world.attempt_count)];

		if (turn == 7 || (attempt->replaced_at == NEVER && world.packages[attempt->package].installations[attempt->workspace].state == STATE_CLAIMED))
			token = attempt->token;
	}
	return token;
}

/* A phase in which a call makes sense. */
static bool
makes_sense(Call call, Phase phase)
{
	switch (call)
	{
		case CALL_resume:
			return phase == PHASE_HALTED;
		case CALL_retry:
			return phase == PHASE_ABORTED || phase == PHASE_SUPERSEDED;
		case CALL_promote:
			return phase == PHASE_SOAKING || phase == PHASE_CANARY || phase == PHASE_PROMOTED;
		default:
			return phase == PHASE_CANARY || phase == PHASE_SOAKING || phase == PHASE_PROMOTED;
	}
}

/* A version, mostly one that was started, and for which the call makes sense. */
static int
some_version(Call call, int p)
{
	const Package *package = &world.packages[p].package;
	const Rollout *rollout;
	int			   turns = below(4);

	if (package->count == 0 || one_in(15))
		return below(VERSIONS + 1);
	do
		rollout = package->rollouts[below(package->count)];
	while (turns-- > 0 && !makes_sense(call, rollout->phase));
	return (int) (rollout - world.packages[p].versions);
}

/* A workspace; mostly, one that is gone comes back. */
static int
some_workspace(Call call)
{
	if (call == CALL_go && one_in(2))
	{
		for (int w = 0; w < WORKSPACES; w++)
		{
			if (!is_live(&world, w))
				return w;
		}
	}
	return call != CALL_go && call != CALL_flip && one_in(40) ? WORKSPACES : below(WORKSPACES);
}

static void
some_candidates(Step *step)
{
	step->candidate_count = -1;
	if (!one_in(3))
		return;
	step->candidate_count = 0;
	for (int turn = 0; turn <= WORKSPACES; turn++)
	{
		int	 w = below(WORKSPACES + 1);
		bool known = false;

		for (int i = 0; i < step->candidate_count; i++)
			known = known || step->candidates[i] == w;
		if (!known)
			step->candidates[step->candidate_count++] = w;
	}
}

static void
some_setting(Settings *settings)
{
	static const int64_t choices[SETTINGS][4] = {
		[SETTING_soak] = { 0, HOUR, 2 * HOUR, 3 * HOUR },
		[SETTING_ramp] = { 0, 0, 3 * HOUR, 6 * HOUR },
		[SETTING_min_successes] = { 1, 1, 2, 3 },
		[SETTING_max_failures] = { 0, 1, 1, 2 },
		[SETTING_max_failure_percent] = { 0, 20, 50, 100 },
		[SETTING_max_in_flight] = { 1, 2, 3, 25 },
		[SETTING_max_attempts] = { 1, 2, 2, 3 },
		[SETTING_retry_delay] = { 0, HOUR, 2 * HOUR, 0 },
		[SETTING_lease] = { HOUR, 2 * HOUR, 3 * HOUR, HOUR },
		[SETTING_auto_promote] = { true, true, true, false },
		[SETTING_require_canary] = { true, true, true, false },
	};
	int i = below(SETTINGS);

	settings->given[i] = true;
	settings->value[i] = choices[i][below(4)];
}

Step
some_step(void)
{
	static const State outcomes[] = { STATE_SUCCEEDED, STATE_SUCCEEDED, STATE_SUCCEEDED, STATE_SUCCEEDED, STATE_SUCCEEDED,
									  STATE_SUCCEEDED, STATE_FAILED, STATE_ERROR, STATE_ERROR, STATE_SKIPPED };
	Call			   call = some_call();
	int				   p = favourite >= 0 && !one_in(4) ? favourite : below(PACKAGES);
	Step			   step = { .call = call,
								.package = p,
								.version = some_version(call, p),
								.workspace = some_workspace(call),
								.has_reason = one_in(2),
								.token = some_token(),
								.outcome = outcomes[below(10)],
								.installed = one_in(6) ? below(VERSIONS + 1) : -1,
								.max_claims = below(4),
								.apply_to_running = one_in(2) };

	some_candidates(&step);
	switch (step.call)
	{
		case CALL_start:
			step.version = below(VERSIONS);
			break;
		case CALL_claim_batch:
			if (one_in(2))
				step.version = -1;
			if (one_in(3))
				step.max_claims = 25;
			break;
		case CALL_freeze:
			step.hours = below(4) - 1;
			if (one_in(4))
				step.package = ALL;
			break;
		case CALL_thaw:
			if (one_in(2))
				step.package = ALL;
			break;
		case CALL_set_policy:
		case CALL_reset_policy:
			if (one_in(4))
				step.package = ALL;
			for (int i = below(3); i >= 0; i--)
				some_setting(&step.settings);
			break;
		case CALL_later:
			step.hours = 1 + below(3);
			break;
		default:
			step.hours = below(4);
			break;
	}
	return step;
}

/* The step in SQL. */
static void
append(Step *step, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
append(Step *step, const char *format, ...)
{
	size_t	length = strlen(step->statement);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(step->statement + length, sizeof(step->statement) - length, format, arguments);
	va_end(arguments);
}

const char *
version_literal(int v)
{
	static char literal[2][40];
	static int	next;
	char	   *text = literal[next++ % 2];

	if (v < 0)
		return "NULL";
	snprintf(text, sizeof(literal[0]), "'%s'", version_names[v]);
	return text;
}

static void
write_settings(Step *step)
{
	for (int i = 0; i < SETTINGS; i++)
	{
		if (!step->settings.given[i])
			continue;
		if (step->call == CALL_reset_policy)
			append(step, ", '%s'", setting_names[i]);
		else if (i == SETTING_soak || i == SETTING_ramp || i == SETTING_retry_delay || i == SETTING_lease)
			append(step, ", %s => '%d hours'", setting_names[i], (int) (step->settings.value[i] / HOUR));
		else if (i == SETTING_auto_promote || i == SETTING_require_canary)
			append(step, ", %s => %s", setting_names[i], step->settings.value[i] ? "true" : "false");
		else
			append(step, ", %s => %d", setting_names[i], (int) step->settings.value[i]);
	}
}

static void
write_batch(Step *step)
{
	append(step, "c.* FROM (SELECT 1) AS one LEFT JOIN (SELECT n, workspace, version, tier, attempt::pg_catalog.int8, token"
				 " FROM update_tier.claim_batch('%s', %s, %d",
		   package_names[step->package], version_literal(step->version), step->max_claims);
	if (step->candidate_count >= 0)
	{
		append(step, ", ARRAY[");
		for (int i = 0; i < step->candidate_count; i++)
			append(step, "%s%s", i == 0 ? "" : ", ", workspace_literal(step->candidates[i]));
		append(step, "]::pg_catalog.uuid[]");
	}
	append(step, ") WITH ORDINALITY AS b (workspace, version, tier, attempt, token, n)) AS c ON true ORDER BY c.n");
}

static void
write_workspace(Step *step)
{
	if (step->call == CALL_flip)
		append(step, "UPDATE public.workspaces SET update_tier = CASE update_tier WHEN 'canary' THEN 'production' ELSE 'canary' END WHERE id = %s",
			   workspace_literal(step->workspace));
	else if (!world.exists[step->workspace])
		append(step, "INSERT INTO public.workspaces VALUES (%s)", workspace_literal(step->workspace));
	else if (step->apply_to_running && step->has_reason)
		append(step, "DELETE FROM public.workspaces WHERE id = %s", workspace_literal(step->workspace));
	else
		append(step, "UPDATE public.workspaces SET live = NOT live WHERE id = %s", workspace_literal(step->workspace));
}

static void
write_call(Step *step)
{
	const char *package = package_names[step->package];
	const char *version = version_literal(step->version);
	const char *name = calls[step->call].name;

	append(step, "SELECT pg_catalog.now(), pg_catalog.statement_timestamp(), ");
	switch (step->call)
	{
		case CALL_claim_batch:
			write_batch(step);
			return;
		case CALL_claim:
			append(step, "update_tier.claim('%s', %s, %s)", package, version, workspace_literal(step->workspace));
			return;
		case CALL_force:
			append(step, "update_tier.force('%s', %s, %s, 'why')", package, version, workspace_literal(step->workspace));
			return;
		case CALL_report:
			append(step, "update_tier.report(%" PRId64 ", '%s', %s, %s)", step->token, state_names[step->outcome],
				   version_literal(step->installed), step->has_reason ? "'how'" : "NULL");
			return;
		case CALL_extend:
			append(step, "update_tier.extend(%" PRId64, step->token);
			if (step->hours > 0)
				append(step, ", '%d hours'", step->hours);
			append(step, ")");
			return;
		case CALL_observe:
			append(step, "update_tier.observe('%s', %s, %s, '%s')", package, version, workspace_literal(step->workspace),
				   state_names[step->outcome]);
			return;
		case CALL_forget:
			append(step, "update_tier.forget('%s', %s, 'why')", package, workspace_literal(step->workspace));
			return;
		case CALL_freeze:
			if (step->hours == 0)
				append(step, "update_tier.freeze('%s', reason => 'why')", package);
			else
				append(step, "update_tier.freeze('%s', pg_catalog.now() + '%d hours')", package, step->hours);
			return;
		case CALL_thaw:
			append(step, "update_tier.thaw('%s')", package);
			return;
		case CALL_set_policy:
		case CALL_reset_policy:
			append(step, "update_tier.%s('%s'", name, package);
			write_settings(step);
			if (step->call == CALL_set_policy)
				append(step, ", apply_to_running => %s", step->apply_to_running ? "true" : "false");
			append(step, ")");
			return;
		case CALL_prune:
			append(step, "update_tier.prune('%d hours')", step->hours);
			return;
		case CALL_start:
			append(step, "update_tier.start('%s', %s)", package, version);
			return;
		default:
			append(step, "update_tier.%s('%s', %s, %s)", name, package, version, step->has_reason ? "'why'" : "NULL");
	}
}

void
write_step(Step *step)
{
	if (step->call == CALL_flip || step->call == CALL_go)
		write_workspace(step);
	else if (step->call == CALL_later)
		append(step, "SELECT pg_catalog.now(), pg_catalog.statement_timestamp(), public.later('%d hours')", step->hours);
	else
		write_call(step);
}
