/*-------------------------------------------------------------------------
 *
 * fleet/attach.c
 *	  Making a table the workspaces table.
 *
 * The result of attach() does not depend on what it found: column update_tier
 * of the domain, NOT NULL DEFAULT 'production', one partial index, and one
 * trigger.  It looks at the table, refuses what it cannot convert, and changes
 * only what differs.  So another call costs little and blocks nobody.
 *
 * Attach neither rewrites nor scans the table to make the column, unless the table
 * does not guarantee that the column's values are tiers:
 *
 * - Adding a column of a constrained domain, or converting one to it, makes
 *   the server rewrite the table.  So the domain's constraint is dropped and
 *   added again, NOT VALID, in the same transaction.  Other sessions enforce the
 *   old one until we commit, and then the new one.
 *
 * - Changing a column's type makes the server check the column's CHECK
 *   constraints again.  The values stay the same, so the constraints are marked
 *   NOT VALID before, which prevents that, and valid again after.  (Those whose
 *   result might depend on the column's old collation are validated.)
 *
 * An index that attach creates together with the column is built without a scan,
 * see index_build.c.
 *
 * While the domain has no constraint, no user's code may run, as it could store
 * any value.  Other code that runs for the table runs as its owner, see
 * become_table_owner().
 *
 * Locks: ACCESS SHARE on the table, to look.  It is released, and a call that
 * finds nothing to change returns.  Then, in this order: SHARE ROW EXCLUSIVE on
 * update_tier.attached, so that calls take turns (readers are not blocked);
 * SHARE UPDATE EXCLUSIVE on the table, to look again (it conflicts with itself
 * and with all DDL, but with no reader or writer); ACCESS EXCLUSIVE on the
 * table, if the column has to change or an index has to be dropped.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/pg_inherits.h"
#include "commands/progress.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fleet/adoption.h"
#include "fleet/attach.h"
#include "fleet/attachable.h"
#include "fleet/attached.h"
#include "fleet/canary_index.h"
#include "fleet/condition.h"
#include "fleet/index_build.h"
#include "fleet/tier_change.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/dynamic_sql.h"
#include "server/identity.h"
#include "server/node.h"

PG_FUNCTION_INFO_V1(update_tier_attach);

/*
 * Refuse a table that Citus distributes in a way that attach() cannot support.
 * Triggers of such a table run on its shards, if they may be created at all.
 */
static void
check_distribution(Oid relid, bool audit)
{
	if (!is_distributed(relid))
		return;
	if (audit)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot attach \"%s\" with audit: Citus distributes the table", get_rel_name(relid)),
				 errdetail("The trigger that records changes would run on the shards of the table, and record nothing."),
				 errhint("Pass audit => false. Changes by set_update_tier() are recorded without the trigger.")));
	(void) owner_can_read_shards(relid, false);
}

/* What attach() found, and what it has to change. */
typedef struct Findings
{
	AttachedRow old; /* what was attached before */
	char	   *live_when;
	bool		condition_is_kept; /* it is the one of a table that no longer exists */
	ColumnForm	form;
	bool		column_is_right;
	bool		has_index;
	List	   *outdated;	 /* indexes to drop */
	bool		has_trigger; /* the trigger that records changes of a tier */
} Findings;

/*
 * A database has at most one workspaces table.  If Citus has made the attached
 * table a shard of another table, that other table may be attached.
 */
static void
check_no_other_table(Oid relid, const AttachedRow *old)
{
	if (OidIsValid(old->relid) && old->relid != relid && qualified_name(old->relid) != NULL &&
		table_of_shard(old->relid) != relid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot attach \"%s\": another table is attached",
						get_rel_name(relid)),
				 errdetail("Table %s is attached, and a database has one attached table at most.",
						   qualified_name(old->relid)),
				 errhint("Detach that table first with SELECT update_tier.detach().")));
}

/*
 * Does another session build an index of the table, or of a partition of it,
 * concurrently?  It waits for every transaction that is as old as ours, so we
 * must not wait for it.
 */
