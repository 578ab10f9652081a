/*-------------------------------------------------------------------------
 *
 * rollout/package.c
 *	  Packages with their rollouts: loaded, locked, settled, saved.
 *
 * A call that changes a package reads what it needs of the fleet, locks the
 * package, loads it and settles it to the clock, calls one function of the
 * machine that changes something, and saves.  Gates load and settle in the same
 * way, without a lock, and save nothing.
 *
 * Gates are judged at now(), the start of the transaction.  What is written is
 * stamped with the clock, read under the lock.  So a long transaction sees a
 * version open late, never early.
 *
 * For the order of locks see rollout/package_lock.c.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fleet/attached.h"
#include "fleet/live.h"
#include "rollout/event.h"
#include "rollout/package.h"
#include "rollout/package_lock.h"
#include "rollout/setting.h"
#include "rollout/uncounted.h"
#include "server/compat.h"
#include "server/identity.h"
#include "server/values.h"

/* Is the package stored already? */
static bool
is_stored(const LoadedPackage *loaded)
{
	return ItemPointerIsValid(&loaded->row->tid);
}


/* ---------------------------------------------------------------------
 * Rollouts of a package
 * ---------------------------------------------------------------------
 */

/* Add a rollout in its order, oldest first.  If it is loaded already, return the loaded one. */
static LoadedRollout *
add_rollout(LoadedPackage *loaded, LoadedRollout *rollout)
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
	return found ? add_rollout(loaded, found) : NULL;
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
 * Load the promoted versions from the newest to the first that is open to all
 * of production.  Older ones are open to no workspace, until that one is halted
 * or aborted.
 */
static void
load_promoted(LoadedPackage *loaded)
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
		result = lappend(result, add_rollout(loaded, lfirst(lc)));
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
		result = lappend(result, add_rollout(loaded, lfirst(lc)));
	return result;
}

/* version_arguments: a version as the arguments of a call that a HINT shows. */
char *
version_arguments(const char *package, const char *version)
{
	if (strlen(package) > QUOTED_VALUE_MAX || strlen(version) > QUOTED_VALUE_MAX)
		return "package, version";
	return psprintf("%s, %s", quote_literal_cstr(package), quote_literal_cstr(version));
}

/* Errors: P0002. */
pg_noreturn static void
refuse_unknown_version(const char *package, const char *version)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("version \"%s\" of package \"%s\" was not started", clipped(version), clipped(package)),
			 errhint("Check the spelling, or start it with SELECT update_tier.start(%s).",
					 version_arguments(package, version))));
}

/*
 * package_find_known
 *		The rollout of a version.  Errors: P0002 if it was never started.
 */
LoadedRollout *
package_find_known(LoadedPackage *loaded, const char *version)
{
	LoadedRollout *rollout = package_find(loaded, version);

	if (rollout == NULL)
		refuse_unknown_version(loaded->name, version);
	return rollout;
}

/*
 * package_argument
 *		The name of one package.
 *
 * Errors: 22004 and 22023 as name_argument(), 22023 for ALL_PACKAGES.
 */
char *
package_argument(NullableDatum value)
{
	char *name = name_argument(value, "package");

	if (strcmp(name, ALL_PACKAGES) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("package must not be \"%s\"", ALL_PACKAGES),
				 errdetail("This name stands for all packages in the functions for settings and freezes."),
				 errhint("Pass the name of one package.")));
	return name;
}

/* refuse_unknown_workspace, refuse_not_live: P0002. */
void
refuse_unknown_workspace(Datum id, const WorkspacesTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("workspace %s does not exist", workspace_text(DatumGetUUIDP(id))),
			 errdetail("Table %s has no workspace with this id.", table->statement_table.name)));
}

void
refuse_not_live(Datum id, const WorkspacesTable *table)
{
	ereport(ERROR,
			(errcode(ERRCODE_NO_DATA_FOUND),
			 errmsg("workspace %s is not live", workspace_text(DatumGetUUIDP(id))),
			 errdetail("It does not meet the condition \"live_when\" of table %s: %s.",
					   table->statement_table.name, table->statement_table.live_when)));
}

