package main

// The program against a server that has the extension: test/endpoint runs these tests,
// and makes the database ENDPOINT_TEMPLATE, which each test gets a copy of.

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const pkg = "github://acme/search#main"

// id returns the workspace with this number; the first is a canary.
func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// A platform is a database with a fleet, of which the test is superuser.
type platform struct {
	*testing.T
	name string
	db   *sql.DB
}

func newPlatform(t *testing.T, workspaces int) *platform {
	t.Helper()
	template := os.Getenv("ENDPOINT_TEMPLATE")
	if template == "" {
		t.Fatal("these tests need a database: run test/endpoint")
	}
	p := &platform{T: t, name: strings.ReplaceAll(strings.ToLower(t.Name()), "/", "_")}
	admin := p.open("user=postgres dbname=postgres")
	if _, err := admin.Exec("CREATE DATABASE " + p.name + " TEMPLATE " + template); err != nil {
		t.Fatal(err)
	}
	admin.Close()
	p.db = p.open("user=postgres dbname=" + p.name)
	p.do(`INSERT INTO workspaces (id, name)
	      SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'workspace ' || n FROM generate_series(1, $1::int) AS n`, workspaces)
	p.do(`INSERT INTO workspace_plugins (workspace_id, plugin_name, source_raw, tracked_ref, installed_sha)
	      SELECT id, 'search', $1, 'main', 'v1' FROM workspaces`, pkg)
	p.do(`SELECT set_update_tier($1, 'canary')`, id(1))
	p.do(`SELECT update_tier.set_policy(soak => '0')`)
	return p
}

func (p *platform) open(settings string) *sql.DB {
	p.Helper()
	db, err := openDB(settings)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(func() { db.Close() })
	return db
}

func (p *platform) do(query string, args ...interface{}) {
	p.Helper()
	if _, err := p.db.Exec(query, args...); err != nil {
		p.Fatalf("%s: %v", query, err)
	}
}

// want compares the one value of a query.
func (p *platform) want(expected, query string, args ...interface{}) {
	p.Helper()
	var seen sql.NullString
	if err := p.db.QueryRow(query, args...).Scan(&seen); err != nil {
		p.Fatalf("%s: %v", query, err)
	}
	if seen.String != expected {
		p.Errorf("%s: %q, not %q", query, seen.String, expected)
	}
}

const (
	phaseOf  = `SELECT phase FROM update_tier.status WHERE version = $1`
	leases   = `SELECT count(*) FROM update_tier.installed WHERE state = 'claimed'`
	stateOf  = `SELECT concat_ws(' ', state, attempted_version, 'runs', version) FROM update_tier.installed WHERE workspace = $1`
	pendings = `SELECT count(*) FROM pending`
)

// service returns one of the platform's appliers, with the rights of rights.sql.
func (p *platform) service(deliver deliverer, more ...string) *service {
	p.Helper()
	db := p.open(settings + " user=endpoint dbname=" + p.name + " " + strings.Join(more, " "))
	return newService(db, deliver, 5, time.Minute)
}

// works is a deliverer that installs what it is given.
func works(_ context.Context, c claim) result {
	return result{Outcome: "succeeded", Installed: c.Version}
}

// ask sends a request, and returns the status and the body of the answer.
func (p *platform) ask(h http.Handler, method, path, body string) (int, string) {
	p.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, strings.TrimSpace(w.Body.String())
}

// answers compares status and body.
func (p *platform) answers(h http.Handler, request, body string, status int, expected string) {
	p.Helper()
	method, path, _ := strings.Cut(request, " ")
	if code, said := p.ask(h, method, path, body); code != status || said != expected {
		p.Errorf("%s %s:\n%d %s, not\n%d %s", request, body, code, said, status, expected)
	}
}

