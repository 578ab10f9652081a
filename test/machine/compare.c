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
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "rollout/machine.h"
#include "rollout/machine_due.h"

#define PACKAGES   2
#define ALL		   PACKAGES /* ALL_PACKAGES */
#define VERSIONS   4
#define WORKSPACES 5
#define ATTEMPTS   60 /* the latest ones are known */
#define HOUR	   SECONDS(3600)
#define LONG_AGO   INT64_MIN

/* A sequence begins with empty tables. */
#define STEPS_OF_A_SEQUENCE 150

static const char *const package_names[PACKAGES + 1] = { "p1", "p2", "*" };
static const char *const version_names[VERSIONS + 1] = { "v1", "v2", "v3", "v4", "never started" };
static const char *const state_names[] = { "claimed", "succeeded", "skipped", "error", "failed", "expired" };

/* In the order of POLICY_SETTINGS. */
#define SETTING_NUMBER(kind, name, standard, least) SETTING_##name,
enum
{
	POLICY_SETTINGS(SETTING_NUMBER)
		SETTINGS
};

#define SETTING_NAME(kind, name, standard, least) #name,
static const char *const setting_names[SETTINGS] = { POLICY_SETTINGS(SETTING_NAME) };


/* ---- the world ---- */

/* The settings that are given, each as a number. */
typedef struct Settings
{
	bool	given[SETTINGS];
	int64_t value[SETTINGS];
} Settings;

typedef struct Model
{
	bool		 stored; /* has a row */
	Package		 package;
	Rollout		*order[VERSIONS];	 /* oldest first */
	Rollout		 versions[VERSIONS]; /* with id 0: not started */
	Installation installations[WORKSPACES];
	bool		 has_row[WORKSPACES];
	const char	*runs_unknown[WORKSPACES]; /* a version that was never started, or NULL */
	Moment		 frozen_until;			   /* by its own freeze */
	Settings	 settings;
	Moment		 first_expiry;
	Moment		 rollout_changed_at[VERSIONS];
	Moment		 installation_changed_at[WORKSPACES];
	Lease		 leases[WORKSPACES];
	Uncounted	 uncounted[2 * WORKSPACES]; /* package.uncounted_count of them */
} Model;

/* A token that was given. */
typedef struct Attempt
{
	int64_t token;
	int		package;
	int		version;
	int		workspace;
	Moment	replaced_at; /* NEVER: it is the latest of the workspace */
} Attempt;

typedef struct World
{
	Model	packages[PACKAGES + 1];
	bool	exists[WORKSPACES];
	bool	live[WORKSPACES];
	Tier	tiers[WORKSPACES];
	Attempt attempts[ATTEMPTS];
	int		attempt_count;
} World;

static World world;

/* Pointers within a copy are to that copy. */
static void
relink(World *copy)
{
	for (int p = 0; p <= PACKAGES; p++)
	{
		Model *model = &copy->packages[p];

		model->package.name = package_names[p];
		model->package.rollouts = model->order;
		model->package.leases = model->leases;
		model->package.uncounted = model->uncounted;
		model->package.count = 0;
		for (int v = 0; v < VERSIONS; v++)
		{
			Rollout *rollout = &model->versions[v];
			int		 i = model->package.count;

			if (rollout->id == NO_ROLLOUT)
				continue;
			for (; i > 0 && model->order[i - 1]->ordinal > rollout->ordinal; i--)
				model->order[i] = model->order[i - 1];
			model->order[i] = rollout;
			model->package.count++;
		}
	}
}

static void
copy_world(World *copy, const World *of)
{
	*copy = *of;
	relink(copy);
}

static void
empty_world(World *empty)
{
	memset(empty, 0, sizeof(*empty));
	for (int p = 0; p <= PACKAGES; p++)
	{
		empty->packages[p].package.stamp = LONG_AGO;
		empty->packages[p].frozen_until = LONG_AGO;
		empty->packages[p].first_expiry = NEVER;
	}
	relink(empty);
}

static bool
is_live(const World *in, int w)
{
	return in->exists[w] && in->live[w];
}

