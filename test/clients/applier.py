# A client in Python, with psycopg 3: what an application does with the tiers of
# its workspaces, and what an applier of updates does with a rollout.
#
# The environment says where the database is (PGHOST, PGDATABASE, ...).  It ends
# with an AssertionError where it does not see what it must.

import os

import psycopg

WORKSPACES = [f"00000000-0000-4000-8000-{n:012}" for n in range(1, 6)]


def connect(role):
    # Autocommit: each statement is a transaction of its own, and "with
    # connection.transaction()" makes one of several.
    #
    # Behind PgBouncer in transaction mode, a statement that psycopg has prepared
    # on one connection of the server is unknown on the next.  PgBouncer takes
    # care of that since 1.21 (max_prepared_statements); with one that does not,
    # prepare_threshold=None is a must.  (0: at the first use; the default is 5.)
    threshold = None if "NO_PREPARE" in os.environ else 0
    return psycopg.connect(f"user={role}", autocommit=True, prepare_threshold=threshold)


# The application: tiers.

def canaries(db):
    return [str(row[0]) for row in db.execute("SELECT canary_workspaces()")]


def set_tier(db, workspace, tier):
    """Return the old tier."""
    return db.execute("SELECT set_update_tier(%s, %s)", (workspace, tier)).fetchone()[0]


# The applier.

class Unhealthy(Exception):
    """The update was applied, and it is bad."""


def report(db, token, outcome, installed=None, detail=None):
    """Return the phase of the rollout."""
    return db.execute("SELECT update_tier.report(%s, %s, %s, %s)",
                      (token, outcome, installed, detail)).fetchone()[0]


def roll_out(db, package, version, apply):
    """Take a version to all workspaces that may have it now."""
    while True:
        # The claims are committed before anything is applied: these leases are
        # what keeps other appliers away, also after a crash.
        batch = db.execute("SELECT workspace, attempt, token FROM update_tier.claim_batch(%s, %s, %s)",
                           (package, version, 2)).fetchall()
        if not batch:
            return                      # nothing is due at present: the soak, or the end
        for workspace, attempt, token in batch:
            try:
                installed = apply(str(workspace), version)
            except Unhealthy as e:      # evidence against the version
                phase = report(db, token, "failed", detail=str(e))
            except Exception as e:      # nobody knows: it will be due again
                phase = report(db, token, "error", detail=str(e))
            else:
                phase = report(db, token, "succeeded", installed)
            log.append((WORKSPACES.index(str(workspace)) + 1, attempt, phase))
            if phase == "halted":
                return                  # not one more; the other leases run out


def apply_now(db, package, version, workspace, apply):
    """Apply to one workspace in one transaction, where applying takes a moment.
    Return the phase, or None if the workspace is to be skipped."""
    with db.transaction():
        token = db.execute("SELECT update_tier.claim(%s, %s, %s)",
                           (package, version, workspace)).fetchone()[0]
        if token is None:
            return None                 # not open to it, or somebody else has it
        return report(db, token, "succeeded", apply(workspace, version))


# What has to come of it.

def fails(function, *arguments):
    """Return what the server said."""
    try:
        function(*arguments)
    except psycopg.Error as e:
        return e.diag
    raise AssertionError("no error")


application = connect("application")
assert canaries(application) == WORKSPACES[:1]
assert set_tier(application, WORKSPACES[1], "canary") == "production"
assert canaries(application) == WORKSPACES[:2]

error = fails(application.execute, "UPDATE workspaces SET update_tier = 'canery' WHERE id = %s", (WORKSPACES[2],))
assert (error.sqlstate, error.constraint_name) == ("23514", "canary_or_production")
error = fails(set_tier, application, WORKSPACES[2], "canery")
assert (error.sqlstate, error.constraint_name) == ("23514", "canary_or_production")
assert error.message_hint == 'Perhaps you meant "canary".'

log = []
unreachable = {WORKSPACES[4]}


def good(workspace, version):
    if workspace in unreachable:
        unreachable.remove(workspace)   # the next time it answers
        raise TimeoutError("no answer")
    return version


def bad(workspace, version):
    raise Unhealthy("crashes")


applier = connect("applier")
assert fails(applier.execute, "SELECT id FROM workspaces").sqlstate == "42501"
roll_out(applier, "search", "v7", good)
assert log == [(1, 1, "canary"), (2, 1, "soaking"), (3, 1, "promoted"), (4, 1, "promoted"),
               (5, 1, "promoted"), (5, 2, "promoted")], log
log.clear()
roll_out(applier, "search", "v8", bad)
assert log == [(1, 1, "halted")], log


def allowed(workspace):
    return applier.execute("SELECT update_tier.allows('search', 'v9', %s)", (workspace,)).fetchone()[0]


class Crash(Exception):
    pass


def crash(workspace, version):
    assert not allowed(workspace)       # for it is leased
    raise Crash


assert apply_now(applier, "search", "v9", WORKSPACES[0], good) == "canary"
assert apply_now(applier, "search", "v9", WORKSPACES[0], good) is None
assert apply_now(applier, "search", "v9", WORKSPACES[2], good) is None
try:
    apply_now(applier, "search", "v9", WORKSPACES[1], crash)
    raise AssertionError("no crash")
except Crash:
    assert allowed(WORKSPACES[1])       # no longer leased
