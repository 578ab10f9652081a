/*-------------------------------------------------------------------------
 *
 * rollout/gate.c
 *	  The gates: may a tier, or a workspace, have a version now?
 *
 * Gates only read: they do not lock the package, and see what their statement
 * sees.  Their answer may be out of date when it arrives, so a claim decides
 * again, under the package's lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "fleet/live.h"
#include "fleet/tier_domain.h"
#include "rollout/gate.h"
#include "rollout/machine_due.h"
#include "server/compat.h"
#include "server/node.h"
#include "server/values.h"

PG_FUNCTION_INFO_V1(update_tier_is_open);
PG_FUNCTION_INFO_V1(update_tier_allows);
PG_FUNCTION_INFO_V1(update_tier_explain);
PG_FUNCTION_INFO_V1(update_tier_wanted_version);
PG_FUNCTION_INFO_V1(update_tier_promoted_version);


/* ---------------------------------------------------------------------
 * Packages, remembered for as long as a snapshot shows the same
 * ---------------------------------------------------------------------
 */

/*
 * A gate is called in the WHERE of a query over a queue or over the fleet: for
 * each row, with the same few packages.  So packages are remembered while the
 * snapshot is the same (see same_snapshot) and until they change without a
 * call.
 */
typedef struct Gate
{
	MemoryContext  context; /* of all that the entry holds, or NULL */
	LoadedPackage *loaded;
	TimestampTz	   until; /* the package may change without a call then */
} Gate;

#define GATES 16

/*
 * A call takes an entry out of this array and puts it back at its end: other
 * code may run meanwhile, and forget all entries.
 */
static struct
{
	MemoryContext context;	/* NULL: nothing is remembered */
	uint64		  number;	/* counts the calls of remember_gates() */
	SnapshotData  snapshot; /* of what it points to, only xip and subxip */
	Gate		  gates[GATES];
} gates;

/*
 * Forget all entries: at the end of the transaction, as its now() ends; and at
 * a rollback to a savepoint, as entries may show what was undone.
 */
static void
forget_gates(void)
{
	MemoryContext context = gates.context;

	gates.context = NULL;
	if (context != NULL)
		MemoryContextDelete(context);
}

static void
gates_at_transaction_end(XactEvent event, void *arg)
{
	forget_gates();
}

static void
gates_at_subtransaction_end(SubXactEvent event, SubTransactionId sub, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_gates();
}

/* The arrays may be NULL if count is 0. */
static bool
same_ids(const TransactionId *a, const TransactionId *b, int64 count)
{
	return count <= 0 || memcmp(a, b, count * sizeof(TransactionId)) == 0;
}

static TransactionId *
copy_ids(MemoryContext context, const TransactionId *ids, int64 count)
{
	TransactionId *copy;

	if (count <= 0)
		return NULL;
	copy = MemoryContextAlloc(context, count * sizeof(TransactionId));
	memcpy(copy, ids, count * sizeof(TransactionId));
	return copy;
}

/*
 * Does a snapshot of this transaction show what the remembered one showed?  It
 * does if no other transaction has ended between the two, so that their members
 * are equal, and if no command of this transaction has written.
 */
static bool
same_snapshot(const SnapshotData *a, const SnapshotData *b)
{
	return a->snapshot_type == SNAPSHOT_MVCC && b->snapshot_type == SNAPSHOT_MVCC &&
		a->xmin == b->xmin && a->xmax == b->xmax && a->curcid == b->curcid &&
		a->xcnt == b->xcnt && a->subxcnt == b->subxcnt &&
		a->suboverflowed == b->suboverflowed &&
		a->takenDuringRecovery == b->takenDuringRecovery &&
		same_ids(a->xip, b->xip, a->xcnt) && same_ids(a->subxip, b->subxip, a->subxcnt);
}

