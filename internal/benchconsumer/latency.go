package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream/rabbit"
)

// recovery measures a consumer that has been away, and how its memory develops.
func (b *bench) recovery(ctx context.Context, w io.Writer) error {
	r, err := b.rig(ctx, "lag", b.address)
	if err != nil {
		return err
	}
	defer r.close(ctx)
	const part = 20_000
	for n := 0; n < b.lag; n += part {
		payloads := make([][]byte, min(part, b.lag-n))
		for i := range payloads {
			payloads[i] = encoded(n+i, b.begin.Add(time.Duration(n+i)*time.Microsecond))
		}
		if err := r.publish(ctx, payloads); err != nil {
			return err
		}
	}
	var memory []string
	next := 0
	used, err := r.consume(ctx, b.lag, func(stored int) {
		for next < 10 && stored >= (next+1)*b.lag/10 {
			memory = append(memory, fmt.Sprint(resident()))
			next++
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(w, `## A consumer that was away

%d records waited; all were stored after %.1f s, %.0f a second. The memory of the process (RSS, MB; this program with its own records) after each
tenth of them: %s.

`, b.lag, used.wall.Seconds(), used.perSecond(b.lag), strings.Join(memory, ", "))
	return nil
}

// latencies measures the time from the moment at which a record is safe to that at which a search finds it.
func (b *bench) latencies(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, `## From COMMIT to the search

From the call that takes over the record after COMMIT, through spool, relay, stream and consumer, until a search finds it. The index makes new
documents visible once a second (refresh_interval), which is most of it: on the average half a second. %v for each rate.

| records/s | p50 | p99 | largest | samples |
|---|---|---|---|---|
`, b.latency)
	for _, rate := range []int{100, 1000} {
		took, err := b.latenciesAt(ctx, rate)
		if err != nil {
			return err
		}
		slices.Sort(took)
		at := func(share float64) time.Duration {
			return took[min(len(took)-1, int(share*float64(len(took))))].Round(time.Millisecond)
		}
		fmt.Fprintf(w, "| %d | %v | %v | %v | %d |\n", rate, at(0.5), at(0.99), at(1), len(took))
	}
	fmt.Fprintln(w)
	return nil
}

// samples are records that were written and not found yet.
type samples struct {
	mu    sync.Mutex
	begun map[string]time.Time
	took  []time.Duration
}

func (s *samples) waiting() (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.begun {
		ids = append(ids, id)
	}
	return ids
}

func (b *bench) latenciesAt(ctx context.Context, rate int) ([]time.Duration, error) {
	r, err := b.rig(ctx, fmt.Sprintf("latency-%d", rate), b.address)
	if err != nil {
		return nil, err
	}
	defer r.close(ctx)
	folder, err := os.MkdirTemp("", "bench-spool-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	queue, err := spool.Open(folder, spool.Config{Logger: quiet, CommitTimeout: time.Minute})
	if err != nil {
		return nil, err
	}
	defer func() { _ = queue.Close() }()
	carrier, err := relay.Start(queue, rabbit.Dialer(r.config), relay.Config{Logger: quiet})
	if err != nil {
		return nil, err
	}
	defer func() { _ = carrier.Shutdown(ctx) }()
	c, err := r.newConsumer()
	if err != nil {
		return nil, err
	}
	running, cancel := context.WithCancel(ctx)
	var services sync.WaitGroup
	services.Go(func() { _ = c.Run(running) }) // always nil here
	defer services.Wait()
	defer cancel()

	s := &samples{begun: make(map[string]time.Time)}
	looking, stopLooking := context.WithCancel(ctx)
	defer stopLooking()
	services.Go(func() { r.look(looking, s) })
	if err := b.write(ctx, queue, s, rate); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); len(s.waiting()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%d records are never found: %+v", len(s.waiting()), c.Stats())
		}
	}
	stopLooking()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.took, nil
}

// write writes at the rate, and takes some of the records as samples: about twenty a second.
func (b *bench) write(ctx context.Context, queue *spool.Spool, s *samples, rate int) error {
	begin := time.Now()
	const warm = 2 * time.Second // the index is made meanwhile
	for n := 0; time.Since(begin) < warm+b.latency && ctx.Err() == nil; n++ {
		if ahead := time.Duration(n)*time.Second/time.Duration(rate) - time.Since(begin); ahead > 0 {
			time.Sleep(ahead)
		}
		now := time.Now()
		record, err := event.Decode(encoded(n, now))
		if err != nil {
			return err
		}
		record.ProducerID, record.Seq = "", 0
		if n%max(1, rate/20) == 0 && now.Sub(begin) > warm {
			s.mu.Lock()
			s.begun[record.LogID] = now
			s.mu.Unlock()
		}
		if err := queue.Write(ctx, []event.Record{record}); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// look searches for the samples until ctx ends.
func (r *rig) look(ctx context.Context, s *samples) {
	for ctx.Err() == nil {
		ids := s.waiting()
		if len(ids) > store.MaxValues {
			ids = ids[:store.MaxValues]
		}
		if len(ids) == 0 {
			time.Sleep(5 * time.Millisecond)
			continue
		}
		page, err := r.store.Search(ctx, store.Query{Size: store.MaxValues, TotalLimit: -1, Filters: []store.Filter{{Field: store.FieldLogID, Values: ids}}})
		now := time.Now()
		if err == nil {
			s.mu.Lock()
			for _, record := range page.Records {
				s.took = append(s.took, now.Sub(s.begun[record.LogID]))
				delete(s.begun, record.LogID)
			}
			s.mu.Unlock()
		}
		time.Sleep(10 * time.Millisecond)
	}
}
