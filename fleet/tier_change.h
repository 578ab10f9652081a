/*-------------------------------------------------------------------------
 *
 * fleet/tier_change.h
 *	  Recording changes of a tier.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TIER_CHANGE_H
#define FLEET_TIER_CHANGE_H

#include "utils/uuid.h"

#include "fleet/tier.h"

extern const pg_uuid_t *set_update_tier_writes;

extern void tier_change_insert(NullableDatum workspace, Tier old_tier, Tier new_tier);
extern bool has_tier_change_trigger(Oid relid);
extern void make_tier_change_trigger(Oid relid, bool wanted);

#endif
