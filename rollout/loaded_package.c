/*-------------------------------------------------------------------------
 *
 * rollout/loaded_package.c
 *	  A package in memory, with those of its rollouts that a call needs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/memutils.h"

#include "rollout/loaded_package.h"
#include "server/compat.h"

/* package_is_stored: is the package stored already? */
bool
package_is_stored(const LoadedPackage *loaded)
{
	return ItemPointerIsValid(&loaded->row->tid);
}

/*
 * package_add_rollout
 *		Add a rollout in its order, oldest first.  If it is loaded already, return
 *		the loaded one.
 */
LoadedRollout *
package_add_rollout(LoadedPackage *loaded, LoadedRollout *rollout)
{
	Package *package = &loaded->package;
	int		 i = package->count;

	for (int n = 0; n < package->count; n++)
	{
		if (package->rollouts[n]->id == rollout->rollout.id)
			return loaded_rollout(package->rollouts[n]);
	}
	if (package->count == loaded->room)
	{
		loaded->room = Max(8, loaded->room * 2);
		package->rollouts = package->rollouts == NULL ?
			palloc_array(Rollout *, loaded->room) :
			repalloc_array(package->rollouts, Rollout *, loaded->room);
	}
	for (; i > 0 && package->rollouts[i - 1]->ordinal > rollout->rollout.ordinal; i--)
		package->rollouts[i] = package->rollouts[i - 1];
	package->rollouts[i] = &rollout->rollout;
	package->count++;
	return rollout;
}

static LoadedRollout *
add_found(LoadedPackage *loaded, LoadedRollout *found)
{
	return found ? package_add_rollout(loaded, found) : NULL;
}

/*
 * Is a promoted version loaded that is open to all of production, and all newer
 * promoted ones?  A lease or a report may have brought an older one.
 */
static bool
has_open_promoted(const LoadedPackage *loaded)
{
	for (int i = 0; i < loaded->package.count; i++)
	{
		const Rollout *rollout = loaded->package.rollouts[i];

		if (rollout->phase == PHASE_PROMOTED && rollout->ordinal >= loaded->promoted_from &&
			machine_ramp_ends_at(rollout) <= loaded->now)
			return true;
	}
	return false;
}

/*
 * package_load_promoted
 *		Load the promoted versions from the newest to the first that is open to
 *		all of production.  Older ones are open to no workspace, until that one is halted
 * or aborted.
 */
void
package_load_promoted(LoadedPackage *loaded)
{
	while (!loaded->all_promoted && !has_open_promoted(loaded))
	{
		LoadedRollout *found = add_found(loaded, rollout_promoted_before(loaded->name, loaded->promoted_from, loaded->seen));

		if (found == NULL)
			loaded->all_promoted = true;
		else
			loaded->promoted_from = found->rollout.ordinal;
	}
}

/* package_find: the rollout of a version in any phase; NULL: it was never started. */
LoadedRollout *
package_find(LoadedPackage *loaded, const char *version)
{
	MemoryContext  caller_context;
	LoadedRollout *rollout;

	for (int i = 0; i < loaded->package.count; i++)
	{
		if (strcmp(loaded->package.rollouts[i]->version, version) == 0)
			return loaded_rollout(loaded->package.rollouts[i]);
	}
	caller_context = MemoryContextSwitchTo(loaded->context);
	rollout = add_found(loaded, rollout_of_version(loaded->name, version, loaded->seen));
	MemoryContextSwitchTo(caller_context);
	return rollout;
}

/*
 * package_need
 *		The rollout with this id, which an installation names; NULL for
 *		NO_ROLLOUT, and if it has been deleted.
 */
LoadedRollout *
package_need(LoadedPackage *loaded, int64 id)
{
	Rollout		  *known = machine_rollout(&loaded->package, id);
	MemoryContext  caller_context;
	LoadedRollout *rollout;

	if (known != NULL)
		return loaded_rollout(known);
	if (id == NO_ROLLOUT)
		return NULL;
	caller_context = MemoryContextSwitchTo(loaded->context);
	rollout = add_found(loaded, rollout_of_id(id, loaded->seen));
	MemoryContextSwitchTo(caller_context);
	return rollout;
}

/* package_all_rollouts: every rollout of the package, as a list. */
List *
package_all_rollouts(LoadedPackage *loaded)
{
	List	 *result = NIL;
	ListCell *lc;

	foreach(lc, rollouts_of_package(loaded->name, loaded->seen))
		result = lappend(result, package_add_rollout(loaded, lfirst(lc)));
	loaded->all_promoted = true;
	return result;
}

/*
 * package_ended_since
 *		The rollouts that are stored as aborted or superseded and have a greater
 *		ordinal, newest first.
 */
List *
package_ended_since(LoadedPackage *loaded, int64 ordinal)
{
	List	 *result = NIL;
	ListCell *lc;

	foreach(lc, rollouts_ended_after(loaded->name, ordinal, loaded->seen))
		result = lappend(result, package_add_rollout(loaded, lfirst(lc)));
	return result;
}

/* package_delete_rollout: delete a rollout, for prune(). */
void
package_delete_rollout(LoadedPackage *loaded, LoadedRollout *rollout)
{
	Package *package = &loaded->package;
	int		 i = 0;

	rollout_delete(rollout);
	while (package->rollouts[i] != &rollout->rollout)
		i++;
	memmove(&package->rollouts[i], &package->rollouts[i + 1], (package->count - i - 1) * sizeof(Rollout *));
	package->count--;
	loaded->changed = true;
}

/* phase_text: the phase of a rollout, as shown. */
Datum
phase_text(const LoadedPackage *loaded, const LoadedRollout *rollout)
{
	return CStringGetTextDatum(phase_names[machine_phase(&loaded->package, &rollout->rollout)]);
}