/* The ids of the workspaces, as fleet.sql makes them, and one that no workspace has. */
static const uint8_t workspace_ids[WORKSPACES + 1][WORKSPACE_ID_BYTES] = {
	{ [15] = 0x01 }, { [15] = 0x02 }, { [15] = 0x03 }, { [15] = 0x04 }, { [15] = 0x05 }, { [15] = 0x99 }
};

static Workspace
workspace_of(const World *in, int w)
{
	return (Workspace){ .id = workspace_ids[w], .live = is_live(in, w), .tier = in->tiers[w] };
}

static const char *
workspace_literal(int w)
{
	static char literal[4][64];
	static int	next;
	char	   *text = literal[next++ % 4];

	snprintf(text, sizeof(literal[0]), "'00000000-0000-0000-0000-0000000000%02x'", workspace_ids[w][15]);
	return text;
}

static Rollout *
rollout_of(Model *model, int v)
{
	return v >= 0 && v < VERSIONS && model->versions[v].id != NO_ROLLOUT ? &model->versions[v] : NULL;
}

/* Time passes: stored moments move into the past. */
static Moment
shifted(Moment moment, Span by)
{
	return moment == NEVER || moment == LONG_AGO ? moment : moment - by;
}

static void
shift_world(Span by)
{
	for (int p = 0; p <= PACKAGES; p++)
	{
		Model *model = &world.packages[p];

		model->package.stamp = shifted(model->package.stamp, by);
		model->frozen_until = shifted(model->frozen_until, by);
		model->first_expiry = shifted(model->first_expiry, by);
		for (int v = 0; v < VERSIONS; v++)
		{
			model->versions[v].soaks_from = shifted(model->versions[v].soaks_from, by);
			model->versions[v].promoted_at = shifted(model->versions[v].promoted_at, by);
			model->versions[v].progress_at = shifted(model->versions[v].progress_at, by);
			model->rollout_changed_at[v] = shifted(model->rollout_changed_at[v], by);
		}
		for (int i = 0; i < model->package.uncounted_count; i++)
			model->uncounted[i].at = shifted(model->uncounted[i].at, by);
		for (int w = 0; w < WORKSPACES; w++)
		{
			if (!model->has_row[w])
				continue;
			model->installations[w].lease_until = shifted(model->installations[w].lease_until, by);
			model->installations[w].retry_at = shifted(model->installations[w].retry_at, by);
			model->installation_changed_at[w] = shifted(model->installation_changed_at[w], by);
		}
	}
	for (int a = 0; a < world.attempt_count; a++)
		world.attempts[a].replaced_at = shifted(world.attempts[a].replaced_at, by);
}


/* ---- chance ---- */

static uint64_t chance;

static uint64_t
next_number(void)
{
	uint64_t z = (chance += UINT64_C(0x9E3779B97F4A7C15));

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	return z ^ (z >> 31);
}

static int
below(int n)
{
	return (int) (next_number() % (uint64_t) n);
}

static bool
one_in(int n)
{
	return below(n) == 0;
}


/* ---- the sequence, and the message when the two differ ---- */

static uint64_t seed;
static int		sequence;
static char	   *statements[20 * STEPS_OF_A_SEQUENCE];
static int		statement_count;

static void
note_statement(const char *statement)
{
	statements[statement_count++] = strdup(statement);
}

static void
forget_statements(void)
{
	while (statement_count > 0)
		free(statements[--statement_count]);
}

__attribute__((format(printf, 1, 2), noreturn)) static void
differ(const char *format, ...)
{
	va_list arguments;

	fprintf(stderr, "seed %" PRIu64 ", sequence %d: ", seed, sequence);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, "\nafter\n");
	for (int i = 0; i < statement_count; i++)
		fprintf(stderr, "%s;\n", statements[i]);
	exit(1);
}

static void
same_number(const char *what, int64_t machine, int64_t sql)
{
	if (machine != sql)
		differ("%s: the machine says %" PRId64 ", SQL says %" PRId64 " (difference %" PRId64 ")", what, machine, sql,
			   (int64_t) ((uint64_t) machine - (uint64_t) sql));
}

