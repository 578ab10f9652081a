/*-------------------------------------------------------------------------
 *
 * rollout/installation.c
 *	  Installations: what each workspace has of a package, row by row.
 *
 * A transaction that writes a row holds the lock of its package.  Only a report
 * that can change no decision does not: it writes the row of a claimed attempt
 * without that lock.  So a transaction that ends or replaces a claimed attempt
 * under the lock of the package locks the attempt's row, too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "fleet/tier_domain.h"
#include "rollout/installation.h"
#include "server/compat.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_installation_is_consistent);

const char *const state_names[] = {
	[STATE_CLAIMED] = "claimed",
	[STATE_SUCCEEDED] = "succeeded",
	[STATE_SKIPPED] = "skipped",
	[STATE_ERROR] = "error",
	[STATE_FAILED] = "failed",
	[STATE_EXPIRED] = "expired",
};

static const char *const evidence_names[] = {
	[EVIDENCE_NONE] = NULL,
	[EVIDENCE_SUCCEEDED] = "succeeded",
	[EVIDENCE_FAILED] = "failed",
};


/* ---------------------------------------------------------------------
 * The table
 * ---------------------------------------------------------------------
 */

enum
{
	INSTALLATION_package_id,
	INSTALLATION_workspace,
	INSTALLATION_rollout,
	INSTALLATION_run,
	INSTALLATION_ordinal,
	INSTALLATION_attempt,
	INSTALLATION_token,
	INSTALLATION_state,
	INSTALLATION_tier,
	INSTALLATION_lease_until,
	INSTALLATION_retry_at,
	INSTALLATION_evidence,
	INSTALLATION_evidence_tier,
	INSTALLATION_resumed,
	INSTALLATION_runs,
	INSTALLATION_runs_ordinal,
	INSTALLATION_runs_well,
	INSTALLATION_runs_version,
	INSTALLATION_runs_since,
	INSTALLATION_changed_at,
	INSTALLATION_installed_version,
	INSTALLATION_detail,
	INSTALLATION_COLUMNS
};

static const TableColumn installation_columns[INSTALLATION_COLUMNS] = {
	[INSTALLATION_package_id] = { "package_id", INT8OID },
	[INSTALLATION_workspace] = { "workspace", UUIDOID },
	[INSTALLATION_rollout] = { "rollout", INT8OID },
	[INSTALLATION_run] = { "run", INT4OID },
	[INSTALLATION_ordinal] = { "ordinal", INT8OID },
	[INSTALLATION_attempt] = { "attempt", INT4OID },
	[INSTALLATION_token] = { "token", INT8OID },
	[INSTALLATION_state] = { "state", TEXTOID },
	[INSTALLATION_tier] = { "tier", TEXTOID },
	[INSTALLATION_lease_until] = { "lease_until", TIMESTAMPTZOID },
	[INSTALLATION_retry_at] = { "retry_at", TIMESTAMPTZOID },
	[INSTALLATION_evidence] = { "evidence", TEXTOID },
	[INSTALLATION_evidence_tier] = { "evidence_tier", TEXTOID },
	[INSTALLATION_resumed] = { "resumed", INT4OID },
	[INSTALLATION_runs] = { "runs", INT8OID },
	[INSTALLATION_runs_ordinal] = { "runs_ordinal", INT8OID },
	[INSTALLATION_runs_well] = { "runs_well", BOOLOID },
	[INSTALLATION_runs_version] = { "runs_version", TEXTOID },
	[INSTALLATION_runs_since] = { "runs_since", TIMESTAMPTZOID },
	[INSTALLATION_changed_at] = { "changed_at", TIMESTAMPTZOID },
	[INSTALLATION_installed_version] = { "installed_version", TEXTOID },
	[INSTALLATION_detail] = { "detail", TEXTOID },
};

static bool is_consistent(const TableRow *row);

static OwnTable installations = {
	.name = "installation",
	.count = INSTALLATION_COLUMNS,
	.fixed = INSTALLATION_rollout,
	.columns = installation_columns,
	.is_consistent = is_consistent,
};

