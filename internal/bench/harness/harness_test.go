package harness

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/internal/testservers"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestRun_measuresEveryVariant makes the document with one round of each kind, and so proves that all of
// the variants record what they write.
func TestRun_measuresEveryVariant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		section, operation string
		want               []string
	}{
		{"NORMAL", opUpdate, []string{"## SQLite, a file, WAL, `synchronous=NORMAL`", "| " + opUpdate + " |", "≤ 1.80 ", "µs of processor, allocations"}},
		{"2.5 ms", opCreate, []string{"≤ 1.05 ", "On the wire for one write: round trips, bytes", "| 3.0, "}},
		{"MariaDB", opDelete, []string{"## MariaDB over loopback"}},
	} {
		t.Run(c.section+"/"+c.operation, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			err := Run(t.Context(), &out, Options{
				PostgresDSN: testservers.Postgres(t), MariaDBDSN: testservers.MariaDB(t), Rounds: 1, Writes: 1, Resident: 10, Section: c.section, Operation: c.operation,
				Command: "make bench",
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range append(c.want, "Made by `make bench`") {
				if !strings.Contains(out.String(), text) {
					t.Errorf("%q is missing in:\n%s", text, out.String())
				}
			}
		})
	}
}

func TestRun_refusesNothingToMeasure(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Rounds: 0, Writes: 1}, {Rounds: 1, Writes: 0}, {Rounds: 1, Writes: 1, PostgresDSN: "user=x"}, {Rounds: 1, Writes: 1, Resident: -1}} {
		if err := Run(t.Context(), io.Discard, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}

func TestRatios_areOfEachRound(t *testing.T) {
	t.Parallel()
	s := &section{limits: map[string]map[string]float64{"b": {opCreate: 1.5}, "c": {opCreate: 1.5}}}
	handles := []*handle{{variant: Variant{Name: plainGORM}}, {variant: Variant{Name: "b"}}, {variant: Variant{Name: "c"}}, {variant: Variant{Name: "d"}}}
	of := func(times ...time.Duration) (out []sample) {
		for _, d := range times {
			out = append(out, sample{time: d * time.Millisecond})
		}
		return out
	}
	// A round in which the machine was busy is slow for all.
	got := s.ratios(handles, operations[0], [][]sample{of(1, 10, 2), of(2, 15, 3), of(2, 20, 4), of(1, 10, 2)})
	const want = "| create a row | 2.000 ms | 1.50 (1.50–2.00), ≤ 1.50 met | 2.00 (2.00–2.00), ≤ 1.50 **not met** | 1.00 (1.00–1.00) |"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestWire_delaysAndCounts(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() { // a server that answers each byte
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.Copy(conn, conn)
	}()
	w, err := newWire(t.Context(), listener.Addr().String(), 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.close() }()
	conn, err := net.Dial("tcp", w.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const trips = 3
	began := time.Now()
	for range trips {
		if _, err := conn.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took < trips*20*time.Millisecond {
		t.Errorf("%d round trips took %v", trips, took)
	}
	// The first one is not counted: nothing was answered before.
	if n, b := w.trips.Load(), w.bytes.Load(); n != trips-1 || b != 2*trips {
		t.Errorf("%d round trips of %d bytes, want %d of %d", n, b, trips-1, 2*trips)
	}
}
