/*-------------------------------------------------------------------------
 *
 * fleet/live.c
 *	  How rollouts read the fleet.
 *
 * The table is read as its owner, as a foreign-key check does: a client that
 * claims needs no right on it.  No row is locked.
 *
 * A workspace is live if it meets the condition live_when; if the condition
 * is NULL for it, it is not.  A row whose tier is NULL does not
 * count as a workspace; such rows need the owner to drop the column's NOT NULL.
 * Partitions or children may have the same id; such rows count as one, except
 * where workspaces are only counted.
 *
 * A workspace is looked up by id through an index, without a statement, if that
 * finds the same (fleet/lookup.c).
 *
 * "read_only": true in functions that are STABLE.  They see what the running
 * query sees.  False in functions that write: they see what a new statement
 * would see.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

#include "fleet/live.h"
#include "fleet/lookup.h"
#include "fleet/tier_domain.h"
#include "server/values.h"

/* Each of these statements is kept twice: [false] and [true] for read_only. */

#define LOOK_AT_ONE(seen) \
	{ \
		.text = "SELECT w.update_tier, COALESCE(\"$live\", false) FROM $table AS w" \
				" WHERE w.id OPERATOR(pg_catalog.=) $1 AND w.update_tier IS NOT NULL", \
		.nargs = 1, .argtypes = { UUIDOID }, .read_only = (seen), .role = AS_TABLE_OWNER \
	}

static Statement look_at_one[] = { LOOK_AT_ONE(false), LOOK_AT_ONE(true) };

#define LOOK_AT_SOME(seen) \
	{ \
		.text = "SELECT w.id, w.update_tier, COALESCE(\"$live\", false) FROM $table AS w" \
				" WHERE w.id OPERATOR(pg_catalog.=) ANY ($1) AND w.update_tier IS NOT NULL ORDER BY w.id", \
		.nargs = 1, .argtypes = { UUIDARRAYOID }, .read_only = (seen), .role = AS_TABLE_OWNER \
	}

static Statement look_at_some[] = { LOOK_AT_SOME(false), LOOK_AT_SOME(true) };

/*
 * The condition on the tier has no parameter, so that every plan can use the
 * canaries' partial index.  Nor has the size of the page, so that the planner
 * knows it: a small one for a usual call, a large one for a search.
 */
#define SMALL_PAGE		50
#define SMALL_PAGE_TEXT "50"
#define LARGE_PAGE_TEXT "1000"

#define PAGE(in_tier, limit, seen) \
	{ \
		.text = "SELECT w.id FROM $table AS w WHERE " in_tier \
				" AND \"$live\" AND w.id OPERATOR(pg_catalog.>=) $1 ORDER BY w.id LIMIT " limit, \
		.nargs = 1, .argtypes = { UUIDOID }, .read_only = (seen), .role = AS_TABLE_OWNER \
	}

static Statement small_page[TIER_COUNT][2] = {
	[TIER_CANARY] = { PAGE(ROW_IS_CANARY, SMALL_PAGE_TEXT, false), PAGE(ROW_IS_CANARY, SMALL_PAGE_TEXT, true) },
	[TIER_PRODUCTION] = { PAGE(ROW_IS_PRODUCTION, SMALL_PAGE_TEXT, false), PAGE(ROW_IS_PRODUCTION, SMALL_PAGE_TEXT, true) }
};

static Statement large_page[TIER_COUNT][2] = {
	[TIER_CANARY] = { PAGE(ROW_IS_CANARY, LARGE_PAGE_TEXT, false), PAGE(ROW_IS_CANARY, LARGE_PAGE_TEXT, true) },
	[TIER_PRODUCTION] = { PAGE(ROW_IS_PRODUCTION, LARGE_PAGE_TEXT, false), PAGE(ROW_IS_PRODUCTION, LARGE_PAGE_TEXT, true) }
};

static Statement count_canaries = {
	.text = "SELECT pg_catalog.count(*) FROM (SELECT true FROM $table AS w"
			" WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary' AND \"$live\" LIMIT $1) AS c",
	.nargs = 1,
	.argtypes = { INT8OID },
	.read_only = true,
	.role = AS_TABLE_OWNER,
};

static Statement count_live = {
	.text = "SELECT pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary'),"
			" pg_catalog.count(*) FILTER (WHERE w.update_tier OPERATOR(pg_catalog.=) 'production')"
			" FROM $table AS w WHERE \"$live\"",
	.read_only = true,
	.role = AS_TABLE_OWNER,
	.cursor_options = CURSOR_OPT_PARALLEL_OK,
};

/*
 * workspace_look
 *		The tier of a workspace, and whether it is live.  False: the workspace
 *		does not exist.
 */
bool
workspace_look(const WorkspacesTable *table, Datum id, Tier *tier, bool *live, bool read_only)
{
	Lookup		 *lookup = lookup_begin(table, read_only);
	NullableDatum arg = { .value = id };
	NullableDatum row[2];

	if (lookup != NULL)
	{
		bool found = lookup_find(lookup, DatumGetUUIDP(id), tier, live);

		lookup_end(lookup);
		return found;
	}
	if (!statement_fetch(&look_at_one[read_only], &table->statement_table, &arg, row))
		return false;
	*tier = tier_from_text(row[0].value);
	*live = DatumGetBool(row[1].value);
	return true;
}

