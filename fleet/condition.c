/*-------------------------------------------------------------------------
 *
 * fleet/condition.c
 *	  Conditions on the rows of one table.
 *
 * A user gives attach() a condition that says which rows are live.  It is
 * analysed once under the user's search_path and checked.  Then it is stored in
 * a canonical form: deparsed under fixed settings, and analysed again under the
 * same ones.  So it has one meaning, whatever the search_path of a session.
 *
 * A condition may use what a publication's row filter may use, and enums.  It
 * becomes the predicate of an index, and the rollout functions evaluate it as
 * the table's owner, so it must not run a user's code.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_collate.h"
#include "parser/parse_expr.h"
#include "parser/parse_relation.h"
#include "parser/parser.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"

#include "fleet/condition.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/settings.h"
#include "server/values.h"

#define CONDITION_NAME "live_when"

#define ALLOWED_HINT \
	"Use the table's own columns, constants, your enums, and the server's " \
	"built-in immutable functions and operators."

#define NO_LONGER_FITS "The condition no longer fits the attached table: %s."
#define ATTACH_AGAIN_HINT \
	"Attach the table again with update_tier.attach, and pass a live_when that fits it."

typedef enum ConditionOrigin
{
	CONDITION_GIVEN,  /* by a user, in this call */
	CONDITION_STORED, /* stored when the table was attached */
	CONDITION_OURS	  /* a constant in our own code */
} ConditionOrigin;

/* A condition that is being read. */
typedef struct ConditionSource
{
	const char	   *condition;
	const char	   *query; /* what the parser sees; positions in errors refer to it */
	ConditionOrigin origin;
	ParseState	   *pstate;
} ConditionSource;

/* condition_context: the error is in the condition.  An ErrorContextCallback. */
void
condition_context(void *arg)
{
	errcontext("condition \"%s\"", CONDITION_NAME);
}

/*
 * Error context while a condition is analysed: the error is in the condition,
 * not in the query that runs.  A stored condition was right when the table was
 * attached, so something that it names has changed.
 */
static void
condition_error_context(void *arg)
{
	const ConditionSource *source = (const ConditionSource *) arg;
	int					   position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(position);
		internalerrquery(source->query);
	}
	if (source->origin != CONDITION_GIVEN &&
		ERRCODE_TO_CATEGORY(geterrcode()) == ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION)
	{
		errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE);
		errdetail(NO_LONGER_FITS, source->condition);
		errhint(ATTACH_AGAIN_HINT);
	}
	condition_context(arg);
}

/*
 * Parse the condition.  It must be one expression, without a second statement or
 * a clause after it.
 */
static Node *
raw_condition(const ConditionSource *source)
{
	List	   *statements = raw_parser(source->query, RAW_PARSE_DEFAULT);
	SelectStmt *select = NULL;

	if (list_length(statements) == 1 &&
		IsA(linitial_node(RawStmt, statements)->stmt, SelectStmt))
		select = (SelectStmt *) linitial_node(RawStmt, statements)->stmt;

	if (select == NULL || select->whereClause == NULL ||
		select->op != SETOP_NONE || select->groupClause != NIL ||
		select->havingClause != NULL || select->windowClause != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("\"%s\" must be one condition", CONDITION_NAME),
				 errdetail("The text is \"%s\".", clipped(source->condition)),
				 errhint("Write what would stand after WHERE, and nothing else.")));
	return select->whereClause;
}

/* Does the condition name a column that the table does not have? */
static bool
names_missing_walker(Node *node, void *relid)
{
	if (node == NULL)
		return false;
	if (IsA(node, ColumnRef))
	{
		Node *name = llast(((ColumnRef *) node)->fields);

		return IsA(name, String) && get_attnum(*(Oid *) relid, strVal(name)) == InvalidAttrNumber;
	}
	return raw_expression_tree_walker(node, names_missing_walker, relid);
}

