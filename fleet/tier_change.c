/*-------------------------------------------------------------------------
 *
 * fleet/tier_change.c
 *	  Recording changes of a tier: a trigger on the attached table, which inserts
 *	  each of them into update_tier.tier_change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "fleet/attached.h"
#include "fleet/tier_change.h"
#include "fleet/tier_domain.h"
#include "server/compat.h"
#include "server/dynamic_sql.h"
#include "server/settings.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_tier_changes);
PG_FUNCTION_INFO_V1(update_tier_record_tier);

/*
 * The workspace whose tier set_update_tier() is writing, or NULL.  Triggers of
 * the table may write other rows meanwhile.
 */
const pg_uuid_t *set_update_tier_writes = NULL;

static Statement insert_tier_change = {
	.text = "INSERT INTO update_tier.tier_change (at, actor, workspace, old_tier, new_tier, path)"
			" VALUES ($1, $2, $3, $4, $5, $6)",
	.nargs = 6,
	.argtypes = { TIMESTAMPTZOID, TEXTOID, UUIDOID, TEXTOID, TEXTOID, TEXTOID },
	.role = AS_EXTENSION,
};

/* Record a change that the current role has made by this path. */
static void
record(NullableDatum workspace, NullableDatum old_tier, NullableDatum new_tier, const char *path)
{
	NullableDatum args[6] = {
		{ .value = TimestampTzGetDatum(GetCurrentTimestamp()) },
		text_value(GetUserNameFromId(GetUserId(), false)),
		workspace,
		old_tier,
		new_tier,
		text_value(path)
	};

	statement_run(&insert_tier_change, NULL, args, NULL);
}

/*
 * tier_change_insert
 *		Record a change that set_update_tier() has made in a distributed table,
 *		where a trigger would run on the shards.
 */
void
tier_change_insert(NullableDatum workspace, Tier old_tier, Tier new_tier)
{
	record(workspace, text_value(tier_names[old_tier]), text_value(tier_names[new_tier]), "set_update_tier");
}

static NullableDatum
column_value(HeapTuple tuple, TupleDesc desc, const char *column)
{
	int			  attnum = SPI_fnumber(desc, column);
	NullableDatum value = NO_DATUM;

	if (attnum > 0)
		value.value = heap_getattr(tuple, attnum, desc, &value.isnull);
	return value;
}

/*
 * Is this the attached table, or one of its partitions?  Takes no lock: the
 * statement that fired the trigger has locked its own table, and must not wait
 * for the attached one if that is another.
 */
static bool
is_attached(Relation rel)
{
	Oid attached = workspaces_seen();

	return OidIsValid(attached) &&
		(RelationGetRelid(rel) == attached ||
		 (rel->rd_rel->relispartition &&
		  list_member_oid(get_partition_ancestors(RelationGetRelid(rel)), attached)));
}

/*
 * Where the last row had its tier.  A row type can change between two calls of
 * one query, so this is only where to look first.
 */
typedef struct TierColumn
{
	AttrNumber attnum;
	Oid		   type; /* of the column; InvalidOid: not known yet */
	bool	   is_text;
} TierColumn;

/* Is a value of this type a text?  The domain's are. */
static bool
is_text_type(Oid type)
{
	Oid base = getBaseType(type);

	return base == TEXTOID || base == VARCHAROID;
}

static bool
is_tier_column(TupleDesc desc, AttrNumber attnum)
{
	return attnum > 0 && attnum <= desc->natts &&
		!TupleDescAttr(desc, attnum - 1)->attisdropped &&
		strcmp(NameStr(TupleDescAttr(desc, attnum - 1)->attname), TIER_COLUMN) == 0;
}

static TupleDesc
row_type(HeapTupleHeader row)
{
	return lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
}

/*
 * The tier in a row; NULL if it has none.  The row can be of any table, so a
 * column of that name need not be ours.  The result may point into the row or,
 * for a row that is older than the column, into the type.
 */
static NullableDatum
tier_in_row(HeapTupleHeader row, TupleDesc desc, TierColumn *column)
{
	HeapTupleData tuple;
	NullableDatum value = NO_DATUM;

	if (!is_tier_column(desc, column->attnum))
	{
		int attnum = SPI_fnumber(desc, TIER_COLUMN);

		column->attnum = attnum > 0 ? attnum : InvalidAttrNumber;
	}
	if (column->attnum != InvalidAttrNumber)
	{
		Oid type = TupleDescAttr(desc, column->attnum - 1)->atttypid;

		if (column->type != type)
		{
			column->is_text = is_text_type(type);
			column->type = type;
		}
		if (column->is_text)
		{
			tuple.t_len = HeapTupleHeaderGetDatumLength(row);
			ItemPointerSetInvalid(&tuple.t_self);
			tuple.t_tableOid = InvalidOid;
			tuple.t_data = row;
			value.value = heap_getattr(&tuple, column->attnum, desc, &value.isnull);
		}
	}
	return value;
}

