/*-------------------------------------------------------------------------
 *
 * execution.c
 *	  Workspaces getting a version: claims, reports, and how far it is.
 *
 * An execution is a rollout's dealings with one workspace.  A claim makes an
 * attempt: it leases the workspace to whoever applies the update, and a
 * report ends the attempt.  What is known of the workspace so far, over all
 * attempts, is its evidence: none, succeeded, or failed.
 *
 * An error, or a lease that expired, is no evidence: nobody knows.  But the
 * last attempt that ends so counts as a failure, or an update that makes
 * workspaces unreachable would never be stopped.
 *
 * The workspaces table is read as its owner, the way foreign-key checks do:
 * an applier needs no right on it.  No row of it is locked; a workspace that
 * is flipped or deleted just after it was looked at is one that was claimed
 * a moment earlier.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lockdefs.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "old_rollout.h"

PG_FUNCTION_INFO_V1(update_tier_claim);
PG_FUNCTION_INFO_V1(update_tier_claim_batch);
PG_FUNCTION_INFO_V1(update_tier_report);
PG_FUNCTION_INFO_V1(update_tier_progress);
PG_FUNCTION_INFO_V1(update_tier_execution_is_consistent);

static const char *const state_names[] = {
	[STATE_CLAIMED] = "claimed",
	[STATE_SUCCEEDED] = "succeeded",
	[STATE_ERROR] = "error",
	[STATE_FAILED] = "failed",
	[STATE_EXPIRED] = "expired",
};

static const char *const evidence_names[] = {
	[EVIDENCE_NONE] = NULL,
	[EVIDENCE_SUCCEEDED] = "succeeded",
	[EVIDENCE_FAILED] = "failed",
};


/* ---------------------------------------------------------------------
 * Rows
 * ---------------------------------------------------------------------
 */

/* The ctid and the columns of update_tier.execution, as the install script orders them. */
enum
{
	EXECUTION_CTID,
	EXECUTION_ROLLOUT,
	EXECUTION_WORKSPACE,
	EXECUTION_TIER,
	EXECUTION_ATTEMPT,
	EXECUTION_TOKEN,
	EXECUTION_STATE,
	EXECUTION_LEASE_UNTIL,
	EXECUTION_CHANGED_AT,
	EXECUTION_DUE,
	EXECUTION_EVIDENCE,
	EXECUTION_EVIDENCE_TIER,
	EXECUTION_ACKNOWLEDGED,
	EXECUTION_INSTALLED_VERSION,
	EXECUTION_DETAIL
};

/* All of them, in that order. */
#define EXECUTION_COLUMNS \
	" e.ctid, e.rollout, e.workspace, e.tier, e.attempt, e.token, e.state, e.lease_until, e.changed_at, e.due," \
	" e.evidence, e.evidence_tier, e.acknowledged, e.installed_version, e.detail "

static Lookup by_workspace = {
	.table = "execution",
	.index = "execution_pkey",
	.nkeys = 2,
	.keys = { { EXECUTION_ROLLOUT, F_INT8EQ }, { EXECUTION_WORKSPACE, F_UUID_EQ } },
};

static Lookup by_token = {
	.table = "execution",
	.index = "one_token",
	.nkeys = 1,
	.keys = { { EXECUTION_TOKEN, F_INT8EQ } },
};

/*
 * The lease that runs out next.  Those that ended leave dead entries at this
 * end of the index, so this is not asked for by every call: see first_expiry.
 */
