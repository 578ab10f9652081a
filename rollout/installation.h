/*-------------------------------------------------------------------------
 *
 * rollout/installation.h
 *	  Installations: what each workspace has of a package, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_INSTALLATION_H
#define ROLLOUT_INSTALLATION_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "rollout/machine.h"
#include "server/compat.h"
#include "server/table.h"

/* An installation, and the columns of its row that the machine does not use. */
typedef struct LoadedInstallation
{
	Installation  installation; /* first, so that a pointer to it is a pointer to this */
	TableRow	 *row;			/* NULL: not stored yet */
	int64		  package_id;
	pg_uuid_t	  workspace;
	char		 *runs_version; /* a version that was never started, or NULL */
	NullableDatum runs_since;
	TimestampTz	  changed_at;
	char		 *installed_version; /* as reported; or NULL */
	char		 *detail;			 /* as reported; or NULL */
	bool		  touched;			 /* package_save() writes it */
} LoadedInstallation;

static inline LoadedInstallation *
loaded_installation(Installation *installation)
{
	return (LoadedInstallation *) installation;
}

extern const char *const state_names[];

extern LoadedInstallation  *installation_load(int64 package_id, const pg_uuid_t *workspace, Seen seen);
extern LoadedInstallation **installations_of(int64 package_id, const Datum *workspaces, int count, Seen seen);
extern LoadedInstallation  *installation_of_token(int64 token, Seen seen);
extern List				   *installations_leased(int64 package_id, TimestampTz until, Seen seen);
extern List				   *installations_live(int64 package_id, TimestampTz after, Seen seen);
extern TimestampTz			installations_first_expiry(int64 package_id, TimestampTz after, Seen seen);
extern List				   *installations_between(int64 package_id, const pg_uuid_t *first,
												  const pg_uuid_t *last, Seen seen, int64 at_most);
extern List				   *installations_of_rollout(int64 rollout, const pg_uuid_t *from, Seen seen, int64 at_most);
extern bool					installations_refer_to(int64 rollout);
extern bool					id_after(const pg_uuid_t *id, pg_uuid_t *next);
extern void					installation_set_runs(LoadedInstallation *loaded, const char *version, TimestampTz since);
extern bool					installation_lock(const LoadedInstallation *loaded, bool wait);
extern bool					installation_try_save(LoadedInstallation *loaded, TimestampTz stamp);
extern void					installation_save(LoadedInstallation *loaded, TimestampTz stamp);
extern void					installations_insert(List *installations, TimestampTz stamp);
extern void					installation_delete(LoadedInstallation *loaded);
extern int64				next_token(void);
pg_noreturn extern void		refuse_changed_by_hand(const char *what);

#endif /* ROLLOUT_INSTALLATION_H */
