/*-------------------------------------------------------------------------
 *
 * test/machine/compare.c
 *	  Random sequences of every function of rollouts, in SQL and in the pure
 *	  machine, compared after every step: so that the two cannot drift apart.
 *
 * A world here is what the tables hold: two packages and ALL_PACKAGES, four
 * versions of each, five workspaces.  A step is one statement.  The machine then
 * makes the same step at the same moment, as every caller does: load the leases,
 * settle, call one function, save.  The moments are those of the statement, now()
 * and the stamp that it left in the package's row.  What is compared: the result
 * or the SQLSTATE, every stored row, the events of the machine, and what the gates
 * and the view "status" show.  The code of the SQL functions is not used: what
 * they add to the machine is written here a second time.
 *
 * Moments differ by hours, and time passes as in the tests of SQL, by moving all
 * stored moments: so it does not matter how long a statement takes.
 *
 * Some steps run in one transaction, where now() stands still, and some of those
 * are rolled back.
 *
 * usage: compare STEPS SEED     (libpq's environment variables say where; the
 *		  database has test/fleet.sql, test/hostile.sql and test/audit.sql)
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"


/* ---- what the gates and the view show ---- */

static int answers[ANSWER_RAMPING + 1];

static const char *const answer_words[ANSWER_RAMPING + 1] = {
	[ANSWER_DUE] = "open to ",
	[ANSWER_NOT_LIVE] = "workspace is not live",
	[ANSWER_DONE] = "done",
	[ANSWER_LEASED] = "leased ",
	[ANSWER_QUEUED] = "queued behind version ",
	[ANSWER_HALTED] = "halted",
	[ANSWER_ABORTED] = "aborted",
	[ANSWER_SUPERSEDED] = "superseded",
	[ANSWER_HAS_HALTED] = "has version ",
	[ANSWER_HAS_NEWER] = "has version ",
	[ANSWER_SPENT] = "attempts spent: ",
	[ANSWER_FROZEN] = "frozen",
	[ANSWER_RETRY_LATER] = "", /* the state comes first, then the words below */
	[ANSWER_NEEDS_CANARY] = "",
	[ANSWER_SOAKING] = "",
	[ANSWER_RAMPING] = "opens for this workspace at "
};

static const char *const answer_more_words[ANSWER_RAMPING + 1] = {
	[ANSWER_HAS_HALTED] = ", which is halted: resume it, or abort it",
	[ANSWER_HAS_NEWER] = ", which is newer",
	[ANSWER_RETRY_LATER] = ", not due again before ",
	[ANSWER_NEEDS_CANARY] = "canary ",
	[ANSWER_SOAKING] = "soak"
};

/* Is explain's text the one for this answer? */
static void
check_words(const char *why, Model *model, const Rollout *rollout, Due due, const char *whose)
{
	const char *words = answer_words[due.answer];
	const char *more = answer_more_words[due.answer];
	bool		no_budget = strstr(why, " leases are in flight") != NULL;

	answers[due.answer]++;
	if (strncmp(why, words, strlen(words)) != 0 || (more != NULL && strstr(why, more) == NULL) ||
		no_budget != (due.answer == ANSWER_DUE && !machine_has_budget(&model->package, rollout)) ||
		(due.other != NULL && strstr(why, due.other->version) == NULL))
		differ("%s: the machine's answer is \"%s\", SQL explains \"%s\"", whose, *words ? words : more, why);
}

static void
check_gates(World *settled_world, PGresult *result)
{
	Moment now = number_at(result, 0, 0);
	int	   row = 0;

	for (int p = 0; p < PACKAGES; p++)
	{
		for (int v = 0; v < VERSIONS; v++)
		{
			for (int w = 0; w < WORKSPACES; w++, row++)
			{
				Model	   *model = &settled_world->packages[p];
				Rollout	   *rollout = rollout_of(model, v);
				Workspace	workspace = workspace_of(settled_world, w);
				const char *why = text_at(result, row, 3);
				char		whose[60];
				Due			due;

				snprintf(whose, sizeof(whose), "%s %s workspace %d", package_names[p], version_names[v], w + 1);
				if (!settled_world->exists[w] || rollout == NULL)
				{
					same_number(of("%s: allows", whose), false, flag_at(result, row, 2));
					same_text(of("%s: explain", whose), settled_world->exists[w] ? "not started" : "unknown workspace", why);
					continue;
				}
				due = machine_due(&model->package, rollout, &model->installations[w], &workspace, now);
				same_number(of("%s: allows (%s)", whose, why), due.answer == ANSWER_DUE, flag_at(result, row, 2));
				check_words(why, model, rollout, due, whose);
			}
		}
	}
}

