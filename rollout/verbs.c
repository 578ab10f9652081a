/*-------------------------------------------------------------------------
 *
 * rollout/verbs.c
 *	  The verbs: start, promote, halt, resume, abort, retry.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "rollout/package.h"
#include "rollout/refuse.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_start);
PG_FUNCTION_INFO_V1(update_tier_promote);
PG_FUNCTION_INFO_V1(update_tier_halt);
PG_FUNCTION_INFO_V1(update_tier_resume);
PG_FUNCTION_INFO_V1(update_tier_abort);
PG_FUNCTION_INFO_V1(update_tier_retry);

/*
 * update_tier.start(package, version) returns text
 *
 * Registers a version, unless it is known.  Returns its phase.
 *
 * Errors: 22004 for NULL, 22023 for an invalid package or version, 55000 on a
 * Citus worker, 25006 and 40001 as package_lock().
 */
Datum
update_tier_start(PG_FUNCTION_ARGS)
{
	char		  *name = package_argument(fcinfo->args[0]);
	char		  *version = name_argument(fcinfo->args[1], "version");
	LoadedPackage *loaded;
	LoadedRollout *rollout;

	require_own_tables(fcinfo);
	loaded = package_lock(name, "update_tier.start()", WITH_ALL);
	rollout = package_find(loaded, version);
	if (rollout == NULL)
	{
		rollout = package_new_rollout(loaded, version);
		package_note(loaded, rollout, "started", NULL, NULL);
		package_begin(loaded);
		machine_start(&loaded->package, &rollout->rollout);
		package_conclude(loaded, NULL, NULL, NULL);
	}
	package_save(loaded);
	PG_RETURN_DATUM(phase_text(loaded, rollout));
}

/* What to do if a verb is refused: advice in words, and the function to call. */
typedef struct Remedy
{
	const char *advice; /* NULL: nothing */
	const char *function;
	const char *rest; /* of its arguments, after package and version */
} Remedy;

/* A call of a verb. */
typedef struct Verb
{
	const char	  *name;
	Remedy		   remedy; /* if the phase does not permit it */
	char		  *reason;
	LoadedPackage *loaded;
	LoadedRollout *rollout;
} Verb;

/*
 * Check a verb's arguments, lock the package and find the version.
 *
 * Errors of every verb: 22004 for a NULL package or version, 22023 for an
 * invalid argument, P0002 for a version that was never started, 55000 on a
 * Citus worker, 25006 and 40001 as package_lock().
 */
static Verb
verb_begin(FunctionCallInfo fcinfo, const char *name, const char *command, OfAll of_all)
{
	char *package = package_argument(fcinfo->args[0]);
	char *version = name_argument(fcinfo->args[1], "version");
	Verb  verb = { .name = name, .reason = reason_argument(fcinfo->args[2]) };

	require_own_tables(fcinfo);
	verb.loaded = package_lock(package, command, of_all);
	verb.rollout = package_find_known(verb.loaded, version);
	package_begin(verb.loaded);
	return verb;
}

pg_noreturn static void
refuse(const Verb *verb, int code, const char *detail, Remedy remedy)
{
	const char *package = verb->loaded->name;
	const char *version = verb->rollout->rollout.version;

	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot %s version \"%s\" of package \"%s\"", verb->name, clipped(version), clipped(package)),
			 errdetail("%s", detail),
			 remedy.advice ?
				 errhint("%s: SELECT update_tier.%s(%s%s).", remedy.advice, remedy.function,
						 version_arguments(package, version), remedy.rest) :
				 0));
}

/*
 * Act on the machine's answer: raise an error, or log and save.  "kind" is the
 * event to log; NULL: the change of phase is the event.  Returns the phase.
 */
static Datum
verb_end(const Verb *verb, Refusal refusal, const char *kind)
{
	const Package *package = &verb->loaded->package;
	const Rollout *rollout = &verb->rollout->rollout;
	const Rollout *successor;
	const char	  *phase = phase_names[machine_phase(package, rollout)];

	switch (refusal)
	{
		case ACCEPTED:
			if (kind != NULL)
			{
				verb->rollout->reason = verb->reason;
				package_note(verb->loaded, verb->rollout, kind, NULL, verb->reason);
			}
			package_conclude(verb->loaded, NULL, kind ? NULL : verb->rollout, verb->reason);
			break;
		case REFUSED_REASON:
			refuse(verb, ERRCODE_INVALID_PARAMETER_VALUE,
				   psprintf("Its phase is \"%s\". To skip the canaries, a reason is needed.", phase),
				   (Remedy){ "Wait for the canaries, or give a reason", "promote", ", 'the reason'" });
		case REFUSED_REPLACED:
			successor = machine_successor(package, rollout);
			refuse(verb, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   psprintf("Version \"%s\" in phase \"%s\" is newer and has taken its place.",
							clipped(successor->version), phase_names[machine_phase(package, successor)]),
				   (Remedy){ "To make it the newest version, retry it", "retry", "" });
			break;
		case REFUSED_PHASE:
			refuse(verb, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   psprintf("Its phase is \"%s\".", phase), verb->remedy);
		default:
			break;
	}
	package_save(verb->loaded);
	return phase_text(verb->loaded, verb->rollout);
}

