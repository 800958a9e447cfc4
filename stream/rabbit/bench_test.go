package rabbit_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"
	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
)

// benchRecord is a record of about 1 KB.
func benchRecord(i int) event.Record {
	return event.Record{
		LogID: event.NewID(time.Now()), Timestamp: time.Now(), UserID: "7", Username: "john.doe", FullName: "John Doe",
		Action: event.ActionChange, ObjectType: "customer", ObjectID: fmt.Sprint(i), ObjectRepr: "customer " + fmt.Sprint(i),
		Changes:       []event.Change{{Field: "address", Type: event.TypeString, Old: []byte(`"` + strings.Repeat("a", 250) + `"`), New: []byte(`"` + strings.Repeat("b", 250) + `"`)}},
		ChangedFields: []string{"address"}, IPAddress: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Service: "shop",
	}
}

// BenchmarkSpoolAndRelay compares, in one run and with the same bytes: a raw producer of the client that
// has them in memory ("raw"); the relay emptying a spool that was filled before ("relay", and its
// ratio to raw); and everything from Write by 256 callers to the last confirm ("all").
func BenchmarkSpoolAndRelay(b *testing.B) {
	n := max(b.N, 20_000)
	b.ReportAllocs()
	quiet := slog.New(slog.DiscardHandler)
	payloads := make([][]byte, n)
	records := make([]event.Record, n)
	for i := range records {
		records[i] = benchRecord(i)
		r := records[i]
		r.ProducerID, r.Seq = "audit/01a20f30-f716-7dc0-adcb-dcbf41bce045", uint64(i+1)
		var err error
		if payloads[i], err = event.Encode(r); err != nil {
			b.Fatal(err)
		}
	}
	b.ResetTimer()
	raw := perSecond(n, rawProducer(b, payloads, records))
	fill := func(s *spool.Spool) {
		var next atomic.Int64
		var callers sync.WaitGroup
		for range 256 {
			callers.Go(func() {
				for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
					if err := s.Write(context.Background(), records[i:i+1]); err != nil {
						b.Error(err)
						return
					}
				}
			})
		}
		callers.Wait()
	}
	pipeline := func(before bool) float64 {
		s, err := spool.Open(b.TempDir(), spool.Config{Logger: quiet, MaxBytes: 4 << 30, CommitTimeout: time.Minute})
		if err != nil {
			b.Fatal(err)
		}
		defer s.Close()
		if before {
			fill(s)
		}
		begin := time.Now()
		service, err := relay.Start(s, rabbit.Dialer(rabbittest.Stream(b)), relay.Config{Logger: quiet})
		if err != nil {
			b.Fatal(err)
		}
		if !before {
			fill(s)
		}
		if err := service.Flush(b.Context()); err != nil {
			b.Fatal(err)
		}
		took := time.Since(begin)
		if err := service.Shutdown(b.Context()); err != nil {
			b.Fatal(err)
		}
		return perSecond(n, took)
	}
	drained, all := pipeline(true), pipeline(false)
	b.ReportMetric(raw, "raw/s")
	b.ReportMetric(drained, "relay/s")
	b.ReportMetric(all, "all/s")
	b.ReportMetric(drained/raw, "relay/raw")
	b.ReportMetric(all/raw, "all/raw")
}

func perSecond(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

// rawProducer publishes the payloads with the client itself, and waits for all confirms.
func rawProducer(b *testing.B, payloads [][]byte, records []event.Record) time.Duration {
	b.Helper()
	config := rabbittest.Stream(b)
	env, err := client.NewEnvironment(client.NewEnvironmentOptions().SetUri(testservers.RabbitMQ(b)).SetReadBuffer(0).SetWriteBuffer(0))
	if err != nil {
		b.Fatal(err)
	}
	defer env.Close()
	begin := time.Now()
	producer, err := env.NewProducer(config.Stream, client.NewProducerOptions())
	if err != nil {
		b.Fatal(err)
	}
	done := make(chan struct{})
	confirms := producer.NotifyPublishConfirmation()
	go func() {
		defer close(done)
		for n := 0; n < len(payloads); {
			n += len(<-confirms)
		}
	}()
	for i, payload := range payloads {
		m := amqp.NewMessage(payload)
		m.Properties = &amqp.MessageProperties{MessageID: records[i].LogID, ContentType: event.ContentType}
		m.ApplicationProperties = map[string]any{"schema_version": "1"}
		if err := producer.Send(m); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	took := time.Since(begin)
	go func() { // the client closes only while confirms are taken
		for range confirms {
		}
	}()
	if err := producer.Close(); err != nil {
		b.Error(err)
	}
	return took
}
