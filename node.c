/*-------------------------------------------------------------------------
 *
 * node.c
 *	  Is this the node that holds the extension's rows?
 *
 * Citus creates the extension on its workers, too.  Their copies of our
 * tables are empty, and an answer from them would be wrong: a halted version
 * would look open.  So every function that reads our tables asks first.
 *
 * Citus is not linked to.  Its catalog pg_dist_local_group says in which group
 * of nodes a node is: the coordinator is in group 0, a worker is not.
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
#include "utils/syscache.h"

#include "update_tier.h"

#define CITUS_LOCAL_GROUP		"pg_dist_local_group"
#define CITUS_GROUP_COLUMN		"groupid"
#define CITUS_COORDINATOR_GROUP 0

/*
 * What this session knows.  Citus announces a change of a node's group as a
 * change of its catalog, and a catalog that is created or dropped changes what
 * its name stands for.
 */
static struct
{
	bool   valid;
	bool   is_worker;
	Oid	   catalog;		  /* InvalidOid: no Citus here */
	uint64 changes_heard; /* tells what came while we read */
} node;

static void
relation_changed(Datum arg, Oid relid)
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

/* Does the catalog put this node in a group other than the coordinator's? */
static bool
read_is_worker(Oid catalog)
{
	Relation	rel = try_relation_open(catalog, AccessShareLock);
	AttrNumber	attnum;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		is_worker = false;

	if (rel == NULL) /* dropped while we waited */
		return false;
	attnum = get_attnum(catalog, CITUS_GROUP_COLUMN);
	if (attnum != InvalidAttrNumber && get_atttype(catalog, attnum) == INT4OID)
	{
		scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
		while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		{
			bool  isnull;
			Datum group = heap_getattr(tuple, attnum, RelationGetDescr(rel), &isnull);

			if (!isnull && DatumGetInt32(group) != CITUS_COORDINATOR_GROUP)
				is_worker = true;
		}
		systable_endscan(scan);
	}
	relation_close(rel, AccessShareLock);
	return is_worker;
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
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(RELNAMENSP, name_changed, (Datum) 0);
		callbacks_registered = true;
	}

	heard_before = node.changes_heard;
	catalog = get_relname_relid(CITUS_LOCAL_GROUP, PG_CATALOG_NAMESPACE);
	is_worker = OidIsValid(catalog) && read_is_worker(catalog);
	node.catalog = catalog;
	node.is_worker = is_worker;
	node.valid = (node.changes_heard == heard_before);
	return is_worker;
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