/* Are they the same bytes? */
static bool
same_tier(Datum a, Datum b)
{
	text *x = DatumGetTextPP(a);
	text *y = DatumGetTextPP(b);

	return VARSIZE_ANY_EXHDR(x) == VARSIZE_ANY_EXHDR(y) &&
		memcmp(VARDATA_ANY(x), VARDATA_ANY(y), VARSIZE_ANY_EXHDR(x)) == 0;
}

/*
 * update_tier.tier_changes(old_row record, new_row record) returns boolean
 *
 * The condition of the trigger that calls record_tier().  It is evaluated for
 * every row that is updated, so it remembers where the column was.
 */
Datum
update_tier_tier_changes(PG_FUNCTION_ARGS)
{
	TierColumn	   *column = (TierColumn *) fcinfo->flinfo->fn_extra;
	HeapTupleHeader old_row = PG_GETARG_HEAPTUPLEHEADER(0);
	HeapTupleHeader new_row = PG_GETARG_HEAPTUPLEHEADER(1);
	TupleDesc		old_type = row_type(old_row);
	TupleDesc		new_type = row_type(new_row);
	NullableDatum	old_tier;
	NullableDatum	new_tier;
	bool			changes;

	if (column == NULL)
	{
		column = MemoryContextAllocZero(fcinfo->flinfo->fn_mcxt, sizeof(TierColumn));
		fcinfo->flinfo->fn_extra = column;
	}
	new_tier = tier_in_row(new_row, new_type, column);
	old_tier = tier_in_row(old_row, old_type, column);
	if (old_tier.isnull || new_tier.isnull)
		changes = old_tier.isnull != new_tier.isnull;
	else
		changes = !same_tier(old_tier.value, new_tier.value);
	ReleaseTupleDesc(old_type);
	ReleaseTupleDesc(new_type);
	PG_RETURN_BOOL(changes);
}

/*
 * update_tier.record_tier() returns trigger
 *
 * Row trigger on the attached table, called if the tier has changed: records the
 * change.  On any other table it does nothing: a table that was attached before,
 * or was restored and is not attached yet, must stay usable.
 */
Datum
update_tier_record_tier(PG_FUNCTION_ARGS)
{
	TriggerData	 *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	  desc;
	NullableDatum workspace;
	NullableDatum old_tier;
	NullableDatum new_tier;
	bool		  by_function;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"record_tier\" must be called as a row trigger for UPDATE")));
	if (!is_attached(trigger->tg_relation))
		return PointerGetDatum(NULL);

	desc = RelationGetDescr(trigger->tg_relation);
	workspace = column_value(trigger->tg_newtuple, desc, ID_COLUMN);
	old_tier = column_value(trigger->tg_trigtuple, desc, TIER_COLUMN);
	new_tier = column_value(trigger->tg_newtuple, desc, TIER_COLUMN);

	/* A user's own trigger may call the function without the condition. */
	if (!old_tier.isnull && !new_tier.isnull && same_tier(old_tier.value, new_tier.value))
		return PointerGetDatum(NULL);

	by_function = set_update_tier_writes != NULL && !workspace.isnull &&
		memcmp(set_update_tier_writes, DatumGetUUIDP(workspace.value), UUID_LEN) == 0;
	record(workspace, old_tier, new_tier, by_function ? "set_update_tier" : "UPDATE");
	return PointerGetDatum(NULL);
}

/*
 * The trigger that records changes of a tier.  Its condition is evaluated for
 * every row that is updated, its function called only if the tier changes.
 */
#define TIER_CHANGE_TRIGGER "update_tier_changed"

/* has_tier_change_trigger: does the table have the trigger? */
bool
has_tier_change_trigger(Oid relid)
{
	List	*name = list_make2(makeString(MACHINERY_SCHEMA), makeString("record_tier"));
	Oid		 function = LookupFuncName(name, 0, NULL, false);
	Relation rel = relation_open(relid, NoLock);
	bool	 found = false;

	for (int i = 0; rel->trigdesc != NULL && i < rel->trigdesc->numtriggers; i++)
	{
		Trigger *trigger = &rel->trigdesc->triggers[i];

		if (trigger->tgfoid == function && strcmp(trigger->tgname, TIER_CHANGE_TRIGGER) == 0)
			found = true;
	}
	relation_close(rel, NoLock);
	return found;
}

/* make_tier_change_trigger: create or drop the trigger, unless that is done already. */
void
make_tier_change_trigger(Oid relid, bool wanted)
{
	bool there = has_tier_change_trigger(relid);
	int	 nest_level = enter_canonical_settings();

	if (wanted && !there)
		run_sql("CREATE TRIGGER " TIER_CHANGE_TRIGGER " AFTER UPDATE ON %s FOR EACH ROW"
				" WHEN (" MACHINERY_SCHEMA ".tier_changes(OLD, NEW))"
				" EXECUTE FUNCTION " MACHINERY_SCHEMA ".record_tier()",
				qualified_name(relid));
	else if (!wanted && there)
		run_sql("DROP TRIGGER " TIER_CHANGE_TRIGGER " ON %s", qualified_name(relid));
	AtEOXact_GUC(false, nest_level);
}
