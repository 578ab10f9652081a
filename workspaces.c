/*-------------------------------------------------------------------------
 *
 * workspaces.c
 *	  The attached table: which it is, listing it, and changing a tier.
 *
 * Every function here runs with its caller's privileges and under the row
 * level security that applies to the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/parallel.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "update_tier.h"

PG_FUNCTION_INFO_V1(update_tier_attached_changed);
PG_FUNCTION_INFO_V1(update_tier_attached_replaced);
PG_FUNCTION_INFO_V1(update_tier_canary_workspaces);
PG_FUNCTION_INFO_V1(update_tier_production_workspaces);
PG_FUNCTION_INFO_V1(update_tier_workspaces_in_tier);
PG_FUNCTION_INFO_V1(update_tier_workspace_tier);
PG_FUNCTION_INFO_V1(update_tier_set_update_tier);
PG_FUNCTION_INFO_V1(update_tier_counts);
PG_FUNCTION_INFO_V1(update_tier_list_support);

/* Columns of update_tier.attached. */
#define Anum_attached_workspaces 2
#define Anum_attached_live_when	 3
#define Natts_attached			 3

#define ATTACH_HINT \
	"Attach one with SELECT update_tier.attach('workspaces')."


/* ---------------------------------------------------------------------
 * Which table is attached
 * ---------------------------------------------------------------------
 */

static WorkspacesTable attached_table;

/* Counts what we heard of, so that a look-up can tell what came meanwhile. */
static uint64 changes_heard = 0;

/*
 * What this session knows of the attached table may be out of date: the
 * table has changed, or update_tier.attached (which announces a change of
 * its rows as one of its own, see update_tier_attached_changed).
 */
static void
relation_changed(Datum arg, Oid relid)
{
	changes_heard++;
	if (relid == InvalidOid ||
		relid == attached_table.relid ||
		relid == attached_table.attached_oid)
		attached_table.valid = false;
}

/* A schema has been renamed, perhaps: that changes no relation. */
static void
schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	changes_heard++;
	attached_table.valid = false;
}

/*
 * The relation update_tier.attached, or InvalidOid.
 */
Oid
attached_table_oid(void)
{
	Oid schema = get_namespace_oid(MACHINERY_SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid("attached", schema) : InvalidOid;
}

/*
 * attached_row
 *		The row of update_tier.attached.
 *
 * Read here and not through SPI: no caller needs a right on that table to
 * learn what is attached.  The latest snapshot, because what is remembered
 * has to be right for the transactions to come; a parallel worker, which may
 * take none, and its leader use the query's, and remember the row for no longer
 * than that (see is_current).
 */
AttachedRow
attached_row(Oid attached_oid)
{
	AttachedRow		row = { InvalidOid, NULL };
	Relation		rel = try_table_open(attached_oid, AccessShareLock);
	Snapshot		snapshot;
	TableScanDesc	scan;
	TupleTableSlot *slot;

	/* The extension may have been dropped while we waited for the lock. */
	if (rel == NULL)
		return row;

	slot = table_slot_create(rel, NULL);
	snapshot = RegisterSnapshot(IsInParallelMode() ? GetActiveSnapshot() : GetLatestSnapshot());
	scan = begin_scan(rel, snapshot);
	if (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		bool  isnull;
		Datum value;

		row.relid = DatumGetObjectId(slot_getattr(slot, Anum_attached_workspaces, &isnull));
		value = slot_getattr(slot, Anum_attached_live_when, &isnull);
		if (!isnull)
			row.live_when = TextDatumGetCString(value);
	}
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);
	return row;
}

/*
 * The relation's qualified, quoted name, or NULL if there is none.
 */
char *
qualified_name(Oid relid)
{
	char *name = get_rel_name(relid);
	char *schema = name ? get_namespace_name(get_rel_namespace(relid)) : NULL;

	return schema ? quote_qualified_identifier(schema, name) : NULL;
}

/*
 * The attached table must have a column that every statement uses.  False,
 * or an error, when it has not.
 */
static bool
has_column(Oid relid, const char *column, Oid type, bool missing_ok)
{
	AttrNumber attnum = get_attnum(relid, column);
	Oid		   actual = InvalidOid;

	if (attnum != InvalidAttrNumber)
		actual = get_atttype(relid, attnum);
	if (actual == type || missing_ok)
		return actual == type;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s is not as update_tier.attach left it",
					qualified_name(relid)),
			 OidIsValid(actual) ?
				 errdetail("Column \"%s\" has type %s instead of %s.", column,
						   format_type_be(actual), format_type_be(type)) :
				 errdetail("It has no column \"%s\".", column),
			 errhint("Attach it again with update_tier.attach.")));
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) ? (b == NULL) : (b != NULL && strcmp(a, b) == 0);
}

