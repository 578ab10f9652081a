/*-------------------------------------------------------------------------
 *
 * test/machine/compare_machine.c
 *	  A step, made by the pure machine.
 *
 *-------------------------------------------------------------------------
 */
#include <stdlib.h>
#include <string.h>

#include "compare.h"

World before; /* before the step */
World seen;	  /* after the step, in SQL */

/*
 * Has SQL saved the package?  Then the row tells the moment to which it was
 * settled.  If there was nothing to save, the moment does not matter.
 */
bool
was_saved(int p)
{
	return seen.packages[p].stored && (!before.packages[p].stored || seen.packages[p].package.stamp != before.packages[p].package.stamp);
}

static Moment
clock_of(int p, const Said *said)
{
	return was_saved(p) ? seen.packages[p].package.stamp : said->statement_began;
}

/* Load the leases that may have expired, and settle. */
void
settle(World *in, int p, Moment clock, int64_t asked_token, Moment asked_at)
{
	Model	*model = &in->packages[p];
	Package *package = &model->package;

	package->frozen_until = model->frozen_until;
	if (in->packages[ALL].frozen_until > package->frozen_until)
		package->frozen_until = in->packages[ALL].frozen_until;
	package->lease_count = 0;
	for (int w = 0; w < WORKSPACES; w++)
	{
		Installation *installation = &model->installations[w];

		if (installation->rollout == NO_ROLLOUT || installation->state != STATE_CLAIMED)
			continue;
		package->leases[package->lease_count++] = (Lease){
			.installation = installation,
			.live = is_live(in, w),
			.asked_at = asked_token != 0 && installation->token == asked_token ? asked_at : NEVER
		};
	}
	make_room(model);
	package->counted = 0;
	machine_settle(package, clock);
	package->uncounted_count = 0;
}

/* The same for a step, whose events are compared. */
Model *
settled(int p, const Said *said, int64_t asked_token)
{
	settle(&world, p, clock_of(p, said), asked_token, said->statement_began);
	note_events(p, &world.packages[p]);
	return &world.packages[p];
}

static Policy
policy_of(int p)
{
	Settings settings = default_settings();

	for (int i = 0; i < SETTINGS; i++)
	{
		if (world.packages[ALL].settings.given[i])
			settings.value[i] = world.packages[ALL].settings.value[i];
		if (world.packages[p].settings.given[i])
			settings.value[i] = world.packages[p].settings.value[i];
	}
	return policy_from(&settings);
}

static const char *
shown_phase(Model *model, int v)
{
	Rollout *rollout = rollout_of(model, v);

	return rollout ? phase_names[machine_phase(&model->package, rollout)] : NULL;
}

Attempt *
attempt_of(int64_t token)
{
	for (int a = 0; a < world.attempt_count; a++)
	{
		if (world.attempts[a].token == token)
			return &world.attempts[a];
	}
	return NULL;
}

/* The latest attempt at the workspace is replaced. */
static void
replace_attempt(int p, int w)
{
	Attempt *attempt = attempt_of(world.packages[p].installations[w].token);

	if (world.packages[p].installations[w].token != 0 && attempt != NULL)
		attempt->replaced_at = world.packages[p].package.stamp;
}

int	 granted;
int	 reported_apart;
bool last_was_apart;

/*
 * The packages that the current transaction has locked; how often it has counted
 * reports that were written without the package, and how many in all.
 */
bool locked[PACKAGES + 1];
int	 times_counted;
int	 rows_counted;

/* As in rollout/uncounted.c. */
#define FEW_AT_A_TIME 25

static void
grant(int p, int v, int w, int64_t token)
{
	Model *model = &world.packages[p];

	granted++;
	replace_attempt(p, w);
	machine_grant(&model->package, &model->versions[v], &model->installations[w], world.tiers[w], token);
	model->has_row[w] = true;
	if (world.attempt_count == ATTEMPTS)
		memmove(world.attempts, world.attempts + 1, --world.attempt_count * sizeof(Attempt));
	world.attempts[world.attempt_count++] = (Attempt){
		.token = token, .package = p, .version = v, .workspace = w, .replaced_at = NEVER
	};
}

/* The version for which a workspace is due, with budget left; -1: none. */
static int
due_version(int p, int target, int w, Moment now)
{
	Model	 *model = &world.packages[p];
	Workspace workspace = workspace_of(&world, w);
	Rollout	 *rollout = target >= 0 ? rollout_of(model, target) :
									  machine_wanted(&model->package, &model->installations[w], &workspace, now);

	if (rollout == NULL || !workspace.live ||
		machine_due(&model->package, rollout, &model->installations[w], &workspace, now).answer != ANSWER_DUE ||
		!machine_has_budget(&model->package, rollout))
		return -1;
	return (int) (rollout - model->versions);
}

