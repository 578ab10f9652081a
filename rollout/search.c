/*-------------------------------------------------------------------------
 *
 * rollout/search.c
 *	  The search of the fleet for workspaces that are due.
 *
 * The search runs before the package is locked, on a package from package_look(),
 * and changes nothing.  The caller checks what it has found again, under the lock.
 *
 * Canaries come first, then workspaces that go back to an older version, then
 * production.  A search starts where the last one has ended, so that a claim
 * costs the same in a fleet of any size; at the end of the fleet it continues at
 * the beginning.  A search that finds no workspace looks at up to SWEEP_MAX.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "rollout/machine_due.h"
#include "rollout/search.h"
#include "server/compat.h"
#include "server/values.h"

/* The most workspaces that a search looks at to find one that is due. */
#define SWEEP_MAX 100000

/* After it has found one, it looks at so many more, and so many for each wanted. */
#define SWEEP_ON		   1000
#define SWEEP_ON_PER_CLAIM 4

/*
 * Workspaces in a page.  The first page is small, as a usual call finds all it
 * wants there; later pages are large.
 */
#define SMALL_PAGE 50
#define LARGE_PAGE 1000

/*
 * Canaries that a search looks at first while production is open: as many as
 * workspaces are wanted, within these limits.  Most canaries have the version by
 * then.  It goes on as long as it finds some, and it looks at the others if it
 * finds nothing else.
 */
#define GLANCE_MIN 10
#define GLANCE_MAX SMALL_PAGE

/*
 * Installations in the range of ids of a page, for each of its workspaces: if
 * there are more, they are looked up one by one.  Most of the range is then of
 * workspaces that are not live, or of the other tier.
 */
#define RANGE_PER_WORKSPACE 4

static const pg_uuid_t first_id = { { 0 } };

static int
compare_ids(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN);
}

/* A position that outlives the pages of a search. */
static NullableDatum
position_at(const Search *search, const pg_uuid_t *id)
{
	pg_uuid_t *copy = MemoryContextAlloc(search->loaded->context, sizeof(pg_uuid_t));

	*copy = *id;
	return (NullableDatum){ .value = UUIDPGetDatum(copy) };
}

/* The position after this id; NULL after the greatest. */
static NullableDatum
position_after(const Search *search, const pg_uuid_t *id)
{
	pg_uuid_t next;

	return id_after(id, &next) ? position_at(search, &next) : NO_DATUM;
}

static const pg_uuid_t *
id_at(NullableDatum position)
{
	return position.isnull ? &first_id : DatumGetUUIDP(position.value);
}

/*
 * search_version
 *		The rollout for which a workspace is due now, or NULL.  With a target:
 *		the target or NULL.
 */
LoadedRollout *
search_version(LoadedPackage *loaded, LoadedRollout *target,
			   const LoadedInstallation *installation, const FleetRow *row)
{
	Workspace workspace = { .id = row->id.data, .live = row->live, .tier = row->tier };
	Rollout	 *rollout;

	package_need_rollouts(loaded, installation);
	rollout = target ? &target->rollout :
					   machine_wanted(&loaded->package, &installation->installation, &workspace, loaded->now);
	if (rollout == NULL ||
		machine_due(&loaded->package, rollout, &installation->installation, &workspace, loaded->now).answer != ANSWER_DUE)
		return NULL;
	return loaded_rollout(rollout);
}

/* The version of the search; NULL: each workspace is searched for the version that it wants. */
static const Rollout *
target_of(const Search *search)
{
	return search->target ? &search->target->rollout : NULL;
}

/* Did an earlier part of the search find the workspace?  One part does not find it twice. */
static bool
is_found_before(const Search *search, const FleetRow *row)
{
	for (int i = 0; i < search->found_before; i++)
	{
		if (compare_ids(&((FleetRow *) list_nth(search->found, i))->id, &row->id) == 0)
			return true;
	}
	return false;
}

/*
 * Versions can differ in max_in_flight: may one more lease of this one be
 * granted, after all workspaces that were found?
 */
static bool
has_budget(const Search *search, const LoadedRollout *rollout)
{
	return search->loaded->package.in_flight + list_length(search->found) < rollout->rollout.policy.max_in_flight;
}

