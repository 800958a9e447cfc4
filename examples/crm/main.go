package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// stopTimeout is how long a stop may take.
const stopTimeout = 10 * time.Second

type config struct {
	addr, data string
	pipeline   bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "crm:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var cfg config
	flags := flag.NewFlagSet("crm", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "address to listen on; the passwords of this example are public")
	flags.StringVar(&cfg.data, "data", "crm-data", "folder of the data; it may be deleted")
	flags.BoolVar(&cfg.pipeline, "pipeline", false, "bring the trail through RabbitMQ into OpenSearch, see RABBITMQ_STREAM_* and OPENSEARCH_*")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	var listening net.ListenConfig
	listener, err := listening.Listen(ctx, "tcp", cfg.addr)
	if err != nil {
		return fmt.Errorf("%w; choose another address with -addr", err)
	}
	defer func() { _ = listener.Close() }() // the server has closed it, if it came so far
	return serve(ctx, cfg, listener, stdout)
}

// serve runs the application until ctx ends.
func serve(ctx context.Context, cfg config, listener net.Listener, stdout io.Writer) (err error) {
	// What was started is stopped in the opposite order: requests, audit, pipeline, database.
	var stops stack
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()
		err = errors.Join(err, stops.run(ctx))
	}()

	db, err := openDatabase(cfg.data)
	if err != nil {
		return err
	}
	stops.add(func(context.Context) error { return closeDatabase(db) })
	records, err := openTrail(ctx, cfg, db)
	if err != nil {
		return err
	}
	stops.add(records.close)
	auditor, err := useAudit(db, records)
	if err != nil {
		return err
	}
	stops.add(auditor.Shutdown)
	if err := db.AutoMigrate(&Customer{}, &Order{}, &Employee{}, &Dependent{}); err != nil {
		return err
	}

	gin.SetMode(gin.ReleaseMode)
	router, err := newRouter(db, records) //nolint:contextcheck // requests have their own
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: router, ReadHeaderTimeout: 10 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	stops.add(server.Shutdown)

	base := baseURL(listener.Addr())
	if err := seed(ctx, db, base); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted
		}
		return err
	}
	if _, err := io.WriteString(stdout, welcome(base, cfg)); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// baseURL gives the address under which a browser on this machine finds the application.
func baseURL(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

func openDatabase(folder string) (*gorm.DB, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, err
	}
	file := strings.NewReplacer("%", "%25", "?", "%3F", "#", "%23").Replace(filepath.Join(folder, "crm.db"))
	dsn := "file:" + file + "?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=foreign_keys(1)"
	// The handlers log what is no mistake of the client.
	return gorm.Open(sqlite.Open(dsn), &gorm.Config{TranslateError: true, Logger: logger.Discard})
}

func closeDatabase(db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}

// welcome says where to look and what to try.
func welcome(base string, cfg config) string {
	const auth = "-H 'Authorization: Bearer crm-demo-token-alice'"
	kept := "in the application's own database"
	if cfg.pipeline {
		kept = "in OpenSearch, brought there by RabbitMQ"
	}
	return fmt.Sprintf(`The CRM is running. Its data is in the folder %[1]s, which you may delete; the audit trail
is %[2]s. Stop it with Ctrl+C.

  application   %[3]s/
  audit trail   %[3]s/audit/   (token: crm-demo-token-alice)

Look at the newest records, change something, and find the change:

  curl -sS %[4]s '%[3]s/api/audit-logs/search/?page_size=3'
  curl -sS %[4]s -X PUT -d '{"phone":"555-0199"}' '%[3]s/api/customers/1'
  curl -sS %[4]s '%[3]s/api/audit-logs/search/?object_type=customer&object_id=1&action=CHANGE'

`, cfg.data, kept, base, auth)
}
