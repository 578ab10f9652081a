/*-------------------------------------------------------------------------
 *
 * rollout/held.c
 *	  Where the rows of a package are, remembered while a transaction holds it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "rollout/held.h"
#include "server/compat.h"

/*
 * The package that this transaction has saved last, and where its row and those
 * of its loaded rollouts are.  No other transaction changes them while we hold
 * the lock.  A rollback to a savepoint forgets them.
 *
 * If a statement of this transaction changes one of the rows, it is no longer
 * where we look, and all are loaded again.  A row that such a statement inserts
 * is seen from the next transaction on.
 */
static struct
{
	MemoryContext	 context; /* of the rest; NULL: nothing is remembered */
	uint64			 package_generation;
	uint64			 rollout_generation;
	char			*name;
	int64			 id;
	ItemPointerData	 tid;
	int				 count;
	ItemPointerData *rollouts;
	int64			*ids;
	int64			 promoted_from;
	bool			 all_promoted;
} held;

static void
forget_held(void)
{
	if (held.context != NULL)
		MemoryContextDelete(held.context);
	memset(&held, 0, sizeof(held));
}

static void
held_at_transaction_end(XactEvent event, void *arg)
{
	forget_held();
}

static void
held_at_subtransaction_end(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_held();
}

static bool
is_remembered(const LoadedPackage *loaded, const Rollout *rollout)
{
	return rollout->phase == PHASE_QUEUED || rollout->phase == PHASE_CANARY || rollout->phase == PHASE_SOAKING ||
		(rollout->phase == PHASE_PROMOTED && (loaded->all_promoted || rollout->ordinal >= loaded->promoted_from));
}

void
held_remember(const LoadedPackage *loaded)
{
	static bool	   callbacks_registered = false;
	const Package *package = &loaded->package;
	MemoryContext  caller_context;

	if (!callbacks_registered)
	{
		RegisterXactCallback(held_at_transaction_end, NULL);
		RegisterSubXactCallback(held_at_subtransaction_end, NULL);
		callbacks_registered = true;
	}
	forget_held();
	if (!package_is_stored(loaded) || package_row_generation() == 0 || rollout_generation() == 0)
		return;
	held.context = AllocSetContextCreate(TopMemoryContext, "update_tier package", ALLOCSET_SMALL_SIZES);
	caller_context = MemoryContextSwitchTo(held.context);
	held.package_generation = package_row_generation();
	held.rollout_generation = rollout_generation();
	held.id = loaded->id;
	held.tid = loaded->row->tid;
	held.rollouts = palloc_array(ItemPointerData, package->count + 1);
	held.ids = palloc_array(int64, package->count + 1);
	held.promoted_from = loaded->promoted_from;
	held.all_promoted = loaded->all_promoted;
	for (int i = 0; i < package->count; i++)
	{
		if (!is_remembered(loaded, package->rollouts[i]))
			continue;
		held.ids[held.count] = package->rollouts[i]->id;
		held.rollouts[held.count++] = loaded_rollout(package->rollouts[i])->row->tid;
	}
	held.name = pstrdup(loaded->name);
	MemoryContextSwitchTo(caller_context);
}

/* The row of the remembered package; NULL: no package is remembered, or its row has moved. */
static TableRow *
held_row(void)
{
	TableRow *row;

	if (held.name == NULL || held.package_generation != package_row_generation())
		return NULL;
	row = package_row_at(&held.tid);
	return row != NULL && DatumGetInt64(row->column[PACKAGE_id].value) == held.id ? row : NULL;
}

/* held_row_of_name: the row of the package with this name, which need not be locked; or NULL. */
TableRow *
held_row_of_name(const char *name)
{
	TableRow *row = held.name != NULL && strcmp(held.name, name) == 0 ? held_row() : NULL;

	return row ? row : package_row(name, SEEN_NOW);
}

/* held_name_of: the name of the package with this id, and its stamp; or NULL. */
char *
held_name_of(int64 id, TimestampTz *stamp)
{
	TableRow *row = held.name != NULL && held.id == id ? held_row() : NULL;

	if (row == NULL)
		row = package_row_of_id(id);
	if (row == NULL)
		return NULL;
	*stamp = DatumGetTimestampTz(row->column[PACKAGE_stamp].value);
	return TextDatumGetCString(row->column[PACKAGE_name].value);
}

/* held_load: load the package from the remembered places; false: its rows are not there. */
bool
held_load(LoadedPackage *loaded)
{
	LoadedRollout **found;

	if (held.name == NULL || strcmp(held.name, loaded->name) != 0 || !loaded->locked ||
		held.rollout_generation != rollout_generation())
		return false;
	found = palloc_array(LoadedRollout *, held.count + 1);
	loaded->row = held_row();
	if (loaded->row == NULL)
		return false;
	for (int i = 0; i < held.count; i++)
	{
		found[i] = rollout_at(&held.rollouts[i]);
		if (found[i] == NULL || found[i]->rollout.id != held.ids[i])
			return false;
	}
	for (int i = 0; i < held.count; i++)
		(void) package_add_rollout(loaded, found[i]);
	loaded->promoted_from = held.promoted_from;
	loaded->all_promoted = held.all_promoted;
	return true;
}
