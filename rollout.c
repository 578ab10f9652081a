/*-------------------------------------------------------------------------
 *
 * rollout.c
 *	  Rollouts: registering versions, and what decides about their phases.
 *
 * All that changes a rollout happens under the lock of its package, so that
 * what is decided about one version and its siblings is decided by one
 * transaction at a time.  Packages do not disturb one another.
 *
 * A change goes like this: lock the package; load the rollouts that can
 * still change; settle, that is, write down what the clock has done to them
 * meanwhile; make the change; work out anew when the clock will do what; and
 * save.  Gates are read at now(), the start of the transaction; what is
 * written is stamped with the clock as it is under the lock.  A transaction
 * that stays open for long thus sees a soak end late and never early.  What
 * closes goes by the clock: leases that expire, and the halts they cause,
 * which would otherwise be seen late.
 *
 * Lock order: package, rollout, execution.
 *
 * The terms are those of progressive delivery: rollout, canary, soak (or
 * bake) time, promote, halt, resume, abort, retry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/async.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#include "old_rollout.h"

PG_FUNCTION_INFO_V1(update_tier_phase_at);
PG_FUNCTION_INFO_V1(update_tier_rollout_is_consistent);
PG_FUNCTION_INFO_V1(update_tier_start);

#define EXPIRED_REASON "a lease of a last attempt expired"

/* NOTIFY takes less than 8000 bytes: two names as JSON, and what is around. */
#define NOTIFY_NAME_MAX 3900

/* The phase that a text names; 22023 when it names none. */
static Phase
phase_argument(text *value)
{
	char *name = text_to_cstring(value);
	Phase phase;

	if (!phase_parse(name, &phase))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown phase: \"%s\"", clipped(name))));
	return phase;
}

/*
 * update_tier.phase_at(...) returns text
 *
 * phase_at() for SQL: the view update_tier.status uses it.
 */
Datum
update_tier_phase_at(PG_FUNCTION_ARGS)
{
	Timeline timeline = {
		.phase = phase_argument(PG_GETARG_TEXT_PP(0)),
		.needs_canary = PG_GETARG_BOOL(1),
		.turn_at = PG_GETARG_TIMESTAMPTZ(2),
		.soak_ends_at = PG_GETARG_TIMESTAMPTZ(3),
		.superseded_at = PG_GETARG_TIMESTAMPTZ(4),
		.halts_at = PG_GETARG_TIMESTAMPTZ(5)
	};

	PG_RETURN_TEXT_P(cstring_to_text(phase_names[phase_at(&timeline,
														  PG_GETARG_TIMESTAMPTZ(6))]));
}


/* ---------------------------------------------------------------------
 * Reading and writing rows
 * ---------------------------------------------------------------------
 */

/* The ctid and the columns of update_tier.rollout, as the install script orders them. */
enum
{
	ROLLOUT_CTID,
	ROLLOUT_ID,
	ROLLOUT_PACKAGE,
	ROLLOUT_VERSION,
	ROLLOUT_ORDINAL,
	ROLLOUT_PHASE,
	ROLLOUT_SOAK,
	ROLLOUT_MIN_SUCCESSES,
	ROLLOUT_MAX_FAILURES,
	ROLLOUT_MAX_IN_FLIGHT,
	ROLLOUT_MAX_ATTEMPTS,
	ROLLOUT_LEASE,
	ROLLOUT_AUTO_PROMOTE,
	ROLLOUT_REQUIRE_CANARY,
	ROLLOUT_TURN_AT,
	ROLLOUT_SOAK_ENDS_AT,
	ROLLOUT_SUPERSEDED_AT,
	ROLLOUT_HALTS_AT,
	ROLLOUT_PROMOTED_AT,
	ROLLOUT_CHANGED_AT,
	ROLLOUT_OF_TIERS, /* the first of these for each of the tiers */
	ROLLOUT_FIRST_EXPIRY = ROLLOUT_OF_TIERS + 6 * TIER_COUNT,
	ROLLOUT_RELATED,
	ROLLOUT_REASON
};
#define ROLLOUT_SUCCEEDED(tier)	   (ROLLOUT_OF_TIERS + 6 * (tier))
#define ROLLOUT_FAILED(tier)	   (ROLLOUT_SUCCEEDED(tier) + 1)
#define ROLLOUT_ACKNOWLEDGED(tier) (ROLLOUT_SUCCEEDED(tier) + 2)
#define ROLLOUT_IN_FLIGHT(tier)	   (ROLLOUT_SUCCEEDED(tier) + 3)
#define ROLLOUT_POSITION(tier)	   (ROLLOUT_SUCCEEDED(tier) + 4)
#define ROLLOUT_DUE_POSITION(tier) (ROLLOUT_SUCCEEDED(tier) + 5)

/* All of them, in that order. */
#define ROLLOUT_COLUMNS \
	" r.ctid, r.id, r.package, r.version, r.ordinal, r.phase, r.soak," \
	" r.min_successes, r.max_failures, r.max_in_flight, r.max_attempts, r.lease," \
	" r.auto_promote, r.require_canary, r.turn_at, r.soak_ends_at," \
	" r.superseded_at, r.halts_at, r.promoted_at, r.changed_at," \
	" r.canary_succeeded, r.canary_failed, r.canary_acknowledged," \
	" r.canary_in_flight, r.canary_position, r.canary_due_position," \
	" r.production_succeeded, r.production_failed, r.production_acknowledged," \
	" r.production_in_flight, r.production_position, r.production_due_position," \
	" r.first_expiry, r.related, r.reason "