static bool
is_index_being_built(Oid relid)
{
	List *tables = find_all_inheritors(relid, NoLock, NULL);

	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		const PgBackendStatus *backend = &local_backend_entry(i)->backendStatus;
		int64				   command = backend->st_progress_param[PROGRESS_CREATEIDX_COMMAND];

		if (backend->st_progress_command == PROGRESS_COMMAND_CREATE_INDEX &&
			backend->st_databaseid == MyDatabaseId &&
			(command == PROGRESS_CREATEIDX_COMMAND_CREATE_CONCURRENTLY ||
			 command == PROGRESS_CREATEIDX_COMMAND_REINDEX_CONCURRENTLY) &&
			list_member_oid(tables, backend->st_progress_command_target))
			return true;
	}
	return false;
}

static void
check_no_build(Oid relid)
{
	if (is_index_being_built(relid))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("cannot attach \"%s\" while an index of it is built concurrently", get_rel_name(relid)),
				 errdetail("This transaction and the build would wait for each other."),
				 errhint("Attach the table again after the build has ended.")));
}

/* The list without indexes that are not valid: another session is building them. */
static List *
without_invalid(List *indexes)
{
	ListCell *lc;

	foreach(lc, indexes)
	{
		if (!get_index_isvalid(lfirst_oid(lc)))
			indexes = foreach_delete_current(indexes, lc);
	}
	return indexes;
}

static void
kept_condition_context(void *arg)
{
	errcontext("condition kept from the attached table, which no longer exists; pass another live_when, or call update_tier.detach() first");
}

/*
 * The canonical form of a condition.  "is_kept": it is the one of an attached
 * table that no longer exists.  The new table most likely takes its place, as
 * after undistribute_table() of Citus, which makes a new table.  Without the
 * condition, workspaces that are not live would count as live.
 */
static char *
condition_of(Relation rel, const char *text, bool is_kept)
{
	ErrorContextCallback context = { .previous = error_context_stack, .callback = kept_condition_context };
	char				*canonical;

	if (is_kept)
		error_context_stack = &context;
	canonical = condition_canonical(rel, text);
	error_context_stack = context.previous;
	return canonical;
}

/*
 * Look at the table, and refuse what cannot be attached.  The caller holds a
 * lock on it.
 */
static Findings
look_at_table(Oid relid, const char *live_when_text)
{
	Findings   found = { 0 };
	Oid		   attached_oid = attached_table_oid();
	Identity   caller;
	Relation   rel;
	AttrNumber attnum;

	check_owner(relid); /* may have changed before the lock was granted */
	if (!OidIsValid(attached_oid))
		refuse_dropped();
	found.old = attached_row(attached_oid);
	check_no_other_table(relid, &found.old);

	caller = become_table_owner(relid);
	rel = relation_open(relid, NoLock);
	check_relation(rel);
	found.form = tier_column_form(rel, tier_domain_oid(), &attnum);
	if (live_when_text == NULL && OidIsValid(found.old.relid) && found.old.relid != relid)
	{
		live_when_text = found.old.live_when;
		found.condition_is_kept = live_when_text != NULL;
	}
	if (live_when_text != NULL)
		found.live_when = condition_of(rel, live_when_text, found.condition_is_kept);
	found.has_index = find_index(rel, found.form, found.live_when, &found.old, &found.outdated);
	if (found.outdated != NIL && is_index_being_built(relid))
		found.outdated = without_invalid(found.outdated);
	found.column_is_right = found.form == COLUMN_ATTACHED &&
		TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull &&
		default_is_production(rel, attnum);

	/*
	 * A query of this session may be running that uses the indexes, and calls a
	 * function that calls us.  For a change of the column the server checks that.
	 */
	if (found.outdated != NIL && rel->rd_refcnt > 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot attach \"%s\" because it is being used by active queries in this session",
						RelationGetRelationName(rel)),
				 errhint("Call update_tier.attach in a statement of its own.")));
	relation_close(rel, NoLock);
	become_again(caller);
	found.has_trigger = has_tier_change_trigger(relid);
	return found;
}

static bool
is_remembered(Oid relid, const Findings *found)
{
	const char *before = found->old.live_when;

	if (found->old.relid != relid || (found->live_when == NULL) != (before == NULL))
		return false;
	return before == NULL || strcmp(found->live_when, before) == 0;
}

/*
 * Is the table as it has to be?
 *
 * Looks under the lock of a reader, which blocks neither a build of an index nor
 * a vacuum.  The lock is released, as two calls that hold it would wait for each
 * other.
 */
static bool
is_attached_already(Oid relid, const char *live_when_text, bool create_index, bool audit)
{
	Findings found;

	LockRelationOid(relid, AccessShareLock);
	found = look_at_table(relid, live_when_text);
	UnlockRelationOid(relid, AccessShareLock);
	return found.column_is_right && found.outdated == NIL && (found.has_index || !create_index) &&
		found.has_trigger == audit && is_remembered(relid, &found);
}

