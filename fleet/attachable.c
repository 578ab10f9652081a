/*-------------------------------------------------------------------------
 *
 * fleet/attachable.c
 *	  Which tables can be attached.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fleet/attachable.h"
#include "fleet/attached.h"
#include "server/compat.h"
#include "server/identity.h"

/* check_owner: the caller must own the table, as for any ALTER TABLE. */
void
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

pg_noreturn static void
refuse_relation(Relation rel, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("cannot attach \"%s\" as the workspaces table",
					RelationGetRelationName(rel)),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

/*
 * Is "id" alone unique?  In a partitioned table a unique key has to contain the
 * partition key, so there a key over both will do.
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

/* check_relation: refuse what cannot be a workspaces table. */
void
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
		refuse_relation(rel, "It is a system catalog.", "Attach a table of your own.");
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		refuse_relation(rel, "It is a temporary table, which other sessions cannot see.",
						"Attach a permanent table.");
	if (rel->rd_rel->relispartition)
		refuse_relation(rel, "It is a partition.",
						psprintf("Attach the partitioned table with SELECT update_tier.attach(%s).",
								 quote_literal_cstr(qualified_name(llast_oid(get_partition_ancestors(RelationGetRelid(rel)))))));

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
				 errhint("Use ALTER TABLE %s ALTER COLUMN " ID_COLUMN " SET NOT NULL.",
						 qualified_name(RelationGetRelid(rel)))));
	if (!id_is_unique(rel, id))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
				 errmsg("cannot attach \"%s\": column \"%s\" is not unique",
						RelationGetRelationName(rel), ID_COLUMN),
				 errdetail("Each id must name one workspace."),
				 rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE ?
					 errhint("Add a unique constraint on \"%s\" and the partition key.", ID_COLUMN) :
					 errhint("Use ALTER TABLE %s ADD UNIQUE (" ID_COLUMN ").",
							 qualified_name(RelationGetRelid(rel)))));
}

/*
 * foreign_child
 *		A child of the table that the table's owner does not own, or InvalidOid.
 *		Attach acts as the table's owner.
 */
Oid
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

/* foreign_child_detail, foreign_child_hint: parts of the message on such a child. */
char *
foreign_child_detail(Oid relid, Oid child)
{
	return psprintf("update_tier.attach acts as \"%s\", the owner of \"%s\". This role does not own %s.",
					GetUserNameFromId(relation_owner(relid), false), get_rel_name(relid), qualified_name(child));
}

char *
foreign_child_hint(Oid relid, Oid child)
{
	return psprintf("Use ALTER TABLE %s OWNER TO %s.", qualified_name(child),
					quote_identifier(GetUserNameFromId(relation_owner(relid), false)));
}

/* check_children: the table's owner must own its children, which are changed with it. */
void
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

/* could_be_workspaces: is it a permanent table with a column "id" of type uuid? */
bool
could_be_workspaces(Oid relid)
{
	char	   relkind = get_rel_relkind(relid);
	AttrNumber id = get_attnum(relid, ID_COLUMN);

	return (relkind == RELKIND_RELATION || relkind == RELKIND_PARTITIONED_TABLE) &&
		get_rel_persistence(relid) != RELPERSISTENCE_TEMP &&
		id != InvalidAttrNumber && get_atttype(relid, id) == UUIDOID;
}
