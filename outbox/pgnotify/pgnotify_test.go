package pgnotify_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/outbox/pgnotify"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestListen_wakesTheQueue has a queue that looks once an hour.
func TestListen_wakesTheQueue(t *testing.T) {
	t.Parallel()
	dsn := testservers.PostgresSchema(t)
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := db.DB()
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	// The name of the channel is one for the whole database.
	o, err := outbox.New(db, outbox.Config{Notify: true, Table: testservers.Name(t, "outbox_")})
	if err != nil {
		t.Fatal(err)
	}
	l, err := pgnotify.Listen(dsn, o.Channel(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	q, err := o.Queue(t.Context(), outbox.QueueConfig{MinPoll: time.Hour, MaxPoll: time.Hour, Wake: l.Wake()})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for seq := range uint64(20) {
		tx := db.Begin()
		if err := o.WriteTx(ctx, tx.Statement.ConnPool, []event.Record{{LogID: "a", Timestamp: time.Unix(1, 0), Action: event.ActionAdd}}); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit().Error; err != nil {
			t.Fatal(err)
		}
		if messages, err := q.Read(ctx, seq, 10); err != nil || len(messages) != 1 {
			t.Fatalf("%d messages, %v", len(messages), err)
		}
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestListen_wrongAddress(t *testing.T) {
	t.Parallel()
	if _, err := pgnotify.Listen("postgres://u:secret@[bad", "c", nil); !errors.Is(err, pgnotify.ErrAddress) || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}
