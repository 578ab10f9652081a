/*-------------------------------------------------------------------------
 *
 * fleet/type_change.c
 *	  Changing the type of column update_tier without a scan.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fleet/attached.h"
#include "fleet/condition.h"
#include "fleet/tier_checks.h"
#include "fleet/tier_domain.h"
#include "fleet/type_change.h"
#include "server/dynamic_sql.h"
#include "server/identity.h"
#include "server/values.h"

/* domain_name: a domain's name, qualified and quoted. */
char *
domain_name(Oid domain)
{
	return format_type_extended(domain, -1, FORMAT_TYPE_FORCE_QUALIFY);
}

/*
 * relax_domain, constrain_domain
 *		Drop the domain's constraint, and add it again.
 *
 * In between, and in this transaction only, the domain is plain text, so that
 * the server does not rewrite the table.  Both act as the domain's owner: the
 * owner of a table need not own the extension.
 */
void
relax_domain(Oid domain)
{
	Identity caller = become(type_owner(domain), SECURITY_RESTRICTED_OPERATION);

	run_sql("ALTER DOMAIN %s DROP CONSTRAINT IF EXISTS " DOMAIN_CONSTRAINT, domain_name(domain));
	become_again(caller);
}

void
constrain_domain(Oid domain)
{
	Identity caller = become(type_owner(domain), SECURITY_RESTRICTED_OPERATION);

	run_sql("ALTER DOMAIN %s ADD CONSTRAINT " DOMAIN_CONSTRAINT
			" CHECK (" MACHINERY_SCHEMA ".is_valid(VALUE)) NOT VALID",
			domain_name(domain));
	become_again(caller);

	/*
	 * NOT VALID avoids a scan of every table with such a column.  The scan would
	 * find nothing: the new column's values are known to be tiers, and the other
	 * columns have been under the constraint all the time.
	 */
	mark_constraint(get_domain_constraint_oid(domain, DOMAIN_CONSTRAINT, false), true);
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
 * A change of the column's type builds its indexes again.  That must not call a
 * user's functions while the domain has no constraint.
 *
 * ACCESS SHARE on each index, as its definition is read.
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
 * change_type
 *		Change the type of column update_tier without a scan: the caller knows
 *		that every value fits.  If a domain is given, it has no constraint
 *		meanwhile.
 *
 * ACCESS EXCLUSIVE on the children, as ALTER TABLE takes it: their CHECKs are
 * changed before.
 */
void
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
	run_sql("ALTER TABLE %s ALTER COLUMN " TIER_COLUMN " DROP DEFAULT,"
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

		run_sql("ALTER TABLE %s VALIDATE CONSTRAINT %s", qualified_name(check->relid),
				quote_identifier(check->name));
	}
}
