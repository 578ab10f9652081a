/*-------------------------------------------------------------------------
 *
 * server/statement.h
 *	  The one place that runs kept SPI plans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef SERVER_STATEMENT_H
#define SERVER_STATEMENT_H

#include "executor/spi.h"
#include "parser/parse_node.h"

#define STATEMENT_MAX_ARGS 50

/* With whose rights a statement runs. */
typedef enum StatementRole
{
	AS_CALLER,		/* and under the caller's row-level security */
	AS_TABLE_OWNER, /* of the workspaces table, as a foreign-key check */
	AS_EXTENSION	/* as the owner of the extension's own tables */
} StatementRole;

/* Analyses the condition on live rows inside a query on the table. */
typedef Node *(*TableCondition)(ParseState *pstate, const char *live_when);

/*
 * The table that a statement is over.  "generation" changes whenever a plan
 * made for it would no longer be right.
 */
typedef struct StatementTable
{
	uint64		   generation; /* of the table, its name and its condition */
	const char	  *name;	   /* qualified and quoted */
	Oid			   owner;
	const char	  *live_when; /* condition on live rows, or NULL: all rows */
	TableCondition condition;
} StatementTable;

/*
 * A statement that is kept as a plan for the session, over a StatementTable or
 * over the extension's own tables.
 *
 * "text" names the table as $table and the condition on live rows as the column
 * $live.  Every other name in it is schema-qualified, operators included.  The
 * last field belongs to statement.c.
 */
typedef struct Statement
{
	const char		*text;
	int				 nargs;
	Oid				 argtypes[STATEMENT_MAX_ARGS];
	bool			 read_only;
	StatementRole	 role;
	int				 cursor_options;
	struct KeptPlan *kept;
} Statement;

extern uint64 statement_run(Statement *statement, const StatementTable *table,
							const NullableDatum *args, DestReceiver *dest);
extern bool	  statement_fetch(Statement *statement, const StatementTable *table,
							  const NullableDatum *args, NullableDatum *row);
extern List	 *statement_fetch_some(Statement *statement, const StatementTable *table,
								   const NullableDatum *args, uint64 max_rows);
extern List	 *statement_fetch_all(Statement *statement, const StatementTable *table,
								  const NullableDatum *args);
extern double statement_rows(Statement *statement, const StatementTable *table);

#endif