/* refuse_leased: 55000, for a workspace that holds a live lease. */
void
refuse_leased(const LoadedPackage *loaded, const LoadedInstallation *installation, const char *what)
{
	const Rollout *rollout = machine_rollout(&loaded->package, installation->installation.rollout);

	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("cannot %s workspace %s", what, workspace_text(&installation->workspace)),
			 errdetail("It holds a live lease for version \"%s\", token %lld, until %s.",
					   rollout ? clipped(rollout->version) : "", (long long) installation->installation.token,
					   timestamptz_to_str(installation->installation.lease_until)),
			 errhint("Wait until the lease ends, or report the outcome with update_tier.report(%lld, ...).",
					 (long long) installation->installation.token)));
}

/* package_new_rollout: add a rollout, for machine_start() to begin. */
LoadedRollout *
package_new_rollout(LoadedPackage *loaded, const char *version)
{
	Policy policy = package_policy(loaded);

	return add_rollout(loaded, rollout_new(loaded->name, version, &policy));
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


/* ---------------------------------------------------------------------
 * Where rows are, remembered within a transaction
 * ---------------------------------------------------------------------
 */

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

static void
remember_held(const LoadedPackage *loaded)
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
	if (!is_stored(loaded) || package_row_generation() == 0 || rollout_generation() == 0)
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

/* The row of the package with this name, which need not be locked; or NULL. */
static TableRow *
row_of_name(const char *name)
{
	TableRow *row = held.name != NULL && strcmp(held.name, name) == 0 ? held_row() : NULL;

	return row ? row : package_row(name, SEEN_NOW);
}

/* package_name_of: the name of the package with this id, and its stamp; or NULL. */
char *
package_name_of(int64 id, TimestampTz *stamp)
{
	TableRow *row = held.name != NULL && held.id == id ? held_row() : NULL;

	if (row == NULL)
		row = package_row_of_id(id);
	if (row == NULL)
		return NULL;
	*stamp = DatumGetTimestampTz(row->column[PACKAGE_stamp].value);
	return TextDatumGetCString(row->column[PACKAGE_name].value);
}

/* Load the package from the remembered places; false: its rows are not there. */
static bool
load_held(LoadedPackage *loaded)
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
		(void) add_rollout(loaded, found[i]);
	loaded->promoted_from = held.promoted_from;
	loaded->all_promoted = held.all_promoted;
	return true;
}


/* ---------------------------------------------------------------------
 * Loading
 * ---------------------------------------------------------------------
 */

/* Load the package's own freeze or the one of all packages, whichever ends later. */
static void
load_freeze(LoadedPackage *loaded)
{
	const TableRow *of[2] = { loaded->row, loaded->all };

	loaded->package.frozen_until = DT_NOBEGIN;
	for (int i = 0; i < 2; i++)
	{
		TimestampTz until;

		if (of[i] == NULL)
			continue;
		until = DatumGetTimestampTz(of[i]->column[PACKAGE_frozen_until].value);
		if (until <= loaded->package.frozen_until)
			continue;
		loaded->package.frozen_until = until;
		loaded->freeze_reason = optional_text(of[i]->column[PACKAGE_freeze_reason]);
	}
}

static void
load_rows(LoadedPackage *loaded)
{
	ListCell *lc;

	loaded->promoted_from = PG_INT64_MAX;
	if (load_held(loaded))
		return;
	loaded->package.count = 0;
	loaded->promoted_from = PG_INT64_MAX;
	loaded->all_promoted = false;
	loaded->row = package_row(loaded->name, loaded->seen);
	if (loaded->row == NULL)
		loaded->row = package_row_new(loaded->name);
	else
	{
		foreach(lc, rollouts_on_their_way(loaded->name, loaded->seen))
			(void) add_rollout(loaded, lfirst(lc));
	}
}

/* Load the reports that are not counted yet. */
static void
load_uncounted(LoadedPackage *loaded)
{
	Package	 *package = &loaded->package;
	ListCell *lc;

	loaded->counted = uncounted_load(loaded->id, loaded->seen);
	package->uncounted = palloc_array(Uncounted, list_length(loaded->counted) + 1);
	foreach(lc, loaded->counted)
	{
		const Uncounted *uncounted = &((LoadedUncounted *) lfirst(lc))->uncounted;

		(void) package_need(loaded, uncounted->rollout);
		package->uncounted[package->uncounted_count++] = *uncounted;
		loaded->changed = true;
	}
}

