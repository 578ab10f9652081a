/*-------------------------------------------------------------------------
 *
 * server/lookup.c
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
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "executor/tuptable.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "server/lookup.h"
#include "server/values.h"

/*
 * The tuple's ctid, and then every column of it, each at the number that the
 * server gives it.  The result points into the tuple.
 */
static NullableDatum *
columns_of(HeapTuple tuple, TupleDesc desc)
{
	Datum		  *values = palloc_array(Datum, desc->natts);
	bool		  *nulls = palloc_array(bool, desc->natts);
	NullableDatum *row = palloc_array(NullableDatum, desc->natts + 1);

	heap_deform_tuple(tuple, desc, values, nulls);
	row[0].value = PointerGetDatum(&tuple->t_self);
	row[0].isnull = false;
	for (int i = 0; i < desc->natts; i++)
	{
		row[i + 1].value = values[i];
		row[i + 1].isnull = nulls[i];
	}
	pfree(values);
	pfree(nulls);
	return row;
}

/*
 * The lookups that know what their names stand for.  Our tables and indexes
 * keep their OIDs for as long as the extension is there.
 */
static List *resolved = NIL;

static void
relation_changed(Datum arg, Oid relid)
{
	ListCell *lc;

	foreach(lc, resolved)
	{
		Lookup *by = (Lookup *) lfirst(lc);

		if (!OidIsValid(relid) || relid == by->relid || relid == by->index_relid)
			by->relid = InvalidOid;
	}
}

/* Open the table, to be read until the transaction ends, as by a query. */
static Relation
open_table(Lookup *by)
{
	static bool callback_registered = false;
	Relation	rel = NULL;

	if (!list_member_ptr(resolved, by))
	{
		MemoryContext caller_context = MemoryContextSwitchTo(TopMemoryContext);

		if (!callback_registered)
			CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
		callback_registered = true;
		resolved = lappend(resolved, by);
		MemoryContextSwitchTo(caller_context);
	}
	if (OidIsValid(by->relid))
		rel = try_table_open(by->relid, AccessShareLock);
	if (rel == NULL)
	{
		by->relid = InvalidOid;
		rel = table_open(get_relname_relid(by->table, get_namespace_oid(MACHINERY_SCHEMA, false)),
						 AccessShareLock);
	}

	/* Opening it is also when one hears that an index has been replaced. */
	if (!OidIsValid(by->relid))
	{
		by->index_relid = get_relname_relid(by->index, RelationGetNamespace(rel));
		by->relid = RelationGetRelid(rel);
		by->generation++;
	}
	return rel;
}

/*
 * lookup_generation
 *		A number that stays as it is for as long as nothing has happened to
 *		the table that moves its rows, or 0: not known.
 */
uint64
lookup_generation(const Lookup *by)
{
	return OidIsValid(by->relid) ? by->generation : 0;
}

static List *
lookup_by(Lookup *by, const NullableDatum *keys, Snapshot snapshot)
{
	Relation	rel = open_table(by);
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
	scan = systable_beginscan(rel, by->index_relid, OidIsValid(by->index_relid), snapshot, by->nkeys, scan_keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		rows = lappend(rows, columns_of(heap_copytuple(tuple), desc));
	systable_endscan(scan);
	table_close(rel, NoLock);
	return rows;
}

/* What a new statement of this transaction would see. */
static Snapshot
snapshot_now(void)
{
	CommandCounterIncrement();
	return RegisterSnapshot(GetTransactionSnapshot());
}

/*
 * lookup_now
 *		As a new statement of this transaction would see it: for what is
 *		decided under a package's lock.
 *
 * The result is a list of rows, each an array of NullableDatum with the row's
 * ctid and every column of the table, in the caller's memory.
 */
List *
lookup_now(Lookup *by, const NullableDatum *keys)
{
	Snapshot snapshot = snapshot_now();
	List	*rows = lookup_by(by, keys, snapshot);

	UnregisterSnapshot(snapshot);
	return rows;
}

/*
 * lookup_latest
 *		Is there such a row by now, whatever the transaction may see?
 */
bool
lookup_latest(Lookup *by, const NullableDatum *keys)
{
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	List	*rows = lookup_by(by, keys, snapshot);

	UnregisterSnapshot(snapshot);
	return rows != NIL;
}

/*
 * lookup_at
 *		The same for the row version at a ctid of the table, found in the
 *		same lookup_generation(); NULL if it is none any more.
 *
 * Who knows where the row is does not have to pass all its older versions,
 * of which there is one for each report while others wait for the package.
 */
NullableDatum *
lookup_at(Lookup *by, ItemPointer tid)
{
	Relation		rel = open_table(by);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot		snapshot = snapshot_now();
	NullableDatum  *row = NULL;

	if (table_tuple_fetch_row_version(rel, tid, snapshot, slot))
		row = columns_of(ExecCopySlotHeapTuple(slot), RelationGetDescr(rel));
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return row;
}

/*
 * lookup_seen
 *		The same as the running statement sees it: for gates.
 */
List *
lookup_seen(Lookup *by, const NullableDatum *keys)
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
	HeapTuple	   tuple = palloc0_object(HeapTupleData);
	NullableDatum *row;

	tuple->t_len = HeapTupleHeaderGetDatumLength(record);
	tuple->t_data = record;
	row = columns_of(tuple, desc);
	ReleaseTupleDesc(desc);
	return row;
}
