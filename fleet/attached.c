/*-------------------------------------------------------------------------
 *
 * fleet/attached.c
 *	  Which table is attached.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "fleet/attached.h"
#include "fleet/condition.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/dynamic_sql.h"
#include "server/identity.h"
#include "server/invalidation.h"
#include "server/node.h"
#include "server/settings.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_attached_changed);
PG_FUNCTION_INFO_V1(update_tier_attached_replaced);

/* Columns of update_tier.attached. */
#define Anum_attached_workspaces 2
#define Anum_attached_live_when	 3

#define ATTACH_HINT \
	"Attach one with SELECT update_tier.attach('workspaces')."

static WorkspacesTable attached_table = {
	.statement_table.condition = condition_transform
};

/* Counts invalidations, so that a look-up knows whether one came meanwhile. */
static uint64 changes_heard = 0;

/*
 * What this session knows of the attached table may be out of date: the table
 * has changed, or update_tier.attached.  A change of that table's rows sends an
 * invalidation, too, see update_tier_attached_changed.
 */
static void
relation_changed(Oid relid)
{
	changes_heard++;
	if (relid == InvalidOid ||
		relid == attached_table.relid ||
		relid == attached_table.attached_oid)
		attached_table.valid = false;
}

/* A schema may have been renamed, which invalidates no relation. */
static void
schema_changed(Datum arg, int cacheid, uint32 hashvalue)
{
	changes_heard++;
	attached_table.valid = false;
}

/* attached_table_oid: the relation update_tier.attached, or InvalidOid. */
Oid
attached_table_oid(void)
{
	return own_table_oid("attached");
}

/*
 * attached_row
 *		The row of update_tier.attached.
 *
 * Not through SPI, as callers need no right on that table.  ACCESS SHARE on it,
 * as for every read, so that DROP EXTENSION waits.  Uses the latest snapshot,
 * because what is remembered has to be right for later transactions.  A
 * parallel worker may not take a snapshot, so a worker and its leader use the
 * query's, and remember the row only for that query (see is_current).
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

/* qualified_name: a relation's name, qualified and quoted, or NULL if it is gone. */
char *
qualified_name(Oid relid)
{
	char *name = get_rel_name(relid);
	char *schema = name ? get_namespace_name(get_rel_namespace(relid)) : NULL;

	return schema ? quote_qualified_identifier(schema, name) : NULL;
}

/* A call that attaches the table again, with its condition. */
static char *
attach_again(const AttachedRow *row)
{
	char *table = quote_literal_cstr(qualified_name(row->relid));

	return row->live_when ?
		psprintf("SELECT update_tier.attach(%s, %s)", table, quote_literal_cstr(row->live_when)) :
		psprintf("SELECT update_tier.attach(%s)", table);
}

/*
 * Does the attached table have a column that every statement uses?  If not:
 * false, or an error.
 */
static bool
has_column(const AttachedRow *row, const char *column, Oid type, bool missing_ok)
{
	AttrNumber attnum = get_attnum(row->relid, column);
	Oid		   actual = InvalidOid;

	if (attnum != InvalidAttrNumber)
		actual = get_atttype(row->relid, attnum);
	if (actual == type || missing_ok)
		return actual == type;

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("table %s must be attached again",
					qualified_name(row->relid)),
			 OidIsValid(actual) ?
				 errdetail("Its column \"%s\" has type %s instead of %s.", column,
						   format_type_be(actual), format_type_be(type)) :
				 errdetail("Its column \"%s\" no longer exists.", column),
			 strcmp(column, "id") == 0 ?
				 errhint("Give the table a unique column \"id\" of type uuid, and use %s.", attach_again(row)) :
				 errhint("Use %s.", attach_again(row))));
}

static bool
same_text(const char *a, const char *b)
{
	return (a == NULL) ? (b == NULL) : (b != NULL && strcmp(a, b) == 0);
}

/* What is an error if no attached table can be used? */
typedef enum MissingTable
{
	MISSING_IS_ERROR, /* no table is attached, or it is gone or unfit */
	UNFIT_IS_ERROR,	  /* the attached table is gone or unfit */
	MISSING_IS_OK	  /* neither */
} MissingTable;