/*
 * The leases that have expired.  Under the package's lock their rows are
 * locked, too, so that no report is written to them meanwhile.  A lease whose
 * row another transaction has locked is left out: that transaction is reporting
 * on it.
 */
static List *
expired_leases(LoadedPackage *loaded)
{
	List	 *leases = NIL;
	ListCell *lc;

	foreach(lc, installations_leased(loaded->id, loaded->clock, loaded->seen))
	{
		if (!loaded->locked || installation_lock(lfirst(lc), false))
			leases = lappend(leases, lfirst(lc));
		else
			loaded->has_reporting = true;
	}
	return leases;
}

/*
 * Load the package's row, some of its rollouts (see LoadedPackage), and the
 * leases that have expired by the clock.
 */
static LoadedPackage *
load(const char *name, Seen seen, OfAll of_all, bool locked)
{
	LoadedPackage *loaded = palloc0_object(LoadedPackage);
	NullableDatum *column;
	ListCell	  *lc;

	loaded->context = CurrentMemoryContext;
	loaded->seen = seen;
	loaded->locked = locked;
	loaded->of_all = of_all;
	loaded->name = pstrdup(name);
	loaded->package.name = loaded->name;
	loaded->now = GetCurrentTransactionStartTimestamp();
	loaded->clock = GetCurrentTimestamp();
	load_rows(loaded);
	if (of_all == WITH_ALL)
		loaded->all = package_row(ALL_PACKAGES, seen);

	column = loaded->row->column;
	loaded->id = is_stored(loaded) ? DatumGetInt64(column[PACKAGE_id].value) : 0;
	loaded->package.stamp = DatumGetTimestampTz(column[PACKAGE_stamp].value);
	loaded->package.in_flight = DatumGetInt32(column[PACKAGE_in_flight].value);
	loaded->first_expiry = DatumGetTimestampTz(column[PACKAGE_first_expiry].value);
	loaded->sweep = (Sweep){ column[PACKAGE_canary_position], column[PACKAGE_production_position],
							 column[PACKAGE_rollback_position], column[PACKAGE_quiet_from],
							 column[PACKAGE_swept_at] };
	load_freeze(loaded);
	if (is_stored(loaded))
	{
		load_promoted(loaded);
		load_uncounted(loaded);
	}

	if (loaded->first_expiry <= loaded->clock)
		loaded->leases = expired_leases(loaded);
	foreach(lc, loaded->leases)
		(void) package_need(loaded, ((LoadedInstallation *) lfirst(lc))->installation.rollout);
	return loaded;
}

/*
 * The workspaces that look_at() has to look up: their expired lease was the last
 * attempt, which is a failure if the workspace is still live.  Without the
 * workspaces in "known".
 */
static List *
unknown_workspaces(const LoadedPackage *loaded, const List *known)
{
	List	 *unknown = NIL;
	ListCell *lc;

	foreach(lc, loaded->leases)
	{
		LoadedInstallation *lease = (LoadedInstallation *) lfirst(lc);
		ListCell		   *lc2;

		if (!machine_is_last_attempt(&loaded->package, &lease->installation))
			continue;
		foreach(lc2, known)
		{
			if (memcmp(((FleetRow *) lfirst(lc2))->id.data, lease->workspace.data, UUID_LEN) == 0)
				break;
		}
		if (lc2 == NULL)
			unknown = lappend(unknown, &lease->workspace);
	}
	return unknown;
}

/*
 * Look these workspaces up in the fleet.  A workspace that is not there is not
 * live.
 */
static List *
look_at(const List *workspaces, bool read_only)
{
	bool				   assumed;
	const WorkspacesTable *table = workspaces_or_assumption(&assumed);
	int					   count = list_length(workspaces);
	Datum				  *ids = palloc_array(Datum, count);
	List				  *result = NIL;

	for (int i = 0; i < count; i++)
	{
		FleetRow *gone = palloc0_object(FleetRow);

		gone->id = *(pg_uuid_t *) list_nth(workspaces, i);
		gone->live = assumed;
		ids[i] = UUIDPGetDatum(&gone->id);
		result = lappend(result, gone);
	}
	/* is_live() takes the first match: rows that were found are before the others. */
	return table == NULL ? result : list_concat(workspaces_look(table, ids, count, read_only), result);
}

