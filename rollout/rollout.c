/*-------------------------------------------------------------------------
 *
 * rollout/rollout.c
 *	  Rollouts, row by row.
 *
 * A transaction that writes a row holds the lock of its package.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/uuid.h"

#include "rollout/installation.h"
#include "rollout/rollout.h"
#include "rollout/setting.h"
#include "server/compat.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_rollout_is_consistent);


/* ---------------------------------------------------------------------
 * The table
 * ---------------------------------------------------------------------
 */

#define ROLLOUT_SETTING(kind, name, standard, least)		ROLLOUT_##name,
#define ROLLOUT_SETTING_COLUMN(kind, name, standard, least) [ROLLOUT_##name] = { #name, SETTING_TYPE_##kind },

enum
{
	ROLLOUT_id,
	ROLLOUT_package,
	ROLLOUT_version,
	ROLLOUT_ordinal,
	ROLLOUT_run,
	ROLLOUT_resumed,
	ROLLOUT_phase,
	ROLLOUT_soaks_from,
	ROLLOUT_promoted_at,
	ROLLOUT_progress_at,
	ROLLOUT_canary_succeeded,
	ROLLOUT_canary_failed,
	ROLLOUT_canary_acknowledged,
	ROLLOUT_canary_moved_on,
	ROLLOUT_production_succeeded,
	ROLLOUT_production_failed,
	ROLLOUT_production_acknowledged,
	ROLLOUT_production_moved_on,
	POLICY_SETTINGS(ROLLOUT_SETTING)
		ROLLOUT_reason,
	ROLLOUT_changed_at,
	ROLLOUT_canary_position,
	ROLLOUT_production_position,
	ROLLOUT_rollback_position,
	ROLLOUT_quiet_from,
	ROLLOUT_swept_at,
	ROLLOUT_COLUMNS
};

static const TableColumn rollout_columns[ROLLOUT_COLUMNS] = {
	[ROLLOUT_id] = { "id", INT8OID },
	[ROLLOUT_package] = { "package", TEXTOID },
	[ROLLOUT_version] = { "version", TEXTOID },
	[ROLLOUT_ordinal] = { "ordinal", INT8OID },
	[ROLLOUT_run] = { "run", INT4OID },
	[ROLLOUT_resumed] = { "resumed", INT4OID },
	[ROLLOUT_phase] = { "phase", TEXTOID },
	[ROLLOUT_soaks_from] = { "soaks_from", TIMESTAMPTZOID },
	[ROLLOUT_promoted_at] = { "promoted_at", TIMESTAMPTZOID },
	[ROLLOUT_progress_at] = { "progress_at", TIMESTAMPTZOID },
	[ROLLOUT_canary_succeeded] = { "canary_succeeded", INT4OID },
	[ROLLOUT_canary_failed] = { "canary_failed", INT4OID },
	[ROLLOUT_canary_acknowledged] = { "canary_acknowledged", INT4OID },
	[ROLLOUT_canary_moved_on] = { "canary_moved_on", INT4OID },
	[ROLLOUT_production_succeeded] = { "production_succeeded", INT4OID },
	[ROLLOUT_production_failed] = { "production_failed", INT4OID },
	[ROLLOUT_production_acknowledged] = { "production_acknowledged", INT4OID },
	[ROLLOUT_production_moved_on] = { "production_moved_on", INT4OID },
	POLICY_SETTINGS(ROLLOUT_SETTING_COLUMN)
		[ROLLOUT_reason] = { "reason", TEXTOID },
	[ROLLOUT_changed_at] = { "changed_at", TIMESTAMPTZOID },
	[ROLLOUT_canary_position] = { "canary_position", UUIDOID },
	[ROLLOUT_production_position] = { "production_position", UUIDOID },
	[ROLLOUT_rollback_position] = { "rollback_position", UUIDOID },
	[ROLLOUT_quiet_from] = { "quiet_from", UUIDOID },
	[ROLLOUT_swept_at] = { "swept_at", TIMESTAMPTZOID },
};

/* The first column of a tier's tally, which has four. */
static const int tally_column[TIER_COUNT] = {
	[TIER_CANARY] = ROLLOUT_canary_succeeded,
	[TIER_PRODUCTION] = ROLLOUT_production_succeeded,
};

static bool rollout_is_consistent(const TableRow *row);