static TableIndex by_workspace = {
	.table = &installations,
	.name = "installation_pkey",
	.nkeys = 2,
	.keys = { { INSTALLATION_package_id, BTEqualStrategyNumber, F_INT8EQ },
			  { INSTALLATION_workspace, BTEqualStrategyNumber, F_UUID_EQ } },
};

static TableIndex by_workspaces = {
	.table = &installations,
	.name = "installation_pkey",
	.nkeys = 3,
	.keys = { { INSTALLATION_package_id, BTEqualStrategyNumber, F_INT8EQ },
			  { INSTALLATION_workspace, BTGreaterEqualStrategyNumber, F_UUID_GE },
			  { INSTALLATION_workspace, BTLessEqualStrategyNumber, F_UUID_LE } },
};

static TableIndex by_token = {
	.table = &installations,
	.name = "one_token",
	.nkeys = 1,
	.keys = { { INSTALLATION_token, BTEqualStrategyNumber, F_INT8EQ } },
};

static TableIndex leased_until = {
	.table = &installations,
	.name = "installation_leased",
	.nkeys = 2,
	.keys = { { INSTALLATION_package_id, BTEqualStrategyNumber, F_INT8EQ },
			  { INSTALLATION_lease_until, BTLessEqualStrategyNumber, F_TIMESTAMPTZ_LE } },
};

static TableIndex leased_after = {
	.table = &installations,
	.name = "installation_leased",
	.nkeys = 2,
	.keys = { { INSTALLATION_package_id, BTEqualStrategyNumber, F_INT8EQ },
			  { INSTALLATION_lease_until, BTGreaterStrategyNumber, F_TIMESTAMPTZ_GT } },
};

static TableIndex by_rollout = {
	.table = &installations,
	.name = "installation_rollout",
	.nkeys = 2,
	.keys = { { INSTALLATION_rollout, BTEqualStrategyNumber, F_INT8EQ },
			  { INSTALLATION_workspace, BTGreaterEqualStrategyNumber, F_UUID_GE } },
};

static TableIndex by_runs = {
	.table = &installations,
	.name = "installation_runs",
	.nkeys = 1,
	.keys = { { INSTALLATION_runs, BTEqualStrategyNumber, F_INT8EQ } },
};


/* ---------------------------------------------------------------------
 * Conversion from and to rows
 * ---------------------------------------------------------------------
 */

static NullableDatum
uuid_datum(const pg_uuid_t *id)
{
	return (NullableDatum){ .value = UUIDPGetDatum(id) };
}

static NullableDatum
id_value(int64 id)
{
	return id == NO_ROLLOUT ? NO_DATUM : int64_value(id);
}

static int64
id_of(NullableDatum value)
{
	return value.isnull ? NO_ROLLOUT : DatumGetInt64(value.value);
}

/* The index of a name among "count" names. */
static int
number_of(NullableDatum value, const char *const *names, int count)
{
	text  *name = DatumGetTextPP(value.value);
	size_t length = VARSIZE_ANY_EXHDR(name);

	for (int i = 0; i < count; i++)
	{
		if (names[i] != NULL && strlen(names[i]) == length && memcmp(names[i], VARDATA_ANY(name), length) == 0)
			return i;
	}
	elog(ERROR, "unknown name in table \"installation\": \"%s\"", text_to_cstring(name));
}