/* Forget all entries, and begin to remember for this snapshot. */
static void
remember_gates(Snapshot snapshot)
{
	static bool	  callbacks_registered = false;
	MemoryContext context;

	if (!callbacks_registered)
	{
		RegisterXactCallback(gates_at_transaction_end, NULL);
		RegisterSubXactCallback(gates_at_subtransaction_end, NULL);
		callbacks_registered = true;
	}
	forget_gates();
	context = AllocSetContextCreate(TopMemoryContext, "update_tier gates", ALLOCSET_SMALL_SIZES);
	memset(gates.gates, 0, sizeof(gates.gates));
	gates.snapshot = *snapshot;
	gates.snapshot.xip = copy_ids(context, snapshot->xip, snapshot->xcnt);
	gates.snapshot.subxip = copy_ids(context, snapshot->subxip, snapshot->subxcnt);
	gates.number++;
	gates.context = context;
}

/* A gate that a call works with. */
typedef struct OpenGate
{
	Gate   gate;
	Gate  *place;  /* its place in gates.gates */
	uint64 number; /* gates.number when it was taken */
} OpenGate;

/*
 * Take the gate of a package out of the array, or load the package.  Until
 * put_gate() its memory is a child of the caller's, so that an error frees it.
 */
static void
take_gate(const char *package, OpenGate *taken)
{
	Snapshot	  snapshot = GetActiveSnapshot();
	Gate		 *gate = &taken->gate;
	MemoryContext caller_context;

	if (gates.context == NULL || !same_snapshot(&gates.snapshot, snapshot))
		remember_gates(snapshot);
	taken->place = &gates.gates[hash_bytes((const unsigned char *) package, strlen(package)) % GATES];
	taken->number = gates.number;
	*gate = *taken->place;
	if (gate->context != NULL && strcmp(gate->loaded->name, package) == 0 && GetCurrentTimestamp() < gate->until)
	{
		taken->place->context = NULL;
		MemoryContextSetParent(gate->context, CurrentMemoryContext);
		return;
	}

	gate->context = AllocSetContextCreate(CurrentMemoryContext, "update_tier gate", ALLOCSET_SMALL_SIZES);
	caller_context = MemoryContextSwitchTo(gate->context);
	gate->loaded = package_look(package, SEEN_BY_STATEMENT);
	gate->until = package_next_moment(gate->loaded);
	MemoryContextSwitchTo(caller_context);
}

/* Put the gate into its place; or free it, if all entries were forgotten since it was taken. */
static void
put_gate(OpenGate *taken)
{
	MemoryContext former;

	if (gates.context == NULL || gates.number != taken->number)
	{
		MemoryContextDelete(taken->gate.context);
		return;
	}
	former = taken->place->context;
	*taken->place = taken->gate;
	MemoryContextSetParent(taken->gate.context, gates.context);
	if (former != NULL)
		MemoryContextDelete(former);
}


/* ---------------------------------------------------------------------
 * Texts
 * ---------------------------------------------------------------------
 */

/* moment_text: a moment as ISO text, in the time zone of the session. */
char *
moment_text(TimestampTz moment)
{
	return pstrdup(timestamptz_to_str(moment));
}

static char *
with_reason(const char *what, const char *reason)
{
	return reason ? psprintf("%s: %s", what, reason) : pstrdup(what);
}

/* That a package is frozen, until when, and why. */
static char *
frozen_text(const LoadedPackage *loaded)
{
	TimestampTz until = loaded->package.frozen_until;

	return with_reason(TIMESTAMP_NOT_FINITE(until) ? "frozen" : psprintf("frozen until %s", moment_text(until)),
					   loaded->freeze_reason);
}

static char *
version_of(const Rollout *rollout)
{
	return psprintf("version %s", rollout ? rollout->version : "(deleted)");
}

static char *
superseded_text(const Rollout *by)
{
	return by ? psprintf("superseded by version %s", by->version) : pstrdup("superseded");
}

/*
 * What a rollout in canary waits for.  With "count" it also says whether the
 * fleet has enough canaries; it counts them only up to min_successes.
 */
