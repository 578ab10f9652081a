/*-------------------------------------------------------------------------
 *
 * server/node.c
 *	  Is this the node that holds the extension's rows?
 *
 * Citus creates the extension on its workers, too.  Their copies of our
 * tables are empty, and an answer from them would be wrong: a halted version
 * would look open.  So every function that reads our tables checks first.
 *
 * Citus is not linked to.  Its catalog pg_dist_local_group says in which group
 * of nodes a node is: the coordinator is in group 0, a worker is not.  Its catalog
 * pg_dist_partition has a row for each table that it distributes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "server/invalidation.h"
#include "server/node.h"

#define CITUS_LOCAL_GROUP		"pg_dist_local_group"
#define CITUS_GROUP_COLUMN		"groupid"
#define CITUS_COORDINATOR_GROUP 0
#define CITUS_TABLES			"pg_dist_partition"
#define CITUS_TABLE_COLUMN		"logicalrelid"
#define CITUS_SHARDS			"pg_dist_shard"
#define CITUS_SHARD_COLUMN		"shardid"

/*
 * What this session knows.  Two invalidations make it out of date: one of the
 * catalog, which Citus sends when it changes a node's group, and one of the
 * catalog's name, which the server sends when the catalog is created or dropped.
 */
static struct
{
	bool   valid;
	bool   is_worker;
	Oid	   catalog;		  /* InvalidOid: no Citus here */
	uint64 changes_heard; /* counts invalidations */
} node;

static void
relation_changed(Oid relid)
{
	node.changes_heard++;
	if (!OidIsValid(relid) || relid == node.catalog)
		node.valid = false;
}

static void
name_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	node.changes_heard++;
	node.valid = false;
}

/*
 * Does a catalog of Citus have a row whose column is ("is": true) or is not
 * (false) this value of four bytes?  False if the catalog or column is missing.
 *
 * ACCESS SHARE on the catalog, as for every read, so that it is not dropped
 * meanwhile.
 */
static bool
has_row(Oid catalog, const char *column, Oid type, bool is, uint32 wanted)
{
	Relation	rel = OidIsValid(catalog) ? try_relation_open(catalog, AccessShareLock) : NULL;
	AttrNumber	attnum;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found = false;

	if (rel == NULL) /* may have been dropped while we waited */
		return false;
	attnum = get_attnum(catalog, column);
	if (attnum != InvalidAttrNumber && get_atttype(catalog, attnum) == type)
	{
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			bool  isnull;
			Datum value = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

			if (!isnull && (DatumGetUInt32(value) == wanted) == is)
				found = true;
		}
		systable_endscan(scan);
	}
	relation_close(rel, AccessShareLock);
	return found;
}

/*
 * node_is_worker
 *		Is this a Citus worker?
 */
bool
node_is_worker(void)
{
	static bool callbacks_registered = false;
	uint64		heard_before;
	Oid			catalog;
	bool		is_worker;

	if (node.valid)
		return node.is_worker;

	if (!callbacks_registered)
	{
		on_relation_change(relation_changed);
		CacheRegisterSyscacheCallback(RELNAMENSP, name_changed, (Datum) 0);
		callbacks_registered = true;
	}

	heard_before = node.changes_heard;
	catalog = get_relname_relid(CITUS_LOCAL_GROUP, PG_CATALOG_NAMESPACE);
	is_worker = has_row(catalog, CITUS_GROUP_COLUMN, INT4OID, false, CITUS_COORDINATOR_GROUP);
	node.catalog = catalog;
	node.is_worker = is_worker;
	node.valid = (node.changes_heard == heard_before);
	return is_worker;
}

/*
 * is_distributed
 *		Does Citus keep the rows of this table, or copies of them, on other
 *		nodes?
 */
bool
is_distributed(Oid relid)
{
	return has_row(get_relname_relid(CITUS_TABLES, PG_CATALOG_NAMESPACE), CITUS_TABLE_COLUMN,
				   REGCLASSOID, true, relid);
}

/*
 * table_of_shard
 *		The table of which Citus has made this one a shard; InvalidOid: none.
 *
 * If Citus begins to manage a local table, it renames the table, which keeps its
 * OID, and creates another one with its name.  The name of a shard ends with its
 * number.  ACCESS SHARE on the catalog, as for every read.
 */
Oid
table_of_shard(Oid relid)
{
	Oid			catalog = get_relname_relid(CITUS_SHARDS, PG_CATALOG_NAMESPACE);
	Relation	rel = OidIsValid(catalog) ? try_relation_open(catalog, AccessShareLock) : NULL;
	char	   *name = get_rel_name(relid);
	char	   *number = name ? strrchr(name, '_') : NULL;
	Oid			result = InvalidOid;
	AttrNumber	table;
	AttrNumber	shard;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (rel == NULL)
		return InvalidOid;
	table = get_attnum(catalog, CITUS_TABLE_COLUMN);
	shard = get_attnum(catalog, CITUS_SHARD_COLUMN);
	if (number != NULL && table != InvalidAttrNumber && shard != InvalidAttrNumber && get_atttype(catalog, shard) == INT8OID)
	{
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			bool isnull;
			Oid	 of = DatumGetObjectId(heap_getattr(tuple, table, RelationGetDescr(rel), &isnull));

			if (strcmp(psprintf(INT64_FORMAT, DatumGetInt64(heap_getattr(tuple, shard, RelationGetDescr(rel), &isnull))), number + 1) == 0 &&
				get_rel_namespace(of) == get_rel_namespace(relid))
				result = of;
		}
		systable_endscan(scan);
	}
	relation_close(rel, AccessShareLock);
	return result;
}

/*
 * require_own_tables
 *		Called first by every SQL function that reads the extension's tables.
 *
 * Errors: 55000 on a Citus worker.
 */
void
require_own_tables(FunctionCallInfo fcinfo)
{
	Oid function = fcinfo->flinfo->fn_oid;

	if (!node_is_worker())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s.%s must be called on the node that holds its tables",
					get_namespace_name(get_func_namespace(function)), get_func_name(function)),
			 errdetail("This is a Citus worker. Its copies of the extension's tables are empty."),
			 errhint("Call the function on the coordinator.")));
}