static const char *
do_claim(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);
	int	   w = step->workspace;
	bool   due;

	if (rollout_of(model, step->version) == NULL)
		return "P0002";
	due = w < WORKSPACES && due_version(step->package, step->version, w, said->now) >= 0;
	if (said->result == NULL)
		return "";
	same_number("a token is granted", due, !PQgetisnull(said->result, 0, 2));
	if (due)
		grant(step->package, step->version, w, number_at(said->result, 0, 2));
	return "";
}

static const char *
do_force(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);
	int	   w = step->workspace;

	if (w == WORKSPACES || !is_live(&world, w) || rollout_of(model, step->version) == NULL)
		return "P0002";
	if (machine_is_leased(&model->installations[w]))
		return "55000";
	if (said->result != NULL)
		grant(step->package, step->version, w, number_at(said->result, 0, 2));
	return "";
}

/*
 * The rank of a workspace in claim_batch(): canaries first, then rollbacks,
 * then production.  Candidates have the order in which they were given.
 */
static int
rank_of(const Step *step, int w)
{
	const Package *package = &world.packages[step->package].package;
	const Rollout *handed = machine_rollout(package, before.packages[step->package].installations[w].rollout);
	const Rollout *open = step->version >= 0 ? rollout_of(&world.packages[step->package], step->version) : machine_promoted(package);

	if (step->candidate_count >= 0)
	{
		for (int i = 0; i < step->candidate_count; i++)
		{
			if (step->candidates[i] == w)
				return i;
		}
		return -1;
	}
	if (world.tiers[w] == TIER_CANARY)
		return 0;
	return handed != NULL && open != NULL && handed->ordinal > open->ordinal &&
			(handed->phase == PHASE_ABORTED || handed->phase == PHASE_SUPERSEDED) && machine_may_go_back(package, handed, open) ?
		1 :
		2;
}

/*
 * A workspace that was not claimed must not be due, or must rank after all that
 * were claimed.
 */
static void
check_left_over(const Step *step, const Said *said, bool all_wanted, int highest_rank, const bool *claimed)
{
	for (int w = 0; w < WORKSPACES; w++)
	{
		int rank = rank_of(step, w);

		if (claimed[w] || rank < 0 || due_version(step->package, step->version, w, said->now) < 0)
			continue;
		if (!all_wanted)
			differ("workspace %d (%s) is due for %s, there is budget left, and claim_batch passes it over", w + 1,
				   tier_names[world.tiers[w]], version_names[due_version(step->package, step->version, w, said->now)]);
		if (rank < highest_rank)
			differ("workspace %d (%s) comes before another one that claim_batch has found", w + 1, tier_names[world.tiers[w]]);
	}
}

static const char *
do_claim_batch(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);
	int	   count = 0;
	int	   highest_rank = 0;
	bool   claimed[WORKSPACES] = { false };

	if (step->version >= 0 && rollout_of(model, step->version) == NULL)
		return "P0002";
	if (said->result == NULL)
		return "";
	for (int row = 0; row < PQntuples(said->result) && !PQgetisnull(said->result, row, 2); row++)
	{
		int w = PQgetvalue(said->result, row, 3)[15] - 1;
		int v = name_number(text_at(said->result, row, 4), version_names, VERSIONS);
		int rank = rank_of(step, w);

		same_number(of("version for which workspace %d is due", w + 1), due_version(step->package, step->version, w, said->now), v);
		if (rank < highest_rank || claimed[w])
			differ("claim_batch hands workspace %d out after another one", w + 1);
		grant(step->package, v, w, number_at(said->result, row, 7));
		same_text("tier", tier_names[model->installations[w].tier], text_at(said->result, row, 5));
		same_number("attempt", model->installations[w].attempt, number_at(said->result, row, 6));
		highest_rank = rank;
		claimed[w] = true;
		count++;
	}
	if (count > step->max_claims)
		differ("claim_batch hands out more than was asked for");
	if (step->max_claims > 0)
		check_left_over(step, said, count == step->max_claims, highest_rank, claimed);
	return "";
}

/* For a version that was never started, the name is stored. */
static void
note_runs(Model *model, int w, const char *unknown)
{
	model->has_row[w] = true;
	if (model->installations[w].runs != NO_ROLLOUT)
		model->runs_unknown[w] = NULL;
	else if (unknown != NULL)
		model->runs_unknown[w] = unknown;
}

