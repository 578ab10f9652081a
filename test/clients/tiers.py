# How an application uses the tiers of its workspaces, with psycopg 3: it lists them,
# changes one, and reads the error of a typo.
#
# The environment says where the database is (PGHOST, PGDATABASE, ...).  The program ends
# with an AssertionError if a result is wrong.

import os

import psycopg

WORKSPACES = [f"00000000-0000-4000-8000-{n:012}" for n in range(1, 6)]


def connect(role):
    # Behind PgBouncer in transaction mode, a statement that psycopg has prepared
    # on one connection of the server is unknown on the next.  PgBouncer takes
    # care of that since 1.21 (max_prepared_statements); with a PgBouncer that does
    # not, prepare_threshold=None is required.  (0: at the first use; the default is 5.)
    threshold = None if "NO_PREPARE" in os.environ else 0
    return psycopg.connect(f"user={role}", autocommit=True, prepare_threshold=threshold)


def canaries(db):
    return [str(row[0]) for row in db.execute("SELECT canary_workspaces()")]


def set_tier(db, workspace, tier):
    """Return the old tier."""
    return db.execute("SELECT set_update_tier(%s, %s)", (workspace, tier)).fetchone()[0]


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

assert fails(connect("applier").execute, "SELECT id FROM workspaces").sqlstate == "42501"
