/*-------------------------------------------------------------------------
 *
 * fleet/lookup.c
 *	  Workspaces found by id, without a statement.
 *
 * A gate looks up a workspace for each row of a query.  A statement that finds
 * one row spends nine tenths of its time on starting and ending the executor.
 * So the row is read through the table's unique index, and the condition on live
 * rows is an expression that is prepared once.
 *
 * A look-up must find what the statements of fleet/live.c find, with the same
 * rights.  They run as the table's owner, without row-level security.
 * lookup_begin() returns NULL if that needs more than an index scan; the caller
 * then runs the statement:
 * - The table is partitioned, has children, is unlogged, is not a heap, or Citus
 *   keeps its rows elsewhere.
 * - No index can be used: it must be valid, unique, not deferrable, not partial,
 *   and have "id" as its only key column.
 * - The owner may not read the table or use its schema.
 * - Another extension checks or audits what is read (ExecutorCheckPerms_hook).
 * - The table has a virtual generated column, which only the planner can expand.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "fleet/condition.h"
#include "fleet/lookup.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/identity.h"
#include "server/invalidation.h"
#include "server/node.h"

/* Only one call at a time uses it: see take(). */
struct Lookup
{
	MemoryContext	context;
	Oid				relid;
	Oid				index;
	Oid				owner;
	bool			default_privileges; /* of the table: no right was ever granted or revoked */
	AttrNumber		tier;
	TupleTableSlot *slot;
	ExprState	   *live; /* NULL: every row is live */
	ExprContext	   *live_context;
	ScanKeyData		key;

	/* From lookup_begin() to lookup_end(). */
	uint64		  number;
	Identity	  caller;
	Relation	  rel;
	Relation	  index_rel;
	Snapshot	  snapshot;
	IndexScanDesc scan;
};

typedef enum Way
{
	WAY_UNKNOWN,
	WAY_STATEMENT,
	WAY_INDEX
} Way;

/* What this session knows of the attached table. */
static struct
{
	Way		way;
	uint64	generation; /* of the table's name and condition */
	Oid		relid;
	Oid		owner;
	Oid		index;
	uint64	number; /* counts invalidations */
	Lookup *lookup; /* NULL: a call uses it, or it was not made */
} known;

static void
forget_known(void)
{
	known.number++;
	known.way = WAY_UNKNOWN;
}

static void
relation_changed(Oid relid)
{
	/* While nothing is known, any relation may matter. */
	if (!OidIsValid(relid) || relid == known.relid || relid == known.index || known.way == WAY_UNKNOWN)
		forget_known();
}

/* Rights on the schema or on functions of the condition, or a role, have changed. */
static void
rights_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	forget_known();
}

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	on_relation_change(relation_changed);
	CacheRegisterSyscacheCallback(NAMESPACEOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, rights_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, rights_changed, (Datum) 0);
	registered = true;
}


/* ---------------------------------------------------------------------
 * Preparing
 * ---------------------------------------------------------------------
 */

static bool
has_virtual_column(TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		char generated = TupleDescAttr(desc, i)->attgenerated;

		if (generated != '\0' && generated != ATTRIBUTE_GENERATED_STORED)
			return true;
	}
	return false;
}

static bool
is_ordinary(Relation rel)
{
	return rel->rd_rel->relkind == RELKIND_RELATION && rel->rd_rel->relam == HEAP_TABLE_AM_OID &&
		rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT && !rel->rd_rel->relhassubclass &&
		!has_virtual_column(RelationGetDescr(rel)) && !is_distributed(RelationGetRelid(rel));
}

/*
 * Does a scan of this index find every row with an id, of which a snapshot
 * shows one at most?
 */
static bool
is_usable(Relation index_rel, AttrNumber id)
{
	Form_pg_index index = index_rel->rd_index;

	return index_rel->rd_rel->relam == BTREE_AM_OID && index->indisvalid && index->indisunique && index->indimmediate &&
		index->indnkeyatts == 1 && index->indkey.values[0] == id &&
		heap_attisnull(index_rel->rd_indextuple, Anum_pg_index_indpred, NULL) &&
		index_rel->rd_opfamily[0] == lookup_type_cache(UUIDOID, TYPECACHE_BTREE_OPFAMILY)->btree_opf;
}

