/*-------------------------------------------------------------------------
 *
 * server/invalidation.c
 *	  Tell files of the extension that a relation has changed.
 *
 * A session has room for ten callbacks on changes of relations, for the server
 * and all libraries together (inval.c).  The server takes some, Citus takes more,
 * and one too many ends the session with a FATAL error.  So the extension
 * registers a single one, and passes on what it hears.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/inval.h"

#include "server/invalidation.h"

#define CALLBACKS_MAX 8

static RelationChanged callbacks[CALLBACKS_MAX];
static int			   callback_count = 0;

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < callback_count; i++)
		callbacks[i](relid);
}

/*
 * on_relation_change
 *		Call a function whenever a relation has changed, for the rest of the session.
 *
 * The function must not fail.  Each caller registers its function once.
 */
void
on_relation_change(RelationChanged callback)
{
	if (callback_count == CALLBACKS_MAX)
		elog(ERROR, "too many callbacks on changes of relations");
	if (callback_count == 0)
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	callbacks[callback_count++] = callback;
}