func TestTier(t *testing.T) {
	p := newPlatform(t, 2)
	h := p.service(works).handler()
	tier := func(n int) string { return "PATCH /workspaces/" + id(n) + "/tier" }

	p.answers(h, tier(2), `{"tier": "canary"}`, 200, `{"old_tier":"production","tier":"canary","workspace":"`+id(2)+`"}`)
	p.want("canary", `SELECT workspace_tier($1)`, id(2))
	p.answers(h, tier(2), `{"tier": "canary"}`, 200, `{"old_tier":"canary","tier":"canary","workspace":"`+id(2)+`"}`)
	p.answers(h, tier(2), `{"tier": "production", "expected": "production"}`, 409,
		`{"error":"update tier of workspace `+id(2)+` is not the expected one",`+
			`"detail":"The current tier is \"canary\", and the expected tier is \"production\".","hint":"Decide again with the current tier."}`)

	p.answers(h, tier(2), `{"tier": "canery"}`, 400, `{"error":"invalid update tier: \"canery\"",`+
		`"detail":"Allowed values are \"canary\" and \"production\".","hint":"Perhaps you meant \"canary\"."}`)
	p.answers(h, tier(2), `{}`, 400, `{"error":"invalid update tier: \"\"","detail":"Allowed values are \"canary\" and \"production\"."}`)
	p.answers(h, tier(3), `{"tier": "canary"}`, 404, `{"error":"workspace `+id(3)+` does not exist",`+
		`"detail":"Table public.workspaces has no row with this id that you may see."}`)
	p.answers(h, "PATCH /workspaces/3/tier", `{"tier": "canary"}`, 400, `{"error":"invalid input syntax for type uuid: \"3\""}`)
	p.answers(h, tier(2), `{"tier": "can`, 400, `{"error":"invalid JSON","detail":"unexpected EOF"}`)
	p.answers(h, tier(2), `{"teir": "canary"}`, 400, `{"error":"invalid JSON","detail":"json: unknown field \"teir\""}`)
	p.answers(h, "POST /workspaces/"+id(2)+"/tier", `{"tier": "canary"}`, 404, `{"error":"there is no POST /workspaces/`+id(2)+`/tier"}`)

	r := httptest.NewRequest("PATCH", "/workspaces/"+id(2)+"/tier", strings.NewReader(`{"tier": "production"}`))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != 415 {
		t.Errorf("text/plain: %d", w.Code)
	}
	p.want("canary", `SELECT workspace_tier($1)`, id(2))
}

func TestApply(t *testing.T) {
	p := newPlatform(t, 3)
	p.do(`SELECT update_tier.set_policy(soak => '1 day', max_in_flight => 1)`)
	delivered := make(chan claim, 10)
	s := p.service(func(ctx context.Context, c claim) result {
		delivered <- c
		return works(ctx, c)
	})
	h := s.handler()
	apply := func(n int) string { return "POST /workspaces/" + id(n) + "/apply" }
	body := `{"package": "` + pkg + `"}`

	p.answers(h, apply(1), body, 409, `{"error":"no update of this package waits for the workspace"}`)
	p.answers(h, apply(9), body, 404, `{"error":"unknown workspace"}`)
	p.answers(h, apply(1), `{}`, 400, `{"error":"package must not be empty"}`)
	p.answers(h, "POST /workspaces/x/apply", body, 400, `{"error":"invalid input syntax for type uuid: \"x\""}`)

	p.do(`SELECT sweep($1, 'v2')`, pkg)
	p.answers(h, apply(2), body, 409, `{"error":"the workspace is not due","detail":"needs 1 of 1 canary successes"}`)
	code, said := p.ask(h, "POST", "/workspaces/"+id(1)+"/apply", body)
	var begun claim
	if err := json.Unmarshal([]byte(said), &begun); err != nil || code != 202 {
		t.Fatalf("%d %s", code, said)
	}
	if c := <-delivered; c != begun || c.Workspace != id(1) || c.Version != "v2" || c.Token == 0 {
		t.Errorf("delivered %v, and said %v", c, begun)
	}
	s.underWay.Wait()
	p.want("succeeded v2 runs v2", stateOf, id(1))
	p.want("soaking", phaseOf, "v2")
	p.want("2", pendings)
	if _, said := p.ask(h, "POST", "/workspaces/"+id(2)+"/apply", body); !strings.Contains(said, `"detail":"soaking until 2`) {
		t.Error(said)
	}

	// The budget is one lease.
	p.do(`SELECT update_tier.promote($1, 'v2')`, pkg)
	p.do(`SELECT update_tier.claim($1, 'v2', $2)`, pkg, id(3))
	p.answers(h, apply(2), body, 409, `{"error":"the workspace is not due","detail":"open to production, but 1 of 1 leases are in flight"}`)
	if len(delivered) != 0 {
		t.Error("more was delivered")
	}
}