static void
register_callbacks(void)
{
	static bool registered = false;

	if (registered)
		return;
	on_relation_change(relation_changed);
	CacheRegisterSyscacheCallback(NAMESPACEOID, schema_changed, (Datum) 0);
	registered = true;
}

/* No table is attached, or the one that is has been dropped. */
pg_noreturn static void
refuse_missing(const AttachedRow *row)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 OidIsValid(row->relid) ?
				 errmsg("the attached table no longer exists") :
				 errmsg("no workspaces table is attached"),
			 errhint(ATTACH_HINT)));
}

/* Is the relation still a table with the columns that every statement uses? */
static bool
is_fit(const AttachedRow *row, const char *name, bool missing_ok)
{
	char relkind = get_rel_relkind(row->relid);

	/* A rule can turn an empty table into a view, up to version 15. */
	if (relkind != RELKIND_RELATION && relkind != RELKIND_PARTITIONED_TABLE)
	{
		if (missing_ok)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the attached relation %s is no longer a table", name),
				 errhint("Detach it with SELECT update_tier.detach(), and attach a table.")));
	}
	return has_column(row, ID_COLUMN, UUIDOID, missing_ok) &&
		has_column(row, TIER_COLUMN, tier_domain_oid(), missing_ok);
}

/*
 * owner_can_read_shards
 *		Can the owner of a distributed table read all of its rows?  If not: false,
 *		or an error.
 *
 * Citus reads them over connections that the owner opens to other nodes.  What
 * exempts a statement from FORCE ROW LEVEL SECURITY does not travel with it, so
 * the owner would see no row.
 *
 * Errors: 0A000.
 */
bool
owner_can_read_shards(Oid relid, bool missing_ok)
{
	Oid		  owner = relation_owner(relid);
	char	 *owner_name = GetUserNameFromId(owner, false);
	HeapTuple role = SearchSysCache1(AUTHOID, ObjectIdGetDatum(owner));
	HeapTuple table = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool	  logs_in = HeapTupleIsValid(role) && ((Form_pg_authid) GETSTRUCT(role))->rolcanlogin;
	bool	  sees_all = HeapTupleIsValid(table) &&
		(!((Form_pg_class) GETSTRUCT(table))->relrowsecurity ||
		 !((Form_pg_class) GETSTRUCT(table))->relforcerowsecurity || has_bypassrls_privilege(owner));

	if (HeapTupleIsValid(role))
		ReleaseSysCache(role);
	if (HeapTupleIsValid(table))
		ReleaseSysCache(table);
	if ((logs_in && sees_all) || missing_ok)
		return logs_in && sees_all;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("distributed table %s cannot be read as its owner, \"%s\"", qualified_name(relid), owner_name),
			 logs_in ?
				 errdetail("With FORCE ROW LEVEL SECURITY its policies would hide rows from the owner on the nodes of Citus.") :
				 errdetail("Citus would open connections to its nodes as this role, which is not permitted to log in."),
			 logs_in ?
				 errhint("Use ALTER TABLE %s NO FORCE ROW LEVEL SECURITY.", qualified_name(relid)) :
				 errhint("Use ALTER ROLE %s LOGIN.", quote_identifier(owner_name))));
}

/* Kept plans stay valid unless the table, its name or its condition has changed. */
static void
remember_table(const AttachedRow *row, const char *name)
{
	StatementTable *known = &attached_table.statement_table;
	char		   *new_name;
	char		   *new_live_when;

	if (attached_table.relid == row->relid && same_text(known->name, name) &&
		same_text(known->live_when, row->live_when))
		return;

	new_name = MemoryContextStrdup(TopMemoryContext, name);
	new_live_when = row->live_when ? MemoryContextStrdup(TopMemoryContext, row->live_when) : NULL;
	if (known->name)
		pfree(unconstify(char *, known->name));
	if (known->live_when)
		pfree(unconstify(char *, known->live_when));
	attached_table.relid = row->relid;
	known->name = new_name;
	known->live_when = new_live_when;
	known->generation++;
}

/*
 * Look up the attached table and remember it.  If no attached table can be
 * used: false, or an error; neither is remembered.
 */
