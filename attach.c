/*-------------------------------------------------------------------------
 *
 * attach.c
 *	  Making a table the workspaces table, and back.
 *
 * What attach() leaves behind is the same whatever it found: column
 * update_tier of the domain, NOT NULL DEFAULT 'production', and one partial
 * index.  It looks at what is there, refuses what it cannot make right, and
 * changes only what differs, so that calling it again costs next to nothing
 * and blocks nobody.
 *
 * Nothing here rewrites the table or scans it, unless there are values that
 * nobody vouches for:
 *
 * - Adding a column of a constrained domain, or converting one to it, makes
 *   the server rewrite the table.  So the domain's constraint is dropped for
 *   the moment and comes back NOT VALID in the same transaction.  Other
 *   sessions go on enforcing the old one until we commit, and the new one
 *   from then on.
 *
 * - Changing a column's type makes the server check the CHECK constraints on
 *   it again.  The values stay the same, so these are marked NOT VALID for
 *   the moment, which tells the server not to, and valid again afterwards.
 *   (Those whose meaning might depend on the column's old collation are
 *   validated.)
 *
 * While the domain is without its constraint, no code but the server's and
 * ours may run, or it could store anything in it.  What else runs for a table
 * runs as its owner, see become_table_owner().
 *
 * Locks: ACCESS SHARE on the table to look; it is given back, and a call that
 * finds nothing to change ends there.  Else, in this order: update_tier.attached
 * (so that two calls take turns; it conflicts with nobody who reads), then the
 * table: SHARE UPDATE EXCLUSIVE to look again (it conflicts with itself and all
 * DDL, so what was seen stays true, and with no reader or writer), then ACCESS
 * EXCLUSIVE if there is a column to change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/sysattr.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/progress.h"
#include "commands/tablecmds.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_func.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "update_tier.h"

PG_FUNCTION_INFO_V1(update_tier_attach);
PG_FUNCTION_INFO_V1(update_tier_attach_at_install);
PG_FUNCTION_INFO_V1(update_tier_detach);

/* How many of the values that are no tier an error shows. */
#define BAD_VALUES_SHOWN 5

/* From how many NULLs on a NOTICE says that setting them takes a while. */
#define MANY_NULLS 10000

/* Conditions on a table's rows, in canonical form (see condition.c). */
#define IS_CANARY "(" TIER_COLUMN " = 'canary')"
#define IS_A_TIER "(" TIER_COLUMN " IN ('canary', 'production'))"

/* The column update_tier as attach() finds it. */
typedef enum ColumnForm
{
	COLUMN_MISSING,
	COLUMN_ATTACHED, /* the domain already */
	COLUMN_TEXT,	 /* text, varchar, or a domain over them */
	COLUMN_ENUM
} ColumnForm;


/* ---------------------------------------------------------------------
 * Running DDL
 * ---------------------------------------------------------------------
 */

/*
 * Run a statement that is made up at run time.  Names in it are quoted by
 * the caller.
 */
static uint64
run(const char *fmt, ...) pg_attribute_printf(1, 2);

static uint64
run(const char *fmt, ...)
{
	StringInfoData buf;
	int			   result;

	initStringInfo(&buf);
	for (;;)
	{
		va_list args;
		int		needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&buf, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&buf, needed);
	}

	result = SPI_execute(buf.data, false, 0);
	if (result < 0)
		elog(ERROR, "could not run \"%s\": %s",
			 buf.data, SPI_result_code_string(result));
	return SPI_processed;
}

/*
 * Act as the owner of a table that somebody else attaches or detaches.  What
 * the owner has hung on the table runs then: triggers, functions in indexes
 * and CHECKs, also those that the planner folds into constants.  It must not
 * run with the rights of a superuser who creates the extension.  The model is
 * what the server does for REINDEX and REFRESH MATERIALIZED VIEW; and for foreign
 * keys, as every row counts, also one that FORCE ROW LEVEL SECURITY hides from
 * the owner.
 */
static Identity
become_table_owner(Oid relid)
{
	Oid owner = relation_owner(relid);

	return become(owner, SECURITY_NOFORCE_RLS | (owner == GetUserId() ? 0 : SECURITY_RESTRICTED_OPERATION));
}

static Oid
type_owner(Oid type)
{
	HeapTuple tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	owner = ((Form_pg_type) GETSTRUCT(tuple))->typowner;
	ReleaseSysCache(tuple);
	return owner;
}