// Many clients ask two replicas for the same workspace: one of them gets it.
func TestApplyAtOnce(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	var mutex sync.Mutex
	delivered := 0
	deliver := func(context.Context, claim) result {
		mutex.Lock()
		defer mutex.Unlock()
		delivered++
		return result{} // the lease goes on
	}
	replicas := []*service{p.service(deliver), p.service(deliver)}
	var clients sync.WaitGroup
	codes := make(chan int, 16)
	for n := 0; n < cap(codes); n++ {
		clients.Add(1)
		go func(s *service) {
			defer clients.Done()
			code, _ := p.ask(s.handler(), "POST", "/workspaces/"+id(1)+"/apply", `{"package": "`+pkg+`"}`)
			codes <- code
		}(replicas[n%2])
	}
	clients.Wait()
	close(codes)
	count := map[int]int{}
	for code := range codes {
		count[code]++
	}
	for _, s := range replicas {
		s.underWay.Wait()
	}
	if count[202] != 1 || count[409] != cap(codes)-1 || delivered != 1 {
		t.Errorf("statuses %v, %d deliveries", count, delivered)
	}
}

// The canary comes first, then all others, each once. No more deliveries run at once
// than the workers of one replica, or the budget of all replicas.
func TestDrain(t *testing.T) {
	t.Run("workers", func(t *testing.T) { testDrain(t, 1, 25, 5) })
	t.Run("budget", func(t *testing.T) { testDrain(t, 2, 7, 7) })
}

func testDrain(t *testing.T, replicas, budget, limit int) {
	p := newPlatform(t, 40)
	p.do(`SELECT update_tier.set_policy(max_in_flight => $1)`, budget)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	var mutex sync.Mutex
	var order []string
	running, most := 0, 0
	deliver := func(ctx context.Context, c claim) result {
		mutex.Lock()
		order = append(order, c.Workspace)
		running++
		if running > most {
			most = running
		}
		mutex.Unlock()
		time.Sleep(2 * time.Millisecond)
		mutex.Lock()
		running--
		mutex.Unlock()
		return works(ctx, c)
	}
	var services []*service
	for n := 0; n < replicas; n++ {
		services = append(services, p.service(deliver))
	}
	for tick := 0; tick < 20 && len(order) < 40; tick++ {
		var ticks sync.WaitGroup
		for _, s := range services {
			ticks.Add(1)
			go func(s *service) {
				defer ticks.Done()
				if err := s.drain(context.Background()); err != nil {
					t.Error(err)
				}
			}(s)
		}
		ticks.Wait()
	}
	seen := map[string]bool{}
	for _, workspace := range order {
		seen[workspace] = true
	}
	if len(seen) != 40 || len(order) != 40 || order[0] != id(1) {
		t.Errorf("%d workspaces, %d deliveries, the first to %s", len(seen), len(order), order[0])
	}
	if most > limit || most < 2 {
		t.Errorf("%d deliveries at once", most)
	}
	p.want("promoted", phaseOf, "v2")
	p.want("0", pendings)
	p.want("40", `SELECT count(*) FROM workspace_plugins WHERE installed_sha = 'v2'`)
}