static bool
load_attached_table(MissingTable missing)
{
	uint64		heard_before;
	Oid			attached_oid;
	AttachedRow row = { InvalidOid, NULL };
	char	   *name = NULL;
	Oid			owner;
	bool		distributed;

	register_callbacks();
	heard_before = changes_heard;
	attached_oid = attached_table_oid();
	if (OidIsValid(attached_oid))
		row = attached_row(attached_oid);
	if (OidIsValid(row.relid))
		name = qualified_name(row.relid);
	if (name == NULL)
	{
		if (missing == MISSING_IS_OK || (missing == UNFIT_IS_ERROR && !OidIsValid(row.relid)))
			return false;
		refuse_missing(&row);
	}
	owner = relation_owner(row.relid);
	if (!is_fit(&row, name, missing == MISSING_IS_OK))
		return false;
	distributed = is_distributed(row.relid);
	if (distributed && !owner_can_read_shards(row.relid, missing == MISSING_IS_OK))
		return false;
	remember_table(&row, name);
	attached_table.distributed = distributed;
	attached_table.condition_fits = condition_names_exist(row.relid, row.live_when);
	attached_table.attached_oid = attached_oid;
	attached_table.statement_table.owner = owner;

	/* An invalidation that came meanwhile may concern what we had read before it. */
	attached_table.valid = (changes_heard == heard_before);

	/* In parallel mode we read with a snapshot that may be older than the change. */
	attached_table.read_for = IsInParallelMode() ? GetCurrentStatementStartTimestamp() : 0;
	return true;
}

/*
 * Is what was looked up still valid?  What was read in parallel mode is valid
 * for that query only.
 */
static bool
is_current(void)
{
	return attached_table.valid &&
		(attached_table.read_for == 0 ||
		 (IsInParallelMode() && attached_table.read_for == GetCurrentStatementStartTimestamp()));
}

/*
 * A copy of what is known of the attached table, in the caller's memory.  The
 * original may change while the caller works with it: any statement on the table
 * may run code of its owner, which may attach another table.
 */
static const WorkspacesTable *
copy_attached_table(void)
{
	WorkspacesTable *copy = palloc_object(WorkspacesTable);

	*copy = attached_table;
	copy->statement_table.name = pstrdup(attached_table.statement_table.name);
	copy->statement_table.live_when = attached_table.statement_table.live_when ?
		pstrdup(attached_table.statement_table.live_when) :
		NULL;
	return copy;
}

/*
 * Lock the attached table and return what is known of it.  If no attached table
 * can be used: NULL, or an error.
 *
 * When a lock is granted, the session has processed the invalidations sent
 * before.  So what was looked up is right, and stays right while the lock is
 * held, if it is still valid once the table is locked.  Otherwise it is looked
 * up again.
 */
static const WorkspacesTable *
lock_attached_table(LOCKMODE mode, MissingTable missing)
{
	for (;;)
	{
		Oid relid;

		if (!is_current() && !load_attached_table(missing))
			return NULL;
		relid = attached_table.relid;
		LockRelationOid(relid, mode);
		if (is_current() && attached_table.relid == relid)
			return copy_attached_table();

		/*
		 * Look again under the lock, which prevents a change of the table itself.
		 * Another round is needed only if another table has been attached.
		 */
		if (load_attached_table(missing) && attached_table.relid == relid)
			return copy_attached_table();
		UnlockRelationOid(relid, mode);
	}
}

/*
 * workspaces_lock
 *		Lock the attached table, and return what is known of it in the caller's
 *		memory.
 *
 * "mode" is the lock that a statement of the caller takes on the table:
 * AccessShareLock if it reads, RowExclusiveLock if it updates.  So the table
 * keeps its form while the caller uses what is returned, and no stronger lock
 * is needed later.  It is held until the end of the transaction, as the lock of
 * a statement.
 *
 * Errors: 55000 when no table is attached, or it is no longer fit.
 */
const WorkspacesTable *
workspaces_lock(LOCKMODE mode)
{
	return lock_attached_table(mode, MISSING_IS_ERROR);
}

/*
 * workspaces_if_attached
 *		The same, but NULL when no table is attached.
 *
 * Errors: 55000 when the attached table is gone or no longer fit.
 */
const WorkspacesTable *
workspaces_if_attached(LOCKMODE mode)
{
	return lock_attached_table(mode, UNFIT_IS_ERROR);
}

/*
 * workspaces_if_fit
 *		The same, but NULL also when the attached table is gone or no longer fit.
 */
