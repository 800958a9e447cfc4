package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
)

// long asks for the full counts.
func long() bool { return testservers.Long() }

// modelStream is what a broker makes of what it gets: it takes sequences that rise within a producer name,
// and drops the others without a word.
type modelStream struct {
	highest map[string]uint64
	ids     map[string]int // how often a record was taken, by log_id
	gaps    map[string]event.Gap
	dropped map[string]bool
}

func newModelStream() *modelStream {
	return &modelStream{highest: map[string]uint64{}, ids: map[string]int{}, gaps: map[string]event.Gap{}, dropped: map[string]bool{}}
}

// world is a host with one spool parent, and what was promised on it.
type world struct {
	disk     *memFS
	stream   *modelStream
	promised map[string]bool // Write has returned success
	refused  int             // records of which Write has said that they are not written
	next     int
}

func newWorld() *world {
	return &world{disk: newMemFS(), stream: newModelStream(), promised: map[string]bool{}}
}

func crashConfig() Config {
	c := testConfig()
	c.SegmentBytes, c.MaxBytes, c.Retention, c.BlockTimeout, c.SoftBytes = minSegment, 1<<20, -1, -1, -1
	return c
}

// errDied is the error of everything after the process has died.
var errDied = errors.New("the process is dead")

// dieAfter makes all calls fail from the n-th on.
func dieAfter(n int) func(op, path string) error {
	var mu sync.Mutex
	return func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		if n--; n < 0 {
			return errDied
		}
		return nil
	}
}

// write writes count records in one call. Strangers to the disk are not promised.
func (w *world) write(s *Spool, count, size int) {
	var list []event.Record
	for range count {
		w.next++
		r := testRecords(w.next, w.next)[0]
		r.Reason = strings.Repeat("x", size)
		list = append(list, r)
	}
	err := s.Write(context.Background(), list)
	for _, r := range list {
		if err == nil {
			w.promised[r.LogID] = true
		}
	}
	if err != nil && !errors.Is(err, ErrClosed) {
		w.refused += count
	}
}

// relay sends what is there to the stream, up to limit records, and acknowledges it.
func (w *world) relay(s *Spool, limit int) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only what need not be waited for
	after := s.Acknowledged()
	for limit > 0 {
		messages, err := s.Read(ctx, after, min(limit, 4))
		if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, m := range messages {
			if m.Seq <= after {
				return fmt.Errorf("sequence %d after %d", m.Seq, after)
			}
			after = m.Seq
			if m.Seq <= w.stream.highest[s.Producer()] {
				w.stream.dropped[m.ID] = true
				continue
			}
			w.stream.highest[s.Producer()] = m.Seq
			w.stream.ids[m.ID]++
			r, err := event.Decode(m.Payload)
			if err != nil {
				return err
			}
			if g, ok := event.GapOf(r); ok {
				w.stream.gaps[m.ID] = g
			}
		}
		limit -= len(messages)
		if err := s.Acknowledge(ctx, after); err != nil {
			return err
		}
	}
	return nil
}