static OwnTable rollouts = {
	.name = "rollout",
	.count = ROLLOUT_COLUMNS,
	.fixed = ROLLOUT_ordinal,
	.columns = rollout_columns,
	.is_consistent = rollout_is_consistent,
};

static TableIndex rollout_on_its_way = {
	.table = &rollouts,
	.name = "rollout_on_its_way",
	.nkeys = 1,
	.keys = { { ROLLOUT_package, BTEqualStrategyNumber, F_TEXTEQ } },
};

static TableIndex promoted_before = {
	.table = &rollouts,
	.name = "rollout_promoted",
	.descending = true,
	.nkeys = 2,
	.keys = { { ROLLOUT_package, BTEqualStrategyNumber, F_TEXTEQ },
			  { ROLLOUT_ordinal, BTLessStrategyNumber, F_INT8LT } },
};

static TableIndex ended_after = {
	.table = &rollouts,
	.name = "rollout_ended",
	.descending = true,
	.nkeys = 2,
	.keys = { { ROLLOUT_package, BTEqualStrategyNumber, F_TEXTEQ },
			  { ROLLOUT_ordinal, BTGreaterStrategyNumber, F_INT8GT } },
};

static TableIndex by_version = {
	.table = &rollouts,
	.name = "package_version",
	.nkeys = 2,
	.keys = { { ROLLOUT_package, BTEqualStrategyNumber, F_TEXTEQ },
			  { ROLLOUT_version, BTEqualStrategyNumber, F_TEXTEQ } },
};

static TableIndex all_of_package = {
	.table = &rollouts,
	.name = "package_version",
	.nkeys = 1,
	.keys = { { ROLLOUT_package, BTEqualStrategyNumber, F_TEXTEQ } },
};

static TableIndex rollout_by_id = {
	.table = &rollouts,
	.name = "rollout_pkey",
	.nkeys = 1,
	.keys = { { ROLLOUT_id, BTEqualStrategyNumber, F_INT8EQ } },
};


/* ---------------------------------------------------------------------
 * Conversion from and to rows
 * ---------------------------------------------------------------------
 */

static LoadedRollout *
rollout_from_row(TableRow *row)
{
	LoadedRollout *loaded = palloc0_object(LoadedRollout);
	Rollout		  *rollout = &loaded->rollout;
	NullableDatum *column = row->column;

	loaded->row = row;
	rollout->id = DatumGetInt64(column[ROLLOUT_id].value);
	loaded->package = TextDatumGetCString(column[ROLLOUT_package].value);
	rollout->version = TextDatumGetCString(column[ROLLOUT_version].value);
	rollout->ordinal = DatumGetInt64(column[ROLLOUT_ordinal].value);
	rollout->run = DatumGetInt32(column[ROLLOUT_run].value);
	rollout->resumed = DatumGetInt32(column[ROLLOUT_resumed].value);
	if (!phase_parse(TextDatumGetCString(column[ROLLOUT_phase].value), &rollout->phase))
		elog(ERROR, "rollout " INT64_FORMAT " has an unknown phase", rollout->id);
	rollout->soaks_from = DatumGetTimestampTz(column[ROLLOUT_soaks_from].value);
	rollout->promoted_at = DatumGetTimestampTz(column[ROLLOUT_promoted_at].value);
	rollout->progress_at = DatumGetTimestampTz(column[ROLLOUT_progress_at].value);
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		const NullableDatum *tally = &column[tally_column[tier]];

		rollout->tally[tier].succeeded = DatumGetInt32(tally[0].value);
		rollout->tally[tier].failed = DatumGetInt32(tally[1].value);
		rollout->tally[tier].acknowledged = DatumGetInt32(tally[2].value);
		rollout->tally[tier].moved_on = DatumGetInt32(tally[3].value);
	}
	rollout->policy = policy_of_columns(&column[ROLLOUT_soak]);
	loaded->reason = optional_text(column[ROLLOUT_reason]);
	loaded->changed_at = DatumGetTimestampTz(column[ROLLOUT_changed_at].value);
	loaded->sweep = (Sweep){ column[ROLLOUT_canary_position], column[ROLLOUT_production_position],
							 column[ROLLOUT_rollback_position], column[ROLLOUT_quiet_from],
							 column[ROLLOUT_swept_at] };
	return loaded;
}

