/*-------------------------------------------------------------------------
 *
 * fleet/canary_index.c
 *	  The partial index over the canaries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"

#include "fleet/canary_index.h"
#include "fleet/condition.h"
#include "fleet/tier_domain.h"

static List *
index_predicate(Relation rel, const char *live_when)
{
	return condition_as_predicate(rel, IS_CANARY, live_when);
}

/*
 * former_index_predicate
 *		The predicate of the index for a condition that was stored earlier.  NIL
 *		if a column that it names has been renamed or dropped, as no index has
 *		such a predicate.
 *
 * Uses a subtransaction to survive that error.
 */
List *
former_index_predicate(Relation rel, const char *live_when)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	List *volatile predicate = NIL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		predicate = index_predicate(rel, live_when);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
			ReThrowError(error);
		FreeErrorData(error);
		predicate = NIL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return predicate;
}

/*
 * classify_index
 *		Classify an index of the table.  "wanted" is the predicate it should
 *		have, or NIL while the column is not of the domain yet.
 *
 * ACCESS SHARE on the index, as the planner takes it: it may be dropped
 * otherwise.
 */
IndexForm
classify_index(Relation rel, Oid index_oid, List *wanted)
{
	Relation	  index = index_open(index_oid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	IndexForm	  result = INDEX_OTHER;
	AttrNumber	  id = get_attnum(RelationGetRelid(rel), ID_COLUMN);
	AttrNumber	  tier = get_attnum(RelationGetRelid(rel), TIER_COLUMN);

	if (index->rd_rel->relam == BTREE_AM_OID && !form->indisunique &&
		form->indnatts == 1 && tier != InvalidAttrNumber &&
		can_be_tier(get_atttype(RelationGetRelid(rel), tier), TIER_CANARY) &&
		(form->indkey.values[0] == id || form->indkey.values[0] == tier))
	{
		List *predicate = RelationGetIndexPredicate(index);
		List *canary = condition_as_predicate(rel, IS_CANARY, NULL);

		if (form->indkey.values[0] == id && form->indisvalid && form->indisready &&
			wanted != NIL && equal(predicate, wanted))
			result = INDEX_ATTACHED;
		else if (predicate != NIL && predicate_implied_by(canary, predicate, false))
			result = INDEX_KNOWN;
	}
	index_close(index, AccessShareLock);
	return result;
}

/*
 * index_name
 *		The name of the index: <table>_update_tier_canary, shortened the way the
 *		server shortens the names that it generates.
 */
char *
index_name(Relation rel)
{
	return makeObjectName(RelationGetRelationName(rel), TIER_COLUMN, "canary");
}

/*
 * find_index
 *		Does the table have the index? *outdated are the indexes to drop: one
 *		that has the index's name, and those that an earlier attach created for
 *		another condition ("old").
 *
 * Errors: 42P07 if another relation than an index of canaries has the name.
 */
bool
find_index(Relation rel, ColumnForm form, const char *live_when,
		   const AttachedRow *old, List **outdated)
{
	Oid		  named = get_relname_relid(index_name(rel), RelationGetNamespace(rel));
	List	 *wanted = NIL;
	List	 *former = NIL;
	List	 *indexes = RelationGetIndexList(rel);
	ListCell *lc;
	bool	  found = false;

	*outdated = NIL;
	if (form == COLUMN_ATTACHED)
	{
		wanted = index_predicate(rel, live_when);
		if (old->relid == RelationGetRelid(rel) && !(live_when == NULL && old->live_when == NULL))
			former = former_index_predicate(rel, old->live_when);
	}

	foreach(lc, indexes)
	{
		Oid		  index = lfirst_oid(lc);
		IndexForm index_form = classify_index(rel, index, wanted);

		if (index_form == INDEX_ATTACHED)
			found = true;
		else if (index == named && index_form == INDEX_KNOWN)
			*outdated = lappend_oid(*outdated, index);
		else if (former != NIL && !equal(former, wanted) &&
				 classify_index(rel, index, former) == INDEX_ATTACHED)
			*outdated = lappend_oid(*outdated, index);
	}

	if (!found && OidIsValid(named) && !list_member_oid(*outdated, named))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("relation \"%s\" already exists", index_name(rel)),
				 errdetail("update_tier.attach needs this name for the index of the canaries of table \"%s\". The existing relation is not such an index.",
						   RelationGetRelationName(rel)),
				 errhint("Rename the existing relation, and attach the table again.")));
	return found;
}