static char *
canary_text(const LoadedRollout *rollout, bool count)
{
	const WorkspacesTable *table = count ? workspaces_if_fit(AccessShareLock) : NULL;
	const Policy		  *policy = &rollout->rollout.policy;
	int					   succeeded = rollout->rollout.tally[TIER_CANARY].succeeded;
	int64				   canaries = table ? fleet_canaries(table, policy->min_successes) : 0;
	char				  *needs = psprintf("needs %d of %d canary successes",
											policy->min_successes - succeeded, policy->min_successes);

	if (!count)
		return needs;
	if (canaries == 0)
		return pstrdup("no canary workspaces");
	if (canaries < policy->min_successes)
		return psprintf("%s, and there are only %lld canary workspaces", needs, (long long) canaries);
	return needs;
}

static char *
soaking_text(const LoadedPackage *loaded, const Rollout *rollout)
{
	TimestampTz over_at = machine_soak_over_at(rollout);

	if (rollout->policy.auto_promote)
		return psprintf("soaking until %s", moment_text(over_at));
	if (over_at > loaded->package.stamp)
		return psprintf("waiting for approval, soaking until %s", moment_text(over_at));
	return psprintf("waiting for approval, soaked until %s", moment_text(over_at));
}

/*
 * waits_for_text
 *		What a rollout waits for, or why it does not continue; NULL: it waits
 *		for nothing.
 */
char *
waits_for_text(LoadedPackage *loaded, const LoadedRollout *rollout)
{
	const Package *package = &loaded->package;
	const Rollout *other;
	Phase		   phase = machine_phase(package, &rollout->rollout);

	if (machine_is_frozen(package) &&
		(phase == PHASE_QUEUED || phase == PHASE_CANARY || phase == PHASE_SOAKING || phase == PHASE_PROMOTED))
		return frozen_text(loaded);
	switch (phase)
	{
		case PHASE_QUEUED:
			other = machine_running(package);
			return psprintf("queued behind %s", version_of(other));
		case PHASE_CANARY:
			/* The view status must not wait for a node that does not answer. */
			return canary_text(rollout, !workspaces_are_distributed());
		case PHASE_SOAKING:
			return soaking_text(loaded, &rollout->rollout);
		case PHASE_PROMOTED:
			if (machine_ramp_ends_at(&rollout->rollout) > loaded->now)
				return psprintf("ramping until %s", moment_text(machine_ramp_ends_at(&rollout->rollout)));
			return NULL;
		case PHASE_HALTED:
			return with_reason("halted", rollout->reason);
		case PHASE_ABORTED:
			return with_reason("aborted", rollout->reason);
		case PHASE_SUPERSEDED:
			return superseded_text(machine_successor(package, &rollout->rollout));
	}
	return NULL;
}

/* The workspace is due: would a claim be granted? */
static char *
due_text(const LoadedPackage *loaded, const LoadedRollout *rollout,
		 const LoadedInstallation *installation, Tier tier)
{
	const Package *package = &loaded->package;
	char		  *text = psprintf("open to %s", tier_names[tier]);

	if (machine_goes_back(&installation->installation, &rollout->rollout))
		text = psprintf("%s, rollback from %s", text,
						version_of(machine_last_handed(package, &installation->installation)));
	if (!machine_has_budget(package, &rollout->rollout))
		text = psprintf("%s, but %d of %d leases are in flight", text, package->in_flight,
						rollout->rollout.policy.max_in_flight);
	return text;
}

/* The workspace has a newer version that is halted: what an operator can do. */
static char *
has_halted_text(const LoadedPackage *loaded, const Rollout *halted)
{
	const Rollout *promoted = machine_promoted(&loaded->package);
	char		  *text = psprintf("has %s, which is halted: resume it, or abort it", version_of(halted));

	return promoted ? psprintf("%s to go back to %s", text, promoted->version) : text;
}

