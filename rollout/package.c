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
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fleet/attached.h"
#include "fleet/live.h"
#include "rollout/event.h"
#include "rollout/held.h"
#include "rollout/package.h"
#include "rollout/package_lock.h"
#include "rollout/refuse.h"
#include "rollout/setting.h"
#include "rollout/uncounted.h"
#include "server/compat.h"
#include "server/values.h"

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
	if (held_load(loaded))
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
			(void) package_add_rollout(loaded, lfirst(lc));
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
	loaded->id = package_is_stored(loaded) ? DatumGetInt64(column[PACKAGE_id].value) : 0;
	loaded->package.stamp = DatumGetTimestampTz(column[PACKAGE_stamp].value);
	loaded->package.in_flight = DatumGetInt32(column[PACKAGE_in_flight].value);
	loaded->first_expiry = DatumGetTimestampTz(column[PACKAGE_first_expiry].value);
	loaded->sweep = (Sweep){ column[PACKAGE_canary_position], column[PACKAGE_production_position],
							 column[PACKAGE_rollback_position], column[PACKAGE_quiet_from],
							 column[PACKAGE_swept_at] };
	load_freeze(loaded);
	if (package_is_stored(loaded))
	{
		package_load_promoted(loaded);
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
	package_load_promoted(loaded);
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
	TableRow		   *row = held_row_of_name(name);
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

	if (IsolationUsesXactSnapshot() || !package_is_stored(loaded))
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

	if (installation == NULL && package_is_stored(loaded))
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
	if (!package_is_stored(loaded))
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
	held_remember(loaded);
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

/* package_new_rollout: add a rollout, for machine_start() to begin. */
LoadedRollout *
package_new_rollout(LoadedPackage *loaded, const char *version)
{
	Policy policy = package_policy(loaded);

	return package_add_rollout(loaded, rollout_new(loaded->name, version, &policy));
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