/* If the workspace is due, with budget left, add it to those found.  True: enough are found. */
static bool
look(Search *search, const FleetRow *row, const LoadedInstallation *installation)
{
	static const LoadedInstallation nothing = { .runs_since = { .isnull = true } };
	MemoryContext					caller_context;
	const LoadedRollout			   *rollout;
	FleetRow					   *found;

	search->looked++;
	installation = installation ? package_settled(search->loaded, installation) : &nothing;
	rollout = search_version(search->loaded, search->target, installation, row);
	if (rollout == NULL || is_found_before(search, row))
		return false;
	if (!has_budget(search, rollout))
	{
		search->over_budget = true;
		return false;
	}
	caller_context = MemoryContextSwitchTo(search->loaded->context);
	found = palloc_object(FleetRow);
	*found = *row;
	search->found = lappend(search->found, found);
	MemoryContextSwitchTo(caller_context);
	search->looked = 0;
	return --search->wanted <= 0;
}

static int64
left_to_look(const Search *search)
{
	if (search->found == NIL)
		return SWEEP_MAX - search->looked;
	return SWEEP_ON + SWEEP_ON_PER_CLAIM * search->wanted - search->looked;
}

/*
 * The installations of a page of workspaces, as an array in their order; NULL
 * for a workspace without an installation.
 */
static LoadedInstallation **
installations_of_page(const Search *search, const List *page)
{
	const LoadedPackage *loaded = search->loaded;
	int					 count = list_length(page);
	LoadedInstallation **result;
	const FleetRow		*first = (const FleetRow *) linitial(page);
	const FleetRow		*last = (const FleetRow *) llast(page);
	int64				 at_most = RANGE_PER_WORKSPACE * count;
	List				*between = installations_between(loaded->id, &first->id, &last->id, loaded->seen, at_most);
	bool				 in_range = list_length(between) < at_most;
	ListCell			*lc = list_head(between);

	if (!in_range)
	{
		Datum *ids = palloc_array(Datum, count);

		for (int i = 0; i < count; i++)
			ids[i] = UUIDPGetDatum(&((const FleetRow *) list_nth(page, i))->id);
		return installations_of(loaded->id, ids, count, loaded->seen);
	}
	result = palloc0_array(LoadedInstallation *, count);
	for (int i = 0; i < count; i++)
	{
		const FleetRow *row = (const FleetRow *) list_nth(page, i);

		while (lc != NULL && compare_ids(&((LoadedInstallation *) lfirst(lc))->workspace, &row->id) < 0)
			lc = lnext(between, lc);
		if (lc != NULL && compare_ids(&((LoadedInstallation *) lfirst(lc))->workspace, &row->id) == 0)
			result[i] = (LoadedInstallation *) lfirst(lc);
	}
	return result;
}

/* How the walk through a page has ended. */
typedef enum PageEnd
{
	PAGE_LOOKED_AT, /* all of it */
	PAGE_ENOUGH,	/* enough are found */
	PAGE_CAME_ROUND /* it is back where the walk began */
} PageEnd;

/*
 * Look at the workspaces of a page, up to "stop" (NULL: to its end). *position
 * is then where the next walk starts.
 */
static PageEnd
look_at_page(Search *search, const List *page, const pg_uuid_t *stop, NullableDatum *position)
{
	LoadedInstallation **installations = installations_of_page(search, page);

	for (int i = 0; i < list_length(page); i++)
	{
		const FleetRow *row = (const FleetRow *) list_nth(page, i);

		if (stop != NULL && compare_ids(&row->id, stop) >= 0)
		{
			*position = position_at(search, &row->id);
			return PAGE_CAME_ROUND;
		}
		if (look(search, row, installations[i]))
		{
			*position = position_after(search, &row->id);
			return PAGE_ENOUGH;
		}
	}
	*position = position_after(search, &((const FleetRow *) llast(page))->id);
	return PAGE_LOOKED_AT;
}

/*
 * Look at the live workspaces of a tier from a position on, until enough are
 * found, or "at_most" are looked at without finding one, or SWEEP_MAX in all, or
 * the walk is back where it began.  True: it is back.
 */
