package relay_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/await"
	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// proxied gives a stream, and the configuration that reaches it through a proxy.
func proxied(t *testing.T) (direct, through rabbit.Config, proxy *tcpproxy.Proxy) {
	t.Helper()
	direct = rabbittest.Stream(t)
	through, proxy = rabbittest.Through(t, direct)
	through.ConnectTimeout = 5 * time.Second
	return direct, through, proxy
}

// readStream reads n messages, and then makes sure that there are no more.
func readStream(t *testing.T, config rabbit.Config, n int) []stream.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// A last message of our own shows the end.
	a, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Append(ctx, stream.Message{ID: "end"}); err != nil {
		t.Fatal(err)
	}
	s, err := rabbit.NewSource(ctx, config, "check", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var all []stream.Message
	for {
		messages, err := s.Read(ctx, 1000)
		if err != nil {
			t.Fatalf("after %d of %d messages: %v", len(all), n, err)
		}
		all = append(all, messages...)
		if all[len(all)-1].ID == "end" {
			return all[:len(all)-1]
		}
	}
}

func TestRabbitMQ_connectionLost_losesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	faults := []struct {
		name  string
		fault func(p *tcpproxy.Proxy)
	}{
		{"cut", (*tcpproxy.Proxy).Cut},
		{"refused", (*tcpproxy.Proxy).Refuse},
		{"black hole", func(p *tcpproxy.Proxy) { p.Swallow() }},
		{"black hole to the broker", func(p *tcpproxy.Proxy) { p.Swallow(tcpproxy.ToServer) }},
		{"black hole from the broker, confirms lost", func(p *tcpproxy.Proxy) { p.Swallow(tcpproxy.ToClient) }},
		{"reset inside a frame", func(p *tcpproxy.Proxy) { p.CutAfter(5000) }},
		{"frozen", (*tcpproxy.Proxy).Hold},
	}
	for _, test := range faults {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			direct, through, proxy := proxied(t)
			s := openSpool(t, t.TempDir())
			config := fast()
			config.ConfirmTimeout = 500 * time.Millisecond
			service := start(t, s, rabbit.Dialer(through), config)
			const each = 1500
			rounds := count(2, 8)
			next := 1
			for range rounds {
				failures := service.Stats().Failures
				acknowledged := s.Acknowledged()
				for i := range each / 10 {
					write(t, s, records(next, next+9)...)
					next += 10
					if i == each/20 {
						await.Until(t, "confirms", func() bool { return s.Acknowledged() > acknowledged })
						test.fault(proxy)
					}
				}
				await.Until(t, "the failure", func() bool { return service.Stats().Failures > failures })
				proxy.Forward()
				await.Until(t, "confirms", func() bool { return service.Stats().Connected && s.Acknowledged() > acknowledged })
			}
			flush(t, service)
			wantIDs(t, readStream(t, direct, next-1), next-1)
			stats := service.Stats()
			if stats.Confirmed != uint64(next-1) {
				t.Errorf("%+v", stats)
			}
			t.Logf("%d records, %d connections, %d failures, %d sent again", next-1, stats.Connections, stats.Failures, stats.Resent)
		})
	}
}

func TestRabbitMQ_absentAtStart(t *testing.T) {
	t.Parallel()
	direct, through, proxy := proxied(t)
	proxy.Refuse()
	s := openSpool(t, t.TempDir())
	service := start(t, s, rabbit.Dialer(through), fast())
	write(t, s, records(1, 100)...)
	await.Until(t, "failures", func() bool { return service.Stats().Failures > 2 })
	if got := s.Stats().Pending; got != 100 {
		t.Errorf("%d pending, want 100", got)
	}
	proxy.Forward()
	flush(t, service)
	wantIDs(t, readStream(t, direct, 100), 100)
}

func TestRabbitMQ_streamIsMadeLater(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	s := openSpool(t, t.TempDir())
	service := start(t, s, rabbit.Dialer(config), fast())
	write(t, s, records(1, 10)...)
	await.Until(t, "a failure", func() bool { return service.Stats().Failures > 0 })
	rabbittest.Declare(t, config, rabbit.Limits{})
	flush(t, service)
	wantIDs(t, readStream(t, config, 10), 10)
}

// child is the process that is killed: it writes into the spool, relays to RabbitMQ and prints what
// was written.
func child(dir string) {
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	config, err := rabbit.ConfigFromURI(os.Getenv("RABBITMQ_STREAM_URI"))
	if err != nil {
		fail(err)
	}
	config.Stream = os.Getenv("RELAY_TEST_STREAM")
	s, err := spool.Open(dir, spool.Config{Logger: quiet, SegmentBytes: 64 << 10, MaxBytes: 64 << 20, CommitTimeout: time.Minute})
	if err != nil {
		fail(err)
	}
	service, err := relay.Start(s, rabbit.Dialer(config), fast())
	if err != nil {
		fail(err)
	}
	for i := 0; ; i++ {
		id := os.Getenv("RELAY_TEST_ROUND") + "-" + strconv.Itoa(i)
		if err := s.Write(context.Background(), []event.Record{record(id)}); err != nil {
			fail(err)
		}
		fmt.Println("written", id, service.Stats().Confirmed)
	}
}

func TestRabbitMQ_killedProcess_losesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	dir := t.TempDir()
	var written []string
	const rounds = 5
	for round := range rounds {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "RELAY_TEST_CHILD="+dir, "RELAY_TEST_STREAM="+config.Stream, fmt.Sprintf("RELAY_TEST_ROUND=%d", round))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		killed := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			words := strings.Fields(lines.Text())
			if words[0] != "written" {
				t.Fatalf("child: %s", lines.Text())
			}
			written = append(written, words[1])
			// While some are confirmed and some are not.
			if confirmed, _ := strconv.Atoi(words[2]); confirmed > 100*(round+1) && !killed {
				killed = true
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // it was killed
	}
	s := openSpool(t, dir)
	service := start(t, s, rabbit.Dialer(config), fast())
	flush(t, service)
	if got := s.Stats().Pending; got != 0 {
		t.Errorf("%d pending", got)
	}
	seen := make(map[string]int)
	last := uint64(0)
	for _, m := range readStream(t, config, len(written)) {
		seen[m.ID]++
		r, err := event.Decode(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		if r.Seq != last+1 {
			t.Fatalf("sequence %d after %d", r.Seq, last)
		}
		last = r.Seq
	}
	for _, id := range written {
		if seen[id] != 1 {
			t.Errorf("record %s, whose Write had returned, is on the stream %d times", id, seen[id])
		}
	}
	t.Logf("%d kills, %d records written, %d on the stream, %d sent again by the last process", rounds, len(written), len(seen), service.Stats().Resent)
}