/*
 * An index that can be used, or InvalidOid.  ACCESS SHARE on each index until the
 * transaction ends, as the planner takes it.
 */
static Oid
usable_index(Relation rel)
{
	AttrNumber id = get_attnum(RelationGetRelid(rel), ID_COLUMN);
	Oid		   found = InvalidOid;
	ListCell  *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation index_rel = index_open(lfirst_oid(lc), AccessShareLock);

		if (!OidIsValid(found) && is_usable(index_rel, id))
			found = RelationGetRelid(index_rel);
		index_close(index_rel, NoLock);
	}
	return found;
}

static bool
has_default_privileges(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool	  result;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	result = heap_attisnull(tuple, Anum_pg_class_relacl, NULL);
	ReleaseSysCache(tuple);
	return result;
}

/* Prepare the look-up, as the owner.  Its memory is a child of the caller's. */
static Lookup *
make_lookup(const WorkspacesTable *table, Relation rel, Oid index)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "update_tier lookup", ALLOCSET_SMALL_SIZES);
	MemoryContext caller_context = MemoryContextSwitchTo(context);
	Lookup		 *lookup = palloc0_object(Lookup);

	lookup->context = context;
	lookup->relid = table->relid;
	lookup->index = index;
	lookup->owner = table->statement_table.owner;
	lookup->default_privileges = has_default_privileges(table->relid);
	lookup->tier = get_attnum(table->relid, TIER_COLUMN);
	/* A copy of the row type, as the relation cache may free its own. */
	lookup->slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(rel)), &TTSOpsBufferHeapTuple);
	if (table->statement_table.live_when != NULL)
	{
		lookup->live = ExecInitExpr(condition_expression(rel, table->statement_table.live_when), NULL);
		lookup->live_context = CreateStandaloneExprContext();
	}
	ScanKeyInit(&lookup->key, 1, BTEqualStrategyNumber, F_UUID_EQ, (Datum) 0);
	MemoryContextSwitchTo(caller_context);
	return lookup;
}

/*
 * Find out how the table can be read, and prepare it.  ACCESS SHARE is no new
 * lock: the caller has locked the table.
 */
static void
learn(const WorkspacesTable *table)
{
	uint64	 number;
	Relation rel;
	Oid		 index = InvalidOid;
	Lookup	*lookup = NULL;

	register_callbacks();
	known.way = WAY_UNKNOWN;
	number = known.number;
	rel = try_table_open(table->relid, AccessShareLock);
	if (rel == NULL)
		return;
	if (is_ordinary(rel) &&
		schema_is_usable(RelationGetNamespace(rel), table->statement_table.owner))
		index = usable_index(rel);
	if (OidIsValid(index))
		lookup = make_lookup(table, rel, index);
	table_close(rel, NoLock);

	if (known.lookup != NULL)
		MemoryContextDelete(known.lookup->context);
	known.lookup = lookup;
	if (lookup != NULL)
		MemoryContextSetParent(lookup->context, TopMemoryContext);
	known.generation = table->statement_table.generation;
	known.relid = table->relid;
	known.owner = table->statement_table.owner;
	known.index = index;
	/* An invalidation that came meanwhile may concern what was read before it. */
	known.way = known.number != number ? WAY_UNKNOWN : lookup ? WAY_INDEX :
																WAY_STATEMENT;
}

/*
 * Take what was prepared; NULL: run the statement.  Until lookup_end() its
 * memory is a child of the caller's, so that an error frees it: its slot may
 * then hold a page that is no longer pinned.
 */
static Lookup *
take(const WorkspacesTable *table)
{
	Lookup *lookup;

	if (known.way == WAY_UNKNOWN || (known.way == WAY_INDEX && known.lookup == NULL) ||
		known.generation != table->statement_table.generation || known.relid != table->relid ||
		known.owner != table->statement_table.owner)
		learn(table);
	if (known.way != WAY_INDEX)
		return NULL;
	lookup = known.lookup;
	known.lookup = NULL;
	lookup->number = known.number;
	MemoryContextSetParent(lookup->context, CurrentMemoryContext);
	return lookup;
}

