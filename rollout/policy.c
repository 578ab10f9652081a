/*-------------------------------------------------------------------------
 *
 * rollout/policy.c
 *	  Settings and freezes, of a package or of all packages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "rollout/gate.h"
#include "rollout/machine_due.h"
#include "rollout/package.h"
#include "rollout/refuse.h"
#include "rollout/setting.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_set_policy);
PG_FUNCTION_INFO_V1(update_tier_reset_policy);
PG_FUNCTION_INFO_V1(update_tier_freeze);
PG_FUNCTION_INFO_V1(update_tier_thaw);

static bool
is_all(const char *package)
{
	return strcmp(package, ALL_PACKAGES) == 0;
}

/*
 * Lock a package, or ALL_PACKAGES itself: exclusively, so that no rollout
 * copies settings, and no grant is decided, before the change has committed.
 */
static LoadedPackage *
lock_for(const char *package, const char *command)
{
	return package_lock(package, command, is_all(package) ? WITHOUT_ALL : WITH_ALL);
}

/* Give the current settings to those rollouts of a package that have not ended. */
static void
apply_to_running(LoadedPackage *loaded)
{
	Policy	  policy = package_policy(loaded);
	ListCell *lc;

	foreach(lc, package_all_rollouts(loaded))
	{
		const LoadedRollout *rollout = (const LoadedRollout *) lfirst(lc);

		if (!machine_has_ended(&loaded->package, &rollout->rollout))
			package_note(loaded, rollout, "policy", NULL, "applied to the running rollout");
	}
	package_begin(loaded);
	machine_apply_policy(&loaded->package, &policy);
	package_conclude(loaded, NULL, NULL, NULL);
}

/*
 * update_tier.set_policy(package, settings..., apply_to_running) returns void
 *
 * Stores those settings that are not NULL, for a package or for all packages.
 * apply_to_running: also in rollouts that have not ended.
 *
 * Errors: 22004 for a NULL package or apply_to_running, 22023 for an invalid
 * package or a value out of range, 55000 on a Citus worker, 25006 and 40001 as
 * package_lock().
 */
Datum
update_tier_set_policy(PG_FUNCTION_ARGS)
{
	char				*package = name_argument(fcinfo->args[0], "package");
	const NullableDatum *given = &fcinfo->args[1];
	const NullableDatum *apply = &fcinfo->args[1 + SETTING_COUNT];
	LoadedPackage		*loaded;
	NullableDatum		*settings;
	ListCell			*lc;

	require_own_tables(fcinfo);
	settings_check(given);
	if (apply->isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("apply_to_running must not be null")));

	loaded = lock_for(package, "update_tier.set_policy()");
	settings = package_settings(loaded);
	for (int i = 0; i < SETTING_COUNT; i++)
	{
		if (!given[i].isnull)
			settings[i] = given[i];
	}
	package_note(loaded, NULL, "policy", NULL, NULL);
	if (DatumGetBool(apply->value) && !is_all(package))
		apply_to_running(loaded);
	package_save(loaded);

	if (DatumGetBool(apply->value) && is_all(package))
	{
		/*
		 * Also packages that this transaction's snapshot does not show: to lock
		 * them is an error (40001).
		 */
		foreach(lc, package_names(SEEN_LATEST))
		{
			loaded = package_lock(lfirst(lc), "update_tier.set_policy()", WITH_ALL);
			apply_to_running(loaded);
			package_save(loaded);
		}
	}
	PG_RETURN_VOID();
}

/*
 * update_tier.reset_policy(package, VARIADIC settings) returns void
 *
 * Takes settings of a package back to those of all packages, and settings of all
 * packages back to the defaults.
 *
 * Errors: 22004 for NULL, 22023 for an unknown setting or an invalid package,
 * 55000 on a Citus worker, 25006 and 40001 as package_lock().
 */
Datum
update_tier_reset_policy(PG_FUNCTION_ARGS)
{
	char		  *package = name_argument(fcinfo->args[0], "package");
	LoadedPackage *loaded;
	NullableDatum *settings;
	Datum		  *names;
	bool		  *nulls;
	int			   count;

	require_own_tables(fcinfo);
	if (fcinfo->args[1].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("settings must not be null")));
	deconstruct_array(DatumGetArrayTypeP(fcinfo->args[1].value), TEXTOID, -1, false, TYPALIGN_INT,
					  &names, &nulls, &count);
	loaded = lock_for(package, "update_tier.reset_policy()");
	settings = package_settings(loaded);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("settings must not contain nulls")));
		settings[setting_argument(TextDatumGetCString(names[i]))] = NO_DATUM;
	}
	package_note(loaded, NULL, "policy", NULL, "reset");
	package_save(loaded);
	PG_RETURN_VOID();
}

