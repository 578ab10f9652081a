/*-------------------------------------------------------------------------
 *
 * fleet/lookup.h
 *	  Workspaces found by id, without a statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_LOOKUP_H
#define FLEET_LOOKUP_H

#include "utils/uuid.h"

#include "fleet/attached.h"
#include "fleet/tier.h"

typedef struct Lookup Lookup;

extern Lookup *lookup_begin(const WorkspacesTable *table, bool read_only);
extern bool	   lookup_find(Lookup *lookup, const pg_uuid_t *id, Tier *tier, bool *live);
extern void	   lookup_end(Lookup *lookup);

#endif /* FLEET_LOOKUP_H */
