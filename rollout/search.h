/*-------------------------------------------------------------------------
 *
 * rollout/search.h
 *	  The search of the fleet for workspaces that are due.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_SEARCH_H
#define ROLLOUT_SEARCH_H

#include "fleet/attached.h"
#include "fleet/live.h"
#include "rollout/package.h"

/*
 * What is searched for, and what was found.
 */
typedef struct Search
{
	LoadedPackage		  *loaded;
	LoadedRollout		  *target; /* NULL: each workspace with the version it should have */
	const WorkspacesTable *table;
	int64				   wanted;		 /* this many more are enough */
	Sweep				   sweep;		 /* where it begins; then where it goes on */
	List				  *found;		 /* of FleetRow *, in the order to be claimed */
	int					   found_before; /* so many of them in an earlier stage */
	int64				   looked;		 /* at so many workspaces, since it found one */
	bool				   over_budget;	 /* has seen one that is due, for a version without budget left */
	bool				   came_round;	 /* through the whole fleet, and found none */
} Search;

extern void			  search_fleet(Search *search);
extern void			  search_candidates(Search *search, const Datum *candidates, int count);
extern LoadedRollout *search_version(LoadedPackage *loaded, LoadedRollout *target,
									 const LoadedInstallation *installation, const FleetRow *row);

#endif /* ROLLOUT_SEARCH_H */