static bool
is_live(const List *known, const pg_uuid_t *workspace)
{
	ListCell *lc;

	foreach(lc, known)
	{
		const FleetRow *row = (const FleetRow *) lfirst(lc);

		if (memcmp(row->id.data, workspace->data, UUID_LEN) == 0)
			return row->live;
	}
	return false;
}

/* package_begin: make room for the events of the next function of the machine. */
void
package_begin(LoadedPackage *loaded)
{
	loaded->package.event_count = 0;
	loaded->package.events = palloc_array(Event, machine_events_at_most(&loaded->package));
}

/*
 * Settle to the clock.  If "workspace" and "asked_token" name the attempt that
 * the caller reports on or extends, its lease is judged by the start of the
 * statement.
 */
static void
settle(LoadedPackage *loaded, const List *known, const pg_uuid_t *workspace, int64 asked_token)
{
	Package	 *package = &loaded->package;
	ListCell *lc;

	package->leases = palloc0_array(Lease, list_length(loaded->leases) + 1);
	foreach(lc, loaded->leases)
	{
		LoadedInstallation *lease = (LoadedInstallation *) lfirst(lc);
		bool				asked = workspace != NULL && memcmp(lease->workspace.data, workspace->data, UUID_LEN) == 0 &&
			(asked_token == ANY_ATTEMPT || asked_token == lease->installation.token);

		package->leases[package->lease_count++] = (Lease){
			.installation = &lease->installation,
			.live = is_live(known, &lease->workspace),
			.asked_at = asked ? GetCurrentStatementStartTimestamp() : NEVER
		};
	}
	package_begin(loaded);
	machine_settle(package, loaded->clock);
	load_promoted(loaded);
}

/*
 * package_look
 *		Load and settle a package without its lock, for a reader that does not
 *		save it.
 */
LoadedPackage *
package_look(const char *name, Seen seen)
{
	LoadedPackage *loaded = load(name, seen, WITH_ALL, false);
	List		  *unknown = unknown_workspaces(loaded, NIL);

	settle(loaded, unknown == NIL ? NIL : look_at(unknown, seen == SEEN_BY_STATEMENT), NULL, 0);
	/* This sets the reasons of halts.  The notes of events are not written. */
	package_conclude(loaded, NULL, NULL, NULL);
	return loaded;
}

/*
 * package_next_moment
 *		When a package from package_look() may change without a call; DT_NOEND:
 *		never.
 */
TimestampTz
package_next_moment(LoadedPackage *loaded)
{
	const Package *package = &loaded->package;
	TimestampTz	   next = machine_next_moment(package);
	TimestampTz	   expiry = loaded->first_expiry;

	if (expiry <= package->stamp)
		expiry = installations_first_expiry(loaded->id, package->stamp, loaded->seen);
	if (package->frozen_until > package->stamp)
		next = Min(next, package->frozen_until);
	return Min(next, expiry);
}

/* ---------------------------------------------------------------------
 * Locking
 * ---------------------------------------------------------------------
 */

/*
 * Before the package is locked: lock the row of the workspace's claimed
 * attempt.  This waits for a report on it that another transaction has written,
 * and prevents others from writing one.  That transaction may want the
 * package's lock, too: to wait for it under this lock could be a deadlock.
 *
 * Errors: 40001 under REPEATABLE READ, if the attempt was reported on since the
 * transaction began.
 */
static void
wait_for_report(const char *name, const pg_uuid_t *workspace)
{
	TableRow		   *row = row_of_name(name);
	LoadedInstallation *installation = row == NULL ? NULL :
													 installation_load(DatumGetInt64(row->column[PACKAGE_id].value), workspace, SEEN_NOW);

	if (installation != NULL && installation->installation.state == STATE_CLAIMED)
	{
		if (!installation_lock(installation, true) && IsolationUsesXactSnapshot())
			refuse_old_snapshot(psprintf("An outcome of the attempt at workspace %s was reported after the transaction began.",
										 workspace_text(workspace)));
	}
}

/*
 * Under the package's lock: is another transaction reporting on the workspace
 * nevertheless?  Then it was claimed while we waited for the package.  That
 * transaction may want the package's lock for its report, and has to get it
 * first.
 *
 * Under REPEATABLE READ another try would find the same row.
 */