/*
 * update_tier.freeze(package, until, reason) returns void
 *
 * Closes all gates of a package, or of all packages, until a moment.
 *
 * Errors: 22004 for a NULL package or moment, 22023 for an invalid package, a
 * moment in the past or a reason that is too long, 55000 on a Citus worker,
 * 25006 and 40001 as package_lock().
 */
Datum
update_tier_freeze(PG_FUNCTION_ARGS)
{
	char		  *package = name_argument(fcinfo->args[0], "package");
	char		  *reason = reason_argument(fcinfo->args[2]);
	TimestampTz	   until;
	LoadedPackage *loaded;

	require_own_tables(fcinfo);
	if (fcinfo->args[1].isnull)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("until must not be null"),
				 errhint("Use 'infinity', or leave it out, to freeze until update_tier.thaw.")));
	until = DatumGetTimestampTz(fcinfo->args[1].value);
	loaded = lock_for(package, "update_tier.freeze()");
	if (until <= loaded->package.stamp)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("until must be in the future: %s", timestamptz_to_str(until)),
				 errhint("To end a freeze, use SELECT update_tier.thaw(%s).", package_text(package))));
	package_set_freeze(loaded, until, reason);
	package_note(loaded, NULL, "frozen", NULL,
				 TIMESTAMP_NOT_FINITE(until) ? reason :
											   psprintf("until %s%s%s", moment_text(until), reason ? ": " : "", reason ? reason : ""));
	package_save(loaded);
	PG_RETURN_VOID();
}

/* How many packages a NOTICE names. */
#define FROZEN_SHOWN 5

/* Raise a NOTICE if another freeze is still in force. */
static void
notice_still_frozen(const char *package)
{
	StringInfoData names;
	int			   count = 0;
	ListCell	  *lc;

	if (!is_all(package))
	{
		LoadedPackage *loaded = package_look(package, SEEN_NOW);

		if (machine_is_frozen(&loaded->package))
			ereport(NOTICE,
					(errmsg("package \"%s\" stays frozen by the freeze of all packages", clipped(package)),
					 errhint("To end that freeze, use SELECT update_tier.thaw().")));
		return;
	}
	initStringInfo(&names);
	foreach(lc, package_names(SEEN_NOW))
	{
		const char	  *name = (const char *) lfirst(lc);
		LoadedPackage *loaded = package_look(name, SEEN_NOW);

		if (!machine_is_frozen(&loaded->package))
			continue;
		if (count++ < FROZEN_SHOWN)
			appendStringInfo(&names, "%s\"%s\"", names.len > 0 ? ", " : "", clipped(name));
	}
	if (count > 0)
		ereport(NOTICE,
				(errmsg_plural("%d package stays frozen by a freeze of its own",
							   "%d packages stay frozen by freezes of their own", count, count),
				 errdetail("Frozen: %s%s.", names.data, count > FROZEN_SHOWN ? ", and more" : ""),
				 errhint("To end the freeze of a package, use update_tier.thaw with its name.")));
}

/*
 * update_tier.thaw(package) returns void
 *
 * Ends the freeze of a package, or that of all packages.
 *
 * Errors: 22004 for NULL, 22023 for an invalid package, 55000 on a Citus
 * worker, 25006 and 40001 as package_lock().
 */
Datum
update_tier_thaw(PG_FUNCTION_ARGS)
{
	char		  *package = name_argument(fcinfo->args[0], "package");
	LoadedPackage *loaded;

	require_own_tables(fcinfo);
	loaded = lock_for(package, "update_tier.thaw()");
	if (package_own_freeze(loaded) > loaded->package.stamp)
	{
		package_set_freeze(loaded, DT_NOBEGIN, NULL);
		package_note(loaded, NULL, "thawed", NULL, NULL);
	}
	package_save(loaded);
	notice_still_frozen(package);
	PG_RETURN_VOID();
}