static void
same_text(const char *what, const char *machine, const char *sql)
{
	if (strcmp(machine ? machine : "(null)", sql ? sql : "(null)") != 0)
		differ("%s: the machine says %s, SQL says %s", what, machine ? machine : "(null)", sql ? sql : "(null)");
}

/* The name of what is compared. */
__attribute__((format(printf, 1, 2))) static const char *
of(const char *format, ...)
{
	static char text[200];
	va_list		arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return text;
}


/* ---- SQL ---- */

static PGconn *connection;
static int	   warnings;

static void
count_warning(void *arg, const char *message)
{
	(void) arg;
	warnings += strncmp(message, "WARNING", strlen("WARNING")) == 0;
}

/* A statement that must succeed. */
static PGresult *
query(const char *statement)
{
	PGresult *result = PQexecParams(connection, statement, 0, NULL, NULL, NULL, NULL, 1);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		differ("%s: %s", statement, PQerrorMessage(connection));
	return result;
}

static void
execute(const char *statement)
{
	PQclear(query(statement));
}

static const char *
text_at(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

/* Eight bytes, as a bigint and a timestamptz have. */
static int64_t
number_at(const PGresult *result, int row, int column)
{
	const uint8_t *bytes = (const uint8_t *) PQgetvalue(result, row, column);
	uint64_t	   number = 0;

	if (PQgetisnull(result, row, column))
		return 0;
	if (PQgetlength(result, row, column) != 8)
		differ("column %d is no eight bytes long", column);
	for (int i = 0; i < 8; i++)
		number = number << 8 | bytes[i];
	return (int64_t) number;
}

static bool
flag_at(const PGresult *result, int row, int column)
{
	return !PQgetisnull(result, row, column) && PQgetvalue(result, row, column)[0] != 0;
}

static int
name_number(const char *name, const char *const *names, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (name != NULL && strcmp(names[i], name) == 0)
			return i;
	}
	differ("unknown name: %s", name ? name : "(null)");
}

static Tier
tier_of(const char *name)
{
	return (Tier) name_number(name, tier_names, TIER_COUNT);
}

#define COLUMN_SPAN(name)							"(extract(epoch FROM r." #name ") * 1000000)::pg_catalog.int8"
#define COLUMN_COUNT(name)							"r." #name "::pg_catalog.int8"
#define COLUMN_SHARE(name)							COLUMN_COUNT(name)
#define COLUMN_FLAG(name)							"r." #name "::pg_catalog.int4::pg_catalog.int8"
#define SETTING_COLUMN(kind, name, standard, least) ", " COLUMN_##kind(name)

static void
settings_at(const PGresult *result, int row, int column, Settings *settings)
{
	for (int i = 0; i < SETTINGS; i++)
	{
		settings->given[i] = !PQgetisnull(result, row, column + i);
		settings->value[i] = number_at(result, row, column + i);
	}
}

static Settings
default_settings(void)
{
#define SETTING_STANDARD(kind, name, standard, least) (int64_t)(standard),
	Settings settings = { .value = { POLICY_SETTINGS(SETTING_STANDARD) } };

	memset(settings.given, true, sizeof(settings.given));
	return settings;
}

static Policy
policy_from(const Settings *settings)
{
#define POLICY_FROM(kind, name, standard, least) .name = (POLICY_TYPE_##kind) settings->value[SETTING_##name],
	return (Policy){ POLICY_SETTINGS(POLICY_FROM) };
}

static void
read_packages(World *seen)
{
	PGresult *result = query("SELECT r.name, r.stamp, r.in_flight::pg_catalog.int8, r.first_expiry, r.frozen_until" POLICY_SETTINGS(SETTING_COLUMN) " FROM update_tier.package AS r");

	for (int row = 0; row < PQntuples(result); row++)
	{
		Model *model = &seen->packages[name_number(text_at(result, row, 0), package_names, PACKAGES + 1)];

		model->stored = true;
		model->package.stamp = number_at(result, row, 1);
		model->package.in_flight = (int) number_at(result, row, 2);
		model->first_expiry = number_at(result, row, 3);
		model->frozen_until = number_at(result, row, 4);
		settings_at(result, row, 5, &model->settings);
	}
	PQclear(result);
}

