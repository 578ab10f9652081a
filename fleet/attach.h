/*-------------------------------------------------------------------------
 *
 * fleet/attach.h
 *	  Making a table the workspaces table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_ATTACH_H
#define FLEET_ATTACH_H

extern void attach_table(Oid relid, const char *live_when, bool create_index, bool audit);

#endif