static void
rollout_to_row(LoadedRollout *loaded)
{
	const Rollout *rollout = &loaded->rollout;
	NullableDatum *column;

	if (loaded->row == NULL)
		loaded->row = table_new_row(&rollouts);
	column = loaded->row->column;
	column[ROLLOUT_id] = int64_value(rollout->id);
	column[ROLLOUT_package] = text_value(loaded->package);
	column[ROLLOUT_version] = text_value(rollout->version);
	column[ROLLOUT_ordinal] = int64_value(rollout->ordinal);
	column[ROLLOUT_run] = int32_value(rollout->run);
	column[ROLLOUT_resumed] = int32_value(rollout->resumed);
	column[ROLLOUT_phase] = text_value(phase_names[rollout->phase]);
	column[ROLLOUT_soaks_from] = moment_value(rollout->soaks_from);
	column[ROLLOUT_promoted_at] = moment_value(rollout->promoted_at);
	column[ROLLOUT_progress_at] = moment_value(rollout->progress_at);
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		NullableDatum *tally = &column[tally_column[tier]];

		tally[0] = int32_value(rollout->tally[tier].succeeded);
		tally[1] = int32_value(rollout->tally[tier].failed);
		tally[2] = int32_value(rollout->tally[tier].acknowledged);
		tally[3] = int32_value(rollout->tally[tier].moved_on);
	}
	policy_to_columns(&rollout->policy, &column[ROLLOUT_soak]);
	column[ROLLOUT_reason] = text_value(loaded->reason);
	column[ROLLOUT_changed_at] = moment_value(loaded->changed_at);
	column[ROLLOUT_canary_position] = loaded->sweep.canary_position;
	column[ROLLOUT_production_position] = loaded->sweep.production_position;
	column[ROLLOUT_rollback_position] = loaded->sweep.rollback_position;
	column[ROLLOUT_quiet_from] = loaded->sweep.quiet_from;
	column[ROLLOUT_swept_at] = loaded->sweep.swept_at;
}

/* The CHECK of the table: the rules between the columns of a row. */
static bool
rollout_is_consistent(const TableRow *row)
{
	return machine_is_consistent(&rollout_from_row(unconstify(TableRow *, row))->rollout);
}

/*
 * update_tier.is_consistent(rollout update_tier.rollout) returns boolean
 *
 * The CHECK of the table.
 */
Datum
update_tier_rollout_is_consistent(PG_FUNCTION_ARGS)
{
	TableRow *row = table_record(&rollouts, PG_GETARG_HEAPTUPLEHEADER(0));

	/* A row that is not the table's can have NULLs where the table does not allow them. */
	for (int i = 0; i < ROLLOUT_canary_position; i++)
	{
		if (row->column[i].isnull && i != ROLLOUT_reason)
			PG_RETURN_BOOL(false);
	}
	PG_RETURN_BOOL(rollout_is_consistent(row));
}

static bool
same_position(NullableDatum a, NullableDatum b)
{
	return a.isnull == b.isnull &&
		(a.isnull || memcmp(DatumGetUUIDP(a.value), DatumGetUUIDP(b.value), UUID_LEN) == 0);
}

/* same_sweep: are all positions and moments equal? */
bool
same_sweep(const Sweep *a, const Sweep *b)
{
	return same_position(a->canary_position, b->canary_position) &&
		same_position(a->production_position, b->production_position) &&
		same_position(a->rollback_position, b->rollback_position) &&
		same_position(a->quiet_from, b->quiet_from) &&
		a->swept_at.isnull == b->swept_at.isnull &&
		(a->swept_at.isnull || a->swept_at.value == b->swept_at.value);
}


/* ---------------------------------------------------------------------
 * Finding
 * ---------------------------------------------------------------------
 */

static LoadedRollout *
from_row_or_null(TableRow *row)
{
	return row ? rollout_from_row(row) : NULL;
}

static List *
from_rows(const List *rows)
{
	List	 *result = NIL;
	ListCell *lc;

	foreach(lc, rows)
		result = lappend(result, rollout_from_row(lfirst(lc)));
	return result;
}

/* rollouts_on_their_way: the rollouts that are queued, in canary or soaking. */
List *
rollouts_on_their_way(const char *package, Seen seen)
{
	NullableDatum key = text_value(package);

	return from_rows(table_rows(&rollout_on_its_way, &key, seen, ALL_ROWS));
}

