/*-------------------------------------------------------------------------
 *
 * fleet/adoption.h
 *	  Giving column update_tier its type, default and NOT NULL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_ADOPTION_H
#define FLEET_ADOPTION_H

#include "fleet/tier_column.h"

extern void make_tier_column(Oid relid, ColumnForm form, Oid domain);

#endif
