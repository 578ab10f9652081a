/*-------------------------------------------------------------------------
 *
 * test/machine/world.h
 *	  A small world around the pure machine: a package, a few versions and a
 *	  few workspaces, and what can happen to them.
 *
 * The walk, the fuzzer and the table of cases all drive this.
 *
 *-------------------------------------------------------------------------
 */
#ifndef TEST_MACHINE_WORLD_H
#define TEST_MACHINE_WORLD_H

#include "rollout/machine.h"

#define MAX_VERSIONS   4
#define MAX_WORKSPACES 4
#define MAX_EVENTS	   (2 * MAX_WORKSPACES + (PHASE_COUNT + 1) * (MAX_VERSIONS + MAX_WORKSPACES + 1))

/* What a world contains, and which deeds it permits. */
typedef struct Rules
{
	const char *name;
	int			versions;
	int			canaries; /* the first workspaces */
	int			workspaces;
	Policy		policy;
	Policy		other_policy; /* apply_to_running switches between the two */
	bool		verbs;		  /* halt, resume, retry, promote, besides start and abort */
	bool		fleet;		  /* changes of a tier, workspaces that go and come back */
	bool		by_hand;	  /* force, observe, forget, extend */
	bool		incidents;	  /* freeze, thaw, apply_to_running */
	int			depth;		  /* of the walk */
} Rules;

typedef struct World
{
	const Rules *rules;
	Moment		 clock;
	Package		 package;
	Rollout		*order[MAX_VERSIONS]; /* oldest first */
	Rollout		 versions[MAX_VERSIONS];
	Installation installations[MAX_WORKSPACES];
	bool		 live[MAX_WORKSPACES];
	Tier		 tiers[MAX_WORKSPACES];
	Lease		 leases[MAX_WORKSPACES];
	Uncounted	 uncounted[MAX_WORKSPACES];
	int			 uncounted_count;
	bool		 other_policy;

	/* For the invariants: noted by the world, not by the machine. */
	Moment	began_to_soak[MAX_VERSIONS];
	int		handed[MAX_WORKSPACES];					  /* version, or -1 */
	int64_t handed_at[MAX_WORKSPACES];				  /* its ordinal then */
	int64_t granted_at[MAX_WORKSPACES];				  /* the same for the latest attempt */
	int64_t runs_at[MAX_WORKSPACES];				  /* the ordinal of what it runs, when it was handed out */
	int		grants[MAX_WORKSPACES];					  /* at granted_at, since the last resume; skipped ones apart */
	int		left_succeeded[MAX_VERSIONS][TIER_COUNT]; /* successes, in this run, of workspaces that have left */
	int		left_failed[MAX_VERSIONS][TIER_COUNT];
	int		left_acknowledged[MAX_VERSIONS][TIER_COUNT]; /* of those that failed */

	Event events[MAX_EVENTS]; /* the last member: a copy leaves it out */
} World;

/* What a step does. */
typedef enum Deed
{
	DEED_TICK,
	DEED_START,
	DEED_ABORT,
	DEED_HALT,
	DEED_RESUME,
	DEED_RETRY,
	DEED_PROMOTE,
	DEED_PROMOTE_WITH_REASON,
	DEED_CLAIM,
	DEED_SUCCEEDED,
	DEED_FAILED,
	DEED_ERROR,
	DEED_SKIPPED,
	DEED_FORCE,
	DEED_OBSERVE_GOOD,
	DEED_OBSERVE_BAD,
	DEED_OBSERVE_UNKNOWN,
	DEED_EXTEND,
	DEED_FORGET,
	DEED_FLIP,
	DEED_GO,
	DEED_FREEZE,
	DEED_POLICY
} Deed;

#define DEED_COUNT 23

typedef struct Step
{
	Deed deed;
	int	 version;
	int	 workspace;
} Step;

extern void		   world_make(World *world, const Rules *rules);
extern void		   world_copy(World *copy, const World *world);
extern void		   world_relink(World *world);
extern Rollout	  *world_rollout(const World *world, int version);
extern void		   world_load_leases(World *world);
extern bool		   world_holds_lease(const World *world, int w);
extern bool		   world_is_of_run(const World *world, int w, const Rollout *rollout);
extern bool		   world_is_acknowledged(const Rollout *rollout, const Installation *installation);
extern void		   world_note_left(const World *before, World *world);
extern void		   world_note_grant(World *world, int v, int w);
extern Workspace   world_workspace(const World *world, int workspace);
extern void		   world_settle(World *world, Moment clock);
extern int		   world_steps(const World *world, Step *steps);
extern bool		   world_do(World *world, Step step);
extern void		   world_describe(const World *world);
extern const char *deed_name(Deed deed);

#endif /* TEST_MACHINE_WORLD_H */
