package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/store/sqlstore"
)

// searcher is what is measured.
type searcher interface {
	store.Searcher
	store.Writer
	store.Counter
	store.Faceter
	store.Histogrammer
}

// opened is a store that is to be filled.
type opened struct {
	searcher
	// settle brings indices and statistics up to date.
	settle func(ctx context.Context) error
	close  func() error
}

type kind struct {
	name, title string
	open        func(ctx context.Context) (*opened, error) // nil, nil: it is not there
}

func stores() []kind {
	return []kind{
		{"sqlite", "SQLite, a file with write-ahead log", openSQLite},
		{"postgres", "PostgreSQL over loopback", openPostgres},
		{"mariadb", "MariaDB over loopback", openMariaDB},
		{"opensearch", "OpenSearch over loopback", openOpenSearch},
	}
}

func openSQLite(context.Context) (*opened, error) {
	dir, err := os.MkdirTemp("", "benchsearch")
	if err != nil {
		return nil, err
	}
	const pragmas = "?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(10000)&_pragma=cache_size(-65536)&_pragma=mmap_size(268435456)"
	return openSQL(sqlite.Open(filepath.Join(dir, "audit.db")+pragmas), "audit_logs", nil, func(*gorm.DB) error { return os.RemoveAll(dir) })
}

func openPostgres(context.Context) (*opened, error) {
	dsn, table := os.Getenv("POSTGRES_DSN"), tableName()
	if dsn == "" {
		return nil, nil
	}
	return openSQL(postgres.Open(dsn), table, []string{"VACUUM ANALYZE " + table, "VACUUM ANALYZE " + table + "_text"}, dropTables(table, "", "_text", "_meta"))
}

func openMariaDB(context.Context) (*opened, error) {
	dsn, table := os.Getenv("MARIADB_DSN"), tableName()
	if dsn == "" {
		return nil, nil
	}
	return openSQL(mysql.Open(dsn), table, []string{"ANALYZE TABLE " + table}, dropTables(table, "", "_meta"))
}

func tableName() string { return fmt.Sprintf("bench_search_%08x", rand.Uint32()) }

func dropTables(table string, suffixes ...string) func(db *gorm.DB) error {
	return func(db *gorm.DB) error {
		var errs []error
		for _, suffix := range suffixes {
			errs = append(errs, db.Exec("DROP TABLE IF EXISTS "+table+suffix).Error)
		}
		return errors.Join(errs...)
	}
}

func openSQL(dialector gorm.Dialector, table string, settle []string, remove func(db *gorm.DB) error) (*opened, error) {
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	s, err := sqlstore.New(db, sqlstore.Config{Table: table, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &opened{s, func(ctx context.Context) error {
		if err := s.Index(ctx); err != nil {
			return err
		}
		for _, statement := range settle {
			if err := db.WithContext(ctx).Exec(statement).Error; err != nil {
				return err
			}
		}
		return nil
	}, func() error {
		err := remove(db)
		if raw, e := db.DB(); e == nil {
			err = errors.Join(err, raw.Close())
		}
		return err
	}}, nil
}

func openOpenSearch(ctx context.Context) (*opened, error) {
	address := os.Getenv("OPENSEARCH_URL")
	if address == "" {
		return nil, nil
	}
	prefix := fmt.Sprintf("bench-search-%08x", rand.Uint32())
	s, err := opensearch.New(opensearch.Config{Addresses: []string{address}, IndexPrefix: prefix, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	return &opened{s, s.Refresh, func() error {
		var errs []error
		for at := trailStart; at.Before(trailStart.AddDate(1, 1, 0)); at = at.AddDate(0, 1, 0) {
			// By its full name: the server may refuse wildcards.
			req, err := http.NewRequestWithContext(ctx, http.MethodDelete, address+"/"+prefix+at.Format("-2006.01")+"?ignore_unavailable=true", nil)
			if err != nil {
				return err
			}
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				err = res.Body.Close()
			}
			errs = append(errs, err)
		}
		return errors.Join(append(errs, s.Close())...)
	}}, nil
}

// measure fills the store and measures all searches; done is false if the store is not there.
func (k kind) measure(ctx context.Context, w io.Writer, o options) (done bool, err error) {
	s, err := k.open(ctx)
	if err != nil || s == nil {
		return false, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	start := time.Now()
	if err := fill(ctx, s, o.records); err != nil {
		return false, err
	}
	filled := time.Since(start)
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	rate := func(d time.Duration) float64 { return float64(o.records) / d.Seconds() }
	_, err = fmt.Fprintf(w, "\n## %s\n\nFilled with %.0f records a second, %.0f with the text index.\n\n| search | 1 caller | 16 callers |\n|---|---|---|\n", k.title, rate(filled), rate(time.Since(start)))
	if err != nil {
		return false, err
	}
	for _, search := range searches(o.records) {
		row := "| " + search.name + " |"
		for _, callers := range o.callers {
			p50, p99, err := percentiles(ctx, s, search, callers, o.times)
			if err != nil {
				return false, fmt.Errorf("%s: %w", search.name, err)
			}
			row += fmt.Sprintf(" %s / %s |", millis(p50), millis(p99))
		}
		if search.most > 0 && (k.name == "sqlite" || k.name == "postgres") {
			row = strings.Replace(row, search.name+" |", fmt.Sprintf("%s, p99 ≤ %d ms |", search.name, search.most), 1)
		}
		if _, err := fmt.Fprintln(w, row); err != nil {
			return false, err
		}
	}
	return true, nil
}

func millis(d time.Duration) string { return fmt.Sprintf("%.2f", float64(d.Microseconds())/1000) }

// longest bounds how long one search is measured.
const longest = 20 * time.Second

func percentiles(ctx context.Context, s searcher, search search, callers, times int) (p50, p99 time.Duration, err error) {
	warm := rand.New(rand.NewPCG(1, 1))
	for range 3 {
		if err := search.run(ctx, s, warm); err != nil {
			return 0, 0, err
		}
	}
	var mu sync.Mutex
	var took []time.Duration
	var errs []error
	var wg sync.WaitGroup
	end := time.Now().Add(longest)
	for c := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(5, uint64(c)))
			for n := 0; n < times && (n < 3 || time.Now().Before(end)); n++ {
				start := time.Now()
				err := search.run(ctx, s, rng)
				d := time.Since(start)
				mu.Lock()
				took, errs = append(took, d), append(errs, err)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	slices.Sort(took)
	return took[len(took)/2], took[len(took)*99/100], errors.Join(errs...)
}