/* Lock the table against changes of its form, and look at it. */
static Findings
lock_and_look(Oid relid, const char *live_when_text)
{
	/*
	 * SHARE ROW EXCLUSIVE conflicts with itself and with writers: of two
	 * calls one waits here, and then sees what the other has changed.
	 */
	(void) attached_lock();
	check_owner(relid);
	check_children(relid);
	check_no_build(relid);

	/*
	 * A build that has begun since may hold the lock.  One that begins while we
	 * wait queues after us.
	 */
	if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
	{
		check_no_build(relid);
		LockRelationOid(relid, ShareUpdateExclusiveLock);
	}
	return look_at_table(relid, live_when_text);
}

/*
 * Change what differs, as the table's owner.  Returns what build_index() needs to
 * know of a table that did not have the column, and NIL for another.
 */
static List *
change_table(Oid relid, const Findings *found, bool audit)
{
	Identity  caller = become_table_owner(relid);
	List	 *watched = NIL;
	ListCell *lc;

	/*
	 * ACCESS EXCLUSIVE, as DROP INDEX and ALTER TABLE take it: watch_rows() and
	 * make_tier_column() rely on it.  Drop indexes first: a change of the
	 * column's type would build an index on the column again for nothing.  And
	 * without create_index the user will build an index of that name.
	 */
	if (!found->column_is_right || found->outdated != NIL)
		LockRelationOid(relid, AccessExclusiveLock);
	foreach(lc, found->outdated)
		run_sql("DROP INDEX %s", qualified_name(lfirst_oid(lc)));
	if (found->form == COLUMN_MISSING && !is_distributed(relid))
		watched = watch_rows(relid);
	if (!found->column_is_right)
		make_tier_column(relid, found->form, tier_domain_oid());
	make_tier_change_trigger(relid, audit);
	become_again(caller);
	return watched;
}

/*
 * attach_table
 *		Make a table the workspaces table; see the head of this file for how.
 */
void
attach_table(Oid relid, const char *live_when_text, bool create_index, bool audit)
{
	Findings found;
	List	*watched;
	int		 nest_level;

	PreventCommandIfReadOnly("update_tier.attach()");

	/* Before any lock: a role that may not attach a table must not block it. */
	check_owner(relid);
	check_distribution(relid, audit);
	if (is_attached_already(relid, live_when_text, create_index, audit))
		return;
	found = lock_and_look(relid, live_when_text);

	SPI_connect();
	nest_level = NewGUCNestLevel();
	watched = change_table(relid, &found, audit);

	if (create_index && !found.has_index)
	{
		Identity caller = become_index_creator(relid);

		build_index(relid, found.live_when, watched);
		become_again(caller);
	}
	AtEOXact_GUC(true, nest_level);

	if (!is_remembered(relid, &found))
		attached_write(relid, found.live_when);
	if (found.condition_is_kept)
		ereport(NOTICE,
				(errmsg("condition \"live_when\" is kept: %s", found.live_when),
				 errdetail("It is the condition of the table that was attached before and no longer exists."),
				 errhint("To remove the condition, call update_tier.attach again without live_when.")));
	if (found.old.relid == relid && found.live_when == NULL && found.old.live_when != NULL)
		ereport(NOTICE,
				(errmsg("every row of \"%s\" is a live workspace now", get_rel_name(relid)),
				 errdetail("The condition \"live_when\" was: %s.", found.old.live_when),
				 errhint("Pass live_when again to keep the condition.")));
	SPI_finish();
}

/*
 * update_tier.attach(workspaces regclass, live_when text, create_index boolean,
 *		audit boolean) returns void
 *
 * Makes a table the workspaces table; see the head of this file for how.
 * Errors: see COMMENT ON FUNCTION.
 */
Datum
update_tier_attach(PG_FUNCTION_ARGS)
{
	require_own_tables(fcinfo);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("workspaces must not be null"),
				 errhint("Pass the name of your table.")));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("create_index must not be null")));
	if (PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("audit must not be null")));
	attach_table(PG_GETARG_OID(0),
				 PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
				 PG_GETARG_BOOL(2),
				 PG_GETARG_BOOL(3));
	PG_RETURN_VOID();
}
