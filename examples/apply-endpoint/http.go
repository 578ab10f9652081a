package main

import (
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"html/template"
	"log"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/lib/pq"
)

// A problem is an error with a text for the client.
type problem struct {
	status  int
	Message string `json:"error"`
	Detail  string `json:"detail,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

func (p *problem) Error() string { return p.Message }

// statusOf returns the HTTP status for an error.
func statusOf(err error) int {
	var own *problem
	var said *pq.Error
	switch {
	case errors.As(err, &own):
		return own.status
	case !errors.As(err, &said):
		return 503 // no answer of the database
	}
	switch said.Code {
	case "23514": // an invalid tier
		return 400
	case "P0002": // an unknown workspace
		return 404
	case "55000": // the state does not permit it: the tier is another than expected
		return 409
	case "55P03", "40001", "40P01": // a lock was not granted in time, or a conflict; try again
		return 503
	}
	switch said.Code.Class() {
	case "22": // an invalid value: empty, too long, not a uuid
		return 400
	case "08", "53", "57": // no connection, no resources, cancelled or shutting down
		return 503
	}
	return 500
}

// problemOf returns the problem for the client. Other errors are logged, and the client
// does not see their text.
func problemOf(err error) *problem {
	var own *problem
	if errors.As(err, &own) {
		return own
	}
	status := statusOf(err)
	if status >= 500 {
		log.Print(err)
		return &problem{status: status, Message: strings.ToLower(http.StatusText(status))}
	}
	p := &problem{status: status, Message: err.Error()}
	var said *pq.Error
	if errors.As(err, &said) {
		p.Message, p.Detail, p.Hint = said.Message, said.Detail, said.Hint
	}
	return p
}

func answer(w http.ResponseWriter, status int, body interface{}) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

func refuse(w http.ResponseWriter, err error) {
	p := problemOf(err)
	if p.status == 503 {
		w.Header().Set("Retry-After", "5")
	}
	answer(w, p.status, p)
}

// decode reads the JSON of a request. It insists on the content type, as a browser
// does not send that one from another site without asking first.
func decode(w http.ResponseWriter, r *http.Request, body interface{}) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return &problem{status: 415, Message: "the content type must be application/json"}
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(body); err != nil {
		return &problem{status: 400, Message: "invalid JSON", Detail: err.Error()}
	}
	return nil
}

// handler returns the routes:
//
//	GET   /                            which workspace runs which version, and why others wait
//	PATCH /workspaces/{id}/tier        change a tier
//	POST  /workspaces/{id}/apply       bring the update that waits to one workspace
//	POST  /workspaces/{id}/installed   a workspace reports what it has installed
func (s *service) handler() http.Handler {
	actions := map[string]func(http.ResponseWriter, *http.Request, string){
		"PATCH tier":     s.patchTier,
		"POST apply":     s.postApply,
		"POST installed": s.postInstalled,
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/workspaces/", func(w http.ResponseWriter, r *http.Request) {
		id, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/workspaces/"), "/")
		if action := actions[r.Method+" "+name]; action != nil {
			action(w, r, id)
			return
		}
		refuse(w, &problem{status: 404, Message: "there is no " + r.Method + " " + r.URL.Path})
	})
	mux.HandleFunc("/", s.getFleet)
	return mux
}

func (s *service) patchTier(w http.ResponseWriter, r *http.Request, workspace string) {
	var body struct{ Tier, Expected string }
	if err := decode(w, r, &body); err != nil {
		refuse(w, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), dbTimeout)
	defer cancel()
	var old string
	if err := s.db.QueryRowContext(ctx, `SELECT set_update_tier($1, $2, $3)`,
		workspace, body.Tier, nullable(body.Expected)).Scan(&old); err != nil {
		refuse(w, err)
		return
	}
	answer(w, 200, map[string]string{"workspace": workspace, "old_tier": old, "tier": body.Tier})
}

func (s *service) postApply(w http.ResponseWriter, r *http.Request, workspace string) {
	var body struct{ Package string }
	if err := decode(w, r, &body); err != nil {
		refuse(w, err)
		return
	}
	c, err := s.apply(workspace, body.Package)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, 202, c) // the delivery has begun; the fleet page shows the outcome
}

func (s *service) postInstalled(w http.ResponseWriter, r *http.Request, workspace string) {
	body := struct{ Package, Version, Outcome, Detail string }{Outcome: "succeeded"}
	if err := decode(w, r, &body); err != nil {
		refuse(w, err)
		return
	}
	phase, err := s.observe(workspace, body.Package, body.Version, body.Outcome, body.Detail)
	if err != nil {
		refuse(w, err)
		return
	}
	answer(w, 200, map[string]string{"phase": phase})
}

//go:embed fleet.html
var fleetHTML string

var fleetPage = template.Must(template.New("fleet").Parse(fleetHTML))

// What the page shows: the rollouts, and the workspaces for one package.
type (
	fleet struct {
		Rollouts   []rollout
		Package    string
		Workspaces []workspace
		Next       string // where the next page begins, if there is one
	}
	rollout   struct{ Package, Version, Phase, WaitsFor string }
	workspace struct{ ID, Name, Tier, Runs, Since, State, Waiting, Why string }
)

const rowsPerPage = 100

// getFleet shows the rollouts, and a page of workspaces: ?package=…&after=…
func (s *service) getFleet(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/" || r.Method != http.MethodGet {
		refuse(w, &problem{status: 404, Message: "there is no " + r.Method + " " + r.URL.Path})
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), dbTimeout)
	defer cancel()
	page, err := s.fleet(ctx, r.URL.Query().Get("package"), r.URL.Query().Get("after"))
	if err != nil {
		refuse(w, err)
		return
	}
	var html strings.Builder
	if err := fleetPage.Execute(&html, page); err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if _, err := w.Write([]byte(html.String())); err != nil {
		log.Print(err)
	}
}

// fleet reads the page, in one read-only transaction, so that its parts agree.
func (s *service) fleet(ctx context.Context, pkg, after string) (*fleet, error) {
	tx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()

	page := &fleet{Package: pkg}
	rows, err := tx.QueryContext(ctx, `
		SELECT package, version, phase, COALESCE(waits_for, '') FROM update_tier.status
		 WHERE phase <> 'superseded' LIMIT 100`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var x rollout
		if err := rows.Scan(&x.Package, &x.Version, &x.Phase, &x.WaitsFor); err != nil {
			return nil, err
		}
		page.Rollouts = append(page.Rollouts, x)
	}
	if err := rows.Err(); err != nil || pkg == "" {
		return page, err
	}

	// One row more than is shown tells whether there is another page.
	workspaces, err := tx.QueryContext(ctx, `
		SELECT w.id, w.name, w.update_tier, COALESCE(i.version, ''), i.since, COALESCE(i.state, ''),
		       COALESCE(p.version, ''), CASE WHEN p.version IS NULL THEN '' ELSE update_tier.explain($1, p.version, w.id) END
		  FROM (SELECT id, name, update_tier FROM workspaces
		         WHERE status <> 'removed' AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT $3) AS w
		  LEFT JOIN update_tier.installed AS i ON i.package = $1 AND i.workspace = w.id
		  LEFT JOIN pending AS p ON p.package = $1 AND p.workspace = w.id
		 ORDER BY w.id`, pkg, nullable(after), rowsPerPage+1)
	if err != nil {
		return nil, err
	}
	defer workspaces.Close()
	for workspaces.Next() {
		var x workspace
		var since sql.NullTime
		if err := workspaces.Scan(&x.ID, &x.Name, &x.Tier, &x.Runs, &since, &x.State, &x.Waiting, &x.Why); err != nil {
			return nil, err
		}
		if since.Valid {
			x.Since = since.Time.UTC().Format(time.RFC3339)
		}
		if len(page.Workspaces) == rowsPerPage {
			page.Next = page.Workspaces[rowsPerPage-1].ID
			break
		}
		page.Workspaces = append(page.Workspaces, x)
	}
	return page, workspaces.Err()
}
