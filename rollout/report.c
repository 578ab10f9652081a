/*-------------------------------------------------------------------------
 *
 * rollout/report.c
 *	  The outcomes of attempts, and what workspaces run: report, extend, observe,
 *	  forget.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/uuid.h"

#include "fleet/live.h"
#include "rollout/event.h"
#include "rollout/gate.h"
#include "rollout/held.h"
#include "rollout/package.h"
#include "rollout/package_lock.h"
#include "rollout/refuse.h"
#include "rollout/setting.h"
#include "rollout/uncounted.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_report);
PG_FUNCTION_INFO_V1(update_tier_extend);
PG_FUNCTION_INFO_V1(update_tier_observe);
PG_FUNCTION_INFO_V1(update_tier_forget);

#define OUTCOMES_DETAIL \
	"Allowed values are \"succeeded\" (applied and running), \"failed\" (applied and bad), " \
	"\"error\" (the outcome is unknown) and \"skipped\" (nothing was applied)."

/* For an attempt whose token is only in update_tier.event. */
#define REPLACED_DETAIL \
	"A later attempt or update_tier.observe has replaced the attempt, " \
	"or update_tier.forget or update_tier.prune has deleted its installation."

/* The outcome that an argument names.  Errors: 22004 NULL, 22023 unknown. */
static State
outcome_argument(NullableDatum value)
{
	static const State outcomes[] = { STATE_SUCCEEDED, STATE_FAILED, STATE_ERROR, STATE_SKIPPED };
	char			  *outcome;

	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("outcome must not be null"),
				 errdetail(OUTCOMES_DETAIL)));
	outcome = TextDatumGetCString(value.value);
	for (int i = 0; i < lengthof(outcomes); i++)
	{
		if (strcmp(state_names[outcomes[i]], outcome) == 0)
			return outcomes[i];
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown outcome: \"%s\"", clipped(outcome)),
			 errdetail(OUTCOMES_DETAIL)));
}

/* Is the workspace live?  To be called before the package is locked. */
static bool
is_live(const pg_uuid_t *workspace)
{
	Tier				   tier;
	bool				   live;
	const WorkspacesTable *table = workspaces_or_assumption(&live);

	return table == NULL ? live :
						   workspace_look(table, UUIDPGetDatum(workspace), &tier, &live, false) && live;
}

static int64
token_argument(NullableDatum value)
{
	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("token must not be null")));
	return DatumGetInt64(value.value);
}

/*
 * No installation has the token.  Errors: P0002; 40001 if it was granted after
 * the transaction began, so that its snapshot does not show it.
 */
pg_noreturn static void
refuse_token(int64 token)
{
	if (IsolationUsesXactSnapshot() && installation_of_token(token, SEEN_LATEST) != NULL)
		refuse_old_snapshot(psprintf("Token %lld was granted after the transaction began.", (long long) token));
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("unknown token: %lld", (long long) token),
			 errdetail("No attempt in this database has this token. The claim may have been rolled back."),
			 errhint("Pass a token that update_tier.claim, update_tier.claim_batch or update_tier.force has returned.")));
}

