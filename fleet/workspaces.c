/*-------------------------------------------------------------------------
 *
 * fleet/workspaces.c
 *	  Listing the workspaces, counting them, and changing a tier.
 *
 * Every function here runs with its caller's privileges and under the row
 * level security that applies to the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/tstoreReceiver.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/rls.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "fleet/tier_change.h"
#include "fleet/tier_domain.h"
#include "fleet/workspaces.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_canary_workspaces);
PG_FUNCTION_INFO_V1(update_tier_production_workspaces);
PG_FUNCTION_INFO_V1(update_tier_workspaces_in_tier);
PG_FUNCTION_INFO_V1(update_tier_workspace_tier);
PG_FUNCTION_INFO_V1(update_tier_set_update_tier);
PG_FUNCTION_INFO_V1(update_tier_counts);


/* ---------------------------------------------------------------------
 * Lists
 * ---------------------------------------------------------------------
 */

/*
 * The live workspaces of a tier.  Every plan of the canaries' list can use the
 * partial index.
 */
#define THOSE_WHERE(in_tier) \
	"SELECT w.id FROM $table AS w WHERE " in_tier " AND \"$live\""

/* All of them.  The planner's estimate is that of the list, see workspaces_expected(). */
static Statement list_all[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = THOSE_WHERE(ROW_IS_CANARY) " ORDER BY w.id",
		.read_only = true,
	},
	[TIER_PRODUCTION] = {
		.text = THOSE_WHERE("w.update_tier OPERATOR(pg_catalog.=) 'production'") " ORDER BY w.id",
		.read_only = true,
	}
};

/* $1: the largest number of rows, or NULL. */
static Statement list_first[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = THOSE_WHERE(ROW_IS_CANARY) " ORDER BY w.id LIMIT $1",
		.nargs = 1,
		.argtypes = { INT8OID },
		.read_only = true,
	},
	[TIER_PRODUCTION] = {
		.text = THOSE_WHERE(ROW_IS_PRODUCTION) " ORDER BY w.id LIMIT $1",
		.nargs = 1,
		.argtypes = { INT8OID },
		.read_only = true,
	}
};

/* $2: the last id of the page before. */
static Statement list_next[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = THOSE_WHERE(ROW_IS_CANARY) " AND w.id OPERATOR(pg_catalog.>) $2 ORDER BY w.id LIMIT $1",
		.nargs = 2,
		.argtypes = { INT8OID, UUIDOID },
		.read_only = true,
	},
	[TIER_PRODUCTION] = {
		.text = THOSE_WHERE(ROW_IS_PRODUCTION) " AND w.id OPERATOR(pg_catalog.>) $2 ORDER BY w.id LIMIT $1",
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
	statement_run(statement, &table->statement_table, args, dest);
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
 * The live workspaces of a tier, ordered by id: ids greater than "after" (NULL:
 * from the first), at most "max_rows" (NULL: all).  A page is found by its
 * key, so the last one costs as much as the first one.
 * Errors: 23514 for an invalid tier, 22023 for a negative max_rows, 55000
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
 * workspaces_expected
 *		The number of rows that the planner expects of a tier's list; negative:
 *		unknown.
 */
double
workspaces_expected(Tier tier, const WorkspacesTable *table)
{
	return statement_rows(&list_all[tier], &table->statement_table);
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
 * The number of live workspaces of each tier: a row for each tier, in rollout
 * order, also for a tier without workspaces.
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
	if (!statement_fetch(&count_tiers, &table->statement_table, NULL, counted))
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

/* The same for a function that writes: sees what a new statement would see. */
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

/* For the NOTICE.  The caller may lack the right to read the columns of live_when. */
#define ANY_CANARY(reader) \
	{ \
		.text = "SELECT true FROM $table AS w" \
				" WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary' AND \"$live\" LIMIT 1", \
		.role = (reader), \
	}

static Statement any_canary = ANY_CANARY(AS_TABLE_OWNER);
static Statement any_canary_of_shards = ANY_CANARY(AS_CALLER);

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
	if (!statement_fetch(&read_tier, &table->statement_table, &fcinfo->args[0], &tier) || tier.isnull)
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

	if (!statement_fetch(statement, &table->statement_table, &workspace, &value))
		return false;
	*tier = tier_argument(value, "stored update tier");
	return true;
}

pg_noreturn static void
refuse_unknown(Datum workspace, const WorkspacesTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("workspace %s does not exist", uuid_text(workspace)),
			 errdetail("Table %s has no row with this id that you may see.",
					   table->statement_table.name)));
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
			 errdetail("The current tier is \"%s\", and the expected tier is \"%s\".",
					   tier_names[current], TextDatumGetCString(expected.value)),
			 errhint("Decide again with the current tier.")));
}

