/*-------------------------------------------------------------------------
 *
 * rollout/status.c
 *	  The rows of the view status: every rollout as it is now.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/tuplestore.h"

#include "rollout/gate.h"
#include "rollout/package.h"
#include "server/compat.h"
#include "server/identity.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_rollouts_now);

/* The columns of rollouts_now(), as the install script orders them. */
enum
{
	NOW_ID,
	NOW_PACKAGE,
	NOW_VERSION,
	NOW_ORDINAL,
	NOW_PHASE,
	NOW_CANARY, /* succeeded, failed, in flight */
	NOW_PRODUCTION = NOW_CANARY + 3,
	NOW_SOAK_ENDS_AT = NOW_PRODUCTION + 3,
	NOW_RAMP_ENDS_AT,
	NOW_WAITS_FOR,
	NOW_REASON,
	NOW_SWEPT_AT,
	NOW_CHANGED_AT,
	NOW_COLUMNS
};

/*
 * The view update_tier.status selects from the function, which runs with the
 * rights of the role that reads the view: so it checks the right to read the
 * view.
 *
 * Errors: 42501.
 */
static void
check_may_read_status(void)
{
	Oid view = own_table_oid("status");

	if (pg_class_aclcheck(view, GetUserId(), ACL_SELECT) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_VIEW, "status");
}

static int
leases_of(const List *live, const Rollout *rollout, Tier tier)
{
	int		  count = 0;
	ListCell *lc;

	foreach(lc, live)
	{
		const Installation *installation = &((LoadedInstallation *) lfirst(lc))->installation;

		count += installation->rollout == rollout->id && installation->tier == tier;
	}
	return count;
}

static NullableDatum
finite_moment(TimestampTz moment)
{
	return TIMESTAMP_NOT_FINITE(moment) ? NO_DATUM : moment_value(moment);
}

/* The later of two moments, of which each may be NULL. */
static NullableDatum
later_moment(NullableDatum a, NullableDatum b)
{
	if (a.isnull || b.isnull)
		return a.isnull ? b : a;
	return DatumGetTimestampTz(a.value) > DatumGetTimestampTz(b.value) ? a : b;
}

static void
return_rollout(ReturnSetInfo *rsinfo, LoadedPackage *loaded, const LoadedRollout *rollout, const List *live)
{
	const Rollout *r = &rollout->rollout;
	Phase		   phase = machine_phase(&loaded->package, r);
	NullableDatum  row[NOW_COLUMNS];
	Datum		   values[NOW_COLUMNS];
	bool		   nulls[NOW_COLUMNS];

	row[NOW_ID] = int64_value(r->id);
	row[NOW_PACKAGE] = text_value(loaded->name);
	row[NOW_VERSION] = text_value(r->version);
	row[NOW_ORDINAL] = int64_value(r->ordinal);
	row[NOW_PHASE] = text_value(phase_names[phase]);
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		NullableDatum *of_tier = &row[tier == TIER_CANARY ? NOW_CANARY : NOW_PRODUCTION];

		of_tier[0] = int32_value(r->tally[tier].succeeded);
		of_tier[1] = int32_value(r->tally[tier].failed);
		of_tier[2] = int32_value(leases_of(live, r, (Tier) tier));
	}
	row[NOW_SOAK_ENDS_AT] = phase == PHASE_SOAKING ? finite_moment(machine_soak_over_at(r)) : NO_DATUM;
	row[NOW_RAMP_ENDS_AT] = phase == PHASE_PROMOTED && r->policy.ramp > 0 ?
		finite_moment(machine_ramp_ends_at(r)) :
		NO_DATUM;
	row[NOW_WAITS_FOR] = text_value(waits_for_text(loaded, rollout));
	row[NOW_REASON] = text_value(rollout->reason);
	row[NOW_SWEPT_AT] = later_moment(rollout->sweep.swept_at, loaded->sweep.swept_at);
	row[NOW_CHANGED_AT] = moment_value(rollout->changed_at);
	for (int i = 0; i < NOW_COLUMNS; i++)
	{
		values[i] = row[i].value;
		nulls[i] = row[i].isnull;
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * update_tier.rollouts_now() returns setof record
 *
 * Every rollout as it is now: the rows of the view update_tier.status.
 *
 * Errors: 42501 for a role that may not read update_tier.status, 55000 on a
 * Citus worker.
 */
Datum
update_tier_rollouts_now(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext  caller_context = CurrentMemoryContext;
	MemoryContext  context;
	List		  *names;
	ListCell	  *lc;

	require_own_tables(fcinfo);
	check_may_read_status();
	InitMaterializedSRF(fcinfo, 0);
	names = package_names(SEEN_BY_STATEMENT);
	/* Only one package at a time is kept in memory. */
	context = AllocSetContextCreate(CurrentMemoryContext, "update_tier status", ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);
	foreach(lc, names)
	{
		LoadedPackage *loaded = package_look(lfirst(lc), SEEN_BY_STATEMENT);
		List		  *live = installations_live(loaded->id, loaded->package.stamp, SEEN_BY_STATEMENT);
		ListCell	  *lc2;

		CHECK_FOR_INTERRUPTS();
		foreach(lc2, package_all_rollouts(loaded))
			return_rollout(rsinfo, loaded, lfirst(lc2), live);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
	return (Datum) 0;
}