static char *
domain_name(Oid domain)
{
	return format_type_extended(domain, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

/*
 * mark_constraint
 *		Mark a CHECK as checked against the values there are, or not, without a
 *		look at them.
 */
static void
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
 * Take the constraint off the domain, and put it back.  In between, in this
 * transaction only, the domain is plain text, which is what lets the server
 * skip the rewrite.  As the domain's owner: whoever owns a table to attach
 * need not own the extension.
 */
static void
relax_domain(Oid domain)
{
	Identity caller = become(type_owner(domain), SECURITY_RESTRICTED_OPERATION);

	run("ALTER DOMAIN %s DROP CONSTRAINT IF EXISTS " DOMAIN_CONSTRAINT, domain_name(domain));
	become_again(caller);
}

static void
constrain_domain(Oid domain)
{
	Identity caller = become(type_owner(domain), SECURITY_RESTRICTED_OPERATION);

	run("ALTER DOMAIN %s ADD CONSTRAINT " DOMAIN_CONSTRAINT
		" CHECK (" MACHINERY_SCHEMA ".is_valid(VALUE)) NOT VALID",
		domain_name(domain));
	become_again(caller);

	/*
	 * NOT VALID spares the scan of every table with such a column.  It would
	 * find nothing: the values of the column that has become one are known to be
	 * tiers, and the others have been under the constraint all the time.
	 */
	mark_constraint(get_domain_constraint_oid(domain, DOMAIN_CONSTRAINT, false), true);
}

/*
 * Remember a table as the attached one; InvalidOid: none.  As the owner of
 * update_tier.attached: callers have no right to write it.
 */
static void
remember(Oid relid, const char *live_when)
{
	Identity caller = become(extension_owner(), SECURITY_RESTRICTED_OPERATION);
	int		 nest_level = enter_canonical_settings();

	run("DELETE FROM " MACHINERY_SCHEMA ".attached");
	if (OidIsValid(relid))
		run("INSERT INTO " MACHINERY_SCHEMA ".attached (workspaces, live_when) VALUES (%u, %s)",
			relid, live_when ? quote_literal_cstr(live_when) : "NULL");
	AtEOXact_GUC(false, nest_level);
	become_again(caller);
}


/* ---------------------------------------------------------------------
 * What can be attached
 * ---------------------------------------------------------------------
 */

/* The caller must own the table, as for any ALTER TABLE. */
static void
check_owner(Oid relid)
{
	char *name = get_rel_name(relid);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", relid)));
	if (!relation_is_owned(relid, GetUserId()))
		aclcheck_error(ACLCHECK_NOT_OWNER,
					   get_relkind_objtype(get_rel_relkind(relid)), name);
}

static void
refuse_relation(Relation rel, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot attach \"%s\" as the workspaces table",
					RelationGetRelationName(rel)),
			 errdetail("%s", detail),
			 hint ? errhint("%s", hint) : 0));
}

/*
 * Is "id" alone unique?  In a partitioned table a unique key has to contain
 * the partition key as well, and that is the best there is.
 */
static bool
id_is_unique(Relation rel, AttrNumber id)
{
	Bitmapset *partition_columns = NULL;
	bool	   found = false;
	List	  *indexes;
	ListCell  *lc;

	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE)
	{
		PartitionKey key = RelationGetPartitionKey(rel);

		for (int i = 0; i < get_partition_natts(key); i++)
			partition_columns = bms_add_member(partition_columns,
											   get_partition_col_attnum(key, i));
	}

	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		HeapTuple	  tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;
		bool		  has_id = false;
		bool		  has_others = false;

		if (!HeapTupleIsValid(tuple))
			elog(ERROR, "cache lookup failed for index %u", lfirst_oid(lc));
		index = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < index->indnkeyatts; i++)
		{
			AttrNumber column = index->indkey.values[i];

			if (column == id)
				has_id = true;
			else if (column <= 0 || !bms_is_member(column, partition_columns))
				has_others = true;
		}
		if (index->indisunique && index->indisvalid && has_id && !has_others &&
			heap_attisnull(tuple, Anum_pg_index_indpred, NULL))
			found = true;
		ReleaseSysCache(tuple);
	}
	return found;
}

/*
 * Refuse what cannot be a workspaces table.
 */
static void
check_relation(Relation rel)
{
	AttrNumber		  id;
	Form_pg_attribute attr;

	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		refuse_relation(rel,
						"Only an ordinary or a partitioned table can be attached.",
						"Attach the table that holds the rows.");
	if (IsCatalogRelation(rel))
		refuse_relation(rel, "It is a system catalog.", NULL);
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse_relation(rel, "It is a temporary table, which other sessions cannot see.",
						"Attach a permanent table.");
	if (rel->rd_rel->relispartition)
		refuse_relation(rel, "It is a partition.",
						"Attach the partitioned table that it is a partition of.");

	id = get_attnum(RelationGetRelid(rel), ID_COLUMN);
	if (id == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("cannot attach \"%s\": it has no column \"%s\"",
						RelationGetRelationName(rel), ID_COLUMN),
				 errhint("A workspaces table has a column \"%s\" of type uuid, NOT NULL and unique.",
						 ID_COLUMN)));
	attr = TupleDescAttr(RelationGetDescr(rel), id - 1);
	if (attr->atttypid != UUIDOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("cannot attach \"%s\": column \"%s\" has type %s instead of uuid",
						RelationGetRelationName(rel), ID_COLUMN,
						format_type_be(attr->atttypid)),
				 errhint("A workspaces table has a column \"%s\" of type uuid, NOT NULL and unique.",
						 ID_COLUMN)));
	if (!attr->attnotnull)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("cannot attach \"%s\": column \"%s\" can be null",
						RelationGetRelationName(rel), ID_COLUMN),
				 errhint("Make it the primary key.")));
	if (!id_is_unique(rel, id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("cannot attach \"%s\": column \"%s\" is not unique",
						RelationGetRelationName(rel), ID_COLUMN),
				 errdetail("A set of workspaces needs each of them once."),
				 errhint("Make it the primary key, or add a unique constraint.")));
}

/*
 * What is the column update_tier, and can it become of the domain?
 */
