package harness

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/gormtrail/audit"
)

// sample is one turn of a variant: the medians and means of its writes.
type sample struct {
	time           time.Duration // of a write, median
	client, server time.Duration // of processors for a write, mean
	allocs, bytes  float64       // of memory for a write
	trips, wired   float64       // round trips and bytes for a write
}

// measure gives the samples of each handle, round by round.
func measure(ctx context.Context, handles []*handle, op operation, rounds, writes int) ([][]sample, error) {
	ctx = withActor(ctx)
	samples := make([][]sample, len(handles))
	for round := -1; round < rounds; round++ { // the first one warms up
		for turn := range handles {
			n := (turn + round + 1) % len(handles)
			s, err := handles[n].turn(ctx, op, writes)
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", op.name, handles[n].variant.Name, err)
			}
			if round >= 0 {
				samples[n] = append(samples[n], s)
			}
		}
	}
	for _, h := range handles {
		if err := h.check(); err != nil {
			return nil, fmt.Errorf("%s: %w", op.name, err)
		}
	}
	return samples, nil
}

func withActor(ctx context.Context) context.Context {
	return audit.WithActor(ctx, audit.Actor{ID: "7", Username: "john.doe", FullName: "John Doe"})
}

// turn makes the writes of one turn.
func (h *handle) turn(ctx context.Context, op operation, writes int) (s sample, err error) {
	db, plain := h.db.WithContext(ctx), h.plain.WithContext(ctx)
	var rows []Customer
	var total usage
	times := make([]time.Duration, writes)
	each := op.rows > 1 // each write needs rows of its own, as it changes all there are
	for i := range writes {
		if i == 0 || each {
			n := 0
			if op.there && each {
				n = op.rows
			} else if op.there {
				n = writes
			}
			if rows, err = prepare(plain, n); err != nil {
				return s, err
			}
		}
		var before usage
		if i == 0 || each {
			before = h.usage()
		}
		began := time.Now()
		err := op.write(db, h.variant.model, rows, i)
		times[i] = time.Since(began)
		if err != nil {
			return s, err
		}
		if each {
			total = total.plus(h.usage().minus(before))
		} else if i == 0 {
			total = before
		}
	}
	if !each {
		total = h.usage().minus(total)
	}
	h.rows += int64(writes * op.rows)
	slices.Sort(times)
	per := float64(writes)
	return sample{
		time: times[len(times)/2], client: total.client / time.Duration(writes), server: total.server / time.Duration(writes),
		allocs: float64(total.allocs) / per, bytes: float64(total.bytes) / per,
		trips: float64(total.trips) / per, wired: float64(total.wired) / per,
	}, nil
}

// usage is what was used up to a moment.
type usage struct {
	client, server time.Duration
	allocs, bytes  uint64
	trips, wired   int64
}

func (h *handle) usage() (u usage) {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) == nil {
		u.client = time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	if h.server != nil {
		u.server = time.Duration(h.server())
	}
	if h.wire != nil {
		u.trips, u.wired = h.wire.trips.Load(), h.wire.bytes.Load()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.allocs, u.bytes = m.Mallocs, m.TotalAlloc
	return u
}

func (u usage) minus(v usage) usage {
	return usage{u.client - v.client, u.server - v.server, u.allocs - v.allocs, u.bytes - v.bytes, u.trips - v.trips, u.wired - v.wired}
}

func (u usage) plus(v usage) usage {
	return usage{u.client + v.client, u.server + v.server, u.allocs + v.allocs, u.bytes + v.bytes, u.trips + v.trips, u.wired + v.wired}
}

// quartiles gives the lower quartile, the median and the upper quartile.
func quartiles(values []float64) (low, middle, high float64) {
	values = slices.Sorted(slices.Values(values))
	n := len(values)
	return values[n/4], values[n/2], values[n*3/4]
}

// handles opens the handles of a section, plain GORM first.
func (s *section) handles(ctx context.Context, resident int) (handles []*handle, err error) {
	defer func() {
		if err != nil {
			for _, h := range handles {
				err = errors.Join(err, h.close(ctx))
			}
		}
	}()
	for _, v := range variants {
		if v.Name != plainGORM && !slices.Contains(s.variants, v.Name) {
			continue
		}
		h, err := openHandle(ctx, s, v, resident)
		if err != nil {
			return handles, err
		}
		handles = append(handles, h)
	}
	return handles, nil
}
