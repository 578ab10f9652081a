package main

import (
	"context"
	"database/sql"
	"errors"
	"log"
	"sync"
	"time"

	"github.com/lib/pq"
)

// A claim is the lease of one workspace for one attempt at one version.
type claim struct {
	Workspace string `json:"workspace"`
	Package   string `json:"package"`
	Version   string `json:"version"`
	Token     int64  `json:"token"` // names the attempt: the same token is the same delivery
}

// A result is the outcome of a delivery. Without an outcome it is not known yet, and an
// install report of the workspace follows.
type result struct {
	Outcome   string // succeeded, failed, error or skipped
	Installed string // the version that is installed now, if known
	Detail    string
}

// A deliverer brings a version to a workspace. It returns when ctx ends.
type deliverer func(ctx context.Context, c claim) result

type service struct {
	db      *sql.DB
	deliver deliverer
	workers int
	timeout time.Duration // of one delivery; less than the lease

	// Deliveries outlive the requests and ticks that start them: they end with
	// this context, and are waited for.
	deliveries context.Context
	abandon    context.CancelFunc
	underWay   sync.WaitGroup
}

func newService(db *sql.DB, deliver deliverer, workers int, timeout time.Duration) *service {
	s := &service{db: db, deliver: deliver, workers: workers, timeout: timeout}
	s.deliveries, s.abandon = context.WithCancel(context.Background())
	return s
}

// claim leases up to n workspaces that wait for an update of the package and are
// due. If only is not empty, it leases only that workspace. It leases no workspace
// of except. It does not take a context: if it were cancelled after the server has
// committed, the tokens would be lost, and the leases would have to expire.
func (s *service) claim(pkg string, n int, only string, except []string) ([]claim, error) {
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	// A statement of its own: the claim is committed before anything is delivered.
	rows, err := s.db.QueryContext(ctx, `
		SELECT workspace, version, token
		  FROM update_tier.claim_batch($1, NULL, $2, ARRAY(
		        SELECT workspace FROM pending
		         WHERE package = $1 AND ($3::uuid IS NULL OR workspace = $3) AND (workspace = ANY ($4::uuid[])) IS NOT TRUE
		         ORDER BY tier, created_at, workspace))`,
		pkg, n, nullable(only), pq.Array(except))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var claims []claim
	for rows.Next() {
		c := claim{Package: pkg}
		if err := rows.Scan(&c.Workspace, &c.Version, &c.Token); err != nil {
			return nil, err
		}
		claims = append(claims, c)
	}
	return claims, rows.Err()
}

// carryOut delivers a claim, and reports. If ctx has ended meanwhile, it
// gives the lease back: skipped costs the workspace no attempt.
func (s *service) carryOut(ctx context.Context, c claim) {
	r := result{Outcome: "skipped", Detail: "apply-endpoint is shutting down"}
	if ctx.Err() == nil {
		timeout, cancel := context.WithTimeout(s.deliveries, s.timeout)
		r = s.deliver(timeout, c)
		cancel()
	}
	if r.Outcome == "" {
		return // the lease goes on until the install report
	}
	// Also at shutdown. A report that is lost costs an attempt, when the lease expires;
	// the same report twice changes nothing.
	for try := 1; ; try++ {
		err := s.report(c, r)
		if err == nil {
			return
		}
		log.Printf("report of %s on %s, version %s: %v", r.Outcome, c.Workspace, c.Version, err)
		if try == 5 || statusOf(err) != 503 {
			return
		}
		time.Sleep(time.Duration(try) * time.Second)
	}
}

func (s *service) report(c claim, r result) error {
	return s.inTransaction(func(ctx context.Context, tx *sql.Tx) error {
		// The installed version counts, and not the delivered one.
		if r.Installed != "" {
			if _, err := tx.ExecContext(ctx, `SELECT has_installed($1, $2, $3)`, c.Workspace, c.Package, r.Installed); err != nil {
				return err
			}
		}
		// Last, as it may hold the package until the commit.
		_, err := tx.ExecContext(ctx, `SELECT update_tier.report($1, $2, $3, $4)`,
			c.Token, r.Outcome, nullable(r.Installed), nullable(r.Detail))
		return err
	})
}