/* Warn that a report is logged and not counted. */
static void
warn_not_counted(int64 token, const char *detail, const char *hint)
{
	ereport(WARNING,
			(errmsg("report for token %lld is not counted", (long long) token),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
}

static const char *
outcome_and_detail(State outcome, const char *detail)
{
	return detail ? psprintf("%s: %s", state_names[outcome], detail) : state_names[outcome];
}

/*
 * Log a report for an attempt that was replaced.  Errors: as refuse_token(), if
 * the log knows no such attempt.
 */
static Datum
late_report(FunctionCallInfo fcinfo, int64 token, State outcome, const char *detail)
{
	char		  *name;
	char		  *version;
	LoadedPackage *loaded;
	LoadedRollout *rollout;

	if (!event_of_replaced_token(token, &name, &version))
		refuse_token(token);
	loaded = package_lock(name, "update_tier.report()", WITHOUT_ALL);
	rollout = version ? package_find(loaded, version) : NULL;
	package_note_token(loaded, rollout, "late report", token, outcome_and_detail(outcome, detail));
	package_save(loaded);
	warn_not_counted(token, REPLACED_DETAIL,
					 psprintf("Report before the lease ends, extend it with update_tier.extend, or set a longer lease with update_tier.set_policy(%s, lease => ...).",
							  package_text(name)));
	if (rollout == NULL)
		PG_RETURN_NULL();
	return phase_text(loaded, rollout);
}

/*
 * The installation whose latest attempt has the token, and its package; or
 * NULL.  Read before the package is locked.
 */
static LoadedInstallation *
installation_and_package(int64 token, char **package, TimestampTz *stamp)
{
	LoadedInstallation *installation = installation_of_token(token, SEEN_NOW);

	if (installation == NULL)
		return NULL;
	*package = held_name_of(installation->package_id, stamp);
	return *package ? installation : NULL;
}

/* Errors: 55000, for a report that is better than the one before. */
pg_noreturn static void
refuse_better(const LoadedInstallation *installation, State outcome)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("token %lld was already reported as \"%s\"",
					(long long) installation->installation.token,
					state_names[installation->installation.state]),
			 errdetail("A later report can only be worse, and \"%s\" is not worse.", state_names[outcome]),
			 errhint("Claim the workspace again to make another attempt.")));
}

/*
 * Log what a report has changed.  Failures are logged, with workspace and
 * detail; successes are only counted.
 */
static void
reported(LoadedPackage *loaded, LoadedInstallation *installation, Evidence before)
{
	const Installation *now = &installation->installation;

	if (now->evidence == EVIDENCE_FAILED && (before != EVIDENCE_FAILED || now->state == STATE_FAILED))
		package_note(loaded, package_need(loaded, now->rollout), "failed", installation, installation->detail);
	package_conclude(loaded, installation, NULL, NULL);
	package_touch(loaded, installation);
}

/*
 * Note since when the workspace runs its version, if that has changed.
 * "unknown" is the version's name if it was never started, else NULL.
 */
static void
note_runs(LoadedInstallation *installation, int64 before, const char *unknown, TimestampTz stamp)
{
	bool same_unknown = unknown == NULL ||
		(installation->runs_version != NULL && strcmp(installation->runs_version, unknown) == 0);

	if (installation->installation.runs != before || !same_unknown)
		installation_set_runs(installation, unknown, stamp);
}

/* The arguments of a report, and what is read before the package is locked. */
typedef struct Report
{
	int64		token;
	State		outcome;
	char	   *installed_version;
	char	   *detail;
	pg_uuid_t	workspace;
	bool		live; /* is the workspace live? */
	char	   *package;
	TimestampTz stamp; /* of the package, without its lock */
} Report;

/*
 * Is another version installed than the rollout's?  Then the outcome is an
 * error, whatever the client says, unless the attempt was skipped.
 */
static bool
is_other_version(Report *report, const LoadedRollout *rollout)
{
	if (rollout == NULL || report->installed_version == NULL ||
		strcmp(report->installed_version, rollout->rollout.version) == 0)
		return false;
	report->detail = psprintf("installed version is %s%s%s", report->installed_version,
							  report->detail ? ": " : "", report->detail ? report->detail : "");
	if (report->outcome != STATE_SKIPPED)
		report->outcome = STATE_ERROR;
	return true;
}

/*
 * Write a report that can change no decision without the package's lock: so
 * reports do not wait for one another.  A transaction that has the lock reports
 * in the same way, as this writes less than report_in_package().  False, and
 * nothing is written: it can change a decision, or its attempt has changed
 * meanwhile.
 *
 * Always false under REPEATABLE READ, where report_in_package() checks for
 * changes since the transaction began; and in a transaction that has the lock,
 * and claims and reports a few in turns: there reports apart would become slower
 * and slower.
 */
