/*-------------------------------------------------------------------------
 *
 * operator.c
 *	  What operators do: policies, the verbs, and forgetting; and which
 *	  version they can roll back to.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "old_rollout.h"

PG_FUNCTION_INFO_V1(update_tier_set_policy);
PG_FUNCTION_INFO_V1(update_tier_promote);
PG_FUNCTION_INFO_V1(update_tier_halt);
PG_FUNCTION_INFO_V1(update_tier_resume);
PG_FUNCTION_INFO_V1(update_tier_abort);
PG_FUNCTION_INFO_V1(update_tier_retry);
PG_FUNCTION_INFO_V1(update_tier_promoted_version);
PG_FUNCTION_INFO_V1(update_tier_prune);


/* ---------------------------------------------------------------------
 * Policy
 * ---------------------------------------------------------------------
 */

static Statement upsert_policy = {
	.text = "INSERT INTO update_tier.policy AS p (package, " POLICY_COLUMNS ")"
			" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (package) DO UPDATE SET"
			" soak = COALESCE(excluded.soak, p.soak),"
			" min_successes = COALESCE(excluded.min_successes, p.min_successes),"
			" max_failures = COALESCE(excluded.max_failures, p.max_failures),"
			" max_in_flight = COALESCE(excluded.max_in_flight, p.max_in_flight),"
			" max_attempts = COALESCE(excluded.max_attempts, p.max_attempts),"
			" lease = COALESCE(excluded.lease, p.lease),"
			" auto_promote = COALESCE(excluded.auto_promote, p.auto_promote),"
			" require_canary = COALESCE(excluded.require_canary, p.require_canary)",
	.nargs = 9,
	.argtypes = { TEXTOID, INTERVALOID, INT4OID, INT4OID, INT4OID, INT4OID, INTERVALOID,
				  BOOLOID, BOOLOID },
	.role = AS_EXTENSION,
};

static void
check_setting(NullableDatum value, int32 minimum, const char *setting)
{
	if (!value.isnull && DatumGetInt32(value.value) < minimum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be at least %d: %d", setting, minimum,
						DatumGetInt32(value.value))));
}

static void
check_interval(NullableDatum value, int64 minimum, const char *setting)
{
	if (!value.isnull &&
		interval_microseconds(DatumGetIntervalP(value.value)) < minimum)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must %s", setting,
						minimum > 0 ? "be positive" : "not be negative")));
}

/*
 * update_tier.set_policy(package, soak, min_successes, max_failures,
 *		max_in_flight, max_attempts, lease, auto_promote, require_canary)
 *		returns void
 *
 * Errors: 22023 for nonsense, 22004 for a NULL package.
 */
Datum
update_tier_set_policy(PG_FUNCTION_ARGS)
{
	Package		 *package;
	NullableDatum args[9];

	require_own_tables(fcinfo);
	for (int i = 0; i < 9; i++)
		args[i] = fcinfo->args[i];
	(void) name_argument(args[0], "package");
	check_interval(args[1], 0, "soak");
	check_setting(args[2], 1, "min_successes");
	check_setting(args[3], 0, "max_failures");
	check_setting(args[4], 1, "max_in_flight");
	check_setting(args[5], 1, "max_attempts");
	check_interval(args[6], 1, "lease");

	/* Not while a rollout of the package is about to copy its settings. */
	package = package_lock(TextDatumGetCString(args[0].value), "update_tier.set_policy()");
	statement_run(&upsert_policy, NULL, args, NULL);
	event_note(package, NULL, "policy", NULL);
	package_save(package);
	PG_RETURN_VOID();
}


/* ---------------------------------------------------------------------
 * Verbs
 * ---------------------------------------------------------------------
 */