/* The settings of a package: its own, else those of '*', else the defaults. */
/* clang-format off */
#define POLICY \
	" COALESCE(p.soak, d.soak, '24 hours'), COALESCE(p.min_successes, d.min_successes, 1)," \
	" COALESCE(p.max_failures, d.max_failures, 0), COALESCE(p.max_in_flight, d.max_in_flight, 25)," \
	" COALESCE(p.max_attempts, d.max_attempts, 3), COALESCE(p.lease, d.lease, '15 minutes')," \
	" COALESCE(p.auto_promote, d.auto_promote, true), COALESCE(p.require_canary, d.require_canary, true)" \
	" FROM (SELECT 1) AS one" \
	" LEFT JOIN update_tier.policy AS p ON " TEXT_IS("p.package", "$1") \
	" LEFT JOIN update_tier.policy AS d ON " TEXT_IS("d.package", "'*'")
/* clang-format on */


/* The rollouts of a package that can still change. */
static Lookup by_package = {
	.table = "rollout",
	.index = "rollout_can_change",
	.nkeys = 1,
	.keys = { { ROLLOUT_PACKAGE, F_TEXTEQ } },
};

static Lookup by_version = {
	.table = "rollout",
	.index = "package_version",
	.nkeys = 2,
	.keys = { { ROLLOUT_PACKAGE, F_TEXTEQ }, { ROLLOUT_VERSION, F_TEXTEQ } },
};

static Lookup by_id = {
	.table = "rollout",
	.index = "rollout_pkey",
	.nkeys = 1,
	.keys = { { ROLLOUT_ID, F_INT8EQ } },
};

/*
 * A new row starts out ended, which conflicts with no sibling; its phase is
 * decided next.
 */
