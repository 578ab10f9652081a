/*-------------------------------------------------------------------------
 *
 * rollout/package_row.h
 *	  The table of packages, row by row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef ROLLOUT_PACKAGE_ROW_H
#define ROLLOUT_PACKAGE_ROW_H

#include "postgres.h"

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "rollout/setting.h"
#include "server/table.h"

/* The package whose settings and freeze are those of all packages. */
#define ALL_PACKAGES "*"

#define PACKAGE_SETTING(kind, name, standard, least) PACKAGE_##name,

/* The columns of the table, in C. */
enum
{
	PACKAGE_id,
	PACKAGE_name,
	POLICY_SETTINGS(PACKAGE_SETTING)
		PACKAGE_frozen_until,
	PACKAGE_freeze_reason,
	PACKAGE_stamp,
	PACKAGE_in_flight,
	PACKAGE_first_expiry,
	PACKAGE_canary_position,
	PACKAGE_production_position,
	PACKAGE_rollback_position,
	PACKAGE_quiet_from,
	PACKAGE_swept_at,
	PACKAGE_COLUMNS
};

extern TableRow *package_row(const char *name, Seen seen);
extern TableRow *package_row_of_id(int64 id);
extern TableRow *package_row_at(const ItemPointerData *tid);
extern uint64	 package_row_generation(void);
extern TableRow *package_row_new(const char *name);
extern void		 package_row_save(TableRow *row);
extern List		*package_names(Seen seen);

#endif /* ROLLOUT_PACKAGE_ROW_H */