static Statement load_first_expiry = {
	.text = "SELECT e.lease_until FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.state OPERATOR(pg_catalog.=) 'claimed'"
			" ORDER BY e.lease_until LIMIT 1",
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

static Statement load_expired = {
	.text = "SELECT" EXECUTION_COLUMNS "FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.state OPERATOR(pg_catalog.=) 'claimed'"
			" AND e.lease_until OPERATOR(pg_catalog.<=) $2 ORDER BY e.lease_until",
	.nargs = 2,
	.argtypes = { INT8OID, TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

/*
 * Last attempts whose expiry would be a failure that is not counted yet, in that
 * order, with the tier where one of an earlier attempt would not be counted
 * any more.
 */
static Statement load_last_attempts = {
	.text = "SELECT e.tier, e.lease_until,"
			" CASE WHEN e.evidence OPERATOR(pg_catalog.=) 'failed' AND NOT e.acknowledged THEN e.evidence_tier END"
			" FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.state OPERATOR(pg_catalog.=) 'claimed'"
			" AND e.attempt OPERATOR(pg_catalog.>=) $2"
			" AND (e.evidence IS NULL OR e.evidence OPERATOR(pg_catalog.<>) 'failed' OR e.acknowledged"
			"  OR e.evidence_tier OPERATOR(pg_catalog.<>) e.tier) ORDER BY e.lease_until",
	.nargs = 2,
	.argtypes = { INT8OID, INT4OID },
	.role = AS_EXTENSION,
};

/*
 * Lease those of these workspaces that were never claimed, in their order, and
 * no more of them than $6.  (An EXISTS would become a join, whose plan could
 * stay one for a table as small as it was when the plan was made.)
 */
static Statement insert_executions = {
	.text = "INSERT INTO update_tier.execution"
			" (rollout, workspace, tier, attempt, token, state, lease_until, changed_at, due)"
			" SELECT $1, c.id, $3, 1, pg_catalog.nextval('update_tier.execution_token'), 'claimed', $4, $5, false"
			" FROM (SELECT u.id FROM pg_catalog.unnest($2) WITH ORDINALITY AS u (id, n)"
			"  WHERE (SELECT e.token FROM update_tier.execution AS e WHERE e.rollout OPERATOR(pg_catalog.=) $1"
			"   AND e.workspace OPERATOR(pg_catalog.=) u.id) IS NULL ORDER BY u.n LIMIT $6) AS c"
			" RETURNING workspace, token",
	.nargs = 6,
	.argtypes = { INT8OID, UUIDARRAYOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID },
	.role = AS_EXTENSION,
};

/* Lease one again. */
static Statement renew_lease = {
	.text = "UPDATE update_tier.execution AS e SET tier = $3, attempt = $4,"
			" token = pg_catalog.nextval('update_tier.execution_token'), state = 'claimed',"
			" lease_until = $5, changed_at = $6, due = false, installed_version = NULL, detail = NULL"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.workspace OPERATOR(pg_catalog.=) $2"
			" RETURNING e.token",
	.nargs = 6,
	.argtypes = { INT8OID, UUIDOID, TEXTOID, INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

static Statement save_execution = {
	.text = "UPDATE update_tier.execution AS e SET state = $3, changed_at = $4, due = $5,"
			" evidence = $6, evidence_tier = $7, acknowledged = $8, installed_version = $9, detail = $10"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.workspace OPERATOR(pg_catalog.=) $2",
	.nargs = 10,
	.argtypes = { INT8OID, UUIDOID, TEXTOID, TIMESTAMPTZOID, BOOLOID, TEXTOID, TEXTOID,
				  BOOLOID, TEXTOID, TEXTOID },
	.role = AS_EXTENSION,
};

static Statement acknowledge = {
	.text = "UPDATE update_tier.execution AS e SET acknowledged = true"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.evidence OPERATOR(pg_catalog.=) 'failed'"
			" AND NOT e.acknowledged",
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

/*
 * Tokens that somebody may still report with, and is then to be told that they
 * were replaced, and not that they never were.
 */
static Statement note_all_replaced = {
	.text = "INSERT INTO update_tier.event (at, actor, kind, package, version, workspace, token, detail)"
			" SELECT $2, $3, 'replaced', $4, $5, e.workspace, e.token, e.state FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1"
			" AND e.state OPERATOR(pg_catalog.=) ANY (ARRAY['claimed', 'expired']) ORDER BY e.token",
	.nargs = 5,
	.argtypes = { INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID },
	.role = AS_EXTENSION,
};

static Statement delete_executions = {
	.text = "DELETE FROM update_tier.execution AS e WHERE e.rollout OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

static Statement replaced_token = {
	.text = "SELECT v.package, v.version FROM update_tier.event AS v"
			" WHERE v.token OPERATOR(pg_catalog.=) $1 AND v.kind OPERATOR(pg_catalog.=) 'replaced' LIMIT 1",
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

static Statement load_tier = {
	.text = LIVE_TIER,
	.nargs = 1,
	.argtypes = { UUIDOID },
	.role = AS_TABLE_OWNER,
};

static Execution *
execution_from_row(const NullableDatum *row)
{
	Execution *execution = palloc0_object(Execution);
	char	  *state = TextDatumGetCString(row[EXECUTION_STATE].value);

	execution->rollout = DatumGetInt64(row[EXECUTION_ROLLOUT].value);
	execution->workspace = row[EXECUTION_WORKSPACE].value;
	execution->tier = tier_from_text(row[EXECUTION_TIER].value);
	execution->attempt = DatumGetInt32(row[EXECUTION_ATTEMPT].value);
	execution->token = DatumGetInt64(row[EXECUTION_TOKEN].value);
	for (int i = 0; i < lengthof(state_names); i++)
	{
		if (strcmp(state, state_names[i]) == 0)
			execution->state = (State) i;
	}
	execution->lease_until = DatumGetTimestampTz(row[EXECUTION_LEASE_UNTIL].value);
	if (!row[EXECUTION_EVIDENCE].isnull)
	{
		char *evidence = TextDatumGetCString(row[EXECUTION_EVIDENCE].value);

		execution->evidence = strcmp(evidence, evidence_names[EVIDENCE_SUCCEEDED]) == 0 ?
			EVIDENCE_SUCCEEDED :
			EVIDENCE_FAILED;
		execution->evidence_tier = tier_from_text(row[EXECUTION_EVIDENCE_TIER].value);
	}
	execution->acknowledged = DatumGetBool(row[EXECUTION_ACKNOWLEDGED].value);
	execution->installed_version = optional_text(row[EXECUTION_INSTALLED_VERSION]);
	execution->detail = optional_text(row[EXECUTION_DETAIL]);
	return execution;
}

static Execution *
execution_found(List *rows)
{
	return rows == NIL ? NULL : execution_from_row(linitial(rows));
}

/*
 * execution_seen
 *		What the running statement sees of a workspace in a rollout, or NULL.
 */
Execution *
execution_seen(int64 rollout, NullableDatum workspace)
{
	NullableDatum keys[2] = { int64_value(rollout), workspace };

	return execution_found(lookup_seen(&by_workspace, keys));
}

/*
 * update_tier.is_consistent(execution update_tier.execution) returns boolean
 *
 * What must hold between the columns of a row: the CHECK of the table.
 */
Datum
update_tier_execution_is_consistent(PG_FUNCTION_ARGS)
{
	NullableDatum *row = lookup_record(PG_GETARG_HEAPTUPLEHEADER(0));
	Execution	  *execution;

	/* Not a row of the table, where these are NOT NULL. */
	for (int i = EXECUTION_ROLLOUT; i < EXECUTION_EVIDENCE; i++)
	{
		if (row[i].isnull)
			PG_RETURN_BOOL(false);
	}
	if (row[EXECUTION_ACKNOWLEDGED].isnull ||
		row[EXECUTION_EVIDENCE].isnull != row[EXECUTION_EVIDENCE_TIER].isnull)
		PG_RETURN_BOOL(false);

	execution = execution_from_row(row);
	if (execution->state == STATE_SUCCEEDED && execution->evidence != EVIDENCE_SUCCEEDED)
		PG_RETURN_BOOL(false);
	if (execution->state == STATE_FAILED && execution->evidence != EVIDENCE_FAILED)
		PG_RETURN_BOOL(false);
	if (DatumGetBool(row[EXECUTION_DUE].value) &&
		(execution->state == STATE_CLAIMED || execution->evidence == EVIDENCE_SUCCEEDED))
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(!execution->acknowledged || execution->evidence == EVIDENCE_FAILED);
}

static void
write_execution(const Package *package, const Rollout *rollout, const Execution *execution)
{
	bool due = execution->state != STATE_CLAIMED &&
		execution->evidence != EVIDENCE_SUCCEEDED &&
		execution->attempt < rollout->max_attempts;
	NullableDatum args[10] = {
		int64_value(execution->rollout),
		{ .value = execution->workspace },
		text_value(state_names[execution->state]),
		{ .value = TimestampTzGetDatum(package->stamp) },
		{ .value = BoolGetDatum(due) },
		text_value(evidence_names[execution->evidence]),
		text_value(execution->evidence == EVIDENCE_NONE ? NULL : tier_names[execution->evidence_tier]),
		{ .value = BoolGetDatum(execution->acknowledged) },
		text_value(execution->installed_version),
		text_value(execution->detail)
	};

	statement_run(&save_execution, NULL, args, NULL);
}

/*
 * Change what is known of a workspace, and the rollout's counters with it.
 * Evidence counts for the tier that the workspace had when it was claimed.
 */
static void
set_evidence(Rollout *rollout, Execution *execution, Evidence evidence)
{
	Tier tier = execution->evidence_tier;

	if (execution->evidence == EVIDENCE_SUCCEEDED)
		rollout->succeeded[tier]--;
	else if (execution->evidence == EVIDENCE_FAILED)
	{
		rollout->failed[tier]--;
		if (execution->acknowledged)
			rollout->acknowledged[tier]--;
	}

	execution->evidence = evidence;
	execution->evidence_tier = execution->tier;
	execution->acknowledged = false;
	if (evidence == EVIDENCE_SUCCEEDED)
		rollout->succeeded[execution->tier]++;
	else if (evidence == EVIDENCE_FAILED)
		rollout->failed[execution->tier]++;
}

/* The last attempt counts as a failure if nobody knows how it ended. */
static bool
is_last_attempt(const Rollout *rollout, const Execution *execution)
{
	return execution->attempt >= rollout->max_attempts;
}

/*
 * executions_expire
 *		Take back leases that have run out, by the clock: a transaction that
 *		has been open for long knows no less than others do.  True: there were
 *		some.
 */
bool
executions_expire(Package *package, Rollout *rollout)
{
	NullableDatum args[2] = { int64_value(rollout->id),
							  { .value = TimestampTzGetDatum(package->clock) } };
	NullableDatum next;
	List		 *rows;
	ListCell	 *lc;

	if (rollout->first_expiry > package->clock || !rollout_is_ours(rollout, false))
		return false;
	rows = statement_fetch_all(&load_expired, NULL, args);

	foreach(lc, rows)
	{
		Execution *execution = execution_from_row(lfirst(lc));

		CHECK_FOR_INTERRUPTS();
		rollout->in_flight[execution->tier]--;
		execution->state = STATE_EXPIRED;
		if (is_last_attempt(rollout, execution))
		{
			set_evidence(rollout, execution, EVIDENCE_FAILED);
			event_add(package, rollout, "failed", (NullableDatum){ .value = execution->workspace },
					  int64_value(execution->token), "the lease of the last attempt expired");
		}
		write_execution(package, rollout, execution);
	}
	rollout->first_expiry = statement_fetch(&load_first_expiry, NULL, args, &next) ?
		DatumGetTimestampTz(next.value) :
		DT_NOEND;
	rollout->dirty = true;
	if (rows == NIL)
		return false;
	rollout_evidence_changed(package, rollout);
	executions_predict_halt(rollout);
	return true;
}

/*
 * executions_predict_halt
 *		When will expiring leases have halted the rollout, if nobody reports?
 */
void
executions_predict_halt(Rollout *rollout)
{
	NullableDatum args[2] = { int64_value(rollout->id),
							  { .value = Int32GetDatum(rollout->max_attempts) } };
	TimestampTz	  halts_at = DT_NOEND;
	int			  left[TIER_COUNT];
	ListCell	 *lc;

	if ((phase_runs(rollout->timeline.phase) || rollout->timeline.phase == PHASE_QUEUED) &&
		rollout->in_flight[TIER_CANARY] + rollout->in_flight[TIER_PRODUCTION] > 0)
	{
		for (int tier = 0; tier < TIER_COUNT; tier++)
			left[tier] = rollout->max_failures -
				(rollout->failed[tier] - rollout->acknowledged[tier]);
		foreach(lc, statement_fetch_all(&load_last_attempts, NULL, args))
		{
			NullableDatum *row = (NullableDatum *) lfirst(lc);

			if (!row[2].isnull)
				left[tier_from_text(row[2].value)]++;
			if (left[tier_from_text(row[0].value)]-- == 0)
			{
				halts_at = DatumGetTimestampTz(row[1].value);
				break;
			}
		}
	}
	if (rollout->timeline.halts_at != halts_at)
	{
		rollout->timeline.halts_at = halts_at;
		rollout->dirty = true;
	}
}

/* executions_acknowledge: the failures so far no longer halt the rollout. */
void
executions_acknowledge(Rollout *rollout)
{
	NullableDatum args[1] = { int64_value(rollout->id) };

	statement_run(&acknowledge, NULL, args, NULL);
}

/*
 * The token is no longer the execution's.  Who reports with it must be told
 * so, and not that it never was.
 */
static void
note_replaced(Package *package, const Rollout *rollout, const Execution *execution)
{
	event_add(package, rollout, "replaced", (NullableDatum){ .value = execution->workspace },
			  int64_value(execution->token), state_names[execution->state]);
}

/* executions_clear: forget all evidence. */
void
executions_clear(Package *package, Rollout *rollout)
{
	NullableDatum args[5] = {
		int64_value(rollout->id),
		{ .value = TimestampTzGetDatum(package->stamp) },
		text_value(GetUserNameFromId(GetUserId(), false)),
		text_value(package->name),
		text_value(rollout->version)
	};

	statement_run(&note_all_replaced, NULL, args, NULL);
	statement_run(&delete_executions, NULL, args, NULL);
}


/* ---------------------------------------------------------------------
 * Claims
 * ---------------------------------------------------------------------
 */

/* How many leases may still be given out? */
static int
budget_left(const Rollout *rollout)
{
	return rollout->max_in_flight -
		rollout->in_flight[TIER_CANARY] - rollout->in_flight[TIER_PRODUCTION];
}

static NullableDatum
uuid_array(const Datum *ids, int count)
{
	return (NullableDatum){
		.value = PointerGetDatum(construct_array(unconstify(Datum *, ids), count, UUIDOID,
												 UUID_LEN, false, TYPALIGN_CHAR))
	};
}

static NullableDatum
lease_end(const Package *package, const Rollout *rollout)
{
	return (NullableDatum){
		.value = TimestampTzGetDatum(moment_after(package->stamp, rollout->lease))
	};
}

/* So many leases more are out. */
static void
count_leases(Package *package, Rollout *rollout, Tier tier, int leases)
{
	rollout->in_flight[tier] += leases;
	rollout->first_expiry = Min(rollout->first_expiry,
								moment_after(package->stamp, rollout->lease));
	rollout->changed_at = package->stamp;
	rollout->dirty = true;
}

/*
 * Lease those of these workspaces that were never claimed, in their order,
 * and at most so many.  Returns rows of workspace and token.
 */
static List *
grant_first(Package *package, Rollout *rollout, const Datum *workspaces, int count,
			Tier tier, int64 at_most)
{
	NullableDatum args[6] = {
		int64_value(rollout->id),
		uuid_array(workspaces, count),
		text_value(tier_names[tier]),
		lease_end(package, rollout),
		{ .value = TimestampTzGetDatum(package->stamp) },
		int64_value(at_most)
	};
	List *rows = statement_fetch_all(&insert_executions, NULL, args);

	if (rows != NIL)
		count_leases(package, rollout, tier, list_length(rows));
	return rows;
}

/* Lease a workspace for one attempt more, and return the token. */
static int64
grant_again(Package *package, Rollout *rollout, Tier tier, Execution *execution)
{
	NullableDatum args[6] = {
		int64_value(rollout->id),
		{ .value = execution->workspace },
		text_value(tier_names[tier]),
		{ .value = Int32GetDatum(execution->attempt + 1) },
		lease_end(package, rollout),
		{ .value = TimestampTzGetDatum(package->stamp) }
	};
	NullableDatum token;

	note_replaced(package, rollout, execution);
	if (!statement_fetch(&renew_lease, NULL, args, &token))
		elog(ERROR, "execution to be claimed again is gone");
	count_leases(package, rollout, tier, 1);
	return DatumGetInt64(token.value);
}

/* May a workspace of this tier be leased, as far as the rollout goes? */
static bool
may_claim(const Package *package, const Rollout *rollout, Tier tier)
{
	return phase_open(phase_at(&rollout->timeline, package->now), tier) &&
		budget_left(rollout) > 0;
}

/* And as far as its own past goes? */
static bool
is_due(const Rollout *rollout, const Execution *execution)
{
	return execution == NULL ||
		(execution->state != STATE_CLAIMED &&
		 execution->evidence != EVIDENCE_SUCCEEDED &&
		 execution->attempt < rollout->max_attempts);
}

/*
 * update_tier.claim(package, version, workspace) returns bigint
 *
 * The token of a lease, or NULL.
 *
 * Errors: 22004 and 22023 for a package or version that is none, 55000 when
 * no table is attached.
 */
Datum
update_tier_claim(PG_FUNCTION_ARGS)
{
	char				  *name = name_argument(fcinfo->args[0], "package");
	char				  *version = name_argument(fcinfo->args[1], "version");
	const WorkspacesTable *table;
	Package				  *package;
	Rollout				  *rollout;
	NullableDatum		   value;
	Tier				   tier;
	int64				   token = 0;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (fcinfo->args[2].isnull)
		PG_RETURN_NULL();

	package = package_lock(name, "update_tier.claim()");

	/* Under the lock, so that who waited for it sees the tier of now. */
	if (!statement_fetch(&load_tier, &table->statement_table, &fcinfo->args[2], &value))
	{
		package_save(package);
		PG_RETURN_NULL();
	}
	tier = tier_from_text(value.value);

	rollout = package_start(package, version);
	executions_expire(package, rollout);
	if (may_claim(package, rollout, tier))
	{
		NullableDatum keys[2] = { int64_value(rollout->id), fcinfo->args[2] };
		Execution	 *execution = execution_found(lookup_now(&by_workspace, keys));

		if (is_due(rollout, execution))
		{
			int	  attempt = execution ? execution->attempt + 1 : 1;
			List *rows = NIL;

			if (execution != NULL)
				token = grant_again(package, rollout, tier, execution);
			else
				rows = grant_first(package, rollout, &fcinfo->args[2].value, 1, tier, 1);
			if (rows != NIL)
				token = DatumGetInt64(((NullableDatum *) linitial(rows))[1].value);
			if (attempt >= rollout->max_attempts)
				executions_predict_halt(rollout);
		}
	}
	package_save(package);
	if (token == 0)
		PG_RETURN_NULL();
	PG_RETURN_INT64(token);
}

/*
 * How many workspaces claim_batch() looks at, at most, to find one that was
 * never claimed: the sweep is resumed at the next call and comes round, so
 * that one which is new, or was flipped, is found wherever it is.  Together
 * with the batch this bounds the cost of a call whatever the fleet's size.
 */
#define SWEEP_MIN		1000
#define SWEEP_PER_CLAIM 4

/*
 * How many it looks at in one go, a constant in the text so that the planner
 * knows it.  When all of them are due this is about what a usual call needs.
 */
#define SWEEP_CHUNK		 50
#define SWEEP_CHUNK_TEXT "50"

#define SWEEP(tier) \
	"SELECT w.id FROM $table AS w WHERE w.update_tier OPERATOR(pg_catalog.=) '" tier "'" \
	" AND \"$live\" AND w.id OPERATOR(pg_catalog.>=) $1 ORDER BY w.id LIMIT " SWEEP_CHUNK_TEXT

static Statement sweep_on[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = SWEEP("canary"),
		.nargs = 1,
		.argtypes = { UUIDOID },
		.role = AS_TABLE_OWNER,
	},
	[TIER_PRODUCTION] = {
		.text = SWEEP("production"),
		.nargs = 1,
		.argtypes = { UUIDOID },
		.role = AS_TABLE_OWNER,
	}
};

/* Attempts that ended without success, oldest first. */
static Statement load_due = {
	.text = "SELECT" EXECUTION_COLUMNS "FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.due"
			" AND e.token OPERATOR(pg_catalog.>) $2 ORDER BY e.token LIMIT " SWEEP_CHUNK_TEXT,
	.nargs = 2,
	.argtypes = { INT8OID, INT8OID },
	.role = AS_EXTENSION,
};

/* Of these workspaces: which are live, and in this tier? */
static Statement live_of[TIER_COUNT] = {
	[TIER_CANARY] = {
		.text = "SELECT w.id FROM $table AS w WHERE w.id OPERATOR(pg_catalog.=) ANY ($1)"
				" AND w.update_tier OPERATOR(pg_catalog.=) 'canary' AND \"$live\"",
		.nargs = 1,
		.argtypes = { UUIDARRAYOID },
		.role = AS_TABLE_OWNER,
	},
	[TIER_PRODUCTION] = {
		.text = "SELECT w.id FROM $table AS w WHERE w.id OPERATOR(pg_catalog.=) ANY ($1)"
				" AND w.update_tier OPERATOR(pg_catalog.=) 'production' AND \"$live\"",
		.nargs = 1,
		.argtypes = { UUIDARRAYOID },
		.role = AS_TABLE_OWNER,
	}
};

/* What claim_batch() is at. */
typedef struct Batch
{
	Package				  *package;
	Rollout				  *rollout;
	const WorkspacesTable *table;
	ReturnSetInfo		  *rsinfo;
	int64				   wanted;		  /* leases still to give */
	bool				   granted;		  /* has there been one? */
	bool				   last_attempts; /* was one of them a last attempt? */
} Batch;

static void
batch_return(Batch *batch, Datum workspace, Tier tier, int32 attempt, int64 token)
{
	Datum values[4] = {
		workspace,
		CStringGetTextDatum(tier_names[tier]),
		Int32GetDatum(attempt),
		Int64GetDatum(token)
	};
	bool nulls[4] = { false };

	batch->wanted--;
	batch->granted = true;
	if (attempt >= batch->rollout->max_attempts)
		batch->last_attempts = true;
	tuplestore_putvalues(batch->rsinfo->setResult, batch->rsinfo->setDesc, values, nulls);
}

/* The id that follows, byte by byte as ids are compared; NULL after the last. */
static NullableDatum
next_uuid(Datum id)
{
	pg_uuid_t *next = palloc_object(pg_uuid_t);

	memcpy(next, DatumGetUUIDP(id), sizeof(pg_uuid_t));
	for (int i = UUID_LEN - 1; i >= 0; i--)
	{
		if (++next->data[i] != 0)
			return (NullableDatum){ .value = UUIDPGetDatum(next) };
	}
	return NO_DATUM;
}

static bool
same_uuid(NullableDatum a, NullableDatum b)
{
	return a.isnull == b.isnull &&
		(a.isnull || memcmp(DatumGetUUIDP(a.value), DatumGetUUIDP(b.value), UUID_LEN) == 0);
}

/*
 * Claim workspaces of a tier that were never claimed, from where the last
 * call left off, looking at so many.
 */
static void
sweep(Batch *batch, Tier tier, int64 left)
{
	pg_uuid_t	   first = { { 0 } };
	NullableDatum *position = &batch->rollout->position[tier];
	NullableDatum  before = *position;
	bool		   from_start = position->isnull;
	int			   chunk = Min(batch->wanted, SWEEP_CHUNK); /* perhaps none is taken */

	while (batch->wanted > 0 && left > 0)
	{
		NullableDatum arg = position->isnull ?
			(NullableDatum){ .value = UUIDPGetDatum(&first) } :
			*position;
		Datum		  ids[SWEEP_CHUNK];
		int			  count = 0;
		List		 *rows;
		ListCell	 *lc;

		CHECK_FOR_INTERRUPTS();
		rows = statement_fetch_some(&sweep_on[tier], &batch->table->statement_table, &arg, chunk);
		foreach(lc, rows)
		{
			Datum id = ((NullableDatum *) lfirst(lc))[0].value;

			/* Partitions, or children, may have the same one. */
			if (count == 0 || !DatumGetBool(DirectFunctionCall2(uuid_eq, ids[count - 1], id)))
				ids[count++] = id;
		}
		left -= list_length(rows);

		if (count > 0)
		{
			*position = next_uuid(ids[count - 1]);
			foreach(lc, grant_first(batch->package, batch->rollout, ids, count, tier, batch->wanted))
			{
				NullableDatum *row = (NullableDatum *) lfirst(lc);

				batch_return(batch, row[0].value, tier, 1, DatumGetInt64(row[1].value));
				if (batch->wanted == 0)
					*position = next_uuid(row[0].value);
			}
		}
		if (batch->wanted > 0 && (list_length(rows) < chunk || position->isnull))
		{
			/* The end: come round, but for who has begun at the start. */
			*position = NO_DATUM;
			if (from_start)
				break;
			from_start = true;
		}
		chunk = SWEEP_CHUNK;
	}
	if (!same_uuid(before, *position))
		batch->rollout->dirty = true;
}

/*
 * Claim workspaces of a tier whose last attempt did not succeed, from where
 * the last call left off, as those that are gone, or of the other tier, stay
 * where they are.
 */
static void
claim_due(Batch *batch, Tier tier, int64 left)
{
	int64 *position = &batch->rollout->due_position[tier];
	int64  before = *position;
	bool   from_start = before == 0;

	while (batch->wanted > 0 && left > 0)
	{
		NullableDatum args[2] = { int64_value(batch->rollout->id), int64_value(*position) };
		List		 *rows = statement_fetch_all(&load_due, NULL, args);
		List		 *live = NIL;
		Datum		  ids[SWEEP_CHUNK];
		int			  count = 0;
		ListCell	 *lc;

		CHECK_FOR_INTERRUPTS();
		foreach(lc, rows)
			ids[count++] = ((NullableDatum *) lfirst(lc))[EXECUTION_WORKSPACE].value;
		left -= count;
		if (count > 0)
		{
			NullableDatum array = uuid_array(ids, count);

			live = statement_fetch_all(&live_of[tier], &batch->table->statement_table, &array);
		}

		foreach(lc, rows)
		{
			Execution *execution = execution_from_row(lfirst(lc));
			ListCell  *lc2;

			*position = execution->token;
			foreach(lc2, live)
			{
				if (same_uuid(((NullableDatum *) lfirst(lc2))[0],
							  (NullableDatum){ .value = execution->workspace }))
					break;
			}
			if (lc2 == NULL)
				continue;
			batch_return(batch, execution->workspace, tier, execution->attempt + 1,
						 grant_again(batch->package, batch->rollout, tier, execution));
			if (batch->wanted == 0)
				break;
		}
		if (batch->wanted > 0 && count < SWEEP_CHUNK)
		{
			/* The end: come round, but for who has begun at the start. */
			*position = 0;
			if (from_start)
				break;
			from_start = true;
		}
	}
	if (before != *position)
		batch->rollout->dirty = true;
}

/* Claim workspaces of a tier, looking at so many. */
static void
claim_tier(Batch *batch, Tier tier, int64 left)
{
	if (batch->wanted > 0 && may_claim(batch->package, batch->rollout, tier))
	{
		sweep(batch, tier, left);
		claim_due(batch, tier, left);
	}
}

/*
 * update_tier.claim_batch(package, version, max_claims)
 *		returns table (workspace uuid, tier update_tier, attempt integer, token bigint)
 *
 * Errors: 22004 and 22023 for arguments that are none, 55000 when no table
 * is attached.
 */
Datum
update_tier_claim_batch(PG_FUNCTION_ARGS)
{
	char *name = name_argument(fcinfo->args[0], "package");
	char *version = name_argument(fcinfo->args[1], "version");
	Batch batch = { 0 };
	int64 many;

	require_own_tables(fcinfo);
	if (fcinfo->args[2].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("max_claims must not be null")));
	if (DatumGetInt32(fcinfo->args[2].value) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("max_claims must not be negative: %d",
						DatumGetInt32(fcinfo->args[2].value))));

	InitMaterializedSRF(fcinfo, 0);
	batch.rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	batch.table = workspaces_lock(AccessShareLock);
	batch.package = package_lock(name, "update_tier.claim_batch()");
	batch.rollout = package_start(batch.package, version);
	executions_expire(batch.package, batch.rollout);
	batch.wanted = Min(DatumGetInt32(fcinfo->args[2].value), budget_left(batch.rollout));

	/*
	 * Canaries first.  Once production is open most of them are done, so that
	 * a glance at a few must do, and a search only if there is nothing else.
	 */
	many = Max(SWEEP_MIN, SWEEP_PER_CLAIM * batch.wanted);
	if (may_claim(batch.package, batch.rollout, TIER_PRODUCTION))
	{
		claim_tier(&batch, TIER_CANARY, SWEEP_CHUNK);
		claim_tier(&batch, TIER_PRODUCTION, many);
	}
	if (!batch.granted)
		claim_tier(&batch, TIER_CANARY, many);
	if (batch.last_attempts)
		executions_predict_halt(batch.rollout);
	package_save(batch.package);
	return (Datum) 0;
}


/* ---------------------------------------------------------------------
 * Reports
 * ---------------------------------------------------------------------
 */

static State
outcome_argument(NullableDatum value)
{
	char *outcome;

	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("outcome must not be null"),
				 errdetail("Allowed values are \"succeeded\", \"failed\" and \"error\".")));
	outcome = TextDatumGetCString(value.value);
	if (strcmp(outcome, "succeeded") == 0)
		return STATE_SUCCEEDED;
	if (strcmp(outcome, "failed") == 0)
		return STATE_FAILED;
	if (strcmp(outcome, "error") == 0)
		return STATE_ERROR;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown outcome: \"%s\"", clipped(outcome)),
			 errdetail("Allowed values are \"succeeded\", \"failed\" and \"error\"."),
			 errhint("\"failed\" says that the update was applied and is bad, \"error\" that nobody knows.")));
}