static Statement insert_rollout = {
	.text = "INSERT INTO update_tier.rollout AS r (package, version, phase, changed_at, " POLICY_COLUMNS ")"
			" SELECT $1, $2, 'superseded', $3, " POLICY " RETURNING" ROLLOUT_COLUMNS,
	.nargs = 3,
	.argtypes = { TEXTOID, TEXTOID, TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

static Statement renew_rollout = {
	.text = "UPDATE update_tier.rollout AS r SET (" POLICY_COLUMNS ") = (SELECT " POLICY "),"
			" ordinal = pg_catalog.nextval('update_tier.rollout_ordinal'), phase = 'superseded',"
			" turn_at = 'infinity', soak_ends_at = 'infinity', superseded_at = 'infinity',"
			" halts_at = 'infinity', promoted_at = 'infinity', canary_succeeded = 0, canary_failed = 0,"
			" canary_acknowledged = 0, canary_in_flight = 0, canary_position = NULL, canary_due_position = 0,"
			" production_succeeded = 0, production_failed = 0, production_acknowledged = 0,"
			" production_in_flight = 0, production_position = NULL, production_due_position = 0,"
			" first_expiry = 'infinity', related = NULL"
			" WHERE r.id OPERATOR(pg_catalog.=) $2 RETURNING" ROLLOUT_COLUMNS,
	.nargs = 2,
	.argtypes = { TEXTOID, INT8OID },
	.role = AS_EXTENSION,
};

static Statement save_rollout = {
	.text = "UPDATE update_tier.rollout AS r SET phase = $2, turn_at = $3, soak_ends_at = $4,"
			" superseded_at = $5, halts_at = $6, promoted_at = $7, changed_at = $8,"
			" canary_succeeded = $9, canary_failed = $10, canary_acknowledged = $11,"
			" canary_in_flight = $12, canary_position = $13, canary_due_position = $14,"
			" production_succeeded = $15, production_failed = $16, production_acknowledged = $17,"
			" production_in_flight = $18, production_position = $19, production_due_position = $20,"
			" first_expiry = $21, related = $22, reason = $23"
			" WHERE r.ctid OPERATOR(pg_catalog.=) $24 AND r.id OPERATOR(pg_catalog.=) $1 RETURNING r.ctid",
	.nargs = 24,
	.argtypes = { INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
				  TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID,
				  INT4OID, UUIDOID, INT8OID, INT4OID, INT4OID, INT4OID, INT4OID, UUIDOID, INT8OID,
				  TIMESTAMPTZOID, TEXTOID, TEXTOID, TIDOID },
	.role = AS_EXTENSION,
};

static Statement insert_event = {
	.text = "INSERT INTO update_tier.event (at, actor, kind, package, version, workspace, token, detail)"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
	.nargs = 8,
	.argtypes = { TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, UUIDOID, INT8OID, TEXTOID },
	.role = AS_EXTENSION,
};

/* Too few canaries so far for the soak to begin? */
static bool
needs_canary(const Rollout *rollout)
{
	return rollout->require_canary &&
		rollout->succeeded[TIER_CANARY] < rollout->min_successes;
}

static Rollout *
rollout_from_row(const NullableDatum *row)
{
	Rollout *rollout = palloc0_object(Rollout);
	char	*phase = TextDatumGetCString(row[ROLLOUT_PHASE].value);

	rollout->id = DatumGetInt64(row[ROLLOUT_ID].value);
	rollout->tid = *(ItemPointer) DatumGetPointer(row[ROLLOUT_CTID].value);
	rollout->package = TextDatumGetCString(row[ROLLOUT_PACKAGE].value);
	rollout->version = TextDatumGetCString(row[ROLLOUT_VERSION].value);
	rollout->ordinal = DatumGetInt64(row[ROLLOUT_ORDINAL].value);
	if (!phase_parse(phase, &rollout->timeline.phase))
		elog(ERROR, "rollout " INT64_FORMAT " has an unknown phase", rollout->id);
	rollout->soak = interval_microseconds(DatumGetIntervalP(row[ROLLOUT_SOAK].value));
	rollout->min_successes = DatumGetInt32(row[ROLLOUT_MIN_SUCCESSES].value);
	rollout->max_failures = DatumGetInt32(row[ROLLOUT_MAX_FAILURES].value);
	rollout->max_in_flight = DatumGetInt32(row[ROLLOUT_MAX_IN_FLIGHT].value);
	rollout->max_attempts = DatumGetInt32(row[ROLLOUT_MAX_ATTEMPTS].value);
	rollout->lease = interval_microseconds(DatumGetIntervalP(row[ROLLOUT_LEASE].value));
	rollout->auto_promote = DatumGetBool(row[ROLLOUT_AUTO_PROMOTE].value);
	rollout->require_canary = DatumGetBool(row[ROLLOUT_REQUIRE_CANARY].value);
	rollout->timeline.turn_at = DatumGetTimestampTz(row[ROLLOUT_TURN_AT].value);
	rollout->timeline.soak_ends_at = DatumGetTimestampTz(row[ROLLOUT_SOAK_ENDS_AT].value);
	rollout->timeline.superseded_at = DatumGetTimestampTz(row[ROLLOUT_SUPERSEDED_AT].value);
	rollout->timeline.halts_at = DatumGetTimestampTz(row[ROLLOUT_HALTS_AT].value);
	rollout->promoted_at = DatumGetTimestampTz(row[ROLLOUT_PROMOTED_AT].value);
	rollout->changed_at = DatumGetTimestampTz(row[ROLLOUT_CHANGED_AT].value);
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		NullableDatum position = row[ROLLOUT_POSITION(tier)];

		rollout->succeeded[tier] = DatumGetInt32(row[ROLLOUT_SUCCEEDED(tier)].value);
		rollout->failed[tier] = DatumGetInt32(row[ROLLOUT_FAILED(tier)].value);
		rollout->acknowledged[tier] = DatumGetInt32(row[ROLLOUT_ACKNOWLEDGED(tier)].value);
		rollout->in_flight[tier] = DatumGetInt32(row[ROLLOUT_IN_FLIGHT(tier)].value);
		rollout->position[tier] = position;
		rollout->due_position[tier] = DatumGetInt64(row[ROLLOUT_DUE_POSITION(tier)].value);
	}
	rollout->first_expiry = DatumGetTimestampTz(row[ROLLOUT_FIRST_EXPIRY].value);
	rollout->related = optional_text(row[ROLLOUT_RELATED]);
	rollout->reason = optional_text(row[ROLLOUT_REASON]);
	rollout->timeline.needs_canary = needs_canary(rollout);
	return rollout;
}

static Rollout *
rollout_found(List *rows)
{
	return rows == NIL ? NULL : rollout_from_row(linitial(rows));
}

/*
 * update_tier.is_consistent(rollout update_tier.rollout) returns boolean
 *
 * What must hold between the columns of a row: the CHECK of the table.
 */
Datum
update_tier_rollout_is_consistent(PG_FUNCTION_ARGS)
{
	NullableDatum *row = lookup_record(PG_GETARG_HEAPTUPLEHEADER(0));
	Rollout		  *rollout;
	Phase		   phase;

	/* Not a row of the table, where these are NOT NULL. */
	for (int i = ROLLOUT_ID; i <= ROLLOUT_REASON; i++)
	{
		if (row[i].isnull && i != ROLLOUT_RELATED && i != ROLLOUT_REASON &&
			i != ROLLOUT_POSITION(TIER_CANARY) && i != ROLLOUT_POSITION(TIER_PRODUCTION))
			PG_RETURN_BOOL(false);
	}

	rollout = rollout_from_row(row);
	phase = rollout->timeline.phase;
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		int64 unacknowledged = (int64) rollout->failed[tier] - rollout->acknowledged[tier];

		if (unacknowledged < 0)
			PG_RETURN_BOOL(false);
		if (phase_runs(phase) && unacknowledged > rollout->max_failures)
			PG_RETURN_BOOL(false); /* one too many halts */
	}
	if ((int64) rollout->in_flight[TIER_CANARY] + rollout->in_flight[TIER_PRODUCTION] > rollout->max_in_flight)
		PG_RETURN_BOOL(false);
	if (phase == PHASE_SOAKING && rollout->timeline.needs_canary)
		PG_RETURN_BOOL(false);
	if (phase == PHASE_PROMOTED && rollout->promoted_at == DT_NOEND)
		PG_RETURN_BOOL(false);
	PG_RETURN_BOOL(rollout->soak >= 0 && rollout->lease > 0);
}

