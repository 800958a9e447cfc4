package audit

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
)

type account struct {
	ID        uint
	Name      string
	Email     string
	Phone     string
	Note      string
	Balance   string         `gorm:"type:decimal(10,2)"`
	Settings  map[string]any `gorm:"serializer:json"`
	Active    bool
	CreatedAt time.Time
	UpdatedAt time.Time
}

// testHandle gives a handle that is installed nowhere.
func testHandle(tb testing.TB, reg *Registry) *handle {
	tb.Helper()
	db, err := gorm.Open(sqlite.Open(filepath.Join(tb.TempDir(), "t.db")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close()
		}
	})
	h := &handle{auditor: New(Config{Registry: reg, Logger: slog.New(slog.DiscardHandler), Host: "h", Service: "s"}), db: db}
	ts, err := h.compile()
	if err != nil {
		tb.Fatal(err)
	}
	h.tables.Store(ts)
	return h
}

func accountChange(tb testing.TB, op capture.Op) (*handle, *pending) {
	tb.Helper()
	reg := NewRegistry()
	if err := reg.Register(&account{}); err != nil {
		tb.Fatal(err)
	}
	h := testHandle(tb, reg)
	t := h.current(tb.Context()).list[0]
	now := time.Date(2024, 1, 2, 3, 4, 5, 678000, time.UTC)
	row := func(phone string) []any {
		return []any{int64(42), "Ada Lovelace", "ada@example.org", phone, "a note of some words", "12.50", `{"theme":"dark"}`, true, now, now}
	}
	p := &pending{handle: h, table: t, name: "accounts", who: &who{actor: Actor{ID: "7", Username: "john.doe", Type: ActorUser}}, time: now, op: op}
	switch op {
	case capture.Insert:
		p.after = row("1")
	case capture.Update:
		p.before, p.after = row("1"), row("2")
		p.columns, _ = t.changed(p.before, p.after)
	default:
		p.before = row("1")
	}
	return h, p
}

func BenchmarkRecord(b *testing.B) {
	for _, op := range []capture.Op{capture.Insert, capture.Update, capture.Delete} {
		b.Run(fmt.Sprint("op", op), func(b *testing.B) {
			h, p := accountChange(b, op)
			items := []*pending{p}
			b.ReportAllocs()
			for b.Loop() {
				h.assemble(context.Background(), nil, false, items)
			}
		})
	}
	b.Run("hundred", func(b *testing.B) {
		h, p := accountChange(b, capture.Insert)
		var items []*pending
		for range 100 {
			one := *p
			items = append(items, &one)
		}
		b.ReportAllocs()
		for b.Loop() {
			h.assemble(context.Background(), nil, false, items)
		}
	})
	b.Run("changed", func(b *testing.B) {
		_, p := accountChange(b, capture.Update)
		b.ReportAllocs()
		for b.Loop() {
			p.table.changed(p.before, p.after)
		}
	})
	b.Run("hash", func(b *testing.B) {
		h, p := accountChange(b, capture.Insert)
		r := h.assemble(context.Background(), nil, false, []*pending{p}).records[0]
		b.ReportAllocs()
		for b.Loop() {
			_, _ = event.ContentHash(r)
		}
	})
}
