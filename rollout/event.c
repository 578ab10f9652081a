/*-------------------------------------------------------------------------
 *
 * rollout/event.c
 *	  The log of events, and notifications.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"

#include "rollout/event.h"
#include "server/settings.h"
#include "server/statement.h"
#include "server/table.h"
#include "server/values.h"

/* A notification must be shorter than 8000 bytes: two names as JSON, and the rest. */
#define NOTIFY_NAME_MAX 3900

enum
{
	EVENT_id,
	EVENT_at,
	EVENT_actor,
	EVENT_kind,
	EVENT_package,
	EVENT_version,
	EVENT_workspace,
	EVENT_token,
	EVENT_detail,
	EVENT_COLUMNS
};

static const TableColumn event_columns[EVENT_COLUMNS] = {
	[EVENT_id] = { "id", INT8OID },
	[EVENT_at] = { "at", TIMESTAMPTZOID },
	[EVENT_actor] = { "actor", TEXTOID },
	[EVENT_kind] = { "kind", TEXTOID },
	[EVENT_package] = { "package", TEXTOID },
	[EVENT_version] = { "version", TEXTOID },
	[EVENT_workspace] = { "workspace", UUIDOID },
	[EVENT_token] = { "token", INT8OID },
	[EVENT_detail] = { "detail", TEXTOID },
};

static OwnTable events = {
	.name = "event",
	.count = EVENT_COLUMNS,
	.fixed = EVENT_at,
	.columns = event_columns,
};

static TableIndex by_token = {
	.table = &events,
	.name = "event_token",
	.nkeys = 1,
	.keys = { { EVENT_token, BTEqualStrategyNumber, F_INT8EQ } },
};

static Statement delete_before = {
	.text = "DELETE FROM update_tier.event AS e WHERE e.at OPERATOR(pg_catalog.<) $1",
	.nargs = 1,
	.argtypes = { TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

/* events_write: append to the log.  The actor is the current role. */
void
events_write(List *notes)
{
	NullableDatum actor;
	List		 *rows = NIL;
	ListCell	 *lc;

	if (notes == NIL)
		return;
	actor = text_value(GetUserNameFromId(GetUserId(), false));
	foreach(lc, notes)
	{
		const EventNote *note = (const EventNote *) lfirst(lc);
		TableRow		*row = table_new_row(&events);

		row->column[EVENT_id] = int64_value(sequence_next("event_id"));
		row->column[EVENT_at] = moment_value(note->at);
		row->column[EVENT_actor] = actor;
		row->column[EVENT_kind] = text_value(note->kind);
		row->column[EVENT_package] = text_value(note->package);
		row->column[EVENT_version] = text_value(note->version);
		if (note->workspace != NULL)
			row->column[EVENT_workspace] = (NullableDatum){ .value = UUIDPGetDatum(note->workspace) };
		if (note->token != 0)
			row->column[EVENT_token] = int64_value(note->token);
		row->column[EVENT_detail] = text_value(note->detail);
		rows = lappend(rows, row);
	}
	table_insert(&events, rows);
}

/*
 * notify_phase
 *		Notify the listeners on channel "update_tier" of a new phase.  A name
 *		that is too long for a notification is left out.
 *
 * The server delivers the notification when the transaction has committed.
 */
void
notify_phase(const char *package, const char *version, Phase phase)
{
	const char	  *names[2] = { package, version };
	StringInfoData json;

	if (!notify_enabled)
		return;
	initStringInfo(&json);
	appendStringInfo(&json, "{\"phase\": \"%s\"", phase_names[phase]);
	for (int i = 0; i < 2; i++)
	{
		StringInfoData name;

		initStringInfo(&name);
		escape_json(&name, names[i]);
		if (name.len < NOTIFY_NAME_MAX)
			appendStringInfo(&json, ", \"%s\": %s", i == 0 ? "package" : "version", name.data);
	}
	appendStringInfoChar(&json, '}');
	Async_Notify("update_tier", json.data);
}

/*
 * event_of_replaced_token
 *		The package and version of an attempt that was replaced; false: the log
 *		has no such attempt.
 */
bool
event_of_replaced_token(int64 token, char **package, char **version)
{
	NullableDatum key = int64_value(token);
	ListCell	 *lc;

	foreach(lc, table_rows(&by_token, &key, SEEN_NOW, ALL_ROWS))
	{
		const NullableDatum *column = ((TableRow *) lfirst(lc))->column;

		if (strcmp(TextDatumGetCString(column[EVENT_kind].value), "replaced") != 0)
			continue;
		*package = TextDatumGetCString(column[EVENT_package].value);
		*version = optional_text(column[EVENT_version]);
		return true;
	}
	return false;
}

/* events_delete_before: delete events that are older. */
void
events_delete_before(TimestampTz moment)
{
	NullableDatum arg = moment_value(moment);

	(void) statement_run(&delete_before, NULL, &arg, NULL);
}
