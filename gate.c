/*-------------------------------------------------------------------------
 *
 * gate.c
 *	  The gates: may a tier, or a workspace, have a version now?
 *
 * They read, lock nothing, and see what their statement sees.  What they tell
 * is as old as that: claim() decides, under the package's lock.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "old_rollout.h"

PG_FUNCTION_INFO_V1(update_tier_is_open);
PG_FUNCTION_INFO_V1(update_tier_allows);
PG_FUNCTION_INFO_V1(update_tier_explain);

/*
 * What a gate knows of a version: its rollout, or NULL; the phase in which
 * the gate finds it; and whom it waits behind or was replaced by, or NULL.
 *
 * A gate stands in the WHERE of a query over a queue, or over the fleet, and
 * is asked about the same few versions for each row.  So the answers are
 * remembered for as long as the snapshot shows the same: see same_snapshot().
 */
typedef struct Gate
{
	MemoryContext context; /* of all that the entry holds, or NULL */
	char		 *package;
	char		 *version;
	Rollout		 *rollout;
	Phase		  phase;
	char		 *behind;
} Gate;

#define GATES 32

/*
 * Nobody works with an entry in its place here, as any code may run meanwhile
 * and have all of them forgotten: it is taken out, and put back afterwards.
 */
static struct
{
	MemoryContext context;	/* NULL: nothing is remembered */
	uint64		  number;	/* how often something began to be remembered */
	SnapshotData  snapshot; /* without what it points to, but for xip */
	Gate		  gates[GATES];
} gates;

/*
 * The transaction ends, and its now() with it; or a part of it is undone, and
 * what was seen of that.
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
gates_at_subtransaction_end(SubXactEvent event, SubTransactionId sub,
							SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		forget_gates();
}

/* Where there are none, there need not be an array. */
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
 * Does a snapshot of this transaction show what the remembered one showed?
 * It does when no other transaction has ended between the two, which are then
 * the same, member by member, and none of our own commands has written.
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

/* Begin to remember, for this snapshot. */
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

static bool
is_text(const char *string, text *value)
{
	return strncmp(string, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value)) == 0 &&
		string[VARSIZE_ANY_EXHDR(value)] == '\0';
}

static Gate *
place_of(text *package, text *version)
{
	return &gates.gates[(hash_bytes((unsigned char *) VARDATA_ANY(version), VARSIZE_ANY_EXHDR(version)) ^
						 hash_bytes((unsigned char *) VARDATA_ANY(package), VARSIZE_ANY_EXHDR(package)) * 31) %
						GATES];
}

/* A gate that a call works with. */
typedef struct OpenGate
{
	Gate   gate;
	Gate  *place;  /* where it may be remembered */
	uint64 number; /* among what is remembered since then */
} OpenGate;

/*
 * Take the gate of the package and version that a function was called with;
 * false when there cannot be such ones.  One that is not known yet would start
 * with the canaries, or wait behind one that soaks.
 *
 * Until put_gate() it hangs below the caller's memory, which takes it along if
 * the call fails.
 */
static bool
take_gate(FunctionCallInfo fcinfo, OpenGate *taken)
{
	Snapshot	  snapshot = GetActiveSnapshot();
	text		 *package;
	text		 *version;
	char		 *package_name;
	char		 *version_name;
	Gate		 *gate = &taken->gate;
	MemoryContext caller_context;

	if (fcinfo->args[0].isnull || fcinfo->args[1].isnull)
		return false;
	package = DatumGetTextPP(fcinfo->args[0].value);
	version = DatumGetTextPP(fcinfo->args[1].value);

	if (gates.context == NULL || !same_snapshot(&gates.snapshot, snapshot))
		remember_gates(snapshot);
	taken->place = place_of(package, version);
	taken->number = gates.number;
	*gate = *taken->place;
	if (gate->context != NULL && is_text(gate->package, package) && is_text(gate->version, version))
	{
		taken->place->context = NULL;
		MemoryContextSetParent(gate->context, CurrentMemoryContext);
		return true;
	}

	package_name = text_to_cstring(package);
	version_name = text_to_cstring(version);
	if (!name_is_possible(package_name) || !name_is_possible(version_name))
		return false;

	gate->context = AllocSetContextCreate(CurrentMemoryContext, "update_tier gate", ALLOCSET_SMALL_SIZES);
	caller_context = MemoryContextSwitchTo(gate->context);
	gate->package = pstrdup(package_name);
	gate->version = pstrdup(version_name);
	gate->rollout = rollout_read(gate->package, gate->version);
	if (gate->rollout == NULL)
	{
		Rollout *soaking = rollout_soaking(gate->package, GetCurrentTransactionStartTimestamp());

		gate->phase = soaking ? PHASE_QUEUED : PHASE_CANARY;
		gate->behind = soaking ? soaking->version : NULL;
	}
	else
	{
		gate->phase = phase_at(&gate->rollout->timeline, GetCurrentTransactionStartTimestamp());
		gate->behind = gate->rollout->related;
	}
	MemoryContextSwitchTo(caller_context);
	return true;
}

/*
 * Remember the gate, in place of whichever is there, unless what is remembered
 * is of another snapshot by now.
 */
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

/*
 * update_tier.is_open(package, version, tier) returns boolean
 *
 * Errors: 23514 for what is no tier.
 */
