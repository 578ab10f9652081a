/*-------------------------------------------------------------------------
 *
 * fleet/detach.c
 *	  Turning the workspaces table back to plain SQL.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "fleet/attachable.h"
#include "fleet/attached.h"
#include "fleet/canary_index.h"
#include "fleet/tier_change.h"
#include "fleet/tier_domain.h"
#include "fleet/type_change.h"
#include "server/dynamic_sql.h"
#include "server/identity.h"
#include "server/node.h"

PG_FUNCTION_INFO_V1(update_tier_detach);

/*
 * Convert the column to text with a CHECK, and replace our index by a plain one.
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
		run_sql("DROP INDEX %s", qualified_name(lfirst_oid(lc)));
	change_type(relid, table, "pg_catalog.text COLLATE pg_catalog.\"default\"", InvalidOid);
	run_sql("ALTER TABLE %s ADD CHECK (" TIER_COLUMN " OPERATOR(pg_catalog.=) ANY"
			" (ARRAY['canary'::pg_catalog.text, 'production'::pg_catalog.text]))",
			table);
	become_again(caller);
	caller = become_index_creator(relid);
	run_sql("CREATE INDEX IF NOT EXISTS %s ON %s USING btree (" TIER_COLUMN ")"
			" WHERE " TIER_COLUMN " OPERATOR(pg_catalog.=) 'canary'",
			quote_identifier(index), table);
	become_again(caller);
}

/*
 * Refuse to change a shard.  Citus would not know of the change, and its commands
 * for the table would fail from then on.
 */
static void
check_no_shard(Oid relid)
{
	Oid table = table_of_shard(relid);

	if (OidIsValid(table))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot detach \"%s\": Citus has made it a shard of another table", get_rel_name(relid)),
				 errhint("Attach that table first with SELECT update_tier.attach(%s, audit => false).",
						 quote_literal_cstr(qualified_name(table)))));
}

/*
 * update_tier.detach() returns void
 *
 * Turns the attached table back to plain SQL and keeps every value.  A table that
 * has been dropped, or no longer has the attached form, is only forgotten.
 * Errors: 42501 when the caller does not own the table (or, if it is gone,
 * the extension's tables); 55000 when Citus has made the table a shard.
 */
Datum
update_tier_detach(PG_FUNCTION_ARGS)
{
	Oid			attached_oid;
	AttachedRow old;
	bool		exists;

	require_own_tables(fcinfo);
	PreventCommandIfReadOnly("update_tier.detach()");
	attached_oid = attached_table_oid();
	old = attached_row(attached_oid);
	exists = OidIsValid(old.relid) && qualified_name(old.relid) != NULL;

	/*
	 * As in attach(): check rights before any lock, so that a role without
	 * rights blocks nobody; and again afterwards.
	 */
	if (OidIsValid(old.relid))
		check_owner(exists ? old.relid : attached_oid);

	attached_oid = attached_lock();
	old = attached_row(attached_oid);
	if (!OidIsValid(old.relid))
	{
		ereport(NOTICE,
				(errmsg("no workspaces table is attached")));
		PG_RETURN_VOID();
	}
	/* The lock that the changes below take. */
	LockRelationOid(old.relid, AccessExclusiveLock);
	exists = qualified_name(old.relid) != NULL;
	check_owner(exists ? old.relid : attached_oid);
	check_no_shard(old.relid);

	SPI_connect();
	if (exists)
	{
		AttrNumber attnum = get_attnum(old.relid, TIER_COLUMN);
		char	   relkind = get_rel_relkind(old.relid);

		if (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE)
		{
			Identity caller = become_table_owner(old.relid);

			make_tier_change_trigger(old.relid, false);
			become_again(caller);
			if (attnum != InvalidAttrNumber &&
				get_atttype(old.relid, attnum) == tier_domain_oid())
				make_plain(old.relid, &old);
		}
	}
	attached_write(InvalidOid, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
