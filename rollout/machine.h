/*-------------------------------------------------------------------------
 *
 * rollout/machine.h
 *	  The state of a package: a pure function of its rows and a moment.
 *
 * A package is what versions replace one another in.  Its rollouts are kept
 * oldest first.  An installation is what one workspace has of the package.
 * The functions here change these structs and say what happened; they read
 * no clock, write no row, send nothing and allocate nothing.
 *
 * A caller that writes does so in this order: load the rows, settle them to
 * the clock, call one function that changes something, save.  A caller that
 * only reads settles in the same way and saves nothing: so no answer depends
 * on earlier readers.
 *
 * Moments and spans are microseconds.  Leases, halts and freezes are judged at
 * the moment of machine_settle(), which is the clock.  What opens to production
 * (a promotion, a workspace's moment in a ramp) is judged at a moment "now" of
 * its own, the start of the caller's transaction: it may be earlier than the
 * clock, never later.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_MACHINE_H
#define ROLLOUT_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "fleet/tier.h"
#include "rollout/phase.h"

typedef int64_t Moment;
typedef int64_t Span;

#define NEVER INT64_MAX

/*
 * The settings of a policy: kind, name, default, least value.  A SPAN is a
 * length of time, a COUNT a number, a SHARE a percentage (at most 100), a FLAG
 * yes or no.
 *
 * This is the only list of them in C.  The tables package and rollout have a
 * column for each, and set_policy() has a parameter for each, in this order.
 */
#define SECONDS(n) ((Span) (n) *1000000)
#define POLICY_SETTINGS(SETTING) \
	SETTING(SPAN, soak, SECONDS(24 * 60 * 60), 0) \
	SETTING(SPAN, ramp, 0, 0) \
	SETTING(COUNT, min_successes, 1, 1) \
	SETTING(COUNT, max_failures, 0, 0) \
	SETTING(SHARE, max_failure_percent, 0, 0) \
	SETTING(COUNT, max_in_flight, 25, 1) \
	SETTING(COUNT, max_attempts, 3, 1) \
	SETTING(SPAN, retry_delay, SECONDS(5 * 60), 0) \
	SETTING(SPAN, lease, SECONDS(15 * 60), 1) \
	SETTING(FLAG, auto_promote, true, 0) \
	SETTING(FLAG, require_canary, true, 0)

#define POLICY_TYPE_SPAN						  Span
#define POLICY_TYPE_COUNT						  int32_t
#define POLICY_TYPE_SHARE						  int32_t
#define POLICY_TYPE_FLAG						  bool
#define POLICY_FIELD(kind, name, standard, least) POLICY_TYPE_##kind name;

typedef struct Policy
{
	POLICY_SETTINGS(POLICY_FIELD)
} Policy;

extern const Policy policy_default;

/* The evidence of a tier's workspaces for and against one rollout. */
typedef struct Tally
{
	int32_t succeeded;	  /* workspaces that still have this version */
	int32_t failed;		  /* workspaces; they stay counted when they leave */
	int32_t acknowledged; /* those of them that resume has acknowledged */
	int32_t moved_on;	  /* successes of workspaces that have left */
} Tally;

/*
 * One version on its way through the fleet.
 *
 * "phase" is the stored phase, machine_phase() the phase as shown: a promoted
 * rollout stays stored as promoted when a newer one is promoted.
 */
typedef struct Rollout
{
	int64_t		id;
	const char *version;
	int64_t		ordinal;	 /* the newest of a package has the highest */
	int32_t		run;		 /* 1; each retry adds 1 */
	int32_t		resumed;	 /* the number of resumes in this run */
	Phase		phase;		 /* as stored */
	Moment		soaks_from;	 /* when the soak began; NEVER before that */
	Moment		promoted_at; /* or NEVER */
	Moment		progress_at; /* the last success of a canary in this run, or NEVER */
	Tally		tally[TIER_COUNT];
	Policy		policy;
	bool		changed; /* differs from its row */
} Rollout;