static void
rollout_write(Rollout *rollout)
{
	NullableDatum args[24];
	NullableDatum tid;
	int			  n = 0;

	args[n++] = int64_value(rollout->id);
	args[n++] = text_value(phase_names[rollout->timeline.phase]);
	args[n++] = moment_value(rollout->timeline.turn_at);
	args[n++] = moment_value(rollout->timeline.soak_ends_at);
	args[n++] = moment_value(rollout->timeline.superseded_at);
	args[n++] = moment_value(rollout->timeline.halts_at);
	args[n++] = moment_value(rollout->promoted_at);
	args[n++] = moment_value(rollout->changed_at);
	for (int tier = 0; tier < TIER_COUNT; tier++)
	{
		args[n++] = int32_value(rollout->succeeded[tier]);
		args[n++] = int32_value(rollout->failed[tier]);
		args[n++] = int32_value(rollout->acknowledged[tier]);
		args[n++] = int32_value(rollout->in_flight[tier]);
		args[n++] = rollout->position[tier];
		args[n++] = int64_value(rollout->due_position[tier]);
	}
	args[n++] = moment_value(rollout->first_expiry);
	args[n++] = text_value(rollout->related);
	args[n++] = text_value(rollout->reason);
	args[n++] = (NullableDatum){ .value = PointerGetDatum(&rollout->tid) };
	Assert(n == save_rollout.nargs);
	if (!statement_fetch(&save_rollout, NULL, args, &tid))
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update"),
				 errdetail("Version \"%s\" of package \"%s\" has been changed by other means than its functions.",
						   clipped(rollout->version), clipped(rollout->package)),
				 errhint("The transaction might succeed if retried.")));
	rollout->tid = *(ItemPointer) DatumGetPointer(tid.value);
}

/* rollout_read: for gates; NULL if the version is not known. */
Rollout *
rollout_read(const char *package, const char *version)
{
	NullableDatum keys[2] = { text_value(package), text_value(version) };

	return rollout_found(lookup_seen(&by_version, keys));
}

/*
 * The package that this transaction has locked last, and where its rollouts
 * are that can still change.  For as long as no part of the transaction is
 * rolled back nobody else changes them; who changes them by hand, in the same
 * transaction, leaves no version where we look.  A rollout that is put in, or
 * brought back to life, by hand is seen from the next transaction on.
 */
typedef struct HeldRollout
{
	int64			id;
	ItemPointerData tid;
	char		   *version;
} HeldRollout;

static struct
{
	MemoryContext context;	  /* of the rest; NULL: nothing is remembered */
	uint64		  generation; /* of the table */
	char		 *package;
	List		 *rollouts; /* of HeldRollout * */
} held;

static void
forget_held(void)
{
	if (held.context != NULL)
		MemoryContextDelete(held.context);
	memset(&held, 0, sizeof(held));
}

static void
held_at_transaction_end(XactEvent event, void *arg)
{
	forget_held();
}

static void
held_at_subtransaction_end(SubXactEvent event, SubTransactionId subid,
						   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_held();
}

static void
remember_held(const Package *package)
{
	static bool	  callbacks_registered = false;
	MemoryContext caller_context;
	ListCell	 *lc;

	if (!callbacks_registered)
	{
		RegisterXactCallback(held_at_transaction_end, NULL);
		RegisterSubXactCallback(held_at_subtransaction_end, NULL);
		callbacks_registered = true;
	}
	forget_held();
	held.generation = lookup_generation(&by_package);
	if (held.generation == 0)
		return;
	held.context = AllocSetContextCreate(TopMemoryContext, "update_tier package", ALLOCSET_SMALL_SIZES);
	caller_context = MemoryContextSwitchTo(held.context);
	foreach(lc, package->rollouts)
	{
		Rollout		*rollout = (Rollout *) lfirst(lc);
		HeldRollout *where;

		if (!phase_runs(rollout->timeline.phase) && rollout->timeline.phase != PHASE_QUEUED)
			continue;
		where = palloc0_object(HeldRollout);
		where->id = rollout->id;
		where->tid = rollout->tid;
		where->version = pstrdup(rollout->version);
		held.rollouts = lappend(held.rollouts, where);
	}
	held.package = pstrdup(package->name);
	MemoryContextSwitchTo(caller_context);
}

static bool
is_held(const char *name)
{
	return held.package != NULL && strcmp(held.package, name) == 0 &&
		held.generation == lookup_generation(&by_package);
}

/* The rows of those; NIL if one of them is not where it was. */
static List *
held_rows(void)
{
	List	 *rows = NIL;
	ListCell *lc;

	foreach(lc, held.rollouts)
	{
		HeldRollout	  *where = (HeldRollout *) lfirst(lc);
		NullableDatum *row = lookup_at(&by_package, &where->tid);

		if (row == NULL || DatumGetInt64(row[ROLLOUT_ID].value) != where->id)
			return NIL;
		rows = lappend(rows, row);
	}
	return rows;
}

/*
 * rollout_of_execution
 *		The names of an execution's rollout; false if it is gone.
 */
bool
rollout_of_execution(int64 rollout, char **package, char **version)
{
	NullableDatum  keys[1] = { int64_value(rollout) };
	List		  *rows;
	NullableDatum *row;
	ListCell	  *lc;

	foreach(lc, held.rollouts)
	{
		HeldRollout *where = (HeldRollout *) lfirst(lc);

		if (where->id != rollout)
			continue;
		*package = pstrdup(held.package);
		*version = pstrdup(where->version);
		return true;
	}

	rows = lookup_now(&by_id, keys);
	if (rows == NIL)
		return false;
	row = (NullableDatum *) linitial(rows);
	*package = TextDatumGetCString(row[ROLLOUT_PACKAGE].value);
	*version = TextDatumGetCString(row[ROLLOUT_VERSION].value);
	return true;
}

/*
 * rollout_soaking
 *		For gates: the rollout of the package that soaks at that moment, and
 *		that a version as yet unknown would wait behind; or NULL.
 */
Rollout *
rollout_soaking(const char *package, TimestampTz moment)
{
	NullableDatum keys[1] = { text_value(package) };
	ListCell	 *lc;

	foreach(lc, lookup_seen(&by_package, keys))
	{
		Rollout *rollout = rollout_from_row(lfirst(lc));

		if (phase_at(&rollout->timeline, moment) == PHASE_SOAKING)
			return rollout;
	}
	return NULL;
}