static ColumnForm
check_tier_column(Relation rel, Oid domain, AttrNumber *attnum)
{
	Form_pg_attribute attr;
	Oid				  base;

	*attnum = get_attnum(RelationGetRelid(rel), TIER_COLUMN);
	if (*attnum == InvalidAttrNumber)
		return COLUMN_MISSING;

	attr = TupleDescAttr(RelationGetDescr(rel), *attnum - 1);
	if (attr->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("cannot attach \"%s\": column \"%s\" is generated",
						RelationGetRelationName(rel), TIER_COLUMN),
				 errdetail("A tier is opted into, row by row."),
				 errhint("Drop the generation expression, or rename the column.")));

	if (attr->atttypid == domain)
		return COLUMN_ATTACHED;
	base = getBaseType(attr->atttypid);
	if (base == TEXTOID || base == VARCHAROID)
		return COLUMN_TEXT;
	if (type_is_enum(base))
		return COLUMN_ENUM;

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("cannot attach \"%s\": column \"%s\" has type %s",
					RelationGetRelationName(rel), TIER_COLUMN,
					format_type_be(attr->atttypid)),
			 errdetail("A column of type text, character varying or an enum can be adopted."),
			 errhint("Convert the column to text, or rename it.")));
}


/* ---------------------------------------------------------------------
 * The values of a column that is already there
 * ---------------------------------------------------------------------
 */

/* Are values of the column equal only if they are the same bytes? */
static bool
equality_is_identity(Relation rel, AttrNumber attnum)
{
	Oid collation = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attcollation;

	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/*
 * Does the table itself vouch that every value is a tier or NULL?  A valid
 * CHECK (or more of them) may imply it, or the labels of an enum.
 */
static bool
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

	/* What "equals" a tier need not be one. */
	if (!equality_is_identity(rel, attnum))
		return false;

	/* A parent's CHECK ... NO INHERIT says nothing of its children's rows. */
	if (rel->rd_rel->relkind == RELKIND_RELATION &&
		has_subclass(RelationGetRelid(rel)))
		return false;

	is_a_tier = (Node *) make_ands_explicit(condition_as_predicate(rel, IS_A_TIER, NULL));
	return PartConstraintImpliedByRelConstraint(rel, list_make1(is_a_tier));
}

/*
 * The column as text, whatever casts its owner may have made of an enum.
 */
static const char *
tier_as_text(ColumnForm form)
{
	if (form == COLUMN_ENUM)
		return "pg_catalog.textin(pg_catalog.enum_out(" TIER_COLUMN "))";
	return TIER_COLUMN "::pg_catalog.text";
}

/*
 * Scan for values that are no tier, and refuse them all at once.
 *
 * The latest snapshot: under REPEATABLE READ that of the transaction may not
 * show what was committed while we waited for the lock.
 */
static void
check_values(const char *table, const char *relname, ColumnForm form)
{
	uint64		   distinct;
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

	initStringInfo(&shown);
	for (uint64 i = 0; i < Min(distinct, BAD_VALUES_SHOWN); i++)
	{
		char *value = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);
		char *rows = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 2);

		appendStringInfo(&shown, "%s\"%s\" (%s)", i > 0 ? ", " : "", clipped(value), rows);
	}

	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("cannot attach \"%s\": column \"%s\" holds a value that is no update tier in %s of its rows",
					relname, TIER_COLUMN,
					SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 3)),
			 errdetail("Values (rows): %s%s.", shown.data,
					   distinct > BAD_VALUES_SHOWN ? ", and more" : ""),
			 errhint("Set them to \"%s\" or \"%s\", and attach again. Nothing has been changed.",
					 tier_names[TIER_CANARY], tier_names[TIER_PRODUCTION]),
			 errdomainconstraint(tier_domain_oid(), DOMAIN_CONSTRAINT)));
}

/* Can the type be compared with this tier?  An enum need not have the label. */
static bool
can_be(Oid type, Tier tier)
{
	type = getBaseType(type);
	return !type_is_enum(type) ||
		SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type),
							  CStringGetDatum(tier_names[tier]));
}

/* A CHECK constraint that involves the column update_tier. */
typedef struct TierCheck
{
	Oid	  relid; /* its table, or a child of it */
	char *name;
	bool  unsure; /* may mean something else under "C" */
} TierCheck;

typedef void (*check_callback)(Relation catalog, HeapTuple tuple, AttrNumber tier_column,
							   void *arg);

/*
 * Visit the CHECK constraints of a relation that involve update_tier.
 */
static void
visit_checks(Oid relid, check_callback callback, void *arg)
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

typedef struct RedundantChecks
{
	List *is_a_tier;
	List *names; /* result */
} RedundantChecks;

/*
 * Collect a CHECK that says no more than the domain does: it involves no
 * other column, and holds for every tier.  NULL passes a CHECK, so one that
 * forbids it says more.
 */
static void
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
 * Could the expression mean something else under another collation?  Equality
 * of text does not; of all else that looks at one we do not know.
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

/* Collect a valid CHECK. */
static void
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

/*
 * Mark CHECK constraints as checked against the rows there are, or not.
 */
static void
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

static bool
calls_users_function(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (!IsA(node, List) && check_functions_in_node(node, is_users_function, NULL))
		return true;
	/* The constraints of a domain are not in the tree. */
	if (IsA(node, CoerceToDomain) && ((CoerceToDomain *) node)->resulttype >= FirstNormalObjectId)
		return true;
	return expression_tree_walker(node, calls_users_function, context);
}

/*
 * Changing the column's type builds the indexes on it anew.  That must not
 * call anybody's functions while the domain is without its constraint.
 */
static void
check_index_functions(Oid relid)
{
	Relation  rel = table_open(relid, NoLock);
	int		  tier = get_attnum(relid, TIER_COLUMN) - FirstLowInvalidHeapAttributeNumber;
	List	 *indexes = RelationGetIndexList(rel);
	ListCell *lc;

	foreach(lc, indexes)
	{
		Relation   index = index_open(lfirst_oid(lc), AccessShareLock);
		List	  *parts = list_concat_copy(RelationGetIndexExpressions(index),
											RelationGetIndexPredicate(index));
		Bitmapset *columns = NULL;

		pull_varattnos((Node *) parts, 1, &columns);
		if (bms_is_member(tier, columns) && calls_users_function((Node *) parts, NULL))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("cannot convert column \"%s\" of \"%s\": index \"%s\" calls a user-defined function on it",
							TIER_COLUMN, RelationGetRelationName(rel),
							RelationGetRelationName(index)),
					 errhint("Drop the index, attach the table, and create the index again.")));
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
}

