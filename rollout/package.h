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

#include "rollout/loaded_package.h"

/* For package_lock_for(): whichever attempt the workspace has. */
#define ANY_ATTEMPT (-1)

extern LoadedPackage *package_look(const char *name, Seen seen);
extern LoadedPackage *package_lock(const char *name, const char *command, OfAll of_all);
extern LoadedPackage *package_lock_for(const char *name, const char *command, OfAll of_all,
									   const pg_uuid_t *workspace, int64 asked_token);
extern void			  package_unlock(LoadedPackage *loaded);
extern void			  package_save(LoadedPackage *loaded);

extern LoadedRollout			*package_new_rollout(LoadedPackage *loaded, const char *version);
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

#endif /* ROLLOUT_PACKAGE_H */
