package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

var quiet = slog.New(slog.DiscardHandler) //nolint:gochecknoglobals // keeps nothing

// rig is a stream and an index of one measurement.
type rig struct {
	b      *bench
	config rabbit.Config
	prefix string
	store  *opensearch.Store
}

// rig makes a stream and a store at the address, with names of their own.
func (b *bench) rig(ctx context.Context, name, address string) (*rig, error) {
	r := &rig{b: b, config: b.source, prefix: "bench-" + name + "-" + b.suffix}
	r.config.Stream = "bench_" + name + "_" + b.suffix
	if err := rabbit.Declare(ctx, r.config, rabbit.Limits{}); err != nil {
		return nil, err
	}
	var err error
	if r.store, err = opensearch.New(opensearch.Config{Addresses: []string{address}, IndexPrefix: r.prefix, Logger: quiet}); err != nil {
		return nil, err
	}
	return r, nil
}

// close removes all.
func (r *rig) close(ctx context.Context) {
	_ = r.store.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	_ = rabbit.Delete(ctx, r.config)
	for _, index := range []string{r.index(), r.prefix + "-checkpoints"} {
		_, _ = call(ctx, http.MethodDelete, r.b.address+"/"+index, nil)
	}
}

// index is where the records of this run are.
func (r *rig) index() string { return r.prefix + r.b.begin.UTC().Format("-2006.01") }

func call(ctx context.Context, method, address string, body io.Reader) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close() //nolint:errcheck // it was read
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// publish puts records on the stream.
func (r *rig) publish(ctx context.Context, payloads [][]byte) error {
	a, err := rabbit.NewAppender(r.config)
	if err != nil {
		return err
	}
	defer func() { _ = a.Close() }()
	for part := range slices.Chunk(payloads, 2000) {
		messages := make([]stream.Message, len(part))
		for i, p := range part {
			messages[i] = stream.Message{Payload: p, Properties: map[string]string{"schema_version": "1"}}
		}
		if err := a.Append(ctx, messages...); err != nil {
			return err
		}
	}
	return nil
}

// letters refuse: there must be none.
type letters struct{}

func (letters) Append(_ context.Context, messages ...stream.Message) error {
	return fmt.Errorf("%d dead letters: %s", len(messages), messages[0].Properties[consumer.PropertyErrorReason])
}

// newConsumer gives a consumer of the stream.
func (r *rig) newConsumer() (*consumer.Consumer, error) {
	dial := func(ctx context.Context) (consumer.Source, error) {
		s, err := rabbit.NewSource(ctx, r.config, "bench", stream.SourceOptions{})
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	return consumer.New(dial, r.store, letters{}, consumer.Config{Stream: r.config.Stream, Logger: quiet})
}

// consume runs a consumer until so many records are stored. at is called now and then.
func (r *rig) consume(ctx context.Context, n int, at func(stored int)) (used usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	c, err := r.newConsumer()
	if err != nil {
		return used, err
	}
	ended := make(chan error, 1)
	begin := measure()
	go func() { ended <- c.Run(ctx) }()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		s := c.Stats()
		if at != nil {
			at(int(s.Stored))
		}
		if int(s.Stored+s.Duplicates) >= n {
			used = measure().minus(begin)
			cancel()
			return used, <-ended
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return used, fmt.Errorf("consumer stored %d of %d: %w, last error %s", s.Stored, n, ctx.Err(), s.LastError)
		}
	}
}

// usage is time, and time of the processor that this process has used.
type usage struct{ wall, cpu time.Duration }

func measure() usage {
	var r syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return usage{time.Duration(time.Now().UnixNano()), time.Duration(r.Utime.Nano() + r.Stime.Nano())}
}

func (u usage) minus(o usage) usage { return usage{u.wall - o.wall, u.cpu - o.cpu} }

// perSecond gives the rate, cost the time of the processor for one record in µs.
func (u usage) perSecond(n int) float64 { return float64(n) / u.wall.Seconds() }
func (u usage) cost(n int) float64      { return float64(u.cpu.Nanoseconds()) / float64(n) / 1000 }

// resident gives the memory of this process in MB.
func resident() int {
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kb / 1024
		}
	}
	return 0
}

func median(values []float64) float64 {
	values = slices.Sorted(slices.Values(values))
	return values[len(values)/2]
}
