// A client in Go, with database/sql and lib/pq: what an application does with
// the tiers of its workspaces, and what an applier of updates does with a
// rollout.
//
// The environment says where the database is (PGHOST, PGDATABASE, ...).  It
// ends with a panic where it does not see what it must.
package main

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/lib/pq"
)

func connect(role string) *sql.DB {
	dsn := "user=" + role
	// lib/pq prepares a statement with parameters in one round trip and
	// executes it in the next.  Behind PgBouncer in transaction mode that may
	// be on another connection of the server, unless both are in a
	// transaction; binary_parameters=yes makes one round trip of it, and is
	// a must.  What db.Prepare prepares is unknown on another connection,
	// unless PgBouncer takes care of that: it can since 1.21
	// (max_prepared_statements).
	if os.Getenv("NO_PREPARE") != "" {
		dsn += " binary_parameters=yes"
	}
	db, err := sql.Open("postgres", dsn)
	check(err)
	return db
}

// The application: tiers.

func canaries(db *sql.DB) (ids []string, err error) {
	rows, err := db.Query("SELECT canary_workspaces()")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// setTier returns the old tier.
func setTier(db *sql.DB, workspace, tier string) (old string, err error) {
	err = db.QueryRow("SELECT set_update_tier($1, $2)", workspace, tier).Scan(&old)
	return old, err
}

// The applier.

// errUnhealthy: the update was applied, and it is bad.
var errUnhealthy = errors.New("crashes")

type apply func(db querier, workspace, version string) (installed string, err error)

// querier is a *sql.DB or a *sql.Tx.
type querier interface {
	QueryRow(query string, args ...interface{}) *sql.Row
}

// report says what came of an attempt, and returns the phase of the rollout.
func report(db querier, token int64, installed string, failure error) (phase string, err error) {
	outcome, detail := "succeeded", ""
	if errors.Is(failure, errUnhealthy) {
		outcome, detail = "failed", failure.Error() // evidence against the version
	} else if failure != nil {
		outcome, detail = "error", failure.Error() // nobody knows: it will be due again
	}
	err = db.QueryRow("SELECT update_tier.report($1, $2, NULLIF($3, ''), NULLIF($4, ''))",
		token, outcome, installed, detail).Scan(&phase)
	return phase, err
}

type claim struct {
	workspace string
	attempt   int
	token     int64
}

func claimBatch(db *sql.DB, pkg, version string) (batch []claim, err error) {
	rows, err := db.Query("SELECT workspace, attempt, token FROM update_tier.claim_batch($1, $2, $3)", pkg, version, 2)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var c claim
		if err := rows.Scan(&c.workspace, &c.attempt, &c.token); err != nil {
			return nil, err
		}
		batch = append(batch, c)
	}
	return batch, rows.Err()
}

// rollOut takes a version to all workspaces that may have it now.
func rollOut(db *sql.DB, pkg, version string, apply apply) error {
	for {
		// The claims are committed before anything is applied: these leases
		// are what keeps other appliers away, also after a crash.
		batch, err := claimBatch(db, pkg, version)
		if err != nil || len(batch) == 0 {
			return err // nothing is due at present: the soak, or the end
		}
		for _, c := range batch {
			installed, failure := apply(db, c.workspace, version)
			phase, err := report(db, c.token, installed, failure)
			if err != nil {
				return err
			}
			log = append(log, fmt.Sprintf("%s %d %s", c.workspace[35:], c.attempt, phase))
			if phase == "halted" {
				return nil // not one more; the other leases run out
			}
		}
	}
}

// applyNow applies to one workspace in one transaction, where applying takes a
// moment.  It returns the phase, or "" if the workspace is to be skipped.
func applyNow(db *sql.DB, pkg, version, workspace string, apply apply) (phase string, err error) {
	tx, err := db.Begin()
	if err != nil {
		return "", err
	}
	defer tx.Rollback()
	var token sql.NullInt64
	if err := tx.QueryRow("SELECT update_tier.claim($1, $2, $3)", pkg, version, workspace).Scan(&token); err != nil {
		return "", err
	}
	if !token.Valid {
		return "", tx.Commit() // not open to it, or somebody else has it
	}
	installed, err := apply(tx, workspace, version)
	if err != nil {
		return "", err
	}
	if phase, err = report(tx, token.Int64, installed, nil); err != nil {
		return "", err
	}
	return phase, tx.Commit()
}

// What has to come of it.

var (
	log         []string
	unreachable = map[string]bool{workspace(5): true}
	errNoAnswer = errors.New("no answer")
	errCrash    = errors.New("crash")
)

func workspace(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

func good(_ querier, workspace, version string) (string, error) {
	if unreachable[workspace] {
		delete(unreachable, workspace) // the next time it answers
		return "", errNoAnswer
	}
	return version, nil
}

func bad(querier, string, string) (string, error) { return "", errUnhealthy }

func allowed(db querier, workspace string) (ok bool) {
	check(db.QueryRow("SELECT update_tier.allows('search', 'v9', $1)", workspace).Scan(&ok))
	return ok
}

func crash(db querier, workspace, _ string) (string, error) {
	equal(allowed(db, workspace), false) // for it is leased
	return "", errCrash
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func equal(seen, expected interface{}) {
	if !reflect.DeepEqual(seen, expected) {
		panic(fmt.Sprintf("%v, not %v", seen, expected))
	}
}

// said returns what the server said.
func said(err error) *pq.Error {
	var e *pq.Error
	if !errors.As(err, &e) {
		panic(fmt.Sprintf("no error of the server: %v", err))
	}
	return e
}

func main() {
	application := connect("application")
	ids, err := canaries(application)
	check(err)
	equal(ids, []string{workspace(1)})
	old, err := setTier(application, workspace(2), "canary")
	check(err)
	equal(old, "production")
	ids, err = canaries(application)
	check(err)
	equal(ids, []string{workspace(1), workspace(2)})

	_, err = application.Exec("UPDATE workspaces SET update_tier = 'canery' WHERE id = $1", workspace(3))
	equal(string(said(err).Code), "23514")
	equal(said(err).Constraint, "canary_or_production")
	_, err = setTier(application, workspace(3), "canery")
	equal(string(said(err).Code), "23514")
	equal(said(err).Constraint, "canary_or_production")
	equal(said(err).Hint, `Perhaps you meant "canary".`)

	applier := connect("applier")
	_, err = applier.Exec("SELECT id FROM workspaces")
	equal(string(said(err).Code), "42501")
	check(rollOut(applier, "search", "v7", good))
	equal(log, []string{"1 1 canary", "2 1 soaking", "3 1 promoted", "4 1 promoted", "5 1 promoted", "5 2 promoted"})
	log = nil
	check(rollOut(applier, "search", "v8", bad))
	equal(log, []string{"1 1 halted"})

	for _, now := range []struct {
		n     int
		phase string
	}{{1, "canary"}, {1, ""}, {3, ""}} {
		phase, err := applyNow(applier, "search", "v9", workspace(now.n), good)
		check(err)
		equal(phase, now.phase)
	}
	_, err = applyNow(applier, "search", "v9", workspace(2), crash)
	equal(err, errCrash)
	equal(allowed(applier, workspace(2)), true) // no longer leased
}
