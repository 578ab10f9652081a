/*-------------------------------------------------------------------------
 *
 * update_tier.h
 *	  What the files of the extension share.
 *
 * The first part is pure C.  The second is there only after postgres.h.
 * It begins with every difference between server versions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef UPDATE_TIER_H
#define UPDATE_TIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- tier.c: the tiers, in rollout order ---- */

typedef enum Tier
{
	TIER_CANARY,
	TIER_PRODUCTION
} Tier;

#define TIER_COUNT 2

extern const char *const tier_names[TIER_COUNT];

extern bool		   tier_parse(const char *value, size_t length, Tier *tier);
extern const char *tier_near_miss(const char *value, size_t length);

/* ---- phase.c: the phase of a rollout ---- */

typedef enum Phase
{
	PHASE_QUEUED,	 /* waits behind one that soaks */
	PHASE_CANARY,	 /* open to canaries */
	PHASE_SOAKING,	 /* enough canaries succeeded */
	PHASE_PROMOTED,	 /* open to everybody */
	PHASE_HALTED,	 /* stopped, until somebody decides */
	PHASE_ABORTED,	 /* ended by an operator */
	PHASE_SUPERSEDED /* ended by a newer version */
} Phase;

#define PHASE_COUNT 7

extern const char *const phase_names[PHASE_COUNT];

/*
 * What decides about the phase.  Moments are microseconds since whenever;
 * one that will not come is INT64_MAX (a timestamptz of infinity).
 */
typedef struct Timeline
{
	Phase	phase;		  /* when the row was written */
	bool	needs_canary; /* too few canaries have succeeded so far */
	int64_t turn_at;	  /* queued: when it gets its turn */
	int64_t soak_ends_at;
	int64_t superseded_at; /* promoted: when a newer one takes over */
	int64_t halts_at;	   /* one failure too many, unless reported */
} Timeline;

extern bool	 phase_parse(const char *name, Phase *phase);
extern Phase phase_at(const Timeline *timeline, int64_t moment);
extern bool	 phase_runs(Phase phase);
extern bool	 phase_open(Phase phase, Tier tier);

#ifdef POSTGRES_H

#include "executor/spi.h"
#include "parser/parse_node.h"
#include "storage/lock.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* ---- every difference between server versions ---- */

#if PG_VERSION_NUM < 150000
#error "update_tier needs PostgreSQL 15 or newer"
#endif

#if PG_VERSION_NUM < 170000
#define lock_is_held(tag, mode) LockHeldByMe(tag, mode)
#else
#define lock_is_held(tag, mode) LockHeldByMe(tag, mode, false)
#endif

#if PG_VERSION_NUM < 160000
#define local_backend_entry(n) pgstat_fetch_stat_local_beentry(n)
#else
#define local_backend_entry(n) pgstat_get_local_beentry_by_index(n)
#endif

#if PG_VERSION_NUM < 160000
#define relation_is_owned(relid, role) pg_class_ownercheck(relid, role)
#else
#define relation_is_owned(relid, role) object_ownercheck(RelationRelationId, relid, role)
#endif

#if PG_VERSION_NUM < 180000
#define pg_noreturn pg_attribute_noreturn()
#endif

#if PG_VERSION_NUM < 190000
#define begin_scan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL)
#else
#define begin_scan(rel, snapshot) table_beginscan(rel, snapshot, 0, NULL, SO_NONE)
#endif

/* Fixed names.  The column's name is also the domain's and the schema's. */
#define MACHINERY_SCHEMA  "update_tier"
#define DOMAIN_CONSTRAINT "canary_or_production"
#define TIER_COLUMN		  "update_tier"
#define ID_COLUMN		  "id"
#define DEFAULT_TIER	  TIER_PRODUCTION

/* Bytes of a user's value that an error message quotes at most. */
#define QUOTED_VALUE_MAX 64

/* ---- update_tier.c: the module and its vocabulary ---- */

extern bool notify_enabled;

extern Oid	 tier_domain_oid(void);
extern Tier	 tier_argument(NullableDatum value, const char *argument);
extern char *clipped(const char *value);

/* ---- node.c: is this the node that holds the extension's rows? ---- */

extern bool node_is_worker(void);
extern bool is_distributed(Oid relid);
extern void require_own_tables(FunctionCallInfo fcinfo);

/* ---- workspaces.c: the attached table ---- */

/*
 * The attached table as this session last saw it.  "generation" changes
 * whenever a statement made for it would no longer be right.
 */