/* What a verb's arguments name, under the package's lock. */
static Rollout *
verb_target(FunctionCallInfo fcinfo, Package **package, const char *command)
{
	char	*name = name_argument(fcinfo->args[0], "package");
	char	*version = name_argument(fcinfo->args[1], "version");
	Rollout *rollout;

	require_own_tables(fcinfo);
	*package = package_lock(name, command);
	rollout = package_find(*package, version);
	if (rollout == NULL || !rollout_is_ours(rollout, true))
		refuse_unknown_rollout(name, version);
	executions_expire(*package, rollout);
	return rollout;
}

/* The phase does not permit the verb. */
static void
refuse_verb(const Rollout *rollout, const char *verb, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s version \"%s\" of package \"%s\"", verb,
					clipped(rollout->version), clipped(rollout->package)),
			 errdetail("Its phase is \"%s\".", phase_names[rollout->timeline.phase]),
			 errhint("%s", hint)));
}

/* Save, and return the phase. */
static Datum
verb_done(Package *package, Rollout *rollout)
{
	package_save(package);
	return present_phase(package, rollout);
}

/*
 * update_tier.promote(package, version, reason) returns text
 *
 * Errors: P0002 unknown rollout, 55000 when it does not soak.
 */
Datum
update_tier_promote(PG_FUNCTION_ARGS)
{
	Package *package;
	Rollout *rollout = verb_target(fcinfo, &package, "update_tier.promote()");

	switch (rollout->timeline.phase)
	{
		case PHASE_PROMOTED:
			break;
		case PHASE_SOAKING:
			rollout->promoted_at = package->stamp;
			rollout->timeline.soak_ends_at = package->stamp;
			rollout->reason = reason_argument(fcinfo->args[2]);
			enter_phase(package, rollout, PHASE_PROMOTED, rollout->reason);
			break;
		default:
			refuse_verb(rollout, "promote", "Only a version that soaks can be promoted.");
	}
	PG_RETURN_DATUM(verb_done(package, rollout));
}

/*
 * update_tier.halt(package, version, reason) returns text
 *
 * Errors: P0002 unknown rollout, 55000 when it has ended.
 */
Datum
update_tier_halt(PG_FUNCTION_ARGS)
{
	Package *package;
	Rollout *rollout = verb_target(fcinfo, &package, "update_tier.halt()");

	switch (rollout->timeline.phase)
	{
		case PHASE_HALTED:
			break;
		case PHASE_ABORTED:
		case PHASE_SUPERSEDED:
			refuse_verb(rollout, "halt", "It has ended: nobody gets it.");
			break;
		default:
			halt_rollout(package, rollout, reason_argument(fcinfo->args[2]));
	}
	PG_RETURN_DATUM(verb_done(package, rollout));
}

/*
 * update_tier.resume(package, version, reason) returns text
 *
 * Never promotes: the failures so far are acknowledged, and the soak starts
 * again, also for one that had been promoted.
 *
 * Errors: P0002 unknown rollout, 55000 when it has ended or a newer version
 * has taken its place.
 */
Datum
update_tier_resume(PG_FUNCTION_ARGS)
{
	Package	 *package;
	Rollout	 *rollout = verb_target(fcinfo, &package, "update_tier.resume()");
	ListCell *lc;

	if (rollout->timeline.phase == PHASE_ABORTED ||
		rollout->timeline.phase == PHASE_SUPERSEDED)
		refuse_verb(rollout, "resume", "Use update_tier.retry to start it again.");

	if (rollout->timeline.phase == PHASE_HALTED)
	{
		foreach(lc, package->rollouts)
		{
			Rollout *other = (Rollout *) lfirst(lc);

			if (other->ordinal > rollout->ordinal &&
				(phase_runs(other->timeline.phase) || other->timeline.phase == PHASE_QUEUED))
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("cannot resume version \"%s\" of package \"%s\"",
								clipped(rollout->version), clipped(rollout->package)),
						 errdetail("The newer version \"%s\" has taken its place; its phase is \"%s\".",
								   clipped(other->version), phase_names[other->timeline.phase]),
						 errhint("Use update_tier.retry to make this one the newest.")));
		}
		executions_acknowledge(rollout);
		for (int tier = 0; tier < TIER_COUNT; tier++)
			rollout->acknowledged[tier] = rollout->failed[tier];
		rollout->promoted_at = DT_NOEND;
		rollout->reason = reason_argument(fcinfo->args[2]);
		event_note(package, rollout, "resumed", rollout->reason);
		admit(package, rollout);
	}
	PG_RETURN_DATUM(verb_done(package, rollout));
}

