/*-------------------------------------------------------------------------
 *
 * rollout/package_row.c
 *	  The table of packages, row by row.
 *
 * A transaction that writes a row holds the lock of its package.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"

#include "rollout/installation.h"
#include "rollout/package_row.h"
#include "server/values.h"

#define PACKAGE_SETTING_COLUMN(kind, name, standard, least) [PACKAGE_##name] = { #name, SETTING_TYPE_##kind },

static const TableColumn package_columns[PACKAGE_COLUMNS] = {
	[PACKAGE_id] = { "id", INT8OID },
	[PACKAGE_name] = { "name", TEXTOID },
	POLICY_SETTINGS(PACKAGE_SETTING_COLUMN)
		[PACKAGE_frozen_until] = { "frozen_until", TIMESTAMPTZOID },
	[PACKAGE_freeze_reason] = { "freeze_reason", TEXTOID },
	[PACKAGE_stamp] = { "stamp", TIMESTAMPTZOID },
	[PACKAGE_in_flight] = { "in_flight", INT4OID },
	[PACKAGE_first_expiry] = { "first_expiry", TIMESTAMPTZOID },
	[PACKAGE_canary_position] = { "canary_position", UUIDOID },
	[PACKAGE_production_position] = { "production_position", UUIDOID },
	[PACKAGE_rollback_position] = { "rollback_position", UUIDOID },
	[PACKAGE_quiet_from] = { "quiet_from", UUIDOID },
	[PACKAGE_swept_at] = { "swept_at", TIMESTAMPTZOID },
};

static OwnTable packages = {
	.name = "package",
	.count = PACKAGE_COLUMNS,
	.fixed = PACKAGE_soak,
	.columns = package_columns,
};

static TableIndex package_by_name = {
	.table = &packages,
	.name = "package_name",
	.nkeys = 1,
	.keys = { { PACKAGE_name, BTEqualStrategyNumber, F_TEXTEQ } },
};

static TableIndex package_by_id = {
	.table = &packages,
	.name = "package_pkey",
	.nkeys = 1,
	.keys = { { PACKAGE_id, BTEqualStrategyNumber, F_INT8EQ } },
};

static TableIndex every_package = {
	.table = &packages,
	.name = "package_name",
};

/* package_row: the row of the package with this name, or NULL. */
TableRow *
package_row(const char *name, Seen seen)
{
	NullableDatum key = text_value(name);

	return table_row(&package_by_name, &key, seen);
}

/* package_row_at: the row at a place; NULL: it is no longer there. */
TableRow *
package_row_at(const ItemPointerData *tid)
{
	return table_row_at(&packages, tid);
}

/* package_row_generation: see table_generation(). */
uint64
package_row_generation(void)
{
	return table_generation(&packages);
}

/* package_row_new: a row for a package that is not stored yet. */
TableRow *
package_row_new(const char *name)
{
	TableRow	  *row = table_new_row(&packages);
	NullableDatum *column = row->column;

	column[PACKAGE_name] = text_value(name);
	column[PACKAGE_frozen_until] = moment_value(DT_NOBEGIN);
	column[PACKAGE_stamp] = moment_value(DT_NOBEGIN);
	column[PACKAGE_in_flight] = int32_value(0);
	column[PACKAGE_first_expiry] = moment_value(DT_NOEND);
	return row;
}

/*
 * package_row_save
 *		Insert or update the row.  Errors: 40001 if a user has changed it
 *		meanwhile.
 */
void
package_row_save(TableRow *row)
{
	if (!ItemPointerIsValid(&row->tid))
		table_insert(&packages, list_make1(row));
	else if (!table_update(&packages, row))
		refuse_changed_by_hand(psprintf("Package \"%s\"",
										clipped(TextDatumGetCString(row->column[PACKAGE_name].value))));
}

/* package_row_of_id: the row of the package with this id, or NULL. */
TableRow *
package_row_of_id(int64 id)
{
	NullableDatum key = int64_value(id);

	return table_row(&package_by_id, &key, SEEN_NOW);
}

/* package_names: the names of all packages but ALL_PACKAGES, sorted. */
List *
package_names(Seen seen)
{
	List	 *names = NIL;
	ListCell *lc;

	foreach(lc, table_rows(&every_package, NULL, seen, ALL_ROWS))
	{
		char *name = TextDatumGetCString(((TableRow *) lfirst(lc))->column[PACKAGE_name].value);

		if (strcmp(name, ALL_PACKAGES) != 0)
			names = lappend(names, name);
	}
	return names;
}