typedef struct WorkspacesTable
{
	bool		valid;		  /* false: look again before use */
	TimestampTz read_for;	  /* the query in parallel that read it, or 0 */
	uint64		generation;	  /* of relid, name and live_when */
	Oid			attached_oid; /* update_tier.attached itself */
	Oid			relid;		  /* the workspaces table */
	Oid			owner;		  /* its owner */
	char	   *name;		  /* its qualified, quoted name */
	char	   *live_when;	  /* canonical condition, or NULL: all rows */
} WorkspacesTable;

/* A row of update_tier.attached. */
typedef struct AttachedRow
{
	Oid	  relid;	 /* InvalidOid: nothing is attached */
	char *live_when; /* palloc'd, or NULL */
} AttachedRow;

extern const WorkspacesTable *workspaces_lock(LOCKMODE mode);
extern Oid					  workspaces_seen(void);
extern Oid					  attached_table_oid(void);
extern AttachedRow			  attached_row(Oid attached_oid);
extern char					 *qualified_name(Oid relid);

/* ---- record.c: the record of changes ---- */

extern const pg_uuid_t *set_update_tier_writes;

/* ---- condition.c: conditions on the rows of one table ---- */

extern char *condition_canonical(Relation rel, const char *condition);
extern List *condition_as_predicate(Relation rel, const char *ours, const char *stored);
extern Node *condition_transform(ParseState *pstate, const char *condition);
extern int	 enter_canonical_settings(void);
extern bool	 is_users_function(Oid funcid, void *context);

/* ---- statement.c: the one place that runs kept SPI plans ---- */

#define STATEMENT_MAX_ARGS 32

/* With whose rights a statement runs. */
typedef enum StatementRole
{
	AS_CALLER,		/* and under the caller's row-level security */
	AS_TABLE_OWNER, /* of the workspaces table, as a foreign-key check */
	AS_EXTENSION	/* as the owner of the extension's own tables */
} StatementRole;

/*
 * A statement kept as a plan for the session, over the attached table or
 * over the extension's own.
 *
 * "text" names the attached table as $table and the condition on live rows
 * as the column $live; everything else in it is schema-qualified, operators
 * included.  The last field belongs to statement.c.
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

/* To act as somebody else for a moment; see become(). */
typedef struct Identity
{
	Oid user;
	int security_context;
} Identity;

extern Identity become(Oid role, int flags);
extern void		become_again(Identity caller);
extern Oid		relation_owner(Oid relid);
extern Oid		extension_owner(void);

extern uint64 statement_run(Statement *statement, const WorkspacesTable *table,
							const NullableDatum *args, DestReceiver *dest);
extern bool	  statement_fetch(Statement *statement, const WorkspacesTable *table,
							  const NullableDatum *args, NullableDatum *row);
extern List	 *statement_fetch_some(Statement *statement, const WorkspacesTable *table,
								   const NullableDatum *args, uint64 max_rows);
extern List	 *statement_fetch_all(Statement *statement, const WorkspacesTable *table,
								  const NullableDatum *args);
extern double statement_rows(Statement *statement, const WorkspacesTable *table);

/* ---- lookup.c: rows of our own tables, by key ---- */

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

/* ---- rollout.c: rollouts and what decides about them ---- */

/* One row of update_tier.rollout.  Moments that will not come are DT_NOEND. */
typedef struct Rollout
{
	int64			id;
	ItemPointerData tid; /* of the row as it was read or written last */
	char		   *package;
	char		   *version;
	int64			ordinal; /* the newest of a package has the highest */
	Timeline		timeline;
	int64			soak;  /* microseconds */
	int64			lease; /* microseconds */
	int32			min_successes;
	int32			max_failures;
	int32			max_in_flight;
	int32			max_attempts;
	bool			auto_promote;
	bool			require_canary;
	TimestampTz		promoted_at;
	TimestampTz		changed_at;				  /* its latest stamp */
	int32			succeeded[TIER_COUNT];	  /* workspaces */
	int32			failed[TIER_COUNT];		  /* workspaces */
	int32			acknowledged[TIER_COUNT]; /* of the failed, by resume */
	int32			in_flight[TIER_COUNT];	  /* leases, as of the last settling */
	TimestampTz		first_expiry;			  /* no lease runs out before */
	NullableDatum	position[TIER_COUNT];	  /* where claim_batch looks on */
	int64			due_position[TIER_COUNT]; /* and for further attempts */
	char		   *related;				  /* version it waits for or was replaced by */
	char		   *reason;					  /* of the last verb or halt */
	bool			dirty;					  /* differs from the row */
} Rollout;

