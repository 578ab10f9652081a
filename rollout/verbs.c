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

/* A call of a verb. */
typedef struct Verb
{
	const char	  *name;
	const char	  *hint; /* when the phase does not permit it */
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
verb_begin(FunctionCallInfo fcinfo, const char *name, const char *command, const char *hint, OfAll of_all)
{
	char *package = package_argument(fcinfo->args[0]);
	char *version = name_argument(fcinfo->args[1], "version");
	Verb  verb = { .name = name, .hint = hint, .reason = reason_argument(fcinfo->args[2]) };

	require_own_tables(fcinfo);
	verb.loaded = package_lock(package, command, of_all);
	verb.rollout = package_find_known(verb.loaded, version);
	package_begin(verb.loaded);
	return verb;
}

pg_noreturn static void
refuse(const Verb *verb, int code, const char *detail, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot %s version \"%s\" of package \"%s\"", verb->name,
					clipped(verb->rollout->rollout.version), clipped(verb->loaded->name)),
			 errdetail("%s", detail),
			 errhint("%s", hint)));
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
				   psprintf("Its phase is \"%s\": this skips the canaries, and needs a reason.", phase),
				   "Give a reason, or wait for the canaries.");
		case REFUSED_REPLACED:
			successor = machine_successor(package, rollout);
			refuse(verb, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   psprintf("The newer version \"%s\" has taken its place; its phase is \"%s\".",
							clipped(successor->version), phase_names[machine_phase(package, successor)]),
				   "Use update_tier.retry to make this one the newest.");
			break;
		case REFUSED_PHASE:
			refuse(verb, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
				   psprintf("Its phase is \"%s\".", phase), verb->hint);
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
	Verb verb = verb_begin(fcinfo, "promote", "update_tier.promote()",
						   "Use update_tier.resume or update_tier.retry first.", WITHOUT_ALL);
	bool ramps = machine_phase(&verb.loaded->package, &verb.rollout->rollout) == PHASE_PROMOTED;
	bool has_reason = verb.reason != NULL && verb.reason[0] != '\0';

	PG_RETURN_DATUM(verb_end(&verb,
							 machine_promote(&verb.loaded->package, &verb.rollout->rollout, has_reason),
							 ramps ? "ramp ended" : NULL));
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
	Verb verb = verb_begin(fcinfo, "halt", "update_tier.halt()",
						   "The rollout has ended: no workspace gets the version.", WITHOUT_ALL);

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
	Verb verb = verb_begin(fcinfo, "resume", "update_tier.resume()",
						   "Use update_tier.retry to start it again.", WITHOUT_ALL);

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
	Verb verb = verb_begin(fcinfo, "abort", "update_tier.abort()", "", WITHOUT_ALL);

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
	Verb   verb = verb_begin(fcinfo, "retry", "update_tier.retry()", "Halt or abort it first.", WITH_ALL);
	Policy policy = package_policy(verb.loaded);

	PG_RETURN_DATUM(verb_end(&verb,
							 machine_retry(&verb.loaded->package, &verb.rollout->rollout, next_ordinal(), &policy),
							 "retried"));
}
