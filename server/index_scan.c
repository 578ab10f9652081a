/*-------------------------------------------------------------------------
 *
 * server/index_scan.c
 *	  Building an index without the scan of its table.
 *
 * CREATE INDEX reads the whole table, even if it is certain that no row belongs
 * in the index.  Here the statement runs as always, with its event triggers, its
 * locks, its log records and its statistics, and only the scan is left out:
 * the index's access method asks the table's access method for the rows to index,
 * and a copy of heap's methods answers that there are none.
 *
 * The copy has to be in the table's relation cache entry between the creation of
 * the index in the catalogs and its build.  In between the server calls
 * object_access_hook, and then no code of a user runs before the scan.  If the
 * entry is built again nevertheless, as when this session has missed messages of
 * invalidation, it has heap's own methods again, and the index is built with a
 * scan.  The same happens if the copy is asked to scan for another index.  After an error
 * the entry is built again, because the index's creation has changed the table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "server/index_scan.h"

static IndexIsEmpty			   index_is_empty; /* or NULL: nothing is left out */
static Oid					   empty_index;	   /* the one that is about to be built */
static object_access_hook_type next_hook;
static TableAmRoutine		   heap_without_scan;

/*
 * The server stores the number of rows that the scan has found in pg_class,
 * unless it is negative.
 */
#define ROWS_UNKNOWN (-1)

/* heap's index_build_range_scan, for an index that is known to be empty. */
static double
no_scan(Relation table, Relation index, IndexInfo *info, bool allow_sync, bool any_visible,
		bool progress, BlockNumber start, BlockNumber blocks,
		IndexBuildCallback callback, void *state, TableScanDesc scan)
{
	bool is_empty = RelationGetRelid(index) == empty_index;

	/* heap refuses to scan a table that does not have its own methods. */
	table->rd_tableam = GetHeapamTableAmRoutine();
	empty_index = InvalidOid;
	if (is_empty)
		return ROWS_UNKNOWN;
	return table->rd_tableam->index_build_range_scan(table, index, info, allow_sync, any_visible,
													 progress, start, blocks, callback, state, scan);
}

/*
 * Is the relation that the server has just created an index?  Then its next
 * step is CommandCounterIncrement(), so that we may call that, too.
 */
static bool
is_index(Oid relid)
{
	Relation rel = RelationIdGetRelation(relid);
	bool	 result = RelationIsValid(rel) && rel->rd_rel->relkind == RELKIND_INDEX;

	if (RelationIsValid(rel))
		RelationClose(rel);
	return result;
}

static void
prepare_build(Oid index_oid)
{
	Relation table;

	/*
	 * Now, and not after the change below: it makes the server build the
	 * table's relation cache entry again.  From here on the catalogs show the
	 * index.
	 */
	CommandCounterIncrement();
	table = table_open(IndexGetRelation(index_oid, false), NoLock);
	if (table->rd_tableam == GetHeapamTableAmRoutine() && index_is_empty(table, index_oid))
	{
		empty_index = index_oid;
		table->rd_tableam = &heap_without_scan;

		/*
		 * Parallel workers would scan.  This setting ends with the statement:
		 * CREATE INDEX has a level of settings of its own.
		 */
		(void) set_config_option("max_parallel_maintenance_workers", "0",
								 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	}
	table_close(table, NoLock);
}

static void
object_accessed(ObjectAccessType access, Oid class_oid, Oid object, int sub_id, void *arg)
{
	if (next_hook != NULL)
		next_hook(access, class_oid, object, sub_id, arg);
	if (access == OAT_POST_CREATE && class_oid == RelationRelationId && sub_id == 0 &&
		index_is_empty != NULL && is_index(object))
		prepare_build(object);
}

/*
 * skip_scan_if
 *		From now on, build an index without a scan if "is_empty" says so; NULL:
 *		build every index as the server does.
 *
 * Returns what was set before.  The caller sets that again, after an error, too.
 */
IndexIsEmpty
skip_scan_if(IndexIsEmpty is_empty)
{
	static bool	 installed = false;
	IndexIsEmpty before = index_is_empty;

	if (!installed)
	{
		heap_without_scan = *GetHeapamTableAmRoutine();
		heap_without_scan.index_build_range_scan = no_scan;
		next_hook = object_access_hook;
		object_access_hook = object_accessed;
		installed = true;
	}
	index_is_empty = is_empty;
	empty_index = InvalidOid;
	return before;
}