/* One line that explains an answer of the machine. */
static char *
answer_text(LoadedPackage *loaded, const LoadedRollout *rollout,
			const LoadedInstallation *installation, Tier tier, Due due)
{
	switch (due.answer)
	{
		case ANSWER_DUE:
			return due_text(loaded, rollout, installation, tier);
		case ANSWER_NOT_LIVE:
			return pstrdup("workspace is not live");
		case ANSWER_DONE:
			return pstrdup("done");
		case ANSWER_LEASED:
			if (installation->installation.rollout == rollout->rollout.id)
				return psprintf("leased until %s", moment_text(due.at));
			return psprintf("leased for %s until %s",
							version_of(machine_rollout(&loaded->package, installation->installation.rollout)),
							moment_text(due.at));
		case ANSWER_QUEUED:
			return psprintf("queued behind %s", version_of(due.other));
		case ANSWER_HALTED:
			return with_reason("halted", rollout->reason);
		case ANSWER_ABORTED:
			return with_reason("aborted", rollout->reason);
		case ANSWER_SUPERSEDED:
			return superseded_text(due.other);
		case ANSWER_HAS_HALTED:
			return has_halted_text(loaded, due.other);
		case ANSWER_HAS_NEWER:
			return psprintf("has %s, which is newer", version_of(due.other));
		case ANSWER_SPENT:
			return psprintf("attempts spent: %d of %d",
							machine_attempts_used(&loaded->package, &installation->installation),
							rollout->rollout.policy.max_attempts);
		case ANSWER_FROZEN:
			return frozen_text(loaded);
		case ANSWER_RETRY_LATER:
			return psprintf("%s, not due again before %s",
							state_names[installation->installation.state], moment_text(due.at));
		case ANSWER_NEEDS_CANARY:
			return canary_text(rollout, true);
		case ANSWER_SOAKING:
			return soaking_text(loaded, &rollout->rollout);
		case ANSWER_RAMPING:
			return psprintf("opens for this workspace at %s", moment_text(due.at));
	}
	return NULL;
}


/* ---------------------------------------------------------------------
 * Functions
 * ---------------------------------------------------------------------
 */

/* The name in an argument; NULL if no package or version can have it. */
static char *
possible_name(NullableDatum value)
{
	char *name;

	if (value.isnull)
		return NULL;
	name = TextDatumGetCString(value.value);
	return name_is_possible(name) ? name : NULL;
}

/*
 * update_tier.is_open(package, version, tier) returns boolean
 *
 * Is the version open to all of the tier now?  False for an unknown version.
 *
 * Errors: 23514 for a NULL or invalid tier, 55000 on a Citus worker.
 */
Datum
update_tier_is_open(PG_FUNCTION_ARGS)
{
	Tier		   tier = tier_argument(fcinfo->args[2], "update tier");
	char		  *package = possible_name(fcinfo->args[0]);
	char		  *version = possible_name(fcinfo->args[1]);
	OpenGate	   taken;
	LoadedRollout *rollout;
	bool		   is_open;

	require_own_tables(fcinfo);
	if (package == NULL || version == NULL)
		PG_RETURN_BOOL(false);
	take_gate(package, &taken);
	rollout = package_find(taken.gate.loaded, version);
	is_open = rollout != NULL &&
		machine_is_open(&taken.gate.loaded->package, &rollout->rollout, tier, taken.gate.loaded->now);
	put_gate(&taken);
	PG_RETURN_BOOL(is_open);
}

/*
 * Is a workspace due for a version?  With "why", one line that explains it.
 *
 * Without "why" it returns as soon as the answer is known: most of the cost is
 * to look up the workspace and its installation.
 */
static bool
is_due(LoadedPackage *loaded, const WorkspacesTable *table, const char *version,
	   NullableDatum workspace, char **why)
{
	LoadedRollout	   *rollout = package_find(loaded, version);
	LoadedInstallation *installation;
	Workspace			seen = { 0 };
	Due					due;

	if (workspace.isnull || (rollout == NULL && why == NULL))
	{
		if (why != NULL)
			*why = pstrdup("unknown workspace");
		return false;
	}
	if (!workspace_look(table, workspace.value, &seen.tier, &seen.live, true))
	{
		if (why != NULL)
			*why = pstrdup("unknown workspace");
		return false;
	}
	if (rollout == NULL)
	{
		*why = pstrdup("not started");
		return false;
	}
	seen.id = DatumGetUUIDP(workspace.value)->data;
	if (why == NULL && !machine_is_open_to(&loaded->package, &rollout->rollout, &seen, loaded->now))
		return false;
	installation = package_installation(loaded, DatumGetUUIDP(workspace.value));
	due = machine_due(&loaded->package, &rollout->rollout, &installation->installation, &seen, loaded->now);
	if (why != NULL)
		*why = answer_text(loaded, rollout, installation, seen.tier, due);
	return due.answer == ANSWER_DUE;
}

