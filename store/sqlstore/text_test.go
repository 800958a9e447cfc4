package sqlstore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// quiet is for stores that are meant to log.
func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// named gives a record with a word of its own.
func named(word string) event.Record {
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	return event.Record{LogID: event.NewID(at), Timestamp: at, Action: event.ActionAdd, ObjectType: "note", ObjectID: "1", ObjectRepr: word + " common", RequestID: "req-" + word}
}

func write(t *testing.T, s *sqlstore.Store, words ...string) {
	t.Helper()
	for _, w := range words {
		if _, err := s.Write(t.Context(), []store.Doc{{Record: named(w)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// wantWords fails the test unless the query finds records with these words, in any order, before they
// are indexed and after.
func wantWords(t *testing.T, s *sqlstore.Store, q store.Query, want ...string) {
	t.Helper()
	wantWordsNow(t, s, q, want...)
	if err := s.Index(t.Context()); err != nil {
		t.Fatalf("index: %v", err)
	}
	wantWordsNow(t, s, q, want...)
}

func wantWordsNow(t *testing.T, s *sqlstore.Store, q store.Query, want ...string) {
	t.Helper()
	q.Size = 1000
	page, err := s.Search(t.Context(), q)
	if err != nil {
		t.Fatalf("search %q: %v", q.Text, err)
	}
	seen := map[string]int{}
	for _, r := range page.Records {
		seen[strings.TrimSuffix(r.ObjectRepr, " common")]++
	}
	for _, w := range want {
		if seen[w] != 1 {
			t.Errorf("search %q finds %q %d times, want once", q.Text, w, seen[w])
		}
	}
	if len(page.Records) != len(want) || int(page.Total) != len(want) {
		t.Errorf("search %q finds %v (total %d), want %q", q.Text, seen, page.Total, want)
	}
}

// TestText_lateCommit has a transaction that takes its number first and commits last.
func TestText_lateCommit(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	s := newStore(t, db, sqlstore.Config{})
	late := db.Begin()
	defer late.Rollback()
	if err := s.WriteTx(t.Context(), late.Statement.ConnPool, []event.Record{named("late")}); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		write(t, s, fmt.Sprint("early", i))
		wantWords(t, s, store.Query{Text: fmt.Sprint("early", i)}, fmt.Sprint("early", i))
		wantWords(t, s, store.Query{Text: "late"})
	}
	if err := late.Commit().Error; err != nil {
		t.Fatal(err)
	}
	wantWords(t, s, store.Query{Text: "late"}, "late")
	wantWords(t, s, store.Query{Text: "common"}, "late", "early0", "early1", "early2")
	wantWords(t, s, store.Query{Filters: []store.Filter{{Field: store.FieldRequestID, Values: []string{"req-late"}}}}, "late")
	write(t, s, "after")
	wantWords(t, s, store.Query{Text: "after"}, "after")
}

// TestText_restoredDump has a state from a server whose transaction numbers were higher.
func TestText_restoredDump(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	s := newStore(t, db, sqlstore.Config{})
	write(t, s, "one")
	wantWords(t, s, store.Query{Text: "one"}, "one")
	if err := db.Exec("UPDATE audit_logs_meta SET value = '9000000000000' WHERE name = 'text_xid'").Error; err != nil {
		t.Fatal(err)
	}
	write(t, s, "two", "three")
	wantWords(t, s, store.Query{Text: "common"}, "one", "two", "three")
	write(t, s, "four")
	wantWords(t, s, store.Query{Text: "common"}, "one", "two", "three", "four")
}

// TestText_rowsDeletedByHand lets SQLite give ids a second time.
func TestText_rowsDeletedByHand(t *testing.T) {
	t.Parallel()
	db := sqliteFile(t)
	s := newStore(t, db, sqlstore.Config{})
	write(t, s, "a", "b", "c", "d")
	wantWords(t, s, store.Query{Text: "common"}, "a", "b", "c", "d")
	if err := db.Exec("DELETE FROM audit_logs WHERE id > 2").Error; err != nil {
		t.Fatal(err)
	}
	write(t, s, "e", "f", "g")
	wantWords(t, s, store.Query{Text: "common"}, "a", "b", "e", "f", "g")
	wantWords(t, s, store.Query{Text: "c"})
	if err := db.Exec("DELETE FROM audit_logs").Error; err != nil {
		t.Fatal(err)
	}
	wantWords(t, s, store.Query{Text: "common"})
	write(t, s, "h")
	wantWords(t, s, store.Query{Text: "common"}, "h")
}

// TestText_purgeTheNewestID deletes, by time, the record that was written last, and others after it take
// its id.
func TestText_purgeTheNewestID(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, d.open(t), sqlstore.Config{})
			write(t, s, "a", "b")
			old := named("old")
			old.Timestamp = old.Timestamp.Add(-time.Hour)
			if _, err := s.Write(t.Context(), []store.Doc{{Record: old}}); err != nil {
				t.Fatal(err)
			}
			wantWords(t, s, store.Query{Text: "common"}, "a", "b", "old")
			if n, err := s.Purge(t.Context(), named("").Timestamp); n != 1 || err != nil {
				t.Errorf("deleted %d (%v), want 1", n, err)
			}
			write(t, s, "c")
			wantWords(t, s, store.Query{Text: "common"}, "a", "b", "c")
			wantWords(t, s, store.Query{Text: "old"})
		})
	}
}

