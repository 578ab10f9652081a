/*-------------------------------------------------------------------------
 *
 * server/table.c
 *	  Rows of the extension's own tables: found by key, inserted, updated.
 *
 * Rows are found through an index without SPI, at a tenth of its cost: there is
 * no executor to start and end.  A gate looks up an installation for each row of
 * a query, and a report looks up three rows.  The rows are the extension's own,
 * so no privileges are checked.
 *
 * Rows are written without SPI, too; see needs_statement().
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "executor/executor.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "server/compat.h"
#include "server/identity.h"
#include "server/invalidation.h"
#include "server/table.h"
#include "server/values.h"


/* ---------------------------------------------------------------------
 * Where things are
 * ---------------------------------------------------------------------
 */

/*
 * The tables and indexes whose names have been resolved.  They keep their OIDs
 * for as long as the extension exists.
 */
static List *known_tables = NIL;
static List *known_indexes = NIL;

static void
relation_changed(Oid relid)
{
	ListCell *lc;

	foreach(lc, known_tables)
	{
		OwnTable *table = (OwnTable *) lfirst(lc);

		if (!OidIsValid(relid) || relid == table->relid)
			table->relid = InvalidOid;
	}
	foreach(lc, known_indexes)
	{
		TableIndex *index = (TableIndex *) lfirst(lc);

		/* An index that was replaced is announced as a change of its table. */
		if (!OidIsValid(relid) || relid == index->relid || !OidIsValid(index->table->relid))
			index->relid = InvalidOid;
	}
}

static void
remember(List **known, void *entry)
{
	static bool	  callback_registered = false;
	MemoryContext caller_context;

	if (list_member_ptr(*known, entry))
		return;
	if (!callback_registered)
		on_relation_change(relation_changed);
	callback_registered = true;
	caller_context = MemoryContextSwitchTo(TopMemoryContext);
	*known = lappend(*known, entry);
	MemoryContextSwitchTo(caller_context);
}

/* The column's number in a row type, by its name. */
static AttrNumber
number_of_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attr = TupleDescAttr(desc, i);

		if (!attr->attisdropped && strcmp(NameStr(attr->attname), name) == 0)
			return (AttrNumber) (i + 1);
	}
	elog(ERROR, "column \"%s\" does not exist", name);
}

/*
 * Has the table a column that is not in our list, or a CHECK that is not ours?  A
 * newer version of the extension may have added one, while this session still has
 * the library of the version before.
 */
static bool
has_unknown_parts(const OwnTable *table, TupleDesc desc)
{
	int columns = 0;
	int checks = desc->constr ? desc->constr->num_check : 0;

	for (int i = 0; i < desc->natts; i++)
		columns += !TupleDescAttr(desc, i)->attisdropped;
	return columns > table->count || checks > (table->is_consistent ? 1 : 0);
}

/*
 * Open the table with ACCESS SHARE until the transaction ends, as a query does:
 * so it is not dropped or rewritten meanwhile.  Once the lock is granted, the
 * session has processed the invalidations of earlier commits: if the table is
 * still the known one then, it stays so.
 */
static Relation
open_table(OwnTable *table)
{
	Oid		 known = table->relid;
	Relation rel = NULL;

	Assert(table->count <= TABLE_MAX_COLUMNS);
	remember(&known_tables, table);
	if (OidIsValid(known))
	{
		LockRelationOid(known, AccessShareLock);
		if (table->relid == known)
			rel = table_open(known, NoLock);
		else
			UnlockRelationOid(known, AccessShareLock);
	}
	if (rel == NULL)
	{
		table->relid = InvalidOid;
		rel = table_open(get_relname_relid(table->name, get_namespace_oid(MACHINERY_SCHEMA, false)),
						 AccessShareLock);
	}
	if (!OidIsValid(table->relid))
	{
		for (int i = 0; i < table->count; i++)
			table->attnum[i] = number_of_column(RelationGetDescr(rel), table->columns[i].name);
		table->has_unknown_parts = has_unknown_parts(table, RelationGetDescr(rel));
		table->relid = RelationGetRelid(rel);
		table->generation++;
	}
	return rel;
}

static Oid
index_of(TableIndex *index, Relation rel)
{
	remember(&known_indexes, index);
	if (!OidIsValid(index->relid))
	{
		index->relid = get_relname_relid(index->name, RelationGetNamespace(rel));
		if (!OidIsValid(index->relid))
			elog(ERROR, "index \"%s\" does not exist", index->name);
	}
	return index->relid;
}

