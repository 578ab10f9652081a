/*-------------------------------------------------------------------------
 *
 * server/statement.c
 *	  The one place that runs kept SPI plans.
 *
 * A Statement is text over a StatementTable, or over the extension's own
 * tables.  Its plan is made at first use and kept for the session, the way
 * ri_triggers.c keeps the plans of foreign-key checks.  When the table's name
 * or its condition on live rows has changed, the plan is discarded and made
 * again.
 *
 * The server may analyse the text of a kept plan again at any use, and does so
 * under the caller's search_path.  Statement texts are therefore
 * fully qualified, operators included.  The condition on live rows cannot be
 * qualified: it is the deparsed form of what a user wrote.  So it is not part
 * of the text.  The text names it as a column, "$live", and a parser hook puts
 * the table's condition in its place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"

#include "server/identity.h"
#include "server/statement.h"

/* The placeholders of the table and of its condition in a statement's text. */
#define TABLE_MARK	"$table"
#define LIVE_COLUMN "$live"

/*
 * A plan for one generation of the table, in a memory context of its own.
 * Code of the table's owner may run while a plan is made, planned again or run
 * (a trigger, a policy, an IMMUTABLE function that the planner folds).  That
 * code may change the table and call us again, so a plan can become stale while
 * it is in use.  "uses" counts the calls that use it; the last of them frees a
 * retired plan.
 */
typedef struct KeptPlan
{
	MemoryContext	 context;
	const Statement *statement;
	uint64			 generation;
	char			*live_when;
	TableCondition	 condition;
	SPIPlanPtr		 plan;
	int				 uses;
	bool			 retired;
} KeptPlan;

/*
 * Parser hook: a column named $live is the condition on live rows.  The parser
 * calls it before it looks at the table's own columns.
 */
static Node *
live_column(ParseState *pstate, ColumnRef *cref)
{
	KeptPlan *kept = (KeptPlan *) pstate->p_ref_hook_state;
	Node	 *condition;

	if (list_length(cref->fields) != 1 ||
		!IsA(linitial(cref->fields), String) ||
		strcmp(strVal(linitial(cref->fields)), LIVE_COLUMN) != 0)
		return NULL;

	if (kept->live_when == NULL)
		return makeBoolConst(true, false);

	/* In the condition itself, $live is a column like any other. */
	pstate->p_pre_columnref_hook = NULL;
	condition = kept->condition(pstate, kept->live_when);
	pstate->p_pre_columnref_hook = live_column;
	return condition;
}

/* Parser hook: $n is the statement's n-th argument. */
static Node *
parameter(ParseState *pstate, ParamRef *pref)
{
	KeptPlan *kept = (KeptPlan *) pstate->p_ref_hook_state;
	Param	 *param;

	if (pref->number < 1 || pref->number > kept->statement->nargs)
		elog(ERROR, "statement has no parameter $%d", pref->number);

	param = makeNode(Param);
	param->paramkind = PARAM_EXTERN;
	param->paramid = pref->number;
	param->paramtype = kept->statement->argtypes[pref->number - 1];
	param->paramtypmod = -1;
	param->paramcollid = get_typcollation(param->paramtype);
	param->location = pref->location;
	return (Node *) param;
}

static void
statement_parser_setup(ParseState *pstate, void *arg)
{
	pstate->p_pre_columnref_hook = live_column;
	pstate->p_paramref_hook = parameter;
	pstate->p_ref_hook_state = arg;
}

/* Replace the placeholder by the table's name. */
static char *
statement_text(const char *text, const char *table_name)
{
	StringInfoData buf;
	const char	  *mark;

	initStringInfo(&buf);
	while ((mark = strstr(text, TABLE_MARK)) != NULL)
	{
		appendBinaryStringInfo(&buf, text, mark - text);
		appendStringInfoString(&buf, table_name);
		text = mark + strlen(TABLE_MARK);
	}
	appendStringInfoString(&buf, text);
	return buf.data;
}

