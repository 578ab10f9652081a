/*-------------------------------------------------------------------------
 *
 * fleet/enum_column.h
 *	  What prevents converting an enum to text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_ENUM_COLUMN_H
#define FLEET_ENUM_COLUMN_H

#include "nodes/pg_list.h"

extern void check_enum_dependents(Oid relid, List *droppable);

#endif
