package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

var _ consumer.Source = stream.Source(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const group = "audit-log-consumer"

var november = time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)

// payload gives the encoding of record number n.
func payload(t testing.TB, n int) []byte {
	t.Helper()
	at := november.Add(time.Duration(n) * time.Millisecond)
	data, err := event.Encode(event.Record{
		LogID: fmt.Sprintf("id-%d", n), Timestamp: at, Action: event.ActionChange,
		ObjectType: "customer", ObjectID: fmt.Sprint(n), ChangeMessage: event.TextMessage(event.TextModified),
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// publish puts payloads on a stream in memory.
func publish(t testing.TB, s *memory.Stream, payloads ...[]byte) {
	t.Helper()
	p, err := s.Publisher(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for i, data := range payloads {
		m := stream.Message{ID: fmt.Sprint("m", i), Seq: uint64(i + 1), Payload: data, Properties: map[string]string{"schema_version": "1"}}
		if err := p.Publish(t.Context(), []stream.Message{m}); err != nil {
			t.Fatal(err)
		}
	}
}

// target is a store in memory that can be told what to answer.
type target struct {
	mu     sync.Mutex
	stored map[string]event.Record
	writes int
	// answer, if it is not nil, may replace the result of a document in write number n, from 1.
	answer func(n int, d store.Doc) (store.Result, bool)
	// fail, if it is not nil, may make write number n fail as a whole.
	fail func(n int) error
}

func (s *target) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writes++
	if s.fail != nil {
		if err := s.fail(s.writes); err != nil {
			return nil, err
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	results := make([]store.Result, len(docs))
	for i, d := range docs {
		if s.answer != nil {
			if r, ok := s.answer(s.writes, d); ok {
				results[i] = r
				continue
			}
		}
		if _, ok := s.stored[d.Record.LogID]; ok {
			results[i].Status = store.Duplicate
			continue
		}
		if s.stored == nil {
			s.stored = make(map[string]event.Record)
		}
		r, err := event.Decode(d.Encoded)
		if err != nil {
			return nil, err
		}
		s.stored[d.Record.LogID] = r
	}
	return results, nil
}

func (s *target) ids() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []string
	for id := range s.stored {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// letterbox keeps dead letters; fail may refuse them.
type letterbox struct {
	mu       sync.Mutex
	messages []stream.Message
	fail     func(n int) error
	calls    int
}

func (b *letterbox) Append(_ context.Context, messages ...stream.Message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.calls++
	if b.fail != nil {
		if err := b.fail(b.calls); err != nil {
			return err
		}
	}
	b.messages = append(b.messages, messages...)
	return nil
}

func (b *letterbox) all() []stream.Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.messages)
}

// bench is a consumer between a stream in memory and a store in memory.
type bench struct {
	stream  *memory.Stream
	store   *target
	letters *letterbox
	config  consumer.Config
}

func newBench() *bench {
	return &bench{
		stream: memory.New(memory.Config{}), store: &target{}, letters: &letterbox{},
		config: consumer.Config{
			MinBackoff: time.Millisecond, MaxBackoff: 5 * time.Millisecond, BatchAge: time.Millisecond, CommitInterval: time.Millisecond,
			Logger: slog.New(slog.DiscardHandler),
		},
	}
}

// start runs a consumer; stop ends it and waits.
func (b *bench) start(t *testing.T) (c *consumer.Consumer, stop func()) {
	t.Helper()
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, b.store, b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	return c, run(t, c)
}

func run(t *testing.T, c *consumer.Consumer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// committed gives the offset that the stream knows, -1 if none.
func (b *bench) committed(t *testing.T) int64 {
	t.Helper()
	s, err := b.stream.Source(t.Context(), group, stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	offset, ok, err := s.Committed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return -1
	}
	return offset
}

func TestRun_storesAll_andCommits(t *testing.T) {
	t.Parallel()
	b := newBench()
	for n := range 250 {
		publish(t, b.stream, payload(t, n))
	}
	b.config.BatchSize = 100
	c, stop := b.start(t)
	await.Until(t, "all are committed", func() bool { return c.Stats().Committed >= 249 })
	if s := c.Stats(); s.State != consumer.StateRunning || s.Received != 250 || s.Stored != 250 || s.LastError != "" {
		t.Errorf("stats: %+v", s)
	}
	stop()
	if s := c.Stats(); s.State != consumer.StateStopped {
		t.Errorf("afterwards: %+v", s)
	}
	if got := b.committed(t); got < 249 {
		t.Errorf("stream knows the offset %d", got)
	}
	r := b.store.stored["id-7"]
	if r.Stream != "audit_logs_stream" || r.StreamOffset != 7 || r.IngestedAt.IsZero() {
		t.Errorf("record says it came from %q at %d, %s", r.Stream, r.StreamOffset, r.IngestedAt)
	}

	// Another run begins where this one has ended.
	publish(t, b.stream, payload(t, 1000))
	c, _ = b.start(t)
	await.Until(t, "the new one is stored", func() bool { return c.Stats().Stored == 1 })
	if s := c.Stats(); s.Received != 1 {
		t.Errorf("read again: %+v", s)
	}
}

func TestRun_garbage_isADeadLetter_andTheNextGoesOn(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.MaxMessageSize = 100_000
	huge := []byte(`{"log_id":"x","timestamp":"2026-11-03T04:05:06Z","action":"ADD","reason":"` + strings.Repeat("x", 100_000) + `"}`)
	garbage := [][]byte{
		[]byte("garbage \xff\x00"),
		{},
		[]byte("null"), []byte("[]"), []byte(`{"log_id":"x"}`), []byte(`{"log_id":"x","timestamp":null,"action":"ADD"}`),
		[]byte(`{"log_id":"x","timestamp":"yesterday","action":"ADD"}`), []byte(`{"log_id":{"a":1},"timestamp":"2026-11-03T04:05:06Z","action":"ADD"}`),
		[]byte(strings.Repeat("[", 50_000)), huge,
	}
	publish(t, b.stream, payload(t, 1))
	publish(t, b.stream, garbage...)
	publish(t, b.stream, payload(t, 2))
	c, stop := b.start(t)
	await.Until(t, "both records are stored", func() bool { return c.Stats().Stored == 2 })
	await.Until(t, "the offset is behind the garbage", func() bool { return c.Stats().Committed >= int64(len(garbage))+1 })
	stop()
	if s := c.Stats(); s.DeadLettered != int64(len(garbage)) || s.Undecodable != s.DeadLettered {
		t.Errorf("stats: %+v", s)
	}
	letters := b.letters.all()
	if len(letters) != len(garbage) {
		t.Fatalf("%d dead letters for %d", len(letters), len(garbage))
	}
	for i, l := range letters {
		if string(l.Payload) != string(garbage[i]) {
			t.Errorf("letter %d has other bytes: %.40q", i, l.Payload)
		}
		if l.ID != fmt.Sprint("m", i) || l.Properties["schema_version"] != "1" || l.Properties["x-error-type"] != "undecodable" ||
			l.Properties["x-error-reason"] == "" || l.Properties["x-source-stream"] != "audit_logs_stream" ||
			l.Properties["x-source-offset"] != fmt.Sprint(i+1) || l.Properties["x-first-failed"] == "" {
			t.Errorf("letter %d: id %q, properties %v", i, l.ID, l.Properties)
		}
	}
}

func TestRun_everyStatus(t *testing.T) {
	t.Parallel()
	boom := errors.New("why")
	for _, c := range []struct {
		name   string
		status store.Status
		letter string // error type of the dead letter; "": comes to the store in the end
	}{
		{"poison", store.Poison, "refused"},
		{"conflict", store.Conflict, "conflict"},
		{"transient", store.Transient, ""},
		{"environment", store.Environment, ""},
		{"a status that is not known yet", store.Status(99), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.store.answer = func(n int, d store.Doc) (store.Result, bool) {
				return store.Result{Status: c.status, Err: boom}, d.Record.LogID == "id-1" && n <= 3
			}
			publish(t, b.stream, payload(t, 0), payload(t, 1), payload(t, 2))
			run, stop := b.start(t)
			await.Until(t, "all is committed", func() bool { return run.Stats().Committed >= 2 })
			stop()
			letters := b.letters.all()
			switch {
			case c.letter == "":
				if got := b.store.ids(); len(got) != 3 || len(letters) != 0 {
					t.Errorf("stored %v, %d letters", got, len(letters))
				}
				if s := run.Stats(); s.Retries != 3 || (s.EnvironmentWaits > 0) != (c.status == store.Environment) {
					t.Errorf("stats: %+v", s)
				}
			case len(letters) != 1 || letters[0].Properties["x-error-type"] != c.letter || letters[0].Properties["x-error-reason"] != "why" ||
				string(letters[0].Payload) != string(payload(t, 1)):
				t.Errorf("letters: %v", letters)
			}
		})
	}
}

// TestRun_storeDown_offsetStays: as long as one document is not stored, nothing behind it is committed,
// and the state says why.
func TestRun_storeDown_offsetStays(t *testing.T) {
	t.Parallel()
	for _, status := range []store.Status{store.Transient, store.Environment} {
		t.Run(status.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench()
			var mu sync.Mutex
			down := true
			b.store.answer = func(_ int, d store.Doc) (store.Result, bool) {
				mu.Lock()
				defer mu.Unlock()
				return store.Result{Status: status, Err: errors.New("disk is full")}, down && d.Record.LogID == "id-1"
			}
			publish(t, b.stream, payload(t, 0), payload(t, 1), payload(t, 2))
			c, stop := b.start(t)
			await.Until(t, "it waits", func() bool { s := c.Stats(); return s.State == consumer.StateWaiting && s.Retries > 5 })
			if s := c.Stats(); s.Committed > 0 || !strings.Contains(s.LastError, "disk is full") || s.DeadLettered != 0 {
				t.Errorf("stats: %+v", s)
			}
			stop()
			if got := b.committed(t); got > 0 {
				t.Errorf("committed %d", got)
			}
			mu.Lock()
			down = false
			mu.Unlock()
			c, _ = b.start(t)
			await.Until(t, "all is committed", func() bool { return c.Stats().Committed >= 2 })
			if got := b.store.ids(); len(got) != 3 {
				t.Errorf("stored %v", got)
			}
			if s := c.Stats(); s.State != consumer.StateRunning || s.LastError != "" {
				t.Errorf("afterwards: %+v", s)
			}
		})
	}
}

func TestRun_writeFails_orPanics_orAnswersShort_isTriedAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		fail func(n int) error
	}{
		{"error", func(n int) error { return map[bool]error{true: errors.New("no route")}[n < 4] }},
		{"panic", func(n int) error {
			if n < 4 {
				panic("bug in the store")
			}
			return nil
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			b.store.fail = c.fail
			publish(t, b.stream, payload(t, 0))
			run, _ := b.start(t)
			await.Until(t, "it is committed", func() bool { return run.Stats().Committed >= 0 })
			if got := b.store.ids(); len(got) != 1 {
				t.Errorf("stored %v", got)
			}
		})
	}
}

func TestRun_deadLettersDown_offsetStays(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.letters.fail = func(n int) error { return map[bool]error{true: errors.New("broker refuses")}[n < 10] }
	publish(t, b.stream, []byte("garbage"), payload(t, 1))
	c, _ := b.start(t)
	await.Until(t, "it waits", func() bool {
		return strings.Contains(c.Stats().LastError, "broker refuses") || c.Stats().DeadLettered == 1
	})
	await.Until(t, "all is committed", func() bool { return c.Stats().Committed >= 1 })
	if n := len(b.letters.all()); n != 1 {
		t.Errorf("%d letters", n)
	}
}

func TestRun_deadLetterTooLarge_isCut(t *testing.T) {
	t.Parallel()
	b := newBench()
	const limit = 50_000
	b.letters.fail = func(int) error { return nil }
	box := &narrow{letterbox: b.letters, limit: limit}
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, b.store, box, b.config)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b.stream, []byte(strings.Repeat("x", limit)), []byte("small"))
	run(t, c)
	await.Until(t, "both are letters", func() bool { return c.Stats().DeadLettered == 2 })
	l := b.letters.all()[0]
	if l.Properties["x-original-size"] != fmt.Sprint(limit) || len(l.Payload) == 0 || l.Properties["x-error-type"] != "undecodable" {
		t.Errorf("letter has %d bytes, %v", len(l.Payload), l.Properties)
	}
}