/* Put it back, unless it is out of date or another one was prepared meanwhile. */
static void
put(Lookup *lookup)
{
	if (known.lookup != NULL || lookup->number != known.number || known.way != WAY_INDEX)
	{
		MemoryContextDelete(lookup->context);
		return;
	}
	MemoryContextSetParent(lookup->context, TopMemoryContext);
	known.lookup = lookup;
}


/* ---------------------------------------------------------------------
 * Looking up
 * ---------------------------------------------------------------------
 */

/*
 * If rows had older versions that did not belong in an index when it was built,
 * only snapshots that do not show these can use it.  The server's planner makes
 * the same test.
 */
static bool
is_too_new(Relation index_rel)
{
	return index_rel->rd_index->indcheckxmin &&
		!TransactionIdPrecedes(HeapTupleHeaderGetXmin(index_rel->rd_indextuple->t_data), TransactionXmin);
}

static bool
open_index(Lookup *lookup)
{
	if (!lookup->default_privileges &&
		pg_class_aclcheck(lookup->relid, lookup->owner, ACL_SELECT) != ACLCHECK_OK)
		return false;
	lookup->index_rel = index_open(lookup->index, AccessShareLock);
	if (!is_too_new(lookup->index_rel))
		return true;
	index_close(lookup->index_rel, NoLock);
	return false;
}

/*
 * lookup_begin
 *		Begin to look up workspaces; NULL: it takes a statement.
 *
 * "read_only" is explained in fleet/live.c.  The caller has locked the table.
 * The index is locked as a query locks it.
 */
Lookup *
lookup_begin(const WorkspacesTable *table, bool read_only)
{
	Identity caller;
	Lookup	*lookup;

	if (ExecutorCheckPerms_hook != NULL)
		return NULL;
	caller = become(table->statement_table.owner, SECURITY_NOFORCE_RLS | SECURITY_RESTRICTED_OPERATION);
	lookup = take(table);
	if (lookup == NULL || !open_index(lookup))
	{
		if (lookup != NULL)
			put(lookup);
		become_again(caller);
		return NULL;
	}
	if (!read_only)
		CommandCounterIncrement();
	lookup->caller = caller;
	lookup->rel = table_open(lookup->relid, NoLock);
	lookup->snapshot = RegisterSnapshot(read_only ? GetActiveSnapshot() : GetTransactionSnapshot());
	lookup->scan = index_scan(lookup->rel, lookup->index_rel, lookup->snapshot, 1);
	return lookup;
}

/* Does the row in the slot meet the condition?  Not if that is NULL. */
static bool
is_live(Lookup *lookup)
{
	ExprContext			*context = lookup->live_context;
	ErrorContextCallback error_context = { .previous = error_context_stack, .callback = condition_context };
	bool				 isnull;
	Datum				 result;

	if (lookup->live == NULL)
		return true;
	error_context_stack = &error_context;
	context->ecxt_scantuple = lookup->slot;
	result = ExecEvalExprSwitchContext(lookup->live, context, &isnull);
	ResetExprContext(context);
	error_context_stack = error_context.previous;
	return !isnull && DatumGetBool(result);
}

/*
 * lookup_find
 *		The tier of a workspace, and whether it is live.  False: the workspace
 *		does not exist.
 */
bool
lookup_find(Lookup *lookup, const pg_uuid_t *id, Tier *tier, bool *live)
{
	bool  isnull = true;
	Datum value;

	lookup->key.sk_argument = UUIDPGetDatum(id);
	index_rescan(lookup->scan, &lookup->key, 1, NULL, 0);
	if (index_getnext_slot(lookup->scan, ForwardScanDirection, lookup->slot))
		value = slot_getattr(lookup->slot, lookup->tier, &isnull);
	if (!isnull)
	{
		*live = is_live(lookup);
		*tier = tier_from_text(value);
	}
	return !isnull;
}

/* lookup_end: end a look-up, and restore the caller's identity. */
void
lookup_end(Lookup *lookup)
{
	ExecClearTuple(lookup->slot);
	index_endscan(lookup->scan);
	UnregisterSnapshot(lookup->snapshot);
	index_close(lookup->index_rel, NoLock);
	table_close(lookup->rel, NoLock);
	become_again(lookup->caller);
	put(lookup);
}
