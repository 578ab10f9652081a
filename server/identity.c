/*-------------------------------------------------------------------------
 *
 * server/identity.c
 *	  Acting as another role, and the owners of objects.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "server/identity.h"
#include "server/node.h"
#include "server/values.h"

/*
 * become
 *		Act as another role for statements of our own, in which every name is
 *		qualified.  If an error follows, the end of the transaction or
 *		subtransaction restores the caller's identity.
 */
Identity
become(Oid role, int flags)
{
	Identity caller;

	GetUserIdAndSecContext(&caller.user, &caller.security_context);
	SetUserIdAndSecContext(role, caller.security_context | SECURITY_LOCAL_USERID_CHANGE | flags);
	return caller;
}

/*
 * become_table_owner
 *		Act as the owner of a table that is attached or detached, perhaps by
 *		another role.
 *
 * Code of the owner may run then: triggers, and functions in indexes and
 * CHECKs, also those that the planner folds into constants.  It must not run
 * with the rights of a superuser who creates the extension.  The server does
 * the same for REINDEX and REFRESH MATERIALIZED VIEW.  As in its foreign-key
 * checks, every row counts, also one that FORCE ROW LEVEL SECURITY hides from
 * the owner.
 */
Identity
become_table_owner(Oid relid)
{
	Oid owner = relation_owner(relid);

	return become(owner, SECURITY_NOFORCE_RLS | (owner == GetUserId() ? 0 : SECURITY_RESTRICTED_OPERATION));
}

/*
 * become_index_creator
 *		Act as the role that creates an index of a table that is attached or
 *		detached.
 *
 * It is the caller: the caller may have the right to create in the schema when
 * the table's owner has not.  The index contains no user's code.  For a
 * distributed table it is the owner: Citus gives each role its own connection,
 * so that the caller would wait for what the owner has changed in this
 * transaction.
 */
Identity
become_index_creator(Oid relid)
{
	Identity unchanged;

	if (is_distributed(relid))
		return become_table_owner(relid);
	GetUserIdAndSecContext(&unchanged.user, &unchanged.security_context);
	return unchanged;
}

/* become_again: restore the caller's identity. */
void
become_again(Identity caller)
{
	SetUserIdAndSecContext(caller.user, caller.security_context);
}

/* relation_owner: the owner of a relation. */
Oid
relation_owner(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid		  owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* type_owner: the owner of a type. */
Oid
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

/* own_table_oid: the extension's relation of this name, or InvalidOid. */
Oid
own_table_oid(const char *name)
{
	Oid schema = get_namespace_oid(MACHINERY_SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/* extension_owner: the owner of the extension's own tables. */
Oid
extension_owner(void)
{
	return relation_owner(own_table_oid("attached"));
}
