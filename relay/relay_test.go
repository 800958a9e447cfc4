package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
)

var (
	_ relay.Queue              = (*spool.Spool)(nil)
	_ relay.Pool[*spool.Spool] = (*spool.Spool)(nil)
	_ audit.Sink               = (*relay.Direct)(nil)
	_ audit.DurableSink        = (*relay.Direct)(nil)
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("RELAY_TEST_CHILD"); dir != "" {
		child(dir)
		return
	}
	code := m.Run()
	if err := rabbittest.Leaks(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

var quiet = slog.New(slog.DiscardHandler)

// fast is a configuration that finds out and tries again at once.
func fast() relay.Config {
	return relay.Config{
		MinPause: time.Millisecond, MaxPause: 10 * time.Millisecond, ConfirmTimeout: 20 * time.Second,
		OrphanInterval: 20 * time.Millisecond, Logger: quiet,
	}
}

func record(id string) event.Record {
	return event.Record{LogID: id, Timestamp: time.Unix(1e9, 0), Action: event.ActionChange, ObjectType: "customer"}
}

func records(from, to int) []event.Record {
	var all []event.Record
	for i := from; i <= to; i++ {
		all = append(all, record(fmt.Sprintf("id-%d", i)))
	}
	return all
}

func openSpool(t testing.TB, dir string) *spool.Spool {
	t.Helper()
	s, err := spool.Open(dir, spool.Config{Logger: quiet, CommitTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func write(t testing.TB, s audit.Sink, records ...event.Record) {
	t.Helper()
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
}

func dial(s *memory.Stream) relay.DialFunc {
	return func(ctx context.Context, name string) (stream.Publisher, error) {
		p, err := s.Publisher(ctx, name)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

func start(t testing.TB, s *spool.Spool, d relay.DialFunc, config relay.Config) *relay.Service {
	t.Helper()
	service, err := relay.Start(s, d, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = service.Shutdown(ctx)
	})
	return service
}

func flush(t testing.TB, s interface {
	Flush(ctx context.Context) error
},
) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := s.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// wantIDs checks that the messages have the ids 1..n, in order.
func wantIDs(t testing.TB, messages []stream.Message, n int) {
	t.Helper()
	for i, m := range messages {
		if want := fmt.Sprintf("id-%d", i+1); m.ID != want {
			t.Fatalf("message %d of %d is %s, want %s", i, len(messages), m.ID, want)
		}
	}
	if len(messages) != n {
		t.Fatalf("%d messages, want %d", len(messages), n)
	}
}

func TestRelay_carriesEverythingInOrder(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	s := openSpool(t, t.TempDir())
	write(t, s, records(1, 10)...)
	service := start(t, s, dial(m), fast())
	write(t, s, records(11, 1000)...)
	flush(t, service)
	messages := m.Messages()
	wantIDs(t, messages, 1000)
	for _, m := range messages {
		r, err := event.Decode(m.Payload)
		if err != nil || r.LogID != m.ID || m.Properties["schema_version"] != "1" {
			t.Fatalf("message %+v: %v", m, err)
		}
	}
	if stats := service.Stats(); !stats.Connected || stats.Sent != 1000 || stats.Confirmed != 1000 || stats.Resent != 0 || stats.Unconfirmed != 0 || stats.ConfirmAge != 0 {
		t.Errorf("%+v", stats)
	}
	if err := service.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if err := service.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestFaultsOfTheStream_loseAndDoubleNothing(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	s := openSpool(t, t.TempDir())
	config := fast()
	config.ConfirmTimeout = 15 * time.Millisecond
	config.Window, config.Batch = 50, 20
	service := start(t, s, dial(m), config)
	const n = 3000
	var faults sync.WaitGroup
	quit := make(chan struct{})
	faults.Go(func() {
		for {
			switch rand.IntN(5) {
			case 0:
				m.Disconnect()
			case 4:
				m.Swallow(true)
			case 1:
				m.HoldConfirms(true)
			case 2:
				m.Refuse(errors.New("refused"))
				m.Disconnect()
			case 3:
				m.Swallow(false)
				m.HoldConfirms(false)
				m.Refuse(nil)
			}
			pause := time.NewTimer(rand.N(8 * time.Millisecond))
			select {
			case <-pause.C:
			case <-quit:
				pause.Stop()
				return
			}
		}
	})
	for i := 1; i <= n; i += 5 {
		write(t, s, records(i, i+4)...)
	}
	close(quit)
	faults.Wait()
	m.Swallow(false)
	m.HoldConfirms(false)
	m.Refuse(nil)
	flush(t, service)
	wantIDs(t, m.Messages(), n)
	stats := service.Stats()
	if stats.Failures == 0 || stats.Confirmed != n {
		t.Errorf("%+v", stats)
	}
	t.Logf("%d connections, %d failures, %d records sent, %d of them again", stats.Connections, stats.Failures, stats.Sent, stats.Resent)
}

func TestNoConfirm_isFoundByTheWatchdog(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	m.HoldConfirms(true)
	s := openSpool(t, t.TempDir())
	config := fast()
	config.ConfirmTimeout = 10 * time.Millisecond
	service := start(t, s, dial(m), config)
	write(t, s, records(1, 3)...)
	await.Until(t, "the watchdog", func() bool {
		stats := service.Stats()
		return errors.Is(stats.LastError, relay.ErrNoConfirm) && stats.Connections > 1
	})
	if s.Acknowledged() != 0 {
		t.Errorf("acknowledged %d without a confirm", s.Acknowledged())
	}
	m.HoldConfirms(false)
	flush(t, service)
	wantIDs(t, m.Messages(), 3)
}

func TestAcknowledge_onlyWhatIsConfirmed(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	s := openSpool(t, t.TempDir())
	service := start(t, s, dial(m), fast())
	m.HoldConfirms(true)
	write(t, s, records(1, 3)...)
	await.Until(t, "3 unconfirmed", func() bool { return service.Stats().Unconfirmed == 3 })
	m.Swallow(true)
	write(t, s, records(4, 8)...)
	await.Until(t, "8 unconfirmed", func() bool { return service.Stats().Unconfirmed == 8 })
	if s.Acknowledged() != 0 || service.Stats().ConfirmAge <= 0 {
		t.Errorf("acknowledged %d without a confirm: %+v", s.Acknowledged(), service.Stats())
	}
	m.HoldConfirms(false)
	await.Until(t, "a confirm", func() bool { return s.Acknowledged() > 0 })
	if got := s.Acknowledged(); got != 3 || service.Stats().Confirmed != 3 {
		t.Errorf("acknowledged %d, but 3 are confirmed: %+v", got, service.Stats())
	}
	m.Swallow(false)
	m.Disconnect()
	flush(t, service)
	wantIDs(t, m.Messages(), 8)
}

func TestTooLarge_isPutAside(t *testing.T) {
	t.Parallel()
	for name, large := range map[string]map[int]bool{
		"first": {1: true}, "middle": {4: true, 5: true}, "last": {10: true}, "all": {1: true, 2: true, 3: true, 4: true, 5: true, 6: true, 7: true, 8: true, 9: true, 10: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := memory.New(memory.Config{MaxMessage: 1500})
			s := openSpool(t, t.TempDir())
			all := records(1, 10)
			var want []string
			for i := range all {
				if large[i+1] {
					all[i].Reason = strings.Repeat("x", 2000)
					continue
				}
				want = append(want, all[i].LogID)
			}
			write(t, s, all...)
			service := start(t, s, dial(m), fast())
			flush(t, service)
			await.Until(t, "gap records", func() bool { return s.Stats().Gaps == uint64(len(large)) })
			flush(t, service)
			var got []string
			for _, m := range m.Messages() {
				if r, err := event.Decode(m.Payload); err != nil {
					t.Error(err)
				} else if _, isGap := event.GapOf(r); !isGap {
					got = append(got, m.ID)
				}
			}
			if strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("got %v, want %v", got, want)
			}
			files, _ := filepath.Glob(filepath.Join(s.Folder(), "quarantine", "*.json"))
			if len(files) != len(large) || service.Stats().Quarantined != uint64(len(large)) || s.Stats().Quarantined != uint64(len(large)) {
				t.Errorf("%d files in quarantine, want %d: %+v", len(files), len(large), service.Stats())
			}
		})
	}
}

func TestStreamAbsentAtStart(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	// An error that is io.EOF must not be taken for the end of the queue.
	m.Refuse(fmt.Errorf("connection closed: %w", io.EOF))
	s := openSpool(t, t.TempDir())
	service := start(t, s, dial(m), fast())
	write(t, s, records(1, 3)...)
	await.Until(t, "failures", func() bool { return service.Stats().Failures > 3 })
	if stats := service.Stats(); stats.Connected || stats.LastError == nil || stats.LastErrorTime.IsZero() {
		t.Errorf("%+v", stats)
	}
	m.Refuse(nil)
	flush(t, service)
	wantIDs(t, m.Messages(), 3)
}

func TestShutdown_saysWhatStays_andItIsSentLater(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	dir := t.TempDir()
	s := openSpool(t, dir)
	service := start(t, s, dial(m), fast())
	write(t, s, records(1, 3)...)
	flush(t, service)
	m.Refuse(errors.New("down"))
	m.Disconnect()
	write(t, s, records(4, 8)...)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err := service.Shutdown(ctx)
	var pending *relay.PendingError
	if !errors.As(err, &pending) || pending.Pending != 5 || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("got %v, want 5 pending", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	m.Refuse(nil)
	s = openSpool(t, dir)
	service = start(t, s, dial(m), fast())
	if err := service.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, m.Messages(), 8)
}

// leave makes a folder as a process leaves it that has ended.
func leave(t *testing.T, dir string, records ...event.Record) string {
	t.Helper()
	elsewhere := t.TempDir()
	s := openSpool(t, elsewhere)
	write(t, s, records...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.Folder(), filepath.Join(dir, filepath.Base(s.Folder()))); err != nil {
		t.Fatal(err)
	}
	return s.Producer()
}

func TestStart_sendsWhatOthersHaveLeft(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	dir := t.TempDir()
	s := openSpool(t, dir)
	var mu sync.Mutex
	names := make(map[string]bool)
	inner := dial(m)
	service := start(t, s, func(ctx context.Context, name string) (stream.Publisher, error) {
		mu.Lock()
		names[name] = true
		mu.Unlock()
		return inner(ctx, name)
	}, fast())
	producers := []string{leave(t, dir, records(1, 3)...), leave(t, dir, records(4, 6)...)}
	await.Until(t, "the orphans", func() bool { return service.Orphans() == 2 })
	write(t, s, records(7, 8)...)
	flush(t, service)
	seen := make(map[string]int)
	for _, m := range m.Messages() {
		seen[m.ID]++
	}
	if len(seen) != 8 || len(m.Messages()) != 8 {
		t.Errorf("got %v, want each of 8 records once", seen)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, producer := range append(producers, s.Producer()) {
		if !names[producer] {
			t.Errorf("no publisher was named %s: %v", producer, names)
		}
	}
}

func TestRunOrphans(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	dir := t.TempDir()
	running := openSpool(t, dir) // of a running process: not touched
	write(t, running, records(100, 100)...)
	leave(t, dir, records(1, 3)...)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- relay.RunOrphans(ctx, func() ([]*spool.Spool, error) {
			return spool.Orphans(dir, spool.Config{Logger: quiet})
		}, dial(m), fast())
	}()
	await.Until(t, "the orphan", func() bool { return len(m.Messages()) == 3 })
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	wantIDs(t, m.Messages(), 3)
}

func TestDirect(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	m.Refuse(errors.New("down"))
	d, err := relay.NewDirect(dial(m), relay.DirectConfig{Relay: fast(), MaxRecords: 10})
	if err != nil {
		t.Fatal(err)
	}
	if d.Durable() {
		t.Error("memory is not durable")
	}
	write(t, d, records(1, 8)...)
	if err := d.Write(t.Context(), records(9, 11)); !errors.Is(err, relay.ErrQueueFull) {
		t.Errorf("full: got %v, want relay.ErrQueueFull", err)
	}
	write(t, d, records(9, 10)...)
	if err := d.Write(t.Context(), []event.Record{record("")}); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("not encodable: got %v, want event.ErrInvalid", err)
	}
	if stats := d.Stats(); stats.Pending != 10 || stats.Written != 10 || stats.Dropped != 4 || stats.PendingBytes == 0 {
		t.Errorf("%+v", stats)
	}
	m.Refuse(nil)
	flush(t, d)
	write(t, d, records(11, 12)...)
	if err := d.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), records(13, 13)); !errors.Is(err, relay.ErrShutdown) {
		t.Errorf("after Shutdown: got %v, want relay.ErrShutdown", err)
	}
	messages := m.Messages()
	wantIDs(t, messages, 12)
	for i, m := range messages {
		if r, err := event.Decode(m.Payload); err != nil || r.Seq != uint64(i+1) || r.ProducerID == "" {
			t.Errorf("record %d: %+v, %v", i+1, r, err)
		}
	}
	if stats := d.Stats(); stats.Pending != 0 || stats.PendingBytes != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestDirect_shutdownWithoutStream_saysWhatIsLost(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	m.Refuse(errors.New("down"))
	d, err := relay.NewDirect(dial(m), relay.DirectConfig{Relay: fast()})
	if err != nil {
		t.Fatal(err)
	}
	write(t, d, records(1, 4)...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	var pending *relay.PendingError
	if err := d.Shutdown(ctx); !errors.As(err, &pending) || pending.Pending != 4 {
		t.Errorf("got %v, want 4 pending", err)
	}
}

func TestDirect_concurrentSafe(t *testing.T) {
	t.Parallel()
	m := memory.New(memory.Config{})
	d, err := relay.NewDirect(dial(m), relay.DirectConfig{Relay: fast()})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := d.Write(t.Context(), records(1, 2)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := d.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(m.Messages()); got != 800 {
		t.Errorf("%d messages, want 800", got)
	}
}

func TestNew_wrongConfig(t *testing.T) {
	t.Parallel()
	_, err := relay.New(nil, nil, relay.Config{Window: 20_000, WindowBytes: -1, Batch: -1, ConfirmTimeout: -1, MinPause: 2, MaxPause: 1, OrphanInterval: -1})
	for _, field := range []string{"Window", "WindowBytes", "Batch", "ConfirmTimeout", "MinPause", "OrphanInterval"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+field) {
			t.Errorf("%v does not name %s", err, field)
		}
	}
	if _, err := relay.NewDirect(nil, relay.DirectConfig{MaxRecords: -1, MaxBytes: -1, Relay: relay.Config{Batch: -1}}); err == nil ||
		!strings.Contains(err.Error(), "MaxRecords") || !strings.Contains(err.Error(), "MaxBytes") || !strings.Contains(err.Error(), "Batch") {
		t.Errorf("NewDirect: %v", err)
	}
}