/* The state of an attempt. */
typedef enum State
{
	STATE_CLAIMED,
	STATE_SUCCEEDED,
	STATE_SKIPPED, /* nothing was applied */
	STATE_ERROR,   /* the outcome is unknown */
	STATE_FAILED,  /* applied, and bad */
	STATE_EXPIRED  /* no report before the lease ended */
} State;

typedef enum Evidence
{
	EVIDENCE_NONE,
	EVIDENCE_SUCCEEDED,
	EVIDENCE_FAILED
} Evidence;

#define NO_ROLLOUT 0

/*
 * What one workspace has of a package.  All zeroes: no row.
 *
 * "rollout" and "run" are those of the latest attempt.  "runs" is the rollout
 * whose version the workspace runs, as far as is known.
 */
typedef struct Installation
{
	int64_t	 rollout; /* NO_ROLLOUT: never handed out or observed */
	int32_t	 run;
	int64_t	 ordinal; /* of the rollout, when it was handed out; a retry changes the rollout's */
	int32_t	 attempt; /* its number in this run; 0: observed without a claim */
	int64_t	 token;	  /* names the attempt, or 0 */
	State	 state;
	Tier	 tier; /* when it was claimed */
	Moment	 lease_until;
	Moment	 retry_at; /* not due before this */
	Evidence evidence; /* for or against the rollout, in this run */
	Tier	 evidence_tier;
	int32_t	 resumed; /* resumes of the rollout when the evidence was set */
	int64_t	 runs;	  /* a rollout's id, or NO_ROLLOUT */
	int64_t	 runs_ordinal;
	bool	 runs_well; /* false: reported or observed as failed */
} Installation;

#define WORKSPACE_ID_BYTES 16

/* A workspace as the workspaces table showed it. */
typedef struct Workspace
{
	const uint8_t *id; /* WORKSPACE_ID_BYTES */
	bool		   live;
	Tier		   tier;
} Workspace;

/*
 * A lease that may have expired: an installation and its workspace.  A report
 * is judged by the start of its statement, so that a report that waits for a
 * lock is not late: "asked_at" is that start for the lease that the caller
 * reports on or extends, and NEVER for all others.
 */
typedef struct Lease
{
	Installation *installation;
	bool		  live; /* is the workspace live? */
	Moment		  asked_at;
	bool		  expired; /* set by machine_settle() */
} Lease;

/*
 * A report that could change no decision.  machine_settle() counts it later;
 * this is what it adds to the package and to its rollout.
 */
typedef struct Uncounted
{
	int64_t rollout;
	int32_t run;
	Tier	tier;	   /* when the workspace was claimed */
	bool	succeeded; /* and counts as evidence */
	bool	came_back; /* the workspace may be counted in moved_on */
	Moment	at;
} Uncounted;

/* What happened, for the log. */
typedef enum Happening
{
	HAPPENED_PHASE,	  /* a rollout entered a phase */
	HAPPENED_EXPIRED, /* a lease */
	HAPPENED_FAILED	  /* an expired last attempt counts as a failure */
} Happening;

typedef struct Event
{
	Happening	   what;
	Moment		   at;
	const Rollout *rollout;
	Phase		   phase; /* HAPPENED_PHASE: the one it entered */
	const Rollout *by;	  /* the rollout that took its place or that it waits for, or NULL */
	const Lease	  *lease; /* the one that expired, or whose failure caused a halt; or NULL */
	Tier		   tier;  /* of the failures that caused a halt */
} Event;

/*
 * A package.  The rollouts are those that are queued, in canary or soaking, the
 * promoted ones that may be open, and any others that the caller needs, oldest
 * first.
 */
