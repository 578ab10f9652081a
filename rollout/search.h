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
	int64				   wanted;		 /* it ends when so many more are found */
	Sweep				   sweep;		 /* where it starts; then where the next one starts */
	List				  *found;		 /* of FleetRow *, in the order to be claimed */
	int					   found_before; /* how many of them in earlier parts of the search */
	int64				   looked;		 /* how many workspaces, since it found one */
	bool				   over_budget;	 /* a due workspace was left out: its version has no budget left */
	bool				   came_round;	 /* it passed the whole fleet, and found no workspace */
} Search;

extern void			  search_fleet(Search *search);
extern void			  search_candidates(Search *search, const Datum *candidates, int count);
extern LoadedRollout *search_version(LoadedPackage *loaded, LoadedRollout *target,
									 const LoadedInstallation *installation, const FleetRow *row);

#endif /* ROLLOUT_SEARCH_H */
