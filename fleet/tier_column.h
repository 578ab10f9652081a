/*-------------------------------------------------------------------------
 *
 * fleet/tier_column.h
 *	  The column update_tier as attach() finds it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FLEET_TIER_COLUMN_H
#define FLEET_TIER_COLUMN_H

#include "utils/relcache.h"

#include "fleet/tier.h"

/* The column update_tier as attach() finds it. */
typedef enum ColumnForm
{
	COLUMN_MISSING,
	COLUMN_ATTACHED, /* the domain already */
	COLUMN_TEXT,	 /* text, varchar, or a domain over them */
	COLUMN_ENUM
} ColumnForm;

extern ColumnForm  tier_column_form(Relation rel, Oid domain, AttrNumber *attnum);
extern bool		   default_is_production(Relation rel, AttrNumber attnum);
extern bool		   equality_is_identity(Relation rel, AttrNumber attnum);
extern bool		   can_be_tier(Oid type, Tier tier);
extern const char *tier_as_text(ColumnForm form);

#endif