/* Append a workspace to a list in order of id, unless the last one is the same. */
static List *
append_workspace(List *workspaces, Datum id, Tier tier, bool live)
{
	FleetRow *row;

	if (workspaces != NIL &&
		memcmp(&((FleetRow *) llast(workspaces))->id, DatumGetUUIDP(id), UUID_LEN) == 0)
		return workspaces;
	row = palloc_object(FleetRow);
	row->id = *DatumGetUUIDP(id);
	row->tier = tier;
	row->live = live;
	return lappend(workspaces, row);
}

static int
compare_ids(const void *a, const void *b)
{
	return memcmp(DatumGetUUIDP(*(const Datum *) a), DatumGetUUIDP(*(const Datum *) b), UUID_LEN);
}

/* workspaces_look() through an index: in order of id, so that neighbours are read together. */
static List *
look_up_all(Lookup *lookup, const Datum *ids, int count)
{
	Datum *sorted = palloc_array(Datum, count);
	List  *workspaces = NIL;

	memcpy(sorted, ids, count * sizeof(Datum));
	qsort(sorted, count, sizeof(Datum), compare_ids);
	for (int i = 0; i < count; i++)
	{
		Tier tier;
		bool live;

		CHECK_FOR_INTERRUPTS();
		if (lookup_find(lookup, DatumGetUUIDP(sorted[i]), &tier, &live))
			workspaces = append_workspace(workspaces, sorted[i], tier, live);
	}
	pfree(sorted);
	return workspaces;
}

/*
 * workspaces_look
 *		The workspaces with these ids: a List of FleetRow *, one for each that
 *		exists, in order of id.
 */
List *
workspaces_look(const WorkspacesTable *table, const Datum *ids, int count, bool read_only)
{
	List		 *workspaces = NIL;
	Lookup		 *lookup;
	NullableDatum arg;
	ListCell	 *lc;

	if (count == 0)
		return NIL;
	lookup = lookup_begin(table, read_only);
	if (lookup != NULL)
	{
		workspaces = look_up_all(lookup, ids, count);
		lookup_end(lookup);
		return workspaces;
	}
	arg.value = PointerGetDatum(construct_array(unconstify(Datum *, ids), count, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	arg.isnull = false;
	foreach(lc, statement_fetch_all(&look_at_some[read_only], &table->statement_table, &arg))
	{
		NullableDatum *row = (NullableDatum *) lfirst(lc);

		workspaces = append_workspace(workspaces, row[0].value, tier_from_text(row[1].value),
									  DatumGetBool(row[2].value));
	}
	return workspaces;
}

/* The id that follows, byte by byte as ids are compared; false: it was the greatest. */
static bool
next_id(pg_uuid_t *id)
{
	for (int i = UUID_LEN - 1; i >= 0; i--)
	{
		if (++id->data[i] != 0)
			return true;
	}
	return false;
}

/*
 * fleet_page
 *		The first live workspaces of a tier from an id on, that id included: a
 *		List of FleetRow *, in order of id.
 *
 * Returns "count" rows, at most FLEET_PAGE_MAX; fewer only if the fleet has no
 * more.
 */
List *
fleet_page(const WorkspacesTable *table, Tier tier, const pg_uuid_t *from, int count, bool read_only)
{
	Statement *statement = count <= SMALL_PAGE ? &small_page[tier][read_only] : &large_page[tier][read_only];
	pg_uuid_t  position = *from;
	List	  *page = NIL;

	/* More than one round only if rows have the same id. */
	count = Min(count, FLEET_PAGE_MAX);
	while (list_length(page) < count)
	{
		NullableDatum arg = { .value = UUIDPGetDatum(&position) };
		int			  wanted = count - list_length(page);
		List		 *rows = statement_fetch_some(statement, &table->statement_table, &arg, wanted);
		ListCell	 *lc;

		foreach(lc, rows)
			page = append_workspace(page, ((NullableDatum *) lfirst(lc))[0].value, tier, true);
		if (list_length(rows) < wanted)
			break;
		position = ((FleetRow *) llast(page))->id;
		if (!next_id(&position))
			break;
	}
	return page;
}

/* fleet_canaries: the number of live canaries, counted up to "at_most". */
int64
fleet_canaries(const WorkspacesTable *table, int64 at_most)
{
	NullableDatum arg = int64_value(at_most);
	NullableDatum counted;

	if (!statement_fetch(&count_canaries, &table->statement_table, &arg, &counted))
		elog(ERROR, "counting canaries returned no row");
	return DatumGetInt64(counted.value);
}

/* fleet_counts: the number of live workspaces of each tier. */
void
fleet_counts(const WorkspacesTable *table, int64 counts[TIER_COUNT])
{
	NullableDatum counted[TIER_COUNT];

	if (!statement_fetch(&count_live, &table->statement_table, NULL, counted))
		elog(ERROR, "counting workspaces returned no row");
	for (int tier = 0; tier < TIER_COUNT; tier++)
		counts[tier] = DatumGetInt64(counted[tier].value);
}