/*
 * A report for an attempt that has been replaced, or whose rollout is pruned
 * (NULL): it goes on record, and no further.
 */
static Datum
report_in_vain(FunctionCallInfo fcinfo, Package *package, const Rollout *rollout,
			   State outcome, const char *detail)
{
	int64 token = PG_GETARG_INT64(0);

	event_add(package, rollout, "late report", NO_DATUM, int64_value(token),
			  detail ? psprintf("%s: %s", state_names[outcome], detail) : state_names[outcome]);
	package_save(package);
	ereport(WARNING,
			(errmsg("report for token %lld is not counted", (long long) token),
			 rollout ?
				 errdetail("Another attempt at the workspace has replaced this one.") :
				 errdetail("Its rollout has been pruned."),
			 errhint("Report sooner, or give rollouts of package \"%s\" a longer lease.", clipped(package->name))));
	if (rollout == NULL)
		PG_RETURN_NULL();
	return present_phase(package, rollout);
}

/*
 * A report with a token that is no execution's: of an attempt that was
 * replaced, or made up.
 */
static Datum
late_report(FunctionCallInfo fcinfo, State outcome, const char *detail)
{
	NullableDatum row[2];
	Package		 *package;

	if (!statement_fetch(&replaced_token, NULL, fcinfo->args, row))
	{
		if (IsolationUsesXactSnapshot() && lookup_latest(&by_token, fcinfo->args))
			refuse_old_snapshot(psprintf("Token %lld was granted after the transaction began.",
										 (long long) PG_GETARG_INT64(0)));
		ereport(ERROR,
				(errcode(ERRCODE_NO_DATA_FOUND),
				 errmsg("unknown token: %lld", (long long) PG_GETARG_INT64(0)),
				 errhint("A token comes from update_tier.claim or update_tier.claim_batch.")));
	}
	package = package_lock(TextDatumGetCString(row[0].value), "update_tier.report()");
	return report_in_vain(fcinfo, package, package_find(package, TextDatumGetCString(row[1].value)),
						  outcome, detail);
}

