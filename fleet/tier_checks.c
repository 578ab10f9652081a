/*-------------------------------------------------------------------------
 *
 * fleet/tier_checks.c
 *	  CHECK constraints that involve the column update_tier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_constraint.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fleet/tier_checks.h"
#include "fleet/tier_domain.h"

/*
 * mark_constraint
 *		Mark a CHECK as valid, or as not valid, without a scan.  ROW EXCLUSIVE
 *		on the catalog, as for every write.
 */
void
mark_constraint(Oid constraint, bool validated)
{
	Relation  catalog = table_open(ConstraintRelationId, RowExclusiveLock);
	HeapTuple tuple = SearchSysCacheCopy1(CONSTROID, ObjectIdGetDatum(constraint));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for constraint %u", constraint);
	((Form_pg_constraint) GETSTRUCT(tuple))->convalidated = validated;
	CatalogTupleUpdate(catalog, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(catalog, RowExclusiveLock);
	CommandCounterIncrement();
}

/*
 * visit_checks
 *		Visit the CHECK constraints of a relation that involve update_tier.  ROW
 *		EXCLUSIVE on the catalog: mark_checks() may write the same rows next.
 */
void
visit_checks(Oid relid, CheckCallback callback, void *arg)
{
	AttrNumber	tier_column = get_attnum(relid, TIER_COLUMN);
	Relation	catalog = table_open(ConstraintRelationId, RowExclusiveLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_constraint_conrelid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(relid));
	scan = systable_beginscan(catalog, ConstraintRelidTypidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		bool  isnull;
		Datum conkey = heap_getattr(tuple, Anum_pg_constraint_conkey,
									RelationGetDescr(catalog), &isnull);

		if (((Form_pg_constraint) GETSTRUCT(tuple))->contype != CONSTRAINT_CHECK || isnull)
			continue;
		for (int i = 0; i < ARR_DIMS(DatumGetArrayTypeP(conkey))[0]; i++)
		{
			if (((int16 *) ARR_DATA_PTR(DatumGetArrayTypeP(conkey)))[i] == tier_column)
			{
				callback(catalog, tuple, tier_column, arg);
				break;
			}
		}
	}
	systable_endscan(scan);
	table_close(catalog, RowExclusiveLock);
}

/*
 * collect_redundant
 *		Add a CHECK to RedundantChecks if the domain implies it.
 *
 * Such a CHECK involves no other column, and every tier passes it.  NULL passes
 * the domain's constraint, so a CHECK that rejects NULL is not redundant.
 */
void
collect_redundant(Relation catalog, HeapTuple tuple, AttrNumber tier_column, void *arg)
{
	RedundantChecks *checks = (RedundantChecks *) arg;
	bool			 isnull;
	ArrayType		*columns;
	Node			*expr;

	columns = DatumGetArrayTypeP(heap_getattr(tuple, Anum_pg_constraint_conkey,
											  RelationGetDescr(catalog), &isnull));
	if (ARR_DIMS(columns)[0] != 1)
		return;

	expr = stringToNode(TextDatumGetCString(heap_getattr(tuple, Anum_pg_constraint_conbin,
														 RelationGetDescr(catalog), &isnull)));
	expr = eval_const_expressions(NULL, expr);
	expr = (Node *) canonicalize_qual((Expr *) expr, true);
	if (predicate_implied_by(make_ands_implicit((Expr *) expr), checks->is_a_tier, true))
		checks->names = lappend(checks->names,
								pstrdup(NameStr(((Form_pg_constraint) GETSTRUCT(tuple))->conname)));
}

/*
 * Could the expression have another result under another collation?  Equality
 * of text could not.  Any other operator or function could, as far as we know.
 */
static bool
depends_on_collation(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, OpExpr) || IsA(node, ScalarArrayOpExpr))
	{
		Oid opno = IsA(node, OpExpr) ? ((OpExpr *) node)->opno : ((ScalarArrayOpExpr *) node)->opno;
		Oid function = get_opcode(opno);

		if (function != F_TEXTEQ && function != F_TEXTNE &&
			OidIsValid(exprInputCollation(node)))
			return true;
	}
	else if (!IsA(node, List) && OidIsValid(exprInputCollation(node)))
		return true;
	return expression_tree_walker(node, depends_on_collation, context);
}

/* collect_valid: add a valid CHECK to a List of TierCheck *. */
void
collect_valid(Relation catalog, HeapTuple tuple, AttrNumber tier_column, void *arg)
{
	Form_pg_constraint constraint = (Form_pg_constraint) GETSTRUCT(tuple);
	List			 **checks = (List **) arg;
	TierCheck		  *check;
	Node			  *expr;
	bool			   isnull;

	if (!constraint->convalidated)
		return;
	expr = stringToNode(TextDatumGetCString(heap_getattr(tuple, Anum_pg_constraint_conbin,
														 RelationGetDescr(catalog), &isnull)));
	check = palloc_object(TierCheck);
	check->unsure = depends_on_collation(expr, NULL);
	check->relid = constraint->conrelid;
	check->name = pstrdup(NameStr(constraint->conname));
	*checks = lappend(*checks, check);
}

/* mark_checks: mark a List of TierCheck * as valid, or as not valid, without a scan. */
void
mark_checks(List *checks, bool validated)
{
	ListCell *lc;

	foreach(lc, checks)
	{
		TierCheck *check = (TierCheck *) lfirst(lc);

		mark_constraint(get_relation_constraint_oid(check->relid, check->name, false), validated);
		CacheInvalidateRelcacheByRelid(check->relid);
	}
	CommandCounterIncrement();
}
