package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/logbuffer"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// logbook is a log that tests read.
type logbook struct{ logbuffer.Buffer }

func (l *logbook) has(text string) bool { return strings.Contains(l.String(), text) }

// audited is a source that looks at each commit: everything up to it must be stored or buried.
type audited struct {
	consumer.Source

	b    *bench
	t    *testing.T
	seen map[int64]string // log_id or message id by offset, of all that the stream has
}

func (s *audited) Commit(ctx context.Context, offset int64) error {
	buried := make(map[string]bool)
	for _, m := range s.b.letters.all() {
		buried[m.Properties[consumer.PropertySourceOffset]] = true
	}
	s.b.store.mu.Lock()
	for at, id := range s.seen {
		if _, stored := s.b.store.stored[id]; at <= offset && !stored && !buried[fmt.Sprint(at)] {
			s.t.Errorf("offset %d is committed, but %s at %d is nowhere", offset, id, at)
		}
	}
	s.b.store.mu.Unlock()
	return s.Source.Commit(ctx, offset)
}

// jumbled is a store that takes its time, gives any status, or fails.
type jumbled struct {
	*target

	mu     sync.Mutex
	random *rand.Rand
	most   int // writes at the same time that were seen
	now    int
}

func (s *jumbled) dice(n int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.random.IntN(n)
}

func (s *jumbled) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.now--
	}()
	if s.dice(2) == 0 {
		<-time.After(time.Duration(s.dice(2000)) * time.Microsecond)
	}
	switch s.dice(12) {
	case 0:
		return nil, errors.New("no route")
	case 1: // done, but nobody hears of it
		_, _ = s.target.Write(ctx, docs)
		return nil, errors.New("time-out")
	}
	results := make([]store.Result, len(docs))
	for i, d := range docs {
		switch s.dice(40) {
		case 0:
			results[i] = store.Result{Status: store.Transient, Err: errors.New("busy")}
		case 1:
			results[i] = store.Result{Status: store.Poison, Err: errors.New("poison")}
		default:
			one, err := s.target.Write(ctx, []store.Doc{d})
			if err != nil {
				return nil, err
			}
			results[i] = one[0]
		}
	}
	return results, nil
}

// TestRun_anyOrder_offsetIsNeverAhead: batches are written several at a time and end in any order and any
// way, connections are lost, consumers are stopped and started; no commit is ever ahead.
func TestRun_anyOrder_offsetIsNeverAhead(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			const n = 1500
			b := newBench()
			to := &jumbled{target: b.store, random: rand.New(rand.NewPCG(seed, 7))}
			var payloads [][]byte
			ids := make(map[int64]string)
			for i := range n {
				payloads = append(payloads, payload(t, i))
				ids[int64(i)] = fmt.Sprintf("id-%d", i)
				if i%50 == 9 {
					payloads[i] = []byte("garbage")
				}
			}
			publish(t, b.stream, payloads...)
			b.config.BatchSize, b.config.MaxInFlight, b.config.MaxHeld, b.config.BatchAge = 20, 5, 150, time.Microsecond
			lives, running := 0, true
			for running {
				dial := func(ctx context.Context) (consumer.Source, error) {
					s, err := b.stream.Source(ctx, group, stream.SourceOptions{})
					return &audited{s, b, t, ids}, err
				}
				c, err := consumer.New(dial, to, b.letters, b.config)
				if err != nil {
					t.Fatal(err)
				}
				stop := run(t, c)
				goal := int64(150 + to.dice(400))
				await.Until(t, "some are settled", func() bool {
					s := c.Stats()
					if s.Held > 150 {
						t.Errorf("%d messages are held", s.Held)
					}
					if to.dice(20) == 0 {
						b.stream.Disconnect()
					}
					return s.Committed >= n-1 || s.Stored+s.Duplicates+s.DeadLettered >= goal
				})
				stop()
				running = b.committed(t) < n-1
				lives++
			}
			for i := range n {
				if _, ok := b.store.stored[fmt.Sprintf("id-%d", i)]; ok {
					delete(ids, int64(i))
				}
			}
			for _, m := range b.letters.all() {
				var at int64
				if _, err := fmt.Sscan(m.Properties[consumer.PropertySourceOffset], &at); err != nil {
					t.Fatal(err)
				}
				delete(ids, at)
			}
			if len(ids) > 0 {
				t.Errorf("nowhere: %v", ids)
			}
			if to.most < 2 {
				t.Error("never two writes at the same time")
			}
			t.Logf("%d lives, %d writes at the same time", lives, to.most)
		})
	}
}

