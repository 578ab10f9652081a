/*-------------------------------------------------------------------------
 *
 * old_rollout.h
 *	  What the rollout code at the top level shares.
 *
 * The first part is pure C.  The second is there only after postgres.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef OLD_ROLLOUT_H
#define OLD_ROLLOUT_H

#include <stdbool.h>
#include <stdint.h>

#include "fleet/tier.h"

/* ---- phase.c: the phase of a rollout ---- */

typedef enum Phase
{
	PHASE_QUEUED,	 /* waits behind one that soaks */
	PHASE_CANARY,	 /* open to canaries */
	PHASE_SOAKING,	 /* enough canaries succeeded */
	PHASE_PROMOTED,	 /* open to everybody */
	PHASE_HALTED,	 /* stopped, until somebody decides */
	PHASE_ABORTED,	 /* ended by an operator */
	PHASE_SUPERSEDED /* ended by a newer version */
} Phase;

#define PHASE_COUNT 7

extern const char *const phase_names[PHASE_COUNT];

/*
 * What decides about the phase.  Moments are microseconds since whenever;
 * one that will not come is INT64_MAX (a timestamptz of infinity).
 */
typedef struct Timeline
{
	Phase	phase;		  /* when the row was written */
	bool	needs_canary; /* too few canaries have succeeded so far */
	int64_t turn_at;	  /* queued: when it gets its turn */
	int64_t soak_ends_at;
	int64_t superseded_at; /* promoted: when a newer one takes over */
	int64_t halts_at;	   /* one failure too many, unless reported */
} Timeline;

extern bool	 phase_parse(const char *name, Phase *phase);
extern Phase phase_at(const Timeline *timeline, int64_t moment);
extern bool	 phase_runs(Phase phase);
extern bool	 phase_open(Phase phase, Tier tier);

#ifdef POSTGRES_H

#include "storage/itemptr.h"
#include "utils/timestamp.h"

#include "fleet/attached.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/identity.h"
#include "server/lookup.h"
#include "server/node.h"
#include "server/settings.h"
#include "server/statement.h"
#include "server/values.h"

/* ---- rollout.c: rollouts and what decides about them ---- */

/* One row of update_tier.rollout.  Moments that will not come are DT_NOEND. */
typedef struct Rollout
{
	int64			id;
	ItemPointerData tid; /* of the row as it was read or written last */
	char		   *package;
	char		   *version;
	int64			ordinal; /* the newest of a package has the highest */
	Timeline		timeline;
	int64			soak;  /* microseconds */
	int64			lease; /* microseconds */
	int32			min_successes;
	int32			max_failures;
	int32			max_in_flight;
	int32			max_attempts;
	bool			auto_promote;
	bool			require_canary;
	TimestampTz		promoted_at;
	TimestampTz		changed_at;				  /* its latest stamp */
	int32			succeeded[TIER_COUNT];	  /* workspaces */
	int32			failed[TIER_COUNT];		  /* workspaces */
	int32			acknowledged[TIER_COUNT]; /* of the failed, by resume */
	int32			in_flight[TIER_COUNT];	  /* leases, as of the last settling */
	TimestampTz		first_expiry;			  /* no lease runs out before */
	NullableDatum	position[TIER_COUNT];	  /* where claim_batch looks on */
	int64			due_position[TIER_COUNT]; /* and for further attempts */
	char		   *related;				  /* version it waits for or was replaced by */
	char		   *reason;					  /* of the last verb or halt */
	bool			dirty;					  /* differs from the row */
} Rollout;

/* A package under its lock, with the rollouts that can still change. */
typedef struct Package
{
	char	   *name;
	TimestampTz now;	  /* at which gates are read */
	TimestampTz clock;	  /* as it was when the lock was granted */
	TimestampTz stamp;	  /* for what is written; never before any other */
	List	   *rollouts; /* of Rollout *, oldest first */
} Package;

extern bool				package_is_locked(const char *name);
extern Package		   *package_lock(const char *name, const char *command);
extern Rollout		   *package_find(Package *package, const char *version);
extern bool				rollout_is_ours(const Rollout *rollout, bool wait);
extern Rollout		   *package_start(Package *package, const char *version);
extern void				package_save(Package *package);
extern bool				rollout_of_execution(int64 rollout, char **package, char **version);
extern Rollout		   *rollout_read(const char *package, const char *version);
extern Rollout		   *rollout_soaking(const char *package, TimestampTz moment);
extern void				rollout_evidence_changed(Package *package, Rollout *rollout);
pg_noreturn extern void refuse_old_snapshot(const char *detail);
extern void				refuse_unknown_rollout(const char *package, const char *version);
extern void				event_add(Package *package, const Rollout *rollout, const char *kind,
								  NullableDatum workspace, NullableDatum token, const char *detail);

/* What operator.c needs of it. */

/* An equality of texts in a statement, and the settings of a policy in order. */
#define TEXT_IS(column, value) column " OPERATOR(pg_catalog.=) " value
#define POLICY_COLUMNS \
	"soak, min_successes, max_failures, max_in_flight, max_attempts, lease, auto_promote, require_canary"

extern void		enter_phase(Package *package, Rollout *rollout, Phase phase, const char *detail);
extern void		event_note(Package *package, const Rollout *rollout, const char *kind, const char *detail);
extern void		halt_rollout(Package *package, Rollout *rollout, const char *reason);
extern void		stop_clock(Rollout *rollout);
extern void		admit(Package *package, Rollout *rollout);
extern Rollout *package_renew(Package *package, Rollout *rollout, char *reason);
extern Datum	present_phase(const Package *package, const Rollout *rollout);

/* ---- execution.c: claims and reports ---- */

typedef enum State
{
	STATE_CLAIMED,
	STATE_SUCCEEDED,
	STATE_ERROR,
	STATE_FAILED,
	STATE_EXPIRED
} State;

typedef enum Evidence
{
	EVIDENCE_NONE,
	EVIDENCE_SUCCEEDED,
	EVIDENCE_FAILED
} Evidence;

/* A row of update_tier.execution. */
typedef struct Execution
{
	int64		rollout;
	Datum		workspace;
	Tier		tier; /* when it was claimed */
	int32		attempt;
	int64		token;
	State		state;
	TimestampTz lease_until;
	Evidence	evidence;
	Tier		evidence_tier; /* when what the evidence is of was claimed */
	bool		acknowledged;  /* the failure, by resume */
	char	   *installed_version;
	char	   *detail;
} Execution;

/*
 * A workspace that is live: its tier.  Here and below, a NULL where an owner
 * has dropped the column's NOT NULL is no tier, and no workspace.
 */
#define LIVE_TIER \
	"SELECT w.update_tier FROM $table AS w" \
	" WHERE w.id OPERATOR(pg_catalog.=) $1 AND w.update_tier IS NOT NULL AND \"$live\""

extern Execution *execution_seen(int64 rollout, NullableDatum workspace);
extern bool		  executions_expire(Package *package, Rollout *rollout);
extern void		  executions_acknowledge(Rollout *rollout);
extern void		  executions_clear(Package *package, Rollout *rollout);
extern void		  executions_predict_halt(Rollout *rollout);

#endif /* POSTGRES_H */
#endif /* OLD_ROLLOUT_H */
