package rabbit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
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

// benchRecords is how many records a round of BenchmarkSpoolAndRelay sends.
const benchRecords = 50_000

// BenchmarkSpoolAndRelay compares, in turns and with the same bytes: a raw producer of the client that has
// them in memory and waits for nothing but the last confirm ("raw"); the relay emptying a spool that was
// filled before ("drain"); and everything, from the spool's Write to the last confirm, by so many callers that each
// write one record at a time and wait until it is synced ("callers=…"), and by one that does not wait ("best-effort").
// It reports the medians of the rates and of the ratios to raw in the same round, and the time of the
// processor that a record takes in this process, of which a busy machine changes less.
func BenchmarkSpoolAndRelay(b *testing.B) {
	in := newBenchInput(b, benchRecords)
	ways := []struct {
		name string
		run  func(b *testing.B) time.Duration
	}{
		{"raw", in.raw},
		{"drain", func(b *testing.B) time.Duration { return in.pipeline(b, 256, true) }},
		{"callers=256", func(b *testing.B) time.Duration { return in.pipeline(b, 256, false) }},
		{"callers=1024", func(b *testing.B) time.Duration { return in.pipeline(b, 1024, false) }},
		{"best-effort", func(b *testing.B) time.Duration { return in.pipeline(b, 0, false) }},
	}
	took, used := make([][]float64, len(ways)), make([][]float64, len(ways))
	for b.Loop() {
		for i, way := range ways {
			before := processorTime(b)
			took[i] = append(took[i], way.run(b).Seconds())
			used[i] = append(used[i], (processorTime(b) - before).Seconds())
		}
	}
	b.ReportMetric(0, "ns/op")
	for i, way := range ways {
		ratios := make([]float64, len(took[i]))
		for round := range ratios {
			ratios[round] = took[0][round] / took[i][round]
		}
		b.ReportMetric(benchRecords/median(took[i]), way.name+"/s")
		b.ReportMetric(1e6*median(used[i])/benchRecords, way.name+"-µs")
		if i > 0 {
			b.ReportMetric(median(ratios), way.name+"/raw")
		}
	}
}

func median(list []float64) float64 {
	list = slices.Clone(list)
	slices.Sort(list)
	return list[len(list)/2]
}

// processorTime is what this process has used so far.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// benchInput are records with their encodings: as capture hands them on, and as they are on the stream.
type benchInput struct {
	records         []event.Record
	encoded, stamps [][]byte
}

func newBenchInput(b *testing.B, n int) *benchInput {
	b.Helper()
	in := &benchInput{records: make([]event.Record, n), encoded: make([][]byte, n), stamps: make([][]byte, n)}
	for i := range in.records {
		in.records[i] = benchRecord(i)
		var err error
		if in.encoded[i], err = event.Encode(in.records[i]); err != nil {
			b.Fatal(err)
		}
		in.stamps[i] = event.Stamp(in.encoded[i], "audit/01a20f30-f716-7dc0-adcb-dcbf41bce045", uint64(i+1))
	}
	return in
}

// pipeline gives how long the spool and its relay take, by so many callers; 0: by one that does not wait.
func (in *benchInput) pipeline(b *testing.B, callers int, before bool) time.Duration {
	b.Helper()
	quiet := slog.New(slog.DiscardHandler)
	s, err := spool.Open(b.TempDir(), spool.Config{Logger: quiet, MaxBytes: 4 << 30, CommitTimeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	config := rabbittest.Stream(b)
	if before {
		in.fill(b, s, callers)
	}
	begin := time.Now()
	service, err := relay.Start(s, rabbit.Dialer(config), relay.Config{Logger: quiet})
	if err != nil {
		b.Fatal(err)
	}
	if !before {
		in.fill(b, s, callers)
	}
	if err := service.Flush(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(begin)
	if err := service.Shutdown(b.Context()); err != nil {
		b.Fatal(err)
	}
	return took
}

// fill writes all records.
func (in *benchInput) fill(b *testing.B, s *spool.Spool, callers int) {
	b.Helper()
	if callers == 0 {
		for i := range in.records {
			for err := s.WriteBestEffort(b.Context(), in.records[i:i+1]); err != nil; err = s.WriteBestEffort(b.Context(), in.records[i:i+1]) {
				if !errors.Is(err, spool.ErrFull) {
					b.Fatal(err)
				}
				if err := s.Flush(b.Context()); err != nil { // as the client waits when it has too many
					b.Fatal(err)
				}
			}
		}
		return
	}
	var next atomic.Int64
	var running sync.WaitGroup
	for range callers {
		running.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(in.records)); i = next.Add(1) - 1 {
				if err := s.WriteEncoded(context.Background(), in.records[i:i+1], in.encoded[i:i+1]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	running.Wait()
}

// raw publishes the records with the client itself, and gives how long it took to the last confirm.
func (in *benchInput) raw(b *testing.B) time.Duration {
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
		for n := 0; n < len(in.stamps); {
			n += len(<-confirms)
		}
	}()
	for i, payload := range in.stamps {
		m := amqp.NewMessage(payload)
		m.Properties = &amqp.MessageProperties{MessageID: in.records[i].LogID, ContentType: event.ContentType}
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
