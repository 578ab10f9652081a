/*-------------------------------------------------------------------------
 *
 * rollout/held.h
 *	  Where the rows of a package are, remembered while a transaction holds it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_HELD_H
#define ROLLOUT_HELD_H

#include "rollout/loaded_package.h"

extern void		 held_remember(const LoadedPackage *loaded);
extern bool		 held_load(LoadedPackage *loaded);
extern TableRow *held_row_of_name(const char *name);
extern char		*held_name_of(int64 id, TimestampTz *stamp);

#endif /* ROLLOUT_HELD_H */