// TestRun_firstBatchHangs_othersGoOn: the offset waits for the first batch, the others do not.
func TestRun_firstBatchHangs_othersGoOn(t *testing.T) {
	t.Parallel()
	b := newBench()
	leave := make(chan struct{})
	to := &holding{target: b.store, id: "id-3", leave: leave}
	for n := range 100 {
		publish(t, b.stream, payload(t, n))
	}
	b.config.BatchSize = 10
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, to, b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	run(t, c)
	await.Until(t, "all others are stored", func() bool { return c.Stats().Stored == 70 }) // all the room but the first ten
	if s := c.Stats(); s.Offset != -1 || s.Committed != -1 || s.Held != 80 || s.Received != 80 {
		t.Errorf("stats: %+v", s)
	}
	close(leave)
	await.Until(t, "all are committed", func() bool { return c.Stats().Committed >= 99 })
	if s := c.Stats(); s.Held != 0 || s.HeldBytes != 0 {
		t.Errorf("stats: %+v", s)
	}
}

// holding is a store in which the batch with the id waits.
type holding struct {
	*target

	id    string
	leave chan struct{}
}

func (s *holding) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	for _, d := range docs {
		if d.Record.LogID == s.id {
			<-s.leave
		}
	}
	return s.target.Write(ctx, docs)
}