static void
returns_phase(const Said *said, Model *model, int v)
{
	if (said->result != NULL)
		same_text("the phase that is returned", shown_phase(model, v), text_at(said->result, 0, 2));
}

/*
 * A report that can change no decision is written without the package, unless
 * the transaction has that locked and counts few reports at a time.  It returns
 * the phase without the changes that happen without a call.
 */
static bool
was_reported_apart(const Step *step, const Said *said, const Attempt *attempt)
{
	Model		 *model = &world.packages[attempt->package];
	Installation *installation = &model->installations[attempt->workspace];
	Rollout		 *rollout = machine_rollout(&model->package, installation->rollout);
	int			  count = model->package.uncounted_count;
	bool		  apart = seen.packages[attempt->package].package.uncounted_count > count;
	bool		  possible;

	last_was_apart = false;
	if (attempt->replaced_at != NEVER || said->result == NULL)
		return false;
	possible = rollout != NULL && (step->installed < 0 || step->installed == attempt->version) &&
		!(locked[attempt->package] && times_counted > 1 && rows_counted <= FEW_AT_A_TIME * times_counted) &&
		machine_report_apart(rollout, installation, step->outcome, is_live(&world, attempt->workspace), said->statement_began,
							 apart ? seen.packages[attempt->package].uncounted[count].at : said->now, &model->uncounted[count]);
	same_number("the report is written without the package", possible, apart);
	if (!apart)
		return false;
	last_was_apart = true;
	reported_apart++;
	model->package.uncounted_count++;
	note_runs(model, attempt->workspace, NULL);
	returns_phase(said, model, attempt->version);
	return true;
}

static const char *
do_report(const Step *step, const Said *said)
{
	const Attempt *attempt = attempt_of(step->token);
	Model		  *model;
	Installation  *installation;
	Rollout		  *rollout;
	State		   outcome = step->outcome;
	bool		   other;
	bool		   counts;

	if (attempt == NULL)
		return "P0002";
	if (was_reported_apart(step, said, attempt))
		return "";
	model = settled(attempt->package, said, step->token);
	if (attempt->replaced_at != NEVER)
	{
		if (said->result != NULL)
			same_number("warnings", 1, said->warnings);
		returns_phase(said, model, attempt->version);
		return "";
	}
	installation = &model->installations[attempt->workspace];
	rollout = machine_rollout(&model->package, installation->rollout);
	counts = machine_is_of_run(&model->package, installation);
	other = step->installed >= 0 && step->installed != attempt->version;
	if (other && outcome != STATE_SKIPPED)
		outcome = STATE_ERROR;

	make_room(model);
	switch (machine_report(&model->package, installation, outcome, is_live(&world, attempt->workspace)))
	{
		case REFUSED_BETTER:
			return "55000";
		case ACCEPTED:
			if (other && rollout_of(model, step->installed) != NULL)
				machine_runs(installation, rollout_of(model, step->installed), true);
			note_runs(model, attempt->workspace, NULL);
			same_number("warnings", counts ? 0 : 1, said->warnings);
			break;
		default:
			break;
	}
	note_events(attempt->package, model);
	if (rollout != NULL)
		returns_phase(said, model, attempt->version);
	return "";
}

static const char *
do_extend(const Step *step, const Said *said)
{
	const Attempt *attempt = attempt_of(step->token);
	Model		  *model;
	Installation  *installation;

	if (attempt == NULL)
		return "P0002";
	if (attempt->replaced_at != NEVER)
		return "55000";
	model = settled(attempt->package, said, step->token);
	installation = &model->installations[attempt->workspace];
	if (machine_extend(&model->package, installation, step->hours * HOUR) != ACCEPTED)
		return "55000";
	if (said->result != NULL)
		same_number("the new end", installation->lease_until, number_at(said->result, 0, 2));
	return "";
}

static const char *
do_observe(const Step *step, const Said *said)
{
	Model		 *model;
	int			  w = step->workspace;
	Workspace	  workspace;
	Installation *installation;
	Installation  had;

	if (w == WORKSPACES || !world.exists[w])
		return "P0002";
	model = settled(step->package, said, 0);
	workspace = workspace_of(&world, w);
	installation = &model->installations[w];
	had = *installation;
	make_room(model);
	switch (machine_observe(&model->package, rollout_of(model, step->version), installation, step->outcome, &workspace))
	{
		case REFUSED_BETTER:
			return "55000";
		case ACCEPTED:
			note_runs(model, w, rollout_of(model, step->version) ? NULL : version_names[step->version]);
			break;
		default:
			break;
	}
	/* The former attempt may still be reported on. */
	if (had.token != 0 && installation->token != had.token)
		attempt_of(had.token)->replaced_at = model->package.stamp;
	note_events(step->package, model);
	returns_phase(said, model, step->version);
	return "";
}