#define TALLY_COLUMNS(tier) "r." tier "_succeeded::int8, r." tier "_failed::int8, r." tier "_acknowledged::int8, r." tier "_moved_on::int8"

static void
read_rollouts(World *seen)
{
	PGresult *result = query("SELECT r.package, r.version, r.id, r.ordinal, r.run::int8, r.resumed::int8, r.phase, r.soaks_from, r.promoted_at,"
							 " r.progress_at, r.changed_at, " TALLY_COLUMNS("canary") ", " TALLY_COLUMNS("production")
								 POLICY_SETTINGS(SETTING_COLUMN) " FROM update_tier.rollout AS r");

	for (int row = 0; row < PQntuples(result); row++)
	{
		Model	*model = &seen->packages[name_number(text_at(result, row, 0), package_names, PACKAGES)];
		int		 v = name_number(text_at(result, row, 1), version_names, VERSIONS);
		Rollout *rollout = &model->versions[v];
		Settings settings;

		settings_at(result, row, 19, &settings);
		*rollout = (Rollout){
			.id = number_at(result, row, 2),
			.version = version_names[v],
			.ordinal = number_at(result, row, 3),
			.run = (int32_t) number_at(result, row, 4),
			.resumed = (int32_t) number_at(result, row, 5),
			.phase = (Phase) name_number(text_at(result, row, 6), phase_names, PHASE_COUNT),
			.soaks_from = number_at(result, row, 7),
			.promoted_at = number_at(result, row, 8),
			.progress_at = number_at(result, row, 9),
			.policy = policy_from(&settings)
		};
		model->rollout_changed_at[v] = number_at(result, row, 10);
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			int column = tier == TIER_CANARY ? 11 : 15;

			rollout->tally[tier] = (Tally){
				.succeeded = (int32_t) number_at(result, row, column),
				.failed = (int32_t) number_at(result, row, column + 1),
				.acknowledged = (int32_t) number_at(result, row, column + 2),
				.moved_on = (int32_t) number_at(result, row, column + 3)
			};
		}
	}
	PQclear(result);
}

static void
read_installations(World *seen)
{
	PGresult *result = query("SELECT p.name, right(r.workspace::text, 1)::int8 - 1, r.rollout, r.run::int8, r.ordinal, r.attempt::int8,"
							 " r.token, r.state, r.tier, r.lease_until, r.retry_at, r.evidence, r.evidence_tier, r.resumed::int8, r.runs,"
							 " r.runs_ordinal, r.runs_version, r.changed_at, r.runs_well"
							 " FROM update_tier.installation AS r JOIN update_tier.package AS p ON p.id = r.package_id");

	for (int row = 0; row < PQntuples(result); row++)
	{
		Model	   *model = &seen->packages[name_number(text_at(result, row, 0), package_names, PACKAGES)];
		int			w = (int) number_at(result, row, 1);
		const char *evidence = text_at(result, row, 11);

		model->has_row[w] = true;
		model->installations[w] = (Installation){
			.rollout = number_at(result, row, 2),
			.run = (int32_t) number_at(result, row, 3),
			.ordinal = number_at(result, row, 4),
			.attempt = (int32_t) number_at(result, row, 5),
			.token = number_at(result, row, 6),
			.state = (State) name_number(text_at(result, row, 7), state_names, STATE_EXPIRED + 1),
			.tier = tier_of(text_at(result, row, 8)),
			.lease_until = number_at(result, row, 9),
			.retry_at = number_at(result, row, 10),
			.evidence = evidence == NULL		? EVIDENCE_NONE :
				strcmp(evidence, "failed") == 0 ? EVIDENCE_FAILED :
												  EVIDENCE_SUCCEEDED,
			.evidence_tier = evidence == NULL ? TIER_CANARY : tier_of(text_at(result, row, 12)),
			.resumed = (int32_t) number_at(result, row, 13),
			.runs = number_at(result, row, 14),
			.runs_ordinal = number_at(result, row, 15),
			.runs_well = flag_at(result, row, 18)
		};
		if (text_at(result, row, 16) != NULL)
			model->runs_unknown[w] = version_names[name_number(text_at(result, row, 16), version_names, VERSIONS + 1)];
		model->installation_changed_at[w] = number_at(result, row, 17);
	}
	PQclear(result);
}