// narrow takes no message whose payload is larger than limit.
type narrow struct {
	*letterbox
	limit int
}

func (b *narrow) Append(ctx context.Context, messages ...stream.Message) error {
	for i, m := range messages {
		if len(m.Payload)+1000 > b.limit {
			return &stream.TooLargeError{Seq: uint64(i + 1), Size: len(m.Payload), Limit: b.limit}
		}
	}
	return b.letterbox.Append(ctx, messages...)
}

func TestRun_foreignRecord_isStoredAsOurs(t *testing.T) {
	t.Parallel()
	b := newBench()
	publish(t, b.stream, []byte(`{"log_id":"py-1","timestamp":"2026-11-03 04:05:06","user_id":7,"action":"CREATE","object_type":"Customer","import_source":"a.xlsx"}`))
	c, _ := b.start(t)
	await.Until(t, "it is stored", func() bool { return c.Stats().Stored == 1 })
	r := b.store.stored["py-1"]
	if r.Action != event.ActionAdd || r.UserID != "7" || r.Extra["import_source"] != "a.xlsx" || r.SchemaVersion != event.SchemaVersion {
		t.Errorf("got %+v", r)
	}
}

func TestRun_connectionLost_nothingIsLost(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.stream.Refuse(errors.New("connection refused"))
	c, stop := b.start(t)
	await.Until(t, "it says why", func() bool {
		s := c.Stats()
		return s.State == consumer.StateConnecting && strings.Contains(s.LastError, "connection refused")
	})
	b.stream.Refuse(nil)
	for n := range 20 {
		publish(t, b.stream, payload(t, n))
		await.Until(t, "it is stored", func() bool { return len(b.store.ids()) == n+1 })
		b.stream.Disconnect()
	}
	await.Until(t, "it has come back", func() bool { return c.Stats().Reconnects >= 10 })
	stop()
}