static void
check_wanted(World *settled_world, PGresult *result)
{
	Moment now = number_at(result, 0, 0);

	for (int row = 0; row < PACKAGES * WORKSPACES; row++)
	{
		Model	 *model = &settled_world->packages[row / WORKSPACES];
		int		  w = row % WORKSPACES;
		Workspace workspace = workspace_of(settled_world, w);
		Rollout	 *wanted = workspace.live ? machine_wanted(&model->package, &model->installations[w], &workspace, now) : NULL;
		Rollout	 *promoted = machine_promoted(&model->package);

		same_text(of("%s workspace %d: wanted_version", model->package.name, w + 1), wanted ? wanted->version : NULL, text_at(result, row, 1));
		same_text(of("%s: promoted_version", model->package.name), promoted ? promoted->version : NULL, text_at(result, row, 2));
	}
}

static void
check_is_open(World *settled_world, PGresult *result)
{
	Moment now = number_at(result, 0, 0);

	for (int row = 0; row < PACKAGES * VERSIONS; row++)
	{
		Model	*model = &settled_world->packages[row / VERSIONS];
		Rollout *rollout = rollout_of(model, row % VERSIONS);

		for (int tier = 0; tier < TIER_COUNT; tier++)
			same_number(of("%s %s is open to %s", model->package.name, version_names[row % VERSIONS], tier_names[tier]),
						rollout != NULL && machine_is_open(&model->package, rollout, (Tier) tier, now),
						flag_at(result, row, 1 + tier));
	}
}

static int
leases_of(const Model *model, const Rollout *rollout, Tier tier)
{
	int count = 0;

	for (int w = 0; w < WORKSPACES; w++)
		count += model->installations[w].rollout == rollout->id && model->installations[w].tier == tier &&
			machine_is_leased(&model->installations[w]);
	return count;
}

static int phases[PHASE_COUNT];

static void
check_status(World *settled_world, PGresult *result)
{
	int count = 0;

	for (int row = 0; row < PQntuples(result); row++)
	{
		Model	*model = &settled_world->packages[name_number(text_at(result, row, 0), package_names, PACKAGES)];
		int		 v = name_number(text_at(result, row, 1), version_names, VERSIONS);
		Rollout *rollout = rollout_of(model, v);
		Phase	 phase;
		Moment	 soak_ends_at;
		Moment	 ramp_ends_at;

		if (rollout == NULL)
			differ("status shows %s %s", text_at(result, row, 0), version_names[v]);
		phase = machine_phase(&model->package, rollout);
		phases[phase]++;
		same_text(of("%s %s: phase", model->package.name, rollout->version), phase_names[phase], text_at(result, row, 2));
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			int column = tier == TIER_CANARY ? 3 : 6;

			same_number(of("%s %s: %s succeeded", model->package.name, rollout->version, tier_names[tier]), rollout->tally[tier].succeeded, number_at(result, row, column));
			same_number(of("%s %s: %s failed", model->package.name, rollout->version, tier_names[tier]), rollout->tally[tier].failed, number_at(result, row, column + 1));
			same_number(of("%s %s: %s in flight", model->package.name, rollout->version, tier_names[tier]), leases_of(model, rollout, (Tier) tier), number_at(result, row, column + 2));
		}
		soak_ends_at = phase == PHASE_SOAKING ? machine_soak_over_at(rollout) : 0;
		ramp_ends_at = phase == PHASE_PROMOTED && rollout->policy.ramp > 0 ? machine_ramp_ends_at(rollout) : 0;
		same_number(of("%s %s: soak_ends_at", model->package.name, rollout->version), soak_ends_at, number_at(result, row, 9));
		same_number(of("%s %s: ramp_ends_at", model->package.name, rollout->version), ramp_ends_at, number_at(result, row, 10));
		count++;
	}
	same_number("rollouts in status", settled_world->packages[0].package.count + settled_world->packages[1].package.count, count);
}

/*
 * A statement that reads must show what the machine says, settled to the start
 * of the statement.
 */
static void
check_shown(const char *statement, void (*check)(World *, PGresult *))
{
	PGresult *result = PQexecPrepared(connection, statement, 0, NULL, NULL, NULL, 1);
	World	  copy;

	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		differ("%s: %s", statement, PQerrorMessage(connection));
	copy_world(&copy, &world);
	for (int p = 0; p < PACKAGES && PQntuples(result) > 0; p++)
		settle(&copy, p, number_at(result, 0, PQnfields(result) - 1), 0, NEVER);
	check(&copy, result);
	PQclear(result);
}

