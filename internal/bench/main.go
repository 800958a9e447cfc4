// Command bench measures what auditing costs: the same writes through GORM without and with the
// plugin, in the same run, and prints the ratios as a Markdown document.
//
//	go run ./internal/bench -o docs/benchmarks.md
//
// PostgreSQL is the one of POSTGRES_DSN; SQLite is a file in a temporary folder. The variants take
// turns in short rounds, so that a busy machine slows all of them, and each round gives one ratio; what
// is printed is their median and quartiles. Milliseconds of different runs cannot be compared.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"time"
)

func main() {
	var (
		out    = flag.String("o", "", "file to write the document to, besides standard output")
		rounds = flag.Int("rounds", 15, "rounds of each measurement")
		writes = flag.Int("writes", 100, "writes of a round")
	)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *out, *rounds, *writes); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, rounds, writes int) error {
	if rounds < 1 || writes < 1 {
		return fmt.Errorf("%d rounds of %d writes: want 1 or more of both", rounds, writes)
	}
	dsn := os.Getenv("POSTGRES_DSN")
	if dsn == "" {
		return errors.New("POSTGRES_DSN is not set: run make bench")
	}
	w := io.Writer(os.Stdout)
	if out != "" {
		f, err := os.Create(out)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // a failed write is seen below
		w = io.MultiWriter(w, f)
	}
	head := fmt.Sprintf(introduction, time.Now().UTC().Format(time.DateOnly), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU(), load(), rounds, writes)
	if _, err := io.WriteString(w, head); err != nil {
		return err
	}
	for _, d := range databases(dsn) {
		if err := measureDatabase(ctx, w, d, rounds, writes); err != nil {
			return fmt.Errorf("%s: %w", d.name, err)
		}
	}
	return nil
}

// load says how busy the machine is before the run, where the system tells.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	average, _, found := strings.Cut(string(data), " ")
	if err != nil || !found {
		return "load not known"
	}
	return "load " + average + " before the run"
}

const introduction = `# Benchmarks

What auditing costs: the same writes through plain GORM and with the plugin, in the same run, taking turns in short
rounds. A ratio of 1.50 means that the audited write takes one and a half times as long. Given are the median of the
rounds and, in brackets, the quartiles. Compare ratios, never times of different runs.

- **embedded** is the default: the record is written into the table ` + "`audit_logs`" + ` in the application's transaction.
- **capture only** hands the records to a sink that drops them: images, differences and records are made all the same.

Made by ` + "`make bench`" + ` on %s with %s on %s/%s, %d CPUs, %s; %d rounds of %d writes each.
`
