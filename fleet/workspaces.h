/*-------------------------------------------------------------------------
 *
 * fleet/workspaces.h
 *	  Listing the workspaces, counting them, and changing a tier.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_WORKSPACES_H
#define FLEET_WORKSPACES_H

#include "fleet/attached.h"
#include "fleet/tier.h"

extern double workspaces_expected(Tier tier, const WorkspacesTable *table);

#endif