/*
 * update_tier.promote(package, version, reason) returns text
 *
 * Ends a soak or a ramp, or skips the canaries.  Returns the phase.
 *
 * Errors: see verb_begin(); 22023 if it skips the canaries without a reason,
 * 55000 if the phase does not permit it.
 */
Datum
update_tier_promote(PG_FUNCTION_ARGS)
{
	Verb  verb = verb_begin(fcinfo, "promote", "update_tier.promote()", WITHOUT_ALL);
	Phase phase = machine_phase(&verb.loaded->package, &verb.rollout->rollout);
	bool  has_reason = verb.reason != NULL && verb.reason[0] != '\0';

	verb.remedy = phase == PHASE_HALTED ? (Remedy){ "Resume it first", "resume", "" } :
										  (Remedy){ "Retry it first", "retry", "" };
	PG_RETURN_DATUM(verb_end(&verb,
							 machine_promote(&verb.loaded->package, &verb.rollout->rollout, has_reason),
							 phase == PHASE_PROMOTED ? "ramp ended" : NULL));
}

/*
 * update_tier.halt(package, version, reason) returns text
 *
 * Closes a version until an operator decides.  Returns the phase.
 *
 * Errors: see verb_begin(); 55000 if the rollout has ended.
 */
Datum
update_tier_halt(PG_FUNCTION_ARGS)
{
	Verb verb = verb_begin(fcinfo, "halt", "update_tier.halt()", WITHOUT_ALL);

	if (machine_phase(&verb.loaded->package, &verb.rollout->rollout) == PHASE_SUPERSEDED)
		verb.remedy = (Remedy){ "Abort it instead", "abort", "" };
	PG_RETURN_DATUM(verb_end(&verb, machine_halt(&verb.loaded->package, &verb.rollout->rollout), NULL));
}

/*
 * update_tier.resume(package, version, reason) returns text
 *
 * Continues a halted rollout, with a new soak.  Returns the phase.
 *
 * Errors: see verb_begin(); 55000 if the rollout has ended, or a newer version
 * has taken its place.
 */
Datum
update_tier_resume(PG_FUNCTION_ARGS)
{
	Verb verb = verb_begin(fcinfo, "resume", "update_tier.resume()", WITHOUT_ALL);

	verb.remedy = (Remedy){ "Retry it instead", "retry", "" };
	PG_RETURN_DATUM(verb_end(&verb, machine_resume(&verb.loaded->package, &verb.rollout->rollout), "resumed"));
}

/*
 * update_tier.abort(package, version, reason) returns text
 *
 * Ends a rollout: its workspaces go back to the promoted version.  Returns the
 * phase.
 *
 * Errors: see verb_begin().
 */
Datum
update_tier_abort(PG_FUNCTION_ARGS)
{
	Verb verb = verb_begin(fcinfo, "abort", "update_tier.abort()", WITHOUT_ALL);

	PG_RETURN_DATUM(verb_end(&verb, machine_abort(&verb.loaded->package, &verb.rollout->rollout), NULL));
}

/*
 * update_tier.retry(package, version, reason) returns text
 *
 * Starts a version again as the newest, in a new run with the current settings.
 * Returns the phase.
 *
 * Errors: see verb_begin(); 55000 if the rollout has not ended.
 */
Datum
update_tier_retry(PG_FUNCTION_ARGS)
{
	Verb   verb = verb_begin(fcinfo, "retry", "update_tier.retry()", WITH_ALL);
	Policy policy = package_policy(verb.loaded);

	verb.remedy = (Remedy){ "Halt it first", "halt", "" };
	PG_RETURN_DATUM(verb_end(&verb,
							 machine_retry(&verb.loaded->package, &verb.rollout->rollout, next_ordinal(), &policy),
							 "retried"));
}