void
refuse_unknown_rollout(const char *package, const char *version)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("version \"%s\" of package \"%s\" is not known",
					clipped(version), clipped(package)),
			 errhint("Rollouts begin with update_tier.start, or with the first claim.")));
}

/*
 * event_add
 *		Append to the record.  The actor is who called us.
 */
void
event_add(Package *package, const Rollout *rollout, const char *kind,
		  NullableDatum workspace, NullableDatum token, const char *detail)
{
	NullableDatum args[8] = {
		moment_value(package->stamp),
		text_value(GetUserNameFromId(GetUserId(), false)),
		text_value(kind),
		text_value(package->name),
		text_value(rollout ? rollout->version : NULL),
		workspace,
		token,
		text_value(detail)
	};

	statement_run(&insert_event, NULL, args, NULL);
}

void
event_note(Package *package, const Rollout *rollout, const char *kind, const char *detail)
{
	event_add(package, rollout, kind, NO_DATUM, NO_DATUM, detail);
}


/* ---------------------------------------------------------------------
 * A package under its lock
 * ---------------------------------------------------------------------
 */

static void
touch(Package *package, Rollout *rollout)
{
	rollout->changed_at = package->stamp;
	rollout->dirty = true;
}

/* Put a rollout where it belongs, oldest first. */
static void
add_rollout(Package *package, Rollout *rollout)
{
	int i = 0;

	while (i < list_length(package->rollouts) &&
		   ((Rollout *) list_nth(package->rollouts, i))->ordinal < rollout->ordinal)
		i++;
	package->rollouts = list_insert_nth(package->rollouts, i, rollout);
	package->stamp = Max(package->stamp, rollout->changed_at);
}

/*
 * Tell whoever listens on the channel "update_tier".  A name that is too long
 * for that, as a thousand control characters are, is left out.
 *
 * The server delivers it when the transaction has committed.
 */
static void
notify_phase(const Package *package, const Rollout *rollout, Phase phase)
{
	StringInfoData json;

	if (!notify_enabled)
		return;
	initStringInfo(&json);
	appendStringInfo(&json, "{\"phase\": \"%s\"", phase_names[phase]);
	for (int i = 0; i < 2; i++)
	{
		StringInfoData name;

		initStringInfo(&name);
		escape_json(&name, i == 0 ? package->name : rollout->version);
		if (name.len < NOTIFY_NAME_MAX)
			appendStringInfo(&json, ", \"%s\": %s", i == 0 ? "package" : "version", name.data);
	}
	appendStringInfoChar(&json, '}');
	Async_Notify("update_tier", json.data);
}

void
enter_phase(Package *package, Rollout *rollout, Phase phase, const char *detail)
{
	rollout->timeline.phase = phase;
	touch(package, rollout);
	event_note(package, rollout, phase_names[phase], detail);
	notify_phase(package, rollout, phase);
}

/* The next newer rollout that has been promoted. */
static Rollout *
newer_promoted(Package *package, const Rollout *rollout)
{
	ListCell *lc;

	foreach(lc, package->rollouts)
	{
		Rollout *other = (Rollout *) lfirst(lc);

		if (other->ordinal > rollout->ordinal && other->promoted_at != DT_NOEND)
			return other;
	}
	return NULL;
}

/*
 * Write down what the clock has done since.  Newest first, so that who has
 * been superseded finds who did it.
 */
static void
settle(Package *package)
{
	for (int i = list_length(package->rollouts) - 1; i >= 0; i--)
	{
		Rollout *rollout = (Rollout *) list_nth(package->rollouts, i);
		Phase	 stored = rollout->timeline.phase;
		Phase	 present = phase_at(&rollout->timeline, package->now);

		/* What opens it does at now(), what closes it by the clock. */
		if (phase_at(&rollout->timeline, package->clock) == PHASE_HALTED)
			present = PHASE_HALTED;
		if (present == stored)
			continue;
		if ((stored == PHASE_QUEUED || stored == PHASE_SOAKING) &&
			(present == PHASE_PROMOTED || present == PHASE_SUPERSEDED ||
			 (present == PHASE_HALTED &&
			  rollout->timeline.soak_ends_at < rollout->timeline.halts_at)))
			rollout->promoted_at = rollout->timeline.soak_ends_at;
		if (stored == PHASE_QUEUED)
			rollout->related = NULL;
		if (present == PHASE_SUPERSEDED)
		{
			Rollout *newer = newer_promoted(package, rollout);

			rollout->related = newer ? newer->version : NULL;
		}
		if (present == PHASE_HALTED)
			rollout->reason = EXPIRED_REASON;
		enter_phase(package, rollout, present,
					present == PHASE_HALTED			? EXPIRED_REASON :
						present == PHASE_SUPERSEDED ? rollout->related :
						present == PHASE_PROMOTED	? "the soak is over" :
													  "its turn has come");
	}
}

/*
 * refuse_old_snapshot
 *		What the transaction's snapshot shows is no longer so, and to decide on
 *		it would be wrong.
 */
void
refuse_old_snapshot(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("%s", detail),
			 errhint("The transaction might succeed if retried.")));
}

/*
 * Under REPEATABLE READ and SERIALIZABLE we see the package as it was when
 * the transaction began.  To decide on that would be wrong if it has changed
 * since, also where we would write no row that the other has written: the
 * versions of all its rows, by the transaction's snapshot and by the latest,
 * must be the same.
 *
 * "versions" is a query over $1, the package, that returns them as one text.
 */
