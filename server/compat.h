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

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM < 190000
#define begin_scan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL)
#else
#define begin_scan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL, SO_NONE)
#endif

#endif