static void
read_uncounted(World *seen)
{
	PGresult *result = query("SELECT p.name, r.rollout, r.run::int8, r.tier, r.succeeded, r.at"
							 " FROM update_tier.uncounted AS r JOIN update_tier.package AS p ON p.id = r.package_id ORDER BY r.at");

	for (int row = 0; row < PQntuples(result); row++)
	{
		Model *model = &seen->packages[name_number(text_at(result, row, 0), package_names, PACKAGES)];

		model->uncounted[model->package.uncounted_count++] = (Uncounted){
			.rollout = number_at(result, row, 1),
			.run = (int32_t) number_at(result, row, 2),
			.tier = tier_of(text_at(result, row, 3)),
			.succeeded = flag_at(result, row, 4),
			.at = number_at(result, row, 5)
		};
	}
	PQclear(result);
}

/* Read all tables. */
static void
read_world(World *seen)
{
	empty_world(seen);
	read_packages(seen);
	read_rollouts(seen);
	read_installations(seen);
	read_uncounted(seen);
	relink(seen);
}


/* ---- what is stored ---- */

static void
same_rollout(int p, int v, const Rollout *machine, const Rollout *sql)
{
#define SAME(field) same_number(of("%s %s: " #field, package_names[p], version_names[v]), machine->field, sql->field)
	SAME(id);
	if (machine->id == NO_ROLLOUT)
		return;
	SAME(ordinal);
	SAME(run);
	SAME(resumed);
	same_text(of("%s %s: stored phase", package_names[p], version_names[v]), phase_names[machine->phase], phase_names[sql->phase]);
	SAME(soaks_from);
	SAME(promoted_at);
	SAME(progress_at);
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		SAME(tally[tier].succeeded);
		SAME(tally[tier].failed);
		SAME(tally[tier].acknowledged);
		SAME(tally[tier].moved_on);
	}
#define SAME_SETTING(kind, name, standard, least) SAME(policy.name);
	POLICY_SETTINGS(SAME_SETTING)
#undef SAME
}

static void
same_installation(int p, int w, const Installation *machine, const Installation *sql)
{
#define SAME(field) same_number(of("%s workspace %d: " #field, package_names[p], w + 1), machine->field, sql->field)
	SAME(rollout);
	SAME(run);
	SAME(ordinal);
	SAME(attempt);
	SAME(token);
	same_text(of("%s workspace %d: state", package_names[p], w + 1), state_names[machine->state], state_names[sql->state]);
	SAME(tier);
	SAME(lease_until);
	SAME(retry_at);
	SAME(evidence);
	if (machine->evidence != EVIDENCE_NONE)
		SAME(evidence_tier);
	SAME(resumed);
	SAME(runs);
	SAME(runs_ordinal);
	SAME(runs_well);
#undef SAME
}