static bool
report_apart(const Report *report, LoadedInstallation *installation, Datum *phase)
{
	LoadedRollout	  *rollout;
	LoadedRollout	  *newest;
	LoadedInstallation reported = *installation;
	TimestampTz		   stamp = Max(GetCurrentTimestamp(), report->stamp);
	Uncounted		   uncounted;

	if (IsolationUsesXactSnapshot() || (uncounted_few_at_a_time() && package_is_locked(report->package)))
		return false;
	PreventCommandIfReadOnly("update_tier.report()");
	rollout = rollout_of_id(installation->installation.rollout, SEEN_NOW);
	if (rollout == NULL ||
		(report->installed_version != NULL && strcmp(report->installed_version, rollout->rollout.version) != 0) ||
		!machine_report_apart(&rollout->rollout, &reported.installation, report->outcome, report->live,
							  GetCurrentStatementStartTimestamp(), stamp, &uncounted))
		return false;

	reported.installed_version = report->installed_version;
	reported.detail = report->detail;
	note_runs(&reported, installation->installation.runs, NULL, stamp);
	if (!installation_try_save(&reported, stamp))
		return false;
	uncounted_insert(reported.package_id, &uncounted);
	newest = rollout_promoted_before(rollout->package, PG_INT64_MAX, SEEN_NOW);
	*phase = CStringGetTextDatum(phase_names[newest != NULL && newest->rollout.ordinal > rollout->rollout.ordinal ?
												 PHASE_SUPERSEDED :
												 PHASE_PROMOTED]);
	return true;
}

/* A report under the package's lock, which may change what is decided. */
static Datum
report_in_package(FunctionCallInfo fcinfo, Report *report)
{
	LoadedPackage	   *loaded = package_lock_for(report->package, "update_tier.report()", WITHOUT_ALL,
												  &report->workspace, report->token);
	LoadedInstallation *installation = package_installation(loaded, &report->workspace);
	LoadedRollout	   *rollout = package_need(loaded, installation->installation.rollout);
	LoadedRollout	   *other = NULL;
	int64				runs = installation->installation.runs;
	Evidence			evidence = installation->installation.evidence;

	/* Another attempt may have replaced it while we waited. */
	if (installation->installation.token != report->token)
	{
		package_save(loaded);
		return late_report(fcinfo, report->token, report->outcome, report->detail);
	}
	if (is_other_version(report, rollout))
		other = package_find(loaded, report->installed_version);

	package_begin(loaded);
	switch (machine_report(&loaded->package, &installation->installation, report->outcome, report->live))
	{
		case REFUSED_BETTER:
			refuse_better(installation, report->outcome);
		case ACCEPTED:
			installation->installed_version = report->installed_version;
			installation->detail = report->detail;
			if (other != NULL)
				machine_runs(&installation->installation, &other->rollout, true);
			note_runs(installation, runs, NULL, loaded->package.stamp);
			if (!machine_is_of_run(&loaded->package, &installation->installation))
			{
				package_note(loaded, rollout, "late report", installation,
							 outcome_and_detail(report->outcome, report->detail));
				warn_not_counted(report->token, "The version was started again with update_tier.retry after the workspace was claimed.",
								 "Claim the workspace again.");
			}
			reported(loaded, installation, evidence);
			break;
		default:
			break;
	}
	package_save(loaded);
	if (rollout == NULL)
		PG_RETURN_NULL();
	return phase_text(loaded, rollout);
}

/*
 * update_tier.report(token, outcome, installed_version, detail) returns text
 *
 * Reports the outcome of an attempt.  Returns the phase of its rollout, or NULL
 * if that has been deleted.
 *
 * Errors: 22004 for NULL, 22023 for an unknown outcome, P0002 for an unknown
 * token, 55000 if the attempt was reported to be worse before or on a Citus
 * worker, 25006 and 40001 as package_lock_for().
 */
