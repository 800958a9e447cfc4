package sqlstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// note is a row of the application.
type note struct {
	ID   int64
	Text string
}

func record(n int) event.Record {
	at := time.Date(2026, 5, 1, 0, 0, n, 0, time.UTC)
	return event.Record{LogID: fmt.Sprintf("%s-%d", event.NewID(at), n), Timestamp: at, Action: event.ActionAdd, ObjectType: "note", ObjectID: fmt.Sprint(n), ObjectRepr: "it's a \\ \"note\" – ü 😀"}
}

func records(n int) []event.Record {
	out := make([]event.Record, n)
	for i := range out {
		out[i] = record(i)
	}
	return out
}

func count(t *testing.T, s *sqlstore.Store) int64 {
	t.Helper()
	page, err := s.Search(t.Context(), store.Query{})
	if err != nil {
		t.Fatal(err)
	}
	return page.Total
}

// eachDatabase runs the test on every database, with and without GORM's prepared statements.
func eachDatabase(t *testing.T, test func(t *testing.T, db *gorm.DB)) {
	t.Helper()
	for _, d := range databases {
		for _, prepare := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, PrepareStmt %v", d.name, prepare), func(t *testing.T) {
				t.Parallel()
				db := d.open(t)
				if err := db.AutoMigrate(&note{}); err != nil {
					t.Fatal(err)
				}
				if prepare {
					db = db.Session(&gorm.Session{PrepareStmt: true})
				}
				test(t, db)
			})
		}
	}
}

func TestWriteTx_goesWithTheTransaction(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := newStore(t, db, sqlstore.Config{})
		rollback := errors.New("roll back")
		for _, end := range []error{rollback, nil} {
			err := db.Transaction(func(tx *gorm.DB) error {
				if err := tx.Create(&note{Text: "a"}).Error; err != nil {
					return err
				}
				if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, records(3)); err != nil {
					return err
				}
				return end
			})
			if !errors.Is(err, end) {
				t.Fatal(err)
			}
			want := int64(3)
			if end != nil {
				want = 0
			}
			if got := count(t, s); got != want {
				t.Errorf("%d records after %v, want %d", got, end, want)
			}
		}
		r, err := s.Get(t.Context(), records(1)[0].LogID)
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%v, %v: ids are random", r, err)
		}
	})
}

func TestWriteTx_manyRecordsAllOrNothing(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := newStore(t, db, sqlstore.Config{})
		many := records(1203)
		twice := append(records(1100), many[7], many[7])
		err := db.Transaction(func(tx *gorm.DB) error {
			var lost *sqlstore.LostError
			if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, twice); !errors.As(err, &lost) || lost.Records != len(twice) {
				t.Errorf("a log_id twice: error %v, want all %d lost", err, len(twice))
			}
			return s.WriteTx(t.Context(), tx.Statement.ConnPool, many)
		})
		if err != nil {
			t.Fatal(err)
		}
		if got := count(t, s); got != int64(len(many)) {
			t.Errorf("%d records, want the %d of the call that succeeded", got, len(many))
		}
	})
}

// TestWriteTx_errorLeavesTheTransactionUsable takes the table away.
func TestWriteTx_errorLeavesTheTransactionUsable(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, db *gorm.DB) {
		s := newStore(t, db, sqlstore.Config{})
		if err := db.Exec("DROP TABLE " + s.Table()).Error; err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 1000} {
			err := db.Transaction(func(tx *gorm.DB) error {
				if err := tx.Create(&note{Text: "before"}).Error; err != nil {
					return err
				}
				var lost *sqlstore.LostError
				if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, records(n)); !errors.As(err, &lost) || lost.Records != n {
					t.Errorf("error %v, want %d records lost", err, n)
				}
				return tx.Create(&note{Text: "after"}).Error
			})
			if err != nil {
				t.Fatalf("the application's transaction: %v", err)
			}
		}
		var notes int64
		if err := db.Model(&note{}).Count(&notes).Error; err != nil || notes != 4 {
			t.Errorf("%d notes (%v), want 4", notes, err)
		}
		if _, err := s.Search(t.Context(), store.Query{}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("search: error %v, want ErrUnavailable", err)
		}
	})
}

func TestWriteTx_strictErrorIsTheCallers(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	if err := db.AutoMigrate(&note{}); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, db, sqlstore.Config{Strict: true})
	write := func() error {
		return db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&note{Text: "x"}).Error; err != nil {
				return err
			}
			return s.WriteTx(t.Context(), tx.Statement.ConnPool, records(2))
		})
	}
	if err := write(); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("DROP TABLE " + s.Table()).Error; err != nil {
		t.Fatal(err)
	}
	if err := write(); err == nil {
		t.Error("no error without the table")
	}
	var notes int64
	if err := db.Model(&note{}).Count(&notes).Error; err != nil || notes != 1 {
		t.Errorf("%d notes (%v), want that of the recorded transaction only", notes, err)
	}
}