static void
prepare(const char *name, const char *statement)
{
	PGresult *result = PQprepare(connection, name, statement, 0, NULL);

	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		differ("%s: %s", name, PQerrorMessage(connection));
	PQclear(result);
}

static void
prepare_all(void)
{
	prepare("gates",
			"SELECT now(), now(), update_tier.allows(p, v, w(n)), update_tier.explain(p, v, w(n)), statement_timestamp()"
			" FROM unnest(ARRAY['p1', 'p2']) AS p, unnest(ARRAY['v1', 'v2', 'v3', 'v4']) AS v, generate_series(1, 5) AS n ORDER BY p, v, n");
	prepare("wanted",
			"SELECT now(), update_tier.wanted_version(p, w(n)), update_tier.promoted_version(p), statement_timestamp()"
			" FROM unnest(ARRAY['p1', 'p2']) AS p, generate_series(1, 5) AS n ORDER BY p, n");
	prepare("is_open",
			"SELECT now(), update_tier.is_open(p, v, 'canary'), update_tier.is_open(p, v, 'production'), statement_timestamp()"
			" FROM unnest(ARRAY['p1', 'p2']) AS p, unnest(ARRAY['v1', 'v2', 'v3', 'v4']) AS v ORDER BY p, v");
	prepare("status",
			"SELECT package, version, phase, canary_succeeded::int8, canary_failed::int8, canary_in_flight::int8,"
			" production_succeeded::int8, production_failed::int8, production_in_flight::int8, soak_ends_at, ramp_ends_at,"
			" statement_timestamp() FROM update_tier.status");
}


/* ---- sequences ---- */

/*
 * Half of the statements run with a search path full of objects that shadow the
 * server's: the extension must use none of them.
 */
static Said
say(const Step *step, bool in_transaction)
{
	Said said = { .sqlstate = "" };
	bool lured = step->call < CALL_flip && one_in(2);

	if (lured)
		execute("SET search_path = evil, pg_catalog, public");
	note_statement(step->statement);
	warnings = 0;
	said.result = PQexecParams(connection, step->statement, 0, NULL, NULL, NULL, NULL, 1);
	said.warnings = warnings;
	if (PQresultStatus(said.result) != PGRES_TUPLES_OK && PQresultStatus(said.result) != PGRES_COMMAND_OK)
	{
		const char *sqlstate = PQresultErrorField(said.result, PG_DIAG_SQLSTATE);

		snprintf(said.sqlstate, sizeof(said.sqlstate), "%s", sqlstate ? sqlstate : "?");
		if (sqlstate == NULL || (strcmp(sqlstate, "P0002") != 0 && strcmp(sqlstate, "55000") != 0 && strcmp(sqlstate, "22023") != 0))
			differ("%s", PQerrorMessage(connection));
		PQclear(said.result);
		said.result = NULL;
		if (in_transaction)
			execute("ROLLBACK TO SAVEPOINT step");
	}
	if (lured)
		execute("RESET search_path");
	if (said.result == NULL || PQntuples(said.result) == 0)
	{
		PGresult *result = query("SELECT now(), statement_timestamp()");

		said.now = number_at(result, 0, 0);
		said.statement_began = number_at(result, 0, 1);
		PQclear(result);
		return said;
	}
	said.now = number_at(said.result, 0, 0);
	said.statement_began = number_at(said.result, 0, 1);
	return said;
}

/*
 * What SQL saved must be what the machine says; what SQL did not save, the
 * machine must not have changed.
 */
static void
check_stored(void)
{
	for (int p = 0; p <= PACKAGES; p++)
	{
		Model *model = &world.packages[p];

		if (was_saved(p))
			model->stored = true;
		else if (model->package.uncounted_count <= before.packages[p].package.uncounted_count)
		{
			same_but_for_the_stamp(p, &before.packages[p], model);
			*model = before.packages[p];
		}
	}
	relink(&world);
	for (int p = 0; p <= PACKAGES; p++)
	{
		same_package(p, &world.packages[p], &seen.packages[p]);
		for (int v = 0; v < VERSIONS; v++)
		{
			world.packages[p].versions[v].changed = false;
			world.packages[p].rollout_changed_at[v] = seen.packages[p].rollout_changed_at[v];
		}
		world.packages[p].first_expiry = seen.packages[p].first_expiry;
		memcpy(world.packages[p].installation_changed_at, seen.packages[p].installation_changed_at, sizeof(seen.packages[p].installation_changed_at));
	}
}