Datum
update_tier_report(PG_FUNCTION_ARGS)
{
	Report				report = { .token = token_argument(fcinfo->args[0]),
								   .outcome = outcome_argument(fcinfo->args[1]),
								   .installed_version = detail_argument(fcinfo->args[2]),
								   .detail = detail_argument(fcinfo->args[3]) };
	LoadedInstallation *installation;
	Datum				phase;

	require_own_tables(fcinfo);
	installation = installation_and_package(report.token, &report.package, &report.stamp);
	if (installation == NULL)
		return late_report(fcinfo, report.token, report.outcome, report.detail);
	report.workspace = installation->workspace;
	report.live = report.outcome != STATE_SKIPPED && is_live(&report.workspace);
	if (report_apart(&report, installation, &phase))
		PG_RETURN_DATUM(phase);
	return report_in_package(fcinfo, &report);
}

/* Errors: 55000, for a lease that has ended. */
pg_noreturn static void
refuse_ended_lease(int64 token, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the lease of token %lld has ended", (long long) token),
			 errdetail("%s", detail),
			 errhint("Claim the workspace again.")));
}

/*
 * update_tier.extend(token, by) returns timestamptz
 *
 * Extends a live lease by an interval, or to one lease from now.  Returns its
 * end.
 *
 * Errors: 22004 for a NULL token, 22023 if "by" is not positive, P0002 for an
 * unknown token, 55000 if the lease has ended or on a Citus worker, 25006 and
 * 40001 as package_lock_for().
 */
Datum
update_tier_extend(PG_FUNCTION_ARGS)
{
	int64				token = token_argument(fcinfo->args[0]);
	Span				by = 0;
	LoadedInstallation *installation;
	LoadedPackage	   *loaded;
	char			   *name;
	TimestampTz			stamp;
	pg_uuid_t			workspace;

	require_own_tables(fcinfo);
	if (!fcinfo->args[1].isnull)
	{
		interval_check(fcinfo->args[1], 1, "by");
		by = interval_microseconds(DatumGetIntervalP(fcinfo->args[1].value));
	}
	installation = installation_and_package(token, &name, &stamp);
	if (installation == NULL)
	{
		char *version;

		if (!event_of_replaced_token(token, &name, &version))
			refuse_token(token);
		refuse_ended_lease(token, REPLACED_DETAIL);
	}
	workspace = installation->workspace;

	loaded = package_lock_for(name, "update_tier.extend()", WITHOUT_ALL, &workspace, token);
	installation = package_installation(loaded, &workspace);
	if (installation->installation.token != token)
		refuse_ended_lease(token, REPLACED_DETAIL);
	if (machine_extend(&loaded->package, &installation->installation, by) != ACCEPTED)
		refuse_ended_lease(token, psprintf("The state of the attempt is \"%s\".", state_names[installation->installation.state]));
	package_touch(loaded, installation);
	package_save(loaded);
	PG_RETURN_TIMESTAMPTZ(DatumGetTimestampTz(moment_value(installation->installation.lease_until).value));
}

/*
 * A workspace was observed to run a version badly, and it holds a lease of
 * another version.  There is one installation, so nothing can remember that
 * this failure is counted.
 */
static void
failed_besides(LoadedPackage *loaded, const LoadedRollout *rollout,
			   const LoadedInstallation *installation, const char *detail)
{
	package_note(loaded, rollout, "late report", installation, outcome_and_detail(STATE_FAILED, detail));
	((EventNote *) llast(loaded->notes))->token = 0; /* that of the other version */
	ereport(WARNING,
			(errmsg("failure of version \"%s\" is not counted", clipped(rollout->rollout.version)),
			 errdetail("Workspace %s holds a lease of another version.", workspace_text(&installation->workspace)),
			 errhint("If version \"%s\" is bad, use update_tier.halt.", clipped(rollout->rollout.version))));
}

/*
 * update_tier.observe(package, version, workspace, outcome, detail) returns text
 *
 * A report without a claim.  Returns the phase of the version's rollout, or
 * NULL if it was never started.
 *
 * Errors: 22004 for NULL, 22023 for an invalid argument, P0002 for an unknown
 * workspace, 55000 when no table is attached or on a Citus worker, 25006 and
 * 40001 as package_lock_for().
 */
