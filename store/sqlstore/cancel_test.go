package sqlstore_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// meddler is a driver of SQLite that calls at with the number of each statement, before and after it is run,
// and counts connections that are closed. If at gives an error, that is the statement's.
type meddler struct {
	inner  driver.Driver
	at     atomic.Pointer[func(n int, after bool, query string) error]
	n      atomic.Int64
	closed atomic.Int64
}

func (m *meddler) Connect(context.Context) (driver.Conn, error) {
	c, err := m.inner.Open(":memory:")
	if err != nil {
		return nil, err
	}
	return &meddledConn{c, m}, nil
}

func (m *meddler) Driver() driver.Driver { return m.inner }

// meddle has at called, or not any more if it is nil.
func (m *meddler) meddle(at func(n int, after bool, query string) error) {
	m.n.Store(0)
	if at == nil {
		m.at.Store(nil)
		return
	}
	m.at.Store(&at)
}

func meddled[T any](m *meddler, query string, run func() (T, error)) (T, error) {
	at := m.at.Load()
	if at == nil {
		return run()
	}
	n := int(m.n.Add(1))
	if err := (*at)(n, false, query); err != nil {
		var none T
		return none, err
	}
	v, err := run()
	_ = (*at)(n, true, query)
	return v, err
}

type meddledConn struct {
	driver.Conn
	m *meddler
}

func (c *meddledConn) Close() error {
	c.m.closed.Add(1)
	return c.Conn.Close()
}

func (c *meddledConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	t, err := meddled(c.m, "begin", func() (driver.Tx, error) { return c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts) })
	if err != nil {
		return nil, err
	}
	return meddledTx{t, c.m}, nil
}

func (c *meddledConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	return meddled(c.m, query, func() (driver.Result, error) { return c.Conn.(driver.ExecerContext).ExecContext(ctx, query, args) })
}

func (c *meddledConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	return meddled(c.m, query, func() (driver.Rows, error) { return c.Conn.(driver.QueryerContext).QueryContext(ctx, query, args) })
}

type meddledTx struct {
	driver.Tx
	m *meddler
}

func (t meddledTx) Commit() error {
	_, err := meddled(t.m, "commit", func() (any, error) { return nil, t.Tx.Commit() })
	return err
}

func (t meddledTx) Rollback() error {
	_, err := meddled(t.m, "rollback", func() (any, error) { return nil, t.Tx.Rollback() })
	return err
}

// openMeddled opens a database in memory, of which nothing is left when its one connection is closed.
func openMeddled(t *testing.T) (*gorm.DB, *meddler) {
	t.Helper()
	plain, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		t.Fatal(err)
	}
	m := &meddler{inner: plain.Driver()}
	if err := plain.Close(); err != nil {
		t.Fatal(err)
	}
	raw := sql.OpenDB(m)
	raw.SetMaxOpenConns(1)
	return open(t, &sqlite.Dialector{Conn: raw}), m
}

// wantWhole fails the test unless the connection is still the one it was, without a transaction.
func wantWhole(t *testing.T, what string, db *gorm.DB, m *meddler) {
	t.Helper()
	m.meddle(nil)
	if n := m.closed.Load(); n != 0 {
		t.Fatalf("%s: %d connections were closed, and the database with them", what, n)
	}
	for _, s := range []string{"BEGIN", "ROLLBACK"} { // BEGIN is refused within a transaction
		if err := db.Exec(s).Error; err != nil {
			t.Fatalf("%s: %s: %v", what, s, err)
		}
	}
}