/*
 * table_generation
 *		A number that stays the same while nothing but updates can have moved
 *		rows of the table; 0: unknown.
 */
uint64
table_generation(const OwnTable *table)
{
	return OidIsValid(table->relid) ? table->generation : 0;
}


/* ---------------------------------------------------------------------
 * Finding
 * ---------------------------------------------------------------------
 */

static TableRow *
empty_row(const OwnTable *table)
{
	return palloc0(offsetof(TableRow, column) + table->count * sizeof(NullableDatum));
}

/* The row of a tuple.  It points into the tuple. */
static TableRow *
row_of(const OwnTable *table, HeapTuple tuple, TupleDesc desc, const AttrNumber *attnum)
{
	Datum	  values[TABLE_MAX_COLUMNS * 2];
	bool	  nulls[TABLE_MAX_COLUMNS * 2];
	TableRow *row = empty_row(table);

	if (desc->natts > lengthof(values))
		elog(ERROR, "table \"%s\" has too many columns", table->name);
	heap_deform_tuple(tuple, desc, values, nulls);
	row->tid = tuple->t_self;
	for (int i = 0; i < table->count; i++)
	{
		row->column[i].value = values[attnum[i] - 1];
		row->column[i].isnull = nulls[attnum[i] - 1];
	}
	return row;
}

static Snapshot
snapshot_for(Seen seen)
{
	switch (seen)
	{
		case SEEN_BY_STATEMENT:
			return RegisterSnapshot(GetActiveSnapshot());
		case SEEN_LATEST:
			return RegisterSnapshot(GetLatestSnapshot());
		case SEEN_NOW:
			break;
	}
	CommandCounterIncrement();
	return RegisterSnapshot(GetTransactionSnapshot());
}

/* A scan of an index. */
typedef struct KeyScan
{
	TableIndex	   *index;
	Relation		rel;
	Relation		index_rel;
	Snapshot		snapshot;
	TupleTableSlot *slot;
	IndexScanDesc	scan;
	ScanKeyData		keys[TABLE_INDEX_KEYS];
} KeyScan;

/* The index's column for a column of the table. */
static AttrNumber
index_column(Relation index_rel, AttrNumber attnum)
{
	int i = 0;

	while (index_rel->rd_index->indkey.values[i] != attnum)
	{
		if (++i == index_rel->rd_index->indnkeyatts)
			elog(ERROR, "index \"%s\" has no column %d of its table", RelationGetRelationName(index_rel), attnum);
	}
	return (AttrNumber) (i + 1);
}

/* Open the table and its index, with the locks that a query takes. */
static KeyScan *
open_scan(TableIndex *index, Seen seen)
{
	OwnTable *table = index->table;
	KeyScan	 *scan = palloc_object(KeyScan);
	TupleDesc desc;

	scan->index = index;
	scan->rel = open_table(table);
	scan->index_rel = index_open(index_of(index, scan->rel), AccessShareLock);
	scan->snapshot = snapshot_for(seen);
	scan->slot = table_slot_create(scan->rel, NULL);
	scan->scan = index_scan(scan->rel, scan->index_rel, scan->snapshot, index->nkeys);
	desc = RelationGetDescr(scan->rel);
	for (int i = 0; i < index->nkeys; i++)
	{
		AttrNumber attnum = table->attnum[index->keys[i].column];

		ScanKeyEntryInitialize(&scan->keys[i], 0, index_column(scan->index_rel, attnum), index->keys[i].strategy,
							   InvalidOid, TupleDescAttr(desc, attnum - 1)->attcollation,
							   index->keys[i].procedure, (Datum) 0);
	}
	return scan;
}

/* Begin to read the rows of these keys. */
static void
find(KeyScan *scan, const NullableDatum *keys)
{
	for (int i = 0; i < scan->index->nkeys; i++)
	{
		Assert(!keys[i].isnull);
		scan->keys[i].sk_argument = keys[i].value;
	}
	index_rescan(scan->scan, scan->keys, scan->index->nkeys, NULL, 0);
}

/* The next row, in the caller's memory, or NULL. */
static TableRow *
next_row(KeyScan *scan)
{
	const OwnTable *table = scan->index->table;

	CHECK_FOR_INTERRUPTS();
	if (!index_getnext_slot(scan->scan, scan->index->descending ? BackwardScanDirection : ForwardScanDirection, scan->slot))
		return NULL;
	return row_of(table, ExecCopySlotHeapTuple(scan->slot), RelationGetDescr(scan->rel), table->attnum);
}

