/*-------------------------------------------------------------------------
 *
 * fleet/tier.h
 *	  The closed set of update tiers, in rollout order.  Pure C.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TIER_H
#define FLEET_TIER_H

#include <stdbool.h>
#include <stddef.h>

typedef enum Tier
{
	TIER_CANARY,
	TIER_PRODUCTION
} Tier;

#define TIER_COUNT 2

extern const char *const tier_names[TIER_COUNT];

extern bool		   tier_parse(const char *value, size_t length, Tier *tier);
extern const char *tier_near_miss(const char *value, size_t length);

#endif