// A tick ends, though workspaces that were skipped or failed are due again at once.
func TestDrainOnce(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT update_tier.set_policy(retry_delay => '0')`)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	delivered := 0
	s := p.service(func(context.Context, claim) result {
		delivered++
		return result{Outcome: "skipped", Detail: "offline"}
	})
	for tick := 1; tick <= 2; tick++ {
		if err := s.drain(context.Background()); err != nil || delivered != tick {
			t.Errorf("tick %d: %d deliveries, %v", tick, delivered, err)
		}
	}
	p.want("skipped v2 runs", stateOf, id(1))
}

func TestInstallReport(t *testing.T) {
	p := newPlatform(t, 2)
	s := p.service(func(context.Context, claim) result { return result{} })
	h := s.handler()
	installed := func(n int) string { return "POST /workspaces/" + id(n) + "/installed" }
	body := func(version, outcome string) string {
		return fmt.Sprintf(`{"package": %q, "version": %q, "outcome": %q, "detail": "said so"}`, pkg, version, outcome)
	}
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	if err := s.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.want("1", leases)
	p.answers(h, installed(1), `{"package": "`+pkg+`", "version": "v2"}`, 200, `{"phase":"soaking"}`)
	p.want("0", leases)
	p.want("succeeded v2 runs v2", stateOf, id(1))
	p.want("applied", `SELECT status FROM plugin_update_queue WHERE workspace_id = $1`, id(1))

	p.answers(h, installed(2), body("v2", "failed"), 200, `{"phase":"halted"}`)
	p.answers(h, installed(2), body("unheard-of", "succeeded"), 200, `{"phase":""}`)
	p.answers(h, installed(9), body("v2", "succeeded"), 404, `{"error":"workspace `+id(9)+` does not exist","detail":"Table public.workspaces has no workspace with this id."}`)
	p.answers(h, installed(2), body("", "succeeded"), 400, `{"error":"version must not be empty"}`)
	p.answers(h, installed(2), body("v2", "splendid"), 400,
		`{"error":"unknown outcome: \"splendid\"","detail":"Allowed values are \"succeeded\" (applied and running), `+
			`\"failed\" (applied and bad), \"error\" (the outcome is unknown) and \"skipped\" (nothing was applied)."}`)
	p.want("unheard-of", `SELECT installed_sha FROM workspace_plugins WHERE workspace_id = $1`, id(2))
}

