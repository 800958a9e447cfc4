package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
)

// inFlight is how many bulks the loop sends at the same time: the fastest way into one server on two cores.
const inFlight = 2

// throughput compares the consumer with the loop, and measures it in front of a server that does nothing.
func (b *bench) throughput(ctx context.Context, w io.Writer) error {
	payloads := make([][]byte, b.records)
	for i := range payloads {
		payloads[i] = encoded(i, b.begin.Add(time.Duration(i)*time.Microsecond))
	}
	together, err := b.takeTurns(ctx, "together", payloads)
	if err != nil {
		return err
	}
	undo, err := b.apart(ctx)
	if err != nil {
		return err
	}
	apart, err := b.takeTurns(ctx, "apart", payloads)
	undo()
	if err != nil {
		return err
	}
	address, stop, err := startStub(ctx)
	if err != nil {
		return err
	}
	defer stop()
	var stub, stubCost []float64
	for round := range b.rounds {
		used, err := b.into(ctx, fmt.Sprintf("stub-%d", round), address, payloads)
		if err != nil {
			return err
		}
		stub, stubCost = append(stub, used.perSecond(b.records)), append(stubCost, used.cost(b.records))
	}
	fmt.Fprintf(w, `## Records a second

%d records a round, %d rounds, medians. "Ready bulks" sends bodies that were made before, %d at a time, and reads the statuses; the consumer
reads the stream, decodes, derives what is searched, sends, and commits, from its start to the last record. Where all share the
processors, what the consumer and the broker need is taken from OpenSearch. "Apart" keeps OpenSearch on a processor
of its own and the client off it, as on two machines.

| | records/s | ratio | µs of processor of the client for a record |
|---|---|---|---|
| ready bulks, OpenSearch apart | %.0f | 1 | |
| consumer, OpenSearch apart | %s |
| ready bulks, all on the same processors | %.0f | 1 | |
| consumer, all on the same processors | %s |
| consumer, a server that only counts | %.0f | | %.1f |

`, b.records, b.rounds, inFlight, median(apart.raw), apart, median(together.raw), together, median(stub), median(stubCost))
	return nil
}

// turns are the records a second of the loop and of the consumer, round by round.
type turns struct{ raw, whole, ratio, cost []float64 }

func (t turns) String() string {
	met := "**not met**"
	if median(t.ratio) >= 0.9 {
		met = "met"
	}
	return fmt.Sprintf("%.0f | %.2f, ≥ 0.90 %s | %.1f", median(t.whole), median(t.ratio), met, median(t.cost))
}

// takeTurns measures the loop and the consumer in turns.
func (b *bench) takeTurns(ctx context.Context, name string, payloads [][]byte) (t turns, err error) {
	for round := range b.rounds + 1 { // the first one warms the server up
		loop, err := b.loop(ctx, fmt.Sprintf("%s-%d", name, round), payloads)
		if err != nil {
			return t, err
		}
		used, err := b.into(ctx, fmt.Sprintf("%s-%d", name, round), b.address, payloads)
		if err != nil {
			return t, err
		}
		if round == 0 {
			continue
		}
		t.raw = append(t.raw, loop.perSecond(b.records))
		t.whole = append(t.whole, used.perSecond(b.records))
		t.ratio = append(t.ratio, used.perSecond(b.records)/loop.perSecond(b.records))
		t.cost = append(t.cost, used.cost(b.records))
	}
	return t, nil
}

// into measures a consumer into the server at the address.
func (b *bench) into(ctx context.Context, name, address string, payloads [][]byte) (usage, error) {
	r, err := b.rig(ctx, name, address)
	if err != nil {
		return usage{}, err
	}
	defer r.close(ctx)
	if err := r.publish(ctx, payloads); err != nil {
		return usage{}, err
	}
	return r.consume(ctx, len(payloads), nil)
}

// loop measures the sending of bulks that are ready: those of the same records, as the store makes them.
func (b *bench) loop(ctx context.Context, name string, payloads [][]byte) (usage, error) {
	prefix := fmt.Sprintf("bench-raw-%s-%s", name, b.suffix)
	bodies, err := ready(ctx, prefix, payloads)
	if err != nil {
		return usage{}, err
	}
	real, err := opensearch.New(opensearch.Config{Addresses: []string{b.address}, IndexPrefix: prefix, Logger: quiet})
	if err != nil {
		return usage{}, err
	}
	r := &rig{b: b, prefix: prefix, store: real, config: b.source}
	defer func() { _, _ = call(ctx, http.MethodDelete, b.address+"/"+r.index(), nil) }()
	defer func() { _ = real.Close() }()
	// The index is made with the same mapping, by a record that is none of those.
	doc, err := consumer.Document(stream.Message{Payload: encoded(0, b.begin)}, "bench", b.begin, 0)
	if err != nil {
		return usage{}, err
	}
	if results, err := real.Write(ctx, []store.Doc{doc}); err != nil || results[0].Status != store.Stored {
		return usage{}, fmt.Errorf("make the index: %w %v", err, results)
	}
	work := make(chan []byte, len(bodies))
	for _, body := range bodies {
		work <- body
	}
	close(work)
	errs := make(chan error, inFlight)
	var senders sync.WaitGroup
	begin := measure()
	for range inFlight {
		senders.Go(func() {
			for body := range work {
				status, err := call(ctx, http.MethodPost, b.address+"/_bulk?filter_path=took,errors,items.*.status,items.*.error", bytes.NewReader(body))
				if err != nil || status != http.StatusOK {
					errs <- fmt.Errorf("bulk: %d %w", status, err)
					return
				}
			}
		})
	}
	senders.Wait()
	used := measure().minus(begin)
	select {
	case err := <-errs:
		return used, err
	default:
		return used, nil
	}
}

// ready gives the bodies that the store sends for the records.
func ready(ctx context.Context, prefix string, payloads [][]byte) (bodies [][]byte, err error) {
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path != "/_bulk" {
			if r.Method != http.MethodHead {
				_, _ = io.WriteString(w, `{"x":{"mappings":{"_meta":{"schema_version":1000}}}}`)
			}
			return
		}
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		bodies = append(bodies, body)
		_, _ = io.WriteString(w, `{"items":[`)
		_, _ = w.Write(bytes.TrimSuffix(bytes.Repeat([]byte(`{"create":{"status":201}},`), bytes.Count(body, []byte{'\n'})/2), []byte{','}))
		_, _ = io.WriteString(w, "]}")
	}))
	defer server.Close()
	s, err := opensearch.New(opensearch.Config{Addresses: []string{server.URL}, IndexPrefix: prefix, Logger: quiet})
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.Close() }()
	docs := make([]store.Doc, 0, consumer.DefaultBatchSize)
	flush := func() error {
		_, err := s.Write(ctx, docs)
		docs = docs[:0]
		return err
	}
	for i, payload := range payloads {
		doc, err := consumer.Document(stream.Message{Payload: payload, Offset: int64(i)}, "bench", time.Now(), 0)
		if err != nil {
			return nil, err
		}
		if docs = append(docs, doc); len(docs) == consumer.DefaultBatchSize {
			if err := flush(); err != nil {
				return nil, err
			}
		}
	}
	return bodies, flush()
}
