package audit_test

import (
	"context"
	"errors"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

func TestBefore_vetoesAndEnriches(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{Before: func(ctx context.Context, r *event.Record) bool {
			if actor, ok := audit.ActorFrom(ctx); !ok || actor.ID != "7" {
				t.Errorf("the hook's context has the actor %+v", actor)
			}
			if r.LogID != "" || r.RecordHash != "" {
				t.Errorf("the record is sealed already: %+v", r)
			}
			if r.ObjectRepr == "veto" {
				return false
			}
			if r.Extra == nil {
				r.Extra = map[string]any{}
			}
			r.Extra["region"], r.Extra["password"] = "eu", "hunter2"
			r.Reason = "see https://u:pw@h/"
			r.ChangeMessage = event.TextMessage("Bearer abcdefghijkl")
			if r.ObjectRepr == "panic" {
				r.ObjectID, r.ChangedFields[0] = "spoilt", "spoilt"
				panic("hook")
			}
			return true
		}})
		must(t, db.Create(&[]Customer{{Name: "Ada"}, {Name: "veto"}, {Name: "panic"}}).Error)
		records := rec.take()
		if len(records) != 2 {
			t.Fatal(lines(records))
		}
		message, _ := records[0].ChangeMessage.Text()
		if r := records[0]; r.Extra["region"] != "eu" || r.Extra["password"] != "[REDACTED]" || r.Reason != "see https://[REDACTED]@h/" || message != "Bearer [REDACTED]" {
			t.Errorf("%+v", r)
		}
		if h, err := event.ContentHash(records[0]); err != nil || h != records[0].RecordHash {
			t.Errorf("hash %s, want %s (%v)", records[0].RecordHash, h, err)
		}
		// The one that panicked is as it was.
		if r := records[1]; r.ObjectID != "3" || r.ChangedFields[0] != "id" || r.Reason != "" || r.Extra["region"] != nil {
			t.Errorf("%+v", r)
		}
		if s := audit.From(db).Stats(); s.Emitted != 2 || s.Vetoed != 1 || s.Failed != 0 || s.Errors[audit.KindHook] != 1 {
			t.Errorf("stats %+v", s)
		}
		// What is rolled back is not vetoed.
		_ = db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Customer{Name: "veto"}).Error)
			return errors.New("undone")
		})
		if s := audit.From(db).Stats(); s.Vetoed != 1 || s.Discarded != 1 {
			t.Errorf("stats %+v", s)
		}
		rec.expect(t)
	})
}

func TestAfter_isToldOfWhatCommitted(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		var told [][]event.Record
		sink := &failing{}
		db, _ := setup(t, plain, audit.Config{TxSink: sink, After: func(ctx context.Context, records []event.Record) {
			if ctx.Err() != nil {
				t.Error("the hook's context is cancelled")
			}
			if n := count(t, plain); n == 0 {
				t.Error("the hook was called before the commit")
			}
			told = append(told, records)
			panic("hook")
		}})
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Customer{Name: "Ada"}).Error)
			return tx.Create(&Customer{Name: "Bob"}).Error
		}))
		_ = db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Customer{Name: "Cyd"}).Error)
			return errors.New("undone")
		})
		if len(told) != 1 || len(told[0]) != 2 || told[0][0].LogID == "" {
			t.Errorf("told %d times: %+v", len(told), told)
		}
		if s := audit.From(db).Stats(); s.Emitted != 2 || s.Errors[audit.KindHook] != 1 {
			t.Errorf("stats %+v", s)
		}
	})
}