static void
close_scan(KeyScan *scan)
{
	index_endscan(scan->scan);
	ExecDropSingleTupleTableSlot(scan->slot);
	UnregisterSnapshot(scan->snapshot);
	index_close(scan->index_rel, NoLock);
	table_close(scan->rel, NoLock);
	pfree(scan);
}

/*
 * table_rows
 *		The first "at_most" rows of these keys, or ALL_ROWS, in the order of the
 *		index (backwards if it says descending); a list of TableRow in the
 *		caller's memory.
 */
List *
table_rows(TableIndex *index, const NullableDatum *keys, Seen seen, int64 at_most)
{
	KeyScan	 *scan = open_scan(index, seen);
	List	 *rows = NIL;
	TableRow *row;

	find(scan, keys);
	while ((row = next_row(scan)) != NULL)
	{
		rows = lappend(rows, row);
		if (list_length(rows) == at_most)
			break;
	}
	close_scan(scan);
	return rows;
}

/*
 * table_row_of_each
 *		For each of "count" sets of keys, one after the other in "keys", the
 *		first of its rows, or NULL: an array in the caller's memory.
 */
TableRow **
table_row_of_each(TableIndex *index, const NullableDatum *keys, int count, Seen seen)
{
	KeyScan	  *scan = open_scan(index, seen);
	TableRow **rows = palloc_array(TableRow *, count);

	for (int i = 0; i < count; i++)
	{
		find(scan, &keys[i * index->nkeys]);
		rows[i] = next_row(scan);
	}
	close_scan(scan);
	return rows;
}

/* table_row: the first of the rows of these keys, or NULL. */
TableRow *
table_row(TableIndex *index, const NullableDatum *keys, Seen seen)
{
	KeyScan	 *scan = open_scan(index, seen);
	TableRow *row;

	find(scan, keys);
	row = next_row(scan);
	close_scan(scan);
	return row;
}

/*
 * table_row_at
 *		The row version at a place, which was noted in the same
 *		table_generation(), as a new statement would see it; NULL if it is no
 *		longer the current one.
 *
 * A caller that remembers the place of a row need not read its older versions: a
 * long transaction leaves many.
 */
TableRow *
table_row_at(OwnTable *table, const ItemPointerData *tid)
{
	Relation		rel = open_table(table);
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	Snapshot		snapshot = snapshot_for(SEEN_NOW);
	ItemPointerData place = *tid;
	TableRow	   *row = NULL;

	if (table_tuple_fetch_row_version(rel, &place, snapshot, slot))
		row = row_of(table, ExecCopySlotHeapTuple(slot), RelationGetDescr(rel), table->attnum);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, NoLock);
	return row;
}

/*
 * table_record
 *		The row of a composite value whose type is the table's, for a CHECK.
 */
TableRow *
table_record(OwnTable *table, HeapTupleHeader record)
{
	TupleDesc  desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record),
											 HeapTupleHeaderGetTypMod(record));
	AttrNumber attnum[TABLE_MAX_COLUMNS];
	HeapTuple  tuple = palloc0_object(HeapTupleData);
	TableRow  *row;

	for (int i = 0; i < table->count; i++)
		attnum[i] = number_of_column(desc, table->columns[i].name);
	tuple->t_len = HeapTupleHeaderGetDatumLength(record);
	tuple->t_data = record;
	row = row_of(table, tuple, desc, attnum);
	ReleaseTupleDesc(desc);
	return row;
}


/* ---------------------------------------------------------------------
 * Writing
 * ---------------------------------------------------------------------
 */

/* table_new_row: a row that is not stored yet, every column NULL. */
TableRow *
table_new_row(const OwnTable *table)
{
	TableRow *row = empty_row(table);

	ItemPointerSetInvalid(&row->tid);
	for (int i = 0; i < table->count; i++)
		row->column[i] = NO_DATUM;
	return row;
}

/* A table that is open for writing, and what is needed to write index entries. */
typedef struct Writer
{
	OwnTable	   *table;
	Relation		rel;
	TupleTableSlot *slot;
	EState		   *estate; /* NULL: no index entry was written yet */
	ResultRelInfo  *result;
} Writer;

/*
 * Rows are written as the server writes rows of its catalogs, without an
 * executor: to start and end it is nine tenths of the cost of a statement that
 * changes one row.  So the executor's checks are made here: columns that must
 * not be NULL, and the table's CHECK.  The domains of the columns allow all
 * values that the code can write.
 *
 * But a user's code must not be skipped, and values of columns that we do not
 * know must not be lost: a table with a trigger, a rule, or a column or CHECK
 * that is not ours is written with statements.
 */