const WorkspacesTable *
workspaces_if_fit(LOCKMODE mode)
{
	const WorkspacesTable *table = lock_attached_table(mode, MISSING_IS_OK);

	return table != NULL && table->condition_fits ? table : NULL;
}

/*
 * workspaces_or_assumption
 *		The attached table, to ask whether workspaces are still live.  NULL: it
 *		cannot be asked, and all of them count as live, or as not live.
 *
 * An operator must be able to halt a version, and a report must not be lost,
 * whatever has happened to the table.  If it is distributed, of which a node may
 * not answer, or is gone or no longer fit, a workspace counts as live, as it was
 * when it was claimed.  If no table is attached, no workspace is live.
 */
const WorkspacesTable *
workspaces_or_assumption(bool *live)
{
	const WorkspacesTable *table;
	Oid					   attached_oid;

	*live = workspaces_are_distributed();
	if (*live)
		return NULL;
	table = workspaces_if_fit(AccessShareLock);
	if (table == NULL)
	{
		attached_oid = attached_table_oid();
		*live = OidIsValid(attached_oid) && OidIsValid(attached_row(attached_oid).relid);
	}
	return table;
}

/*
 * workspaces_seen
 *		The attached table, without a lock on it; InvalidOid: no table is attached.
 */
Oid
workspaces_seen(void)
{
	return is_current() || load_attached_table(MISSING_IS_OK) ? attached_table.relid : InvalidOid;
}

/*
 * workspaces_are_distributed
 *		Does Citus distribute the attached table?  Takes no lock on it.
 */
bool
workspaces_are_distributed(void)
{
	return (is_current() || load_attached_table(MISSING_IS_OK)) && attached_table.distributed;
}

/*
 * workspaces_if_readable
 *		As workspaces_if_fit(), for the planner: NULL also where the caller may not
 *		read the table.
 */
const WorkspacesTable *
workspaces_if_readable(LOCKMODE mode)
{
	AttrNumber id;

	if (!is_current() && !load_attached_table(MISSING_IS_OK))
		return NULL;
	id = get_attnum(attached_table.relid, ID_COLUMN);
	if (pg_class_aclcheck(attached_table.relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		(id == InvalidAttrNumber ||
		 pg_attribute_aclcheck(attached_table.relid, id, GetUserId(), ACL_SELECT) != ACLCHECK_OK))
		return NULL;
	return workspaces_if_fit(mode);
}

/*
 * attached_write
 *		Write the row of update_tier.attached, or delete it (InvalidOid).  Acts
 *		as the table's owner, as callers have no right to write it.  The caller
 *		of this function has connected to SPI.
 */
void
attached_write(Oid relid, const char *live_when)
{
	Identity caller = become(extension_owner(), SECURITY_RESTRICTED_OPERATION);
	int		 nest_level = enter_canonical_settings();

	run_sql("DELETE FROM " MACHINERY_SCHEMA ".attached");
	if (OidIsValid(relid))
		run_sql("INSERT INTO " MACHINERY_SCHEMA ".attached (workspaces, live_when) VALUES (%u, %s)",
				relid, live_when ? quote_literal_cstr(live_when) : "NULL");
	AtEOXact_GUC(false, nest_level);
	become_again(caller);
}

/* refuse_dropped: 55000: the extension has been dropped while we waited. */
void
refuse_dropped(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"%s\" has been dropped", MACHINERY_SCHEMA),
			 errdetail("It was dropped while this call waited for a lock.")));
}

/*
 * attached_lock
 *		Lock update_tier.attached against other calls that attach or detach, and
 *		return its OID.
 *
 * Errors: 55000 when DROP EXTENSION has committed while we waited.
 */
Oid
attached_lock(void)
{
	Oid attached_oid = attached_table_oid();

	if (OidIsValid(attached_oid))
		LockRelationOid(attached_oid, ShareRowExclusiveLock);
	if (!OidIsValid(attached_oid) || attached_table_oid() != attached_oid)
		refuse_dropped();
	return attached_oid;
}

/*
 * update_tier.attached_changed() returns trigger
 *
 * Statement trigger on update_tier.attached, for every change of its row, also
 * by a restore or by hand: every session forgets which table is attached when
 * the change is committed.
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
 * Row trigger on update_tier.attached, before a row is inserted: deletes the
 * row that is there.  Otherwise a restore into a database where a table is
 * attached already would fail at this row.
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
