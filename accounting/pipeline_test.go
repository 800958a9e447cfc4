package accounting_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gormtrail/audit/accounting"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// troubled is a store that now and then takes nothing or only a part, and never takes poison.
type troubled struct {
	store *storetest.Memory
	calls atomic.Int64
}

var errTrouble = errors.New("trouble")

func (s *troubled) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	call := s.calls.Add(1)
	if call%5 == 0 {
		return nil, errTrouble
	}
	results := make([]store.Result, len(docs))
	for i, doc := range docs {
		switch {
		case doc.Record.ObjectType == "poison":
			results[i] = store.Result{Status: store.Poison, Err: errTrouble}
		case call%3 == 0 && i%2 == 0:
			results[i] = store.Result{Status: store.Transient, Err: errTrouble}
		default:
			one, err := s.store.Write(ctx, docs[i:i+1])
			if err != nil {
				return nil, err
			}
			results[i] = one[0]
		}
	}
	return results, nil
}

// letters are dead letters in memory, which now and then take nothing.
type letters struct {
	mu    sync.Mutex
	calls int
	ids   map[string]bool
}

func (l *letters) Append(_ context.Context, messages ...stream.Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls++; l.calls%2 == 0 {
		return errTrouble
	}
	for _, m := range messages {
		l.ids[m.ID] = true
	}
	return nil
}