/*
 * Does the expression compare a value of an enum, or hand it to a function?  It
 * would find none for text.  A cast to text, or IS NULL, is as good as before.
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

/* What stands in the way of another type: names for an error. */
typedef struct Dependents
{
	List		  *droppable; /* names of CHECKs that go anyway */
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
 * Refuse to make a text of an enum that CHECKs or indexes compare as one; of the
 * former not those that go with the conversion.
 */
static void
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
				 errmsg("cannot convert column \"%s\" of \"%s\" from an enum while something compares it as one",
						TIER_COLUMN, get_rel_name(relid)),
				 errdetail("In the way: %s.", found.names.data),
				 errhint("Drop what is named, attach the table, and create it again. Nothing has been changed.")));
}

/*
 * Change the type of column update_tier without a look at its rows: the
 * caller knows that they fit.  With a domain, it is without its constraint
 * meanwhile.
 */
static void
change_type(Oid relid, const char *table, const char *type, Oid domain)
{
	List	 *checks = NIL;
	List	 *unsure = NIL;
	ListCell *lc;

	foreach(lc, find_all_inheritors(relid, AccessExclusiveLock, NULL))
	{
		if (OidIsValid(domain))
			check_index_functions(lfirst_oid(lc));
		visit_checks(lfirst_oid(lc), collect_valid, &checks);
	}

	mark_checks(checks, false);
	if (OidIsValid(domain))
		relax_domain(domain);
	run("ALTER TABLE %s ALTER COLUMN " TIER_COLUMN " DROP DEFAULT,"
		" ALTER COLUMN " TIER_COLUMN " TYPE %s,"
		" ALTER COLUMN " TIER_COLUMN " SET DEFAULT '%s'",
		table, type, tier_names[DEFAULT_TIER]);
	if (OidIsValid(domain))
		constrain_domain(domain);

	foreach(lc, checks)
	{
		TierCheck *check = (TierCheck *) lfirst(lc);

		if (check->unsure)
		{
			unsure = lappend(unsure, check);
			checks = foreach_delete_current(checks, lc);
		}
	}
	mark_checks(checks, true);
	foreach(lc, unsure)
	{
		TierCheck *check = (TierCheck *) lfirst(lc);

		run("ALTER TABLE %s VALIDATE CONSTRAINT %s", qualified_name(check->relid),
			quote_identifier(check->name));
	}
}


/* ---------------------------------------------------------------------
 * The index
 * ---------------------------------------------------------------------
 */

/* How an index relates to the one that an attached table has. */
typedef enum IndexForm
{
	INDEX_OTHER,   /* somebody's own */
	INDEX_KNOWN,   /* of canaries, but not as it has to be */
	INDEX_ATTACHED /* as it has to be */
} IndexForm;

static List *
index_predicate(Relation rel, const char *live_when)
{
	return condition_as_predicate(rel, IS_CANARY, live_when);
}

/*
 * The same for a condition that was stored earlier: what it names may have
 * been renamed or dropped since, and then no index has such a predicate.  In
 * a subtransaction, because that is how one survives an error.
 */
static List *
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
 * Classify an index of the table.  "wanted" is the predicate it should have,
 * or NIL while the column is not of the domain yet.
 */
static IndexForm
classify_index(Relation rel, Oid index_oid, List *wanted)
{
	Relation	  index = index_open(index_oid, AccessShareLock);
	Form_pg_index form = index->rd_index;
	IndexForm	  result = INDEX_OTHER;
	AttrNumber	  id = get_attnum(RelationGetRelid(rel), ID_COLUMN);
	AttrNumber	  tier = get_attnum(RelationGetRelid(rel), TIER_COLUMN);

	if (index->rd_rel->relam == BTREE_AM_OID && !form->indisunique &&
		form->indnatts == 1 && tier != InvalidAttrNumber &&
		can_be(get_atttype(RelationGetRelid(rel), tier), TIER_CANARY) &&
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
 * The name that the index gets: <table>_update_tier_canary, shortened as the
 * server shortens the names it makes up.
 */
static char *
index_name(Relation rel)
{
	return makeObjectName(RelationGetRelationName(rel), TIER_COLUMN, "canary");
}

/*
 * Look at the table's indexes.  True: one is as it has to be.  *outdated is
 * the one that has to go: it bears the name, or is what an earlier attach
 * made with another condition (old_live_when).
 *
 * Errors: 42P07 when the name belongs to something that we do not know.
 */
static bool
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
				 errdetail("It is not an index of the canaries of table \"%s\", so it is left alone.",
						   RelationGetRelationName(rel)),
				 errhint("Rename it, and attach again.")));
	return found;
}

/* Under canonical settings: live_when is. */
static void
build_index(Oid relid, const char *live_when)
{
	Relation rel = table_open(relid, NoLock);
	char	*name = index_name(rel);
	int		 nest_level;

	table_close(rel, NoLock);
	nest_level = enter_canonical_settings();
	run("CREATE INDEX %s ON %s USING btree (" ID_COLUMN ") WHERE %s%s%s%s",
		quote_identifier(name), qualified_name(relid), IS_CANARY,
		live_when ? " AND (" : "", live_when ? live_when : "", live_when ? ")" : "");
	AtEOXact_GUC(false, nest_level);
}


