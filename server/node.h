/*-------------------------------------------------------------------------
 *
 * server/node.h
 *	  Is this the node that holds the extension's rows?
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_NODE_H
#define SERVER_NODE_H

#include "fmgr.h"

extern bool node_is_worker(void);
extern bool is_distributed(Oid relid);
extern Oid	table_of_shard(Oid relid);
extern void require_own_tables(FunctionCallInfo fcinfo);

#endif
