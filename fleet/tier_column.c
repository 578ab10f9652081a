/*-------------------------------------------------------------------------
 *
 * fleet/tier_column.c
 *	  The column update_tier as attach() finds it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "fleet/tier_column.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"

/*
 * tier_column_form
 *		What type has the column update_tier, and can that become the domain?
 *
 * Errors: 42804 when it cannot.
 */
ColumnForm
tier_column_form(Relation rel, Oid domain, AttrNumber *attnum)
{
	Form_pg_attribute attr;
	Oid				  base;

	*attnum = get_attnum(RelationGetRelid(rel), TIER_COLUMN);
	if (*attnum == InvalidAttrNumber)
		return COLUMN_MISSING;

	attr = TupleDescAttr(RelationGetDescr(rel), *attnum - 1);
	if (attr->attgenerated != '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("cannot attach \"%s\": column \"%s\" is generated",
						RelationGetRelationName(rel), TIER_COLUMN),
				 errdetail("A generated column cannot be updated, so no workspace could get another tier."),
				 errhint("Drop the generation expression, or rename the column.")));

	if (attr->atttypid == domain)
		return COLUMN_ATTACHED;
	base = getBaseType(attr->atttypid);
	if (base == TEXTOID || base == VARCHAROID)
		return COLUMN_TEXT;
	if (type_is_enum(base))
		return COLUMN_ENUM;

	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("cannot attach \"%s\": column \"%s\" has type %s",
					RelationGetRelationName(rel), TIER_COLUMN,
					format_type_be(attr->atttypid)),
			 errdetail("A column of type text, character varying or an enum can be adopted."),
			 errhint("Convert the column to text, or rename it.")));
}

/* default_is_production: is the column's default the constant 'production'? */
bool
default_is_production(Relation rel, AttrNumber attnum)
{
	Node *expr;
	Tier  tier;

	if (!TupleDescAttr(RelationGetDescr(rel), attnum - 1)->atthasdef)
		return false;
	expr = build_column_default(rel, attnum);
	while (expr != NULL && (IsA(expr, CoerceToDomain) || IsA(expr, RelabelType)))
		expr = IsA(expr, CoerceToDomain) ? (Node *) ((CoerceToDomain *) expr)->arg :
										   (Node *) ((RelabelType *) expr)->arg;
	if (expr == NULL || !IsA(expr, Const) || ((Const *) expr)->constisnull ||
		((Const *) expr)->consttype != TEXTOID)
		return false;
	return tier_parse(VARDATA_ANY(DatumGetPointer(((Const *) expr)->constvalue)),
					  VARSIZE_ANY_EXHDR(DatumGetPointer(((Const *) expr)->constvalue)),
					  &tier) &&
		tier == DEFAULT_TIER;
}

/* equality_is_identity: are values of the column equal only if they are the same bytes? */
bool
equality_is_identity(Relation rel, AttrNumber attnum)
{
	Oid collation = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attcollation;

	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/*
 * can_be_tier
 *		Can the type be compared with this tier?  False for an enum without the
 *		label.
 */
bool
can_be_tier(Oid type, Tier tier)
{
	type = getBaseType(type);
	return !type_is_enum(type) ||
		SearchSysCacheExists2(ENUMTYPOIDNAME, ObjectIdGetDatum(type),
							  CStringGetDatum(tier_names[tier]));
}

/*
 * tier_as_text
 *		An expression for the column as text.  For an enum it uses no cast, as a
 *		user may have created one.
 */
const char *
tier_as_text(ColumnForm form)
{
	if (form == COLUMN_ENUM)
		return "pg_catalog.textin(pg_catalog.enum_out(" TIER_COLUMN "))";
	return TIER_COLUMN "::pg_catalog.text";
}
