/*-------------------------------------------------------------------------
 *
 * rollout/rollout.h
 *	  Rollouts, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_ROLLOUT_H
#define ROLLOUT_ROLLOUT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "rollout/machine.h"
#include "server/table.h"

/*
 * Where the next search for due workspaces starts, of a version or of a
 * package.  Positions are ids; NULL: the first workspace.
 */
typedef struct Sweep
{
	NullableDatum canary_position;
	NullableDatum production_position;
	NullableDatum rollback_position;
	NullableDatum quiet_from; /* searches have found no workspace since here; NULL: not so */
	NullableDatum swept_at;	  /* when searches last passed the whole fleet without finding one that is due */
} Sweep;

/* A rollout, and the columns of its row that the machine does not use. */
typedef struct LoadedRollout
{
	Rollout		rollout; /* first, so that a pointer to it is a pointer to this */
	TableRow   *row;
	char	   *package;
	char	   *reason; /* of the latest verb or halt, or NULL */
	TimestampTz changed_at;
	Sweep		sweep;
} LoadedRollout;

static inline LoadedRollout *
loaded_rollout(Rollout *rollout)
{
	return (LoadedRollout *) rollout;
}

extern bool same_sweep(const Sweep *a, const Sweep *b);

extern List			 *rollouts_on_their_way(const char *package, Seen seen);
extern List			 *rollouts_ended_after(const char *package, int64 ordinal, Seen seen);
extern List			 *rollouts_of_package(const char *package, Seen seen);
extern LoadedRollout *rollout_promoted_before(const char *package, int64 ordinal, Seen seen);
extern LoadedRollout *rollout_of_version(const char *package, const char *version, Seen seen);
extern LoadedRollout *rollout_of_id(int64 id, Seen seen);
extern LoadedRollout *rollout_at(const ItemPointerData *tid);
extern uint64		  rollout_generation(void);
extern LoadedRollout *rollout_new(const char *package, const char *version, const Policy *policy);
extern void			  rollout_save(LoadedRollout *loaded, TimestampTz stamp);
extern void			  rollout_delete(LoadedRollout *loaded);
extern int64		  next_ordinal(void);

#endif /* ROLLOUT_ROLLOUT_H */
