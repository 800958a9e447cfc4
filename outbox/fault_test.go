package outbox_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/memory"
	"github.com/gormtrail/audit/stream/rabbit"
)

func dial(s *memory.Stream) relay.DialFunc {
	return func(ctx context.Context, name string) (stream.Publisher, error) {
		p, err := s.Publisher(ctx, name)
		if err != nil {
			return nil, err
		}
		return p, nil
	}
}

func quick() relay.Config {
	return relay.Config{MinPause: time.Millisecond, MaxPause: 20 * time.Millisecond, ConfirmTimeout: 20 * time.Second, Logger: quiet}
}

func startRelay(t testing.TB, q *outbox.Queue, to relay.DialFunc) *relay.Service {
	t.Helper()
	service, err := relay.Start(q, to, quick())
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

// drained waits until everything that is in the outbox now is confirmed.
func drained(t testing.TB, o *outbox.Outbox) {
	t.Helper()
	await.Until(t, "the outbox to be empty", func() bool {
		s, err := o.Stats(t.Context())
		return err == nil && s.Pending == 0
	})
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

func TestStreamDown_holdsUpNobody_andIsSeen(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		db := d.connect(t, d.address(t))
		start := time.Now()
		var later atomic.Int64
		o := newOutbox(t, db, outbox.Config{Now: func() time.Time { return start.Add(time.Duration(later.Load())) }})
		m := memory.New(memory.Config{})
		m.Refuse(errors.New("down"))
		service := startRelay(t, openQueue(t, o, fast()), dial(m))
		for i := 1; i <= 100; i++ {
			write(t, db, o, records(i, i)...)
		}
		await.Until(t, "failures", func() bool { return service.Stats().Failures > 2 })
		later.Store(int64(time.Hour))
		if s := stats(t, o); s.Pending != 100 || s.PendingBytes < 10_000 || s.OldestPending < time.Hour-time.Second || s.OldestPending > time.Hour+time.Second {
			t.Errorf("%+v", s)
		}
		m.Refuse(nil)
		await.Until(t, "all to be confirmed, and that to be saved", func() bool { later.Add(int64(time.Minute)); return stats(t, o).Acknowledged == 100 })
		wantIDs(t, m.Messages(), 100)
		if s := stats(t, o); s.OldestPending != 0 || s.PendingBytes != 0 || s.Acknowledged != 100 || s.Last != 100 {
			t.Errorf("%+v", s)
		}
		await.Until(t, "the confirmed rows to go", func() bool { later.Add(int64(time.Minute)); return stats(t, o).Kept == 0 })
	})
}

// TestTwoRelays has two, and takes the lock from the active one again and again.
func TestTwoRelays(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		address := d.address(t)
		db := d.connect(t, address)
		m := memory.New(memory.Config{})
		o := newOutbox(t, db, outbox.Config{})
		open := func() (*outbox.Queue, *relay.Service) {
			other := newOutbox(t, d.connect(t, address), outbox.Config{SkipMigrate: true})
			q := openQueue(t, other, fast())
			return q, startRelay(t, q, dial(m))
		}
		first, firstRelay := open()
		await.Until(t, "the first", func() bool { return first.Stats().Active })
		second, _ := open()
		next := 1
		some := func(n int) {
			for range n {
				write(t, db, o, records(next, next+2)...)
				next += 3
			}
		}
		some(20)
		drained(t, o)
		if second.Stats().Active || second.Stats().Takeovers != 0 {
			t.Errorf("both are active: %+v and %+v", first.Stats(), second.Stats())
		}
		takeovers := func() uint64 { return first.Stats().Takeovers + second.Stats().Takeovers }
		for range count(3, 20) {
			before := takeovers()
			some(5)
			if !takeLock(t, db, d.name, o) {
				break
			}
			some(5)
			await.Until(t, "a takeover", func() bool { return takeovers() > before })
		}
		// The active one ends as it should; what is claimed and not confirmed is the other's.
		if first.Stats().Active {
			m.HoldConfirms(true)
			some(5)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_ = firstRelay.Shutdown(ctx) // says what is pending
			if err := first.Close(); err != nil {
				t.Error(err)
			}
			m.HoldConfirms(false)
			await.Until(t, "the second", func() bool { return second.Stats().Active })
		}
		some(20)
		drained(t, o)
		wantIDs(t, m.Messages(), next-1)
		if a, b := first.Stats(), second.Stats(); a.Lost+b.Lost+a.Damaged+b.Damaged != 0 {
			t.Errorf("%+v and %+v", a, b)
		}
	})
}

