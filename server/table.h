/*-------------------------------------------------------------------------
 *
 * server/table.h
 *	  Rows of the extension's own tables: found by key, inserted, updated.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_TABLE_H
#define SERVER_TABLE_H

#include "postgres.h"

#include "access/htup.h"
#include "access/stratnum.h"
#include "nodes/pg_list.h"
#include "storage/itemptr.h"

#include "server/statement.h"

#define TABLE_MAX_COLUMNS 48
#define TABLE_INDEX_KEYS  3

typedef struct TableColumn
{
	const char *name;
	Oid			type; /* of its values: the base type of a domain */
} TableColumn;

/* A row: its place, and its columns in the order of the list. */
typedef struct TableRow
{
	ItemPointerData tid; /* invalid: not stored yet */
	NullableDatum	column[FLEXIBLE_ARRAY_MEMBER];
} TableRow;

/*
 * A table of the schema update_tier.  "columns" is the one list of its columns
 * in C; where they are in the table is looked up by name.  The first "fixed" of
 * them never change.  The other fields belong to table.c.
 */
typedef struct OwnTable
{
	const char		  *name;
	int				   count;
	int				   fixed;
	const TableColumn *columns;
	bool (*is_consistent)(const TableRow *row); /* the table's CHECK, or NULL */

	Oid		   relid;	   /* InvalidOid: look again */
	uint64	   generation; /* changes when rows may have moved */
	bool	   has_unknown_parts;
	AttrNumber attnum[TABLE_MAX_COLUMNS];
	Statement  insert;
	Statement  update;
	Statement  remove;
} OwnTable;

/*
 * An index of a table, and what its leading columns are compared with.  The
 * last field belongs to table.c.
 */
typedef struct TableIndex
{
	OwnTable   *table;
	const char *name;
	bool		descending;
	int			nkeys;
	struct
	{
		int			   column; /* in the table's list */
		StrategyNumber strategy;
		RegProcedure   procedure;
	} keys[TABLE_INDEX_KEYS];
	Oid relid; /* InvalidOid: look again */
} TableIndex;

/* Which version of a row is seen. */
typedef enum Seen
{
	SEEN_BY_STATEMENT, /* with the active snapshot: for gates, and under a package's lock */
	SEEN_NOW,		   /* as a new statement of this transaction would see it */
	SEEN_LATEST		   /* the committed one, whatever the transaction's snapshot shows */
} Seen;

#define ALL_ROWS 0

extern List		 *table_rows(TableIndex *index, const NullableDatum *keys, Seen seen, int64 at_most);
extern TableRow	 *table_row(TableIndex *index, const NullableDatum *keys, Seen seen);
extern TableRow **table_row_of_each(TableIndex *index, const NullableDatum *keys, int count, Seen seen);
extern TableRow	 *table_row_at(OwnTable *table, const ItemPointerData *tid);
extern uint64	  table_generation(const OwnTable *table);
extern TableRow	 *table_new_row(const OwnTable *table);
extern void		  table_insert(OwnTable *table, List *rows);
extern bool		  table_update(OwnTable *table, TableRow *row);
extern bool		  table_lock_row(OwnTable *table, const TableRow *row, bool wait);
extern bool		  table_delete(OwnTable *table, const TableRow *row);
extern TableRow	 *table_record(OwnTable *table, HeapTupleHeader record);
extern int64	  sequence_next(const char *sequence);

#endif /* SERVER_TABLE_H */