/*
 * Look up the attached table and remember it.  Where there is none (or one
 * that is no longer fit), false with missing_ok and else an error; neither
 * is remembered.
 */
static bool
load_attached_table(bool missing_ok)
{
	static bool callbacks_registered = false;
	Oid			attached_oid;
	AttachedRow row = { InvalidOid, NULL };
	char	   *name = NULL;
	HeapTuple	tuple;
	char		relkind;
	Oid			owner;
	uint64		heard_before;

	if (!callbacks_registered)
	{
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
		callbacks_registered = true;
	}

	heard_before = changes_heard;
	attached_oid = attached_table_oid();
	if (OidIsValid(attached_oid))
		row = attached_row(attached_oid);
	if (OidIsValid(row.relid))
		name = qualified_name(row.relid);
	if (name == NULL)
	{
		if (missing_ok)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 OidIsValid(row.relid) ?
					 errmsg("the attached workspaces table no longer exists") :
					 errmsg("no workspaces table is attached"),
				 errhint(ATTACH_HINT)));
	}

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(row.relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", row.relid);
	relkind = ((Form_pg_class) GETSTRUCT(tuple))->relkind;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	/* A rule can turn an empty table into a view, up to version 15. */
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
	{
		if (missing_ok)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the attached relation %s is no longer a table", name),
				 errhint("Detach it with update_tier.detach(), and attach a table.")));
	}

	if (!has_column(row.relid, ID_COLUMN, UUIDOID, missing_ok) ||
		!has_column(row.relid, TIER_COLUMN, tier_domain_oid(), missing_ok))
		return false;

	if (attached_table.relid != row.relid ||
		!same_text(attached_table.name, name) ||
		!same_text(attached_table.live_when, row.live_when))
	{
		char *new_name = MemoryContextStrdup(TopMemoryContext, name);
		char *new_live_when = row.live_when ?
			MemoryContextStrdup(TopMemoryContext, row.live_when) :
			NULL;

		if (attached_table.name)
			pfree(attached_table.name);
		if (attached_table.live_when)
			pfree(attached_table.live_when);
		attached_table.relid = row.relid;
		attached_table.name = new_name;
		attached_table.live_when = new_live_when;
		attached_table.generation++;
	}
	attached_table.attached_oid = attached_oid;
	attached_table.owner = owner;

	/* News that came while we looked may be of what we had read already. */
	attached_table.valid = (changes_heard == heard_before);

	/* A query in parallel reads with a snapshot of before the news, perhaps. */
	attached_table.read_for = IsInParallelMode() ? GetCurrentStatementStartTimestamp() : 0;
	return true;
}

/*
 * Does what was looked up still count?  What a query in parallel has read
 * counts for that query.
 */
static bool
is_current(void)
{
	return attached_table.valid &&
		(attached_table.read_for == 0 ||
		 (IsInParallelMode() && attached_table.read_for == GetCurrentStatementStartTimestamp()));
}

/*
 * What is known of the attached table, in the caller's memory.  Others may come
 * to know something else while the caller works with it: code of the table's
 * owner may run in any statement on it, and attach another one.
 */
static const WorkspacesTable *
copy_attached_table(void)
{
	WorkspacesTable *copy = palloc_object(WorkspacesTable);

	*copy = attached_table;
	copy->name = pstrdup(attached_table.name);
	copy->live_when = attached_table.live_when ? pstrdup(attached_table.live_when) : NULL;
	return copy;
}

/*
 * Lock the attached table and return what is known of it, or NULL.
 *
 * Taking a lock brings the news of what has changed before it was granted.
 * So what was looked up holds for as long as the lock does if it still
 * counts as valid once the table is locked; otherwise it is looked up again,
 * until the two agree.
 */
static const WorkspacesTable *
lock_attached_table(LOCKMODE mode, bool missing_ok)
{
	for (;;)
	{
		Oid relid;

		if (!is_current() && !load_attached_table(missing_ok))
			return NULL;
		relid = attached_table.relid;
		LockRelationOid(relid, mode);
		if (is_current() && attached_table.relid == relid)
			return copy_attached_table();

		/*
		 * Look again under the lock: a change of the table itself can then
		 * not come in between, and one round more is the last, but for the
		 * case that another table has been attached.
		 */
		if (load_attached_table(missing_ok) && attached_table.relid == relid)
			return copy_attached_table();
		UnlockRelationOid(relid, mode);
	}
}

