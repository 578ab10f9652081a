/*-------------------------------------------------------------------------
 *
 * fleet/tier_domain.c
 *	  The domain of update tiers, and the errors for invalid values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/values.h"

/*
 * No tier has a longer name.  So a value that may be a gigabyte long need not be
 * detoasted.
 */
#define TIER_NAME_MAX ((Size) 16)

/*
 * tier_domain_oid
 *		The domain's type.
 *
 * The domain is in the schema that the extension was created in, which can be
 * any.  Our function tiers() has a fixed name, and it returns the domain.
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
 * Refuse an argument that is not a tier, with the SQLSTATE, type and constraint
 * of the domain's own check, and a better message.
 */
pg_noreturn static void
refuse_value(Datum value, const char *argument)
{
	text	   *start;
	char	   *quoted;
	const char *meant;

	/*
	 * Do not fetch all of a long value.  One character more than is quoted tells
	 * whether the value is longer.
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

/*
 * tier_parse_datum
 *		Is the text exactly the name of a tier?  If so, *tier says which, unless
 *		"tier" is NULL.
 */
bool
tier_parse_datum(Datum value, Tier *tier)
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
	if (!tier_parse_datum(value.value, &tier))
		refuse_value(value.value, argument);
	return tier;
}

/* tier_from_text: a tier that is stored; 23514 for any other value. */
Tier
tier_from_text(Datum value)
{
	return tier_argument((NullableDatum){ .value = value }, "stored update tier");
}
