/*-------------------------------------------------------------------------
 *
 * rollout/claim.c
 *	  Claims: permission for one attempt at one workspace, for a limited time.
 *
 * The fleet is read before the package is locked, with the rights of the table's
 * owner, as a foreign-key check does.  Its rows are not locked: if a workspace
 * changes in between, the claim counts as made before, with the tier that was
 * read.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "rollout/machine_due.h"
#include "rollout/package_lock.h"
#include "rollout/refuse.h"
#include "rollout/search.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_claim);
PG_FUNCTION_INFO_V1(update_tier_claim_batch);
PG_FUNCTION_INFO_V1(update_tier_force);

/*
 * How often claim_batch() searches at most.  It searches again if nothing that
 * it found is still due: functions that do not wait for a search may have taken
 * it.
 */
#define SEARCHES_MAX 5

/*
 * Lease a workspace; the caller has checked that it may.  A report for the
 * attempt that this one replaces may still come, so its token is logged.
 */
static int64
grant(LoadedPackage *loaded, LoadedRollout *rollout, LoadedInstallation *installation, Tier tier)
{
	if (installation->installation.token != 0)
	{
		LoadedRollout *before = package_need(loaded, installation->installation.rollout);

		package_note(loaded, before, "replaced", installation,
					 state_names[installation->installation.state]);
	}
	machine_grant(&loaded->package, &rollout->rollout, &installation->installation, tier, next_token());
	installation->installed_version = NULL;
	installation->detail = NULL;
	package_leased(loaded, installation);
	return installation->installation.token;
}

/*
 * update_tier.claim(package, version, workspace) returns bigint
 *
 * Leases the workspace for one attempt at the version, if it is due and budget
 * is left.  Returns the token, or NULL.
 *
 * Errors: 22004 for a NULL package or version, 22023 for an invalid one, P0002
 * if the version was never started, 55000 when no table is attached or on a
 * Citus worker, 25006 and 40001 as package_lock().
 */