/*
 * workspaces_lock
 *		Lock the attached table, and return what is known of it in the caller's
 *		memory.  The lock lasts to the end of the transaction, as the lock of a
 *		statement on the table does.
 *
 * Errors: 55000 when no table is attached, or it is no longer fit.
 */
const WorkspacesTable *
workspaces_lock(LOCKMODE mode)
{
	return lock_attached_table(mode, false);
}

/*
 * workspaces_seen
 *		The attached table as far as is known without locking it; InvalidOid:
 *		none.
 */
Oid
workspaces_seen(void)
{
	return is_current() || load_attached_table(true) ? attached_table.relid : InvalidOid;
}

/*
 * The same for the planner, who can do without: NULL instead of the errors,
 * and where the caller may not read the table.
 */
static const WorkspacesTable *
workspaces_if_readable(LOCKMODE mode)
{
	AttrNumber id;

	if (!is_current() && !load_attached_table(true))
		return NULL;
	id = get_attnum(attached_table.relid, ID_COLUMN);
	if (pg_class_aclcheck(attached_table.relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		(id == InvalidAttrNumber ||
		 pg_attribute_aclcheck(attached_table.relid, id, GetUserId(), ACL_SELECT) != ACLCHECK_OK))
		return NULL;
	return lock_attached_table(mode, true);
}

/*
 * update_tier.attached_changed() returns trigger
 *
 * Statement trigger on update_tier.attached, fired however its row changes
 * (attach, a restore, an administrator): every session forgets which table
 * is attached once the change is committed.
 */
Datum
update_tier_attached_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"attached_changed\" must be called as a trigger")));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(((TriggerData *) fcinfo->context)->tg_relation));
	return PointerGetDatum(NULL);
}

static Statement forget_attached = {
	.text = "DELETE FROM update_tier.attached",
	.role = AS_CALLER,
};

/*
 * update_tier.attached_replaced() returns trigger
 *
 * Row trigger on update_tier.attached, before a row is inserted: the one
 * that is there goes.  Data that is restored where a table is attached
 * already would otherwise stop at the row that says so.
 */
Datum
update_tier_attached_replaced(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"attached_replaced\" must be called as a trigger")));
	statement_run(&forget_attached, NULL, NULL, NULL);
	return PointerGetDatum(((TriggerData *) fcinfo->context)->tg_trigtuple);
}


/* ---------------------------------------------------------------------
 * Lists
 * ---------------------------------------------------------------------
 */

/*
 * The tier stands in the text as a literal, so that every plan of the
 * canaries' list can use the partial index.
 */
#define IN_TIER(tier) \
	"SELECT w.id FROM $table AS w" \
	" WHERE w.update_tier OPERATOR(pg_catalog.=) '" tier "' AND \"$live\""

static Statement list_all[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = IN_TIER("canary") " ORDER BY w.id",
		.read_only = true,
	},
	[TIER_PRODUCTION] = {
		.text = IN_TIER("production") " ORDER BY w.id",
		.read_only = true,
	}
};

/* $1: at most so many rows, or NULL. */
static Statement list_first[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = IN_TIER("canary") " ORDER BY w.id LIMIT $1",
		.nargs = 1,
		.argtypes = { INT8OID },
		.read_only = true,
	},
	[TIER_PRODUCTION] = {
		.text = IN_TIER("production") " ORDER BY w.id LIMIT $1",
		.nargs = 1,
		.argtypes = { INT8OID },
		.read_only = true,
	}
};

/* $2: the last id of the page before. */
static Statement list_next[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = IN_TIER("canary") " AND w.id OPERATOR(pg_catalog.>) $2 ORDER BY w.id LIMIT $1",
		.nargs = 2,
		.argtypes = { INT8OID, UUIDOID },
		.read_only = true,
	},
	[TIER_PRODUCTION] = {
		.text = IN_TIER("production") " AND w.id OPERATOR(pg_catalog.>) $2 ORDER BY w.id LIMIT $1",
		.nargs = 2,
		.argtypes = { INT8OID, UUIDOID },
		.read_only = true,
	}
};

/*
 * Return the rows of a statement as a function's result set: the executor
 * writes each into the tuplestore, which keeps to work_mem.
 */