static bool
is_as_seen(const char *versions, const char *name)
{
	Identity   caller = become(extension_owner(), 0);
	Datum	   values[1] = { CStringGetTextDatum(name) };
	Oid		   types[1] = { TEXTOID };
	char	  *seen[2];
	bool	   same;
	SPIPlanPtr plan;

	SPI_connect();
	plan = SPI_prepare(versions, 1, types);
	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	for (int i = 0; i < 2; i++)
	{
		Snapshot snapshot = RegisterSnapshot(i == 0 ? GetTransactionSnapshot() : GetLatestSnapshot());

		if (SPI_execute_snapshot(plan, values, NULL, snapshot, InvalidSnapshot,
								 false, false, 0) != SPI_OK_SELECT)
			elog(ERROR, "could not compare snapshots");
		UnregisterSnapshot(snapshot);
		seen[i] = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	}
	same = (seen[0] == NULL) == (seen[1] == NULL) &&
		(seen[0] == NULL || strcmp(seen[0], seen[1]) == 0);
	SPI_finish();
	become_again(caller);
	return same;
}

static void
check_snapshot(const char *name)
{
	if (!is_as_seen("SELECT pg_catalog.string_agg(pg_catalog.concat(r.id, ':', r.xmin, ':', r.ctid), ',' ORDER BY r.id)"
					" FROM update_tier.rollout AS r WHERE " TEXT_IS("r.package", "$1"),
					name))
		refuse_old_snapshot(psprintf("The rollouts of package \"%s\" have changed since the transaction began.",
									 clipped(name)));
}

/* The same for the settings that a rollout is about to copy. */
static void
check_policy_snapshot(const char *name)
{
	if (IsolationUsesXactSnapshot() &&
		!is_as_seen("SELECT pg_catalog.string_agg(pg_catalog.concat(p.package, ':', p.xmin, ':', p.ctid), ',' ORDER BY p.package)"
					" FROM update_tier.policy AS p WHERE " TEXT_IS("p.package", "$1") " OR " TEXT_IS("p.package", "'*'"),
					name))
		refuse_old_snapshot(psprintf("The policy of package \"%s\" has changed since the transaction began.",
									 clipped(name)));
}

static Oid
package_lock_class(void)
{
	return get_relname_relid("rollout", get_namespace_oid(MACHINERY_SCHEMA, false));
}

static Oid
package_lock_object(const char *name)
{
	return DatumGetUInt32(hash_any((const unsigned char *) name, strlen(name)));
}

/* package_is_locked: by this transaction? */
bool
package_is_locked(const char *name)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, package_lock_class(), package_lock_object(name), 0);
	return lock_is_held(&tag, ExclusiveLock);
}

/*
 * package_lock
 *		Lock a package for the rest of the transaction, load its rollouts
 *		that can still change, and settle them.  "command" is on whose behalf,
 *		for the error that a read-only transaction gets (25006).
 *
 * The lock is on a number made of the name, as a tag below our own table: it
 * is nobody else's, and no row has to be there to be locked.  Two packages
 * whose names give the same number wait for each other, and that is all.
 */
Package *
package_lock(const char *name, const char *command)
{
	Package		 *package = palloc0_object(Package);
	NullableDatum keys[1] = { text_value(name) };
	List		 *rows = NIL;
	ListCell	 *lc;

	PreventCommandIfReadOnly(command);
	if (is_held(name))
		rows = held_rows();
	else
	{
		LockDatabaseObject(package_lock_class(), package_lock_object(name), 0, ExclusiveLock);
		if (IsolationUsesXactSnapshot())
			check_snapshot(name);
	}
	if (rows == NIL)
		rows = lookup_now(&by_package, keys);

	package->name = pstrdup(name);
	package->now = GetCurrentTransactionStartTimestamp();
	package->clock = GetCurrentTimestamp();
	package->stamp = package->clock;
	foreach(lc, rows)
		add_rollout(package, rollout_from_row(lfirst(lc)));
	settle(package);
	return package;
}

/*
 * package_find
 *		A version of the package, whatever its phase; NULL if not known.
 */
Rollout *
package_find(Package *package, const char *version)
{
	NullableDatum keys[2] = { text_value(package->name), text_value(version) };
	Rollout		 *rollout;
	ListCell	 *lc;

	foreach(lc, package->rollouts)
	{
		rollout = (Rollout *) lfirst(lc);
		if (strcmp(rollout->version, version) == 0)
			return rollout;
	}
	rollout = rollout_found(lookup_now(&by_version, keys));
	if (rollout != NULL)
		add_rollout(package, rollout);
	return rollout;
}

#define LOCK_ENDED "SELECT true FROM update_tier.rollout AS r WHERE r.id OPERATOR(pg_catalog.=) $1 FOR NO KEY UPDATE"