/* Note what a step has locked until the transaction ends. */
static void
note_locks(const Step *step)
{
	const Attempt *attempt = attempt_of(step->token);

	switch (step->call)
	{
		case CALL_flip:
		case CALL_go:
		case CALL_later:
			break;
		case CALL_report:
		case CALL_extend:
			locked[attempt->package] = locked[attempt->package] || was_saved(attempt->package) || attempt->replaced_at != NEVER || !last_was_apart;
			break;
		case CALL_prune:
			for (int p = 0; p < PACKAGES; p++)
				locked[p] = locked[p] || was_saved(p);
			break;
		default:
			locked[step->package] = true;
			for (int p = 0; p < PACKAGES && step->package == ALL && step->call == CALL_set_policy && step->apply_to_running; p++)
				locked[p] = locked[p] || world.packages[p].stored;
			break;
	}
}

/* Note how many reports a step has counted that were written without the package. */
static void
note_counted(void)
{
	for (int p = 0; p < PACKAGES; p++)
	{
		int count = before.packages[p].package.uncounted_count;

		if (count > 0 && seen.packages[p].package.uncounted_count < count)
		{
			times_counted++;
			rows_counted += count;
		}
	}
}

/* Write down for the audit what the tables do not keep. */
static void
note_for_audit(const Step *step, const Said *said)
{
	const char *package = package_names[step->package];
	int			rows = said->result ? PQntuples(said->result) : 0;

	switch (step->call)
	{
		case CALL_claim:
			if (!PQgetisnull(said->result, 0, 2))
				execute_formatted("SELECT note('granted', '%s', %s)", package, workspace_literal(step->workspace));
			break;
		case CALL_claim_batch:
			for (int row = 0; row < rows && !PQgetisnull(said->result, row, 2); row++)
				execute_formatted("SELECT note('granted', '%s', %s, %d)", package,
								  workspace_literal(PQgetvalue(said->result, row, 3)[15] - 1), rows - 1 - row);
			break;
		case CALL_force:
			execute_formatted("SELECT note('forced', '%s', %s)", package, workspace_literal(step->workspace));
			break;
		case CALL_observe:
			execute_formatted("SELECT note('observed', '%s', %s)", package, workspace_literal(step->workspace));
			break;
		case CALL_forget:
			execute_formatted("SELECT note('forgotten', '%s', %s)", package, workspace_literal(step->workspace));
			break;
		case CALL_report:
			execute_formatted("INSERT INTO reported SELECT token, CASE WHEN attempted_version <> %s AND '%s' <> 'skipped' THEN 'error' ELSE '%s' END"
							  " FROM update_tier.installed WHERE token = %" PRId64,
							  step->installed < 0 ? "attempted_version" : version_literal(step->installed),
							  state_names[step->outcome], state_names[step->outcome], step->token);
			break;
		case CALL_later:
			execute_formatted("UPDATE handed SET lease_until = lease_until - interval '%d hours'", step->hours);
			break;
		default:
			break;
	}
}

static void
take_step(bool in_transaction)
{
	Step		step = some_step();
	Said		said;
	const char *sqlstate;

	write_step(&step);
	if (in_transaction)
		execute("SAVEPOINT step");
	else
		times_counted = rows_counted = 0;
	copy_world(&before, &world);
	said = say(&step, in_transaction);
	read_world(&seen);
	if (step.call == CALL_later)
	{
		/* This is no function of the extension: nothing changes but the moments. */
		shift_world(step.hours * HOUR);
		copy_world(&before, &world);
	}
	else
	{
		sqlstate = do_step(&step, &said);
		same_text("SQLSTATE", sqlstate, said.sqlstate);
		if (*sqlstate != '\0')
		{
			copy_world(&world, &before);
			happened_count = 0;
		}
	}
	if (in_transaction && *said.sqlstate == '\0')
		note_locks(&step);
	note_counted();
	check_stored();
	same_events();
	if (*said.sqlstate == '\0')
		note_for_audit(&step, &said);
	check_shown("gates", check_gates);
	check_shown("wanted", check_wanted);
	check_shown("is_open", check_is_open);
	check_shown("status", check_status);
	if (*said.sqlstate == '\0')
		accepted[step.call]++;
	else
		refused[step.call]++;
	PQclear(said.result);
}