static const char *
do_forget(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);
	int	   w = step->workspace;
	bool   has_row = w < WORKSPACES && model->has_row[w];

	if (has_row && machine_is_leased(&model->installations[w]))
		return "55000";
	if (said->result != NULL)
		same_number("forget returns", has_row, flag_at(said->result, 0, 2));
	if (!has_row)
		return "";
	replace_attempt(step->package, w);
	if (machine_forget(&model->package, &model->installations[w]) != ACCEPTED)
		differ("the machine does not forget workspace %d", w + 1);
	model->has_row[w] = false;
	model->runs_unknown[w] = NULL;
	return "";
}

static const char *
do_start(const Step *step, const Said *said)
{
	Model		  *model = settled(step->package, said, 0);
	Rollout		  *rollout = &model->versions[step->version];
	const Rollout *stored = &seen.packages[step->package].versions[step->version];

	if (rollout->id == NO_ROLLOUT)
	{
		*rollout = (Rollout){ .id = stored->id,
							  .version = version_names[step->version],
							  .ordinal = stored->ordinal,
							  .policy = policy_of(step->package) };
		if (stored->id == NO_ROLLOUT)
			differ("start has not stored %s", rollout->version);
		relink(&world);
		if (model->order[model->package.count - 1] != rollout)
			differ("%s is not the newest", rollout->version);
		make_room(model);
		machine_start(&model->package, rollout);
		note_events(step->package, model);
	}
	returns_phase(said, model, step->version);
	return "";
}

static const char *
do_verb(const Step *step, const Said *said)
{
	Model	*model = settled(step->package, said, 0);
	Rollout *rollout = rollout_of(model, step->version);
	Refusal	 refusal = UNCHANGED;
	Policy	 policy = policy_of(step->package);

	if (rollout == NULL)
		return "P0002";
	make_room(model);
	switch (step->call)
	{
		case CALL_promote:
			refusal = machine_promote(&model->package, rollout, step->has_reason);
			break;
		case CALL_halt:
			refusal = machine_halt(&model->package, rollout);
			break;
		case CALL_resume:
			refusal = machine_resume(&model->package, rollout);
			break;
		case CALL_abort:
			refusal = machine_abort(&model->package, rollout);
			break;
		case CALL_retry:
			refusal = machine_retry(&model->package, rollout, seen.packages[step->package].versions[step->version].ordinal, &policy);
			break;
		default:
			abort();
	}
	if (refusal == REFUSED_REASON)
		return "22023";
	if (refusal == REFUSED_PHASE || refusal == REFUSED_REPLACED)
		return "55000";
	note_events(step->package, model);
	returns_phase(said, model, step->version);
	return "";
}

static const char *
do_freeze(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);
	Moment until = step->hours == 0 ? NEVER : said->now + step->hours * HOUR;

	if (until <= model->package.stamp)
		return "22023";
	model->frozen_until = until;
	return "";
}

static const char *
do_thaw(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);

	if (model->frozen_until > model->package.stamp)
		model->frozen_until = LONG_AGO;
	return "";
}

void
apply_to_running(int p, Model *model)
{
	Policy policy = policy_of(p);

	make_room(model);
	machine_apply_policy(&model->package, &policy);
	note_events(p, model);
}

static const char *
do_set_policy(const Step *step, const Said *said)
{
	Model *model = settled(step->package, said, 0);

	for (int i = 0; i < SETTINGS; i++)
	{
		if (!step->settings.given[i])
			continue;
		model->settings.given[i] = step->call == CALL_set_policy;
		model->settings.value[i] = step->settings.value[i];
	}
	if (step->call == CALL_reset_policy || !step->apply_to_running)
		return "";
	if (step->package != ALL)
		apply_to_running(step->package, model);
	for (int p = 0; p < PACKAGES && step->package == ALL; p++)
	{
		if (world.packages[p].stored)
			apply_to_running(p, settled(p, said, 0));
	}
	return "";
}

static bool
is_referred_to(const Model *model, int64_t rollout)
{
	for (int w = 0; w < WORKSPACES; w++)
	{
		if (model->has_row[w] && (model->installations[w].rollout == rollout || model->installations[w].runs == rollout))
			return true;
	}
	return false;
}