func TestRun_removedBeforeRead_raisesAlarm(t *testing.T) {
	t.Parallel()
	b := newBench()
	for n := range 10 {
		publish(t, b.stream, payload(t, n))
	}
	c, stop := b.start(t)
	await.Until(t, "all is committed", func() bool { return c.Stats().Committed >= 9 })
	if s := c.Stats(); s.Gaps != 0 {
		t.Errorf("too early: %+v", s)
	}
	stop()

	for n := range 10 {
		publish(t, b.stream, payload(t, 100+n))
	}
	last := b.stream.Messages()[19].Offset
	b.stream.Truncate(last - 2)
	c, stop = b.start(t)
	await.Until(t, "the rest is stored", func() bool { return c.Stats().Stored == 3 })
	stop()
	// The stream has forgotten the offset with the messages, so all that is known is where it begins.
	if s := c.Stats(); s.Gaps != 1 || s.Missing != last-2 {
		t.Errorf("stats: %+v, want %d missing", s, last-2)
	}
}

// inspected is a source that says of itself what it is told to.
type inspected struct {
	consumer.Source
	committed int64
	bounds    stream.Bounds
}

func (s *inspected) Committed(context.Context) (int64, bool, error) { return s.committed, true, nil }
func (s *inspected) Bounds(context.Context) (stream.Bounds, error)  { return s.bounds, nil }

