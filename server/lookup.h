/*-------------------------------------------------------------------------
 *
 * server/lookup.h
 *	  Rows of our own tables, found by key through an index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_LOOKUP_H
#define SERVER_LOOKUP_H

#include "access/htup.h"
#include "storage/itemptr.h"

#define LOOKUP_MAX_KEYS 2

/*
 * An index of a table, and what its leading columns are to be equal to.  The
 * last three fields belong to lookup.c.
 */
typedef struct Lookup
{
	const char *table;
	const char *index;
	int			nkeys;
	struct
	{
		AttrNumber	 column; /* of the table */
		RegProcedure equal;
	} keys[LOOKUP_MAX_KEYS];
	Oid	   relid; /* InvalidOid: not resolved */
	Oid	   index_relid;
	uint64 generation;
} Lookup;

extern List			 *lookup_now(Lookup *by, const NullableDatum *keys);
extern bool			  lookup_latest(Lookup *by, const NullableDatum *keys);
extern uint64		  lookup_generation(const Lookup *by);
extern NullableDatum *lookup_at(Lookup *by, ItemPointer tid);
extern List			 *lookup_seen(Lookup *by, const NullableDatum *keys);
extern NullableDatum *lookup_record(HeapTupleHeader record);

#endif