// Each answer of the delivery has its outcome.
func TestDeliver(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT update_tier.set_policy(max_attempts => 100, retry_delay => '0')`)
	var code int
	var text string
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body)
		if code == 0 {
			<-r.Context().Done()
			return
		}
		w.Header().Set("Location", "/")
		w.WriteHeader(code)
		io.WriteString(w, text)
	}))
	defer server.Close()
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody.Close()

	for n, c := range []struct {
		url, state, detail string
		code               int
		text               string
	}{
		{server.URL, "succeeded", "", 200, `{"installed": "V"}`},
		{server.URL, "error", "installed version is other", 200, `{"installed": "other"}`},
		{server.URL, "error", "the delivery does not say what is installed: done", 200, `done`},
		{server.URL, "error", "the delivery does not say what is installed: {}", 200, `{}`},
		{server.URL, "claimed", "", 202, ``},
		{server.URL, "failed", "does not start", 422, `does not start`},
		{server.URL, "skipped", "offline", 503, `offline`},
		{server.URL, "error", "500 Internal Server Error: a?b?", 500, "a\x00b\xff"},
		{server.URL, "error", "302 Found: ", 302, ""},
		{server.URL, "error", `Post "URL": context deadline exceeded`, 0, ""},
		{"http://" + nobody.Addr().String(), "skipped", `Post "URL": dial tcp ADDRESS: connect: connection refused`, 0, ""},
	} {
		version := fmt.Sprint("v2.", n)
		code, text = c.code, strings.ReplaceAll(c.text, "V", version)
		s := p.service(deliverTo(c.url))
		s.timeout = 100 * time.Millisecond
		if c.code != 0 {
			s.timeout = time.Minute
		}
		p.do(`SELECT sweep($1, $2), update_tier.promote($1, $2, 'test')`, pkg, version)
		if err := s.drain(context.Background()); err != nil {
			t.Fatal(err)
		}
		detail := strings.NewReplacer("URL", c.url, "ADDRESS", strings.TrimPrefix(c.url, "http://")).Replace(c.detail)
		p.want(c.state+": "+detail, `SELECT state || ': ' || COALESCE(detail, '') FROM update_tier.installed WHERE attempted_version = $1`, version)
		var sent claim
		if err := json.Unmarshal(got, &sent); err != nil {
			t.Error(err)
		}
		if c.code != 0 && (sent.Workspace != id(1) || sent.Package != pkg || sent.Version != version || sent.Token == 0) {
			t.Errorf("sent %s", got)
		}
		if c.state == "claimed" {
			p.do(`SELECT update_tier.observe($1, $2, $3)`, pkg, version, id(1))
		}
	}
}

// At a signal the program reports on all its leases. The first delivery ends in time. The
// second does not. The third workspace was claimed, and nothing was sent yet.
func TestShutdown(t *testing.T) {
	p := newPlatform(t, 2)
	p.do(`SELECT set_update_tier($1, 'canary')`, id(2))
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	started := make(chan string, 2)
	stopping := make(chan struct{})
	s := p.service(func(ctx context.Context, c claim) result {
		started <- c.Workspace
		if c.Workspace == id(1) {
			<-stopping
			return works(ctx, c)
		}
		<-ctx.Done()
		return result{Outcome: "error", Detail: ctx.Err().Error()}
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- run(ctx, s, listener, time.Hour, 500*time.Millisecond) }()
	<-started
	<-started
	p.want("2", leases)
	get := func() error {
		response, err := http.Get("http://" + listener.Addr().String())
		if err == nil {
			response.Body.Close()
		}
		return err
	}
	if err := get(); err != nil {
		t.Error(err)
	}
	cancel()
	close(stopping)
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("it does not end")
	}
	if err := get(); err == nil {
		t.Error("it still answers")
	}
	p.want("0", leases)
	p.want("succeeded v2 runs v2", stateOf, id(1))
	p.want("error v2 runs", stateOf, id(2))

	s.carryOut(ctx, p.claimFor(s, 2))
	p.want("0", leases)
	p.want("skipped v2 runs", stateOf, id(2))
}

func (p *platform) claimFor(s *service, n int) claim {
	p.Helper()
	p.do(`SELECT later('5 minutes')`)
	claims, err := s.claim(pkg, 1, id(n), nil)
	if err != nil || len(claims) != 1 {
		p.Fatal(claims, err)
	}
	p.want("1", leases)
	return claims[0]
}

// A report is tried again if the database does not answer for a moment.
func TestReportAgain(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	s := p.service(func(ctx context.Context, c claim) result {
		p.do(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'endpoint' AND datname = current_database()`)
		return works(ctx, c)
	})
	if err := s.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	p.want("succeeded v2 runs v2", stateOf, id(1))
}

// If another session holds the package, a request does not wait for ever.
func TestLockTimeout(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	h := p.service(works, "lock_timeout=50ms").handler()
	tx, err := p.db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	if _, err := tx.Exec(`SELECT update_tier.halt($1, 'v2')`, pkg); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/workspaces/"+id(1)+"/apply", strings.NewReader(`{"package": "`+pkg+`"}`))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if said := strings.TrimSpace(w.Body.String()); w.Code != 503 || said != `{"error":"service unavailable"}` || w.Header().Get("Retry-After") != "5" {
		t.Errorf("%d %s %v", w.Code, said, w.Header())
	}
	p.want("0", leases)
}

// The limits that README.md names, all less than a lease.
func TestSettings(t *testing.T) {
	p := newPlatform(t, 1)
	var seen string
	err := p.service(works).db.QueryRow(`
		SELECT concat_ws(' ', current_setting('statement_timeout'), current_setting('lock_timeout'),
		       current_setting('idle_in_transaction_session_timeout'))`).Scan(&seen)
	if err != nil || seen != "10s 3s 30s" {
		t.Error(seen, err)
	}
}

