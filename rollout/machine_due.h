/*-------------------------------------------------------------------------
 *
 * rollout/machine_due.h
 *	  Which version is open, to which tier or workspace, and why.
 *
 * For a package after machine_settle().
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_MACHINE_DUE_H
#define ROLLOUT_MACHINE_DUE_H

#include "rollout/machine.h"

extern bool machine_is_frozen(const Package *package);
extern bool machine_is_open(const Package *package, const Rollout *rollout, Tier tier, Moment now);
extern bool machine_is_open_to_some(const Package *package, const Rollout *rollout, Tier tier);
extern bool machine_is_open_to(const Package *package, const Rollout *rollout, const Workspace *workspace, Moment now);

/* Why a workspace is, or is not, due for a version. */
typedef enum Answer
{
	ANSWER_DUE,
	ANSWER_NOT_LIVE,
	ANSWER_DONE,		 /* it runs the version already */
	ANSWER_LEASED,		 /* until "at" */
	ANSWER_QUEUED,		 /* the version waits for "other" */
	ANSWER_HALTED,		 /* the version */
	ANSWER_ABORTED,		 /* the version */
	ANSWER_SUPERSEDED,	 /* the version, by "other" */
	ANSWER_HAS_HALTED,	 /* it has "other", which is newer and halted */
	ANSWER_HAS_NEWER,	 /* it has "other", which is newer */
	ANSWER_SPENT,		 /* no attempt is left */
	ANSWER_FROZEN,		 /* the package, until "at" */
	ANSWER_RETRY_LATER,	 /* its retry_delay lasts until "at" */
	ANSWER_NEEDS_CANARY, /* production: too few canaries have succeeded */
	ANSWER_SOAKING,		 /* production: until "at"; NEVER: until an operator promotes it */
	ANSWER_RAMPING		 /* production: opens for this workspace at "at" */
} Answer;

typedef struct Due
{
	Answer		   answer;
	Moment		   at;
	const Rollout *other; /* or NULL; NULL also if it was deleted */
} Due;

extern Due		machine_due(const Package *package, const Rollout *rollout, const Installation *installation,
							const Workspace *workspace, Moment now);
extern Rollout *machine_wanted(const Package *package, const Installation *installation,
							   const Workspace *workspace, Moment now);
extern Rollout *machine_last_handed(const Package *package, const Installation *installation);
extern bool		machine_has_budget(const Package *package, const Rollout *rollout);
extern bool		machine_may_go_back(const Package *package, const Rollout *from, const Rollout *to);
extern bool		machine_goes_back(const Installation *installation, const Rollout *rollout);
extern uint32_t machine_ramp_share(const char *package, const char *version, const uint8_t *workspace);
extern Moment	machine_opens_at(const Package *package, const Rollout *rollout, const Workspace *workspace);

#endif /* ROLLOUT_MACHINE_DUE_H */