/* ---------------------------------------------------------------------
 * attach
 * ---------------------------------------------------------------------
 */

/* Is the column's default the constant 'production'? */
static bool
default_is_production(Relation rel, AttrNumber attnum)
{
	Node *expr;
	Tier  tier;

	if (!TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atthasdef)
		return false;
	expr = build_column_default(rel, attnum);
	while (expr != NULL && (IsA(expr, CoerceToDomain) || IsA(expr, RelabelType)))
		expr = IsA(expr, CoerceToDomain) ? (Node *) ((CoerceToDomain *) expr)->arg :
										   (Node *) ((RelabelType *) expr)->arg;
	if (expr == NULL || !IsA(expr, Const) || ((Const *) expr)->constisnull ||
		((Const *) expr)->consttype != TEXTOID)
		return false;
	return tier_parse(VARDATA_ANY(DatumGetPointer(((Const *) expr)->constvalue)),
					  VARSIZE_ANY_EXHDR(DatumGetPointer(((Const *) expr)->constvalue)),
					  &tier) &&
		tier == DEFAULT_TIER;
}

/*
 * Make the column what it has to be.  The caller holds ACCESS EXCLUSIVE on
 * the table.
 */
static void
make_column(Oid relid, ColumnForm form, Oid domain)
{
	char		   *table = qualified_name(relid);
	Relation		rel;
	AttrNumber		attnum;
	bool			nullable;
	bool			vouched_for;
	RedundantChecks checks = { 0 };
	int				nest_level;
	ListCell	   *lc;

	if (form == COLUMN_MISSING)
	{
		relax_domain(domain);
		run("ALTER TABLE %s ADD COLUMN " TIER_COLUMN " %s NOT NULL DEFAULT '%s'",
			table, domain_name(domain), tier_names[DEFAULT_TIER]);
		constrain_domain(domain);
		return;
	}

	/* Children and partitions, too: nobody may add a value we have not seen. */
	(void) find_all_inheritors(relid, AccessExclusiveLock, NULL);

	rel = table_open(relid, NoLock);
	attnum = get_attnum(relid, TIER_COLUMN);
	nullable = !TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull;
	vouched_for = form == COLUMN_ATTACHED || values_are_vouched_for(rel, attnum, form);
	if (form != COLUMN_ATTACHED && equality_is_identity(rel, attnum) &&
		can_be(get_atttype(relid, attnum), TIER_CANARY) &&
		can_be(get_atttype(relid, attnum), TIER_PRODUCTION))
	{
		checks.is_a_tier = condition_as_predicate(rel, IS_A_TIER, NULL);
		visit_checks(relid, collect_redundant, &checks);
	}
	table_close(rel, NoLock);

	/* Every row counts: what a policy hides is an error. */
	nest_level = NewGUCNestLevel();
	(void) set_config_option("row_security", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	if (!vouched_for)
		check_values(table, get_rel_name(relid), form);

	if (form == COLUMN_ENUM)
	{
		foreach(lc, find_all_inheritors(relid, NoLock, NULL))
			check_enum_dependents(lfirst_oid(lc), checks.names);
	}
	if (form != COLUMN_ATTACHED)
	{
		foreach(lc, checks.names)
			run("ALTER TABLE %s DROP CONSTRAINT %s", table, quote_identifier(lfirst(lc)));

		/*
		 * The labels of an enum are not stored as text, so this rewrites the
		 * table, and builds all of its indexes: before the domain is relaxed.
		 */
		if (form == COLUMN_ENUM)
			run("ALTER TABLE %s ALTER COLUMN " TIER_COLUMN " DROP DEFAULT,"
				" ALTER COLUMN " TIER_COLUMN " TYPE pg_catalog.text USING %s",
				table, tier_as_text(form));

		change_type(relid, table, domain_name(domain), domain);
	}

	/*
	 * Only now, with the constraint back: the table's triggers hear of this,
	 * and may write what they like.
	 */
	if (nullable && run("SELECT FROM %s WHERE " TIER_COLUMN " IS NULL LIMIT %d", table, MANY_NULLS) == MANY_NULLS)
		ereport(NOTICE,
				(errmsg("setting %d or more rows of \"%s\" from NULL to \"%s\", while nobody else can use the table",
						MANY_NULLS, get_rel_name(relid), tier_names[DEFAULT_TIER]),
				 errhint("To keep the table in use, cancel, and set them in batches first; see \"A large table\" in doc/operations.md.")));
	if (nullable)
		run("UPDATE %s SET " TIER_COLUMN " = '%s' WHERE " TIER_COLUMN " IS NULL",
			table, tier_names[DEFAULT_TIER]);
	run("ALTER TABLE %s ALTER COLUMN " TIER_COLUMN " SET NOT NULL,"
		" ALTER COLUMN " TIER_COLUMN " SET DEFAULT '%s'",
		table, tier_names[DEFAULT_TIER]);
	AtEOXact_GUC(false, nest_level);
}

/*
 * The trigger that puts changes of a tier on record.  Its condition is
 * evaluated for every row that is updated; the function is called for few.
 */
#define AUDIT_TRIGGER "update_tier_changed"

static bool
has_audit_trigger(Oid relid)
{
	List	*name = list_make2(makeString(MACHINERY_SCHEMA), makeString("record_tier"));
	Oid		 function = LookupFuncName(name, 0, NULL, false);
	Relation rel = relation_open(relid, NoLock);
	bool	 found = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid == function && strcmp(trigger->tgname, AUDIT_TRIGGER) == 0)
			found = true;
	}
	relation_close(rel, NoLock);
	return found;
}

