// Command delivery runs the benchmarks of delivery and prints what they report as one table of ratios, each
// against what was measured beside it in the same run. With -o it puts the table into a document, between
// the lines "<!-- delivery -->" and "<!-- end of delivery -->", or at its end.
//
//	go run ./internal/bench/delivery -o docs/benchmarks.md
//
// The servers are those of the environment; the broker that is frozen and killed is one of its own.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"

	"github.com/gormtrail/audit/internal/bench/report"
)

// The lines around the table in a document.
const (
	begin = "<!-- delivery -->"
	end   = "<!-- end of delivery -->"
)

// suite is a benchmark of a package.
type suite struct{ title, pkg, bench, times string }

var suites = []suite{
	{"Spool and relay against a raw producer, the same bytes (at least 0.9 is aimed at)", "./stream/rabbit", "BenchmarkSpoolAndRelay", "7x"},
	{"Group commit against one fdatasync a record", "./spool", "BenchmarkWrite", "2s"},
	{"Outbox against plain GORM, a transaction", "./outbox", "BenchmarkTransaction", "15x"},
	{"A request with the broker frozen and down against up (at most 1.05 is aimed at)", "./relay", "BenchmarkRequest", "300x"},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	out := flag.String("o", "", "document to put the table into, besides standard output")
	flag.Parse()
	if err := run(ctx, *out); err != nil {
		fmt.Fprintln(os.Stderr, "delivery:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string) error {
	var doc bytes.Buffer
	fmt.Fprintf(&doc, "Made by `make bench-delivery` %s; records of 1 KB.\n", report.Made())
	for _, s := range suites {
		text, err := s.run(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(&doc, "\n### %s\n\n| | reported |\n|---|---|\n%s", s.title, table(text))
	}
	fmt.Print(doc.String())
	if out == "" {
		return nil
	}
	old, err := os.ReadFile(out)
	if err != nil {
		return err
	}
	return os.WriteFile(out, put(old, doc.Bytes()), 0o644) //nolint:gosec // a document for all
}

// run runs the benchmark and gives what it printed.
func (s suite) run(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^"+s.bench+"$", "-benchtime", s.times, "-timeout", "30m", s.pkg) //nolint:gosec // of the list above
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s in %s: %w\n%s", s.bench, s.pkg, err, text)
	}
	if !bytes.Contains(text, []byte("\nBenchmark")) {
		return "", errors.New(s.bench + " in " + s.pkg + " reported nothing: is a server missing?")
	}
	return string(text), nil
}

// table gives the rows of a table for the lines that go test prints of benchmarks.
func table(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 { // the number of processors
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		_, name, _ = strings.Cut(name, "/")
		for i := 2; i+1 < len(fields); i += 2 { // behind the name and the number of rounds
			value, unit := fields[i], fields[i+1]
			if unit == "ns/op" || unit == "B/op" || unit == "allocs/op" {
				continue
			}
			if n, err := strconv.ParseFloat(value, 64); err == nil && n >= 1000 {
				value = strconv.FormatFloat(n, 'f', 0, 64)
			}
			if unit == "ratio" || strings.Contains(unit, "/raw") || strings.HasSuffix(unit, "/up") {
				value = "**" + value + "**"
			}
			fmt.Fprintf(&b, "| %s | %s |\n", strings.TrimSpace(name+" "+unit), value)
		}
	}
	return b.String()
}

// put gives the document with the text in its place.
func put(document, text []byte) []byte {
	text = append(append([]byte(begin+"\n\n"), text...), "\n"+end...)
	from, to := bytes.Index(document, []byte(begin)), bytes.Index(document, []byte(end))
	if from < 0 || to < from {
		return append(append(append(bytes.TrimRight(document, "\n"), "\n\n## Delivery\n\n"...), text...), '\n')
	}
	return append(append(append([]byte(nil), document[:from]...), text...), document[to+len(end):]...)
}
