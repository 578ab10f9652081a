/*-------------------------------------------------------------------------
 *
 * fleet/index_build.c
 *	  Building the index of canaries.
 *
 * If attach() has just added the column, no row is a canary, the index is empty,
 * and it is built without a scan of the table.  That holds for a table (or
 * partition) if all of this is true when the index is built:
 *
 * 1. The column was added in this transaction, after the table was watched.  So
 *	  a row that was written before does not contain it.
 * 2. The value that the server takes for such rows, the column's missing value,
 *	  is 'production'.  It is the same for every snapshot: an older one, which
 *	  shows versions of rows that are no longer current, shows no canary either.
 * 3. No row has been written since the table was watched, and the table still
 *	  has its file from before this transaction.  Nobody else can write rows, as
 *	  adding the column locks the table until we commit.  But an event trigger may
 *	  have run in this session, and changed rows or the column.
 *
 * Otherwise the server scans the table.  Versions of a row that form a HOT chain
 * need no attention: none of those that exist belongs in the index, and an update
 * that changes a column of the index's condition does not extend a chain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_inherits.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fleet/attached.h"
#include "fleet/canary_index.h"
#include "fleet/index_build.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/dynamic_sql.h"
#include "server/index_scan.h"
#include "server/settings.h"

/* A table, or a partition of it, as it was before the column was added. */
typedef struct WatchedTable
{
	Oid	  relid;
	int	  columns;
	int64 written;
} WatchedTable;

static List *watched_tables; /* while build_index() runs */

/* At least the number of rows that this transaction has written to the table. */
static int64
rows_written(Oid relid)
{
	return DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_inserted, ObjectIdGetDatum(relid))) +
		DatumGetInt64(DirectFunctionCall1(pg_stat_get_xact_tuples_updated, ObjectIdGetDatum(relid)));
}

/*
 * watch_rows
 *		To be called before the column is added: remember the table and its
 *		partitions for build_index().  The caller holds ACCESS EXCLUSIVE on the
 *		table.  The partitions get the same lock, as adding the column would
 *		lock them, too.
 *
 * The server counts written rows only while track_counts is on.  The caller has
 * entered a level of settings, which it leaves after build_index().
 */
List *
watch_rows(Oid relid)
{
	List	 *watched = NIL;
	ListCell *lc;

	(void) set_config_option("track_counts", "on", PGC_SUSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
	{
		WatchedTable *table = palloc(sizeof(WatchedTable));
		Relation	  rel = table_open(lfirst_oid(lc), NoLock);

		table->relid = lfirst_oid(lc);
		table->columns = RelationGetNumberOfAttributes(rel);
		table->written = rows_written(table->relid);
		table_close(rel, NoLock);
		watched = lappend(watched, table);
	}
	return watched;
}

static const WatchedTable *
find_watched(Oid relid)
{
	ListCell *lc;

	foreach(lc, watched_tables)
	{
		const WatchedTable *table = lfirst(lc);

		if (table->relid == relid)
			return table;
	}
	return NULL;
}

/* Does the server take 'production' for rows that do not contain the column? */
static bool
is_missing_as_production(Relation rel, AttrNumber attnum)
{
	Form_pg_attribute column = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	bool			  is_null = true;
	Datum			  value;
	Tier			  tier;

	if (column->atttypid != tier_domain_oid() || !column->atthasmissing)
		return false;
	value = getmissingattr(RelationGetDescr(rel), attnum, &is_null);
	return !is_null && tier_parse_datum(value, &tier) && tier == TIER_PRODUCTION;
}

/* Is this an index of canaries, and is it certain that the table has no canary? */
static bool
has_no_canary(Relation rel, Oid index_oid)
{
	const WatchedTable *before = find_watched(RelationGetRelid(rel));
	AttrNumber			attnum = get_attnum(RelationGetRelid(rel), TIER_COLUMN);

	return before != NULL && attnum > before->columns && is_missing_as_production(rel, attnum) &&
		rel->rd_createSubid == InvalidSubTransactionId &&
		rel->rd_firstRelfilelocatorSubid == InvalidSubTransactionId &&
		rows_written(before->relid) == before->written &&
		classify_index(rel, index_oid, NIL) == INDEX_KNOWN;
}

static void
create_index(Oid relid, const char *live_when)
{
	Relation rel = table_open(relid, NoLock);
	char	*name = index_name(rel);
	int		 nest_level;

	table_close(rel, NoLock);
	nest_level = enter_canonical_settings();
	run_sql("CREATE INDEX %s ON %s USING btree (" ID_COLUMN ") WHERE %s%s%s%s",
			quote_identifier(name), qualified_name(relid), IS_CANARY,
			live_when ? " AND (" : "", live_when ? live_when : "", live_when ? ")" : "");
	AtEOXact_GUC(false, nest_level);
}

/*
 * build_index
 *		Create the index, under the settings that live_when was deparsed with.
 *		"watched" is what watch_rows() returned, or NIL: scan the table.
 */
void
build_index(Oid relid, const char *live_when, List *watched)
{
	List		*tables_before = watched_tables;
	IndexIsEmpty test_before = skip_scan_if(watched != NIL ? has_no_canary : NULL);

	/* An event trigger may call attach(), and so this function. */
	watched_tables = watched;
	PG_TRY();
	{
		create_index(relid, live_when);
	}
	PG_FINALLY();
	{
		watched_tables = tables_before;
		skip_scan_if(test_before);
	}
	PG_END_TRY();
}
