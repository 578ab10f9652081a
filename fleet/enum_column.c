/*-------------------------------------------------------------------------
 *
 * fleet/enum_column.c
 *	  What prevents converting an enum to text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_constraint.h"
#include "lib/stringinfo.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fleet/enum_column.h"
#include "fleet/tier_checks.h"
#include "fleet/tier_domain.h"

/*
 * Does the expression pass a value of an enum to an operator or function?  It
 * may not exist for text.  A cast to text or IS NULL works for text, too.
 */
static bool
needs_enum(Node *node, void *context)
{
	List	 *args = NIL;
	ListCell *lc;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_OpExpr:
		case T_DistinctExpr:
		case T_NullIfExpr:
			args = ((OpExpr *) node)->args;
			break;
		case T_ScalarArrayOpExpr:
			args = ((ScalarArrayOpExpr *) node)->args;
			break;
		case T_FuncExpr:
			args = ((FuncExpr *) node)->args;
			break;
		case T_RowCompareExpr:
			args = ((RowCompareExpr *) node)->largs;
			break;
		case T_CaseExpr:
			args = list_make1(((CaseExpr *) node)->arg);
			break;
		default:
			break;
	}
	foreach(lc, args)
	{
		if (lfirst(lc) != NULL && type_is_enum(getBaseType(exprType((Node *) lfirst(lc)))))
			return true;
	}
	return expression_tree_walker(node, needs_enum, context);
}

/* What prevents the conversion: names for an error. */
typedef struct Dependents
{
	List		  *droppable; /* names of CHECKs that are dropped anyway */
	StringInfoData names;
} Dependents;

static void
add_dependent(Dependents *found, const char *kind, const char *name)
{
	appendStringInfo(&found->names, "%s%s \"%s\"", found->names.len > 0 ? ", " : "", kind, name);
}

static void
collect_enum_check(Relation catalog, HeapTuple tuple, AttrNumber tier_column, void *arg)
{
	Dependents *found = (Dependents *) arg;
	char	   *name = NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname);
	bool		isnull;
	ListCell   *lc;

	foreach(lc, found->droppable)
	{
		if (strcmp((char *) lfirst(lc), name) == 0)
			return;
	}
	if (needs_enum(stringToNode(TextDatumGetCString(heap_getattr(tuple, Anum_pg_constraint_conbin,
																 RelationGetDescr(catalog), &isnull))),
				   NULL))
		add_dependent(found, "check constraint", name);
}

/*
 * check_enum_dependents
 *		Refuse to convert an enum to text if indexes or CHECKs need the enum.
 *		CHECKs that are "droppable" by name do not count.
 *
 * ACCESS SHARE on each index, as its definition is read.
 */
void
check_enum_dependents(Oid relid, List *droppable)
{
	Dependents found = { .droppable = droppable };
	Relation   rel = table_open(relid, NoLock);
	int		   tier = get_attnum(relid, TIER_COLUMN) - FirstLowInvalidHeapAttributeNumber;
	ListCell  *lc;

	initStringInfo(&found.names);
	visit_checks(relid, collect_enum_check, &found);
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation   index = index_open(lfirst_oid(lc), AccessShareLock);
		List	  *parts = list_concat_copy(RelationGetIndexExpressions(index),
											RelationGetIndexPredicate(index));
		Bitmapset *columns = NULL;

		pull_varattnos((Node *) parts, 1, &columns);
		if (bms_is_member(tier, columns) && needs_enum((Node *) parts, NULL))
			add_dependent(&found, "index", RelationGetRelationName(index));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);

	if (found.names.len > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot convert column \"%s\" of \"%s\" from an enum to text",
						TIER_COLUMN, get_rel_name(relid)),
				 errdetail("These constraints and indexes use it as an enum: %s.", found.names.data),
				 errhint("Drop them, attach the table, and create them again.")));
}
