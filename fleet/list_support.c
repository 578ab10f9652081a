/*-------------------------------------------------------------------------
 *
 * fleet/list_support.c
 *	  Planner support: row estimates of the functions that list workspaces.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "nodes/primnodes.h"
#include "nodes/supportnodes.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "fleet/workspaces.h"
#include "server/compat.h"

PG_FUNCTION_INFO_V1(update_tier_list_support);

/*
 * The number of rows that a call of one of the three list functions will
 * return; negative: unknown.  ACCESS SHARE on the attached table, as for
 * planning any query on it.
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

	/* For a distributed table Citus always estimates the same number. */
	if (table == NULL || table->distributed)
		return -1;

	/* Identify them by their C names, as their SQL names can be changed. */
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(request->funcid));
	if (!HeapTupleIsValid(tuple))
		return -1;
	symbol = TextDatumGetCString(SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull));
	ReleaseSysCache(tuple);
	if (strcmp(symbol, "update_tier_canary_workspaces") == 0)
		return workspaces_expected(TIER_CANARY, table);
	if (strcmp(symbol, "update_tier_production_workspaces") == 0)
		return workspaces_expected(TIER_PRODUCTION, table);
	if (strcmp(symbol, "update_tier_workspaces_in_tier") != 0 ||
		list_length(((FuncExpr *) request->node)->args) != 3)
		return -1;

	args = ((FuncExpr *) request->node)->args;
	tier_arg = estimate_expression_value(request->root, linitial(args));
	after_arg = estimate_expression_value(request->root, lsecond(args));
	limit_arg = estimate_expression_value(request->root, lthird(args));

	/* If the tier is unknown while planning, it is most likely the larger one. */
	rows = workspaces_expected(TIER_PRODUCTION, table);
	if (IsA(tier_arg, Const) && !((Const *) tier_arg)->constisnull)
	{
		text *name = DatumGetTextPP(((Const *) tier_arg)->constvalue);
		Tier  tier;

		if (!tier_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), &tier))
			return -1; /* the call will raise the error */
		rows = workspaces_expected(tier, table);
	}

	/* Where the page starts is unknown: the planner's own guess for that. */
	if (!IsA(after_arg, Const) || !((Const *) after_arg)->constisnull)
		rows *= 1.0 / 3.0;

	if (IsA(limit_arg, Const) && !((Const *) limit_arg)->constisnull)
		rows = Min(rows, (double) DatumGetInt64(((Const *) limit_arg)->constvalue));
	return Max(rows, 0);
}

/*
 * update_tier.list_support(internal) returns internal
 *
 * Planner support: row estimates of the list functions.  They are the estimates
 * of the query that the function will run.
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