static Datum
return_rows(FunctionCallInfo fcinfo, Statement *statement,
			const NullableDatum *args)
{
	ReturnSetInfo		  *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WorkspacesTable *table;
	DestReceiver		  *dest;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	dest = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(dest, rsinfo->setResult,
									rsinfo->econtext->ecxt_per_query_memory,
									false, NULL, NULL);
	statement_run(statement, table, args, dest);
	dest->rDestroy(dest);
	return (Datum) 0;
}

/*
 * canary_workspaces() returns setof uuid
 *
 * The live workspaces of tier canary, ordered by id.
 * Errors: 55000 when no table is attached.
 */
Datum
update_tier_canary_workspaces(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, &list_all[TIER_CANARY], NULL);
}

/*
 * production_workspaces() returns setof uuid
 *
 * The live workspaces of tier production, ordered by id.
 * Errors: 55000 when no table is attached.
 */
Datum
update_tier_production_workspaces(PG_FUNCTION_ARGS)
{
	return return_rows(fcinfo, &list_all[TIER_PRODUCTION], NULL);
}

/*
 * workspaces_in_tier(tier text, after uuid, max_rows bigint) returns setof uuid
 *
 * The live workspaces of a tier, ordered by id: those behind "after" (NULL:
 * from the first), at most "max_rows" (NULL: all).  A page is found by its
 * key, so the last one costs what the first one does.
 * Errors: 23514 for what is no tier, 22023 for a negative max_rows, 55000
 * when no table is attached.
 */
Datum
update_tier_workspaces_in_tier(PG_FUNCTION_ARGS)
{
	Tier		  tier = tier_argument(fcinfo->args[0], "update tier");
	NullableDatum args[2] = { fcinfo->args[2], fcinfo->args[1] };

	if (!args[0].isnull && DatumGetInt64(args[0].value) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_rows must not be negative: %lld",
						(long long) DatumGetInt64(args[0].value)),
				 errhint("Leave it out, or pass NULL, for no limit.")));

	return return_rows(fcinfo,
					   args[1].isnull ? &list_first[tier] : &list_next[tier],
					   args);
}

/*
 * How many rows a tier's list has, as the planner sees it; negative: cannot
 * tell.
 */
static double
estimated_rows(Tier tier, const WorkspacesTable *table)
{
	return statement_rows(&list_all[tier], table);
}

/*
 * The rows that a call of one of the three list functions will return, or a
 * negative number when that cannot be told.
 */
static double
estimate_list(SupportRequestRows *request)
{
	const WorkspacesTable *table = workspaces_if_readable(AccessShareLock);
	HeapTuple			   tuple;
	bool				   isnull;
	char				  *symbol;
	List				  *args;
	Node				  *tier_arg;
	Node				  *after_arg;
	Node				  *limit_arg;
	double				   rows;

	if (table == NULL)
		return -1;

	/* Told apart by what they are in C: in SQL they can be renamed. */
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(request->funcid));
	if (!HeapTupleIsValid(tuple))
		return -1;
	symbol = TextDatumGetCString(SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull));
	ReleaseSysCache(tuple);
	if (strcmp(symbol, "update_tier_canary_workspaces") == 0)
		return estimated_rows(TIER_CANARY, table);
	if (strcmp(symbol, "update_tier_production_workspaces") == 0)
		return estimated_rows(TIER_PRODUCTION, table);
	if (strcmp(symbol, "update_tier_workspaces_in_tier") != 0 ||
		list_length(((FuncExpr *) request->node)->args) != 3)
		return -1;

	args = ((FuncExpr *) request->node)->args;
	tier_arg = estimate_expression_value(request->root, linitial(args));
	after_arg = estimate_expression_value(request->root, lsecond(args));
	limit_arg = estimate_expression_value(request->root, lthird(args));

	/* A tier that is not known yet is most likely the large one. */
	rows = estimated_rows(TIER_PRODUCTION, table);
	if (IsA(tier_arg, Const) && !((Const *) tier_arg)->constisnull)
	{
		text *name = DatumGetTextPP(((Const *) tier_arg)->constvalue);
		Tier  tier;

		if (!tier_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &tier))
			return -1; /* the call will say what is wrong */
		rows = estimated_rows(tier, table);
	}

	/* Nothing is known of where a page starts: the planner's own guess. */
	if (!IsA(after_arg, Const) || !((Const *) after_arg)->constisnull)
		rows *= 1.0 / 3.0;

	if (IsA(limit_arg, Const) && !((Const *) limit_arg)->constisnull)
		rows = Min(rows, (double) DatumGetInt64(((Const *) limit_arg)->constvalue));
	return Max(rows, 0);
}