static void
same_package(int p, const Model *machine, const Model *sql)
{
	const char *name = package_names[p];

	same_number(of("%s is stored", name), machine->stored, sql->stored);
	same_number(of("%s: stamp", name), machine->package.stamp, sql->package.stamp);
	same_number(of("%s: in_flight", name), machine->package.in_flight, sql->package.in_flight);
	same_number(of("%s: frozen_until", name), machine->frozen_until, sql->frozen_until);
	same_number(of("%s: reports that are not counted yet", name), machine->package.uncounted_count, sql->package.uncounted_count);
	for (int i = 0; i < machine->package.uncounted_count; i++)
	{
		same_number("rollout of such a report", machine->uncounted[i].rollout, sql->uncounted[i].rollout);
		same_number("its run", machine->uncounted[i].run, sql->uncounted[i].run);
		same_number("its tier", machine->uncounted[i].tier, sql->uncounted[i].tier);
		same_number("its success", machine->uncounted[i].succeeded, sql->uncounted[i].succeeded);
		same_number("its moment", machine->uncounted[i].at, sql->uncounted[i].at);
	}
	for (int i = 0; i < SETTINGS; i++)
	{
		same_number(of("%s: %s is given", name, setting_names[i]), machine->settings.given[i], sql->settings.given[i]);
		if (machine->settings.given[i])
			same_number(of("%s: %s", name, setting_names[i]), machine->settings.value[i], sql->settings.value[i]);
	}
	for (int v = 0; v < VERSIONS; v++)
	{
		same_rollout(p, v, &machine->versions[v], &sql->versions[v]);
		if (machine->versions[v].id != NO_ROLLOUT && machine->versions[v].changed)
			same_number(of("%s %s: changed_at", name, version_names[v]), machine->package.stamp, sql->rollout_changed_at[v]);
	}
	for (int w = 0; w < WORKSPACES; w++)
	{
		same_number(of("%s workspace %d has an installation", name, w + 1), machine->has_row[w], sql->has_row[w]);
		if (!machine->has_row[w])
			continue;
		same_installation(p, w, &machine->installations[w], &sql->installations[w]);
		same_text(of("%s workspace %d: runs_version", name, w + 1), machine->runs_unknown[w], sql->runs_unknown[w]);
		if (sql->installations[w].state == STATE_CLAIMED && sql->first_expiry > sql->installations[w].lease_until)
			differ("%s: a lease ends before first_expiry", name);
	}
}

/* The machine must not have changed what SQL did not save. */
static void
same_but_for_the_stamp(int p, const Model *before, const Model *after)
{
	Model settled = *after;

	settled.package.stamp = before->package.stamp;
	for (int v = 0; v < VERSIONS; v++)
		settled.versions[v].changed = false;
	same_package(p, &settled, before);
}


/* ---- events ---- */

#define EVENTS_AT_MOST 200

typedef struct Happened
{
	int			package;
	const char *kind;
	const char *version;
	Moment		at;
} Happened;

static Happened happened[EVENTS_AT_MOST];
static int		happened_count;
static int64_t	last_event;
static Moment	events_kept_from = LONG_AGO; /* prune has deleted older events */

/* Make room for the events of the machine. */
static void
make_room(Model *model)
{
	static Event events[EVENTS_AT_MOST];

	if (machine_events_at_most(&model->package) > EVENTS_AT_MOST)
		abort();
	model->package.events = events;
	model->package.event_count = 0;
}

static void
note_events(int p, Model *model)
{
	for (int i = 0; i < model->package.event_count; i++)
	{
		const Event *event = &model->package.events[i];

		if (happened_count == EVENTS_AT_MOST)
			abort();
		if (event->what == HAPPENED_FAILED)
			continue; /* not compared: a report of a failure logs the same kind */
		happened[happened_count++] = (Happened){
			.package = p,
			.kind = event->what == HAPPENED_EXPIRED ? "expired" : phase_names[event->phase],
			.version = event->rollout ? event->rollout->version : NULL,
			.at = event->at
		};
	}
	model->package.event_count = 0;
}

static void
drop_pruned_events(void)
{
	int kept = 0;

	for (int i = 0; i < happened_count; i++)
	{
		if (happened[i].at >= events_kept_from)
			happened[kept++] = happened[i];
	}
	happened_count = kept;
	events_kept_from = LONG_AGO;
}