static LoadedInstallation *
from_row(TableRow *row)
{
	LoadedInstallation *loaded = palloc0_object(LoadedInstallation);
	Installation	   *installation = &loaded->installation;
	NullableDatum	   *column = row->column;

	loaded->row = row;
	loaded->package_id = DatumGetInt64(column[INSTALLATION_package_id].value);
	loaded->workspace = *DatumGetUUIDP(column[INSTALLATION_workspace].value);
	installation->rollout = id_of(column[INSTALLATION_rollout]);
	installation->run = DatumGetInt32(column[INSTALLATION_run].value);
	installation->ordinal = DatumGetInt64(column[INSTALLATION_ordinal].value);
	installation->attempt = DatumGetInt32(column[INSTALLATION_attempt].value);
	installation->token = id_of(column[INSTALLATION_token]);
	installation->state = (State) number_of(column[INSTALLATION_state], state_names, lengthof(state_names));
	installation->tier = tier_from_text(column[INSTALLATION_tier].value);
	installation->lease_until = DatumGetTimestampTz(column[INSTALLATION_lease_until].value);
	installation->retry_at = DatumGetTimestampTz(column[INSTALLATION_retry_at].value);
	if (!column[INSTALLATION_evidence].isnull)
	{
		installation->evidence = (Evidence) number_of(column[INSTALLATION_evidence], evidence_names,
													  lengthof(evidence_names));
		installation->evidence_tier = tier_from_text(column[INSTALLATION_evidence_tier].value);
	}
	installation->resumed = DatumGetInt32(column[INSTALLATION_resumed].value);
	installation->runs = id_of(column[INSTALLATION_runs]);
	installation->runs_ordinal = DatumGetInt64(column[INSTALLATION_runs_ordinal].value);
	installation->runs_well = DatumGetBool(column[INSTALLATION_runs_well].value);
	loaded->runs_version = optional_text(column[INSTALLATION_runs_version]);
	loaded->runs_since = column[INSTALLATION_runs_since];
	loaded->changed_at = DatumGetTimestampTz(column[INSTALLATION_changed_at].value);
	loaded->installed_version = optional_text(column[INSTALLATION_installed_version]);
	loaded->detail = optional_text(column[INSTALLATION_detail]);
	return loaded;
}

static List *
from_rows(List *rows)
{
	List	 *result = NIL;
	ListCell *lc;

	foreach(lc, rows)
		result = lappend(result, from_row(lfirst(lc)));
	return result;
}

static LoadedInstallation *
from_row_or_null(TableRow *row)
{
	return row ? from_row(row) : NULL;
}

static void
to_row(LoadedInstallation *loaded, TimestampTz stamp)
{
	const Installation *installation = &loaded->installation;
	NullableDatum	   *column;

	if (loaded->row == NULL)
		loaded->row = table_new_row(&installations);
	column = loaded->row->column;
	column[INSTALLATION_package_id] = int64_value(loaded->package_id);
	column[INSTALLATION_workspace] = uuid_datum(&loaded->workspace);
	column[INSTALLATION_rollout] = id_value(installation->rollout);
	column[INSTALLATION_run] = int32_value(installation->run);
	column[INSTALLATION_ordinal] = int64_value(installation->ordinal);
	column[INSTALLATION_attempt] = int32_value(installation->attempt);
	column[INSTALLATION_token] = id_value(installation->token);
	column[INSTALLATION_state] = text_value(state_names[installation->state]);
	column[INSTALLATION_tier] = text_value(tier_names[installation->tier]);
	column[INSTALLATION_lease_until] = moment_value(installation->lease_until);
	column[INSTALLATION_retry_at] = moment_value(installation->retry_at);
	column[INSTALLATION_evidence] = text_value(evidence_names[installation->evidence]);
	column[INSTALLATION_evidence_tier] = text_value(
		installation->evidence == EVIDENCE_NONE ? NULL : tier_names[installation->evidence_tier]);
	column[INSTALLATION_resumed] = int32_value(installation->resumed);
	column[INSTALLATION_runs] = id_value(installation->runs);
	column[INSTALLATION_runs_ordinal] = int64_value(installation->runs_ordinal);
	column[INSTALLATION_runs_well] = bool_value(installation->runs_well);
	column[INSTALLATION_runs_version] = text_value(loaded->runs_version);
	column[INSTALLATION_runs_since] = loaded->runs_since;
	column[INSTALLATION_changed_at] = moment_value(stamp);
	column[INSTALLATION_installed_version] = text_value(loaded->installed_version);
	column[INSTALLATION_detail] = text_value(loaded->detail);
}

/* The CHECK of the table: the rules between the columns of a row. */
static bool
is_consistent(const TableRow *row)
{
	const NullableDatum *column = row->column;
	bool				 has_rollout = !column[INSTALLATION_rollout].isnull;
	bool				 is_claimed;

	is_claimed = number_of(column[INSTALLATION_state], state_names, lengthof(state_names)) == STATE_CLAIMED;
	return column[INSTALLATION_evidence].isnull == column[INSTALLATION_evidence_tier].isnull &&
		(has_rollout || (column[INSTALLATION_evidence].isnull && DatumGetInt32(column[INSTALLATION_attempt].value) == 0)) &&
		(!is_claimed || (!column[INSTALLATION_token].isnull && DatumGetInt32(column[INSTALLATION_attempt].value) > 0)) &&
		(column[INSTALLATION_runs].isnull || column[INSTALLATION_runs_version].isnull);
}

