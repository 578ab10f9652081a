/*-------------------------------------------------------------------------
 *
 * server/compat.h
 *	  Every difference between server versions.
 *
 * Included after postgres.h.  A file that uses one of the macros includes the
 * server's header that declares what the macro calls.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_COMPAT_H
#define SERVER_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "update_tier needs PostgreSQL 15 or newer"
#endif

/* VARDATA_ANY and the like are in postgres.h up to version 15. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#if PG_VERSION_NUM < 170000
#define lock_is_held(tag, mode) LockHeldByMe(tag, mode)
#else
#define lock_is_held(tag, mode) LockHeldByMe(tag, mode, false)
#endif

#if PG_VERSION_NUM < 160000
#define local_backend_entry(n) pgstat_fetch_stat_local_beentry(n)
#else
#define local_backend_entry(n) pgstat_get_local_beentry_by_index(n)
#endif

#if PG_VERSION_NUM < 160000
#define relation_is_owned(relid, role) pg_class_ownercheck(relid, role)
#else
#define relation_is_owned(relid, role) object_ownercheck(RelationRelationId, relid, role)
#endif

#if PG_VERSION_NUM < 160000
#define rd_firstRelfilelocatorSubid rd_firstRelfilenodeSubid
#endif

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM < 190000
#define begin_scan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL)
#else
#define begin_scan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL, SO_NONE)
#endif

#if PG_VERSION_NUM < 180000
#define index_scan(rel, index_rel, snapshot, nkeys) index_beginscan(rel, index_rel, snapshot, nkeys, 0)
#elif PG_VERSION_NUM < 190000
#define index_scan(rel, index_rel, snapshot, nkeys) index_beginscan(rel, index_rel, snapshot, NULL, nkeys, 0)
#else
#define index_scan(rel, index_rel, snapshot, nkeys) index_beginscan(rel, index_rel, snapshot, NULL, nkeys, 0, SO_NONE)
#endif

#if PG_VERSION_NUM < 160000
#define schema_is_usable(schema, role) (pg_namespace_aclcheck(schema, role, ACL_USAGE) == ACLCHECK_OK)
#else
#define schema_is_usable(schema, role) (object_aclcheck(NamespaceRelationId, schema, role, ACL_USAGE) == ACLCHECK_OK)
#endif

/* Writing a row, and its index entries. */
#if PG_VERSION_NUM < 160000
#define IndexUpdate					bool
#define needs_index_entries(update) (update)
#define only_summaries(update)		false
#else
#define IndexUpdate					TU_UpdateIndexes
#define needs_index_entries(update) ((update) != TU_None)
#define only_summaries(update)		((update) == TU_Summarizing)
#endif

#if PG_VERSION_NUM < 190000
#define update_row(rel, tid, slot, failure, lockmode, indexes) \
	table_tuple_update(rel, tid, slot, GetCurrentCommandId(true), InvalidSnapshot, InvalidSnapshot, \
					   true, failure, lockmode, indexes)
#else
#define update_row(rel, tid, slot, failure, lockmode, indexes) \
	table_tuple_update(rel, tid, slot, GetCurrentCommandId(true), 0, InvalidSnapshot, InvalidSnapshot, \
					   true, failure, lockmode, indexes)
#endif

#if PG_VERSION_NUM < 160000
#define insert_index_entries(result, slot, estate, is_update, summaries) \
	ExecInsertIndexTuples(result, slot, estate, is_update, false, NULL, NIL)
#elif PG_VERSION_NUM < 190000
#define insert_index_entries(result, slot, estate, is_update, summaries) \
	ExecInsertIndexTuples(result, slot, estate, is_update, false, NULL, NIL, summaries)
#else
#define insert_index_entries(result, slot, estate, is_update, summaries) \
	ExecInsertIndexTuples(result, estate, \
						  ((is_update) ? EIIT_IS_UPDATE : 0) | ((summaries) ? EIIT_ONLY_SUMMARIZING : 0), \
						  slot, NIL, NULL)
#endif

#endif
