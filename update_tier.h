/*-------------------------------------------------------------------------
 *
 * update_tier.h
 *	  What the files of the extension share.
 *
 * The first part is pure C.  The second is there only after postgres.h.
 * The third holds every difference between server versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef UPDATE_TIER_H
#define UPDATE_TIER_H

#include <stdbool.h>
#include <stddef.h>

/* ---- tier.c: the tiers, in rollout order ---- */

typedef enum Tier
{
	TIER_CANARY,
	TIER_PRODUCTION
} Tier;

#define TIER_COUNT	2

extern const char *const tier_names[TIER_COUNT];

extern bool tier_parse(const char *value, size_t length, Tier *tier);
extern const char *tier_near_miss(const char *value, size_t length);

#ifdef POSTGRES_H

#include "executor/spi.h"
#include "parser/parse_node.h"
#include "storage/lockdefs.h"
#include "utils/rel.h"

/* Fixed names.  The column's name is also the domain's and the schema's. */
#define MACHINERY_SCHEMA	"update_tier"
#define DOMAIN_CONSTRAINT	"canary_or_production"
#define TIER_COLUMN			"update_tier"
#define ID_COLUMN			"id"
#define DEFAULT_TIER		TIER_PRODUCTION

/* Bytes of a user's value that an error message quotes at most. */
#define QUOTED_VALUE_MAX	64

/* ---- update_tier.c: the module and its vocabulary ---- */

extern Oid	tier_domain_oid(void);
extern Tier tier_argument(NullableDatum value, const char *argument);
extern char *clipped(const char *value);

/* ---- workspaces.c: the attached table ---- */

/*
 * The attached table as this session last saw it.  "generation" changes
 * whenever a statement made for it would no longer be right.
 */
typedef struct WorkspacesTable
{
	bool		valid;			/* false: look again before use */
	uint64		generation;		/* of relid, name and live_when */
	Oid			attached_oid;	/* update_tier.attached itself */
	Oid			relid;			/* the workspaces table */
	char	   *name;			/* its qualified, quoted name */
	char	   *live_when;		/* canonical condition, or NULL: all rows */
} WorkspacesTable;

/* A row of update_tier.attached. */
typedef struct AttachedRow
{
	Oid			relid;			/* InvalidOid: nothing is attached */
	char	   *live_when;		/* palloc'd, or NULL */
} AttachedRow;

extern const WorkspacesTable *workspaces_lock(LOCKMODE mode);
extern const WorkspacesTable *workspaces_if_attached(LOCKMODE mode);
extern Oid	attached_table_oid(void);
extern AttachedRow attached_row(Oid attached_oid);
extern char *qualified_name(Oid relid);

/* ---- condition.c: conditions on the rows of one table ---- */

extern char *condition_canonical(Relation rel, const char *condition);
extern Node *condition_parse(Relation rel, const char *condition);
extern List *condition_as_predicate(Relation rel, const char *condition);
extern Node *condition_transform(ParseState *pstate, const char *condition);
extern int	enter_canonical_settings(void);

/* ---- statement.c: the one place that runs kept SPI plans ---- */

#define STATEMENT_MAX_ARGS	3

/*
 * A statement over the attached table, kept as a plan for the session.
 *
 * "text" names the table as $table and the condition on live rows as the
 * column $live; everything else in it is schema-qualified, operators
 * included.  The last fields belong to statement.c.
 */
typedef struct Statement
{
	const char *text;
	int			nargs;
	Oid			argtypes[STATEMENT_MAX_ARGS];
	bool		read_only;
	int			cursor_options;
	struct KeptPlan *kept;
} Statement;

extern uint64 statement_run(Statement *statement, const WorkspacesTable *table,
							const NullableDatum *args, DestReceiver *dest);
extern bool statement_fetch(Statement *statement, const WorkspacesTable *table,
							const NullableDatum *args, NullableDatum *row);
extern double statement_rows(Statement *statement, const WorkspacesTable *table);

/* ---- every difference between server versions ---- */

#if PG_VERSION_NUM < 150000
#error "update_tier needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM < 160000
#define relation_is_owned(relid, role)	pg_class_ownercheck(relid, role)
#else
#define relation_is_owned(relid, role)	object_ownercheck(RelationRelationId, relid, role)
#endif

#endif							/* POSTGRES_H */
#endif							/* UPDATE_TIER_H */
