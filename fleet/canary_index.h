/*-------------------------------------------------------------------------
 *
 * fleet/canary_index.h
 *	  The partial index over the canaries.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_CANARY_INDEX_H
#define FLEET_CANARY_INDEX_H

#include "nodes/pg_list.h"
#include "utils/relcache.h"

#include "fleet/attached.h"
#include "fleet/tier_column.h"
#include "fleet/tier_domain.h"

/* Its condition, in canonical form (see condition.h). */
#define IS_CANARY "(" TIER_COLUMN " = 'canary')"

/* How an index relates to the one that an attached table has. */
typedef enum IndexForm
{
	INDEX_OTHER,   /* a user's own */
	INDEX_KNOWN,   /* covers the canaries, but differs */
	INDEX_ATTACHED /* the one that attach creates */
} IndexForm;

extern bool		 find_index(Relation rel, ColumnForm form, const char *live_when,
							const AttachedRow *old, List **outdated);
extern IndexForm classify_index(Relation rel, Oid index_oid, List *wanted);
extern List		*former_index_predicate(Relation rel, const char *live_when);
extern char		*index_name(Relation rel);

#endif
