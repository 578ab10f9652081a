/*-------------------------------------------------------------------------
 *
 * fleet/tier_domain.h
 *	  The domain of update tiers, and the errors for invalid values.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TIER_DOMAIN_H
#define FLEET_TIER_DOMAIN_H

#include "fleet/tier.h"

/* Fixed names.  The column's name is also the domain's and the schema's. */
#define TIER_COLUMN		  "update_tier"
#define DOMAIN_CONSTRAINT "canary_or_production"

#define DEFAULT_TIER TIER_PRODUCTION

extern Oid	tier_domain_oid(void);
extern bool tier_parse_datum(Datum value, Tier *tier);
extern Tier tier_argument(NullableDatum value, const char *argument);
extern Tier tier_from_text(Datum value);

#endif
