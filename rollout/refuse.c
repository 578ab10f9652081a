/*-------------------------------------------------------------------------
 *
 * rollout/refuse.c
 *	  Arguments that name a package, a version or a workspace, and the errors
 *	  that name them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "rollout/refuse.h"
#include "server/values.h"

/* workspace_text: the id as a text. */
char *
workspace_text(const pg_uuid_t *workspace)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(workspace)));
}

/* package_text: a package as the argument of a call that a HINT shows. */
char *
package_text(const char *package)
{
	return strlen(package) > QUOTED_VALUE_MAX ? "package" : quote_literal_cstr(package);
}

/* version_arguments: a version as the arguments of a call that a HINT shows. */
char *
version_arguments(const char *package, const char *version)
{
	if (strlen(package) > QUOTED_VALUE_MAX || strlen(version) > QUOTED_VALUE_MAX)
		return "package, version";
	return psprintf("%s, %s", quote_literal_cstr(package), quote_literal_cstr(version));
}

/* Errors: P0002. */
pg_noreturn static void
refuse_unknown_version(const char *package, const char *version)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("version \"%s\" of package \"%s\" was not started", clipped(version), clipped(package)),
			 errhint("Check the spelling, or start it with SELECT update_tier.start(%s).",
					 version_arguments(package, version))));
}

/*
 * package_find_known
 *		The rollout of a version.  Errors: P0002 if it was never started.
 */
LoadedRollout *
package_find_known(LoadedPackage *loaded, const char *version)
{
	LoadedRollout *rollout = package_find(loaded, version);

	if (rollout == NULL)
		refuse_unknown_version(loaded->name, version);
	return rollout;
}

/*
 * package_argument
 *		The name of one package.
 *
 * Errors: 22004 and 22023 as name_argument(), 22023 for ALL_PACKAGES.
 */
char *
package_argument(NullableDatum value)
{
	char *name = name_argument(value, "package");

	if (strcmp(name, ALL_PACKAGES) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("package must not be \"%s\"", ALL_PACKAGES),
				 errdetail("This name stands for all packages in the functions for settings and freezes."),
				 errhint("Pass the name of one package.")));
	return name;
}

/* refuse_unknown_workspace, refuse_not_live: P0002. */
void
refuse_unknown_workspace(Datum id, const WorkspacesTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("workspace %s does not exist", workspace_text(DatumGetUUIDP(id))),
			 errdetail("Table %s has no workspace with this id.", table->statement_table.name)));
}

void
refuse_not_live(Datum id, const WorkspacesTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("workspace %s is not live", workspace_text(DatumGetUUIDP(id))),
			 errdetail("It does not meet the condition \"live_when\" of table %s: %s.",
					   table->statement_table.name, table->statement_table.live_when)));
}

/* refuse_leased: 55000, for a workspace that holds a live lease. */
void
refuse_leased(const LoadedPackage *loaded, const LoadedInstallation *installation, const char *what)
{
	const Rollout *rollout = machine_rollout(&loaded->package, installation->installation.rollout);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s workspace %s", what, workspace_text(&installation->workspace)),
			 errdetail("It holds a live lease for version \"%s\", token %lld, until %s.",
					   rollout ? clipped(rollout->version) : "", (long long) installation->installation.token,
					   timestamptz_to_str(installation->installation.lease_until)),
			 errhint("Wait until the lease ends, or report the outcome with update_tier.report(%lld, ...).",
					 (long long) installation->installation.token)));
}
