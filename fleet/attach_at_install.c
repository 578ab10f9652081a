/*-------------------------------------------------------------------------
 *
 * fleet/attach_at_install.c
 *	  What the install script attaches.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/guc.h"

#include "fleet/attach.h"
#include "fleet/attachable.h"
#include "fleet/attached.h"
#include "server/node.h"

PG_FUNCTION_INFO_V1(update_tier_attach_at_install);

/* Why the table is not attached: the parts of the NOTICE. */
typedef struct LeftAlone
{
	const char *message;
	const char *detail; /* or NULL */
	const char *hint;
} LeftAlone;

/*
 * May the install script attach the relation named "workspaces", if it exists?
 * If not, the extension is installed without an attached table.
 */
static bool
may_attach_at_install(NullableDatum table, LeftAlone *why)
{
	Oid relid = table.isnull ? InvalidOid : DatumGetObjectId(table.value);
	Oid child;

	*why = (LeftAlone){
		.message = "no table \"workspaces\" to attach",
		.hint = "Attach your table with SELECT update_tier.attach('your_table')."
	};
	if (!OidIsValid(relid))
		return false;
	if (!could_be_workspaces(relid))
	{
		why->detail = "A relation of this name exists, but it is not a table with a column \"" ID_COLUMN "\" of type uuid.";
		return false;
	}

	why->message = "table \"workspaces\" is not attached";
	why->hint = "Attach it with SELECT update_tier.attach('workspaces').";
	if (node_is_worker())
	{
		why->detail = "This node is a Citus worker, and tables are attached on the coordinator.";
		why->hint = "On the coordinator, attach it with SELECT update_tier.attach('workspaces').";
		return false;
	}
	if (is_distributed(relid))
	{
		why->detail = "Citus distributes the table, and would run this script on the workers, too.";
		why->hint = "Attach it with SELECT update_tier.attach('workspaces', audit => false).";
		return false;
	}
	child = foreign_child(relid);
	if (OidIsValid(child))
	{
		why->detail = foreign_child_detail(relid, child);
		why->hint = psprintf("%s Then attach it with SELECT update_tier.attach('workspaces').", foreign_child_hint(relid, child));
		return false;
	}
	return true;
}

/*
 * Called once, by the install script: attaches "workspaces" if it exists.
 *
 * While a script runs the server shows no NOTICE.  This one is important, so
 * client_min_messages is set back for it.
 */
Datum
update_tier_attach_at_install(PG_FUNCTION_ARGS)
{
	LeftAlone why;
	int		  nest_level;

	if (may_attach_at_install(fcinfo->args[0], &why))
	{
		attach_table(PG_GETARG_OID(0), NULL, true, true);
		PG_RETURN_VOID();
	}

	nest_level = NewGUCNestLevel();
	(void) set_config_option("client_min_messages",
							 GetConfigOptionResetString("client_min_messages"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	ereport(NOTICE,
			(errmsg("%s", why.message),
			 why.detail ? errdetail("%s", why.detail) : 0,
			 errhint("%s", why.hint)));
	AtEOXact_GUC(false, nest_level);
	PG_RETURN_VOID();
}