/* The execution whose token this is, with its package and version; or NULL. */
static Execution *
execution_of_token(const NullableDatum *token, char **package, char **version)
{
	Execution *execution = execution_found(lookup_now(&by_token, token));

	if (execution != NULL && !rollout_of_execution(execution->rollout, package, version))
		return NULL;
	return execution;
}

/*
 * update_tier.report(token, outcome, installed_version, detail) returns text
 *
 * Errors: 22004 NULL, 22023 unknown outcome, P0002 unknown token, 55000 when
 * the attempt was reported to be worse before.
 */
Datum
update_tier_report(PG_FUNCTION_ARGS)
{
	State		  outcome;
	char		 *installed_version = detail_argument(fcinfo->args[2]);
	char		 *detail = detail_argument(fcinfo->args[3]);
	NullableDatum args[1] = { fcinfo->args[0] };
	char		 *name;
	char		 *version;
	bool		  was_locked;
	Execution	 *execution;
	Package		 *package;
	Rollout		 *rollout;

	require_own_tables(fcinfo);
	if (args[0].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("token must not be null")));
	outcome = outcome_argument(fcinfo->args[1]);

	/* Whose token is it?  Only then is there a package to lock. */
	execution = execution_of_token(args, &name, &version);
	if (execution == NULL)
		return late_report(fcinfo, outcome, detail);
	was_locked = package_is_locked(name);
	package = package_lock(name, "update_tier.report()");
	rollout = package_find(package, version);

	/*
	 * Now for certain: while we waited it may have been replaced, or pruned;
	 * or it has expired just now.
	 */
	if ((rollout != NULL && executions_expire(package, rollout)) || !was_locked)
		execution = execution_of_token(args, &name, &version);
	if (rollout == NULL || execution == NULL)
	{
		package_save(package);
		return late_report(fcinfo, outcome, detail);
	}
	if (!rollout_is_ours(rollout, false))
		return report_in_vain(fcinfo, package, NULL, outcome, detail);

	/* Something else was installed: that says nothing about this version. */
	if (installed_version != NULL && strcmp(installed_version, rollout->version) != 0)
	{
		detail = psprintf("installed version is %s%s%s", installed_version,
						  detail ? ": " : "", detail ? detail : "");
		outcome = STATE_ERROR;
	}

	if (outcome != execution->state)
	{
		State before = execution->state;

		/*
		 * Within an attempt it can only get worse: a failure that turned out
		 * to be none is another attempt's to tell.  An attempt that had
		 * expired was not reported before, so anything may be said of it.
		 */
		if (before != STATE_CLAIMED && before != STATE_EXPIRED && outcome < before)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("token %lld was already reported as \"%s\"",
							(long long) execution->token, state_names[before]),
					 errdetail("The report \"%s\" would improve on it.", state_names[outcome]),
					 errhint("Claim the workspace again to make another attempt.")));

		if (before == STATE_CLAIMED)
			rollout->in_flight[execution->tier]--;
		execution->state = outcome;
		execution->installed_version = installed_version;
		execution->detail = detail;

		if (outcome == STATE_SUCCEEDED)
			set_evidence(rollout, execution, EVIDENCE_SUCCEEDED);
		else if (outcome == STATE_FAILED ||
				 (is_last_attempt(rollout, execution) && before != STATE_EXPIRED))
			set_evidence(rollout, execution, EVIDENCE_FAILED);
		else if (before == STATE_SUCCEEDED)
			set_evidence(rollout, execution, EVIDENCE_NONE); /* it was none after all */

		write_execution(package, rollout, execution);
		if (execution->evidence == EVIDENCE_FAILED)
			event_add(package, rollout, "failed",
					  (NullableDatum){ .value = execution->workspace },
					  int64_value(execution->token), detail);
		rollout_evidence_changed(package, rollout);

		/* One lease less, and no failure more, bring no halt nearer. */
		if (rollout->timeline.halts_at != DT_NOEND || execution->evidence == EVIDENCE_FAILED)
			executions_predict_halt(rollout);
	}

	package_save(package);
	PG_RETURN_DATUM(present_phase(package, rollout));
}


