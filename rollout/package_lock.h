/*-------------------------------------------------------------------------
 *
 * rollout/package_lock.h
 *	  The locks of packages.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_PACKAGE_LOCK_H
#define ROLLOUT_PACKAGE_LOCK_H

#include "postgres.h"

#include "server/compat.h"

extern bool				package_is_locked(const char *name);
extern void				package_take_locks(const char *name, bool with_all);
extern void				package_give_locks_back(const char *name, bool with_all);
extern void				package_lock_search(const char *name, const char *command);
pg_noreturn extern void refuse_old_snapshot(const char *detail);

#endif /* ROLLOUT_PACKAGE_LOCK_H */
