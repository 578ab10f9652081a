/*-------------------------------------------------------------------------
 *
 * server/index_scan.h
 *	  Building an index without the scan of its table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_INDEX_SCAN_H
#define SERVER_INDEX_SCAN_H

#include "utils/relcache.h"

/*
 * Is it certain that no row of the table belongs in the index, which has just
 * been created and is not built yet?  Rows that only an older snapshot sees
 * count, too.
 */
typedef bool (*IndexIsEmpty)(Relation table, Oid index_oid);

extern IndexIsEmpty skip_scan_if(IndexIsEmpty is_empty);

#endif