/* ---------------------------------------------------------------------
 * Progress
 * ---------------------------------------------------------------------
 */

static Statement count_live = {
	.text = "SELECT pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary'),"
			" pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'production')"
			" FROM $table AS w WHERE \"$live\"",
	.read_only = true,
	.role = AS_TABLE_OWNER,
	.cursor_options = CURSOR_OPT_PARALLEL_OK
};

static Statement count_live_of = {
	.text = "SELECT pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary'),"
			" pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'production')"
			" FROM $table AS w WHERE w.id OPERATOR(pg_catalog.=) ANY ($1) AND \"$live\"",
	.nargs = 1,
	.argtypes = { UUIDARRAYOID },
	.read_only = true,
	.role = AS_TABLE_OWNER,
};

/* Workspaces that are done, leased, or out of attempts, in pages. */
static Statement page_of_settled = {
	.text = "SELECT e.workspace FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1 AND e.workspace OPERATOR(pg_catalog.>) $2"
			" AND NOT e.due AND NOT (e.state OPERATOR(pg_catalog.=) 'claimed'"
			"  AND e.lease_until OPERATOR(pg_catalog.<=) $3 AND e.attempt OPERATOR(pg_catalog.<) $4)"
			" ORDER BY e.workspace LIMIT $5",
	.nargs = 5,
	.argtypes = { INT8OID, UUIDOID, TIMESTAMPTZOID, INT4OID, INT8OID },
	.read_only = true,
	.role = AS_EXTENSION,
};