static bool
sweep_tier(Search *search, Tier tier, NullableDatum *position, int64 at_most)
{
	MemoryContext caller_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "update_tier page", ALLOCSET_DEFAULT_SIZES);
	pg_uuid_t	  start = *id_at(*position);
	bool		  turned = false;
	bool		  came_round = false;
	int			  page_size = Max(1, Min(search->wanted, SMALL_PAGE));
	int64		  passed = 0;

	search->found_before = list_length(search->found);
	while (!came_round && search->wanted > 0 && left_to_look(search) > 0 && search->looked < at_most && passed < SWEEP_MAX)
	{
		pg_uuid_t from = *id_at(*position);
		PageEnd	  end = PAGE_LOOKED_AT;
		List	 *page;
		int		  count;

		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);
		page_size = Min(page_size, at_most - search->looked);
		page = fleet_page(search->table, tier, &from, page_size, false);
		count = list_length(page);
		if (count > 0)
			end = look_at_page(search, page, turned ? &start : NULL, position);
		MemoryContextSwitchTo(caller_context);

		passed += count;
		if (end == PAGE_CAME_ROUND)
			came_round = true;
		else if (end == PAGE_LOOKED_AT && (count < page_size || position->isnull))
		{
			/* The end of the fleet: continue at its beginning. */
			*position = NO_DATUM;
			came_round = turned || compare_ids(&start, &first_id) == 0;
			turned = true;
		}
		page_size = passed < SMALL_PAGE ? SMALL_PAGE : LARGE_PAGE;
	}
	MemoryContextDelete(context);

	/*
	 * A walk through the canaries that starts at the first id needs one page
	 * less.  For a distributed table each page is a query on every shard.
	 */
	if (tier == TIER_CANARY && search->table->distributed && came_round &&
		list_length(search->found) == search->found_before)
		*position = NO_DATUM;
	return came_round;
}

/* To look rows up by id: a sorted array of them. */
static int
compare_rows(const void *a, const void *b)
{
	return compare_ids(&(*(FleetRow *const *) a)->id, &(*(FleetRow *const *) b)->id);
}

static FleetRow **
sorted_rows(const List *rows)
{
	FleetRow **sorted = palloc_array(FleetRow *, list_length(rows) + 1);
	int		   count = 0;
	ListCell  *lc;

	foreach(lc, rows)
		sorted[count++] = (FleetRow *) lfirst(lc);
	qsort(sorted, count, sizeof(FleetRow *), compare_rows);
	return sorted;
}

static FleetRow *
row_of_id(FleetRow **sorted, int count, const pg_uuid_t *id)
{
	FleetRow   key = { .id = *id };
	FleetRow  *at = &key;
	FleetRow **row = bsearch(&at, sorted, count, sizeof(FleetRow *), compare_rows);

	return row ? *row : NULL;
}

/* Look at the workspaces of these installations.  True: enough are found. */
static bool
look_at_handed(Search *search, const List *handed)
{
	int		   count = list_length(handed);
	Datum	  *ids = palloc_array(Datum, count + 1);
	List	  *rows;
	FleetRow **sorted;

	if (count == 0)
		return false;
	for (int i = 0; i < count; i++)
		ids[i] = UUIDPGetDatum(&((LoadedInstallation *) list_nth(handed, i))->workspace);
	rows = workspaces_look(search->table, ids, count, false);
	sorted = sorted_rows(rows);
	for (int i = 0; i < count; i++)
	{
		const LoadedInstallation *installation = (const LoadedInstallation *) list_nth(handed, i);
		const FleetRow			 *row = row_of_id(sorted, list_length(rows), &installation->workspace);

		if (row != NULL && look(search, row, installation))
			return true;
	}
	return false;
}

/*
 * Look for workspaces that go back: they were handed a version that has ended,
 * and that is newer than the open one.
 */
static void
search_rollbacks(Search *search)
{
	LoadedPackage *loaded = search->loaded;
	const Rollout *open = search->target ? target_of(search) : machine_promoted(&loaded->package);
	pg_uuid_t	   from = *id_at(search->sweep.rollback_position);
	ListCell	  *lc;

	if (open == NULL)
		return;
	search->found_before = list_length(search->found);
	search->sweep.rollback_position = NO_DATUM;
	foreach(lc, package_ended_since(loaded, open->ordinal))
	{
		const LoadedRollout *ended = (const LoadedRollout *) lfirst(lc);
		List				*handed;

		if (!machine_may_go_back(&loaded->package, &ended->rollout, open))
			continue;
		handed = installations_of_rollout(ended->rollout.id, &from, loaded->seen, LARGE_PAGE);
		if (look_at_handed(search, handed))
			return;
		/* Installations that are not due stay: the next search starts after them. */
		if (list_length(handed) == LARGE_PAGE)
			search->sweep.rollback_position = position_after(search, &((LoadedInstallation *) llast(handed))->workspace);
	}
}

/*
 * Does a walk from one id to another pass a place?  It may have continued at
 * the beginning of the fleet.
 */
static bool
passes(const pg_uuid_t *from, const pg_uuid_t *to, const pg_uuid_t *place)
{
	bool after = compare_ids(place, from) > 0;
	bool before = compare_ids(place, to) <= 0;

	return compare_ids(from, to) < 0 ? after && before : after || before;
}