/*
 * update_tier.list_support(internal) returns internal
 *
 * Planner support: row estimates of the list functions.  They are those of
 * the query that the function will run, hence as good as the statistics.
 */
Datum
update_tier_list_support(PG_FUNCTION_ARGS)
{
	Node  *request = (Node *) PG_GETARG_POINTER(0);
	double rows;

	if (!IsA(request, SupportRequestRows) ||
		!IsA(((SupportRequestRows *) request)->node, FuncExpr))
		PG_RETURN_POINTER(NULL);

	rows = estimate_list((SupportRequestRows *) request);
	if (rows < 0)
		PG_RETURN_POINTER(NULL);
	((SupportRequestRows *) request)->rows = rows;
	PG_RETURN_POINTER(request);
}

static Statement count_tiers = {
	.text = "SELECT pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary'),"
			" pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'production')"
			" FROM $table AS w WHERE \"$live\"",
	.read_only = true,
	.cursor_options = CURSOR_OPT_PARALLEL_OK
};

/*
 * update_tier.counts() returns table (tier update_tier, workspaces bigint)
 *
 * How many live workspaces each tier has; a row for each tier, in rollout
 * order, also where there are none.
 * Errors: 55000 when no table is attached.
 */
Datum
update_tier_counts(PG_FUNCTION_ARGS)
{
	ReturnSetInfo		  *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WorkspacesTable *table;
	NullableDatum		   counted[TIER_COUNT];

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	InitMaterializedSRF(fcinfo, 0);
	if (!statement_fetch(&count_tiers, table, NULL, counted))
		elog(ERROR, "counting workspaces returned no row");
	for (int i = 0; i < TIER_COUNT; i++)
	{
		Datum values[2] = { CStringGetTextDatum(tier_names[i]), counted[i].value };
		bool  nulls[2] = { false, false };

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}


/* ---------------------------------------------------------------------
 * One workspace
 * ---------------------------------------------------------------------
 */

#define TIER_OF_ONE \
	"SELECT w.update_tier FROM $table AS w WHERE w.id OPERATOR(pg_catalog.=) $1"

static Statement read_tier = {
	.text = TIER_OF_ONE,
	.nargs = 1,
	.argtypes = { UUIDOID },
	.read_only = true,
};

/* The same in a function that writes: it sees what was committed meanwhile. */
static Statement reread_tier = {
	.text = TIER_OF_ONE,
	.nargs = 1,
	.argtypes = { UUIDOID },
};

static Statement lock_tier = {
	.text = TIER_OF_ONE " FOR NO KEY UPDATE OF w",
	.nargs = 1,
	.argtypes = { UUIDOID },
};

static Statement write_tier = {
	.text = "UPDATE $table AS w SET update_tier = $2"
			" WHERE w.id OPERATOR(pg_catalog.=) $1 RETURNING w.update_tier",
	.nargs = 2,
	.argtypes = { UUIDOID, TEXTOID },
};

/* For the NOTICE: the caller may not be allowed to read what live_when names. */
static Statement any_canary = {
	.text = "SELECT true FROM $table AS w"
			" WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary' AND \"$live\" LIMIT 1",
	.role = AS_TABLE_OWNER,
};

/*
 * workspace_tier(workspace uuid) returns update_tier
 *
 * The workspace's tier, live or not; NULL for an unknown one.  Strict.
 * Errors: 55000 when no table is attached.
 */
Datum
update_tier_workspace_tier(PG_FUNCTION_ARGS)
{
	const WorkspacesTable *table;
	NullableDatum		   tier;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (!statement_fetch(&read_tier, table, &fcinfo->args[0], &tier) || tier.isnull)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(tier.value);
}

static char *
uuid_text(Datum workspace)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, workspace));
}

/*
 * Fetch the workspace's tier with one of the statements above.
 */
static bool
fetch_tier(Statement *statement, const WorkspacesTable *table,
		   NullableDatum workspace, Tier *tier)
{
	NullableDatum value;

	if (!statement_fetch(statement, table, &workspace, &value))
		return false;
	*tier = tier_argument(value, "stored update tier");
	return true;
}

static void
refuse_unknown(Datum workspace, const WorkspacesTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("workspace %s does not exist", uuid_text(workspace)),
			 errdetail("Table %s has no row with this id that you may see.",
					   table->name)));
}