static Statement first_settled = {
	.text = "SELECT e.workspace FROM update_tier.execution AS e"
			" WHERE e.rollout OPERATOR(pg_catalog.=) $1"
			" AND NOT e.due AND NOT (e.state OPERATOR(pg_catalog.=) 'claimed'"
			"  AND e.lease_until OPERATOR(pg_catalog.<=) $3 AND e.attempt OPERATOR(pg_catalog.<) $4)"
			" ORDER BY e.workspace LIMIT $5",
	.nargs = 5,
	.argtypes = { INT8OID, UUIDOID, TIMESTAMPTZOID, INT4OID, INT8OID },
	.read_only = true,
	.role = AS_EXTENSION,
};

static Statement count_leased = {
	.text = "SELECT pg_catalog.count(*) FILTER (WHERE e.tier OPERATOR(pg_catalog.=) 'canary'),"
			" pg_catalog.count(*) FILTER (WHERE e.tier OPERATOR(pg_catalog.=) 'production')"
			" FROM update_tier.execution AS e WHERE e.rollout OPERATOR(pg_catalog.=) $1"
			" AND e.state OPERATOR(pg_catalog.=) 'claimed' AND e.lease_until OPERATOR(pg_catalog.>) $2",
	.nargs = 2,
	.argtypes = { INT8OID, TIMESTAMPTZOID },
	.read_only = true,
	.role = AS_EXTENSION,
};