func TestRun_committedOffsetIsBeforeTheStream_raisesAlarm(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		committed     int64
		bounds        stream.Bounds
		gaps, missing int64
	}{
		{"gap", 9, stream.Bounds{First: 100, Last: 200}, 1, 90},
		{"next", 99, stream.Bounds{First: 100, Last: 200}, 0, 0},
		{"inside", 150, stream.Bounds{First: 100, Last: 200}, 0, 0},
		{"empty", 9, stream.Bounds{First: 100, Empty: true}, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench()
			dial := func(ctx context.Context) (consumer.Source, error) {
				s, err := b.stream.Source(ctx, group, stream.SourceOptions{})
				return &inspected{s, c.committed, c.bounds}, err
			}
			run1, err := consumer.New(dial, b.store, b.letters, b.config)
			if err != nil {
				t.Fatal(err)
			}
			run(t, run1)
			await.Until(t, "it runs", func() bool { return run1.Stats().State == consumer.StateRunning })
			if s := run1.Stats(); s.Gaps != c.gaps || s.Missing != c.missing {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

func TestRun_stop_finishesTheBatch(t *testing.T) {
	t.Parallel()
	b := newBench()
	entered, leave := make(chan struct{}), make(chan struct{})
	b.store.answer = func(n int, _ store.Doc) (store.Result, bool) {
		if n == 1 {
			close(entered)
			<-leave
		}
		return store.Result{}, false
	}
	b.config.CommitInterval = time.Hour
	publish(t, b.stream, payload(t, 0))
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, b.store, b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	<-entered
	cancel()
	close(leave)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got, stored := b.committed(t), b.store.ids(); got != 0 || len(stored) != 1 {
		t.Errorf("committed %d, stored %v", got, stored)
	}
}

func TestRun_stop_doesNotWaitForAStoreThatHangs(t *testing.T) {
	t.Parallel()
	b := newBench()
	entered := make(chan struct{})
	b.config.StopTimeout = 10 * time.Millisecond
	publish(t, b.stream, payload(t, 0))
	dial := func(ctx context.Context) (consumer.Source, error) {
		return b.stream.Source(ctx, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, hanging(entered), b.letters, b.config)
	if err != nil {
		t.Fatal(err)
	}
	stop := run(t, c)
	<-entered
	stop()
	if got := b.committed(t); got != -1 {
		t.Errorf("committed %d", got)
	}
}

// hanging is a store that answers when ctx ends; it says when it was asked first.
type hanging chan struct{}

func (h hanging) Write(ctx context.Context, _ []store.Doc) ([]store.Result, error) {
	close(h)
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestRun_commitsRarely(t *testing.T) {
	t.Parallel()
	b := newBench()
	b.config.CommitInterval = time.Hour
	b.config.BatchSize = 1
	for n := range 50 {
		publish(t, b.stream, payload(t, n))
	}
	c, stop := b.start(t)
	await.Until(t, "all are stored", func() bool { return c.Stats().Offset >= 49 })
	if s := c.Stats(); s.Committed != -1 {
		t.Errorf("committed %d", s.Committed)
	}
	stop()
	if got := b.committed(t); got != 49 {
		t.Errorf("at the end committed %d", got)
	}
}

func TestRun_twice_isAnError(t *testing.T) {
	t.Parallel()
	b := newBench()
	c, _ := b.start(t)
	await.Until(t, "it runs", func() bool { return c.Stats().State == consumer.StateRunning })
	if err := c.Run(t.Context()); err == nil {
		t.Error("no error")
	}
}

func TestNew_namesEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := consumer.New(nil, nil, nil, consumer.Config{
		BatchSize: -1, BatchBytes: -1, BatchAge: -1, MaxMessageSize: -1, CommitInterval: -1, MinBackoff: time.Hour, StopTimeout: -1,
	})
	if !errors.Is(err, consumer.ErrConfig) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{"source", "store", "dead letters", "BatchSize", "BatchBytes", "BatchAge", "MaxMessageSize", "CommitInterval", "MinBackoff", "StopTimeout"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
}
