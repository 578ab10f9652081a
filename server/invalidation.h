/*-------------------------------------------------------------------------
 *
 * server/invalidation.h
 *	  Tell files of the extension that a relation has changed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_INVALIDATION_H
#define SERVER_INVALIDATION_H

/* The relation; InvalidOid: any may have changed. */
typedef void (*RelationChanged)(Oid relid);

extern void on_relation_change(RelationChanged callback);

#endif