/*
 * condition_names_exist
 *		Has the table all columns that a stored condition names?  The condition
 *		may be NULL.
 *
 * For callers that go on without the table if not: to analyse the condition
 * would raise an error.
 */
bool
condition_names_exist(Oid relid, const char *condition)
{
	ConditionSource source = { .condition = condition };
	int				nest_level;
	bool			missing;

	if (condition == NULL)
		return true;
	source.query = psprintf("SELECT WHERE %s", condition);
	nest_level = enter_canonical_settings();
	missing = names_missing_walker(raw_condition(&source), &relid);
	AtEOXact_GUC(true, nest_level);
	return !missing;
}

pg_noreturn static void
refuse(const ConditionSource *source, const char *detail)
{
	if (source->origin == CONDITION_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("condition \"%s\" is no longer allowed", CONDITION_NAME),
				 errdetail(NO_LONGER_FITS " %s", source->condition, detail),
				 errhint(ATTACH_AGAIN_HINT)));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("condition \"%s\" is not allowed", CONDITION_NAME),
			 errdetail("%s", detail),
			 errhint(ALLOWED_HINT)));
}

/*
 * A type whose values are compared by the server's own code: a built-in, an
 * enum, or an array or domain of these.
 */
static bool
is_plain_type(Oid type)
{
	Oid element;

	type = getBaseType(type);
	element = get_element_type(type);
	if (OidIsValid(element))
		type = getBaseType(element);
	return type < FirstNormalObjectId || type_is_enum(type);
}

/* is_users_function: is it user-defined?  To be called by check_functions_in_node(). */
bool
is_users_function(Oid funcid, void *context)
{
	return funcid >= FirstNormalObjectId;
}

static bool
is_tier_column(ParseState *pstate, const Var *var)
{
	RangeTblEntry *rte = GetRTEByRangeTablePosn(pstate, var->varno, var->varlevelsup);

	return rte->rtekind == RTE_RELATION && var->varattno == get_attnum(rte->relid, TIER_COLUMN);
}

/* Refuse the parts of a condition that may run a user's code. */
static bool
check_walker(Node *node, void *context)
{
	const ConditionSource *source = (const ConditionSource *) context;

	if (node == NULL)
		return false;

	switch (nodeTag(node))
	{
		case T_SubLink:
			refuse(source, "It contains a subquery.");
			break;
		case T_Var:
		{
			Var *var = (Var *) node;

			if (var->varattno <= 0)
				refuse(source, "It refers to a system column or to the whole row.");
			if (is_tier_column(source->pstate, var))
				refuse(source, "It refers to the column \"" TIER_COLUMN "\".");
		}
		break;
		case T_CoerceToDomain:
			refuse(source, "It casts to a domain.");
			break;
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			if (((OpExpr *) node)->opno >= FirstNormalObjectId)
				refuse(source, "It uses a user-defined operator.");
			break;
		case T_ScalarArrayOpExpr:
			if (((ScalarArrayOpExpr *) node)->opno >= FirstNormalObjectId)
				refuse(source, "It uses a user-defined operator.");
			break;
		case T_RowCompareExpr:
		{
			ListCell *lc;

			foreach(lc, ((RowCompareExpr *) node)->opnos)
			{
				if (lfirst_oid(lc) >= FirstNormalObjectId)
					refuse(source, "It uses a user-defined operator.");
			}
		}
		break;
		default:
			break;
	}

	if (!IsA(node, List))
	{
		if (check_functions_in_node(node, is_users_function, NULL))
			refuse(source, "It calls a user-defined function.");
		if (!is_plain_type(exprType(node)))
			refuse(source, "It uses a user-defined type that is not an enum.");
		if (exprCollation(node) >= FirstNormalObjectId)
			refuse(source, "It uses a user-defined collation.");
	}

	return expression_tree_walker(node, check_walker, context);
}

/*
 * Analyse a condition over the tables that pstate knows, and refuse it if it may
 * run a user's code.  That includes a stored one: a cast that was created later,
 * or another type of a column, can change its meaning.
 */