/* Compare-and-set: is the tier the one that the caller expects? */
static void
check_expected(Datum workspace, Tier current, NullableDatum expected)
{
	if (expected.isnull || tier_argument(expected, "expected update tier") == current)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("update tier of workspace %s is not the expected one",
					uuid_text(workspace)),
			 errdetail("It is \"%s\", expected was \"%s\".",
					   tier_names[current], TextDatumGetCString(expected.value)),
			 errhint("Read the tier again, and decide anew.")));
}

/*
 * set_update_tier(workspace uuid, tier text, expected text) returns update_tier
 *
 * Gives a workspace a tier and returns the one it had.  Writes nothing when
 * it has that tier already.  With "expected", only if the present tier is
 * that one (compare-and-set).  Raises a NOTICE when no live canary is left.
 *
 * Errors: 23514 for what is no tier, 22004 for a NULL workspace, P0002 for
 * an unknown one, 55000 when the present tier is not the expected one, when
 * a trigger or rule kept the row as it was, or when no table is attached,
 * 42501 when row-level security lets the caller see the row but not change
 * it, 40001 as any UPDATE under REPEATABLE READ.
 *
 * Two callers: the second waits for the row's lock and then decides on what
 * the first one left.
 */
Datum
update_tier_set_update_tier(PG_FUNCTION_ARGS)
{
	NullableDatum		   workspace = fcinfo->args[0];
	NullableDatum		   expected = fcinfo->args[2];
	Tier				   wanted = tier_argument(fcinfo->args[1], "update tier");
	Tier				   current;
	const WorkspacesTable *table;
	NullableDatum		   args[2];
	bool				   done = false;
	NullableDatum		   written;
	const pg_uuid_t		  *written_before = set_update_tier_writes;

	require_own_tables(fcinfo);
	if (!expected.isnull)
		(void) tier_argument(expected, "expected update tier");
	if (workspace.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("workspace must not be null")));

	/*
	 * RowExclusiveLock is what the UPDATE will take; a weaker lock first and
	 * this one then could deadlock with an ALTER TABLE that waits in between.
	 */
	table = workspaces_lock(RowExclusiveLock);

	/* Most calls that change nothing end here, without a lock on the row. */
	if (!fetch_tier(&reread_tier, table, workspace, &current))
		refuse_unknown(workspace.value, table);
	check_expected(workspace.value, current, expected);
	if (current == wanted)
		PG_RETURN_DATUM(CStringGetTextDatum(tier_names[current]));

	/*
	 * Lock the row, and look once more: what we saw may have changed while
	 * we waited.  NO KEY UPDATE is the lock that the UPDATE itself takes.
	 */
	if (!fetch_tier(&lock_tier, table, workspace, &current))
	{
		if (!fetch_tier(&reread_tier, table, workspace, &current))
			refuse_unknown(workspace.value, table);
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to change the update tier of workspace %s",
						uuid_text(workspace.value)),
				 errdetail("A row-level security policy of table %s lets you see the row, but not update it.",
						   table->name)));
	}
	check_expected(workspace.value, current, expected);
	if (current == wanted)
		PG_RETURN_DATUM(CStringGetTextDatum(tier_names[current]));

	args[0] = workspace;
	args[1].value = CStringGetTextDatum(tier_names[wanted]);
	args[1].isnull = false;
	set_update_tier_writes = DatumGetUUIDP(workspace.value);
	PG_TRY();
	{
		done = statement_fetch(&write_tier, table, args, &written);
	}
	PG_FINALLY();
	{
		set_update_tier_writes = written_before;
	}
	PG_END_TRY();
	if (!done || tier_argument(written, "stored update tier") != wanted)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("update tier of workspace %s did not change",
						uuid_text(workspace.value)),
				 errdetail("A trigger or rule of table %s kept it \"%s\".",
						   table->name, tier_names[current])));

	if (current == TIER_CANARY)
	{
		NullableDatum found;

		/* The trigger of somebody's may have changed the table. */
		table = workspaces_lock(RowExclusiveLock);
		if (!statement_fetch(&any_canary, table, NULL, &found))
			ereport(NOTICE,
					(errmsg("no canary workspaces are left"),
					 errdetail("Workspace %s was the last one.",
							   uuid_text(workspace.value)),
					 errhint("Updates reach production only after canaries ran them: make another workspace a canary.")));
	}
	PG_RETURN_DATUM(CStringGetTextDatum(tier_names[current]));
}
