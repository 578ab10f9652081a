/*-------------------------------------------------------------------------
 *
 * fleet/attached.h
 *	  Which table is attached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_ATTACHED_H
#define FLEET_ATTACHED_H

#include "storage/lockdefs.h"
#include "utils/timestamp.h"

#include "server/compat.h"
#include "server/statement.h"

#define ID_COLUMN "id"

/*
 * The attached table as this session last saw it.
 */
typedef struct WorkspacesTable
{
	StatementTable statement_table; /* its name, owner and condition */
	bool		   valid;			/* false: look again before use */
	TimestampTz	   read_for;		/* start of the parallel query that read it, or 0 */
	Oid			   attached_oid;	/* update_tier.attached itself */
	Oid			   relid;			/* the workspaces table */
	bool		   distributed;		/* by Citus: its rows may be on other nodes */
	bool		   condition_fits;	/* the table has the columns that the condition names */
} WorkspacesTable;

/* A row of update_tier.attached. */
typedef struct AttachedRow
{
	Oid	  relid;	 /* InvalidOid: nothing is attached */
	char *live_when; /* palloc'd, or NULL */
} AttachedRow;

/*
 * Conditions of statements that read a page of the table, in order of id: the
 * row w is of the tier.  The planner does not look into the second one, and
 * assumes that it holds for half of the rows.  While a new column has no
 * statistics, it assumes that a plain "=" holds for few rows, and sorts them
 * instead of reading the index of id.
 */
#define ROW_IS_CANARY	  "w.update_tier OPERATOR(pg_catalog.=) 'canary'"
#define ROW_IS_PRODUCTION "CASE WHEN w.update_tier OPERATOR(pg_catalog.=) 'production' THEN true ELSE false END"

extern const WorkspacesTable *workspaces_lock(LOCKMODE mode);
extern const WorkspacesTable *workspaces_if_attached(LOCKMODE mode);
extern const WorkspacesTable *workspaces_if_fit(LOCKMODE mode);
extern const WorkspacesTable *workspaces_or_assumption(bool *live);
extern const WorkspacesTable *workspaces_if_readable(LOCKMODE mode);
extern Oid					  workspaces_seen(void);
extern bool					  workspaces_are_distributed(void);

extern Oid				attached_table_oid(void);
extern AttachedRow		attached_row(Oid attached_oid);
extern Oid				attached_lock(void);
extern void				attached_write(Oid relid, const char *live_when);
pg_noreturn extern void refuse_dropped(void);

extern char *qualified_name(Oid relid);
extern bool	 owner_can_read_shards(Oid relid, bool missing_ok);

#endif
