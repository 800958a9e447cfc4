package tx

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"sync"
	"testing"

	"github.com/glebarez/sqlite"
	"github.com/google/go-cmp/cmp"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/internal/testservers"
)

// log is what the hooks were called with.
type log struct {
	mu                          sync.Mutex
	before, released, discarded []Item
	doubts                      []Item
	cause                       error // of the doubt
	releases                    int
	refuse                      error
}

func (l *log) hooks() *Hooks {
	return &Hooks{
		BeforeCommit: func(_ context.Context, _ gorm.ConnPool, items []Item) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.before = append(l.before, items...)
			return l.refuse
		},
		AfterCommit: func(ctx context.Context, items []Item) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if ctx.Err() != nil {
				l.released = append(l.released, ctx.Err())
			}
			l.released = append(l.released, items...)
			l.releases++
		},
		InDoubt: func(ctx context.Context, items []Item, cause error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			if ctx.Err() != nil {
				l.doubts = append(l.doubts, ctx.Err())
			}
			l.doubts, l.cause = append(l.doubts, items...), cause
		},
		Discarded: func(items []Item) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.discarded = append(l.discarded, items...)
		},
	}
}

func open2(t *testing.T, d gorm.Dialector, prepare bool) (*gorm.DB, *log) {
	t.Helper()
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard, PrepareStmt: prepare})
	if err != nil {
		t.Fatal(err)
	}
	sqlDB, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sqlDB.Close(); err != nil {
			t.Error(err)
		}
	})
	l := &log{}
	db.Config.ConnPool = Wrap(db.Config.ConnPool, l.hooks())
	db.Statement.ConnPool = db.Config.ConnPool
	return db, l
}

func forEach(t *testing.T, f func(t *testing.T, db *gorm.DB, l *log)) {
	t.Helper()
	for name, prepare := range map[string]bool{"": false, " prepared": true} {
		t.Run("sqlite"+name, func(t *testing.T) {
			t.Parallel()
			db, l := open2(t, sqlite.Open(filepath.Join(t.TempDir(), "t.db")), prepare)
			f(t, db, l)
		})
		t.Run("postgres"+name, func(t *testing.T) {
			t.Parallel()
			db, l := open2(t, postgres.Open(testservers.Postgres(t)), prepare)
			f(t, db, l)
		})
	}
}

var (
	errNo   = errors.New("no")
	errDone = sql.ErrTxDone
)

func add(t *testing.T, db *gorm.DB, items ...Item) {
	t.Helper()
	u, observed := Find(db.Statement.ConnPool)
	if u == nil || !observed || !u.Add(10, items...) {
		t.Error("no open transaction")
	}
}