/*
 * rollouts_ended_after
 *		Those stored as aborted or superseded with a greater ordinal, newest
 *		first.
 */
List *
rollouts_ended_after(const char *package, int64 ordinal, Seen seen)
{
	NullableDatum keys[2] = { text_value(package), int64_value(ordinal) };

	return from_rows(table_rows(&ended_after, keys, seen, ALL_ROWS));
}

/* rollouts_of_package: all rollouts of a package. */
List *
rollouts_of_package(const char *package, Seen seen)
{
	NullableDatum key = text_value(package);

	return from_rows(table_rows(&all_of_package, &key, seen, ALL_ROWS));
}

/*
 * rollout_promoted_before
 *		The newest that is stored as promoted and has a smaller ordinal, or
 *		NULL.
 */
LoadedRollout *
rollout_promoted_before(const char *package, int64 ordinal, Seen seen)
{
	NullableDatum keys[2] = { text_value(package), int64_value(ordinal) };

	return from_row_or_null(table_row(&promoted_before, keys, seen));
}

/*
 * rollout_of_version
 *		The rollout of a version; NULL: it was never started.
 *
 * Then it leaves nothing in memory: a gate looks up the version of each row of a
 * query, in a context that lives longer than the row.
 */
LoadedRollout *
rollout_of_version(const char *package, const char *version, Seen seen)
{
	NullableDatum  keys[2] = { text_value(package), text_value(version) };
	LoadedRollout *rollout = from_row_or_null(table_row(&by_version, keys, seen));

	pfree(DatumGetPointer(keys[0].value));
	pfree(DatumGetPointer(keys[1].value));
	return rollout;
}

/*
 * rollout_of_id
 *		The rollout with this id; NULL for NO_ROLLOUT, and if it has been
 *		deleted.
 */
LoadedRollout *
rollout_of_id(int64 id, Seen seen)
{
	NullableDatum key = int64_value(id);

	return id == NO_ROLLOUT ? NULL : from_row_or_null(table_row(&rollout_by_id, &key, seen));
}

/* rollout_at: the rollout at a place; NULL: it is no longer there. */
LoadedRollout *
rollout_at(const ItemPointerData *tid)
{
	return from_row_or_null(table_row_at(&rollouts, tid));
}

/* rollout_generation: see table_generation(). */
uint64
rollout_generation(void)
{
	return table_generation(&rollouts);
}


/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

/* next_ordinal: an ordinal that is newer than all others. */
int64
next_ordinal(void)
{
	return sequence_next("rollout_ordinal");
}

/* rollout_new: a rollout for machine_start() to begin. */
LoadedRollout *
rollout_new(const char *package, const char *version, const Policy *policy)
{
	LoadedRollout *loaded = palloc0_object(LoadedRollout);

	loaded->rollout.id = sequence_next("rollout_id");
	loaded->rollout.version = pstrdup(version);
	loaded->rollout.ordinal = next_ordinal();
	loaded->rollout.policy = *policy;
	loaded->package = pstrdup(package);
	loaded->sweep = (Sweep){ NO_DATUM, NO_DATUM, NO_DATUM, NO_DATUM, NO_DATUM };
	return loaded;
}

pg_noreturn static void
refuse_changed(const LoadedRollout *loaded)
{
	refuse_changed_by_hand(psprintf("Version \"%s\" of package \"%s\"",
									clipped(loaded->rollout.version), clipped(loaded->package)));
}

/*
 * rollout_save
 *		Insert or update the row.  Errors: 40001 if a user has changed it
 *		meanwhile.
 */
void
rollout_save(LoadedRollout *loaded, TimestampTz stamp)
{
	bool is_new = loaded->row == NULL;

	loaded->changed_at = stamp;
	rollout_to_row(loaded);
	if (is_new)
		table_insert(&rollouts, list_make1(loaded->row));
	else if (!table_update(&rollouts, loaded->row))
		refuse_changed(loaded);
	loaded->rollout.changed = false;
}

/* rollout_delete: delete the row.  Errors: 40001 if a user has changed it meanwhile. */
void
rollout_delete(LoadedRollout *loaded)
{
	if (!table_delete(&rollouts, loaded->row))
		refuse_changed(loaded);
}