/* is_due() for the arguments of allows() and explain(). */
static bool
may_have(FunctionCallInfo fcinfo, char **why)
{
	const WorkspacesTable *table;
	char				  *package = possible_name(fcinfo->args[0]);
	char				  *version = possible_name(fcinfo->args[1]);
	OpenGate			   taken;
	bool				   may;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (package == NULL || version == NULL)
	{
		if (why != NULL)
			*why = pstrdup("package or version is NULL, empty or too long");
		return false;
	}
	take_gate(package, &taken);
	may = is_due(taken.gate.loaded, table, version, fcinfo->args[2], why);
	put_gate(&taken);
	return may;
}

/*
 * update_tier.allows(package, version, workspace) returns boolean
 *
 * Is the workspace due for the version now?  False for NULL and unknown names.
 *
 * Errors: 55000 when no table is attached, or on a Citus worker.
 */
Datum
update_tier_allows(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(may_have(fcinfo, NULL));
}

/*
 * update_tier.explain(package, version, workspace) returns text
 *
 * One line that explains the result of allows().
 *
 * Errors: as allows().
 */
Datum
update_tier_explain(PG_FUNCTION_ARGS)
{
	char *why = NULL;

	(void) may_have(fcinfo, &why);

	/* One line, even if a reason or a version contains line breaks. */
	for (char *c = why; *c != '\0'; c++)
	{
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	}
	PG_RETURN_TEXT_P(cstring_to_text(why));
}

/*
 * update_tier.wanted_version(package, workspace) returns text
 *
 * The version that the workspace should run now; NULL: no version, or the
 * workspace is unknown or not live.
 *
 * Errors: as allows().
 */
Datum
update_tier_wanted_version(PG_FUNCTION_ARGS)
{
	const WorkspacesTable *table;
	char				  *package = possible_name(fcinfo->args[0]);
	NullableDatum		   workspace = fcinfo->args[1];
	OpenGate			   taken;
	LoadedInstallation	  *installation;
	Workspace			   seen = { 0 };
	Rollout				  *wanted;
	char				  *version = NULL;

	require_own_tables(fcinfo);
	table = workspaces_lock(AccessShareLock);
	if (package == NULL || workspace.isnull ||
		!workspace_look(table, workspace.value, &seen.tier, &seen.live, true) || !seen.live)
		PG_RETURN_NULL();
	seen.id = DatumGetUUIDP(workspace.value)->data;
	take_gate(package, &taken);
	installation = package_installation(taken.gate.loaded, DatumGetUUIDP(workspace.value));
	wanted = machine_wanted(&taken.gate.loaded->package, &installation->installation, &seen, taken.gate.loaded->now);
	if (wanted != NULL)
		version = pstrdup(wanted->version);
	put_gate(&taken);
	if (version == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(version));
}

/*
 * update_tier.promoted_version(package) returns text
 *
 * The promoted version, or NULL.
 *
 * Errors: 55000 on a Citus worker.
 */
Datum
update_tier_promoted_version(PG_FUNCTION_ARGS)
{
	char		  *package = possible_name(fcinfo->args[0]);
	OpenGate	   taken;
	const Rollout *promoted;
	char		  *version = NULL;

	require_own_tables(fcinfo);
	if (package == NULL)
		PG_RETURN_NULL();
	take_gate(package, &taken);
	promoted = machine_promoted(&taken.gate.loaded->package);
	if (promoted != NULL)
		version = pstrdup(promoted->version);
	put_gate(&taken);
	if (version == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(version));
}