func TestTransaction_releasesWhatCommitted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name      string
		run       func(t *testing.T, db *gorm.DB) error
		released  []Item
		discarded []Item
		err       bool
	}{
		{"commit", func(t *testing.T, db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error { add(t, tx, "a", "b"); return nil })
		}, []Item{"a", "b"}, nil, false},
		{"rollback", func(t *testing.T, db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error { add(t, tx, "a"); return errNo })
		}, nil, []Item{"a"}, true},
		{"nothing held", func(_ *testing.T, db *gorm.DB) error {
			return db.Transaction(func(*gorm.DB) error { return nil })
		}, nil, nil, false},
		{"inner rolled back", func(t *testing.T, db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				add(t, tx, "a")
				_ = tx.Transaction(func(tx *gorm.DB) error { add(t, tx, "b"); return errNo })
				add(t, tx, "c")
				return nil
			})
		}, []Item{"a", "c"}, []Item{"b"}, false},
		{"names without case", func(t *testing.T, db *gorm.DB) error {
			return db.Transaction(func(tx *gorm.DB) error {
				p := tx.Statement.ConnPool
				exec := func(q string) {
					if o := Of(p); o != nil {
						if _, err := o.ExecContext(t.Context(), q); err != nil {
							t.Error(err)
						}
					}
				}
				exec("SAVEPOINT One")
				add(t, tx, "a")
				exec("ROLLBACK TO one")
				return nil
			})
		}, nil, []Item{"a"}, false},
		{"rollback after commit", func(t *testing.T, db *gorm.DB) error {
			tx := db.Begin()
			add(t, tx, "a")
			err := tx.Commit().Error
			_ = tx.Rollback()
			return err
		}, []Item{"a"}, nil, false},
		{"commit twice", func(t *testing.T, db *gorm.DB) error {
			tx := db.Begin()
			add(t, tx, "a")
			return errors.Join(tx.Commit().Error, tx.Session(&gorm.Session{NewDB: true}).Commit().Error)
		}, []Item{"a"}, nil, true},
		{"cancelled", func(t *testing.T, db *gorm.DB) error {
			ctx, cancel := context.WithCancel(t.Context())
			tx := db.WithContext(ctx).Begin()
			add(t, tx, "a")
			cancel()
			return tx.Commit().Error
		}, nil, []Item{"a"}, true},
		{"cancelled after commit", func(t *testing.T, db *gorm.DB) error {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			return db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { add(t, tx, "a"); return nil })
		}, []Item{"a"}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			forEach(t, func(t *testing.T, db *gorm.DB, l *log) {
				err := c.run(t, db.WithContext(t.Context()))
				if (err != nil) != c.err {
					t.Error(err)
				}
				if diff := cmp.Diff(c.released, l.released); diff != "" {
					t.Error("released", diff)
				}
				if diff := cmp.Diff(c.discarded, l.discarded); diff != "" {
					t.Error("discarded", diff)
				}
				if c.released != nil && l.releases != 1 || c.released == nil && l.releases != 0 {
					t.Errorf("%d releases", l.releases)
				}
			})
		})
	}
}

func TestBeforeCommit_refuses_rollsBack(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *gorm.DB, l *log) {
		l.refuse = errNo
		var ends []bool
		err := db.Transaction(func(tx *gorm.DB) error {
			add(t, tx, "a")
			u, _ := Find(tx.Statement.ConnPool)
			u.OnEnd(func(committed bool) { ends = append(ends, committed) })
			return nil
		})
		if !errors.Is(err, errNo) || l.released != nil || len(l.discarded) != 1 || len(l.before) != 1 {
			t.Error(err, l.released, l.discarded, l.before)
		}
		if diff := cmp.Diff([]bool{false}, ends); diff != "" {
			t.Error(diff)
		}
	})
}

func TestBeginTx_fails_givesNoTransaction(t *testing.T) {
	t.Parallel()
	forEach(t, func(t *testing.T, db *gorm.DB, _ *log) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		tx := db.WithContext(ctx).Begin()
		if tx.Error == nil || tx.Statement.ConnPool != nil {
			t.Error(tx.Error, tx.Statement.ConnPool)
		}
		if err := tx.Rollback().Error; err == nil {
			t.Error("no error")
		}
	})
}

func TestWrap_leavesWhatItCannotObserve(t *testing.T) {
	t.Parallel()
	db, l := open2(t, sqlite.Open(":memory:"), true)
	sqlDB, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := sqlDB.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Rollback() //nolint:errcheck // nothing is in it
	if got := Wrap(raw, l.hooks()); got != gorm.ConnPool(raw) {
		t.Errorf("%T", got)
	}
	if u, observed := Find(raw); u != nil || observed {
		t.Error(u, observed)
	}
	if u, observed := Find(db.ConnPool); u != nil || !observed {
		t.Error(u, observed)
	}
	if again := Wrap(db.ConnPool, l.hooks()); again != db.ConnPool {
		t.Error("wrapped twice")
	}
}

func TestUnit_bytes_followSavepoints(t *testing.T) {
	t.Parallel()
	l := &log{}
	u := NewUnit(t.Context(), l.hooks())
	u.Add(5, "a", "b")
	u.savepoint("s")
	u.Add(7, "c")
	if u.Bytes() != 12 {
		t.Error(u.Bytes())
	}
	u.rollbackTo("S")
	if u.Bytes() != 5 {
		t.Error(u.Bytes())
	}
	u.Release()
	if u.Add(1, "late") || u.OnEnd(func(bool) {}) || u.Open() {
		t.Error("still open")
	}
	if diff := cmp.Diff([]Item{"a", "b"}, l.released); diff != "" {
		t.Error(diff)
	}
}
