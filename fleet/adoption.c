/*-------------------------------------------------------------------------
 *
 * fleet/adoption.c
 *	  Giving column update_tier its type, default and NOT NULL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fleet/adoption.h"
#include "fleet/attached.h"
#include "fleet/condition.h"
#include "fleet/enum_column.h"
#include "fleet/tier_checks.h"
#include "fleet/tier_domain.h"
#include "fleet/tier_values.h"
#include "fleet/type_change.h"
#include "server/dynamic_sql.h"
#include "server/node.h"

/* From this number of NULLs on, a NOTICE says that setting them takes a while. */
#define MANY_NULLS 10000

static void
add_column(const char *table, Oid domain)
{
	relax_domain(domain);
	run_sql("ALTER TABLE %s ADD COLUMN " TIER_COLUMN " %s NOT NULL DEFAULT '%s'",
			table, domain_name(domain), tier_names[DEFAULT_TIER]);
	constrain_domain(domain);
}

/* What is known of a column that is not of the domain yet. */
typedef struct FoundColumn
{
	bool  vouched_for; /* every value is known to be a tier or NULL */
	List *redundant;   /* names of CHECKs that the domain makes superfluous */
} FoundColumn;

static FoundColumn
look_at_column(Oid relid, ColumnForm form)
{
	Relation		rel = table_open(relid, NoLock);
	AttrNumber		attnum = get_attnum(relid, TIER_COLUMN);
	Oid				type = get_atttype(relid, attnum);
	RedundantChecks checks = { 0 };
	FoundColumn		found;

	found.vouched_for = values_are_vouched_for(rel, attnum, form);
	if (equality_is_identity(rel, attnum) && can_be_tier(type, TIER_CANARY) && can_be_tier(type, TIER_PRODUCTION))
	{
		checks.is_a_tier = condition_as_predicate(rel, IS_A_TIER, NULL);
		visit_checks(relid, collect_redundant, &checks);
	}
	table_close(rel, NoLock);
	found.redundant = checks.names;
	return found;
}

/* Convert a column of another type to the domain. */
static void
convert_column(Oid relid, const char *table, ColumnForm form, Oid domain, const FoundColumn *found)
{
	ListCell *lc;

	if (!found->vouched_for)
		check_values(table, get_rel_name(relid), form);
	if (form == COLUMN_ENUM)
	{
		foreach(lc, find_all_inheritors(relid, NoLock, NULL))
			check_enum_dependents(lfirst_oid(lc), found->redundant);
	}
	foreach(lc, found->redundant)
		run_sql("ALTER TABLE %s DROP CONSTRAINT %s", table, quote_identifier(lfirst(lc)));

	/*
	 * The labels of an enum are not stored as text, so this rewrites the table
	 * and builds all of its indexes.  Do it before the domain is relaxed: a
	 * user's code may run.
	 */
	if (form == COLUMN_ENUM)
		run_sql("ALTER TABLE %s ALTER COLUMN " TIER_COLUMN " DROP DEFAULT,"
				" ALTER COLUMN " TIER_COLUMN " TYPE pg_catalog.text USING %s",
				table, tier_as_text(form));
	change_type(relid, table, domain_name(domain), domain);
}

static void
fill_nulls(Oid relid, const char *table)
{
	if (run_sql("SELECT true FROM %s WHERE " TIER_COLUMN " IS NULL LIMIT %d", table, MANY_NULLS) == MANY_NULLS)
		ereport(NOTICE,
				(errmsg("setting %d or more rows of \"%s\" from NULL to \"%s\"",
						MANY_NULLS, get_rel_name(relid), tier_names[DEFAULT_TIER]),
				 errdetail("Readers and writers of the table wait until this transaction ends."),
				 errhint("If they must not wait, cancel the call and set the NULLs in batches first; see \"A large table\" in doc/operations.md.")));
	run_sql("UPDATE %s SET " TIER_COLUMN " = '%s' WHERE " TIER_COLUMN " IS NULL",
			table, tier_names[DEFAULT_TIER]);
}

/*
 * A table that Citus has distributed may still have its former rows on disk.
 * No statement sees them, but the server reads them to make the column NOT
 * NULL.
 *
 * Errors: 55000.
 */
static void
check_no_former_rows(Oid relid, const char *table)
{
	Relation rel;

	if (!is_distributed(relid) || get_rel_relkind(relid) != RELKIND_RELATION)
		return;
	rel = table_open(relid, NoLock);
	if (RelationGetNumberOfBlocks(rel) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot attach \"%s\": its rows from before it was distributed are still on disk",
						RelationGetRelationName(rel)),
				 errdetail("Column \"" TIER_COLUMN "\" can be null. To make it NOT NULL, the server would check these rows, too."),
				 errhint("Remove them with SELECT truncate_local_data_after_distributing_table(%s), and attach the table again.",
						 quote_literal_cstr(table))));
	table_close(rel, NoLock);
}

static bool
is_nullable(Oid relid)
{
	Relation rel = table_open(relid, NoLock);
	bool	 nullable = !TupleDescAttr(RelationGetDescr(rel), get_attnum(relid, TIER_COLUMN) - 1)->attnotnull;

	table_close(rel, NoLock);
	return nullable;
}

/*
 * make_tier_column
 *		Give the column its type, default and NOT NULL.  The caller holds ACCESS
 *		EXCLUSIVE on the table.
 */
void
make_tier_column(Oid relid, ColumnForm form, Oid domain)
{
	char	   *table = qualified_name(relid);
	bool		nullable;
	FoundColumn found = { 0 };
	int			nest_level;

	if (form == COLUMN_MISSING)
	{
		add_column(table, domain);
		return;
	}

	/* Lock children and partitions, too: no session may add a value that we have not seen. */
	(void) find_all_inheritors(relid, AccessExclusiveLock, NULL);
	nullable = is_nullable(relid);
	if (nullable)
		check_no_former_rows(relid, table);
	if (form != COLUMN_ATTACHED)
		found = look_at_column(relid, form);

	/* Every row counts, so raise an error if a policy would hide one. */
	nest_level = NewGUCNestLevel();
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (form != COLUMN_ATTACHED)
		convert_column(relid, table, form, domain, &found);

	/*
	 * Not before the domain has its constraint again: this fires the table's
	 * triggers, which may write any value.
	 */
	if (nullable)
		fill_nulls(relid, table);
	run_sql("ALTER TABLE %s ALTER COLUMN " TIER_COLUMN " SET NOT NULL,"
			" ALTER COLUMN " TIER_COLUMN " SET DEFAULT '%s'",
			table, tier_names[DEFAULT_TIER]);
	AtEOXact_GUC(false, nest_level);
}