Datum
update_tier_claim(PG_FUNCTION_ARGS)
{
	char				  *name = package_argument(fcinfo->args[0]);
	char				  *version = name_argument(fcinfo->args[1], "version");
	NullableDatum		   id = fcinfo->args[2];
	const WorkspacesTable *table;
	FleetRow			   row = { .live = false };
	LoadedPackage		  *loaded;
	LoadedRollout		  *rollout;
	int64				   token = 0;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (!id.isnull && workspace_look(table, id.value, &row.tier, &row.live, false))
		row.id = *DatumGetUUIDP(id.value);

	loaded = package_lock(name, "update_tier.claim()", WITH_ALL);
	rollout = package_find_known(loaded, version);
	if (row.live)
	{
		LoadedInstallation *installation = package_installation(loaded, &row.id);

		if (search_version(loaded, rollout, installation, &row) != NULL &&
			machine_has_budget(&loaded->package, &rollout->rollout))
			token = grant(loaded, rollout, installation, row.tier);
	}
	package_save(loaded);
	if (token == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(token);
}

/*
 * update_tier.force(package, version, workspace, reason) returns bigint
 *
 * An operator's claim of one live workspace, whatever the gates, a freeze and
 * the budget say.  Returns the token.
 *
 * Errors: 22004 for NULL, 22023 for an invalid package, version or reason,
 * P0002 if the version was never started or the workspace is unknown or not
 * live, 55000 if it holds a live lease, when no table is attached or on a Citus
 * worker, 25006 and 40001 as package_lock_for().
 */
Datum
update_tier_force(PG_FUNCTION_ARGS)
{
	char				  *name = package_argument(fcinfo->args[0]);
	char				  *version = name_argument(fcinfo->args[1], "version");
	Datum				   id = id_argument(fcinfo->args[2], "workspace");
	char				  *reason = needed_reason_argument(fcinfo->args[3]);
	const WorkspacesTable *table;
	Tier				   tier;
	bool				   live;
	LoadedPackage		  *loaded;
	LoadedRollout		  *rollout;
	LoadedInstallation	  *installation;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (!workspace_look(table, id, &tier, &live, false))
		refuse_unknown_workspace(id, table);
	if (!live)
		refuse_not_live(id, table);

	loaded = package_lock_for(name, "update_tier.force()", WITHOUT_ALL, DatumGetUUIDP(id), 0);
	rollout = package_find_known(loaded, version);
	installation = package_installation(loaded, DatumGetUUIDP(id));
	if (machine_is_leased(&installation->installation))
		refuse_leased(loaded, installation, "force a claim of");
	(void) grant(loaded, rollout, installation, tier);
	package_note(loaded, rollout, "forced", installation, reason);
	package_save(loaded);
	PG_RETURN_INT64(installation->installation.token);
}


/* ---------------------------------------------------------------------
 * Batches
 * ---------------------------------------------------------------------
 */

/* The arguments of claim_batch(). */
typedef struct Batch
{
	char  *package;
	char  *version; /* NULL: each workspace with the version it should have */
	int32  max_claims;
	Datum *candidates; /* NULL: the whole fleet */
	int	   candidate_count;
} Batch;

static int
compare_candidates(const void *a, const void *b)
{
	return memcmp(DatumGetUUIDP(*(const Datum *) a), DatumGetUUIDP(*(const Datum *) b), UUID_LEN);
}

/*
 * The candidates of an array.  Errors: 22004 for a NULL among them; 22023 for a
 * duplicate, or for an array of more than one dimension.
 */
static void
candidates_argument(Datum value, Batch *batch)
{
	ArrayType *array = DatumGetArrayTypeP(value);
	bool	  *nulls;
	Datum	  *sorted;

	if (ARR_NDIM(array) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("candidates must be a one-dimensional array")));
	deconstruct_array(array, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR,
					  &batch->candidates, &nulls, &batch->candidate_count);
	for (int i = 0; i < batch->candidate_count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("candidates must not contain nulls"),
					 errdetail("The candidate at position %d is null.", i + 1)));
	}

	sorted = palloc_array(Datum, batch->candidate_count + 1);
	memcpy(sorted, batch->candidates, batch->candidate_count * sizeof(Datum));
	qsort(sorted, batch->candidate_count, sizeof(Datum), compare_candidates);
	for (int i = 1; i < batch->candidate_count; i++)
	{
		if (compare_candidates(&sorted[i - 1], &sorted[i]) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("candidates must not contain a workspace twice"),
					 errdetail("Workspace %s is a candidate more than once.",
							   DatumGetCString(DirectFunctionCall1(uuid_out, sorted[i]))),
					 errhint("Use SELECT DISTINCT to make the array.")));
	}
}

static Batch
batch_arguments(FunctionCallInfo fcinfo)
{
	Batch batch = { 0 };

	batch.package = package_argument(fcinfo->args[0]);
	if (!fcinfo->args[1].isnull)
		batch.version = name_argument(fcinfo->args[1], "version");
	if (fcinfo->args[2].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("max_claims must not be null")));
	batch.max_claims = DatumGetInt32(fcinfo->args[2].value);
	if (batch.max_claims < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_claims must not be negative: %d", batch.max_claims)));
	if (!fcinfo->args[3].isnull)
		candidates_argument(fcinfo->args[3].value, &batch);
	return batch;
}

static LoadedRollout *
batch_target(LoadedPackage *loaded, const Batch *batch)
{
	return batch->version ? package_find_known(loaded, batch->version) : NULL;
}

/*
 * How many more leases the package may have: by the max_in_flight of the
 * version, or by the greatest one of all loaded versions.
 */
static int64
budget_left(const LoadedPackage *loaded, const LoadedRollout *target)
{
	const Package *package = &loaded->package;
	int32		   most = 0;

	if (target != NULL)
		most = target->rollout.policy.max_in_flight;
	for (int i = 0; target == NULL && i < package->count; i++)
		most = Max(most, package->rollouts[i]->policy.max_in_flight);
	return Max(0, (int64) most - package->in_flight);
}

/* The sweep that the search of this batch continues. */
static Sweep *
sweep_of(LoadedPackage *loaded, LoadedRollout *target)
{
	return target ? &target->sweep : &loaded->sweep;
}

