// Command benchconsumer measures the way from the stream into OpenSearch, and prints the ratios as a Markdown
// document.
//
//	go run ./internal/benchconsumer -o docs/benchmarks-pipeline.md
//
// RabbitMQ is the one of RABBITMQ_STREAM_URI, OpenSearch that of OPENSEARCH_URL. What stands below the line
// "<!-- by hand -->" of the document stays as it is.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/bench/report"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream/rabbit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) == 2 && os.Args[1] == stubArgument {
		if err := serveStub(ctx, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "benchconsumer stub:", err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchconsumer:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	records, lag, rounds int
	latency              time.Duration
	out                  string
}

// bench has what all measurements need.
type bench struct {
	options

	source  rabbit.Config // without a stream
	address string
	suffix  string
	begin   time.Time
}

func run(ctx context.Context, args []string) error {
	b := &bench{begin: time.Now()}
	flags := flag.NewFlagSet("benchconsumer", flag.ContinueOnError)
	flags.StringVar(&b.out, "o", "", "file to write the document to, besides standard output")
	flags.IntVar(&b.records, "records", 150_000, "records of one round")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds, taking turns")
	flags.IntVar(&b.lag, "lag", 1_000_000, "records that wait when a consumer starts")
	flags.DurationVar(&b.latency, "latency", 30*time.Second, "how long each of the latencies is measured")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if b.records < 1000 || b.lag < 1000 || b.rounds < 1 || b.latency <= 0 {
		return errors.New("want at least 1000 records, one round, and some time")
	}
	uri, address := os.Getenv("RABBITMQ_STREAM_URI"), os.Getenv("OPENSEARCH_URL")
	if uri == "" || address == "" {
		return errors.New("RABBITMQ_STREAM_URI or OPENSEARCH_URL is not set: run make bench-consumer")
	}
	var err error
	if b.source, err = rabbit.ConfigFromURI(uri); err != nil {
		return err
	}
	b.address, b.suffix = address, fmt.Sprintf("%d", b.begin.UnixNano())
	var document bytes.Buffer
	b.head(ctx, &document)
	for _, measure := range []func(context.Context, io.Writer) error{b.throughput, b.recovery, b.latencies} {
		if err := measure(ctx, &document); err != nil {
			return err
		}
	}
	_, _ = os.Stdout.Write(document.Bytes())
	return report.Write(b.out, document.Bytes())
}

func (b *bench) head(ctx context.Context, w io.Writer) {
	version := "unknown"
	if s, err := opensearch.New(opensearch.Config{Addresses: []string{b.address}}); err == nil {
		if v, err := s.Version(ctx); err == nil {
			version = v.Number
		}
		_ = s.Close()
	}
	fmt.Fprintf(w, `# Benchmarks of the pipeline

The way from the stream into OpenSearch: what the consumer does, beside a loop that does nothing but send bulk bodies which
were made before, to the same server in the same run, taking turns. Compare ratios, never times of different runs.

Made by %s %s; OpenSearch %s; records of about %d bytes.

`, "`make bench-consumer`", report.Made(), version, len(encoded(0, b.begin)))
}

// encoded gives record number n, of about 1 KB.
func encoded(n int, at time.Time) []byte {
	r := event.Record{
		LogID: event.NewID(at), Timestamp: at, UserID: "7", Username: "john.doe", FullName: "John Doe", ActorType: "user",
		Action: event.ActionChange, ObjectType: "customer", ObjectID: fmt.Sprint(n % 5000), ObjectRepr: fmt.Sprintf("customer %d", n%5000),
		ChangeMessage: event.TextMessage(event.TextModified),
		Changes: []event.Change{
			{Field: "status", Type: event.TypeString, Old: []byte(`"PENDING"`), New: []byte(`"APPROVED"`)},
			{Field: "address", Type: event.TypeString, Old: []byte(`"` + strings.Repeat("a ", 60) + `"`), New: []byte(`"` + strings.Repeat("b ", 60) + `"`)},
		},
		ChangedFields: []string{"status", "address"}, IPAddress: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)", Service: "shop",
		RequestID: event.NewID(at), HTTPMethod: "PUT", HTTPRoute: "/customers/:id", TxID: "tx-1", Table: "customers",
	}
	r.ProducerID, r.Seq = "shop/01a20f30-f716-7dc0-adcb-dcbf41bce045", uint64(n+1)
	data, err := event.Encode(r)
	if err != nil {
		panic(err) // cannot be: it has all that a record needs
	}
	return data
}