/* A few steps in one transaction, which may be rolled back. */
static int
take_transaction(void)
{
	static World begun;
	int64_t		 last_event_then = last_event;
	int			 steps = 2 + below(4);
	bool		 rolled_back = one_in(3);
	const char	*end = rolled_back ? "ROLLBACK" : "COMMIT";

	copy_world(&begun, &world);
	note_statement("BEGIN");
	execute("BEGIN");
	memset(locked, false, sizeof(locked));
	times_counted = rows_counted = 0;
	favourite = below(PACKAGES);
	for (int i = 0; i < steps; i++)
		take_step(true);
	note_statement(end);
	execute(end);
	memset(locked, false, sizeof(locked));
	favourite = -1;
	if (rolled_back)
	{
		copy_world(&world, &begun);
		last_event = last_event_then;
	}
	return steps;
}

static void
check_audit(void)
{
	/* prune deletes events that the audit reads. */
	PGresult *result = query(may_prune ? "SELECT violation FROM audit(false)" : "SELECT violation FROM audit()");

	if (PQntuples(result) > 0)
		differ("the audit finds: %s", text_at(result, 0, 0));
	PQclear(result);
}

static void
begin_sequence(uint64_t number)
{
	static const char policy[] = "SELECT update_tier.set_policy(soak => '2 hours', retry_delay => '1 hour', lease => '2 hours', max_failures => 1)";

	/* Other random numbers than in another sequence. */
	chance = seed;
	chance = next_number() ^ number;
	chance = next_number();
	sequence = (int) number;
	forget_statements();
	may_prune = one_in(3);
	execute("TRUNCATE update_tier.package, update_tier.rollout, update_tier.installation, update_tier.uncounted, update_tier.event, handed, reported");
	/*
	 * With the same tokens as in every other run, so that the statements of a
	 * sequence can be run again by themselves.
	 */
	execute("SELECT setval('update_tier.installation_token', 1, false), setval('update_tier.rollout_id', 1, false),"
			" setval('update_tier.rollout_ordinal', 1, false), setval('update_tier.package_id', 1, false)");
	execute("DELETE FROM workspaces");
	execute("INSERT INTO workspaces (id, update_tier) SELECT w(n), CASE WHEN n <= 2 THEN 'canary' ELSE 'production' END FROM generate_series(1, 5) AS n");
	note_statement(policy);
	execute(policy);
	read_world(&world);
	last_event = 0;
	for (int w = 0; w < WORKSPACES; w++)
	{
		world.exists[w] = world.live[w] = true;
		world.tiers[w] = w < 2 ? TIER_CANARY : TIER_PRODUCTION;
	}
}

static int
finish(int steps)
{
	int missing = 0;

	for (int c = 0; c < CALLS; c++)
	{
		printf("%s: %d times, and refused %d times\n", calls[c].name, accepted[c], refused[c]);
		if (steps >= 3000 && (accepted[c] == 0 || (calls[c].can_be_refused && refused[c] == 0)))
			fprintf(stderr, "%s was never %s.\n", calls[c].name, accepted[c] == 0 ? "accepted" : "refused"), missing++;
	}
	for (int i = 0; i < PHASE_COUNT; i++)
	{
		if (steps >= 3000 && phases[i] == 0)
			fprintf(stderr, "No version was ever %s.\n", phase_names[i]), missing++;
	}
	for (int i = 0; i <= ANSWER_RAMPING; i++)
	{
		if (steps >= 3000 && answers[i] == 0)
			fprintf(stderr, "The answer \"%s%s\" was never given.\n", answer_words[i], answer_more_words[i] ? answer_more_words[i] : ""), missing++;
	}
	printf("seed %" PRIu64 ": %d steps, %d leases, %d reports without the package, the same in SQL and in the machine\n",
		   seed, steps, granted, reported_apart);
	return missing == 0 ? 0 : 1;
}

int
main(int argc, char **argv)
{
	int steps = argc > 1 ? atoi(argv[1]) : 1000;
	int taken = 0;

	seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	connection = PQconnectdb("");
	if (PQstatus(connection) != CONNECTION_OK)
	{
		fprintf(stderr, "%s", PQerrorMessage(connection));
		return 1;
	}
	PQsetNoticeProcessor(connection, count_warning, NULL);
	execute("SET client_min_messages = warning");
	prepare_all();
	for (uint64_t number = 1; taken < steps; number++)
	{
		int end = taken + STEPS_OF_A_SEQUENCE;

		begin_sequence(number);
		while (taken < end && taken < steps)
		{
			if (one_in(8))
				taken += take_transaction();
			else
			{
				take_step(false);
				taken++;
			}
		}
		check_audit();
	}
	PQfinish(connection);
	return finish(taken);
}
