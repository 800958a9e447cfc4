package relay_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

// An application in pipeline mode: records go into a spool, the relay sends them. With RabbitMQ, dial is
// rabbit.Dialer(config); here the stream is in memory.
func ExampleStart() {
	dir, err := os.MkdirTemp("", "spool")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	messages := memory.New(memory.Config{})
	dial := func(ctx context.Context, producer string) (stream.Publisher, error) {
		return messages.Publisher(ctx, producer)
	}

	s, err := spool.Open(dir, spool.Config{Service: "shop"}) // audit.Config{Sink: s}
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	service, err := relay.Start(s, dial, relay.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}

	ctx := context.Background()
	record := event.Record{LogID: "1", Timestamp: time.Now(), Action: event.ActionAdd, ObjectType: "customer"}
	if err := s.Write(ctx, []event.Record{record}); err != nil {
		fmt.Println(err)
	}
	if err := service.Shutdown(ctx); err != nil { // waits for the confirms
		fmt.Println(err)
	}
	fmt.Println(len(messages.Messages()), "on the stream,", s.Stats().Pending, "pending")
	// Output: 1 on the stream, 0 pending
}