// settle opens the spool as the next process would, sends everything and checks what was promised.
func (w *world) settle(t *testing.T) {
	t.Helper()
	s, err := openIn(w.disk, w.disk.name+"/spool", crashConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.relay(s, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	orphans, err := orphansIn(w.disk, w.disk.name+"/spool", crashConfig())
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range orphans {
		if err := w.relay(o, 1<<30); err != nil {
			t.Fatal(err)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for id := range w.promised {
		if w.stream.ids[id] != 1 {
			t.Fatalf("record %s was promised, and the stream took it %d times (dropped as sent before: %t)", id, w.stream.ids[id], w.stream.dropped[id])
		}
	}
	for id, n := range w.stream.ids {
		if _, isGap := w.stream.gaps[id]; n != 1 && !isGap {
			t.Fatalf("the stream took record %s %d times", id, n)
		}
	}
}

// TestPowerLoss_losesNothingThatWasPromised: fault row 28. Each history is a few lives of a process that
// writes, sends, acknowledges and removes segments, each ended by a power loss at any call of the file system.
func TestPowerLoss_losesNothingThatWasPromised(t *testing.T) {
	t.Parallel()
	histories := 2_000
	if long() {
		histories = 50_000
	}
	const workers = 4
	for worker := range workers {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for h := range histories / workers {
				seed := uint64(worker*1_000_000 + h)
				powerLosses(t, seed)
				if t.Failed() {
					t.Fatalf("history with seed %d", seed)
				}
			}
		})
	}
}

func powerLosses(t *testing.T, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 7))
	w := newWorld()
	for range 1 + r.IntN(4) {
		disk := &faultFS{filesystem: w.disk}
		if r.IntN(4) > 0 {
			disk.fail(dieAfter(r.IntN(120)))
		}
		s, err := openIn(disk, w.disk.name+"/spool", crashConfig())
		if err == nil {
			for range r.IntN(12) {
				switch r.IntN(5) {
				case 0, 1, 2:
					w.write(s, 1+r.IntN(3), r.IntN(1500))
				case 3:
					if err := w.relay(s, 1+r.IntN(6)); err != nil && !errors.Is(err, errDied) {
						t.Fatalf("seed %d: %v", seed, err)
					}
				case 4:
					s.poke() // removes what is acknowledged
				}
			}
			if r.IntN(6) == 0 {
				if err := s.Close(); err != nil && !errors.Is(err, errDied) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		} else if !errors.Is(err, errDied) {
			t.Fatalf("seed %d: %v", seed, err)
		}
		crashed := w.disk.crash(r, r.IntN(2) == 0)
		if err == nil {
			disk.fail(dieAfter(0)) // the old process does nothing more
			_ = s.Close()
		}
		w.disk = crashed
	}
	w.settle(t)
}

// TestEveryCall_failsOrKills: fault row 18. A fixed life of a spool is run once for each of its calls of
// the file system and each way to fail there; afterwards everything that was promised is there.
func TestEveryCall_failsOrKills(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(n int) func(op, path string) error{
		"input/output error once":     func(n int) func(string, string) error { return failAt(n, 1, errIO) },
		"input/output error, 5 times": func(n int) func(string, string) error { return failAt(n, 5, errIO) },
		"no space once":               func(n int) func(string, string) error { return failAt(n, 1, errNoSpace) },
		"no descriptors once":         func(n int) func(string, string) error { return failAt(n, 1, errNoDescriptors) },
		"short write":                 func(n int) func(string, string) error { return failAt(n, 1, &shortWriteError{errIO}) },
		"short write, no space":       func(n int) func(string, string) error { return failAt(n, 2, &shortWriteError{errNoSpace}) },
		"killed":                      dieAfter,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			calls := 0
			for n := 0; ; n++ {
				reached := sweepOnce(t, n, fault(n))
				if t.Failed() {
					t.Fatalf("at call %d", n)
				}
				if !reached {
					calls = n
					break
				}
			}
			t.Logf("%d calls", calls)
			if calls < 150 {
				t.Errorf("only %d calls, the life is too short", calls)
			}
		})
	}
}

// failAt makes times calls fail from the n-th on.
func failAt(n, times int, err error) func(op, path string) error {
	var mu sync.Mutex
	return func(string, string) error {
		mu.Lock()
		defer mu.Unlock()
		n--
		if n < 0 && n >= -times {
			return err
		}
		return nil
	}
}

// sweepOnce runs the life with the fault, and reports whether the fault was reached.
func sweepOnce(t *testing.T, n int, fault func(op, path string) error) bool {
	t.Helper()
	w := newWorld()
	// A life before leaves a torn end, and damage in the middle.
	s := openOn(t, w.disk, w.disk.name+"/spool", crashConfig())
	for range 4 {
		w.write(s, 2, 100)
	}
	path := s.segments[0].path
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := readFile(w.disk, path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, w.disk, path, append(data, data[headerSize:headerSize+100]...))

	var mu sync.Mutex
	calls := 0
	disk := &faultFS{filesystem: w.disk}
	disk.fail(func(op, path string) error {
		mu.Lock()
		calls++
		mu.Unlock()
		return fault(op, path)
	})
	for range 2 { // the second life is of a process that was started again
		s, err := openIn(disk, w.disk.name+"/spool", crashConfig())
		if err != nil {
			if !isFault(err) {
				t.Fatalf("open: %v", err)
			}
			continue
		}
		for i := range 6 {
			w.write(s, 1, 900)
			if i%2 == 0 {
				if err := w.relay(s, 5); err != nil && !isFault(err) {
					t.Fatalf("relay: %v", err)
				}
			}
			s.poke()
		}
		if err := s.Close(); err != nil && !isFault(err) {
			t.Fatalf("close: %v", err)
		}
	}
	mu.Lock()
	reached := calls > n
	mu.Unlock()
	w.disk = w.disk.crash(rand.New(rand.NewPCG(uint64(n), 1)), n%2 == 0) // and then the power goes
	w.settle(t)
	return reached
}

func isFault(err error) bool {
	for _, known := range []error{errIO, errNoSpace, errNoDescriptors, errDied} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// What the system says.
var (
	errIO            error = syscall.EIO
	errNoSpace       error = syscall.ENOSPC
	errNoDescriptors error = syscall.EMFILE
)
