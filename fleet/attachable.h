/*-------------------------------------------------------------------------
 *
 * fleet/attachable.h
 *	  Which tables can be attached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_ATTACHABLE_H
#define FLEET_ATTACHABLE_H

#include "utils/relcache.h"

extern void check_owner(Oid relid);
extern void check_relation(Relation rel);
extern void check_children(Oid relid);
extern bool could_be_workspaces(Oid relid);

extern Oid	 foreign_child(Oid relid);
extern char *foreign_child_detail(Oid relid, Oid child);
extern char *foreign_child_hint(Oid relid, Oid child);

#endif
