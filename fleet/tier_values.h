/*-------------------------------------------------------------------------
 *
 * fleet/tier_values.h
 *	  The values of a column update_tier that is already there.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TIER_VALUES_H
#define FLEET_TIER_VALUES_H

#include "fleet/tier_column.h"

/* The domain's constraint, as a condition on a table's rows (see condition.h). */
#define IS_A_TIER "(" TIER_COLUMN " IN ('canary', 'production'))"

extern bool values_are_vouched_for(Relation rel, AttrNumber attnum, ColumnForm form);
extern void check_values(const char *table, const char *relname, ColumnForm form);

#endif