// TestWriteTx_waitsForALockOnlySoLong locks the table from another connection.
func TestWriteTx_waitsForALockOnlySoLong(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	if err := db.AutoMigrate(&note{}); err != nil {
		t.Fatal(err)
	}
	s := newStore(t, db, sqlstore.Config{LockTimeout: 30 * time.Millisecond})
	locker := db.Begin()
	defer locker.Rollback()
	if err := locker.Exec("LOCK TABLE " + s.Table() + " IN ACCESS EXCLUSIVE MODE").Error; err != nil {
		t.Fatal(err)
	}
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := tx.Exec("SET LOCAL lock_timeout = '1234ms'").Error; err != nil {
			return err
		}
		if err := tx.Create(&note{Text: "x"}).Error; err != nil {
			return err
		}
		err := s.WriteTx(t.Context(), tx.Statement.ConnPool, records(1))
		if err == nil || !strings.Contains(err.Error(), "lock timeout") {
			t.Errorf("error %v, want the lock time-out", err)
		}
		wantSetting(t, tx, "1234ms")
		return tx.Create(&note{Text: "y"}).Error
	})
	if err != nil {
		t.Fatalf("the application's transaction: %v", err)
	}
	if err := locker.Rollback().Error; err != nil {
		t.Fatal(err)
	}
	for _, setting := range []string{"", "1234ms"} {
		err = db.Transaction(func(tx *gorm.DB) error {
			want := "0"
			if setting != "" {
				want = setting
				if err := tx.Exec("SET lock_timeout = '" + setting + "'").Error; err != nil {
					return err
				}
			}
			if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, records(1)); err != nil {
				return err
			}
			wantSetting(t, tx, want)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, s); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}

// TestWriteTx_waitsForALock has the table free again before the time-out.
func TestWriteTx_waitsForALock(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	s := newStore(t, db, sqlstore.Config{LockTimeout: time.Minute})
	locker := db.Begin()
	defer locker.Rollback()
	if err := locker.Exec("LOCK TABLE " + s.Table() + " IN ACCESS EXCLUSIVE MODE").Error; err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- db.Transaction(func(tx *gorm.DB) error {
			if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, records(1)); err != nil {
				return err
			}
			wantSetting(t, tx, "0")
			return nil
		})
	}()
	for waiting := 0; waiting == 0; {
		if err := db.Raw("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = ?::regclass", s.Table()).Scan(&waiting).Error; err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			t.Fatalf("WriteTx did not wait: %v", err)
		default:
		}
	}
	if err := locker.Rollback().Error; err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := count(t, s); got != 1 {
		t.Errorf("%d records, want 1", got)
	}
}

// wantSetting fails the test unless the application's lock time-out is as it was.
func wantSetting(t *testing.T, tx *gorm.DB, want string) {
	t.Helper()
	var got string
	if err := tx.Raw("SHOW lock_timeout").Scan(&got).Error; err != nil || got != want {
		t.Errorf("lock_timeout is %q (%v) after WriteTx, want %q", got, err, want)
	}
}

// TestWriteTx_otherSearchPath changes the search path after New: records go where they belong.
func TestWriteTx_otherSearchPath(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	s := newStore(t, db, sqlstore.Config{})
	for _, conn := range []func(tx *gorm.DB) gorm.ConnPool{
		func(tx *gorm.DB) gorm.ConnPool { return tx.Statement.ConnPool },
		func(tx *gorm.DB) gorm.ConnPool { return wrapped{tx.Statement.ConnPool} },
	} {
		err := db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Exec("SET LOCAL search_path = pg_catalog").Error; err != nil {
				return err
			}
			return s.WriteTx(t.Context(), conn(tx), records(1))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := count(t, s); got != 2 {
		t.Errorf("%d records, want 2", got)
	}
}

// wrapped is a pool that somebody has put something around.
type wrapped struct{ gorm.ConnPool }

// TestWriteTx_literals writes what could end a literal, under the settings that change how they are read.
func TestWriteTx_literals(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	s := newStore(t, db, sqlstore.Config{})
	texts := []string{`'`, `''`, `\`, `\'`, `\\'`, `'; DROP TABLE x; --`, "é'", "\u00bf'", "日本'\\", "😀'", "E'x'", "$$", "a\nb\r\tc", "\u0001\u007f\u0080\u009f\ue000\uffff", "?", "$1", ":x", "@p", "%s"}
	for _, settings := range []string{"", "SET LOCAL standard_conforming_strings = off", "SET LOCAL client_encoding = 'SJIS'", "SET LOCAL client_encoding = 'GB18030'", "SET LOCAL backslash_quote = off"} {
		want := records(len(texts))
		for i := range want {
			want[i].ObjectID, want[i].ObjectRepr, want[i].ObjectType = texts[i], texts[i], settings
		}
		err := db.Transaction(func(tx *gorm.DB) error {
			if settings != "" {
				if err := tx.Exec(settings).Error; err != nil {
					return err
				}
			}
			return s.WriteTx(t.Context(), tx.Statement.ConnPool, want)
		})
		if err != nil {
			t.Fatalf("%s: %v", settings, err)
		}
		for i, w := range want {
			got, err := s.Get(t.Context(), w.LogID, store.Filter{Field: store.FieldObjectID, Values: []string{texts[i]}})
			if err != nil || got.ObjectRepr != texts[i] {
				t.Errorf("%s: got %q (%v), want %q", settings, got.ObjectRepr, err, texts[i])
			}
		}
	}
}

// TestWriteTx_concurrentSafe has transactions of several goroutines, of which every third is rolled
// back.
func TestWriteTx_concurrentSafe(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			s := newStore(t, db, sqlstore.Config{})
			const workers, each = 4, 12
			done := make(chan error, workers)
			for range workers {
				go func() {
					for i := range each {
						err := db.Transaction(func(tx *gorm.DB) error {
							if err := s.WriteTx(context.WithoutCancel(t.Context()), tx.Statement.ConnPool, records(2)); err != nil {
								return err
							}
							if i%3 == 0 {
								return errUndo
							}
							return nil
						})
						if err != nil && !errors.Is(err, errUndo) {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range workers {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if got, want := count(t, s), int64(workers*each*2*2/3); got != want {
				t.Errorf("%d records, want %d", got, want)
			}
		})
	}
}

var errUndo = errors.New("undo")