/* Have it on the table, or not. */
static void
make_audit(Oid relid, bool wanted)
{
	bool there = has_audit_trigger(relid);
	int	 nest_level = enter_canonical_settings();

	if (wanted && !there)
		run("CREATE TRIGGER " AUDIT_TRIGGER " AFTER UPDATE ON %s FOR EACH ROW"
			" WHEN (" MACHINERY_SCHEMA ".tier_changes(OLD, NEW))"
			" EXECUTE FUNCTION " MACHINERY_SCHEMA ".record_tier()",
			qualified_name(relid));
	else if (!wanted && there)
		run("DROP TRIGGER " AUDIT_TRIGGER " ON %s", qualified_name(relid));
	AtEOXact_GUC(false, nest_level);
}

static void
refuse_dropped(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("extension \"%s\" has been dropped", MACHINERY_SCHEMA)));
}

/*
 * Lock update_tier.attached.  Who waits here behind DROP EXTENSION finds it
 * gone.
 */
static Oid
lock_attached(void)
{
	Oid attached_oid = attached_table_oid();

	if (OidIsValid(attached_oid))
		LockRelationOid(attached_oid, ShareRowExclusiveLock);
	if (!OidIsValid(attached_oid) || attached_table_oid() != attached_oid)
		refuse_dropped();
	return attached_oid;
}

/* What attach() found, and what it has to change. */
typedef struct Findings
{
	AttachedRow old; /* what was attached before */
	char	   *live_when;
	ColumnForm	form;
	bool		column_is_right;
	bool		has_index;
	List	   *outdated; /* indexes that have to go */
	bool		has_audit;
} Findings;

/* A database has one workspaces table. */
static void
refuse_second_table(Oid relid, const AttachedRow *old)
{
	if (OidIsValid(old->relid) && old->relid != relid && qualified_name(old->relid) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot attach \"%s\": another workspaces table is attached",
						get_rel_name(relid)),
				 errdetail("Table %s is attached, and a database has one workspaces table.",
						   qualified_name(old->relid)),
				 errhint("Detach that one first with update_tier.detach().")));
}

/*
 * Does another session build an index of the table, or of a partition of it,
 * concurrently?  It waits for every transaction that is as old as ours, so we
 * must not wait for it.
 */
static bool
is_index_being_built(Oid relid)
{
	List *tables = find_all_inheritors(relid, NoLock, NULL);

	pgstat_clear_backend_activity_snapshot();
	for (int i = 1; i <= pgstat_fetch_stat_numbackends(); i++)
	{
		const PgBackendStatus *backend = &local_backend_entry(i)->backendStatus;
		int64				   command = backend->st_progress_param[PROGRESS_CREATEIDX_COMMAND];

		if (backend->st_progress_command == PROGRESS_COMMAND_CREATE_INDEX &&
			backend->st_databaseid == MyDatabaseId &&
			(command == PROGRESS_CREATEIDX_COMMAND_CREATE_CONCURRENTLY ||
			 command == PROGRESS_CREATEIDX_COMMAND_REINDEX_CONCURRENTLY) &&
			list_member_oid(tables, backend->st_progress_command_target))
			return true;
	}
	return false;
}

static void
refuse_during_build(Oid relid)
{
	if (is_index_being_built(relid))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("cannot attach \"%s\" while an index of it is built concurrently", get_rel_name(relid)),
				 errdetail("The build waits for transactions such as this one, which would have to wait for the build."),
				 errhint("Attach again once the build has ended. Nothing has been changed.")));
}

/* Not those that somebody is building at this moment. */
static List *
without_invalid(List *indexes)
{
	ListCell *lc;

	foreach(lc, indexes)
	{
		if (!get_index_isvalid(lfirst_oid(lc)))
			indexes = foreach_delete_current(indexes, lc);
	}
	return indexes;
}

/*
 * Look at the table, and refuse what cannot be attached.  The caller holds a
 * lock on it.
 */
static Findings
look(Oid relid, const char *live_when_text)
{
	Findings   found = { 0 };
	Oid		   attached_oid = attached_table_oid();
	Identity   caller;
	Relation   rel;
	AttrNumber attnum;

	check_owner(relid); /* what it was before the lock may be gone */
	if (!OidIsValid(attached_oid))
		refuse_dropped();
	found.old = attached_row(attached_oid);
	refuse_second_table(relid, &found.old);

	caller = become_table_owner(relid);
	rel = relation_open(relid, NoLock);
	check_relation(rel);
	found.form = check_tier_column(rel, tier_domain_oid(), &attnum);
	if (live_when_text != NULL)
		found.live_when = condition_canonical(rel, live_when_text);
	found.has_index = find_index(rel, found.form, found.live_when, &found.old, &found.outdated);
	if (found.outdated != NIL && is_index_being_built(relid))
		found.outdated = without_invalid(found.outdated);
	found.column_is_right = found.form == COLUMN_ATTACHED &&
		TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attnotnull &&
		default_is_production(rel, attnum);

	/*
	 * A query of this session that is being planned or run, and calls a function
	 * that calls us, knows the indexes already.  For a column the server checks.
	 */
	if (found.outdated != NIL && rel->rd_refcnt > 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("cannot attach \"%s\" because it is being used by active queries in this session",
						RelationGetRelationName(rel))));
	relation_close(rel, NoLock);
	become_again(caller);
	found.has_audit = has_audit_trigger(relid);
	return found;
}

/*
 * A child of the table whose owner is another one than the table's, as whom we
 * act; InvalidOid: there is none.
 */
