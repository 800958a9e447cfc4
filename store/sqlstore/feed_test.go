package sqlstore_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// changes follows the checkpoints to the end.
func changes(t *testing.T, s *sqlstore.Store, after string) (ids []string, next string) {
	t.Helper()
	for {
		c, err := s.Changes(t.Context(), store.ChangesRequest{After: after, Size: 3})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range c.Records {
			ids = append(ids, r.LogID)
		}
		if after = c.Next; !c.More {
			return ids, after
		}
	}
}

// wantChanges follows until the ids have come, each once. Transactions of other tests may hold them up.
func wantChanges(t *testing.T, what string, s *sqlstore.Store, after string, want ...string) (next string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Minute)
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	var got []string
	for {
		var some []string
		some, after = changes(t, s, after)
		got = append(got, some...)
		if len(got) >= len(want) || time.Now().After(deadline) {
			break
		}
		<-ticker.C
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
	return after
}

// TestChanges_lateCommit commits transactions in another order than that in which they wrote.
func TestChanges_lateCommit(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		if d.name != "postgres" && d.name != "mariadb" { // SQLite has one writer at a time
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			db := d.open(t)
			s := newStore(t, db, sqlstore.Config{})
			next := ""
			rng := []int{2, 0, 3, 1, 4} // the order of the commits
			for round := range 3 {
				var all [5]event.Record
				ends := make([]func() error, len(all))
				for i := range all {
					all[i] = record(round*10 + i)
					tx := db.Begin()
					if err := s.WriteTx(t.Context(), tx.Statement.ConnPool, all[i:i+1]); err != nil {
						t.Fatal(err)
					}
					ends[i] = func() error { return tx.Commit().Error }
				}
				var got []string
				for _, i := range rng {
					if err := ends[i](); err != nil {
						t.Fatal(err)
					}
					var some []string
					some, next = changes(t, s, next)
					got = append(got, some...)
				}
				var want []string
				for _, r := range all {
					if !slices.Contains(got, r.LogID) {
						want = append(want, r.LogID)
					}
				}
				next = wantChanges(t, fmt.Sprintf("round %d, after %d", round, len(got)), s, next, want...)
			}
		})
	}
}

// TestChanges_afterPurge has ids given again: what follows must not be skipped.
func TestChanges_afterPurge(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			s := newStore(t, d.open(t), sqlstore.Config{})
			write := func(records ...event.Record) (ids []string) {
				var docs []store.Doc
				for _, r := range records {
					docs, ids = append(docs, store.Doc{Record: r}), append(ids, r.LogID)
				}
				if _, err := s.Write(t.Context(), docs); err != nil {
					t.Fatal(err)
				}
				return ids
			}
			old := wantChanges(t, "first", s, "", write(records(5)...)...)
			older := old
			for round := range 3 {
				if _, err := s.Purge(t.Context(), record(1000).Timestamp); err != nil {
					t.Fatal(err)
				}
				fresh := write(record(10*round), record(10*round+1))
				wantChanges(t, fmt.Sprintf("round %d, checkpoint of the time before", round), s, old, fresh...)
				wantChanges(t, fmt.Sprintf("round %d, older checkpoint", round), s, older, fresh...)
				next := wantChanges(t, fmt.Sprintf("round %d, from the beginning", round), s, "", fresh...)
				wantChanges(t, fmt.Sprintf("round %d, nothing new", round), s, next)
				old = next
			}
		})
	}
}

// TestChanges_restored has records of transactions that the server has not had.
func TestChanges_restored(t *testing.T) {
	t.Parallel()
	db := postgresSchema(t)
	s := newStore(t, db, sqlstore.Config{})
	if _, err := s.Write(t.Context(), []store.Doc{{Record: record(1)}}); err != nil {
		t.Fatal(err)
	}
	if err := db.Exec("UPDATE " + s.Table() + " SET xid = 1::bigint << 50").Error; err != nil {
		t.Fatal(err)
	}
	for _, after := range []string{"", "0.1.", "0.0."} {
		if c, err := s.Changes(t.Context(), store.ChangesRequest{After: after}); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("after %q: %+v, %v, want ErrUnavailable", after, c, err)
		}
	}
	if err := db.Exec("UPDATE " + s.Table() + " SET xid = 0").Error; err != nil {
		t.Fatal(err)
	}
	if ids, _ := changes(t, s, ""); len(ids) != 1 {
		t.Errorf("after the update: %d records, want 1", len(ids))
	}
	if _, err := s.Changes(t.Context(), store.ChangesRequest{After: "0.zzzzzzzzzz."}); !errors.Is(err, store.ErrCheckpoint) {
		t.Errorf("checkpoint of a later transaction: %v, want ErrCheckpoint", err)
	}
}