/*
 * update_tier.is_consistent(installation update_tier.installation) returns boolean
 *
 * The CHECK of the table.
 */
Datum
update_tier_installation_is_consistent(PG_FUNCTION_ARGS)
{
	TableRow *row = table_record(&installations, PG_GETARG_HEAPTUPLEHEADER(0));

	/* A row that is not the table's can have NULLs where the table does not allow them. */
	for (int i = 0; i < INSTALLATION_COLUMNS; i++)
	{
		switch (i)
		{
			case INSTALLATION_rollout:
			case INSTALLATION_token:
			case INSTALLATION_evidence:
			case INSTALLATION_evidence_tier:
			case INSTALLATION_runs:
			case INSTALLATION_runs_version:
			case INSTALLATION_runs_since:
			case INSTALLATION_installed_version:
			case INSTALLATION_detail:
				break;
			default:
				if (row->column[i].isnull)
					PG_RETURN_BOOL(false);
		}
	}
	(void) tier_from_text(row->column[INSTALLATION_tier].value);
	if (!row->column[INSTALLATION_evidence_tier].isnull)
		(void) tier_from_text(row->column[INSTALLATION_evidence_tier].value);
	PG_RETURN_BOOL(is_consistent(row));
}


/* ---------------------------------------------------------------------
 * Finding
 * ---------------------------------------------------------------------
 */

/* installation_load: the installation of a workspace, or NULL. */
LoadedInstallation *
installation_load(int64 package_id, const pg_uuid_t *workspace, Seen seen)
{
	NullableDatum keys[2] = { int64_value(package_id), uuid_datum(workspace) };

	return from_row_or_null(table_row(&by_workspace, keys, seen));
}

/*
 * installations_of
 *		The installation of each workspace, or NULL, as an array in their order.
 */
LoadedInstallation **
installations_of(int64 package_id, const Datum *workspaces, int count, Seen seen)
{
	NullableDatum		*keys = palloc_array(NullableDatum, 2 * count);
	LoadedInstallation **result = palloc_array(LoadedInstallation *, count);
	TableRow		   **rows;

	for (int i = 0; i < count; i++)
	{
		keys[2 * i] = int64_value(package_id);
		keys[2 * i + 1] = (NullableDatum){ .value = workspaces[i] };
	}
	rows = table_row_of_each(&by_workspace, keys, count, seen);
	for (int i = 0; i < count; i++)
		result[i] = from_row_or_null(rows[i]);
	return result;
}

/*
 * installation_of_token
 *		The installation whose latest attempt has this token, or NULL.
 */
LoadedInstallation *
installation_of_token(int64 token, Seen seen)
{
	NullableDatum keys[1] = { int64_value(token) };

	return from_row_or_null(table_row(&by_token, keys, seen));
}

/*
 * installations_leased
 *		The claimed ones whose leases end at or before a moment, earliest first.
 */
List *
installations_leased(int64 package_id, TimestampTz until, Seen seen)
{
	NullableDatum keys[2] = { int64_value(package_id), moment_value(until) };

	return from_rows(table_rows(&leased_until, keys, seen, ALL_ROWS));
}

/* installations_live: the claimed ones whose leases end after a moment. */
List *
installations_live(int64 package_id, TimestampTz after, Seen seen)
{
	NullableDatum keys[2] = { int64_value(package_id), moment_value(after) };

	return from_rows(table_rows(&leased_after, keys, seen, ALL_ROWS));
}

/*
 * installations_first_expiry
 *		The first end of a lease after a moment; DT_NOEND: no lease ends then.
 */
TimestampTz
installations_first_expiry(int64 package_id, TimestampTz after, Seen seen)
{
	NullableDatum keys[2] = { int64_value(package_id), moment_value(after) };
	TableRow	 *row = table_row(&leased_after, keys, seen);

	return row ? DatumGetTimestampTz(row->column[INSTALLATION_lease_until].value) : DT_NOEND;
}