static Node *
transform(ParseState *pstate, const char *condition, ConditionOrigin origin)
{
	ConditionSource source = {
		.condition = condition,
		.query = psprintf("SELECT WHERE %s", condition),
		.origin = origin,
		.pstate = pstate
	};
	ErrorContextCallback context = {
		.previous = error_context_stack,
		.callback = condition_error_context,
		.arg = &source
	};
	const char *outer_source = pstate->p_sourcetext;
	Node	   *expr;

	error_context_stack = &context;
	pstate->p_sourcetext = source.query;

	expr = transformExpr(pstate, raw_condition(&source), EXPR_KIND_WHERE);
	expr = coerce_to_boolean(pstate, expr, CONDITION_NAME);
	assign_expr_collations(pstate, expr);
	pstate->p_sourcetext = outer_source;
	error_context_stack = context.previous;

	if (origin != CONDITION_OURS)
	{
		(void) check_walker(expr, &source);
		if (contain_mutable_functions(expr))
			refuse(&source, "It uses a function, operator or cast that is not immutable.");
	}
	return expr;
}

/*
 * condition_transform
 *		Analyse a canonical condition inside a query on its table.
 *
 * Errors: 55000, when what it names has been renamed or dropped.
 */
Node *
condition_transform(ParseState *pstate, const char *condition)
{
	int	  nest_level = enter_canonical_settings();
	Node *expr = transform(pstate, condition, CONDITION_STORED);

	AtEOXact_GUC(true, nest_level);
	return expr;
}

/*
 * The caller has locked the relation; the lock mode here is only a note in the
 * range table entry.
 */
static ParseState *
parse_state_for(Relation rel)
{
	ParseState		   *pstate = make_parsestate(NULL);
	ParseNamespaceItem *nsitem;

	nsitem = addRangeTableEntryForRelation(pstate, rel, AccessShareLock,
										   NULL, false, true);
	addNSItemToQuery(pstate, nsitem, false, true, true);
	return pstate;
}

/*
 * condition_as_predicate
 *		One of our own conditions, and the stored one of a user unless that is
 *		NULL, in the form in which the relation cache holds the predicate of an
 *		index, so that the two can be compared.  Columns are Vars of range
 *		table entry 1.
 */
List *
condition_as_predicate(Relation rel, const char *ours, const char *stored)
{
	ParseState *pstate = parse_state_for(rel);
	int			nest_level = enter_canonical_settings();
	Node	   *expr = transform(pstate, ours, CONDITION_OURS);

	AtEOXact_GUC(true, nest_level);
	if (stored != NULL)
		expr = (Node *) make_andclause(list_make2(expr, condition_transform(pstate, stored)));
	expr = eval_const_expressions(NULL, expr);
	expr = (Node *) canonicalize_qual((Expr *) expr, false);
	fix_opfuncids(expr);
	return make_ands_implicit((Expr *) expr);
}

/*
 * condition_expression
 *		A stored condition, ready for ExecInitExpr().  The caller has locked the
 *		table.
 *
 * Errors: as condition_transform().
 */
Expr *
condition_expression(Relation rel, const char *stored)
{
	return expression_planner((Expr *) condition_transform(parse_state_for(rel), stored));
}

/*
 * condition_canonical
 *		Check a user's condition on the rows of a table, and return it in the
 *		form in which it can be stored.
 *
 * Errors: 0A000 for a condition that is not allowed; the errors of the parser
 * (42601, 42703, 42P01, 42804 …).
 */
char *
condition_canonical(Relation rel, const char *condition)
{
	ParseState *pstate = parse_state_for(rel);
	Node	   *expr = transform(pstate, condition, CONDITION_GIVEN);
	char	   *canonical;
	int			nest_level;

	nest_level = enter_canonical_settings();
	canonical = deparse_expression(expr,
								   deparse_context_for(RelationGetRelationName(rel),
													   RelationGetRelid(rel)),
								   false, false);
	AtEOXact_GUC(true, nest_level);
	return canonical;
}
