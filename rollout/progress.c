/*-------------------------------------------------------------------------
 *
 * rollout/progress.c
 *	  How far a rollout is.  Counts the fleet.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "fleet/live.h"
#include "rollout/package.h"
#include "rollout/refuse.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_progress);

#define PROGRESS_PAGE 1000

/* Is there nothing left to do for the workspace in this run? */
static bool
is_settled(const LoadedPackage *loaded, const LoadedRollout *rollout, const Installation *installation)
{
	if (!machine_is_of_run(&loaded->package, installation))
		return machine_is_leased(installation);
	return installation->state == STATE_SUCCEEDED ||
		machine_is_leased(installation) ||
		machine_is_last_attempt(&loaded->package, installation);
}

/* Subtract the live workspaces of a page of installations that are settled. */
static void
subtract_settled(const LoadedPackage *loaded, const LoadedRollout *rollout, const WorkspacesTable *table,
				 const List *page, int64 *remaining)
{
	Datum	 *ids = palloc_array(Datum, list_length(page) + 1);
	int		  count = 0;
	ListCell *lc;

	foreach(lc, page)
	{
		LoadedInstallation *installation = (LoadedInstallation *) lfirst(lc);

		if (is_settled(loaded, rollout, &package_settled(loaded, installation)->installation))
			ids[count++] = UUIDPGetDatum(&installation->workspace);
	}
	if (count == 0)
		return;
	foreach(lc, workspaces_look(table, ids, count, true))
	{
		const FleetRow *row = (const FleetRow *) lfirst(lc);

		if (row->live)
			remaining[row->tier]--;
	}
}

/*
 * update_tier.progress(package, version)
 *		returns table (tier, workspaces, succeeded, failed, in_flight, remaining)
 *
 * A row for each tier.  Counts the live workspaces of the fleet.
 *
 * Errors: 22004 for NULL, 22023 for an invalid package or version, P0002 if the
 * version was never started, 55000 when no table is attached or on a Citus
 * worker.
 */
Datum
update_tier_progress(PG_FUNCTION_ARGS)
{
	char				  *name = package_argument(fcinfo->args[0]);
	char				  *version = name_argument(fcinfo->args[1], "version");
	ReturnSetInfo		  *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WorkspacesTable *table;
	LoadedPackage		  *loaded;
	LoadedRollout		  *rollout;
	int64				   workspaces[TIER_COUNT];
	int64				   remaining[TIER_COUNT];
	int64				   leased[TIER_COUNT] = { 0 };
	pg_uuid_t			   from = { { 0 } };
	MemoryContext		   context;
	ListCell			  *lc;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	loaded = package_look(name, SEEN_BY_STATEMENT);
	rollout = package_find_known(loaded, version);
	InitMaterializedSRF(fcinfo, 0);

	fleet_counts(table, workspaces);
	memcpy(remaining, workspaces, sizeof(remaining));
	foreach(lc, installations_live(loaded->id, loaded->package.stamp, SEEN_BY_STATEMENT))
	{
		const Installation *installation = &((LoadedInstallation *) lfirst(lc))->installation;

		leased[installation->tier] += installation->rollout == rollout->rollout.id;
	}

	context = AllocSetContextCreate(CurrentMemoryContext, "update_tier progress", ALLOCSET_DEFAULT_SIZES);
	for (bool more = true; more;)
	{
		MemoryContext caller_context = MemoryContextSwitchTo(context);
		List		 *page = installations_of_rollout(rollout->rollout.id, &from, SEEN_BY_STATEMENT, PROGRESS_PAGE);

		CHECK_FOR_INTERRUPTS();
		subtract_settled(loaded, rollout, table, page, remaining);
		more = list_length(page) == PROGRESS_PAGE;
		if (more)
			more = id_after(&((LoadedInstallation *) llast(page))->workspace, &from);
		MemoryContextSwitchTo(caller_context);
		MemoryContextReset(context);
	}

	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		const Tally *tally = &rollout->rollout.tally[tier];
		Datum		 values[6] = {
				   CStringGetTextDatum(tier_names[tier]),
				   Int64GetDatum(workspaces[tier]),
				   Int64GetDatum(tally->succeeded),
				   Int64GetDatum(tally->failed),
				   Int64GetDatum(leased[tier]),
				   Int64GetDatum(remaining[tier])
		};
		bool nulls[6] = { false };

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