typedef struct Package
{
	const char *name;
	Rollout	  **rollouts;
	int			count;
	Lease	   *leases; /* that may have expired, in any order */
	int			lease_count;
	Uncounted  *uncounted; /* oldest first */
	int			uncounted_count;
	int			counted;   /* of them, by machine_settle() */
	int			in_flight; /* live leases, all versions together */
	Moment		stamp;	   /* the latest moment of the package; machine_settle() moves it forward */
	Moment		frozen_until;

	/* Room for machine_events_at_most() events, and their number so far. */
	Event *events;
	int	   event_count;
} Package;

extern int machine_events_at_most(const Package *package);

/* ---- what a stored row must satisfy ---- */

extern bool machine_is_consistent(const Rollout *rollout);

/* ---- the clock ---- */

extern void	  machine_settle(Package *package, Moment clock);
extern Moment machine_next_moment(const Package *package);

extern Moment machine_later(Moment moment, Span span);

/* ---- what a rollout is, after machine_settle() ---- */

extern Rollout *machine_rollout(const Package *package, int64_t id);
extern Phase	machine_phase(const Package *package, const Rollout *rollout);
extern bool		machine_has_ended(const Package *package, const Rollout *rollout);
extern Rollout *machine_successor(const Package *package, const Rollout *rollout);
extern Rollout *machine_running(const Package *package);
extern Rollout *machine_promoted(const Package *package);
extern Rollout *machine_promoted_before(const Package *package, const Rollout *rollout);
extern Moment	machine_soak_ends_at(const Rollout *rollout);
extern Moment	machine_soak_over_at(const Rollout *rollout);
extern Moment	machine_ramp_ends_at(const Rollout *rollout);
extern Moment	machine_turn_at(const Package *package, const Rollout *rollout);

/* ---- what an installation is ---- */

extern int	machine_attempts_used(const Package *package, const Installation *installation);
extern bool machine_is_last_attempt(const Package *package, const Installation *installation);
extern bool machine_is_of_run(const Package *package, const Installation *installation);
extern bool machine_is_leased(const Installation *installation);

/* ---- what changes a package: after machine_settle(), before saving ---- */

typedef enum Refusal
{
	ACCEPTED,
	UNCHANGED,		  /* the state is already the one asked for */
	REFUSED_PHASE,	  /* the phase does not permit it */
	REFUSED_REASON,	  /* a reason is needed */
	REFUSED_REPLACED, /* a newer version has taken its place */
	REFUSED_LEASED,	  /* the workspace holds a live lease */
	REFUSED_BETTER,	  /* within an attempt a report may worsen, never improve */
	REFUSED_NO_LEASE  /* the lease has ended */
} Refusal;

extern void	   machine_start(Package *package, Rollout *rollout);
extern Refusal machine_promote(Package *package, Rollout *rollout, bool has_reason);
extern Refusal machine_halt(Package *package, Rollout *rollout);
extern Refusal machine_resume(Package *package, Rollout *rollout);
extern Refusal machine_abort(Package *package, Rollout *rollout);
extern Refusal machine_retry(Package *package, Rollout *rollout, int64_t ordinal, const Policy *policy);
extern void	   machine_apply_policy(Package *package, const Policy *policy);

extern void	   machine_grant(Package *package, Rollout *rollout, Installation *installation, Tier tier, int64_t token);
extern Refusal machine_report(Package *package, Installation *installation, State outcome, bool live);
extern bool	   machine_report_apart(const Rollout *rollout, Installation *installation, State outcome, bool live,
									Moment asked_at, Moment stamp, Uncounted *uncounted);
extern void	   machine_runs(Installation *installation, const Rollout *rollout, bool well);
extern Refusal machine_observe(Package *package, Rollout *rollout, Installation *installation, State outcome,
							   const Workspace *workspace);
extern Refusal machine_extend(Package *package, Installation *installation, Span by);
extern Refusal machine_forget(Package *package, Installation *installation);

#endif /* ROLLOUT_MACHINE_H */
