/*-------------------------------------------------------------------------
 *
 * rollout/package.h
 *	  Packages with their rollouts: loaded, locked, settled, saved.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_PACKAGE_H
#define ROLLOUT_PACKAGE_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "fleet/attached.h"
#include "rollout/installation.h"
#include "rollout/machine.h"
#include "rollout/package_row.h"
#include "rollout/rollout.h"
#include "server/compat.h"
#include "server/table.h"

/* Does a caller depend on the settings or the freeze of ALL_PACKAGES? */
typedef enum OfAll
{
	WITHOUT_ALL, /* no */
	WITH_ALL	 /* yes */
} OfAll;

/*
 * A package with some of its rollouts: those that are queued, in canary or
 * soaking, the promoted ones that may be open, and those that were asked for by
 * version or by id.
 */
typedef struct LoadedPackage
{
	Package		  package; /* first, so that a pointer to it is a pointer to this */
	MemoryContext context; /* in which all of it is allocated */
	Seen		  seen;
	OfAll		  of_all;
	bool		  locked; /* and a snapshot is pushed: package_save() or package_unlock() pops it */
	char		 *name;
	TableRow	 *row; /* its tid is invalid if it is not stored yet */
	TableRow	 *all; /* of ALL_PACKAGES; NULL: not stored, or WITHOUT_ALL */
	int64		  id;
	TimestampTz	  now;	 /* the start of the transaction, at which gates are judged */
	TimestampTz	  clock; /* to which it is settled */
	TimestampTz	  first_expiry;
	char		 *freeze_reason; /* of the freeze that ends later; or NULL */
	Sweep		  sweep;		 /* of claim_batch() without a version */
	int64		  promoted_from; /* an ordinal: no older promoted rollout is loaded */
	bool		  all_promoted;	 /* all promoted rollouts are loaded */
	int			  room;			 /* in package.rollouts */
	List		 *leases;		 /* of LoadedInstallation *, which may have expired */
	bool		  has_reporting; /* other leases have expired, but another transaction reports on them */
	List		 *touched;		 /* of LoadedInstallation *, to be written */
	List		 *counted;		 /* of LoadedUncounted *, to be deleted */
	List		 *forgotten;	 /* of LoadedInstallation *, to be deleted */
	List		 *notes;		 /* of EventNote *, to be logged */
	List		 *phases;		 /* of PhaseNote *, to be notified */
	bool		  changed;
} LoadedPackage;

typedef struct PhaseNote
{
	const LoadedRollout *rollout;
	Phase				 phase;
} PhaseNote;

/* For package_lock_for(): whichever attempt the workspace has. */
#define ANY_ATTEMPT (-1)

extern char			 *package_name_of(int64 id, TimestampTz *stamp);
extern LoadedPackage *package_look(const char *name, Seen seen);
extern LoadedPackage *package_lock(const char *name, const char *command, OfAll of_all);
extern LoadedPackage *package_lock_for(const char *name, const char *command, OfAll of_all,
									   const pg_uuid_t *workspace, int64 asked_token);
extern void			  package_unlock(LoadedPackage *loaded);
extern void			  package_save(LoadedPackage *loaded);

extern LoadedRollout			*package_find(LoadedPackage *loaded, const char *version);
extern LoadedRollout			*package_need(LoadedPackage *loaded, int64 rollout);
extern LoadedRollout			*package_find_known(LoadedPackage *loaded, const char *version);
extern List						*package_all_rollouts(LoadedPackage *loaded);
extern List						*package_ended_since(LoadedPackage *loaded, int64 ordinal);
extern LoadedRollout			*package_new_rollout(LoadedPackage *loaded, const char *version);
extern void						 package_delete_rollout(LoadedPackage *loaded, LoadedRollout *rollout);
extern void						 package_begin(LoadedPackage *loaded);
extern void						 package_conclude(LoadedPackage *loaded, const LoadedInstallation *tipping,
												  const LoadedRollout *ordered, char *reason);
extern void						 package_note(LoadedPackage *loaded, const LoadedRollout *rollout, const char *kind,
											  const LoadedInstallation *installation, const char *detail);
extern void						 package_note_token(LoadedPackage *loaded, const LoadedRollout *rollout, const char *kind,
													int64 token, const char *detail);
extern void						 package_forget(LoadedPackage *loaded, LoadedInstallation *installation);
extern void						 package_touch(LoadedPackage *loaded, LoadedInstallation *installation);
extern void						 package_leased(LoadedPackage *loaded, LoadedInstallation *installation);
extern LoadedInstallation		*package_installation(LoadedPackage *loaded, const pg_uuid_t *workspace);
extern const LoadedInstallation *package_settled(const LoadedPackage *loaded, const LoadedInstallation *installation);
extern void						 package_need_rollouts(LoadedPackage *loaded, const LoadedInstallation *installation);
extern TimestampTz				 package_next_moment(LoadedPackage *loaded);
extern Policy					 package_policy(const LoadedPackage *loaded);
extern NullableDatum			*package_settings(LoadedPackage *loaded);
extern void						 package_set_freeze(LoadedPackage *loaded, TimestampTz until, char *reason);
extern TimestampTz				 package_own_freeze(const LoadedPackage *loaded);
extern char						*package_argument(NullableDatum value);
extern char						*workspace_text(const pg_uuid_t *workspace);
extern char						*version_arguments(const char *package, const char *version);
extern Datum					 phase_text(const LoadedPackage *loaded, const LoadedRollout *rollout);
pg_noreturn extern void			 refuse_unknown_workspace(Datum id, const WorkspacesTable *table);
pg_noreturn extern void			 refuse_not_live(Datum id, const WorkspacesTable *table);
pg_noreturn extern void			 refuse_leased(const LoadedPackage *loaded, const LoadedInstallation *installation,
											   const char *what);

#endif /* ROLLOUT_PACKAGE_H */
