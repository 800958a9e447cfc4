//go:build soak

package soak_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/oracle"
)

// Variables of the test.
const (
	envTime = "SOAK"      // how long, such as 10m
	envSeed = "SOAK_SEED" // of the order in which things are killed
)

// TestSoak kills a random one of the parts every 8 to 25 seconds: an application, a consumer, the broker,
// OpenSearch. Meanwhile, and at the end, the account of each producer must be balanced; at the end everything
// must be where it belongs, once.
func TestSoak(t *testing.T) {
	length := 10 * time.Minute
	if text := os.Getenv(envTime); text != "" {
		var err error
		if length, err = time.ParseDuration(text); err != nil || length <= 0 {
			t.Fatalf("%s is %q, want a time such as 10m", envTime, text)
		}
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(envSeed); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("%s is %q, want a number", envSeed, text)
		}
	}
	t.Logf("%v, %s=%d", length, envSeed, seed)
	chance := rand.New(rand.NewPCG(seed, 1))

	s := start(t)
	begin := time.Now()
	kills := make(map[string]int)
	parts := s.parts()
	scrape := time.NewTicker(3 * time.Second)
	defer scrape.Stop()
	next := time.NewTimer(10 * time.Second)
	defer next.Stop()
	end := time.NewTimer(length)
	defer end.Stop()
	for over := false; !over; {
		select {
		case <-end.C:
			over = true
		case <-scrape.C:
			s.scrape()
		case <-next.C:
			p := parts[chance.IntN(len(parts))]
			p.kill()
			kills[p.name]++
			s.garbage()
			pause := time.Duration(chance.IntN(5000)) * time.Millisecond
			for deadline := time.Now().Add(pause); time.Now().Before(deadline); {
				<-scrape.C
				s.scrape()
			}
			p.start()
			next.Reset(8*time.Second + time.Duration(chance.IntN(17_000))*time.Millisecond)
		}
	}
	traffic := time.Since(begin)
	s.finish()
	s.verify(kills, traffic)
}

// part is something that is killed and started again.
type part struct {
	name        string
	kill, start func()
}

func (s *system) parts() []part {
	parts := []part{
		{"broker", func() { s.servers.Kill("rabbitmq") }, func() { s.startServer("rabbitmq") }},
		{"opensearch", func() { s.servers.Kill("opensearch") }, func() { s.startServer("opensearch") }},
	}
	for _, p := range append(s.processes(), s.consumers...) {
		parts = append(parts, part{p.name, p.kill, p.run})
	}
	return parts
}

// startServer starts a server again; on a busy machine that may need some tries. Meanwhile the accounts are taken.
func (s *system) startServer(name string) {
	s.t.Helper()
	const tries = 5
	for try := 1; ; try++ {
		started := make(chan error, 1)
		go func() { started <- s.servers.TryStart(name) }()
		tick := time.NewTicker(3 * time.Second)
		var err error
		for waiting := true; waiting; {
			select {
			case err = <-started:
				waiting = false
			case <-tick.C:
				s.scrape()
			}
		}
		tick.Stop()
		if err == nil {
			return
		}
		if try == tries {
			s.t.Fatalf("%s does not start: %v", name, err)
		}
		s.t.Logf("%s does not start: try %d", name, try)
	}
}

