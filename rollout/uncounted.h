/*-------------------------------------------------------------------------
 *
 * rollout/uncounted.h
 *	  Reports that are counted later, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_UNCOUNTED_H
#define ROLLOUT_UNCOUNTED_H

#include "postgres.h"

#include "nodes/pg_list.h"

#include "rollout/machine.h"
#include "server/compat.h"
#include "server/table.h"

/* A report that is counted later, and its row. */
typedef struct LoadedUncounted
{
	Uncounted uncounted;
	TableRow *row;
} LoadedUncounted;

extern List *uncounted_load(int64 package_id, Seen seen);
extern void	 uncounted_insert(int64 package_id, const Uncounted *uncounted);
extern void	 uncounted_delete(List *counted);
extern bool	 uncounted_few_at_a_time(void);

#endif /* ROLLOUT_UNCOUNTED_H */