/*
 * installations_between
 *		The first "at_most" installations of workspaces from one id to another,
 *		in order of id.
 */
List *
installations_between(int64 package_id, const pg_uuid_t *first, const pg_uuid_t *last, Seen seen, int64 at_most)
{
	NullableDatum keys[3] = { int64_value(package_id), uuid_datum(first), uuid_datum(last) };

	return from_rows(table_rows(&by_workspaces, keys, seen, at_most));
}

/*
 * installations_of_rollout
 *		The first "at_most" installations whose latest attempt is of the
 *		rollout, from an id on, in order of id.
 */
List *
installations_of_rollout(int64 rollout, const pg_uuid_t *from, Seen seen, int64 at_most)
{
	NullableDatum keys[2] = { int64_value(rollout), uuid_datum(from) };

	return from_rows(table_rows(&by_rollout, keys, seen, at_most));
}

/* installations_refer_to: does any installation name this rollout? */
bool
installations_refer_to(int64 rollout)
{
	NullableDatum keys[2] = { int64_value(rollout), uuid_datum(&(pg_uuid_t){ { 0 } }) };

	return table_row(&by_rollout, keys, SEEN_NOW) != NULL || table_row(&by_runs, keys, SEEN_NOW) != NULL;
}

/* id_after: the id that follows; false: this is the greatest. */
bool
id_after(const pg_uuid_t *id, pg_uuid_t *next)
{
	pg_uuid_t result = *id;

	for (int i = UUID_LEN - 1; i >= 0; i--)
	{
		if (++result.data[i] == 0)
			continue;
		*next = result;
		return true;
	}
	return false;
}


/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

/*
 * refuse_changed_by_hand
 *		40001: a row that was found is no longer there.  Only a statement of a
 *		user can cause that, as it does not lock the package.
 */
void
refuse_changed_by_hand(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("%s was changed by a statement, and not by a function of the extension.", what),
			 errhint("The transaction might succeed if retried.")));
}

/*
 * installation_set_runs
 *		Note since when the workspace runs what machine_runs() says.  "version"
 *		is a version that was never started, or NULL.
 */
void
installation_set_runs(LoadedInstallation *loaded, const char *version, TimestampTz since)
{
	loaded->runs_version = version ? pstrdup(version) : NULL;
	loaded->runs_since = moment_value(since);
}

/*
 * installation_lock
 *		Lock the row for the rest of the transaction, so that no report writes
 *		it without the package's lock.  False: it has changed; or, without
 *		"wait", another transaction has it locked.
 */
bool
installation_lock(const LoadedInstallation *loaded, bool wait)
{
	return table_lock_row(&installations, loaded->row, wait);
}

/* installation_try_save: update a stored row; false: it has changed meanwhile. */
bool
installation_try_save(LoadedInstallation *loaded, TimestampTz stamp)
{
	to_row(loaded, stamp);
	return table_update(&installations, loaded->row);
}

/*
 * installation_save
 *		Insert or update the row.  Errors: 40001 if a user has changed it
 *		meanwhile.
 */
void
installation_save(LoadedInstallation *loaded, TimestampTz stamp)
{
	bool is_new = loaded->row == NULL;

	to_row(loaded, stamp);
	if (is_new)
		table_insert(&installations, list_make1(loaded->row));
	else if (!table_update(&installations, loaded->row))
		refuse_changed_by_hand(psprintf("Installation of workspace %s",
										DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(&loaded->workspace)))));
}

/* installations_insert: insert rows that are all new. */
void
installations_insert(List *list, TimestampTz stamp)
{
	List	 *rows = NIL;
	ListCell *lc;

	foreach(lc, list)
	{
		LoadedInstallation *loaded = (LoadedInstallation *) lfirst(lc);

		Assert(loaded->row == NULL);
		to_row(loaded, stamp);
		rows = lappend(rows, loaded->row);
	}
	table_insert(&installations, rows);
}

/* installation_delete: delete the row.  It may be gone already. */
void
installation_delete(LoadedInstallation *loaded)
{
	(void) table_delete(&installations, loaded->row);
}

/* next_token: the token of a new attempt. */
int64
next_token(void)
{
	return sequence_next("installation_token");
}