static bool
is_reported_on(const LoadedPackage *loaded, const pg_uuid_t *workspace)
{
	LoadedInstallation *installation;

	if (IsolationUsesXactSnapshot() || !is_stored(loaded))
		return false;
	installation = installation_load(loaded->id, workspace, loaded->seen);
	return installation != NULL && installation->installation.state == STATE_CLAIMED &&
		!installation_lock(installation, false);
}

/*
 * package_lock_for
 *		Lock a package for the rest of the transaction, load and settle it.
 *
 * "command" names the calling function in the error of a read-only transaction.
 * "workspace" is the one whose attempt the caller ends or replaces, or NULL.
 * "asked_token" is the attempt that the caller reports on or extends,
 * ANY_ATTEMPT, or 0 for none.
 *
 * Under the lock all rows are read with one snapshot: a report that commits
 * meanwhile is seen together with its installation, or not at all.  The fleet
 * may be on another machine, so it is read without the lock, unless the
 * transaction had the package locked before.
 *
 * Errors: 25006 in a read-only transaction; 40001 as package_take_locks().
 */
LoadedPackage *
package_lock_for(const char *name, const char *command, OfAll of_all,
				 const pg_uuid_t *workspace, int64 asked_token)
{
	bool		   was_locked = package_is_locked(name);
	LoadedPackage *loaded;
	List		  *known = NIL;

	PreventCommandIfReadOnly(command);
	for (;;)
	{
		List *unknown;

		if (workspace != NULL)
			wait_for_report(name, workspace);
		package_take_locks(name, of_all == WITH_ALL);
		CommandCounterIncrement();
		PushActiveSnapshot(GetTransactionSnapshot());
		loaded = load(name, SEEN_BY_STATEMENT, of_all, true);
		unknown = unknown_workspaces(loaded, known);
		if (unknown == NIL && (was_locked || workspace == NULL || !is_reported_on(loaded, workspace)))
			break;
		package_unlock(loaded);
		if (unknown != NIL)
			known = list_concat(known, look_at(unknown, false));
	}
	settle(loaded, known, workspace, asked_token);
	package_conclude(loaded, NULL, NULL, NULL);
	return loaded;
}

/* package_lock: the same, for a caller that ends no claimed attempt. */
LoadedPackage *
package_lock(const char *name, const char *command, OfAll of_all)
{
	return package_lock_for(name, command, of_all, NULL, 0);
}

/*
 * package_unlock
 *		Release the locks that this call has taken on a package.  It has changed
 *		nothing.
 */
void
package_unlock(LoadedPackage *loaded)
{
	PopActiveSnapshot();
	package_give_locks_back(loaded->name, loaded->of_all == WITH_ALL);
	loaded->locked = false;
}


/* ---------------------------------------------------------------------
 * Events
 * ---------------------------------------------------------------------
 */

/* package_note: log this when the package is saved. */
void
package_note(LoadedPackage *loaded, const LoadedRollout *rollout, const char *kind,
			 const LoadedInstallation *installation, const char *detail)
{
	EventNote *note = palloc0_object(EventNote);

	note->at = loaded->package.stamp;
	note->kind = kind;
	note->package = loaded->name;
	note->version = rollout ? rollout->rollout.version : NULL;
	note->detail = detail;
	if (installation != NULL)
	{
		note->workspace = &installation->workspace;
		note->token = installation->installation.token;
	}
	loaded->notes = lappend(loaded->notes, note);
	loaded->changed = true;
}

/* package_note_token: the same, for an attempt of which only the token is known. */
void
package_note_token(LoadedPackage *loaded, const LoadedRollout *rollout, const char *kind,
				   int64 token, const char *detail)
{
	package_note(loaded, rollout, kind, NULL, detail);
	((EventNote *) llast(loaded->notes))->token = token;
}

/* workspace_text: the id as a text. */
char *
workspace_text(const pg_uuid_t *workspace)
{
	return DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(workspace)));
}

#define EXPIRED_DETAIL "the lease of its last attempt expired"

