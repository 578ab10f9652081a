/*-------------------------------------------------------------------------
 *
 * fleet/index_build.h
 *	  Building the index of canaries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_INDEX_BUILD_H
#define FLEET_INDEX_BUILD_H

#include "nodes/pg_list.h"

extern List *watch_rows(Oid relid);
extern void	 build_index(Oid relid, const char *live_when, List *watched);

#endif