#define PROGRESS_PAGE 1000

/*
 * update_tier.progress(package, version)
 *		returns table (tier, workspaces, succeeded, failed, in_flight, remaining)
 *
 * Errors: 22004 and 22023 for names that are none, P0002 unknown rollout,
 * 55000 when no table is attached.
 */
Datum
update_tier_progress(PG_FUNCTION_ARGS)
{
	char				  *name = name_argument(fcinfo->args[0], "package");
	char				  *version = name_argument(fcinfo->args[1], "version");
	ReturnSetInfo		  *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	TimestampTz			   now = GetCurrentTransactionStartTimestamp();
	const WorkspacesTable *table;
	Rollout				  *rollout;
	NullableDatum		   live[TIER_COUNT];
	NullableDatum		   leased[TIER_COUNT];
	NullableDatum		   args[5];
	int64				   remaining[TIER_COUNT];

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	rollout = rollout_read(name, version);
	if (rollout == NULL)
		refuse_unknown_rollout(name, version);
	InitMaterializedSRF(fcinfo, 0);

	(void) statement_fetch(&count_live, &table->statement_table, NULL, live);
	args[0] = int64_value(rollout->id);
	args[1] = (NullableDatum){ .value = TimestampTzGetDatum(now) };
	(void) statement_fetch(&count_leased, NULL, args, leased);
	for (int tier = 0; tier < TIER_COUNT; tier++)
		remaining[tier] = DatumGetInt64(live[tier].value);

	/* The two tables are read with different rights, hence not in a join. */
	args[1] = NO_DATUM;
	args[2] = (NullableDatum){ .value = TimestampTzGetDatum(now) };
	args[3] = (NullableDatum){ .value = Int32GetDatum(rollout->max_attempts) };
	args[4] = int64_value(PROGRESS_PAGE);
	for (;;)
	{
		List *rows = statement_fetch_all(args[1].isnull ? &first_settled : &page_of_settled,
										 NULL, args);
		Datum		  ids[PROGRESS_PAGE];
		int			  count = 0;
		ListCell	 *lc;
		NullableDatum settled[TIER_COUNT];
		NullableDatum array;

		CHECK_FOR_INTERRUPTS();
		if (rows == NIL)
			break;
		foreach(lc, rows)
			ids[count++] = ((NullableDatum *) lfirst(lc))[0].value;
		array = uuid_array(ids, count);
		(void) statement_fetch(&count_live_of, &table->statement_table, &array, settled);
		for (int tier = 0; tier < TIER_COUNT; tier++)
			remaining[tier] -= DatumGetInt64(settled[tier].value);
		args[1] = (NullableDatum){ .value = ids[count - 1] };
	}

	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		Datum values[6] = {
			CStringGetTextDatum(tier_names[tier]),
			live[tier].value,
			Int64GetDatum(rollout->succeeded[tier]),
			Int64GetDatum(rollout->failed[tier]),
			leased[tier].value,
			Int64GetDatum(remaining[tier])
		};
		bool nulls[6] = { false };

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}
