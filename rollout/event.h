/*-------------------------------------------------------------------------
 *
 * rollout/event.h
 *	  The log of events, and notifications.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_EVENT_H
#define ROLLOUT_EVENT_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "rollout/phase.h"

/* An event to be logged when the package is saved. */
typedef struct EventNote
{
	TimestampTz		 at;
	const char		*kind;
	const char		*package;	/* or NULL */
	const char		*version;	/* or NULL */
	const pg_uuid_t *workspace; /* or NULL */
	int64			 token;		/* 0: none */
	const char		*detail;	/* or NULL */
} EventNote;

extern void events_write(List *notes);
extern void notify_phase(const char *package, const char *version, Phase phase);
extern bool event_of_replaced_token(int64 token, char **package, char **version);
extern void events_delete_before(TimestampTz moment);

#endif /* ROLLOUT_EVENT_H */
