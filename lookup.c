/*-------------------------------------------------------------------------
 *
 * lookup.c
 *	  Rows of our own tables, found by key through an index.
 *
 * What a statement with SPI would find, for a tenth of its price: there is no
 * executor to start and to end.  Gates ask for an execution for each row of a
 * query, and a report for three rows of which it changes two.  What is found
 * is the extension's own, so nobody's privileges are looked at.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "update_tier.h"

/* Every column of the tuple, which the result points into. */
static NullableDatum *
columns_of(HeapTuple tuple, TupleDesc desc)
{
	Datum		  *values = palloc_array(Datum, desc->natts);
	bool		  *nulls = palloc_array(bool, desc->natts);
	NullableDatum *row = palloc_array(NullableDatum, desc->natts);

	heap_deform_tuple(tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts; i++)
	{
		row[i].value = values[i];
		row[i].isnull = nulls[i];
	}
	pfree(values);
	pfree(nulls);
	return row;
}

static List *
lookup_by(const Lookup *by, const NullableDatum *keys, Snapshot snapshot)
{
	Oid			schema = get_namespace_oid(MACHINERY_SCHEMA, false);
	Oid			index = get_relname_relid(by->index, schema);
	Relation	rel = table_open(get_relname_relid(by->table, schema), AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	ScanKeyData scan_keys[LOOKUP_MAX_KEYS];
	SysScanDesc scan;
	HeapTuple	tuple;
	List	   *rows = NIL;

	for (int i = 0; i < by->nkeys; i++)
	{
		AttrNumber column = by->keys[i].column;

		Assert(!keys[i].isnull);
		ScanKeyEntryInitialize(&scan_keys[i], 0, column, BTEqualStrategyNumber, InvalidOid,
							   TupleDescAttr(desc, column - 1)->attcollation,
							   by->keys[i].equal, keys[i].value);
	}
	scan = systable_beginscan(rel, index, OidIsValid(index), snapshot, by->nkeys, scan_keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, columns_of(heap_copytuple(tuple), desc));
	systable_endscan(scan);
	/* The lock stays until the transaction ends, as a query's does. */
	table_close(rel, NoLock);
	return rows;
}

/*
 * lookup_now
 *		As a new statement of this transaction would see it: for what is
 *		decided under a package's lock.
 *
 * The result is a list of rows, each an array of NullableDatum with every
 * column of the table, in the caller's memory.
 */
List *
lookup_now(const Lookup *by, const NullableDatum *keys)
{
	Snapshot snapshot;
	List	*rows;

	CommandCounterIncrement();
	snapshot = RegisterSnapshot(GetTransactionSnapshot());
	rows = lookup_by(by, keys, snapshot);
	UnregisterSnapshot(snapshot);
	return rows;
}

/*
 * lookup_seen
 *		The same as the running statement sees it: for gates.
 */
List *
lookup_seen(const Lookup *by, const NullableDatum *keys)
{
	return lookup_by(by, keys, GetActiveSnapshot());
}

/*
 * lookup_record
 *		The columns of a composite value whose type is one of our tables'.
 */
NullableDatum *
lookup_record(HeapTupleHeader record)
{
	TupleDesc	   desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record),
												 HeapTupleHeaderGetTypMod(record));
	HeapTupleData  tuple = { .t_len = HeapTupleHeaderGetDatumLength(record), .t_data = record };
	NullableDatum *row = columns_of(&tuple, desc);

	ReleaseTupleDesc(desc);
	return row;
}