/* The identity that a statement runs under. */
static Identity
enter_role(const Statement *statement, const StatementTable *table)
{
	Identity unchanged;

	switch (statement->role)
	{
		case AS_TABLE_OWNER:
			return become(table->owner, SECURITY_NOFORCE_RLS | SECURITY_RESTRICTED_OPERATION);
		case AS_EXTENSION:
			return become(extension_owner(), 0);
		case AS_CALLER:
			break;
	}
	GetUserIdAndSecContext(&unchanged.user, &unchanged.security_context);
	return unchanged;
}

static void
kept_plan_free(KeptPlan *kept)
{
	SPI_freeplan(kept->plan);
	MemoryContextDelete(kept->context);
}

/* Take the plan from the statement, and free it unless a call still uses it. */
static void
kept_plan_retire(Statement *statement)
{
	KeptPlan *kept = statement->kept;

	if (kept == NULL)
		return;
	statement->kept = NULL;
	if (kept->uses > 0)
		kept->retired = true;
	else
		kept_plan_free(kept);
}

/*
 * The statement's plan for the current generation of the table; "table" is NULL
 * for a statement on our own tables.  The plan exists at least until
 * kept_plan_release().  The caller has connected to SPI.
 */
static KeptPlan *
kept_plan(Statement *statement, const StatementTable *table)
{
	KeptPlan	 *kept = statement->kept;
	uint64		  generation = table ? table->generation : 0;
	MemoryContext context;
	MemoryContext caller_context;

	if (kept != NULL && kept->generation == generation)
	{
		kept->uses++;
		return kept;
	}
	kept_plan_retire(statement);

	/*
	 * Until the plan is complete its context is a child of SPI's context, so
	 * that an error deletes both.
	 */
	context = AllocSetContextCreate(CurrentMemoryContext,
									"update_tier statement",
									ALLOCSET_SMALL_SIZES);
	caller_context = MemoryContextSwitchTo(context);
	kept = palloc0_object(KeptPlan);
	kept->context = context;
	kept->statement = statement;
	kept->generation = generation;
	kept->live_when = table && table->live_when ? pstrdup(table->live_when) : NULL;
	kept->condition = table ? table->condition : NULL;
	MemoryContextSwitchTo(caller_context);

	kept->plan = SPI_prepare_params(table ? statement_text(statement->text, table->name) :
											statement->text,
									statement_parser_setup, kept,
									statement->cursor_options);
	if (kept->plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s",
			 statement->text, SPI_result_code_string(SPI_result));
	if (SPI_keepplan(kept->plan) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", statement->text);
	MemoryContextSetParent(context, TopMemoryContext);

	/*
	 * Publish the plan last.  The steps above may fail, or they may call us for
	 * the same statement; the plan made there is retired in favour of this one.
	 */
	kept_plan_retire(statement);
	kept->uses++;
	statement->kept = kept;
	return kept;
}

static void
kept_plan_release(KeptPlan *kept)
{
	if (--kept->uses == 0 && kept->retired)
		kept_plan_free(kept);
}

/*
 * Run the statement, and return its number of rows: at most "max_rows", unless
 * that is 0.  The rows go to "dest"; if that is NULL they are in SPI_tuptable.
 * The caller has connected to SPI.
 */
static uint64
execute(Statement *statement, const StatementTable *table,
		const NullableDatum *args, uint64 max_rows, DestReceiver *dest)
{
	Identity		  caller = enter_role(statement, table);
	KeptPlan		 *kept;
	ParamListInfo	  params = NULL;
	SPIExecuteOptions options = { 0 };
	int				  result = 0;

	if (statement->nargs > 0)
	{
		params = makeParamList(statement->nargs);
		for (int i = 0; i < statement->nargs; i++)
		{
			params->params[i].value = args[i].value;
			params->params[i].isnull = args[i].isnull;
			params->params[i].pflags = PARAM_FLAG_CONST;
			params->params[i].ptype = statement->argtypes[i];
		}
	}

	options.params = params;
	options.read_only = statement->read_only;
	options.tcount = max_rows;
	options.dest = dest;

	kept = kept_plan(statement, table);
	PG_TRY();
	{
		result = SPI_execute_plan_extended(kept->plan, &options);
	}
	PG_FINALLY();
	{
		kept_plan_release(kept);
	}
	PG_END_TRY();
	become_again(caller);

	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s",
			 statement->text, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * statement_run
 *		Run the statement and return its number of rows.  The executor sends
 *		each row to "dest", if that is not NULL.
 */
uint64
statement_run(Statement *statement, const StatementTable *table,
			  const NullableDatum *args, DestReceiver *dest)
{
	uint64 rows;

	SPI_connect();
	rows = execute(statement, table, args, 0, dest);
	SPI_finish();
	return rows;
}

/* Copy row n of SPI_tuptable into row[], in the caller's memory. */
static void
copy_row(uint64 n, NullableDatum *row)
{
	TupleDesc tupdesc = SPI_tuptable->tupdesc;

	for (int i = 0; i < tupdesc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(tupdesc, i);

		row[i].value = SPI_getbinval(SPI_tuptable->vals[n], tupdesc, i + 1,
									 &row[i].isnull);
		if (!row[i].isnull)
			row[i].value = SPI_datumTransfer(row[i].value,
											 attr->attbyval, attr->attlen);
	}
}

/*
 * statement_fetch
 *		Run a statement that returns at most one row.  False: no row.
 *		Otherwise its columns are copied into row[], in the caller's memory.
 */
bool
statement_fetch(Statement *statement, const StatementTable *table,
				const NullableDatum *args, NullableDatum *row)
{
	bool found;

	SPI_connect();
	found = execute(statement, table, args, 0, NULL) > 0;
	if (found)
		copy_row(0, row);
	SPI_finish();
	return found;
}

/*
 * statement_fetch_some
 *		Run a statement that returns few rows, and take no more than
 *		"max_rows" (0: all of them).  Each is an array of NullableDatum in
 *		the caller's memory, as is the list of them.
 */
List *
statement_fetch_some(Statement *statement, const StatementTable *table,
					 const NullableDatum *args, uint64 max_rows)
{
	MemoryContext context = CurrentMemoryContext;
	List		 *rows = NIL;
	uint64		  count;

	SPI_connect();
	count = execute(statement, table, args, max_rows, NULL);
	for (uint64 n = 0; n < count; n++)
	{
		NullableDatum *row = (NullableDatum *)
			SPI_palloc(sizeof(NullableDatum) * SPI_tuptable->tupdesc->natts);
		MemoryContext spi_context;

		copy_row(n, row);
		spi_context = MemoryContextSwitchTo(context);
		rows = lappend(rows, row);
		MemoryContextSwitchTo(spi_context);
	}
	SPI_finish();
	return rows;
}

/* statement_fetch_all: the same, without a limit. */
List *
statement_fetch_all(Statement *statement, const StatementTable *table,
					const NullableDatum *args)
{
	return statement_fetch_some(statement, table, args, 0);
}

/*
 * statement_rows
 *		The number of rows that the planner expects from the statement.
 *
 * Reads the estimate of the generic plan, which later calls are likely to use;
 * runs nothing.
 */
double
statement_rows(Statement *statement, const StatementTable *table)
{
	KeptPlan	   *kept;
	CachedPlan	   *cached;
	volatile double rows = -1;

	Assert(statement->role == AS_CALLER);
	SPI_connect();
	kept = kept_plan(statement, table);
	PG_TRY();
	{
		cached = SPI_plan_get_cached_plan(kept->plan);
		if (cached != NULL)
		{
			rows = linitial_node(PlannedStmt, cached->stmt_list)->planTree->plan_rows;
			ReleaseCachedPlan(cached, CurrentResourceOwner);
		}
	}
	PG_FINALLY();
	{
		kept_plan_release(kept);
	}
	PG_END_TRY();
	SPI_finish();
	return rows;
}