/*
 * update_tier.abort(package, version, reason) returns text
 *
 * Errors: P0002 unknown rollout.
 */
Datum
update_tier_abort(PG_FUNCTION_ARGS)
{
	Package *package;
	Rollout *rollout = verb_target(fcinfo, &package, "update_tier.abort()");

	if (rollout->timeline.phase != PHASE_ABORTED)
	{
		rollout->related = NULL;
		rollout->reason = reason_argument(fcinfo->args[2]);
		rollout->promoted_at = DT_NOEND;
		stop_clock(rollout);
		enter_phase(package, rollout, PHASE_ABORTED, rollout->reason);
	}
	PG_RETURN_DATUM(verb_done(package, rollout));
}

/*
 * update_tier.retry(package, version, reason) returns text
 *
 * Starts again as the newest, with the policy of now and without evidence.
 *
 * Errors: P0002 unknown rollout, 55000 when it has not ended.
 */
Datum
update_tier_retry(PG_FUNCTION_ARGS)
{
	Package *package;
	Rollout *rollout = verb_target(fcinfo, &package, "update_tier.retry()");

	switch (rollout->timeline.phase)
	{
		case PHASE_HALTED:
		case PHASE_ABORTED:
		case PHASE_SUPERSEDED:
			break;
		default:
			refuse_verb(rollout, "retry", "Halt or abort it first.");
	}

	rollout = package_renew(package, rollout, reason_argument(fcinfo->args[2]));
	PG_RETURN_DATUM(verb_done(package, rollout));
}


/* ---------------------------------------------------------------------
 * What was promoted, and forgetting
 * ---------------------------------------------------------------------
 */

/*
 * The version promoted last: by its date, or by a soak that has ended since
 * and is not written down yet.  One that was superseded afterwards was good;
 * one that was halted or aborted was not.
 */
/* clang-format off */
#define PROMOTED_VERSION(package, moment) \
	"SELECT q.id, q.version FROM (" \
	" SELECT r.id, r.version, r.ordinal," \
	"  CASE WHEN r.promoted_at OPERATOR(pg_catalog.<) 'infinity' THEN r.promoted_at ELSE r.soak_ends_at END AS promoted_at," \
	"  update_tier.phase_at(r.phase, r.require_canary AND r.canary_succeeded OPERATOR(pg_catalog.<) r.min_successes," \
	"   r.turn_at, r.soak_ends_at, r.superseded_at, r.halts_at, " moment ") AS phase" \
	" FROM update_tier.rollout AS r WHERE " TEXT_IS("r.package", package) \
	"  AND r.phase OPERATOR(pg_catalog.=) ANY (ARRAY['queued', 'soaking', 'promoted', 'superseded'])) AS q" \
	" WHERE q.promoted_at OPERATOR(pg_catalog.<) 'infinity'" \
	" AND q.phase OPERATOR(pg_catalog.=) ANY (ARRAY['promoted', 'superseded'])" \
	" ORDER BY q.promoted_at DESC, q.ordinal DESC LIMIT 1"
/* clang-format on */

static Statement promoted_version = {
	.text = PROMOTED_VERSION("$1", "$2"),
	.nargs = 2,
	.argtypes = { TEXTOID, TIMESTAMPTZOID },
	.read_only = true,
	.role = AS_EXTENSION,
};

/*
 * update_tier.promoted_version(package) returns text
 */
Datum
update_tier_promoted_version(PG_FUNCTION_ARGS)
{
	NullableDatum args[2] = { fcinfo->args[0],
							  moment_value(GetCurrentTransactionStartTimestamp()) };
	NullableDatum row[2];

	require_own_tables(fcinfo);
	if (!statement_fetch(&promoted_version, NULL, args, row))
		PG_RETURN_NULL();
	PG_RETURN_DATUM(row[1].value);
}

