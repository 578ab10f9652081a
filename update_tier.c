/*-------------------------------------------------------------------------
 *
 * update_tier.c
 *	  Update tiers for the workspaces of a multi-tenant platform.
 *
 * This file is the module: its magic, its settings, and the domain in SQL.
 * See README.md for the whole.
 *
 * Copyright (c) 2026, the update_tier authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

#include "fleet/tier_domain.h"
#include "server/settings.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(update_tier_is_valid);
PG_FUNCTION_INFO_V1(update_tier_tiers);

void _PG_init(void);

void
_PG_init(void)
{
	settings_define();
}

/*
 * update_tier.is_valid(value text) returns boolean
 *
 * The domain's check.  Never raises an error, so that callers that catch errors
 * softly (pg_input_is_valid, COPY ... ON_ERROR) get their answer.  Reads only
 * its argument.
 */
Datum
update_tier_is_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(tier_parse_datum(PG_GETARG_DATUM(0), NULL));
}

/*
 * update_tier.tiers() returns setof update_tier
 *
 * Every tier, in rollout order.
 */
Datum
update_tier_tiers(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	for (int i = 0; i < TIER_COUNT; i++)
	{
		Datum value = CStringGetTextDatum(tier_names[i]);
		bool  isnull = false;

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &value, &isnull);
	}
	return (Datum) 0;
}