// TestAccounts_duringFaults runs two producers through RabbitMQ and a consumer into a store, disturbs
// everything, and asks for the accounts all the time: each must be balanced, and in the end nothing may
// be pending.
func TestAccounts_duringFaults(t *testing.T) {
	t.Parallel()
	direct := rabbittest.Stream(t)
	through, proxy := rabbittest.Through(t, direct)
	through.ConnectTimeout = 2 * time.Second
	quiet := slog.New(slog.DiscardHandler)
	records := 1500
	if testservers.Long() {
		records = 20_000
	}

	var ledger accounting.Ledger
	to := &troubled{store: storetest.NewMemory()}
	dead := &letters{ids: make(map[string]bool)}
	reader, err := consumer.New(func(ctx context.Context) (consumer.Source, error) {
		s, err := rabbit.NewSource(ctx, through, "group", stream.SourceOptions{})
		if err != nil {
			return nil, err
		}
		return s, nil
	}, ledger.Store(to), ledger.DeadLetters(dead), consumer.Config{
		BatchSize: 50, BatchAge: time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
		CommitInterval: 50 * time.Millisecond, Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = reader.Run(ctx) }) // always nil here
	defer running.Wait()
	defer stop()

	const producers = 2
	queues := make([]func() accounting.Queue, producers)
	services := make([]*relay.Service, producers)
	spools := make([]*spool.Spool, producers)
	for i := range queues {
		s, err := spool.Open(t.TempDir(), spool.Config{Logger: quiet, SegmentBytes: 64 << 10, MaxBytes: 4 << 20, Retention: -1, CommitTimeout: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		service, err := relay.Start(s, rabbit.Dialer(through), relay.Config{
			Logger: quiet, MinPause: time.Millisecond, MaxPause: 10 * time.Millisecond, ConfirmTimeout: 500 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = service.Shutdown(t.Context()) }()
		spools[i], services[i] = s, service
		queues[i] = func() accounting.Queue {
			q := s.Accounting()
			q.ConfirmAge = service.Stats().ConfirmAge
			return q
		}
	}

	scrapes := 0
	often := time.NewTicker(time.Millisecond)
	defer often.Stop()
	scrape := func() (pending uint64) {
		t.Helper()
		<-often.C
		accounts := ledger.Accounts(queues...)
		if len(accounts) != producers {
			t.Fatalf("%d accounts, want %d: %+v", len(accounts), producers, accounts)
		}
		for _, a := range accounts {
			if err := a.Check(); err != nil {
				t.Fatal(err)
			}
			if a.Emitted != a.Indexed+a.Pending+a.DeadLettered+a.Lost || a.Pending != a.InQueue+a.OnStream {
				t.Fatalf("not balanced: %+v", a)
			}
			pending += a.Pending
		}
		scrapes++
		return pending
	}

	var writing sync.WaitGroup
	done := make(chan struct{})
	refused, poison := make([]int, producers), make([]int, producers) // poison: what was not refused
	for i, s := range spools {
		writing.Go(func() {
			for n := range records {
				r := event.Record{
					LogID: fmt.Sprintf("p%d-%d", i, n), Timestamp: time.Unix(1e9, 0), Action: event.ActionAdd, ObjectType: "customer",
					ObjectID: strconv.Itoa(n % 10), UserAgent: strings.Repeat("x", 700),
				}
				if n%100 == 7 {
					r.ObjectType = "poison"
				}
				if n%250 == 9 {
					r.Action = "" // cannot be encoded
				}
				if err := s.Write(ctx, []event.Record{r}); err != nil {
					refused[i]++ // also when the spool is full
				} else if r.ObjectType == "poison" {
					poison[i]++
				}
			}
		})
	}
	go func() {
		defer close(done)
		writing.Wait()
	}()
	faults := []func(){proxy.Cut, func() { proxy.Swallow() }, proxy.Hold, func() { proxy.Swallow(tcpproxy.ToClient) }, proxy.Refuse, func() { proxy.CutAfter(3000) }}
	for over, n := false, 0; !over; n++ {
		// The client (1.8.2) races with itself and hangs if its connection is lost while it is being made.
		for deadline := time.Now().Add(time.Minute); !services[0].Stats().Connected || !services[1].Stats().Connected || reader.Stats().State == consumer.StateConnecting; {
			if scrape(); time.Now().After(deadline) {
				t.Fatalf("not connected: %+v %+v %+v", services[0].Stats(), services[1].Stats(), reader.Stats())
			}
		}
		before := services[0].Stats().Failures + services[1].Stats().Failures
		faults[n%len(faults)]()
		for range 50 {
			scrape()
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
			if scrape(); services[0].Stats().Failures+services[1].Stats().Failures > before {
				break
			}
		}
		proxy.Forward()
		select {
		case <-done:
			over = n >= len(faults)
		default:
		}
	}
	// A busy machine may be slow, but it does not stop.
	deadline := time.Now().Add(2 * time.Minute)
	for least := scrape(); least > 0; {
		if now := scrape(); now < least {
			least, deadline = now, time.Now().Add(2*time.Minute)
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing goes on: %+v, %+v", ledger.Accounts(queues...), reader.Stats())
		}
	}
	for _, service := range services { // records may be stored before their confirm has come
		if err := service.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for i, a := range ledger.Accounts(queues...) {
		want := accounting.Account{Producer: spools[i].Producer(), Emitted: a.Emitted, DeadLettered: uint64(poison[i]), Lost: uint64(refused[i])}
		if a.DeadLettered != want.DeadLettered || a.Lost != want.Lost || a.Producer != want.Producer || a.OldestPending != 0 || a.PendingBytes != 0 || a.ConfirmAge != 0 {
			t.Errorf("got %+v, want %+v", a, want)
		}
	}
	var stored, buried int
	page, err := to.store.Search(t.Context(), store.Query{Size: 1, TotalLimit: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	stored = int(page.Total)
	buried = len(dead.ids)
	var indexed, deadLettered uint64
	for _, d := range ledger.Producers() {
		indexed += d.Indexed
		deadLettered += d.DeadLettered
	}
	if uint64(stored) != indexed || uint64(buried) != deadLettered {
		t.Errorf("%d stored and %d dead letters, the ledger has %d and %d", stored, buried, indexed, deadLettered)
	}
	t.Logf("%d scrapes, %d stored, %d dead letters, %v refused; consumer %+v", scrapes, stored, buried, refused, reader.Stats())
}
