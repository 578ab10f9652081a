/*-------------------------------------------------------------------------
 *
 * rollout/package_lock.c
 *	  The locks of packages.
 *
 * The order of locks: first the search of a package; then the row of a claimed
 * attempt; then the package (several in the order of their names) together with
 * ALL_PACKAGES, shared.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/inval.h"

#include "rollout/package_lock.h"
#include "rollout/package_row.h"
#include "rollout/uncounted.h"
#include "server/compat.h"
#include "server/identity.h"
#include "server/values.h"

/*
 * The locks are object locks on a hash of the package's name, below our own
 * table "package": no other code uses them, and a package can be locked before
 * it has a row.  Packages whose names have the same hash share their locks.
 *
 * PACKAGE_LOCK, exclusive: a transaction that changes the package holds it
 * until it ends, so that decisions about a package are made one after the
 * other.
 *
 * SEARCH_LOCK, exclusive: a transaction that searches the fleet for workspaces
 * to claim holds it, and takes it before PACKAGE_LOCK.  So no other search
 * finds the same workspaces meanwhile, and reports and verbs do not wait for a
 * search.
 *
 * PACKAGE_LOCK of ALL_PACKAGES, shared: a transaction that depends on its
 * settings or its freeze holds it, so that no grant is decided after a freeze
 * of all packages has committed.
 */
#define PACKAGE_LOCK 0
#define SEARCH_LOCK	 1

static Oid
lock_class(void)
{
	return own_table_oid("package");
}

static Oid
lock_object(const char *name)
{
	return DatumGetUInt32(hash_any((const unsigned char *) name, strlen(name)));
}

static bool
is_held(const char *name, LOCKMODE mode)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, lock_class(), lock_object(name), PACKAGE_LOCK);
	return lock_is_held(&tag, mode);
}

/* package_is_locked: does this transaction hold the lock of the package? */
bool
package_is_locked(const char *name)
{
	return is_held(name, ExclusiveLock);
}

/*
 * refuse_old_snapshot
 *		40001: rows have changed since the transaction's snapshot was taken.
 */
void
refuse_old_snapshot(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update"),
			 errdetail("%s", detail),
			 errhint("The transaction might succeed if retried.")));
}

/* Does the snapshot show all reports of a package that are not counted yet? */
static bool
sees_uncounted(const TableRow *package)
{
	int64 id = DatumGetInt64(package->column[PACKAGE_id].value);

	return list_length(uncounted_load(id, SEEN_NOW)) == list_length(uncounted_load(id, SEEN_LATEST));
}

/*
 * Under REPEATABLE READ and SERIALIZABLE we see a package as it was when the
 * transaction began.  If it has changed since, a decision on that would be
 * wrong.  Every change of a package writes its row, so compare the row's place;
 * except that a report can add a row of "uncounted" instead.  A transaction that
 * deletes such rows also writes the package.
 *
 * Errors: 40001.
 */
static void
check_snapshot(const char *name)
{
	TableRow *seen;
	TableRow *latest;

	if (!IsolationUsesXactSnapshot())
		return;
	seen = package_row(name, SEEN_NOW);
	latest = package_row(name, SEEN_LATEST);
	if ((seen == NULL) == (latest == NULL) &&
		(seen == NULL || (ItemPointerEquals(&seen->tid, &latest->tid) && sees_uncounted(seen))))
		return;
	refuse_old_snapshot(psprintf("Package \"%s\" has changed since the transaction began.", clipped(name)));
}

static void
take(const char *name, LOCKMODE mode)
{
	LockDatabaseObject(lock_class(), lock_object(name), PACKAGE_LOCK, mode);
}

static void
give_back(const char *name, LOCKMODE mode)
{
	UnlockDatabaseObject(lock_class(), lock_object(name), PACKAGE_LOCK, mode);
}

/* Take the lock without waiting.  False: another transaction has it, or waits for it. */
static bool
try_to_take(const char *name, LOCKMODE mode)
{
	LOCKTAG tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, lock_class(), lock_object(name), PACKAGE_LOCK);
	if (LockAcquire(&tag, mode, false, true) == LOCKACQUIRE_NOT_AVAIL)
		return false;
	AcceptInvalidationMessages();
	return true;
}

/*
 * package_take_locks
 *		Lock the package for the rest of the transaction, and ALL_PACKAGES,
 *		shared, if the caller depends on it.
 *
 * It never waits for one lock while it holds the other.  Other transactions may
 * take the two in either order, as when an operator halts a version and then
 * freezes all packages, or freezes first: waiting could be a deadlock.
 *
 * Errors: 40001 if the snapshot of the transaction is older than a change of
 * one of the two.
 */
void
package_take_locks(const char *name, bool with_all)
{
	bool was_locked = package_is_locked(name);

	take(name, ExclusiveLock);
	while (with_all && !try_to_take(ALL_PACKAGES, ShareLock))
	{
		give_back(name, ExclusiveLock);
		take(ALL_PACKAGES, ShareLock);
		if (try_to_take(name, ExclusiveLock))
			break;
		give_back(ALL_PACKAGES, ShareLock);
		take(name, ExclusiveLock);
	}
	if (with_all)
		check_snapshot(ALL_PACKAGES);
	if (!was_locked)
		check_snapshot(name);
}

/*
 * package_give_locks_back
 *		Release what package_take_locks() has taken.  Nothing was changed.
 */
void
package_give_locks_back(const char *name, bool with_all)
{
	give_back(name, ExclusiveLock);
	if (with_all)
		give_back(ALL_PACKAGES, ShareLock);
}

/*
 * package_lock_search
 *		Lock the search of a package for the rest of the transaction, so that no
 *		other transaction searches for workspaces to claim.
 *
 * A transaction that holds the lock of the package, or the exclusive one of
 * ALL_PACKAGES, needs no other: nobody else can claim meanwhile.
 *
 * Errors: 25006 in a read-only transaction.
 */
void
package_lock_search(const char *name, const char *command)
{
	PreventCommandIfReadOnly(command);
	if (!package_is_locked(name) && !is_held(ALL_PACKAGES, ExclusiveLock))
		LockDatabaseObject(lock_class(), lock_object(name), SEARCH_LOCK, ExclusiveLock);
}