static bool
needs_statement(const Writer *writer)
{
	return writer->rel->trigdesc != NULL || writer->rel->rd_rules != NULL || writer->table->has_unknown_parts;
}

/*
 * Open a table for writing: with ROW EXCLUSIVE until the transaction ends, as a
 * statement that writes does.
 */
static Writer
begin_writing(OwnTable *table)
{
	Writer writer = { .table = table };

	table_close(open_table(table), NoLock);
	writer.rel = table_open(table->relid, RowExclusiveLock);
	writer.slot = table_slot_create(writer.rel, NULL);
	return writer;
}

static void
end_writing(Writer *writer)
{
	ExecDropSingleTupleTableSlot(writer->slot);
	if (writer->estate != NULL)
	{
		ExecCloseIndices(writer->result);
		FreeExecutorState(writer->estate);
	}
	table_close(writer->rel, NoLock);

	/* The next command must see the rows. */
	CommandCounterIncrement();
}

/* Put the row into the slot, as a tuple of the table. */
static void
fill_slot(Writer *writer, const TableRow *row)
{
	const OwnTable *table = writer->table;
	TupleTableSlot *slot = writer->slot;
	TupleDesc		desc = RelationGetDescr(writer->rel);

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, desc->natts * sizeof(bool));
	for (int i = 0; i < table->count; i++)
	{
		int at = table->attnum[i] - 1;

		slot->tts_values[at] = row->column[i].value;
		slot->tts_isnull[at] = row->column[i].isnull;
		if (row->column[i].isnull && TupleDescAttr(desc, at)->attnotnull)
			elog(ERROR, "column \"%s\" of table \"%s\" must not be null", table->columns[i].name, table->name);
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(writer->rel);
	if (table->is_consistent != NULL && !table->is_consistent(row))
		elog(ERROR, "row of table \"%s\" is not consistent", table->name);
}

/*
 * Write the row's index entries.  "summaries": only those of summarizing
 * indexes such as BRIN, as the row stays on its page and no other index
 * changes.
 */
static void
write_index_entries(Writer *writer, bool is_update, bool summaries)
{
	if (writer->estate == NULL)
	{
		writer->estate = CreateExecutorState();
		writer->result = makeNode(ResultRelInfo);
		InitResultRelInfo(writer->result, writer->rel, 0, NULL, 0);
		ExecOpenIndices(writer->result, false);
	}
	(void) insert_index_entries(writer->result, writer->slot, writer->estate, is_update, summaries);
	ResetPerTupleExprContext(writer->estate);
}

static void
append_columns(StringInfo text, const OwnTable *table, int first)
{
	for (int i = first; i < table->count; i++)
		appendStringInfo(text, "%s%s", i == first ? "" : ", ", table->columns[i].name);
}

static Statement
make_statement(const StringInfoData *text, int nargs)
{
	Assert(nargs <= STATEMENT_MAX_ARGS);
	return (Statement){ .text = MemoryContextStrdup(TopMemoryContext, text->data),
						.nargs = nargs,
						.role = AS_EXTENSION };
}

#define AT_PLACE " WHERE ctid OPERATOR(pg_catalog.=) $%d"

/* Make the texts of a table's statements, once in a session. */
static void
make_statements(OwnTable *table)
{
	StringInfoData text;
	int			   changing = table->count - table->fixed;

	if (table->insert.text != NULL)
		return;

	initStringInfo(&text);
	appendStringInfo(&text, "UPDATE %s.%s SET (", MACHINERY_SCHEMA, table->name);
	append_columns(&text, table, table->fixed);
	appendStringInfoString(&text, ") = ROW(");
	for (int i = 1; i <= changing; i++)
		appendStringInfo(&text, "%s$%d", i == 1 ? "" : ", ", i);
	appendStringInfo(&text, ")" AT_PLACE " RETURNING ctid", changing + 1);
	table->update = make_statement(&text, changing + 1);
	for (int i = 0; i < changing; i++)
		table->update.argtypes[i] = table->columns[table->fixed + i].type;
	table->update.argtypes[changing] = TIDOID;

	resetStringInfo(&text);
	appendStringInfo(&text, "DELETE FROM %s.%s" AT_PLACE, MACHINERY_SCHEMA, table->name, 1);
	table->remove = make_statement(&text, 1);
	table->remove.argtypes[0] = TIDOID;

	resetStringInfo(&text);
	appendStringInfo(&text, "INSERT INTO %s.%s (", MACHINERY_SCHEMA, table->name);
	append_columns(&text, table, 0);
	appendStringInfoString(&text, ") VALUES (");
	for (int i = 1; i <= table->count; i++)
		appendStringInfo(&text, "%s$%d", i == 1 ? "" : ", ", i);
	appendStringInfoString(&text, ") RETURNING ctid");
	table->insert = make_statement(&text, table->count);
	for (int i = 0; i < table->count; i++)
		table->insert.argtypes[i] = table->columns[i].type;
	pfree(text.data);
}