// takeLock ends the connection that has the lock, as a failure of the network does; false where the lock is
// a file.
func takeLock(t *testing.T, db *gorm.DB, kind string, o *outbox.Outbox) bool {
	t.Helper()
	switch kind {
	case "postgres":
		// Databases are shared by tests: only ours is asked for.
		err := db.Exec("SELECT pg_terminate_backend(l.pid) FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND (l.classid::bigint << 32) + l.objid::bigint = hashtextextended(?, 0)", "audit outbox "+o.Table()).Error
		if err != nil {
			t.Fatal(err)
		}
		return true
	case "sqlite":
		return false
	}
	var ids []int64
	if err := db.Raw("SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()").Scan(&ids).Error; err != nil {
		t.Fatal(err)
	}
	for _, id := range ids { // all others of this test's database: the lock's is among them
		_ = db.Exec("KILL " + strconv.FormatInt(id, 10)).Error // it may have gone by itself
	}
	return true
}

// TestZombie_doesNoHarm has a queue that goes on although it has lost its lock, and acknowledges late.
func TestZombie_doesNoHarm(t *testing.T) {
	t.Parallel()
	d := kinds()[1]
	address := d.address(t)
	db := d.connect(t, address)
	o := newOutbox(t, db, outbox.Config{})
	zombie, err := newOutbox(t, d.connect(t, address), outbox.Config{}).Queue(t.Context(), fast())
	if err != nil {
		t.Fatal(err)
	}
	defer zombie.Close() // says that its connection is gone
	heir := openQueue(t, newOutbox(t, d.connect(t, address), outbox.Config{}), fast())
	m := memory.New(memory.Config{})
	publish := func(q *outbox.Queue, after uint64, limit int) uint64 {
		t.Helper()
		p, err := m.Publisher(t.Context(), q.Producer())
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		messages, err := q.Read(t.Context(), after, limit)
		if err == nil {
			err = p.Publish(t.Context(), messages)
		}
		if err != nil {
			t.Fatal(err)
		}
		return <-p.Confirmed()
	}
	write(t, db, o, records(1, 30)...)
	if got := publish(zombie, 0, 10); got != 10 { // it has read 30
		t.Fatalf("confirmed %d", got)
	}
	takeLock(t, db, d.name, o)
	write(t, db, o, records(31, 40)...)
	if got := publish(heir, 0, 40); got != 30 { // claims 31 to 40 only when 30 are read
		t.Fatalf("confirmed %d", got)
	}
	publish(heir, 30, 40)
	publish(zombie, 10, 10) // from its memory
	publish(zombie, 20, 10)
	if err := zombie.Acknowledge(t.Context(), 30); err != nil {
		t.Error(err)
	}
	if err := heir.Acknowledge(t.Context(), 40); err != nil {
		t.Error(err)
	}
	wantIDs(t, m.Messages(), 40)
}

// child relays until it is killed.
func child() {
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	var d database
	for _, k := range kinds() {
		if k.name == os.Getenv("OUTBOX_TEST_CHILD") {
			d = k
		}
	}
	db, err := gorm.Open(d.open(os.Getenv("OUTBOX_TEST_DATABASE")), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		fail(err)
	}
	config, err := rabbit.ConfigFromURI(os.Getenv("RABBITMQ_STREAM_URI"))
	if err != nil {
		fail(err)
	}
	config.Stream = os.Getenv("OUTBOX_TEST_STREAM")
	o, err := outbox.New(db, outbox.Config{SkipMigrate: true, Logger: quiet})
	if err != nil {
		fail(err)
	}
	q, err := o.Queue(context.Background(), fast())
	if err != nil {
		fail(err)
	}
	service, err := relay.Start(q, rabbit.Dialer(config), quick())
	if err != nil {
		fail(err)
	}
	for tick := time.NewTicker(time.Millisecond); ; <-tick.C {
		if _, err := fmt.Println("confirmed", service.Stats().Confirmed); err != nil {
			return // the test has ended
		}
	}
}

