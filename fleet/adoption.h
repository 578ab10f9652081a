/*-------------------------------------------------------------------------
 *
 * fleet/adoption.h
 *	  Making column update_tier what it has to be.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_ADOPTION_H
#define FLEET_ADOPTION_H

#include "fleet/tier_column.h"

extern void make_tier_column(Oid relid, ColumnForm form, Oid domain);

#endif