/* Why a rollout was halted: how many workspaces failed, and which one exceeded the limit. */
static char *
reason_of_halt(const Rollout *rollout, Tier tier, const LoadedInstallation *tipping, const char *detail)
{
	const Tally	 *tally = &rollout->tally[tier];
	const Policy *policy = &rollout->policy;
	int64		  failures = (int64) tally->failed - tally->acknowledged;
	char		 *tolerated = psprintf("%d", policy->max_failures);
	char		 *reason;

	if (policy->max_failure_percent > 0)
		tolerated = psprintf("%d and %d %% of %lld", policy->max_failures, policy->max_failure_percent,
							 (long long) (failures + tally->succeeded + tally->moved_on));
	reason = psprintf("%lld %s %s failed, %s tolerated", (long long) failures, tier_names[tier],
					  failures == 1 ? "workspace" : "workspaces", tolerated);
	if (tipping == NULL)
		return reason;
	reason = psprintf("%s; the last was %s", reason, workspace_text(&tipping->workspace));
	return detail ? psprintf("%s: %s", reason, detail) : reason;
}

/* Note one event of the machine for the log, with its own moment. */
static void
describe(LoadedPackage *loaded, const Event *event, const LoadedInstallation *tipping,
		 const LoadedRollout *ordered, char *reason)
{
	LoadedRollout			 *rollout = event->rollout ? loaded_rollout(unconstify(Rollout *, event->rollout)) : NULL;
	const LoadedInstallation *lease = event->lease ? loaded_installation(event->lease->installation) : NULL;
	const char				 *detail = NULL;
	PhaseNote				 *note;

	switch (event->what)
	{
		case HAPPENED_EXPIRED:
			package_note(loaded, rollout, "expired", lease, NULL);
			break;
		case HAPPENED_FAILED:
			package_note(loaded, rollout, "failed", lease, EXPIRED_DETAIL);
			break;
		case HAPPENED_PHASE:
			if (rollout == ordered)
				detail = rollout->reason = reason;
			else if (event->phase == PHASE_HALTED)
				detail = rollout->reason = lease ?
					reason_of_halt(&rollout->rollout, event->tier, lease, EXPIRED_DETAIL) :
					reason_of_halt(&rollout->rollout, event->tier, tipping, tipping ? tipping->detail : NULL);
			else if (event->by != NULL)
				detail = event->by->version;
			else if (event->phase == PHASE_PROMOTED)
				detail = "the soak is over";
			package_note(loaded, rollout, phase_names[event->phase], NULL, detail);
			note = palloc_object(PhaseNote);
			note->rollout = rollout;
			note->phase = event->phase;
			loaded->phases = lappend(loaded->phases, note);
			break;
	}
	((EventNote *) llast(loaded->notes))->at = event->at;
}

/*
 * package_conclude
 *		Note the events of the machine since package_begin().
 *
 * "tipping" is the installation that was reported on, "ordered" the rollout
 * that an operator's verb was for, and "reason" the operator's; each may be
 * NULL.
 */
void
package_conclude(LoadedPackage *loaded, const LoadedInstallation *tipping,
				 const LoadedRollout *ordered, char *reason)
{
	Package *package = &loaded->package;

	for (int i = 0; i < package->event_count; i++)
		describe(loaded, &package->events[i], tipping, ordered, reason);
	package->event_count = 0;
}


/* ---------------------------------------------------------------------
 * Saving
 * ---------------------------------------------------------------------
 */

/* package_touch: write this installation when the package is saved. */
void
package_touch(LoadedPackage *loaded, LoadedInstallation *installation)
{
	if (!installation->touched)
		loaded->touched = lappend(loaded->touched, installation);
	installation->touched = true;
	loaded->changed = true;
}

/*
 * package_forget
 *		Drop an installation.  Errors: 55000 under a live lease.
 *
 * A report for its latest attempt may still come, so the token is logged.
 */
void
package_forget(LoadedPackage *loaded, LoadedInstallation *installation)
{
	LoadedRollout *rollout = package_need(loaded, installation->installation.rollout);

	if (machine_is_leased(&installation->installation))
		refuse_leased(loaded, installation, "forget");
	if (installation->installation.token != 0)
		package_note(loaded, rollout, "replaced", installation, "forgotten");
	(void) machine_forget(&loaded->package, &installation->installation);
	loaded->forgotten = lappend(loaded->forgotten, installation);
	loaded->changed = true;
}

