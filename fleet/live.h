/*-------------------------------------------------------------------------
 *
 * fleet/live.h
 *	  How rollouts read the fleet.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_LIVE_H
#define FLEET_LIVE_H

#include "utils/uuid.h"

#include "fleet/attached.h"
#include "fleet/tier.h"

/* Workspaces that fleet_page() returns at most. */
#define FLEET_PAGE_MAX 1000

typedef struct FleetRow
{
	pg_uuid_t id;
	Tier	  tier;
	bool	  live; /* meets the condition live_when */
} FleetRow;

extern bool	 workspace_look(const WorkspacesTable *table, Datum id, Tier *tier, bool *live, bool read_only);
extern List *workspaces_look(const WorkspacesTable *table, const Datum *ids, int count, bool read_only);
extern List *fleet_page(const WorkspacesTable *table, Tier tier, const pg_uuid_t *from, int count, bool read_only);
extern int64 fleet_canaries(const WorkspacesTable *table, int64 at_most);
extern void	 fleet_counts(const WorkspacesTable *table, int64 counts[TIER_COUNT]);

#endif
