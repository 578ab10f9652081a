/*-------------------------------------------------------------------------
 *
 * rollout/refuse.h
 *	  Arguments that name a package, a version or a workspace, and the errors
 *	  that name them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_REFUSE_H
#define ROLLOUT_REFUSE_H

#include "fleet/attached.h"
#include "rollout/loaded_package.h"
#include "server/compat.h"

extern LoadedRollout   *package_find_known(LoadedPackage *loaded, const char *version);
extern char			   *package_argument(NullableDatum value);
extern char			   *workspace_text(const pg_uuid_t *workspace);
extern char			   *package_text(const char *package);
extern char			   *version_arguments(const char *package, const char *version);
pg_noreturn extern void refuse_unknown_workspace(Datum id, const WorkspacesTable *table);
pg_noreturn extern void refuse_not_live(Datum id, const WorkspacesTable *table);
pg_noreturn extern void refuse_leased(const LoadedPackage *loaded, const LoadedInstallation *installation,
									  const char *what);

#endif /* ROLLOUT_REFUSE_H */
