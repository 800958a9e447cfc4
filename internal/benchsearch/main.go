// Command benchsearch measures searches in a large trail in each store, and prints a Markdown document.
//
//	go run ./internal/benchsearch -records 1000000 -o docs/benchmarks-search.md
//
// PostgreSQL is the one of POSTGRES_DSN, MariaDB that of MARIADB_DSN, OpenSearch that of OPENSEARCH_URL; one that
// is not set is left out. SQLite is a file in a temporary folder. What is made on the servers is removed.
package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gormtrail/audit/internal/bench/report"
)

// options say what is measured.
type options struct {
	records int
	times   int
	callers []int
	stores  string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchsearch:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := options{callers: []int{1, 16}}
	flags := flag.NewFlagSet("benchsearch", flag.ContinueOnError)
	flags.IntVar(&o.records, "records", 1_000_000, "records in each store")
	flags.IntVar(&o.times, "times", 200, "how often each search is run by one caller; those that take long are run less often")
	flags.StringVar(&o.stores, "stores", "sqlite,postgres,mariadb,opensearch", "the stores to measure")
	out := flags.String("o", "", "file to write the document to, besides standard output")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var document bytes.Buffer
	if err := measure(ctx, io.MultiWriter(os.Stdout, &document), o); err != nil {
		return err
	}
	return report.Write(*out, document.Bytes())
}

const introduction = `# Benchmarks of searches

A trail of %d records of one year by 5,000 users, most of whom do little; three quarters of the records have three
changed fields. Each search is asked for again and again by one caller, and by 16 at the same time, with other values
each time. Given is the time of one answer in ms, p50 / p99.

Made by ` + "`make bench-search`" + ` %s. Other work on the
machine shows most in the p99.
`

func measure(ctx context.Context, w io.Writer, o options) (err error) {
	fmt.Fprintf(w, introduction, o.records, report.Made())
	measured := 0
	for _, s := range stores() {
		if !strings.Contains(","+o.stores+",", ","+s.name+",") {
			continue
		}
		done, err := s.measure(ctx, w, o)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if done {
			measured++
		}
	}
	if measured == 0 {
		return fmt.Errorf("nothing to measure: -stores is %q", o.stores)
	}
	return nil
}