/*
 * Note how far searches that found no workspace have come through production:
 * in a large fleet it takes several to pass all of it.
 */
static void
note_quiet(Search *search, const pg_uuid_t *from, bool came_round)
{
	Sweep *sweep = &search->sweep;

	if (search->found != NIL || search->over_budget)
		sweep->quiet_from = NO_DATUM;
	else if (came_round ||
			 (!sweep->quiet_from.isnull &&
			  passes(from, id_at(sweep->production_position), id_at(sweep->quiet_from))))
	{
		search->came_round = true;
		sweep->quiet_from = NO_DATUM;
	}
	else if (sweep->quiet_from.isnull)
		sweep->quiet_from = position_at(search, from);
}

/* search_fleet: find due workspaces, in the order in which they are to be claimed. */
void
search_fleet(Search *search)
{
	const Package *package = &search->loaded->package;
	bool		   canaries = machine_is_open_to_some(package, target_of(search), TIER_CANARY);
	bool		   production = machine_is_open_to_some(package, target_of(search), TIER_PRODUCTION);
	bool		   all_canaries = !canaries;

	if (search->wanted <= 0 || machine_is_frozen(package))
		return;
	if (canaries)
		all_canaries = sweep_tier(search, TIER_CANARY, &search->sweep.canary_position,
								  production ? Max(GLANCE_MIN, Min(search->wanted, GLANCE_MAX)) : SWEEP_MAX);
	if (search->wanted > 0)
		search_rollbacks(search);
	if (production && search->wanted > 0)
	{
		pg_uuid_t from = *id_at(search->sweep.production_position);

		search->looked = 0;
		note_quiet(search, &from,
				   sweep_tier(search, TIER_PRODUCTION, &search->sweep.production_position, SWEEP_MAX));
	}
	if (search->found == NIL && !all_canaries)
	{
		search->looked = 0;
		all_canaries = sweep_tier(search, TIER_CANARY, &search->sweep.canary_position, SWEEP_MAX);
	}
	search->came_round = search->found == NIL && !search->over_budget && all_canaries && (search->came_round || !production);
}

/* Can the workspace be due, whatever its installation says? */
static bool
may_be_due(const Search *search, const FleetRow *row)
{
	Workspace workspace = { .id = row->id.data, .live = row->live, .tier = row->tier };

	return row->live &&
		machine_is_open_to(&search->loaded->package, target_of(search), &workspace,
						   search->loaded->now);
}

/*
 * Look at these workspaces, in their order.  True: enough are found.
 *
 * The version may be closed to most candidates of a queue, so installations are
 * read only of those to which it is open.
 */
static bool
look_at_candidates(Search *search, const Datum *candidates, int count)
{
	List				*rows = workspaces_look(search->table, candidates, count, false);
	FleetRow		   **sorted = sorted_rows(rows);
	const FleetRow	   **open = palloc_array(const FleetRow *, count);
	Datum				*ids = palloc_array(Datum, count);
	int					 open_count = 0;
	LoadedInstallation **installations;

	for (int i = 0; i < count; i++)
	{
		const FleetRow *row = row_of_id(sorted, list_length(rows), DatumGetUUIDP(candidates[i]));

		if (row == NULL || !may_be_due(search, row))
			continue;
		ids[open_count] = candidates[i];
		open[open_count++] = row;
	}
	if (open_count == 0)
		return false;
	installations = installations_of(search->loaded->id, ids, open_count, search->loaded->seen);
	for (int i = 0; i < open_count; i++)
	{
		if (look(search, open[i], installations[i]))
			return true;
	}
	return false;
}

/* search_candidates: find those of these workspaces that are due, in their order. */
void
search_candidates(Search *search, const Datum *candidates, int count)
{
	MemoryContext caller_context;
	MemoryContext context;
	int			  page_size = SMALL_PAGE;
	bool		  enough = search->wanted <= 0;

	if (machine_is_frozen(&search->loaded->package))
		return;
	context = AllocSetContextCreate(CurrentMemoryContext, "update_tier page", ALLOCSET_DEFAULT_SIZES);
	caller_context = MemoryContextSwitchTo(context);
	for (int i = 0; i < count && !enough; i += page_size)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(context);
		page_size = i == 0 ? SMALL_PAGE : LARGE_PAGE;
		enough = look_at_candidates(search, &candidates[i], Min(page_size, count - i));
	}
	MemoryContextSwitchTo(caller_context);
	MemoryContextDelete(context);
}