/* Search, before the package is locked. */
static Search
search_for(const Batch *batch, const WorkspacesTable *table)
{
	Search search = { .table = table };

	search.loaded = package_look(batch->package, SEEN_NOW);
	search.target = batch_target(search.loaded, batch);
	search.wanted = Min(batch->max_claims, budget_left(search.loaded, search.target));
	search.sweep = *sweep_of(search.loaded, search.target);
	if (batch->candidates != NULL)
		search_candidates(&search, batch->candidates, batch->candidate_count);
	else
		search_fleet(&search);
	return search;
}

static void
return_claim(ReturnSetInfo *rsinfo, const LoadedRollout *rollout, const LoadedInstallation *installation)
{
	Datum values[5] = {
		UUIDPGetDatum(&installation->workspace),
		CStringGetTextDatum(rollout->rollout.version),
		CStringGetTextDatum(tier_names[installation->installation.tier]),
		Int32GetDatum(installation->installation.attempt),
		Int64GetDatum(installation->installation.token)
	};
	bool nulls[5] = { false };

	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Under the lock: lease the workspaces found that are still due.  Returns their number. */
static int
claim_found(LoadedPackage *loaded, LoadedRollout *target, const Search *search, ReturnSetInfo *rsinfo)
{
	int		  count = 0;
	ListCell *lc;

	foreach(lc, search->found)
	{
		const FleetRow	   *row = (const FleetRow *) lfirst(lc);
		LoadedInstallation *installation = package_installation(loaded, &row->id);
		LoadedRollout	   *rollout = search_version(loaded, target, installation, row);

		CHECK_FOR_INTERRUPTS();
		if (rollout == NULL || !machine_has_budget(&loaded->package, &rollout->rollout))
			continue;
		(void) grant(loaded, rollout, installation, row->tier);
		return_claim(rsinfo, rollout, installation);
		count++;
	}
	return count;
}

/*
 * Keep the positions at which a search has ended; and the moment, if it passed
 * the whole fleet and found no workspace.
 */
static void
keep_sweep(LoadedPackage *loaded, LoadedRollout *target, const Search *search)
{
	Sweep *kept = sweep_of(loaded, target);
	Sweep  sweep = search->sweep;

	if (search->came_round)
		sweep.swept_at = moment_value(loaded->package.stamp);
	if (same_sweep(kept, &sweep))
		return;
	*kept = sweep;
	if (target != NULL)
		target->rollout.changed = true;
	else
		loaded->changed = true;
}

/*
 * update_tier.claim_batch(package, version, max_claims, candidates)
 *		returns table (workspace uuid, version text, tier update_tier, attempt integer, token bigint)
 *
 * Leases up to max_claims due workspaces: canaries first, then rollbacks, then
 * production; or, of the candidates, those that are due, in their order.
 * Without a version, each workspace for the version that it should have.
 *
 * Errors: 22004 for NULL, 22023 for an invalid argument, P0002 if the version
 * was never started, 55000 when no table is attached or on a Citus worker,
 * 25006 and 40001 as package_lock().
 */
Datum
update_tier_claim_batch(PG_FUNCTION_ARGS)
{
	Batch				   batch = batch_arguments(fcinfo);
	ReturnSetInfo		  *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	const WorkspacesTable *table;
	bool				   was_locked;

	require_own_tables(fcinfo);
	InitMaterializedSRF(fcinfo, 0);
	table = workspaces_lock(AccessShareLock);
	was_locked = package_is_locked(batch.package);
	package_lock_search(batch.package, "update_tier.claim_batch()");
	for (int turn = 1;; turn++)
	{
		Search		   search = search_for(&batch, table);
		LoadedPackage *loaded = package_lock(batch.package, "update_tier.claim_batch()", WITH_ALL);
		LoadedRollout *target = batch_target(loaded, &batch);
		int			   claimed = claim_found(loaded, target, &search, rsinfo);

		if (claimed == 0 && search.found != NIL && !was_locked && turn < SEARCHES_MAX)
		{
			package_unlock(loaded);
			continue;
		}
		if (batch.candidates == NULL)
			keep_sweep(loaded, target, &search);
		package_save(loaded);
		return (Datum) 0;
	}
}
