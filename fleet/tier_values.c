/*-------------------------------------------------------------------------
 *
 * fleet/tier_values.c
 *	  The values of a column update_tier that is already there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "fleet/attached.h"
#include "fleet/condition.h"
#include "fleet/tier_domain.h"
#include "fleet/tier_values.h"
#include "server/values.h"

/* How many invalid values an error shows. */
#define BAD_VALUES_SHOWN 5

/*
 * values_are_vouched_for
 *		Does the table guarantee that every value is a tier or NULL?  Valid
 *		CHECKs may imply it, or the labels of an enum.
 */
bool
values_are_vouched_for(Relation rel, AttrNumber attnum, ColumnForm form)
{
	Node *is_a_tier;

	if (form == COLUMN_ENUM)
	{
		Oid				 type = getBaseType(get_atttype(RelationGetRelid(rel), attnum));
		struct catclist *labels = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(type));
		bool			 all_tiers = true;

		for (int i = 0; i < labels->n_members; i++)
		{
			Form_pg_enum label = (Form_pg_enum) GETSTRUCT(&labels->members[i]->tuple);

			if (!tier_parse(NameStr(label->enumlabel), strlen(NameStr(label->enumlabel)), NULL))
				all_tiers = false;
		}
		ReleaseSysCacheList(labels);
		return all_tiers;
	}

	/* A value that compares equal to a tier need not be one. */
	if (!equality_is_identity(rel, attnum))
		return false;

	/* A parent's CHECK ... NO INHERIT does not hold for its children's rows. */
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		has_subclass(RelationGetRelid(rel)))
		return false;

	is_a_tier = (Node *) make_ands_explicit(condition_as_predicate(rel, IS_A_TIER, NULL));
	return PartConstraintImpliedByRelConstraint(rel, list_make1(is_a_tier));
}

/*
 * check_values
 *		Scan for invalid values, and refuse all of them in one error.
 *
 * Uses the latest snapshot.  Under REPEATABLE READ the transaction's snapshot
 * may not show what was committed while we waited for the lock.
 */
void
check_values(const char *table, const char *relname, ColumnForm form)
{
	uint64		   distinct;
	int64		   invalid;
	bool		   isnull;
	StringInfoData shown;
	SPIPlanPtr	   plan;
	Snapshot	   snapshot;
	int			   result;

	plan = SPI_prepare(psprintf("SELECT v, n, pg_catalog.sum(n) OVER ()::pg_catalog.int8 FROM"
								" (SELECT x.v, pg_catalog.count(*) AS n FROM"
								"  (SELECT %s AS v FROM %s) AS x"
								"  WHERE NOT " MACHINERY_SCHEMA ".is_valid(x.v) GROUP BY 1) AS bad"
								" ORDER BY n DESC, v COLLATE pg_catalog.\"C\" LIMIT %d",
								tier_as_text(form), table, BAD_VALUES_SHOWN + 1),
					   0, NULL);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	result = SPI_execute_snapshot(plan, NULL, NULL, snapshot, InvalidSnapshot, false, false, 0);
	UnregisterSnapshot(snapshot);
	if (result != SPI_OK_SELECT)
		elog(ERROR, "could not verify: %s", SPI_result_code_string(result));
	distinct = SPI_processed;
	if (distinct == 0)
		return;

	invalid = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3, &isnull));
	initStringInfo(&shown);
	for (uint64 i = 0; i < Min(distinct, BAD_VALUES_SHOWN); i++)
	{
		char *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char *rows = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);

		appendStringInfo(&shown, "%s\"%s\" (%s)", i > 0 ? ", " : "", clipped(value), rows);
	}

	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg_plural("cannot attach \"%s\": column \"%s\" contains an invalid update tier in %lld row",
						   "cannot attach \"%s\": column \"%s\" contains invalid update tiers in %lld rows",
						   invalid, relname, TIER_COLUMN, (long long) invalid),
			 errdetail("Values (rows): %s%s.", shown.data,
					   distinct > BAD_VALUES_SHOWN ? ", and more" : ""),
			 errhint("Find them with SELECT " ID_COLUMN ", " TIER_COLUMN " FROM %s WHERE NOT " MACHINERY_SCHEMA ".is_valid(" TIER_COLUMN "::text), set them to \"%s\" or \"%s\", and attach the table again.",
					 table, tier_names[TIER_CANARY], tier_names[TIER_PRODUCTION]),
			 errdomainconstraint(tier_domain_oid(), DOMAIN_CONSTRAINT)));
}