static NullableDatum
place_of(const TableRow *row)
{
	return (NullableDatum){ .value = PointerGetDatum(&row->tid) };
}

static void
insert_by_statement(OwnTable *table, TableRow *row)
{
	NullableDatum tid;

	make_statements(table);
	if (!statement_fetch(&table->insert, NULL, row->column, &tid))
		elog(ERROR, "a row of table \"%s\" was not inserted", table->name);
	row->tid = *(ItemPointer) DatumGetPointer(tid.value);
}

/* table_insert: store new rows, a list of TableRow, and note their places in them. */
void
table_insert(OwnTable *table, List *rows)
{
	Writer	  writer;
	ListCell *lc;

	if (rows == NIL)
		return;
	writer = begin_writing(table);
	foreach(lc, rows)
	{
		TableRow *row = (TableRow *) lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		if (needs_statement(&writer))
		{
			insert_by_statement(table, row);
			continue;
		}
		fill_slot(&writer, row);
		table_tuple_insert(writer.rel, writer.slot, GetCurrentCommandId(true), 0, NULL);
		write_index_entries(&writer, false, false);
		row->tid = writer.slot->tts_tid;
	}
	end_writing(&writer);
}

static bool
update_by_statement(OwnTable *table, TableRow *row)
{
	NullableDatum args[TABLE_MAX_COLUMNS + 1];
	NullableDatum tid;
	int			  changing = table->count - table->fixed;

	make_statements(table);
	memcpy(args, row->column + table->fixed, changing * sizeof(NullableDatum));
	args[changing] = place_of(row);
	if (!statement_fetch(&table->update, NULL, args, &tid))
		return false;
	row->tid = *(ItemPointer) DatumGetPointer(tid.value);
	return true;
}

static bool
update_in_place(Writer *writer, TableRow *row)
{
	TM_FailureData	failure;
	LockTupleMode	lockmode;
	IndexUpdate		indexes;
	ItemPointerData place = row->tid;

	fill_slot(writer, row);
	if (update_row(writer->rel, &place, writer->slot, &failure, &lockmode, &indexes) != TM_Ok)
		return false;
	if (needs_index_entries(indexes))
		write_index_entries(writer, true, only_summaries(indexes));
	row->tid = writer->slot->tts_tid;
	return true;
}

/*
 * table_update
 *		Write a row's columns, and note its new place in it.  False: the row is
 *		no longer at its place.
 */
bool
table_update(OwnTable *table, TableRow *row)
{
	Writer writer = begin_writing(table);
	bool   updated;

	updated = needs_statement(&writer) ? update_by_statement(table, row) : update_in_place(&writer, row);
	end_writing(&writer);
	return updated;
}

/*
 * table_lock_row
 *		Lock a row for the rest of the transaction, as a statement that deletes
 *		it does.  False: it is no longer at its place; or, without "wait",
 *		another transaction has it locked.
 */
bool
table_lock_row(OwnTable *table, const TableRow *row, bool wait)
{
	Writer			writer = begin_writing(table);
	TM_FailureData	failure;
	ItemPointerData place = row->tid;
	TM_Result		result;

	result = table_tuple_lock(writer.rel, &place, GetActiveSnapshot(), writer.slot, GetCurrentCommandId(false),
							  LockTupleExclusive, wait ? LockWaitBlock : LockWaitSkip, 0, &failure);
	end_writing(&writer);
	return result == TM_Ok;
}

/* table_delete: delete a row; false: it is no longer at its place. */
bool
table_delete(OwnTable *table, const TableRow *row)
{
	NullableDatum arg = place_of(row);

	make_statements(table);
	return statement_run(&table->remove, NULL, &arg, NULL) > 0;
}

/* sequence_next: the next number of a sequence of the extension. */
int64
sequence_next(const char *sequence)
{
	Oid relid = get_relname_relid(sequence, get_namespace_oid(MACHINERY_SCHEMA, false));

	return nextval_internal(relid, false);
}