static Statement lock_ended = {
	.text = LOCK_ENDED " SKIP LOCKED",
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

static Statement wait_for_ended = {
	.text = LOCK_ENDED,
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

/*
 * rollout_is_ours
 *		Under the package's lock: may we write about the rollout?  False: it
 *		has ended, and prune() is deleting it.
 *
 * prune() has no package locked, but the rows of rollouts, and their executions
 * after them.  So we, too, lock the row of one that has ended before we touch
 * its executions.  Claims and reports do not "wait" for prune() to end, as
 * others wait for the package that they have locked.
 */
bool
rollout_is_ours(const Rollout *rollout, bool wait)
{
	NullableDatum args[1] = { int64_value(rollout->id) };

	if (rollout->timeline.phase != PHASE_SUPERSEDED && rollout->timeline.phase != PHASE_ABORTED)
		return true;
	return statement_run(wait ? &wait_for_ended : &lock_ended, NULL, args, NULL) > 0;
}

/* The rollout in canary or soaking, if any. */
static Rollout *
running(Package *package)
{
	ListCell *lc;

	foreach(lc, package->rollouts)
	{
		Rollout *rollout = (Rollout *) lfirst(lc);

		if (rollout->timeline.phase == PHASE_CANARY ||
			rollout->timeline.phase == PHASE_SOAKING)
			return rollout;
	}
	return NULL;
}

static Rollout *
queued(Package *package)
{
	ListCell *lc;

	foreach(lc, package->rollouts)
	{
		Rollout *rollout = (Rollout *) lfirst(lc);

		if (rollout->timeline.phase == PHASE_QUEUED)
			return rollout;
	}
	return NULL;
}

/* Nothing will happen to the rollout by itself. */
void
stop_clock(Rollout *rollout)
{
	rollout->timeline.turn_at = DT_NOEND;
	rollout->timeline.soak_ends_at = DT_NOEND;
	rollout->timeline.superseded_at = DT_NOEND;
	rollout->timeline.halts_at = DT_NOEND;
}

static void
supersede(Package *package, Rollout *rollout, const Rollout *by)
{
	stop_clock(rollout);
	rollout->related = by->version;
	enter_phase(package, rollout, PHASE_SUPERSEDED, by->version);
}

/* It is the rollout's turn: canaries first, or the soak if they did enough. */
static void
run_rollout(Package *package, Rollout *rollout)
{
	rollout->related = NULL;
	rollout->timeline.needs_canary = needs_canary(rollout);
	rollout->timeline.turn_at = DT_NOEND;
	rollout->timeline.soak_ends_at = DT_NOEND;
	if (rollout->timeline.needs_canary)
		enter_phase(package, rollout, PHASE_CANARY, NULL);
	else
	{
		if (rollout->auto_promote)
			rollout->timeline.soak_ends_at = moment_after(package->stamp, rollout->soak);
		enter_phase(package, rollout, PHASE_SOAKING, NULL);
	}
	executions_predict_halt(rollout);
}

/*
 * Let the newest rollout in.  One that is still in canary gives way: an
 * update whose canaries never answer must not block its own fix.  One that
 * soaks does not, or a package that moves often would never be promoted; of
 * those that wait for it only the newest is worth waiting.
 */
void
admit(Package *package, Rollout *rollout)
{
	Rollout *waiting = queued(package);
	Rollout *current;

	if (waiting != NULL && waiting != rollout)
		supersede(package, waiting, rollout);

	current = running(package);
	if (current != NULL && current->timeline.phase == PHASE_SOAKING)
	{
		rollout->related = current->version;
		enter_phase(package, rollout, PHASE_QUEUED, current->version);
		executions_predict_halt(rollout);
		return;
	}
	if (current != NULL)
		supersede(package, current, rollout);
	run_rollout(package, rollout);
}

/*
 * package_start
 *		The version's rollout; a version seen for the first time starts one.
 */
Rollout *
package_start(Package *package, const char *version)
{
	Rollout		 *rollout = package_find(package, version);
	NullableDatum args[3] = { text_value(package->name), text_value(version),
							  moment_value(package->stamp) };

	if (rollout != NULL)
		return rollout;
	check_policy_snapshot(package->name);
	rollout = rollout_found(statement_fetch_all(&insert_rollout, NULL, args));
	if (rollout == NULL) /* by somebody's trigger */
		elog(ERROR, "the row of a rollout was not inserted");
	add_rollout(package, rollout);
	event_note(package, rollout, "started", NULL);
	admit(package, rollout);
	return rollout;
}

/*
 * When will the clock change something?  What a rollout does to its siblings
 * is written into their rows, so that each row tells its own phase.
 *
 * The one that waits gets its turn when the one before it is promoted or
 * halts; a promoted one closes when a newer one is promoted.
 */
static void
schedule(Package *package)
{
	TimestampTz free_at = DT_NOBEGIN; /* nobody in canary or soaking */
	Rollout	   *current = running(package);
	Rollout	   *waiting = queued(package);
	TimestampTz newer_promoted_at = DT_NOEND;
	char	   *newer_version = NULL;

	/* A success was withdrawn, so who soaked needs canaries again. */
	if (current != NULL && waiting != NULL && current->timeline.phase == PHASE_CANARY)
	{
		supersede(package, current, waiting);
		current = NULL;
	}
	if (current != NULL)
		free_at = Min(current->timeline.soak_ends_at, current->timeline.halts_at);

	if (waiting != NULL)
	{
		if (current == NULL)
			run_rollout(package, waiting);
		else
		{
			TimestampTz soak_ends_at = DT_NOEND;

			if (!waiting->timeline.needs_canary && waiting->auto_promote)
				soak_ends_at = moment_after(free_at, waiting->soak);
			if (waiting->timeline.turn_at != free_at ||
				waiting->timeline.soak_ends_at != soak_ends_at ||
				waiting->related == NULL ||
				strcmp(waiting->related, current->version) != 0)
			{
				waiting->timeline.turn_at = free_at;
				waiting->timeline.soak_ends_at = soak_ends_at;
				waiting->related = current->version;
				waiting->dirty = true;
			}
		}
	}

	/* Newest first: each learns when somebody newer is promoted. */
	for (int i = list_length(package->rollouts) - 1; i >= 0; i--)
	{
		Rollout	 *rollout = (Rollout *) list_nth(package->rollouts, i);
		Timeline *timeline = &rollout->timeline;
		Rollout	 *newer;

		/*
		 * Also by one that has been halted by the clock since: a transaction
		 * as old as this one comes to know both at once.
		 */
		if (timeline->phase == PHASE_PROMOTED)
		{
			newer = newer_promoted(package, rollout);
			if (newer != NULL && (newer->timeline.phase == PHASE_PROMOTED || newer->timeline.phase == PHASE_HALTED))
			{
				supersede(package, rollout, newer);
				continue;
			}
		}

		switch (timeline->phase)
		{
			case PHASE_PROMOTED:
			case PHASE_SOAKING:
			case PHASE_QUEUED:
				if (timeline->superseded_at != newer_promoted_at)
				{
					timeline->superseded_at = newer_promoted_at;
					if (timeline->phase != PHASE_QUEUED)
						rollout->related = newer_version;
					rollout->dirty = true;
				}
				if (timeline->phase != PHASE_PROMOTED &&
					timeline->soak_ends_at < timeline->halts_at &&
					timeline->soak_ends_at < newer_promoted_at)
				{
					newer_promoted_at = timeline->soak_ends_at;
					newer_version = rollout->version;
				}
				break;
			default:
				break;
		}
	}
}

/* In which turn package_save() writes a rollout. */
static int
turn_to_write(const Rollout *rollout)
{
	switch (rollout->timeline.phase)
	{
		case PHASE_CANARY:
		case PHASE_SOAKING:
			return 1;
		case PHASE_QUEUED:
			return 2;
		default:
			return 0;
	}
}

/*
 * package_save
 *		Write what has changed: first who has made room, then who runs, then
 *		who waits, as the unique indexes want it.
 */
void
package_save(Package *package)
{
	schedule(package);
	for (int turn = 0; turn <= 2; turn++)
	{
		ListCell *lc;

		foreach(lc, package->rollouts)
		{
			Rollout *rollout = (Rollout *) lfirst(lc);

			if (!rollout->dirty || turn_to_write(rollout) != turn)
				continue;
			rollout_write(rollout);
			rollout->dirty = false;
		}
	}
	remember_held(package);
}

void
halt_rollout(Package *package, Rollout *rollout, const char *reason)
{
	rollout->reason = reason ? pstrdup(reason) : NULL;
	rollout->related = NULL;
	stop_clock(rollout);
	enter_phase(package, rollout, PHASE_HALTED, reason);
}

/*
 * rollout_evidence_changed
 *		Draw the conclusions after the counters of a rollout have changed.
 */
void
rollout_evidence_changed(Package *package, Rollout *rollout)
{
	Timeline *timeline = &rollout->timeline;

	touch(package, rollout);
	timeline->needs_canary = needs_canary(rollout);

	/* One that waits after a resume can still hear from leases of before. */
	if (phase_runs(timeline->phase) || timeline->phase == PHASE_QUEUED)
	{
		for (int tier = 0; tier < TIER_COUNT; tier++)
		{
			int failures = rollout->failed[tier] - rollout->acknowledged[tier];

			if (failures > rollout->max_failures)
			{
				halt_rollout(package, rollout,
							 psprintf("%d %s failed, %d tolerated", failures,
									  tier == TIER_CANARY ?
										  (failures == 1 ? "canary workspace" : "canary workspaces") :
										  (failures == 1 ? "production workspace" : "production workspaces"),
									  rollout->max_failures));
				return;
			}
		}
	}

	if (timeline->phase == PHASE_CANARY && !timeline->needs_canary)
		run_rollout(package, rollout);
	else if (timeline->phase == PHASE_SOAKING && timeline->needs_canary)
	{
		timeline->soak_ends_at = DT_NOEND;
		enter_phase(package, rollout, PHASE_CANARY, "a canary success was withdrawn");
	}
}

/*
 * package_renew
 *		Start a rollout of the package again as the newest, with the policy
 *		of now and without evidence.
 */
Rollout *
package_renew(Package *package, Rollout *rollout, char *reason)
{
	NullableDatum args[2] = { text_value(package->name), int64_value(rollout->id) };
	Rollout		 *renewed;

	check_policy_snapshot(package->name);
	renewed = rollout_found(statement_fetch_all(&renew_rollout, NULL, args));
	if (renewed == NULL) /* deleted by hand */
		refuse_unknown_rollout(package->name, rollout->version);
	executions_clear(package, rollout);
	package->rollouts = list_delete_ptr(package->rollouts, rollout);
	renewed->reason = reason;
	add_rollout(package, renewed);
	event_note(package, renewed, "retried", reason);
	admit(package, renewed);
	return renewed;
}

/* present_phase: the text of a rollout's phase, as of when gates are read. */
Datum
present_phase(const Package *package, const Rollout *rollout)
{
	return CStringGetTextDatum(phase_names[phase_at(&rollout->timeline, package->now)]);
}

/*
 * update_tier.start(package, version) returns text
 *
 * Registers a version, unless it is known.  Returns its phase.
 */
Datum
update_tier_start(PG_FUNCTION_ARGS)
{
	char	*name = name_argument(fcinfo->args[0], "package");
	char	*version = name_argument(fcinfo->args[1], "version");
	Package *package;
	Rollout *rollout;

	require_own_tables(fcinfo);
	package = package_lock(name, "update_tier.start()");
	rollout = package_start(package, version);
	package_save(package);
	PG_RETURN_DATUM(present_phase(package, rollout));
}