static Oid
foreign_child(Oid relid)
{
	Oid		  owner = relation_owner(relid);
	ListCell *lc;

	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		if (!relation_is_owned(lfirst_oid(lc), owner))
			return lfirst_oid(lc);
	}
	return InvalidOid;
}

static char *
foreign_child_detail(Oid relid, Oid child)
{
	return psprintf("attach acts as the owner of \"%s\", %s, who does not own %s.",
					get_rel_name(relid), GetUserNameFromId(relation_owner(relid), false), qualified_name(child));
}

static char *
foreign_child_hint(Oid relid, Oid child)
{
	return psprintf("Give it the same owner: ALTER TABLE %s OWNER TO %s.", qualified_name(child),
					quote_identifier(GetUserNameFromId(relation_owner(relid), false)));
}

/* What is done to the table is done to its children, too. */
static void
check_children(Oid relid)
{
	Oid child = foreign_child(relid);

	if (OidIsValid(child))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot attach \"%s\": its child \"%s\" has another owner",
						get_rel_name(relid), get_rel_name(child)),
				 errdetail("%s", foreign_child_detail(relid, child)),
				 errhint("%s", foreign_child_hint(relid, child))));
}

static bool
is_remembered(Oid relid, const Findings *found)
{
	const char *before = found->old.live_when;

	if (found->old.relid != relid || (found->live_when == NULL) != (before == NULL))
		return false;
	return before == NULL || strcmp(found->live_when, before) == 0;
}

static void
attach(Oid relid, const char *live_when_text, bool create_index, bool audit)
{
	Findings  found;
	Identity  caller;
	ListCell *lc;

	PreventCommandIfReadOnly("update_tier.attach()");

	/* Before any lock: who may not attach a table must not block it either. */
	check_owner(relid);

	/*
	 * First see whether there is anything to do, as a reader would, which blocks
	 * nobody: not a build of an index, nor a vacuum.  The lock goes again, or two
	 * calls that hold it would wait for each other.
	 */
	LockRelationOid(relid, AccessShareLock);
	found = look(relid, live_when_text);
	UnlockRelationOid(relid, AccessShareLock);
	if (found.column_is_right && found.outdated == NIL && (found.has_index || !create_index) &&
		found.has_audit == audit && is_remembered(relid, &found))
		return;

	/*
	 * SHARE ROW EXCLUSIVE conflicts with itself and with writers: of two
	 * calls one waits here, and then sees what the other has done.
	 */
	lock_attached();
	check_owner(relid);
	check_children(relid);
	refuse_during_build(relid);

	/*
	 * Who holds the lock may be a build that has begun since.  One that begins
	 * once we wait comes behind us.
	 */
	if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
	{
		refuse_during_build(relid);
		LockRelationOid(relid, ShareUpdateExclusiveLock);
	}
	found = look(relid, live_when_text);

	SPI_connect();
	caller = become_table_owner(relid);

	/*
	 * An index on the column would be built anew with the column's type, in
	 * vain; and without create_index there must be none of that name in the
	 * way of the one that you build.
	 */
	if (!found.column_is_right || found.outdated != NIL)
		LockRelationOid(relid, AccessExclusiveLock);
	foreach(lc, found.outdated)
		run("DROP INDEX %s", qualified_name(lfirst_oid(lc)));
	if (!found.column_is_right)
		make_column(relid, found.form, tier_domain_oid());
	make_audit(relid, audit);

	/*
	 * As the caller again, who may be allowed to create in the schema where
	 * the owner is not.  The index has nobody's code in it.
	 */
	become_again(caller);
	if (create_index && !found.has_index)
		build_index(relid, found.live_when);

	if (!is_remembered(relid, &found))
		remember(relid, found.live_when);
	if (found.old.relid == relid && found.live_when == NULL && found.old.live_when != NULL)
		ereport(NOTICE,
				(errmsg("every row of \"%s\" counts as a live workspace now", get_rel_name(relid)),
				 errdetail("The condition was: %s.", found.old.live_when),
				 errhint("Give it again to keep it: live_when is NULL unless you do.")));

	SPI_finish();
}

/*
 * update_tier.attach(workspaces regclass, live_when text, create_index boolean,
 *		audit boolean) returns void
 *
 * Makes a table the workspaces table; see the head of this file for how.
 * Errors: see COMMENT ON FUNCTION.
 */
Datum
update_tier_attach(PG_FUNCTION_ARGS)
{
	require_own_tables(fcinfo);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("workspaces table must not be null")));
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("create_index must not be null")));
	if (PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("audit must not be null")));
	attach(PG_GETARG_OID(0),
		   PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
		   PG_GETARG_BOOL(2),
		   PG_GETARG_BOOL(3));
	PG_RETURN_VOID();
}

/* Is the relation a table whose rows have a uuid for their id? */
static bool
could_be_workspaces(Oid relid)
{
	char	   relkind = get_rel_relkind(relid);
	AttrNumber id = get_attnum(relid, ID_COLUMN);

	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		get_rel_persistence(relid) != RELPERSISTENCE_TEMP &&
		id != InvalidAttrNumber && get_atttype(relid, id) == UUIDOID;
}

/* Why the table is not attached: what stands in the NOTICE. */
typedef struct LeftAlone
{
	const char *message;
	const char *detail; /* or NULL */
	const char *hint;
} LeftAlone;

/*
 * May the install script attach the relation of that name, if there is one?  What
 * it must leave alone is no reason not to install.
 */
