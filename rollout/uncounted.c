/*-------------------------------------------------------------------------
 *
 * rollout/uncounted.c
 *	  Reports that are counted later, row by row.
 *
 * Such a report locks only its own installation.  A transaction that locks the
 * package counts those that are committed or its own, and deletes their rows.  A
 * lease stays in the budget until its report is counted, so the budget limits
 * their number.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "fleet/tier_domain.h"
#include "rollout/uncounted.h"
#include "server/statement.h"
#include "server/values.h"

enum
{
	UNCOUNTED_package_id,
	UNCOUNTED_rollout,
	UNCOUNTED_run,
	UNCOUNTED_tier,
	UNCOUNTED_succeeded,
	UNCOUNTED_came_back,
	UNCOUNTED_at,
	UNCOUNTED_COLUMNS
};

static const TableColumn uncounted_columns[UNCOUNTED_COLUMNS] = {
	[UNCOUNTED_package_id] = { "package_id", INT8OID },
	[UNCOUNTED_rollout] = { "rollout", INT8OID },
	[UNCOUNTED_run] = { "run", INT4OID },
	[UNCOUNTED_tier] = { "tier", TEXTOID },
	[UNCOUNTED_succeeded] = { "succeeded", BOOLOID },
	[UNCOUNTED_came_back] = { "came_back", BOOLOID },
	[UNCOUNTED_at] = { "at", TIMESTAMPTZOID },
};

static OwnTable table = {
	.name = "uncounted",
	.count = UNCOUNTED_COLUMNS,
	.columns = uncounted_columns,
};

static TableIndex by_package = {
	.table = &table,
	.name = "uncounted_package",
	.nkeys = 1,
	.keys = { { UNCOUNTED_package_id, BTEqualStrategyNumber, F_INT8EQ } },
};

static Statement delete_rows = {
	.text = "DELETE FROM update_tier.uncounted WHERE ctid OPERATOR(pg_catalog.=) ANY ($1)",
	.nargs = 1,
	.argtypes = { TIDARRAYOID },
	.role = AS_EXTENSION,
};

/*
 * Rows that a transaction has counted stay in the index until it has ended, and
 * each further count reads them again.  So a transaction that counts only a few
 * at a time should not write more and more of them.
 */
#define FEW_AT_A_TIME 25

static struct
{
	TransactionId transaction; /* that has counted last */
	int64		  times;
	int64		  rows;
} counts;

static int
compare_moments(const ListCell *a, const ListCell *b)
{
	const Uncounted *first = &((LoadedUncounted *) lfirst(a))->uncounted;
	const Uncounted *second = &((LoadedUncounted *) lfirst(b))->uncounted;

	return first->at < second->at ? -1 : first->at > second->at ? 1 :
																  0;
}

/*
 * uncounted_load
 *		The reports of a package, oldest first, as a list of LoadedUncounted.
 */
List *
uncounted_load(int64 package_id, Seen seen)
{
	NullableDatum key = int64_value(package_id);
	List		 *result = NIL;
	ListCell	 *lc;

	foreach(lc, table_rows(&by_package, &key, seen, ALL_ROWS))
	{
		TableRow		*row = (TableRow *) lfirst(lc);
		LoadedUncounted *loaded = palloc_object(LoadedUncounted);

		loaded->row = row;
		loaded->uncounted = (Uncounted){
			.rollout = DatumGetInt64(row->column[UNCOUNTED_rollout].value),
			.run = DatumGetInt32(row->column[UNCOUNTED_run].value),
			.tier = tier_from_text(row->column[UNCOUNTED_tier].value),
			.succeeded = DatumGetBool(row->column[UNCOUNTED_succeeded].value),
			.came_back = DatumGetBool(row->column[UNCOUNTED_came_back].value),
			.at = DatumGetTimestampTz(row->column[UNCOUNTED_at].value),
		};
		result = lappend(result, loaded);
	}
	list_sort(result, compare_moments);
	return result;
}

/* uncounted_insert: add a report. */
void
uncounted_insert(int64 package_id, const Uncounted *uncounted)
{
	TableRow *row = table_new_row(&table);

	row->column[UNCOUNTED_package_id] = int64_value(package_id);
	row->column[UNCOUNTED_rollout] = int64_value(uncounted->rollout);
	row->column[UNCOUNTED_run] = int32_value(uncounted->run);
	row->column[UNCOUNTED_tier] = text_value(tier_names[uncounted->tier]);
	row->column[UNCOUNTED_succeeded] = bool_value(uncounted->succeeded);
	row->column[UNCOUNTED_came_back] = bool_value(uncounted->came_back);
	row->column[UNCOUNTED_at] = moment_value(uncounted->at);
	table_insert(&table, list_make1(row));
}

/* uncounted_delete: delete reports that have been counted. */
void
uncounted_delete(List *counted)
{
	int			  count = list_length(counted);
	Datum		 *places = palloc_array(Datum, count + 1);
	NullableDatum arg;

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		places[i] = PointerGetDatum(&((LoadedUncounted *) list_nth(counted, i))->row->tid);
	arg = (NullableDatum){
		.value = PointerGetDatum(construct_array(places, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT))
	};
	if (statement_run(&delete_rows, NULL, &arg, NULL) != count)
		elog(ERROR, "reports that were counted are gone");

	if (counts.transaction != GetTopTransactionId())
		memset(&counts, 0, sizeof(counts));
	counts.transaction = GetTopTransactionId();
	counts.times++;
	counts.rows += count;
}

/*
 * uncounted_few_at_a_time
 *		Has this transaction counted reports more than once, and only a few at a
 *		time?
 */
bool
uncounted_few_at_a_time(void)
{
	return counts.times > 1 && counts.rows <= FEW_AT_A_TIME * counts.times &&
		counts.transaction == GetTopTransactionIdIfAny();
}