/*
 * Ended long enough ago, and not what promoted_version() names.  Which that is
 * depends on siblings that others may be changing: as if we had come first.
 */
static Statement prunable_rollouts = {
	.text = "SELECT r.id FROM update_tier.rollout AS r"
			" WHERE r.phase OPERATOR(pg_catalog.=) ANY (ARRAY['superseded', 'aborted'])"
			" AND r.changed_at OPERATOR(pg_catalog.<) $1"
			" AND r.id OPERATOR(pg_catalog.<>) ALL"
			" (SELECT k.id FROM (" PROMOTED_VERSION("r.package", "$2") ") AS k) ORDER BY r.id",
	.nargs = 2,
	.argtypes = { TIMESTAMPTZOID, TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

/* One of them, for us alone, if nobody is about to change it. */
static Statement lock_prunable = {
	.text = "SELECT r.package, r.version FROM update_tier.rollout AS r"
			" WHERE r.id OPERATOR(pg_catalog.=) $1"
			" AND r.phase OPERATOR(pg_catalog.=) ANY (ARRAY['superseded', 'aborted'])"
			" AND r.changed_at OPERATOR(pg_catalog.<) $2 FOR UPDATE SKIP LOCKED",
	.nargs = 2,
	.argtypes = { INT8OID, TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

static Statement prune_rollout = {
	.text = "DELETE FROM update_tier.rollout AS r WHERE r.id OPERATOR(pg_catalog.=) $1",
	.nargs = 1,
	.argtypes = { INT8OID },
	.role = AS_EXTENSION,
};

static Statement prune_events = {
	.text = "DELETE FROM update_tier.event AS e WHERE e.at OPERATOR(pg_catalog.<) $1",
	.nargs = 1,
	.argtypes = { TIMESTAMPTZOID },
	.role = AS_EXTENSION,
};

/*
 * update_tier.prune(older_than interval) returns bigint
 *
 * It locks the rows of rollouts that have ended, and no package: claims and
 * reports for what goes on do not wait for it.  A rollout that somebody is
 * about to change is left for the next time.
 *
 * Errors: 22023 for a negative interval, 22004 for NULL.
 */
Datum
update_tier_prune(PG_FUNCTION_ARGS)
{
	TimestampTz	  now = GetCurrentTransactionStartTimestamp();
	TimestampTz	  limit = now;
	NullableDatum args[2];
	int64		  pruned = 0;
	ListCell	 *lc;

	require_own_tables(fcinfo);
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("older_than must not be null")));
	check_interval(fcinfo->args[0], 0, "older_than");
	PreventCommandIfReadOnly("update_tier.prune()");
	if (pg_sub_s64_overflow(limit, interval_microseconds(PG_GETARG_INTERVAL_P(0)), &limit) ||
		!IS_VALID_TIMESTAMP(limit))
		PG_RETURN_INT64(0); /* older than time */

	args[0] = moment_value(limit);
	args[1] = moment_value(now);
	foreach(lc, statement_fetch_all(&prunable_rollouts, NULL, args))
	{
		NullableDatum which[2] = { ((NullableDatum *) lfirst(lc))[0], moment_value(limit) };
		NullableDatum names[2];
		Rollout		  rollout = { .id = DatumGetInt64(which[0].value) };
		Package		  package = { .stamp = GetCurrentTimestamp() };

		if (!statement_fetch(&lock_prunable, NULL, which, names))
			continue;
		package.name = TextDatumGetCString(names[0].value);
		rollout.version = TextDatumGetCString(names[1].value);
		executions_clear(&package, &rollout);
		pruned += statement_run(&prune_rollout, NULL, which, NULL);
	}

	statement_run(&prune_events, NULL, args, NULL);
	PG_RETURN_INT64(pruned);
}