/* A package under its lock, with the rollouts that can still change. */
typedef struct Package
{
	char	   *name;
	TimestampTz now;	  /* at which gates are read */
	TimestampTz clock;	  /* as it was when the lock was granted */
	TimestampTz stamp;	  /* for what is written; never before any other */
	List	   *rollouts; /* of Rollout *, oldest first */
} Package;

#define NO_DATUM ((NullableDatum){ .isnull = true })

extern NullableDatum text_value(const char *value);
extern NullableDatum int64_value(int64 value);
extern char			*name_argument(NullableDatum value, const char *argument);
extern bool			 name_is_possible(const char *name);
extern char			*optional_text(NullableDatum value);
extern char			*reason_argument(NullableDatum value);
extern char			*detail_argument(NullableDatum value);
extern TimestampTz	 moment_after(TimestampTz moment, int64 microseconds);

extern bool				package_is_locked(const char *name);
extern Package		   *package_lock(const char *name, const char *command);
extern Rollout		   *package_find(Package *package, const char *version);
extern bool				rollout_is_ours(const Rollout *rollout, bool wait);
extern Rollout		   *package_start(Package *package, const char *version);
extern void				package_save(Package *package);
extern bool				rollout_of_execution(int64 rollout, char **package, char **version);
extern Rollout		   *rollout_read(const char *package, const char *version);
extern Rollout		   *rollout_soaking(const char *package, TimestampTz moment);
extern void				rollout_evidence_changed(Package *package, Rollout *rollout);
pg_noreturn extern void refuse_old_snapshot(const char *detail);
extern void				refuse_unknown_rollout(const char *package, const char *version);
extern void				event_add(Package *package, const Rollout *rollout, const char *kind,
								  NullableDatum workspace, NullableDatum token, const char *detail);

/* What operator.c needs of it. */

/* An equality of texts in a statement, and the settings of a policy in order. */
#define TEXT_IS(column, value) column " OPERATOR(pg_catalog.=) " value
#define POLICY_COLUMNS \
	"soak, min_successes, max_failures, max_in_flight, max_attempts, lease, auto_promote, require_canary"

extern void			 enter_phase(Package *package, Rollout *rollout, Phase phase, const char *detail);
extern void			 event_note(Package *package, const Rollout *rollout, const char *kind, const char *detail);
extern void			 halt_rollout(Package *package, Rollout *rollout, const char *reason);
extern int64		 interval_microseconds(const Interval *interval);
extern NullableDatum moment_value(TimestampTz value);
extern void			 stop_clock(Rollout *rollout);
extern void			 admit(Package *package, Rollout *rollout);
extern Rollout		*package_renew(Package *package, Rollout *rollout, char *reason);
extern Datum		 present_phase(const Package *package, const Rollout *rollout);

/* ---- execution.c: claims and reports ---- */

typedef enum State
{
	STATE_CLAIMED,
	STATE_SUCCEEDED,
	STATE_ERROR,
	STATE_FAILED,
	STATE_EXPIRED
} State;

typedef enum Evidence
{
	EVIDENCE_NONE,
	EVIDENCE_SUCCEEDED,
	EVIDENCE_FAILED
} Evidence;

/* A row of update_tier.execution. */
typedef struct Execution
{
	int64		rollout;
	Datum		workspace;
	Tier		tier; /* when it was claimed */
	int32		attempt;
	int64		token;
	State		state;
	TimestampTz lease_until;
	Evidence	evidence;
	Tier		evidence_tier; /* when what the evidence is of was claimed */
	bool		acknowledged;  /* the failure, by resume */
	char	   *installed_version;
	char	   *detail;
} Execution;

/*
 * A workspace that is live: its tier.  Here and below, a NULL where an owner
 * has dropped the column's NOT NULL is no tier, and no workspace.
 */
#define LIVE_TIER \
	"SELECT w.update_tier FROM $table AS w" \
	" WHERE w.id OPERATOR(pg_catalog.=) $1 AND w.update_tier IS NOT NULL AND \"$live\""

extern Tier		  tier_from_text(Datum value);
extern Execution *execution_seen(int64 rollout, NullableDatum workspace);
extern bool		  executions_expire(Package *package, Rollout *rollout);
extern void		  executions_acknowledge(Rollout *rollout);
extern void		  executions_clear(Package *package, Rollout *rollout);
extern void		  executions_predict_halt(Rollout *rollout);

#endif /* POSTGRES_H */
#endif /* UPDATE_TIER_H */