/*
 * Lock the row and read its tier again, as it may have changed while we waited.
 * NO KEY UPDATE is the lock that the UPDATE takes.
 */
static Tier
lock_workspace(const WorkspacesTable *table, NullableDatum workspace)
{
	Tier current;

	if (fetch_tier(&lock_tier, table, workspace, &current))
		return current;
	if (!fetch_tier(&reread_tier, table, workspace, &current))
		refuse_unknown(workspace.value, table);
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied to change the update tier of workspace %s",
					uuid_text(workspace.value)),
			 errdetail("A row-level security policy of table %s lets you see the row, but not update it.",
					   table->statement_table.name)));
}

static void
write_workspace_tier(const WorkspacesTable *table, NullableDatum workspace, Tier current, Tier wanted)
{
	NullableDatum	 args[2] = { workspace, text_value(tier_names[wanted]) };
	const pg_uuid_t *written_before = set_update_tier_writes;
	NullableDatum	 written;
	bool			 done = false;

	set_update_tier_writes = DatumGetUUIDP(workspace.value);
	PG_TRY();
	{
		done = statement_fetch(&write_tier, &table->statement_table, args, &written);
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
				 errdetail("A trigger or rule of table %s kept the tier \"%s\".",
						   table->statement_table.name, tier_names[current])));
}

/*
 * The statement that looks for a canary.  Of a distributed table Citus shows what
 * a transaction has changed only to the role that has changed it.  NULL: to that
 * role it may not show every canary.
 */
static Statement *
canary_finder(const WorkspacesTable *table)
{
	if (!table->distributed)
		return &any_canary;
	if (pg_class_aclcheck(table->relid, GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
		check_enable_rls(table->relid, InvalidOid, true) != RLS_NONE)
		return NULL;
	return &any_canary_of_shards;
}

/* A workspace is no longer a canary: raise a NOTICE if it was the last one. */
static void
notice_if_last_canary(Datum workspace)
{
	const WorkspacesTable *table;
	Statement			  *finder;
	NullableDatum		   found;

	/*
	 * A trigger of the table's owner may have changed what is attached.  On the
	 * same table this lock is held already.
	 */
	table = workspaces_lock(RowExclusiveLock);
	finder = canary_finder(table);
	if (finder != NULL && !statement_fetch(finder, &table->statement_table, NULL, &found))
		ereport(NOTICE,
				(errmsg("no canary workspaces are left"),
				 errdetail("Workspace %s was the last one. A version that needs a canary success waits until there is a canary.",
						   uuid_text(workspace)),
				 errhint("Make another workspace a canary with set_update_tier.")));
}

/*
 * set_update_tier(workspace uuid, tier text, expected text) returns update_tier
 *
 * Gives a workspace a tier and returns the tier it had.  Writes nothing if it
 * has that tier already.  With "expected", only if the current tier is that one
 * (compare-and-set).  Raises a NOTICE when no live canary is left.
 *
 * Errors: 23514 for an invalid tier, 22004 for a NULL workspace, P0002 for
 * an unknown one, 55000 when the current tier is not the expected one, when
 * a trigger or rule kept the row as it was, or when no table is attached,
 * 42501 when row-level security lets the caller see the row but not change
 * it, 40001 as any UPDATE under REPEATABLE READ.
 *
 * Of two callers the second waits for the row's lock, and then reads the tier
 * that the first one has written.
 */
Datum
update_tier_set_update_tier(PG_FUNCTION_ARGS)
{
	NullableDatum		   workspace = fcinfo->args[0];
	NullableDatum		   expected = fcinfo->args[2];
	Tier				   wanted = tier_argument(fcinfo->args[1], "update tier");
	Tier				   current;
	const WorkspacesTable *table;

	require_own_tables(fcinfo);
	if (!expected.isnull)
		(void) tier_argument(expected, "expected update tier");
	if (workspace.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("workspace must not be null")));

	/*
	 * RowExclusiveLock is the lock that the UPDATE will take.  To take a weaker
	 * one first could deadlock with an ALTER TABLE that waits for the table.
	 */
	table = workspaces_lock(RowExclusiveLock);

	/* A call that changes nothing takes no lock on the row. */
	if (!fetch_tier(&reread_tier, table, workspace, &current))
		refuse_unknown(workspace.value, table);
	check_expected(workspace.value, current, expected);
	if (current != wanted)
	{
		current = lock_workspace(table, workspace);
		check_expected(workspace.value, current, expected);
	}
	if (current != wanted)
	{
		write_workspace_tier(table, workspace, current, wanted);
		/* Its triggers run on its shards, if it has any. */
		if (table->distributed)
			tier_change_insert(workspace, current, wanted);
		if (current == TIER_CANARY)
			notice_if_last_canary(workspace.value);
	}
	PG_RETURN_DATUM(CStringGetTextDatum(tier_names[current]));
}