Datum
update_tier_observe(PG_FUNCTION_ARGS)
{
	char				  *name = package_argument(fcinfo->args[0]);
	char				  *version = name_argument(fcinfo->args[1], "version");
	Datum				   id = id_argument(fcinfo->args[2], "workspace");
	State				   outcome = outcome_argument(fcinfo->args[3]);
	char				  *detail = detail_argument(fcinfo->args[4]);
	const WorkspacesTable *table;
	Workspace			   workspace = { .id = DatumGetUUIDP(id)->data };
	LoadedPackage		  *loaded;
	LoadedRollout		  *rollout;
	LoadedInstallation	  *installation;
	LoadedRollout		  *attempted;
	int64				   token;
	int64				   runs;
	Evidence			   evidence;
	bool				   is_leased;
	bool				   ran_well;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (!workspace_look(table, id, &workspace.tier, &workspace.live, false))
		refuse_unknown_workspace(id, table);

	loaded = package_lock_for(name, "update_tier.observe()", WITHOUT_ALL, DatumGetUUIDP(id), ANY_ATTEMPT);
	rollout = package_find(loaded, version);
	installation = package_installation(loaded, DatumGetUUIDP(id));
	attempted = package_need(loaded, installation->installation.rollout);
	token = installation->installation.token;
	runs = installation->installation.runs;
	evidence = installation->installation.evidence;
	is_leased = machine_is_leased(&installation->installation);
	ran_well = installation->installation.runs_well;
	package_begin(loaded);
	switch (machine_observe(&loaded->package, rollout ? &rollout->rollout : NULL,
							&installation->installation, outcome, &workspace))
	{
		case ACCEPTED:
			/* The lease of another version goes on, and its report will have a detail. */
			if (is_leased && machine_is_leased(&installation->installation))
			{
				/* Not again, if it was observed before. */
				if (outcome == STATE_FAILED && rollout != NULL &&
					(installation->installation.runs != runs || ran_well))
					failed_besides(loaded, rollout, installation, detail);
				note_runs(installation, runs, rollout ? NULL : version, loaded->package.stamp);
				package_touch(loaded, installation);
				break;
			}
			installation->detail = detail;
			/*
			 * A report for the attempt that this replaces may still come, so
			 * its token is logged.
			 */
			if (token != 0 && installation->installation.token != token)
				package_note_token(loaded, attempted, "replaced", token, "observed");
			note_runs(installation, runs, rollout ? NULL : version, loaded->package.stamp);
			reported(loaded, installation, evidence);
			break;
		default:
			break;
	}
	package_save(loaded);
	if (rollout == NULL)
		PG_RETURN_NULL();
	return phase_text(loaded, rollout);
}

/*
 * update_tier.forget(package, workspace, reason) returns boolean
 *
 * Drops the installation of a workspace.  Returns false if it has none.
 *
 * Errors: 22004 for NULL, 22023 for an invalid argument, 55000 if the workspace
 * holds a live lease or on a Citus worker, 25006 and 40001 as
 * package_lock_for().
 */
Datum
update_tier_forget(PG_FUNCTION_ARGS)
{
	char			   *name = package_argument(fcinfo->args[0]);
	Datum				id = id_argument(fcinfo->args[1], "workspace");
	char			   *reason = needed_reason_argument(fcinfo->args[2]);
	LoadedPackage	   *loaded;
	LoadedInstallation *installation;

	require_own_tables(fcinfo);
	loaded = package_lock_for(name, "update_tier.forget()", WITHOUT_ALL, DatumGetUUIDP(id), 0);
	installation = package_installation(loaded, DatumGetUUIDP(id));
	if (installation->row == NULL)
	{
		package_save(loaded);
		PG_RETURN_BOOL(false);
	}
	package_forget(loaded, installation);
	package_note(loaded, NULL, "forgotten", installation, reason);
	package_save(loaded);
	PG_RETURN_BOOL(true);
}
