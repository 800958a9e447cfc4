// Command peers measures other audit libraries for GORM next to this module, with the harness of
// internal/bench, and looks at what each of them has recorded.
//
//	go run . -o ../../docs/benchmarks.md
//
// PostgreSQL is the one of POSTGRES_DSN; SQLite is a file in a temporary folder. The module is one of its
// own and is not built with the others, as the libraries need not be there for any test.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"

	"github.com/gormtrail/audit/internal/bench/harness"
	"github.com/gormtrail/audit/internal/bench/report"
)

// What is made here stands between these lines of the document.
const (
	begin = "<!-- peers -->"
	end   = "<!-- end of peers -->"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := harness.Options{PostgresDSN: os.Getenv("POSTGRES_DSN")}
	flags := flag.NewFlagSet("peers", flag.ContinueOnError)
	out := flags.String("o", "", "document to write the tables into, besides standard output")
	flags.IntVar(&o.Rounds, "rounds", 15, "rounds of each measurement")
	flags.IntVar(&o.Writes, "writes", 20, "writes in a round")
	flags.IntVar(&o.Resident, "resident", 5000, "rows that are in the table besides those that are written")
	flags.StringVar(&o.Section, "section", "", "measure only the databases whose name has this text")
	flags.StringVar(&o.Operation, "operation", "", "measure only the operations whose name has this text")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.PostgresDSN == "" {
		return errors.New("POSTGRES_DSN is not set: run make bench-peers")
	}
	var made bytes.Buffer
	w := io.MultiWriter(os.Stdout, &made)
	if _, err := fmt.Fprintf(w, "Made by `make bench-peers` %s; %d rounds of %d writes of one row.\n\n%s",
		report.Made(), o.Rounds,
		o.Writes, versions()); err != nil {
		return err
	}
	if err := harness.Compare(ctx, w, os.Stderr, o, peers); err != nil {
		return err
	}
	if *out == "" {
		return nil
	}
	return insert(*out, made.String())
}

// insert puts the text into its place of the document.
func insert(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s: the lines %q and %q are not there", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+"\n\n"+text+"\n"+end+after), 0o644)
}

// versions lists what is compared, with the versions that it was built with.
func versions() string {
	var list strings.Builder
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		for _, p := range modules {
			if m.Path == p {
				fmt.Fprintf(&list, "- `%s` %s\n", m.Path, m.Version)
			}
		}
	}
	return list.String()
}
