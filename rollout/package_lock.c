/*-------------------------------------------------------------------------
 *
 * rollout/package_lock.c
 *	  The locks of packages.
 *
 * Lock order: the search of a package, the row of an attempt that is claimed, the
 * package (several: by name), and with it all packages, shared.
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
#include "server/compat.h"
#include "server/identity.h"
#include "server/values.h"

/*
 * The locks are on a number made of the name, as a tag below our own table: it
 * is nobody else's, and no row has to exist to be locked.  Two packages whose
 * names make the same number wait for each other, and that is all.
 *
 * PACKAGE_LOCK is held by whoever changes the package.  SEARCH_LOCK is held by
 * whoever searches the fleet for workspaces to claim, before PACKAGE_LOCK: so
 * what one search finds no other claims meanwhile, and reports and verbs do not
 * wait for a search.  ALL_PACKAGES is locked shared by whoever depends on its
 * settings or its freeze, so that no grant is decided after a freeze of all
 * packages has committed.
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

/* package_is_locked: by this transaction? */
bool
package_is_locked(const char *name)
{
	return is_held(name, ExclusiveLock);
}

/*
 * refuse_old_snapshot
 *		What the transaction's snapshot shows is no longer so: 40001.
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

/*
 * Under REPEATABLE READ and SERIALIZABLE we see a package as it was when the
 * transaction began.  To decide on that would be wrong if it has changed since.
 * Whatever changes a package writes its row.
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
		(seen == NULL || ItemPointerEquals(&seen->tid, &latest->tid)))
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

/* Without waiting.  False: another transaction has it, or waits for it. */
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
 *		Lock the package for the rest of the transaction, and all packages, shared,
 *		if the caller depends on ALL_PACKAGES.
 *
 * It waits for neither while it holds the other: an operator's transaction can halt
 * a version and then freeze all packages, or freeze them first.
 *
 * Errors: 40001.
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

/* package_give_locks_back: what package_take_locks() has taken, and nothing was changed. */
void
package_give_locks_back(const char *name, bool with_all)
{
	give_back(name, ExclusiveLock);
	if (with_all)
		give_back(ALL_PACKAGES, ShareLock);
}

/*
 * package_lock_search
 *		To be the only one that searches the fleet for workspaces to claim of
 *		this package, for the rest of the transaction.
 *
 * A transaction that has the package locked, or all packages for itself, is that
 * already.
 */
void
package_lock_search(const char *name, const char *command)
{
	PreventCommandIfReadOnly(command);
	if (!package_is_locked(name) && !is_held(ALL_PACKAGES, ExclusiveLock))
		LockDatabaseObject(lock_class(), lock_object(name), SEARCH_LOCK, ExclusiveLock);
}