/* Forget the installations of workspaces that are not live.  Returns their number. */
static int
forget_gone(int p, Model *model, Moment limit)
{
	int forgotten = 0;

	for (int w = 0; w < WORKSPACES; w++)
	{
		if (!model->has_row[w] || is_live(&world, w) || model->installation_changed_at[w] >= limit ||
			machine_is_leased(&model->installations[w]))
			continue;
		replace_attempt(p, w);
		(void) machine_forget(&model->package, &model->installations[w]);
		model->has_row[w] = false;
		model->runs_unknown[w] = NULL;
		forgotten++;
	}
	return forgotten;
}

/*
 * Delete rollouts that were superseded before the limit, that no installation
 * names, that are not the way back, and that are not known to be bad.  Returns
 * their number.
 */
static int
delete_superseded(Model *model, Moment limit, int *changed)
{
	const Rollout *promoted = machine_promoted(&model->package);
	const Rollout *way_back = promoted ? machine_promoted_before(&model->package, promoted) : NULL;
	int			   deleted = 0;

	for (int v = 0; v < VERSIONS; v++)
	{
		Rollout *rollout = rollout_of(model, v);

		if (rollout == NULL || machine_phase(&model->package, rollout) != PHASE_SUPERSEDED || rollout == way_back || rollout->phase == PHASE_HALTED ||
			model->rollout_changed_at[v] >= limit || rollout->changed || is_referred_to(model, rollout->id))
			continue;
		rollout->id = NO_ROLLOUT;
		deleted++;
	}
	*changed += deleted;
	return deleted;
}

static const char *
do_prune(const Step *step, const Said *said)
{
	Moment limit = said->now - step->hours * HOUR;
	int	   deleted = 0;

	events_kept_from = limit;
	for (int p = 0; p < PACKAGES; p++)
	{
		Model *model = &world.packages[p];
		int	   changed;

		if (!model->stored)
			continue;
		/* A package with nothing to delete is not written. */
		if (was_saved(p))
			model = settled(p, said, 0);
		else
			settle(&world, p, said->statement_began, 0, NEVER);
		changed = forget_gone(p, model, limit);
		deleted += delete_superseded(model, limit, &changed);
		relink(&world);
		if (was_saved(p))
			continue;
		if (changed > 0)
			differ("prune leaves what it can delete of %s", package_names[p]);
		*model = before.packages[p];
		relink(&world);
	}
	for (int a = world.attempt_count - 1; a >= 0; a--)
	{
		if (world.attempts[a].replaced_at < limit)
			memmove(&world.attempts[a], &world.attempts[a + 1], (--world.attempt_count - a) * sizeof(Attempt));
	}
	if (said->result != NULL)
		same_number("rollouts that are deleted", deleted, number_at(said->result, 0, 2));
	return "";
}

static const char *
do_workspace(const Step *step)
{
	int w = step->workspace;

	if (step->call == CALL_flip)
	{
		if (world.exists[w])
			world.tiers[w] = world.tiers[w] == TIER_CANARY ? TIER_PRODUCTION : TIER_CANARY;
	}
	else if (!world.exists[w])
	{
		world.exists[w] = world.live[w] = true;
		world.tiers[w] = TIER_PRODUCTION;
	}
	else if (step->apply_to_running && step->has_reason)
		world.exists[w] = false;
	else
		world.live[w] = !world.live[w];
	return "";
}

/* The SQLSTATE of the step's error; empty: no error. */
const char *
do_step(const Step *step, const Said *said)
{
	switch (step->call)
	{
		case CALL_start:
			return do_start(step, said);
		case CALL_claim:
			return do_claim(step, said);
		case CALL_claim_batch:
			return do_claim_batch(step, said);
		case CALL_force:
			return do_force(step, said);
		case CALL_report:
			return do_report(step, said);
		case CALL_extend:
			return do_extend(step, said);
		case CALL_observe:
			return do_observe(step, said);
		case CALL_forget:
			return do_forget(step, said);
		case CALL_freeze:
			return do_freeze(step, said);
		case CALL_thaw:
			return do_thaw(step, said);
		case CALL_set_policy:
		case CALL_reset_policy:
			return do_set_policy(step, said);
		case CALL_prune:
			return do_prune(step, said);
		case CALL_flip:
		case CALL_go:
			return do_workspace(step);
		case CALL_later:
			shift_world(step->hours * HOUR);
			return "";
		default:
			return do_verb(step, said);
	}
}