static void
same_events(void)
{
	char	  statement[300];
	PGresult *result;
	int		  count;

	snprintf(statement, sizeof(statement),
			 "SELECT id, package, kind, version, at FROM update_tier.event WHERE id > %" PRId64
			 " AND kind IN ('expired', 'queued', 'canary', 'soaking', 'promoted', 'halted', 'aborted', 'superseded') ORDER BY id",
			 last_event);
	result = query(statement);
	count = PQntuples(result);
	drop_pruned_events();
	for (int i = 0; i < count && i < happened_count; i++)
	{
		same_text("package of an event", package_names[happened[i].package], text_at(result, i, 1));
		same_text("kind of an event", happened[i].kind, text_at(result, i, 2));
		same_text(of("version of the event \"%s\"", happened[i].kind), happened[i].version, text_at(result, i, 3));
		same_number(of("moment of the event \"%s\" of %s", happened[i].kind, happened[i].version), happened[i].at, number_at(result, i, 4));
	}
	same_number("how many events", happened_count, count);
	if (count > 0)
		last_event = number_at(result, count - 1, 0);
	PQclear(result);
	happened_count = 0;
}


/* ---- steps ---- */

typedef enum Call
{
	CALL_start,
	CALL_claim,
	CALL_claim_batch,
	CALL_force,
	CALL_report,
	CALL_extend,
	CALL_observe,
	CALL_forget,
	CALL_promote,
	CALL_halt,
	CALL_resume,
	CALL_abort,
	CALL_retry,
	CALL_freeze,
	CALL_thaw,
	CALL_set_policy,
	CALL_reset_policy,
	CALL_prune,
	CALL_flip,
	CALL_go,
	CALL_later,
	CALLS
} Call;

static const struct
{
	const char *name;
	int			weight;
	bool		can_be_refused;
} calls[CALLS] = {
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

static int accepted[CALLS];
static int refused[CALLS];

typedef struct Step
{
	Call	 call;
	int		 package;
	int		 version;	/* VERSIONS: never started; -1: NULL */
	int		 workspace; /* WORKSPACES: unknown */
	bool	 has_reason;
	int64_t	 token;
	State	 outcome;
	int		 installed; /* version; -1: NULL */
	int		 max_claims;
	int		 candidates[WORKSPACES + 1];
	int		 candidate_count; /* -1: NULL */
	int		 hours;			  /* 0: infinity, or NULL */
	Settings settings;		  /* those that are set */
	bool	 apply_to_running;
	char	 statement[1200];
} Step;

/* May prune() be called in this sequence?  It deletes events that the audit reads. */
static bool may_prune;

/* The package that most calls of the current transaction are about; -1: no transaction. */
static int favourite = -1;

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

static Step
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

static const char *
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

static void
write_step(Step *step)
{
	if (step->call == CALL_flip || step->call == CALL_go)
		write_workspace(step);
	else if (step->call == CALL_later)
		append(step, "SELECT pg_catalog.now(), pg_catalog.statement_timestamp(), public.later('%d hours')", step->hours);
	else
		write_call(step);
}


/* ---- the step, by the machine ---- */

/* The answer of SQL, and its moments. */
typedef struct Said
{
	PGresult *result;	   /* NULL: an error */
	char	  sqlstate[6]; /* empty: no error */
	int		  warnings;
	Moment	  now;
	Moment	  statement_began;
} Said;

static World before; /* before the step */
static World seen;	 /* after the step, in SQL */

/*
 * Has SQL saved the package?  Then the row tells the moment to which it was
 * settled.  If there was nothing to save, the moment does not matter.
 */
static bool
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
static void
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
static Model *
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

static Attempt *
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

static int	granted;
static int	reported_apart;
static bool last_was_apart;

/* By the current transaction. */
static bool locked[PACKAGES + 1];

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
 * A report that can change no decision is written without the package's lock,
 * unless the transaction holds that.  It returns the phase without the changes
 * that happen without a call.
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
	possible = rollout != NULL && (step->installed < 0 || step->installed == attempt->version) && !locked[attempt->package] &&
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

static void
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
static const char *
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

__attribute__((format(printf, 1, 2))) static void
execute_formatted(const char *format, ...)
{
	char	statement[300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(statement, sizeof(statement), format, arguments);
	va_end(arguments);
	execute(statement);
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
