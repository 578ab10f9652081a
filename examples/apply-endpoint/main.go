// Command apply-endpoint brings updates to the workspaces that are due for them,
// with the tables and functions of ../drainer.sql. README.md describes it.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os/signal"
	"syscall"
	"time"

	"github.com/lib/pq"
)

// The server ends what takes too long, so that no statement and no transaction
// holds a package for as long as a lease lasts. binary_parameters makes lib/pq
// work behind PgBouncer.
const settings = "application_name=apply-endpoint connect_timeout=5 binary_parameters=yes" +
	" statement_timeout=10s lock_timeout=3s idle_in_transaction_session_timeout=30s"

// dbTimeout is the longest that the program waits for the database. It is longer
// than statement_timeout: the server's error says more than a lost connection.
const dbTimeout = 15 * time.Second

// openDB opens the database that PGHOST, PGDATABASE, PGUSER, ... name.
func openDB(settings string) (*sql.DB, error) {
	connector, err := pq.NewConnector(settings)
	if err != nil {
		return nil, err
	}
	// For example: that the last canary has become a production workspace.
	db := sql.OpenDB(pq.ConnectorWithNoticeHandler(connector, func(n *pq.Error) {
		log.Printf("%s: %s", n.Severity, n.Message)
	}))
	db.SetMaxOpenConns(20)
	db.SetMaxIdleConns(5)
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

// run serves and drains until ctx ends. Then it accepts nothing more, gives the
// deliveries under way until grace is over, and reports on every lease it holds.
func run(ctx context.Context, s *service, listener net.Listener, every, grace time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	server := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      2 * dbTimeout,
		IdleTimeout:       time.Minute,
	}
	served := make(chan error, 1)
	go func() {
		served <- server.Serve(listener)
		cancel()
	}()

	drained := make(chan struct{})
	go func() {
		s.drainUntil(ctx, every)
		close(drained)
	}()

	// Requests under way may end. After that, and after the loop, no delivery begins.
	<-ctx.Done()
	timeout, stop := context.WithTimeout(context.Background(), 2*dbTimeout)
	defer stop()
	err := server.Shutdown(timeout)
	<-drained
	s.finish(grace)
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		return e
	}
	return err
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "`address` to listen at")
	deliver := flag.String("deliver", "", "`URL` that an update is POSTed to")
	every := flag.Duration("every", 10*time.Minute, "time between two ticks of the drain loop")
	workers := flag.Int("workers", 5, "deliveries of the drain loop at the same time")
	timeout := flag.Duration("timeout", 10*time.Minute, "longest delivery; must be less than the lease")
	grace := flag.Duration("grace", 20*time.Second, "time that deliveries have to end at shutdown")
	flag.Parse()
	if *deliver == "" || *workers < 1 || *every <= 0 || flag.NArg() > 0 {
		log.Fatal("usage: apply-endpoint -deliver URL [OPTION...]     (-h lists the options)")
	}

	// The first signal begins the shutdown; a second one ends the process at once.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-ctx.Done()
		stop()
	}()
	db, err := openDB(settings)
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Printf("listening at %s", listener.Addr())
	if err := run(ctx, newService(db, deliverTo(*deliver), *workers, *timeout), listener, *every, *grace); err != nil {
		log.Fatal(err)
	}
}