// TestRun_storeDown_memoryIsBounded: as long as nothing is taken, so much is read and no more.
func TestRun_storeDown_memoryIsBounded(t *testing.T) {
	t.Parallel()
	const n = 3000
	size := len(payload(t, 1000))
	for _, c := range []struct {
		name        string
		most, bytes int
		held        func(s consumer.Stats) bool
	}{
		{"messages", 250, 0, func(s consumer.Stats) bool { return s.Held == 250 }},
		{"bytes", 0, 200 * size, func(s consumer.Stats) bool { return s.HeldBytes >= 190*size && s.HeldBytes <= 310*size }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.config.BatchSize, b.config.MaxHeld, b.config.MaxHeldBytes = 100, c.most, c.bytes
			var down atomic.Bool
			down.Store(true)
			b.store.fail = func(int) error { return map[bool]error{true: errors.New("no route")}[down.Load()] }
			for i := range n {
				publish(t, b.stream, payload(t, 1000+i))
			}
			run, _ := b.start(t)
			await.Until(t, "it waits", func() bool {
				s := run.Stats()
				return s.State == consumer.StateWaiting && s.Retries > 300 && c.held(s)
			})
			if s := run.Stats(); s.Received != int64(s.Held) || s.Stored != 0 || s.MaxInFlight != 1 {
				t.Errorf("stats: %+v", s)
			}
			down.Store(false)
			await.Until(t, "all are stored", func() bool { return run.Stats().Committed >= n-1 })
			if s := run.Stats(); s.Held != 0 || s.Stored != n || s.State != consumer.StateRunning {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// TestRun_mostArePoison_isSuspended: a store that refuses everything is not believed.
func TestRun_mostArePoison_isSuspended(t *testing.T) {
	t.Parallel()
	b := newBench()
	var wrong atomic.Bool
	b.store.answer = func(int, store.Doc) (store.Result, bool) {
		return store.Result{Status: store.Poison, Err: errors.New("mapping of secret-value")}, wrong.Load()
	}
	var log logbook
	b.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for n := range 300 {
		publish(t, b.stream, payload(t, n))
	}
	c, stop := b.start(t)
	await.Until(t, "the first are stored", func() bool { return c.Stats().Committed >= 299 })
	wrong.Store(true)
	for n := range 1000 {
		publish(t, b.stream, payload(t, 300+n))
	}
	await.Until(t, "it is suspended", func() bool {
		s := c.Stats()
		return s.State == consumer.StateSuspended && s.EnvironmentWaits == 0 && s.Retries > 5000
	})
	s := c.Stats()
	// Up to half of the window may be buried, before it is clear what is going on.
	if s.DeadLettered == 0 || s.DeadLettered > 120 || !strings.Contains(s.LastError, "of the last") || s.Committed > 299+2+120 {
		t.Errorf("stats: %+v", s)
	}
	if !log.has("suspended, nothing is lost") || log.has("secret-value") {
		t.Errorf("log:\n%s", log.String())
	}
	stop()

	// Another one begins with the same, without the first hundred that would tell it.
	c, stop = b.start(t)
	await.Until(t, "it is suspended as well", func() bool { return c.Stats().State == consumer.StateSuspended })
	if n := c.Stats().DeadLettered; n > 120 {
		t.Errorf("%d dead letters", n)
	}
	wrong.Store(false) // somebody has mended it
	await.Until(t, "all are committed", func() bool { s := c.Stats(); return s.Held == 0 && s.State == consumer.StateRunning })
	somewhere := make(map[string]bool) // what was buried before it was committed may be stored as well
	for _, id := range b.store.ids() {
		somewhere[id] = true
	}
	letters := b.letters.all()
	for _, m := range letters {
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		somewhere[r.LogID] = true
	}
	if len(somewhere) != 1300 || len(letters) > 240 {
		t.Errorf("%d somewhere, %d letters", len(somewhere), len(letters))
	}
	if !log.has("store takes records again") {
		t.Error("it does not say that it goes on")
	}
	stop()
}

func TestRun_mostArePoison_accepted(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.AcceptPoison = time.Hour
	for n := range 500 {
		publish(t, b.stream, []byte(fmt.Sprint("garbage ", n)))
	}
	c, _ := b.start(t)
	await.Until(t, "all are dead letters", func() bool { return c.Stats().DeadLettered == 500 })
	if s := c.Stats(); s.State != consumer.StateRunning {
		t.Errorf("stats: %+v", s)
	}
}

func TestRun_fewerThanHalfArePoison_goesOn(t *testing.T) {
	t.Parallel()
	b := newBench()
	for n := range 500 {
		if n%5 < 2 {
			publish(t, b.stream, []byte("garbage"))
			continue
		}
		publish(t, b.stream, payload(t, n))
	}
	c, _ := b.start(t)
	await.Until(t, "all are settled", func() bool { s := c.Stats(); return s.Stored == 300 && s.DeadLettered == 200 })
}

// reel is a source that gives what it was given, whatever order that has, and then nothing.
type reel struct {
	mu       sync.Mutex
	messages []stream.Message
	commits  []int64
}

func (s *reel) Read(ctx context.Context, limit int) ([]stream.Message, error) {
	s.mu.Lock()
	n := min(limit, len(s.messages))
	got := s.messages[:n]
	s.messages = s.messages[n:]
	s.mu.Unlock()
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return got, nil
}

func (s *reel) Commit(_ context.Context, offset int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commits = append(s.commits, offset)
	return nil
}

func (*reel) Close() error { return nil }

// TestRun_deliveredTenTimes_shuffled: each record is stored once.
func TestRun_deliveredTenTimes_shuffled(t *testing.T) {
	t.Parallel()
	const n = 300
	b := newBench()
	source := &reel{}
	for i := range 10 * n {
		source.messages = append(source.messages, stream.Message{Payload: payload(t, i%n)})
	}
	rand.New(rand.NewPCG(5, 6)).Shuffle(len(source.messages), func(i, j int) {
		source.messages[i], source.messages[j] = source.messages[j], source.messages[i]
	})
	for i := range source.messages {
		source.messages[i].Offset = int64(i)
	}
	b.config.BatchSize = 70
	c, err := consumer.New(func(context.Context) (consumer.Source, error) { return source, nil }, b.store, b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	await.Until(t, "all are settled", func() bool { return c.Stats().Committed == 10*n-1 })
	stop()
	if s := c.Stats(); s.Stored != n || s.Duplicates != 9*n || s.DeadLettered != 0 || len(b.store.ids()) != n {
		t.Errorf("stats: %+v", s)
	}
	for i, offset := range source.commits {
		if i > 0 && offset <= source.commits[i-1] {
			t.Errorf("committed %d after %d", offset, source.commits[i-1])
		}
	}
}

// TestRun_clockJumps: whatever the clock says, records keep their own time, go on and are committed.
func TestRun_clockJumps(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	at := november
	jumps := []time.Time{
		at, at.Add(time.Hour), at.Add(-time.Hour), at.Add(24 * time.Hour), at.Add(-24 * time.Hour),
		time.Date(2038, 1, 19, 3, 14, 8, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), time.Unix(0, 0),
		{},
	}
	var asked atomic.Int64
	b.config.Now = func() time.Time { return jumps[int(asked.Add(1))%len(jumps)] }
	b.config.BatchSize = 10
	c, stop := b.startWith(t, notes)
	for n := range 200 {
		publish(t, b.stream, sent(t, uint64(n+1))...)
	}
	await.Until(t, "all are committed", func() bool { return c.Stats().Stored == 200 && c.Stats().Held == 0 })
	await.Until(t, "the producers know", func() bool { return notes.known().Indexed() == 200 })
	publish(t, b.stream, []byte("garbage"))
	await.Until(t, "it is buried", func() bool { return c.Stats().DeadLettered == 1 })
	stop()
	for n := range 200 {
		if r := b.store.stored[fmt.Sprintf("id-%d", n+1)]; !r.Timestamp.Equal(november.Add(time.Duration(n+1) * time.Millisecond)) {
			t.Fatalf("record %d has the time %s", n+1, r.Timestamp)
		}
	}
	if got := b.committed(t); got < 200 {
		t.Errorf("committed %d", got)
	}
}

// TestRun_behind_saysHowFar: the numbers, and the alarm before retention removes what was not read.
func TestRun_behind_saysHowFar(t *testing.T) {
	t.Parallel()
	b := newBench()
	var log logbook
	b.config.Logger, b.config.LagInterval = slog.New(slog.NewTextHandler(&log, nil)), time.Millisecond
	b.config.Now = func() time.Time { return november.Add(time.Minute) }
	var down atomic.Bool
	b.store.fail = func(int) error { return map[bool]error{true: errors.New("no route")}[down.Load()] }
	for n := range 100 {
		publish(t, b.stream, payload(t, n))
	}
	c, stop := b.start(t)
	await.Until(t, "it is not behind", func() bool { s := c.Stats(); return s.Committed == 99 && s.Lag == 0 && s.LagAge == 0 })
	b.stream.Truncate(10)
	if log.has("more than half") {
		t.Error("too early")
	}
	down.Store(true)
	for n := range 200 {
		publish(t, b.stream, payload(t, 100+n))
	}
	await.Until(t, "it is behind", func() bool { s := c.Stats(); return s.Lag >= 200 && s.Unread > 0.5 })
	if s := c.Stats(); s.LagAge < 59*time.Second || s.LagAge > time.Minute || !s.LastRecord.Equal(november.Add(99*time.Millisecond)) {
		t.Errorf("stats: %+v", s)
	}
	await.Until(t, "the alarm", func() bool { return log.has("more than half of what the stream keeps") })
	if err := c.Ready(100); err == nil {
		t.Error("ready")
	}
	down.Store(false)
	await.Until(t, "it has caught up", func() bool { return c.Stats().Lag == 0 && c.Ready(100) == nil })
	if err := c.Health(); err != nil {
		t.Error(err)
	}
	stop()
}

// alone is a source of a stream with so many replicas.
type alone struct {
	*inspected

	replicas int
}

func (s *alone) Replicas(context.Context) (int, error) { return s.replicas, nil }

func TestRun_oneReplica_isSaidOnce(t *testing.T) {
	t.Parallel()
	for _, replicas := range []int{1, 3} {
		b := newBench()
		var log logbook
		b.config.Logger, b.config.LagInterval = slog.New(slog.NewTextHandler(&log, nil)), time.Millisecond
		dial := func(ctx context.Context) (consumer.Source, error) {
			s, err := b.stream.Source(ctx, group, stream.SourceOptions{})
			return &alone{&inspected{s, 0, stream.Bounds{Last: 9}}, replicas}, err
		}
		c, err := consumer.New(dial, b.store, b.letters, b.config)
		if err != nil {
			t.Fatal(err)
		}
		stop := run(t, c)
		for n := range int64(3) {
			await.Until(t, "it runs and has asked", func() bool {
				s := c.Stats()
				return s.State == consumer.StateRunning && s.Reconnects == n && s.Lag >= 0
			})
			b.stream.Disconnect()
		}
		stop()
		if n := strings.Count(log.String(), "the stream has one replica"); n != map[int]int{1: 1}[replicas] {
			t.Errorf("%d replicas: said %d times", replicas, n)
		}
	}
}

// TestRun_alarms_nameTheCommand: what is missing is said with what sends it again.
func TestRun_alarms_nameTheCommand(t *testing.T) {
	t.Parallel()
	b, notes := newBench(), &book{}
	var log logbook
	b.config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	b.config.Now = func() time.Time { return november.Add(time.Minute) }
	publish(t, b.stream, sent(t, 1, 2, 3)...)
	c, stop := b.startWith(t, notes)
	await.Until(t, "the first are committed", func() bool { return c.Stats().Committed == 2 })
	stop()
	publish(t, b.stream, sent(t, 4, 5, 6, 7)...)
	last := b.stream.Messages()[6].Offset
	b.stream.Truncate(last)
	c, stop = b.startWith(t, notes)
	await.Until(t, "the rest is committed", func() bool { return c.Stats().Committed >= last })
	stop()
	if s := c.Stats(); s.Gaps != 1 || s.Missing != last-3 || s.MissingRecords != 3 {
		t.Errorf("stats: %+v", s)
	}
	for _, want := range []string{
		`messages were removed from the stream before they were read`, `from_offset=3 to_offset=` + fmt.Sprint(last-1),
		`refill="auditlog relay --spool <its spool folder> --refill 2026-11-03T04:05:06Z/2026-11-03T04:06:06Z"`,
		`refill="auditlog relay --spool <its spool folder> --producer p --refill 4-6"`,
	} {
		if !log.has(want) {
			t.Errorf("no %s in\n%s", want, log.String())
		}
	}
}

// gated is a store whose first write of id-1 waits until id-2 has been written.
type gated struct {
	*target

	held  atomic.Bool
	other chan struct{}
}

func (s *gated) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	if docs[0].Record.LogID == "id-1" && s.held.CompareAndSwap(false, true) {
		<-s.other
		return s.target.Write(ctx, docs)
	}
	results, err := s.target.Write(ctx, docs)
	for _, d := range docs {
		if d.Record.LogID == "id-2" {
			close(s.other)
		}
	}
	return results, err
}

// TestRun_sameLogID_theFirstIsStored: several batches are written at a time, and yet a record that comes later
// with the log_id of another one cannot take its place.
func TestRun_sameLogID_theFirstIsStored(t *testing.T) {
	t.Parallel()
	b := newBench()
	to := &gated{target: b.store, other: make(chan struct{})}
	forged := []byte(strings.Replace(string(payload(t, 1)), `"customer"`, `"forged"`, 1))
	publish(t, b.stream, payload(t, 1), forged, payload(t, 2))
	b.config.BatchSize, b.config.MaxInFlight = 1, 3
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, to, b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	await.Until(t, "everything is settled", func() bool { s := c.Stats(); return s.Stored+s.Duplicates == 3 })
	stop()
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	if got := b.store.stored["id-1"].ObjectType; got != "customer" {
		t.Errorf("stored is the one of type %q, want the first, customer", got)
	}
}
