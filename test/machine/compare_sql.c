/*-------------------------------------------------------------------------
 *
 * test/machine/compare_sql.c
 *	  Statements of a sequence, what SQL has stored, and the message when the
 *	  two differ.
 *
 *-------------------------------------------------------------------------
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compare.h"


/* ---- the sequence, and the message when the two differ ---- */

uint64_t	 seed;
int			 sequence;
static char *statements[20 * STEPS_OF_A_SEQUENCE];
static int	 statement_count;

void
note_statement(const char *statement)
{
	statements[statement_count++] = strdup(statement);
}

void
forget_statements(void)
{
	while (statement_count > 0)
		free(statements[--statement_count]);
}

__attribute__((format(printf, 1, 2), noreturn)) void
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

void
same_number(const char *what, int64_t machine, int64_t sql)
{
	if (machine != sql)
		differ("%s: the machine says %" PRId64 ", SQL says %" PRId64 " (difference %" PRId64 ")", what, machine, sql,
			   (int64_t) ((uint64_t) machine - (uint64_t) sql));
}

void
same_text(const char *what, const char *machine, const char *sql)
{
	if (strcmp(machine ? machine : "(null)", sql ? sql : "(null)") != 0)
		differ("%s: the machine says %s, SQL says %s", what, machine ? machine : "(null)", sql ? sql : "(null)");
}

/* The name of what is compared. */
__attribute__((format(printf, 1, 2))) const char *
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

PGconn *connection;
int		warnings;

void
count_warning(void *arg, const char *message)
{
	(void) arg;
	warnings += strncmp(message, "WARNING", strlen("WARNING")) == 0;
}

/* A statement that must succeed. */
PGresult *
query(const char *statement)
{
	PGresult *result = PQexecParams(connection, statement, 0, NULL, NULL, NULL, NULL, 1);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		differ("%s: %s", statement, PQerrorMessage(connection));
	return result;
}

void
execute(const char *statement)
{
	PQclear(query(statement));
}

__attribute__((format(printf, 1, 2))) void
execute_formatted(const char *format, ...)
{
	char	statement[300];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(statement, sizeof(statement), format, arguments);
	va_end(arguments);
	execute(statement);
}

const char *
text_at(const PGresult *result, int row, int column)
{
	return PQgetisnull(result, row, column) ? NULL : PQgetvalue(result, row, column);
}

/* Eight bytes, as a bigint and a timestamptz have. */
int64_t
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

bool
flag_at(const PGresult *result, int row, int column)
{
	return !PQgetisnull(result, row, column) && PQgetvalue(result, row, column)[0] != 0;
}

int
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

Settings
default_settings(void)
{
#define SETTING_STANDARD(kind, name, standard, least) (int64_t)(standard),
	Settings settings = { .value = { POLICY_SETTINGS(SETTING_STANDARD) } };

	memset(settings.given, true, sizeof(settings.given));
	return settings;
}

Policy
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
	PGresult *result = query("SELECT p.name, r.rollout, r.run::int8, r.tier, r.succeeded, r.at, r.came_back"
							 " FROM update_tier.uncounted AS r JOIN update_tier.package AS p ON p.id = r.package_id ORDER BY r.at");

	for (int row = 0; row < PQntuples(result); row++)
	{
		Model *model = &seen->packages[name_number(text_at(result, row, 0), package_names, PACKAGES)];

		model->uncounted[model->package.uncounted_count++] = (Uncounted){
			.rollout = number_at(result, row, 1),
			.run = (int32_t) number_at(result, row, 2),
			.tier = tier_of(text_at(result, row, 3)),
			.succeeded = flag_at(result, row, 4),
			.at = number_at(result, row, 5),
			.came_back = flag_at(result, row, 6)
		};
	}
	PQclear(result);
}

/* Read all tables. */
void
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

void
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
void
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
int				happened_count;
int64_t			last_event;
Moment			events_kept_from = LONG_AGO; /* prune has deleted older events */

/* Make room for the events of the machine. */
void
make_room(Model *model)
{
	static Event events[EVENTS_AT_MOST];

	if (machine_events_at_most(&model->package) > EVENTS_AT_MOST)
		abort();
	model->package.events = events;
	model->package.event_count = 0;
}

void
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

void
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