// TestCancel_keepsTheConnection ends the context of everything that the store does at each of its statements.
func TestCancel_keepsTheConnection(t *testing.T) {
	t.Parallel()
	const behind = 230 // a little more than a search leaves to be read
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	written := 0
	next := func(n int) []store.Doc {
		docs := make([]store.Doc, n)
		for i := range docs {
			docs[i].Record = record(written)
			docs[i].Record.ObjectRepr = "common"
			written++
		}
		return docs
	}
	for _, op := range []struct {
		name    string
		prepare int // records to be written before
		run     func(ctx context.Context, s *sqlstore.Store) error
	}{
		{"search that catches up", behind, func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.Search(ctx, store.Query{Text: "common"})
			return err
		}},
		{"search in a snapshot", 0, func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.Search(ctx, store.Query{Text: "common", Size: 5})
			return err
		}},
		{"plain search", 0, func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.Search(ctx, store.Query{Size: 5})
			return err
		}},
		{"index", 20, func(ctx context.Context, s *sqlstore.Store) error { return s.Index(ctx) }},
		{"write", 0, func(ctx context.Context, s *sqlstore.Store) error {
			docs := next(3)
			docs = append(docs, docs[0])
			_, err := s.Write(ctx, docs)
			return err
		}},
		{"purge", 5, func(ctx context.Context, s *sqlstore.Store) error {
			_, err := s.Purge(ctx, at.Add(time.Duration(written-3)*time.Second))
			return err
		}},
		{"keep a configuration", 0, func(ctx context.Context, s *sqlstore.Store) error {
			return s.KeepConfig(ctx, "program", []byte("{}"))
		}},
	} {
		db, m := openMeddled(t)
		if err := db.AutoMigrate(&note{}); err != nil {
			t.Fatal(err)
		}
		s := newStore(t, db, sqlstore.Config{})
		for n, reached := 1, true; reached; n = 1 + n*8/5 {
			reached = false
			for _, after := range []bool{false, true} {
				if op.prepare > 0 {
					if _, err := s.Write(t.Context(), next(op.prepare)); err != nil {
						t.Fatal(err)
					}
				}
				ctx, cancel := context.WithCancel(t.Context())
				m.meddle(func(i int, late bool, _ string) error {
					if i == n && late == after {
						reached = true
						cancel()
					}
					return nil
				})
				err := op.run(ctx, s)
				cancel()
				what := fmt.Sprintf("%s, cancelled at statement %d (after it: %v)", op.name, n, after)
				wantWhole(t, what, db, m)
				if err != nil && !reached {
					t.Fatalf("%s: %v", what, err)
				}
				if !db.Migrator().HasTable(&note{}) {
					t.Fatalf("%s: the application's table is gone", what)
				}
			}
		}
		if _, err := s.Search(t.Context(), store.Query{Text: "common"}); err != nil {
			t.Errorf("%s: a search afterwards: %v", op.name, err)
		}
	}
}

// TestRollback_thatIsInterrupted: the driver interrupts the statement behind the one that was meant.
func TestRollback_thatIsInterrupted(t *testing.T) {
	t.Parallel()
	db, m := openMeddled(t)
	s := newStore(t, db, sqlstore.Config{})
	if _, err := s.Write(t.Context(), []store.Doc{{Record: record(1)}}); err != nil {
		t.Fatal(err)
	}
	interrupted := errors.New("interrupted (9)")
	for _, op := range []struct {
		name string
		run  func(ctx context.Context) error
	}{
		{"search", func(ctx context.Context) error {
			_, err := s.Search(ctx, store.Query{Text: "note"})
			return err
		}},
		{"write", func(ctx context.Context) error {
			_, err := s.Write(ctx, []store.Doc{{Record: event.Record{LogID: "new", Timestamp: time.Now(), Action: event.ActionAdd}}})
			return err
		}},
	} {
		for times := range 3 {
			refused := 0
			m.meddle(func(_ int, after bool, query string) error {
				switch {
				case after:
				case strings.EqualFold(query, "rollback") && refused < times:
					refused++
					return interrupted
				case strings.EqualFold(query, "commit") || strings.Contains(query, " MATCH "):
					return interrupted
				}
				return nil
			})
			if err := op.run(t.Context()); !errors.Is(err, interrupted) {
				t.Errorf("%s: error %v, want that of the statement", op.name, err)
			}
			wantWhole(t, fmt.Sprintf("%s, ROLLBACK refused %d times", op.name, times), db, m)
		}
	}
	if _, err := s.Get(t.Context(), "new"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a record that was not committed: %v", err)
	}
}