// TestKilledRelay_losesAndDoublesNothing kills the process of the relay at random points while the application writes.
func TestKilledRelay_losesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	eachDatabase(t, func(t *testing.T, d database) {
		address := d.address(t)
		db := d.connect(t, address)
		o := newOutbox(t, db, outbox.Config{})
		config := rabbittest.Stream(t)
		ctx, stop := context.WithCancel(t.Context())
		written := make(chan int, 1)
		go func() {
			n := 0
			for ctx.Err() == nil {
				err := db.Transaction(func(tx *gorm.DB) error { return o.WriteTx(ctx, tx.Statement.ConnPool, records(n+1, n+3)) })
				if err == nil {
					n += 3
				} else if ctx.Err() == nil {
					t.Error(err)
					break
				}
			}
			written <- n
		}()
		kills := count(4, 30)
		for kill := range kills {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "OUTBOX_TEST_CHILD="+d.name, "OUTBOX_TEST_DATABASE="+address, "OUTBOX_TEST_STREAM="+config.Stream, "RABBITMQ_STREAM_URI="+testservers.RabbitMQ(t))
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			for lines := bufio.NewScanner(out); lines.Scan(); {
				word, value, _ := strings.Cut(lines.Text(), " ")
				if word != "confirmed" {
					t.Errorf("child: %s", lines.Text())
					break
				}
				if confirmed, _ := strconv.Atoi(value); confirmed > 37*(kill+1)%200 {
					_ = cmd.Process.Kill()
				}
			}
			_ = cmd.Wait() // it was killed
		}
		stop()
		n := <-written
		service := startRelay(t, openQueue(t, o, fast()), rabbit.Dialer(config))
		drained(t, o)
		messages := rabbittest.Messages(t, config)
		// The last transaction may have been cancelled after its COMMIT.
		if len(messages) != n && len(messages) != n+3 {
			t.Errorf("%d messages, want %d", len(messages), n)
		}
		wantIDs(t, messages, len(messages))
		for i, m := range messages {
			if r, err := event.Decode(m.Payload); err != nil || r.Seq != uint64(i+1) {
				t.Fatalf("message %d has the sequence %d (%v)", i+1, r.Seq, err)
			}
		}
		t.Logf("%d kills, %d records, %d sent again by the last process", kills, len(messages), service.Stats().Resent)
	})
}

// TestPostgreSQL_killed kills a server of its own in the middle.
func TestPostgreSQL_killed(t *testing.T) {
	t.Parallel()
	server := testservers.Own(t, "postgres")
	d := kinds()[1]
	db := d.connect(t, server.Env("POSTGRES_DSN")+" synchronous_commit=on") // the server's setting is off
	o := newOutbox(t, db, outbox.Config{})
	m := memory.New(memory.Config{})
	q := openQueue(t, o, fast())
	service := startRelay(t, q, dial(m))
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	type outcome struct{ sure, attempted map[string]bool }
	ended := make(chan outcome, 1)
	var commits atomic.Int64
	go func() {
		w := outcome{make(map[string]bool), make(map[string]bool)}
		for i := 0; ctx.Err() == nil; i++ {
			id := fmt.Sprintf("id-%d", i)
			w.attempted[id] = true
			err := db.Transaction(func(tx *gorm.DB) error {
				return o.WriteTx(context.Background(), tx.Statement.ConnPool, []event.Record{record(id)})
			})
			if err == nil {
				w.sure[id] = true
				commits.Add(1)
			}
		}
		ended <- w
	}()
	for range count(2, 10) {
		before, confirmed := commits.Load(), service.Stats().Confirmed
		await.Until(t, "commits and confirms", func() bool { return commits.Load() > before+50 && service.Stats().Confirmed > confirmed+50 })
		server.Kill("postgres")
		server.Start("postgres")
	}
	before := commits.Load()
	await.Until(t, "commits", func() bool { return commits.Load() > before+50 })
	stop()
	w := <-ended
	drained(t, o)
	seen := make(map[string]bool)
	for _, m := range m.Messages() {
		if seen[m.ID] || !w.attempted[m.ID] {
			t.Errorf("record %s came twice, or from nowhere", m.ID)
		}
		seen[m.ID] = true
	}
	for id := range w.sure {
		if !seen[id] {
			t.Errorf("record %s was committed, and is not on the stream", id)
		}
	}
	if s := q.Stats(); s.Lost != 0 || s.Damaged != 0 || s.Takeovers < 2 {
		t.Errorf("%+v", s)
	}
	t.Logf("%d commits, %d on the stream, %d takeovers", len(w.sure), len(seen), q.Stats().Takeovers)
}