/* The installation of a workspace, if its lease is among the expired ones; or NULL. */
static LoadedInstallation *
lease_of(const LoadedPackage *loaded, const pg_uuid_t *workspace)
{
	ListCell *lc;

	foreach(lc, loaded->leases)
	{
		LoadedInstallation *lease = (LoadedInstallation *) lfirst(lc);

		if (memcmp(lease->workspace.data, workspace->data, UUID_LEN) == 0)
			return lease;
	}
	return NULL;
}

/* package_settled: the settled state of an installation that was read. */
const LoadedInstallation *
package_settled(const LoadedPackage *loaded, const LoadedInstallation *installation)
{
	const LoadedInstallation *lease = NULL;

	if (installation->installation.state == STATE_CLAIMED &&
		installation->installation.lease_until <= loaded->clock)
		lease = lease_of(loaded, &installation->workspace);
	return lease ? lease : installation;
}

/*
 * package_installation
 *		The settled installation of a workspace, with the rollouts that it
 *		names; all zeroes if the workspace has none.
 */
LoadedInstallation *
package_installation(LoadedPackage *loaded, const pg_uuid_t *workspace)
{
	LoadedInstallation *installation = lease_of(loaded, workspace);

	if (installation == NULL && is_stored(loaded))
		installation = installation_load(loaded->id, workspace, loaded->seen);
	if (installation == NULL)
	{
		installation = palloc0_object(LoadedInstallation);
		installation->workspace = *workspace;
		installation->runs_since = NO_DATUM;
	}
	package_need_rollouts(loaded, installation);
	return installation;
}

/* package_need_rollouts: load the rollouts that an installation names. */
void
package_need_rollouts(LoadedPackage *loaded, const LoadedInstallation *installation)
{
	(void) package_need(loaded, installation->installation.rollout);
	(void) package_need(loaded, installation->installation.runs);
}

/* The turn in which save_rollouts() writes a rollout. */
static int
turn_to_write(const Rollout *rollout)
{
	switch (rollout->phase)
	{
		case PHASE_CANARY:
		case PHASE_SOAKING:
			return 1;
		case PHASE_QUEUED:
			return 2;
		default:
			return 0;
	}
}

/*
 * Write the rollouts that have changed: the one in canary or soaking after those
 * that have left these phases, and the queued one last.  The unique indexes
 * require this order.
 */
static void
save_rollouts(LoadedPackage *loaded)
{
	for (int turn = 0; turn <= 2; turn++)
	{
		for (int i = 0; i < loaded->package.count; i++)
		{
			LoadedRollout *rollout = loaded_rollout(loaded->package.rollouts[i]);

			if (!rollout->rollout.changed || turn_to_write(&rollout->rollout) != turn)
				continue;
			rollout_save(rollout, loaded->package.stamp);
		}
	}
}

static void
save_installations(LoadedPackage *loaded)
{
	List	 *new_ones = NIL;
	ListCell *lc;

	for (int i = 0; i < loaded->package.lease_count; i++)
	{
		if (loaded->package.leases[i].expired)
			package_touch(loaded, loaded_installation(loaded->package.leases[i].installation));
	}
	foreach(lc, loaded->forgotten)
	{
		loaded->touched = list_delete_ptr(loaded->touched, lfirst(lc));
		installation_delete(lfirst(lc));
	}
	foreach(lc, loaded->touched)
	{
		LoadedInstallation *installation = (LoadedInstallation *) lfirst(lc);

		CHECK_FOR_INTERRUPTS();
		installation->package_id = loaded->id;
		installation->touched = false;
		if (installation->row == NULL)
			new_ones = lappend(new_ones, installation);
		else
			installation_save(installation, loaded->package.stamp);
	}
	installations_insert(new_ones, loaded->package.stamp);
	loaded->touched = loaded->forgotten = NIL;
}

/*
 * When the next lease expires.  A loaded lease had expired, but the caller may
 * have extended it: its new end counts, too, even if that has passed.
 */
static TimestampTz
next_expiry(const LoadedPackage *loaded)
{
	TimestampTz next = installations_first_expiry(loaded->id, loaded->clock, SEEN_NOW);
	ListCell   *lc;

	foreach(lc, loaded->leases)
	{
		const Installation *lease = &((LoadedInstallation *) lfirst(lc))->installation;

		if (lease->state == STATE_CLAIMED)
			next = Min(next, lease->lease_until);
	}
	return next;
}

