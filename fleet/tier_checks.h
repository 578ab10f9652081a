/*-------------------------------------------------------------------------
 *
 * fleet/tier_checks.h
 *	  CHECK constraints that involve the column update_tier.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TIER_CHECKS_H
#define FLEET_TIER_CHECKS_H

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/* A CHECK constraint that involves the column update_tier. */
typedef struct TierCheck
{
	Oid	  relid; /* its table, or a child of it */
	char *name;
	bool  unsure; /* could have another result under "C" */
} TierCheck;

/* Called for each of them with its row of pg_constraint. */
typedef void (*CheckCallback)(Relation catalog, HeapTuple tuple, AttrNumber tier_column, void *arg);

typedef struct RedundantChecks
{
	List *is_a_tier; /* the domain's constraint, as a predicate */
	List *names;	 /* result */
} RedundantChecks;

extern void mark_constraint(Oid constraint, bool validated);
extern void mark_checks(List *checks, bool validated);

extern void visit_checks(Oid relid, CheckCallback callback, void *arg);
extern void collect_redundant(Relation catalog, HeapTuple tuple, AttrNumber tier_column, void *arg);
extern void collect_valid(Relation catalog, HeapTuple tuple, AttrNumber tier_column, void *arg);

#endif
