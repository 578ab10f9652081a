/*-------------------------------------------------------------------------
 *
 * update_tier.c
 *	  Update tiers for the workspaces of a multi-tenant platform.
 *
 * This file is the module: its magic, the domain's validator, and what is
 * said of a value that is no tier.  See README.md for the whole.
 *
 * Copyright (c) 2026, the update_tier authors
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "fmgr.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"
#include "utils/tuplestore.h"

#include "update_tier.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(update_tier_is_valid);
PG_FUNCTION_INFO_V1(update_tier_tiers);

void _PG_init(void);

/* update_tier.notify: NOTIFY when a statement changes a rollout's phase? */
bool notify_enabled = true;

void
_PG_init(void)
{
	DefineCustomBoolVariable("update_tier.notify",
							 "Sends a notification on channel \"update_tier\" when a statement changes a rollout's phase.",
							 "Turn it off where transactions are prepared (two-phase commit), which notifications do not allow.",
							 &notify_enabled, true, PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved(MACHINERY_SCHEMA);
}

/*
 * Names longer than this are no tier's.  Known without unpacking a value
 * that may be a gigabyte long.
 */
#define TIER_NAME_MAX ((Size) 16)

/*
 * The domain's type.
 *
 * The domain lives in the schema the extension was created in, which could
 * be any; our own function tiers() is found by its fixed name, and what it
 * returns is the domain.
 */
Oid
tier_domain_oid(void)
{
	Oid		  schema = get_namespace_oid(MACHINERY_SCHEMA, false);
	HeapTuple tuple;
	Oid		  domain;

	tuple = SearchSysCache3(PROCNAMEARGSNSP,
							CStringGetDatum("tiers"),
							PointerGetDatum(buildoidvector(NULL, 0)),
							ObjectIdGetDatum(schema));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "function %s.tiers() does not exist", MACHINERY_SCHEMA);
	domain = ((Form_pg_proc) GETSTRUCT(tuple))->prorettype;
	ReleaseSysCache(tuple);
	return domain;
}

/*
 * A user's value as an error message quotes it: whole if short, else cut
 * between two characters.
 */
char *
clipped(const char *value)
{
	int length = strlen(value);

	if (length <= QUOTED_VALUE_MAX)
		return pstrdup(value);
	return psprintf("%.*s...",
					pg_mbcliplen(value, length, QUOTED_VALUE_MAX), value);
}

/*
 * Tell a caller that an argument is no tier: the same SQLSTATE, type and
 * constraint as the domain's own check, and more words.
 */
static void
refuse_value(Datum value, const char *argument)
{
	text	   *start;
	char	   *quoted;
	const char *meant;

	/*
	 * One byte more than is quoted tells that something was cut; the rest of
	 * a very long value is not even fetched.
	 */
	start = DatumGetTextPSlice(value, 0, QUOTED_VALUE_MAX + MAX_MULTIBYTE_CHAR_LEN);
	quoted = clipped(text_to_cstring(start));
	meant = tier_near_miss(VARDATA_ANY(start), VARSIZE_ANY_EXHDR(start));

	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("invalid %s: \"%s\"", argument, quoted),
			 errdetail("Allowed values are \"%s\" and \"%s\".",
					   tier_names[TIER_CANARY], tier_names[TIER_PRODUCTION]),
			 meant ? errhint("Perhaps you meant \"%s\".", meant) : 0,
			 errdomainconstraint(tier_domain_oid(), DOMAIN_CONSTRAINT)));
}

/* Is the text exactly a tier's name? */
static bool
parse_datum(Datum value, Tier *tier)
{
	text *name;

	if (toast_raw_datum_size(value) - VARHDRSZ > TIER_NAME_MAX)
		return false;
	name = DatumGetTextPP(value);
	return tier_parse(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name), tier);
}

/*
 * tier_argument
 *		The tier that a function's text argument names.
 *
 * "argument" says what the value is for, such as "update tier".
 * Errors: 23514 for NULL and for anything but a tier, with the domain's type
 * and constraint names in the error's fields.
 */
Tier
tier_argument(NullableDatum value, const char *argument)
{
	Tier tier;

	if (value.isnull)
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("%s must not be null", argument),
				 errdetail("Allowed values are \"%s\" and \"%s\".",
						   tier_names[TIER_CANARY], tier_names[TIER_PRODUCTION]),
				 errdomainconstraint(tier_domain_oid(), DOMAIN_CONSTRAINT)));
	if (!parse_datum(value.value, &tier))
		refuse_value(value.value, argument);
	return tier;
}

/*
 * update_tier.is_valid(value text) returns boolean
 *
 * The domain's check.  Never raises an error, so that callers which ask
 * softly (pg_input_is_valid, COPY ... ON_ERROR) get their answer; reads
 * nothing but its argument.
 */
Datum
update_tier_is_valid(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(parse_datum(PG_GETARG_DATUM(0), NULL));
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
