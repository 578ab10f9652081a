// How an application uses the tiers of its workspaces, with database/sql and lib/pq: it
// lists them, changes one, and reads the error of a typo.
//
// The environment says where the database is (PGHOST, PGDATABASE, ...).  The program ends
// with a panic if a result is wrong.
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

func workspace(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

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

// said returns the error of the server.
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
}