Datum
update_tier_is_open(PG_FUNCTION_ARGS)
{
	Tier	 tier = tier_argument(fcinfo->args[2], "update tier");
	OpenGate taken;
	bool	 is_open;

	require_own_tables(fcinfo);
	if (!take_gate(fcinfo, &taken))
		PG_RETURN_BOOL(false);
	is_open = phase_open(taken.gate.phase, tier);
	put_gate(&taken);
	PG_RETURN_BOOL(is_open);
}

static Statement peek_tier = {
	.text = LIVE_TIER,
	.nargs = 1,
	.argtypes = { UUIDOID },
	.read_only = true,
	.role = AS_TABLE_OWNER,
};

static Statement peek_any_canary = {
	.text = "SELECT true FROM $table AS w"
			" WHERE w.update_tier OPERATOR(pg_catalog.=) 'canary' AND \"$live\" LIMIT 1",
	.read_only = true,
	.role = AS_TABLE_OWNER,
};

static char *
moment_text(TimestampTz moment)
{
	return pstrdup(timestamptz_to_str(moment));
}

/*
 * Why may or may not a workspace pass a gate?  True: it may.  With "why", one
 * line that says it.
 *
 * The order is that of a person's questions: is there such a workspace, is
 * there anything left to do for it, may its tier have the version.
 */
static bool
may_pass(FunctionCallInfo fcinfo, const WorkspacesTable *table, const Gate *gate, char **why)
{
	TimestampTz	  now = GetCurrentTransactionStartTimestamp();
	Rollout		 *rollout;
	NullableDatum value;
	Execution	 *execution = NULL;
	Tier		  tier;

#define ANSWER(answer, ...) \
	do \
	{ \
		if (why != NULL) \
			*why = psprintf(__VA_ARGS__); \
		return (answer); \
	} while (0)

	if (fcinfo->args[2].isnull ||
		!statement_fetch(&peek_tier, &table->statement_table, &fcinfo->args[2], &value))
		ANSWER(false, "unknown workspace");
	tier = tier_from_text(value.value);

	/* Of all that speaks against it this is the cheapest to know. */
	if (why == NULL && !phase_open(gate->phase, tier))
		return false;

	rollout = gate->rollout;
	if (rollout != NULL)
		execution = execution_seen(rollout->id, fcinfo->args[2]);
	if (execution != NULL && execution->state == STATE_SUCCEEDED)
		ANSWER(false, "done");
	if (execution != NULL && execution->state == STATE_CLAIMED && execution->lease_until > now)
		ANSWER(false, "leased until %s", moment_text(execution->lease_until));

	switch (gate->phase)
	{
		case PHASE_QUEUED:
			ANSWER(false, "queued behind version %s", gate->behind ? gate->behind : "(unknown)");
		case PHASE_HALTED:
			ANSWER(false, "halted: %s",
				   rollout->timeline.phase != PHASE_HALTED ? "a lease of a last attempt expired" :
					   rollout->reason					   ? rollout->reason :
															 "no reason given");
		case PHASE_ABORTED:
			if (rollout->reason)
				ANSWER(false, "aborted: %s", rollout->reason);
			ANSWER(false, "aborted");
		case PHASE_SUPERSEDED:
			ANSWER(false, "superseded by version %s", gate->behind ? gate->behind : "(unknown)");
		default:
			break;
	}

	if (execution != NULL && execution->attempt >= rollout->max_attempts)
		ANSWER(false, "attempts spent: %d of %d", execution->attempt, rollout->max_attempts);

	if (phase_open(gate->phase, tier))
		ANSWER(true, "open to %s", tier_names[tier]);

	if (gate->phase == PHASE_SOAKING)
	{
		if (rollout->timeline.soak_ends_at == DT_NOEND && !rollout->auto_promote)
			ANSWER(false, "waiting for approval");
		ANSWER(false, "soaking until %s", moment_text(rollout->timeline.soak_ends_at));
	}

	/* In canary: too few have succeeded so far. */
	if (why != NULL && !statement_fetch(&peek_any_canary, &table->statement_table, NULL, &value))
		ANSWER(false, "no canary workspaces");
	if (rollout == NULL)
		ANSWER(false, "not started: open to canaries only");
	ANSWER(false, "needs %d of %d canary successes",
		   rollout->min_successes - rollout->succeeded[TIER_CANARY], rollout->min_successes);
#undef ANSWER
}

/* May a workspace have a version? */
static bool
may_have(FunctionCallInfo fcinfo, char **why)
{
	const WorkspacesTable *table = workspaces_lock(AccessShareLock);
	OpenGate			   taken;
	bool				   may;

	if (!take_gate(fcinfo, &taken))
	{
		if (why != NULL)
			*why = pstrdup("no such package or version");
		return false;
	}
	may = may_pass(fcinfo, table, &taken.gate, why);
	put_gate(&taken);
	return may;
}

/*
 * update_tier.allows(package, version, workspace) returns boolean
 *
 * Errors: 55000 when no table is attached.
 */
Datum
update_tier_allows(PG_FUNCTION_ARGS)
{
	require_own_tables(fcinfo);
	PG_RETURN_BOOL(may_have(fcinfo, NULL));
}

/*
 * update_tier.explain(package, version, workspace) returns text
 *
 * Errors: 55000 when no table is attached.
 */
Datum
update_tier_explain(PG_FUNCTION_ARGS)
{
	char *why = NULL;

	require_own_tables(fcinfo);
	(void) may_have(fcinfo, &why);

	/* One line, whatever stands in a reason or a version. */
	for (char *c = why; *c != '\0'; c++)
	{
		if (*c == '\n' || *c == '\r')
			*c = ' ';
	}
	PG_RETURN_TEXT_P(cstring_to_text(why));
}