// TestText_withoutIndex finds text where the tables of the index are not there, and uses them when they
// are.
func TestText_withoutIndex(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			statements, err := sqlstore.Migration(db, "")
			if err != nil {
				t.Fatal(err)
			}
			run := func(index bool) {
				inIndex := false
				for _, statement := range statements {
					inIndex = inIndex || strings.HasPrefix(statement, "DROP")
					if inIndex != index {
						continue
					}
					if err := db.Exec(statement).Error; err != nil {
						t.Fatalf("%s: %v", statement, err)
					}
				}
			}
			run(false)
			s := newStore(t, db, sqlstore.Config{SkipMigrate: true})
			request := store.Query{Filters: []store.Filter{{Field: store.FieldRequestID, Values: []string{"req-b"}}}}
			write(t, s, "a", "b")
			wantWords(t, s, store.Query{Text: "common"}, "a", "b")
			wantWords(t, s, request, "b")
			run(true)
			write(t, s, "c")
			wantWords(t, s, store.Query{Text: "common"}, "a", "b", "c")
			wantWords(t, s, request, "b")
			if err := s.Index(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestText_readOnly searches a file that cannot be written: the index cannot catch up, the answer is
// complete all the same.
func TestText_readOnly(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.db")
	writer := newStore(t, open(t, sqlite.Open(file)), sqlstore.Config{})
	write(t, writer, "a", "b")
	wantWords(t, writer, store.Query{Text: "common"}, "a", "b")
	reader := newStore(t, open(t, sqlite.Open("file:"+file+"?mode=ro")), sqlstore.Config{Logger: quiet()})
	wantWordsNow(t, reader, store.Query{Text: "common"}, "a", "b")
	write(t, writer, "c")
	wantWordsNow(t, reader, store.Query{Text: "common"}, "a", "b", "c")
	wantWordsNow(t, reader, store.Query{Filters: []store.Filter{{Field: store.FieldRequestID, Values: []string{"req-c"}}}}, "c")
	if err := reader.Index(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("Index of a read-only database: %v, want ErrUnavailable", err)
	}
}

// TestText_readOnlyFarBehind has more records to read than are read beside the index.
func TestText_readOnlyFarBehind(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.db")
	writer := newStore(t, open(t, sqlite.Open(file)), sqlstore.Config{})
	write(t, writer, "a", "b")
	wantWords(t, writer, store.Query{Text: "common"}, "a", "b")
	reader := newStore(t, open(t, sqlite.Open("file:"+file+"?mode=ro")), sqlstore.Config{Logger: quiet()})
	var docs []store.Doc
	for i := range 2500 {
		docs = append(docs, store.Doc{Record: named(fmt.Sprint("n", i))})
	}
	if _, err := writer.Write(t.Context(), docs); err != nil {
		t.Fatal(err)
	}
	wantWordsNow(t, reader, store.Query{Text: "n2499"}, "n2499")
	page, err := reader.Search(t.Context(), store.Query{Text: "common"})
	if err != nil || page.Total != 2502 || !page.TotalExact {
		t.Errorf("total %d (%v), want 2502", page.Total, err)
	}
	wantWords(t, writer, store.Query{Text: "n2499"}, "n2499")
}

// TestText_searchTakesNoWriteLock searches while another connection has the write lock for long.
func TestText_searchTakesNoWriteLock(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "audit.db") + "?_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=busy_timeout(0)"
	db := open(t, sqlite.Open(file))
	s := newStore(t, db, sqlstore.Config{})
	write(t, s, "a", "b")
	wantWords(t, s, store.Query{Text: "common"}, "a", "b")
	write(t, s, "c")
	err := db.Transaction(func(tx *gorm.DB) error {
		if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, []event.Record{named("open")}); err != nil {
			return err
		}
		wantWordsNow(t, s, store.Query{Text: "common"}, "a", "b", "c")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantWords(t, s, store.Query{Text: "common"}, "a", "b", "c", "open")
}

// TestText_severalProcesses has stores with pools of their own that write and catch up at the same time.
func TestText_severalProcesses(t *testing.T) {
	t.Parallel()
	for name, dialector := range map[string]func(t *testing.T) func() gorm.Dialector{
		"sqlite": func(t *testing.T) func() gorm.Dialector {
			file := filepath.Join(t.TempDir(), "audit.db")
			return func() gorm.Dialector { return sqlite.Open(file + pragmas) }
		},
		"postgres": func(t *testing.T) func() gorm.Dialector {
			dsn := testservers.PostgresSchema(t)
			return func() gorm.Dialector { return postgres.Open(dsn) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dial := dialector(t)
			const processes, each = 3, 15
			done := make(chan error, processes)
			var stores []*sqlstore.Store
			for range processes {
				stores = append(stores, newStore(t, open(t, dial()), sqlstore.Config{}))
			}
			for p, s := range stores {
				go func() {
					for i := range each {
						word := fmt.Sprintf("p%dn%d", p, i)
						if _, err := s.Write(t.Context(), []store.Doc{{Record: named(word)}}); err != nil {
							done <- err
							return
						}
						if i%5 == 4 {
							if err := s.Index(t.Context()); err != nil {
								done <- err
								return
							}
						}
						// What this process has written, it finds.
						if page, err := s.Search(t.Context(), store.Query{Text: word}); err != nil || len(page.Records) != 1 {
							done <- fmt.Errorf("%s: %d records, %w", word, len(page.Records), err)
							return
						}
					}
					done <- nil
				}()
			}
			for range processes {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			for _, s := range stores {
				page, err := s.Search(t.Context(), store.Query{Text: "common", Size: 1000})
				if err != nil || len(page.Records) != processes*each || page.Total != processes*each {
					t.Errorf("%d records, total %d (%v), want %d", len(page.Records), page.Total, err, processes*each)
				}
			}
		})
	}
}

// TestSearch_damagedBody finds a body that is no record: an answer without it would not be complete.
func TestSearch_damagedBody(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			s := newStore(t, db, sqlstore.Config{})
			bad := named("bad")
			if _, err := s.Write(t.Context(), []store.Doc{{Record: bad}}); err != nil {
				t.Fatal(err)
			}
			if err := db.Exec("UPDATE audit_logs SET body = '{damaged'").Error; err != nil {
				t.Fatal(err)
			}
			if _, err := s.Search(t.Context(), store.Query{}); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), bad.LogID) {
				t.Errorf("search: %v, want ErrUnavailable with the id", err)
			}
			if _, err := s.Get(t.Context(), bad.LogID); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrNotFound) {
				t.Errorf("get: %v, want ErrUnavailable", err)
			}
		})
	}
}