static bool
may_attach_at_install(NullableDatum table, LeftAlone *why)
{
	Oid relid = table.isnull ? InvalidOid : DatumGetObjectId(table.value);
	Oid child;

	*why = (LeftAlone){
		.message = "no table \"workspaces\" to attach",
		.hint = "Attach your table with SELECT update_tier.attach('your_table')."
	};
	if (!OidIsValid(relid))
		return false;
	if (!could_be_workspaces(relid))
	{
		why->detail = "There is a relation of that name, but it is no table with a column \"" ID_COLUMN "\" of type uuid.";
		return false;
	}

	why->message = "table \"workspaces\" is left alone";
	why->hint = "Attach it with SELECT update_tier.attach('workspaces').";
	if (node_is_worker())
	{
		why->detail = "This is a Citus worker: the table that counts is the one of the coordinator.";
		why->hint = "Attach it there with SELECT update_tier.attach('workspaces').";
		return false;
	}
	if (is_distributed(relid))
	{
		why->detail = "Citus distributes it, and would run this script on its workers, too.";
		return false;
	}
	child = foreign_child(relid);
	if (OidIsValid(child))
	{
		why->detail = foreign_child_detail(relid, child);
		why->hint = psprintf("%s Then attach it with SELECT update_tier.attach('workspaces').", foreign_child_hint(relid, child));
		return false;
	}
	return true;
}

/*
 * Called once, by the install script: attach "workspaces", if it is there.
 *
 * While a script runs the server shows no NOTICE.  This one matters, so it
 * is shown to whoever would see notices otherwise.
 */
Datum
update_tier_attach_at_install(PG_FUNCTION_ARGS)
{
	LeftAlone why;
	int		  nest_level;

	if (may_attach_at_install(fcinfo->args[0], &why))
	{
		attach(PG_GETARG_OID(0), NULL, true, true);
		PG_RETURN_VOID();
	}

	nest_level = NewGUCNestLevel();
	(void) set_config_option("client_min_messages",
							 GetConfigOptionResetString("client_min_messages"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	ereport(NOTICE,
			(errmsg("%s", why.message),
			 why.detail ? errdetail("%s", why.detail) : 0,
			 errhint("%s", why.hint)));
	AtEOXact_GUC(false, nest_level);
	PG_RETURN_VOID();
}


/* ---------------------------------------------------------------------
 * detach
 * ---------------------------------------------------------------------
 */

/*
 * Give the table the form that it would have in plain SQL.
 */
static void
make_plain(Oid relid, const AttachedRow *old)
{
	Identity  caller = become_table_owner(relid);
	char	 *table = qualified_name(relid);
	Relation  rel = table_open(relid, NoLock);
	char	 *index = index_name(rel);
	List	 *indexes;
	List	 *ours = NIL;
	List	 *wanted = former_index_predicate(rel, old->live_when);
	Oid		  named = get_relname_relid(index, RelationGetNamespace(rel));
	ListCell *lc;

	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		IndexForm form = classify_index(rel, lfirst_oid(lc), wanted);

		if (form == INDEX_ATTACHED || (form == INDEX_KNOWN && lfirst_oid(lc) == named))
			ours = lappend_oid(ours, lfirst_oid(lc));
	}
	table_close(rel, NoLock);

	foreach(lc, ours)
		run("DROP INDEX %s", qualified_name(lfirst_oid(lc)));
	change_type(relid, table, "pg_catalog.text COLLATE pg_catalog.\"default\"", InvalidOid);
	run("ALTER TABLE %s ADD CHECK (" TIER_COLUMN " OPERATOR(pg_catalog.=) ANY"
		" (ARRAY['canary'::pg_catalog.text, 'production'::pg_catalog.text]))",
		table);
	become_again(caller);
	run("CREATE INDEX IF NOT EXISTS %s ON %s USING btree (" TIER_COLUMN ")"
		" WHERE " TIER_COLUMN " OPERATOR(pg_catalog.=) 'canary'",
		quote_identifier(index), table);
}

/*
 * update_tier.detach() returns void
 *
 * Turns the attached table back to plain SQL, every value kept; a table that
 * is no longer there, or no longer of the attached form, is forgotten.
 * Errors: 42501 when the caller does not own the table (or, if it is gone,
 * the extension's tables).
 */
Datum
update_tier_detach(PG_FUNCTION_ARGS)
{
	Oid			attached_oid = attached_table_oid();
	AttachedRow old = attached_row(attached_oid);
	bool		exists = OidIsValid(old.relid) && qualified_name(old.relid) != NULL;

	require_own_tables(fcinfo);
	PreventCommandIfReadOnly("update_tier.detach()");

	/* As in attach(): rights before locks, and again under them. */
	if (OidIsValid(old.relid))
		check_owner(exists ? old.relid : attached_oid);

	attached_oid = lock_attached();
	old = attached_row(attached_oid);
	if (!OidIsValid(old.relid))
	{
		ereport(NOTICE,
				(errmsg("no workspaces table is attached, nothing to detach")));
		PG_RETURN_VOID();
	}
	LockRelationOid(old.relid, AccessExclusiveLock);
	exists = qualified_name(old.relid) != NULL;
	check_owner(exists ? old.relid : attached_oid);

	SPI_connect();
	if (exists)
	{
		AttrNumber attnum = get_attnum(old.relid, TIER_COLUMN);
		char	   relkind = get_rel_relkind(old.relid);

		if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
		{
			Identity caller = become_table_owner(old.relid);

			make_audit(old.relid, false);
			become_again(caller);
			if (attnum != InvalidAttrNumber &&
				get_atttype(old.relid, attnum) == tier_domain_oid())
				make_plain(old.relid, &old);
		}
	}
	remember(InvalidOid, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