// A client does not see errors of the program itself.
func TestFault(t *testing.T) {
	p := newPlatform(t, 1)
	h := p.service(works).handler()
	p.do(`REVOKE SELECT ON pending FROM endpoint`)
	p.answers(h, "POST /workspaces/"+id(1)+"/apply", `{"package": "`+pkg+`"}`, 500, `{"error":"internal server error"}`)
}

func TestFleet(t *testing.T) {
	p := newPlatform(t, rowsPerPage+2)
	s := p.service(works)
	page := func(query string, expected ...string) string {
		t.Helper()
		code, html := p.ask(s.handler(), "GET", "/"+query, "")
		for _, text := range expected {
			if code != 200 || !strings.Contains(html, text) {
				t.Errorf("%d, and not %s in\n%s", code, text, html)
			}
		}
		return html
	}
	page("", "No version has been started.")
	p.do(`UPDATE workspaces SET name = '<b>' WHERE id = $1`, id(2))
	p.do(`UPDATE workspaces SET status = 'removed' WHERE id = $1`, id(3))
	p.do(`SELECT update_tier.set_policy(soak => '0', auto_promote => false)`)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	if err := s.drain(context.Background()); err != nil {
		t.Fatal(err)
	}
	page("", `<td><a href="/?package=github%3a%2f%2facme%2fsearch%23main">`+pkg+`</a><td>v2<td>soaking<td>waiting for approval, soaked until 2`)
	first := page("?package=github%3a%2f%2facme%2fsearch%23main",
		`<tr><td title="`+id(1)+`">workspace 1<td>canary<td>v2<td>2`,
		`Z<td>succeeded<td><td>`+"\n",
		`<tr><td title="`+id(2)+`">&lt;b&gt;<td>production<td><td><td><td>v2<td>waiting for approval, soaked until 2`,
		`<a href="/?package=github%3a%2f%2facme%2fsearch%23main&amp;after=`+id(rowsPerPage+1)+`">Next page</a>`)
	if strings.Contains(first, id(3)) || strings.Count(first, "<tr>") != rowsPerPage+3 {
		t.Error(first)
	}
	last := page("?package=github%3a%2f%2facme%2fsearch%23main&after="+id(rowsPerPage+1), id(rowsPerPage+2))
	if strings.Contains(last, "Next page") || strings.Count(last, "<tr>") != 4 {
		t.Error(last)
	}
	p.answers(s.handler(), "GET /?package=x&after=y", "", 400, `{"error":"invalid input syntax for type uuid: \"y\""}`)
	p.answers(s.handler(), "GET /favicon.ico", "", 404, `{"error":"there is no GET /favicon.ico"}`)
}

// The rights of rights.sql are all that the tests above need, and not more.
func TestRights(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	db := p.service(works).db
	for _, query := range []string{
		`SELECT update_tier.promote('` + pkg + `', 'v2', 'me')`,
		`SELECT update_tier.start('` + pkg + `', 'v3')`,
		`SELECT update_tier.freeze()`,
		`UPDATE workspaces SET name = 'x'`,
		`DELETE FROM plugin_update_queue`,
		`UPDATE update_tier.rollout SET phase = 'promoted'`,
	} {
		if _, err := db.Exec(query); err == nil || statusOf(err) != 500 || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// The whole program, from its command line to a signal.
func TestMainProgram(t *testing.T) {
	p := newPlatform(t, 1)
	p.do(`SELECT sweep($1, 'v2')`, pkg)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"installed": "v2"}`)
		syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}))
	defer server.Close()
	t.Setenv("PGUSER", "endpoint")
	t.Setenv("PGDATABASE", p.name)
	os.Args = []string{"apply-endpoint", "-listen", "127.0.0.1:0", "-deliver", server.URL}
	main()
	p.want("succeeded v2 runs v2", stateOf, id(1))
}
