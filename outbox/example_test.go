package outbox_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

// An application whose records wait in its own database. With RabbitMQ, dial is rabbit.Dialer(config); here
// the stream is in memory. The relay may as well be a process of its own: auditlog relay --outbox.
func Example() {
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := gorm.Open(sqlite.Open(filepath.Join(dir, "app.db")+"?_pragma=busy_timeout(5000)&_txlock=immediate"), &gorm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	if raw, err := db.DB(); err == nil {
		defer raw.Close()
	}
	type Customer struct {
		ID   uint
		Name string
	}
	_ = db.AutoMigrate(&Customer{})

	ctx := audit.WithActor(context.Background(), audit.Actor{ID: "7", Username: "john.doe"})
	box, err := outbox.New(db, outbox.Config{Service: "shop"})
	if err != nil {
		fmt.Println(err)
		return
	}
	registry := audit.NewRegistry()
	_ = registry.Register(&Customer{})
	_ = db.Use(audit.New(audit.Config{Registry: registry, TxSink: box, Policy: audit.Continue}))

	messages := memory.New(memory.Config{})
	queue, err := box.Queue(ctx, outbox.QueueConfig{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer queue.Close()
	dial := func(ctx context.Context, producer string) (stream.Publisher, error) {
		return messages.Publisher(ctx, producer)
	}
	service, err := relay.Start(queue, dial, relay.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}

	db.WithContext(ctx).Create(&Customer{Name: "Ada"})
	_ = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
		tx.Create(&Customer{Name: "Nobody"})
		return context.Canceled // rolled back: no record
	})
	if err := service.Shutdown(ctx); err != nil { // waits for the confirms
		fmt.Println(err)
	}
	fmt.Println(len(messages.Messages()), "on the stream")
	// Output: 1 on the stream
}