// observe records an install report, whichever program delivered the version. It ends
// the lease of this version. The phase is empty for a version that is not started.
func (s *service) observe(workspace, pkg, version, outcome, detail string) (phase string, err error) {
	err = s.inTransaction(func(ctx context.Context, tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `SELECT has_installed($1, $2, $3)`, workspace, pkg, version); err != nil {
			return err
		}
		return tx.QueryRowContext(ctx, `SELECT COALESCE(update_tier.observe($1, $2, $3, $4, $5), '')`,
			pkg, version, workspace, outcome, nullable(detail)).Scan(&phase)
	})
	return phase, err
}

func (s *service) inTransaction(do func(context.Context, *sql.Tx) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing after a commit
	if err := do(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// apply begins the delivery to one workspace, if it is due. If it is not, the error
// says why.
func (s *service) apply(workspace, pkg string) (claim, error) {
	claims, err := s.claim(pkg, 1, workspace, nil)
	if err != nil {
		return claim{}, err
	}
	if len(claims) == 0 {
		return claim{}, s.whyNot(workspace, pkg)
	}
	s.underWay.Add(1)
	go func() {
		defer s.underWay.Done()
		s.carryOut(s.deliveries, claims[0])
	}()
	return claims[0], nil
}

func (s *service) whyNot(workspace, pkg string) error {
	ctx, cancel := context.WithTimeout(context.Background(), dbTimeout)
	defer cancel()
	var known bool
	var why sql.NullString
	err := s.db.QueryRowContext(ctx, `
		SELECT workspace_tier($1) IS NOT NULL,
		       (SELECT update_tier.explain(package, version, workspace) FROM pending WHERE workspace = $1 AND package = $2)`,
		workspace, pkg).Scan(&known, &why)
	switch {
	case err != nil:
		return err
	case !known:
		return &problem{status: 404, Message: "unknown workspace"}
	case !why.Valid:
		return &problem{status: 409, Message: "no update of this package waits for the workspace"}
	}
	return &problem{status: 409, Message: "the workspace is not due", Detail: why.String}
}

// drainUntil drains the queue at once and then at each tick, until ctx ends.
func (s *service) drainUntil(ctx context.Context, every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		if err := s.drain(ctx); err != nil {
			log.Printf("drain: %v", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// drain is one tick: every workspace that is due now gets one attempt. How many may
// restart at the same time, of all replicas together, is the setting max_in_flight.
func (s *service) drain(ctx context.Context) error {
	packages, err := s.packages(ctx)
	if err != nil {
		return err
	}
	for _, pkg := range packages {
		// Each batch is as large as can be delivered at once, so no lease waits.
		var tried []string
		for ctx.Err() == nil {
			claims, err := s.claim(pkg, s.workers, "", tried)
			if err != nil {
				return err
			}
			if len(claims) == 0 {
				break
			}
			var batch sync.WaitGroup
			for _, c := range claims {
				tried = append(tried, c.Workspace)
				batch.Add(1)
				s.underWay.Add(1)
				go func(c claim) {
					defer s.underWay.Done()
					defer batch.Done()
					s.carryOut(ctx, c)
				}(c)
			}
			if !wait(ctx, &batch) {
				return nil // finish waits for them
			}
		}
	}
	return nil
}

// packages returns those that workspaces wait for, the longest wait first.
func (s *service) packages(ctx context.Context) (packages []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, dbTimeout)
	defer cancel()
	err = s.db.QueryRowContext(ctx, `
		SELECT ARRAY(SELECT package FROM pending GROUP BY package ORDER BY min(created_at), package)`).Scan(pq.Array(&packages))
	if errors.Is(err, context.Canceled) {
		return nil, nil
	}
	return packages, err
}

// finish gives the deliveries under way until grace is over, ends those that are left,
// and returns when all have been reported.
func (s *service) finish(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	wait(ctx, &s.underWay)
	s.abandon()
	s.underWay.Wait()
}

// wait waits for the group until ctx ends, and tells whether the group was first.
func wait(ctx context.Context, group *sync.WaitGroup) bool {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func nullable(s string) sql.NullString { return sql.NullString{String: s, Valid: s != ""} }