// verify compares what arrived with what the applications have written down.
func (s *system) verify(kills map[string]int, traffic time.Duration) {
	t := s.t
	t.Helper()
	records := s.indexed()
	slices.SortStableFunc(records, func(a, b event.Record) int { return int(a.StreamOffset - b.StreamOffset) })
	byProducer := make(map[string][]event.Record)
	for _, r := range records {
		byProducer[r.ProducerID] = append(byProducer[r.ProducerID], r)
	}
	promised, committed, things := 0, 0, 0
	for _, a := range s.apps {
		own := byProducer[a.producer]
		delete(byProducer, a.producer)
		arrived := make(map[string]bool)
		for _, r := range own {
			if r.Action == event.ActionAdd && r.ObjectType == "thing" {
				arrived[r.ObjectID] = true
			}
		}
		var book oracle.Delivery
		issued, kept := a.read(t)
		for _, r := range issued {
			if err := book.Issue(r); err != nil {
				t.Error(err)
			}
		}
		book.Tell(oracle.Promised, kept...)
		promised += book.Promised()
		for _, err := range book.Check(oracle.Arrivals{Records: own}) {
			t.Errorf("%s: %v", a.name, err)
		}
		for id := range a.committed() {
			committed++
			if arrived[id] {
				things++
			} else if a.lossless {
				t.Errorf("%s: thing %s is lost, whose write had returned success", a.name, id)
			}
		}
		account := s.account(a)
		if account.Pending != 0 || account.Check() != nil || account.Emitted != account.Indexed+account.DeadLettered+account.Lost {
			t.Errorf("%s: the account at the end: %+v", a.name, account)
		}
		if a.lossless && account.Lost > 0 {
			t.Errorf("%s: lost %d", a.name, account.Lost)
		}
		t.Logf("%s: emitted %d = indexed %d + pending %d + dead-lettered %d + lost %d", a.name, account.Emitted, account.Indexed, account.Pending, account.DeadLettered, account.Lost)
	}
	for producer, others := range byProducer {
		t.Errorf("%d records of the producer %q, which is none of the applications", len(others), producer)
	}
	letters := s.letters()
	if letters != s.published {
		t.Errorf("%d letters, %d messages that are no record were published", letters, s.published)
	}
	t.Logf("%v of traffic: %d records indexed, %d promised, each once, in order; %d commits returned, %d of them recorded; %d letters; killed: %v; accounts balanced at %d scrapes, %d while something was down were left out; largest RSS %v, file descriptors %v",
		traffic.Round(time.Second), len(records), promised, committed, things, letters, kills, s.scrapes, s.skipped, s.memory, s.descriptors)
	if s.scrapes == 0 || len(records) == 0 {
		t.Error("nothing was seen")
	}
}

// process is a program of the chain.
type process struct {
	t       testing.TB
	name    string
	program string
	args    []string
	env     []string
	out     string // file with its output
	cmd     *exec.Cmd
}

// run starts the program.
func (p *process) run() {
	p.t.Helper()
	out, err := os.OpenFile(p.out, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.t.Fatal(err)
	}
	defer out.Close()
	p.cmd = exec.Command(p.program, p.args...)
	p.cmd.Env = append(os.Environ(), p.env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends it as kill -9 does. One that has ended by itself is a failure.
func (p *process) kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		p.t.Errorf("%s has ended by itself: %v\n%s", p.name, err, p.tail())
	}
	_ = p.cmd.Wait() // says that it was killed
}

// stop ends it as an operator does.
func (p *process) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Errorf("%s has ended by itself: %v\n%s", p.name, err, p.tail())
		return
	}
	if err := p.cmd.Wait(); err != nil {
		p.t.Errorf("%s: %v\n%s", p.name, err, p.tail())
	}
}

// tail gives the end of its output.
func (p *process) tail() string {
	data, _ := os.ReadFile(p.out)
	if len(data) > 2000 {
		data = data[len(data)-2000:]
	}
	return string(data)
}

// build builds a program of the project.
func build(t testing.TB, folder, pkg string) string {
	t.Helper()
	program := filepath.Join(folder, filepath.Base(pkg))
	out, err := exec.Command("go", "build", "-o", program, "github.com/gormtrail/audit/"+pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// lines gives the lines of a file that begin with a word, without it.
func lines(t testing.TB, file, word string) (all []string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, word+" "); ok && strings.HasSuffix(rest, "\n") {
			all = append(all, strings.TrimSuffix(rest, "\n"))
		}
	}
	return all
}