/* Write the package's row. */
static void
save_package_row(LoadedPackage *loaded)
{
	NullableDatum *column = loaded->row->column;

	column[PACKAGE_stamp] = moment_value(loaded->package.stamp);
	column[PACKAGE_in_flight] = int32_value(loaded->package.in_flight);
	column[PACKAGE_first_expiry] = moment_value(loaded->first_expiry);
	column[PACKAGE_canary_position] = loaded->sweep.canary_position;
	column[PACKAGE_production_position] = loaded->sweep.production_position;
	column[PACKAGE_rollback_position] = loaded->sweep.rollback_position;
	column[PACKAGE_quiet_from] = loaded->sweep.quiet_from;
	column[PACKAGE_swept_at] = loaded->sweep.swept_at;
	column[PACKAGE_id] = int64_value(loaded->id);
	package_row_save(loaded->row);
}

static bool
has_changed(const LoadedPackage *loaded)
{
	for (int i = 0; i < loaded->package.count; i++)
	{
		if (loaded->package.rollouts[i]->changed)
			return true;
	}
	return loaded->changed;
}

/*
 * package_save
 *		Write what has changed; nothing if nothing has changed.
 *
 * Errors: 40001 if a row was changed meanwhile by a statement of a user, which
 * does not lock the package.
 */
void
package_save(LoadedPackage *loaded)
{
	ListCell *lc;

	if (loaded->locked)
		PopActiveSnapshot();
	loaded->locked = false;
	loaded->seen = SEEN_NOW;
	if (!has_changed(loaded))
		return;
	if (!is_stored(loaded))
		loaded->id = sequence_next("package_id");
	uncounted_delete(loaded->counted);
	loaded->counted = NIL;
	save_rollouts(loaded);
	save_installations(loaded);
	if (loaded->first_expiry <= loaded->clock && !loaded->has_reporting)
		loaded->first_expiry = next_expiry(loaded);
	save_package_row(loaded);
	events_write(loaded->notes);
	foreach(lc, loaded->phases)
	{
		const PhaseNote *note = (const PhaseNote *) lfirst(lc);

		notify_phase(loaded->name, note->rollout->rollout.version, note->phase);
	}
	loaded->notes = loaded->phases = NIL;
	loaded->changed = false;
	remember_held(loaded);
}

/*
 * package_leased
 *		A lease was granted: write the installation, and note when the lease
 *		ends.
 */
void
package_leased(LoadedPackage *loaded, LoadedInstallation *installation)
{
	loaded->first_expiry = Min(loaded->first_expiry, installation->installation.lease_until);
	package_touch(loaded, installation);
}


/* ---------------------------------------------------------------------
 * Settings and freeze
 * ---------------------------------------------------------------------
 */

/* package_settings: the columns of the package's own settings, in their order. */
NullableDatum *
package_settings(LoadedPackage *loaded)
{
	return &loaded->row->column[PACKAGE_soak];
}

/* package_policy: the package's own settings, else those of all packages, else the defaults. */
Policy
package_policy(const LoadedPackage *loaded)
{
	NullableDatum columns[SETTING_COUNT];

	for (int i = 0; i < SETTING_COUNT; i++)
	{
		columns[i] = loaded->row->column[PACKAGE_soak + i];
		if (columns[i].isnull && loaded->all != NULL)
			columns[i] = loaded->all->column[PACKAGE_soak + i];
	}
	return policy_of_columns(columns);
}

/* package_own_freeze: until when the package itself is frozen; DT_NOBEGIN: it is not. */
TimestampTz
package_own_freeze(const LoadedPackage *loaded)
{
	return DatumGetTimestampTz(loaded->row->column[PACKAGE_frozen_until].value);
}

/* package_set_freeze: freeze the package itself; DT_NOBEGIN: thaw it. */
void
package_set_freeze(LoadedPackage *loaded, TimestampTz until, char *reason)
{
	loaded->row->column[PACKAGE_frozen_until] = moment_value(until);
	loaded->row->column[PACKAGE_freeze_reason] = text_value(reason);
	loaded->changed = true;
}
