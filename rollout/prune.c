/*-------------------------------------------------------------------------
 *
 * rollout/prune.c
 *	  Deleting rows that are no longer needed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/int.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "fleet/live.h"
#include "rollout/event.h"
#include "rollout/package.h"
#include "rollout/setting.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_prune);

#define PRUNE_PAGE 1000

/*
 * Add to a list the ids of a page's installations that have not changed since
 * the limit and whose workspaces are not live.  The list is in "context".
 */
static List *
add_gone(List *gone, MemoryContext context, const WorkspacesTable *table, const List *page, TimestampTz limit)
{
	Datum		 *ids = palloc_array(Datum, list_length(page) + 1);
	List		 *rows;
	int			  count = 0;
	MemoryContext caller_context;
	ListCell	 *lc;

	foreach(lc, page)
	{
		LoadedInstallation *installation = (LoadedInstallation *) lfirst(lc);

		if (installation->changed_at < limit)
			ids[count++] = UUIDPGetDatum(&installation->workspace);
	}
	rows = count == 0 ? NIL : workspaces_look(table, ids, count, false);
	caller_context = MemoryContextSwitchTo(context);
	for (int i = 0; i < count; i++)
	{
		pg_uuid_t *id;

		foreach(lc, rows)
		{
			const FleetRow *row = (const FleetRow *) lfirst(lc);

			if (row->live && memcmp(row->id.data, DatumGetUUIDP(ids[i])->data, UUID_LEN) == 0)
				break;
		}
		if (lc != NULL)
			continue;
		id = palloc_object(pg_uuid_t);
		*id = *DatumGetUUIDP(ids[i]);
		gone = lappend(gone, id);
	}
	MemoryContextSwitchTo(caller_context);
	return gone;
}

/*
 * The workspaces whose installations of a package can be deleted, as a list in
 * that memory context.  An empty list while no table is attached: a restore may
 * create the table later.
 */
static List *
gone_workspaces(const LoadedPackage *loaded, TimestampTz limit, MemoryContext list_context)
{
	const WorkspacesTable *table = workspaces_if_attached(AccessShareLock);
	MemoryContext		   caller_context = CurrentMemoryContext;
	MemoryContext		   context = AllocSetContextCreate(caller_context, "update_tier prune page", ALLOCSET_DEFAULT_SIZES);
	pg_uuid_t			   from = { { 0 } };
	pg_uuid_t			   last;
	List				  *gone = NIL;

	memset(&last, 0xff, sizeof(last));
	for (bool more = table != NULL; more;)
	{
		List *page;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		page = installations_between(loaded->id, &from, &last, SEEN_NOW, PRUNE_PAGE);
		gone = add_gone(gone, list_context, table, page, limit);
		more = list_length(page) == PRUNE_PAGE &&
			id_after(&((LoadedInstallation *) llast(page))->workspace, &from);
		MemoryContextSwitchTo(caller_context);
	}
	MemoryContextDelete(context);
	return gone;
}

/*
 * Has the rollout ended, and not changed since the limit?  A rollout that was
 * aborted, or halted and then superseded, is known to be bad and must stay
 * known: if it were deleted, update_tier.start would take it for a new version.
 */
static bool
has_ended(const LoadedPackage *loaded, const LoadedRollout *rollout, TimestampTz limit)
{
	return machine_phase(&loaded->package, &rollout->rollout) == PHASE_SUPERSEDED &&
		rollout->rollout.phase != PHASE_HALTED && rollout->changed_at < limit;
}

/*
 * Can the rollout be deleted?  The promoted version stays, and so does the one
 * promoted before it: production goes back to it if the newer one is aborted.
 */
static bool
is_prunable(const LoadedPackage *loaded, const LoadedRollout *rollout, TimestampTz limit)
{
	const Package *package = &loaded->package;
	const Rollout *promoted = machine_promoted(package);

	if (!has_ended(loaded, rollout, limit) ||
		(promoted != NULL && machine_promoted_before(package, promoted) == &rollout->rollout))
		return false;
	return !installations_refer_to(rollout->rollout.id);
}

static bool
has_prunable(LoadedPackage *loaded, TimestampTz limit)
{
	ListCell *lc;

	foreach(lc, package_all_rollouts(loaded))
	{
		if (is_prunable(loaded, (const LoadedRollout *) lfirst(lc), limit))
			return true;
	}
	return false;
}

/* Delete what can be deleted of a package.  Returns the number of rollouts. */
static int64
prune_package(const char *name, TimestampTz limit)
{
	MemoryContext  caller_context = CurrentMemoryContext;
	MemoryContext  context = AllocSetContextCreate(caller_context, "update_tier prune", ALLOCSET_DEFAULT_SIZES);
	LoadedPackage *loaded;
	List		  *gone;
	int64		   pruned = 0;
	bool		   prunable;
	ListCell	  *lc;

	/* Most packages have nothing to delete, and must not stay in memory. */
	MemoryContextSwitchTo(context);
	loaded = package_look(name, SEEN_NOW);
	gone = gone_workspaces(loaded, limit, caller_context);
	prunable = has_prunable(loaded, limit);
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
	if (gone == NIL && !prunable)
		return 0;

	loaded = package_lock(name, "update_tier.prune()", WITHOUT_ALL);
	foreach(lc, gone)
	{
		LoadedInstallation *installation = package_installation(loaded, lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		if (installation->row != NULL && installation->changed_at < limit &&
			!machine_is_leased(&installation->installation))
			package_forget(loaded, installation);
	}
	package_save(loaded);

	foreach(lc, package_all_rollouts(loaded))
	{
		LoadedRollout *rollout = (LoadedRollout *) lfirst(lc);

		if (!is_prunable(loaded, rollout, limit))
			continue;
		package_delete_rollout(loaded, rollout);
		pruned++;
	}
	package_save(loaded);
	return pruned;
}

/*
 * update_tier.prune(older_than interval) returns bigint
 *
 * Deletes superseded rollouts, events, and installations of workspaces that are
 * not live, all older than the interval.  Returns the number of rollouts.
 *
 * It locks only packages with something to delete, in the order of their names.
 * It reads the fleet before it locks a package.
 *
 * Errors: 22004 for NULL, 22023 for a negative interval, 55000 on a Citus
 * worker, 25006 and 40001 as package_lock().
 */
Datum
update_tier_prune(PG_FUNCTION_ARGS)
{
	TimestampTz limit = GetCurrentTransactionStartTimestamp();
	int64		pruned = 0;
	ListCell   *lc;

	require_own_tables(fcinfo);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("older_than must not be null")));
	interval_check(fcinfo->args[0], 0, "older_than");
	PreventCommandIfReadOnly("update_tier.prune()");
	if (pg_sub_s64_overflow(limit, interval_microseconds(PG_GETARG_INTERVAL_P(0)), &limit) ||
		!IS_VALID_TIMESTAMP(limit))
		PG_RETURN_INT64(0); /* nothing is that old */

	foreach(lc, package_names(SEEN_NOW))
		pruned += prune_package(lfirst(lc), limit);
	events_delete_before(limit);
	PG_RETURN_INT64(pruned);
}
