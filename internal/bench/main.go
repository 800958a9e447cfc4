// Command bench measures what auditing costs: the same writes through GORM without and with the
// plugin, in the same run, and prints the ratios as a Markdown document.
//
//	go run ./internal/bench -o docs/benchmarks.md
//
// PostgreSQL is the one of POSTGRES_DSN, MariaDB that of MARIADB_DSN if it is set; SQLite is a file in a
// temporary folder. What stands below the line "<!-- by hand -->" of the document stays as it is.
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
	"runtime/pprof"

	"github.com/gormtrail/audit/internal/bench/harness"
	"github.com/gormtrail/audit/internal/bench/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o := harness.Options{PostgresDSN: os.Getenv("POSTGRES_DSN"), MariaDBDSN: os.Getenv("MARIADB_DSN"), Command: "make bench"}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	out := flags.String("o", "", "file to write the document to, besides standard output")
	profile := flags.String("cpuprofile", "", "file to write a profile to")
	flags.IntVar(&o.Rounds, "rounds", 15, "rounds of each measurement")
	flags.IntVar(&o.Writes, "writes", 30, "writes of one row in a round")
	flags.IntVar(&o.Resident, "resident", 5000, "rows that are in the table besides those that are written")
	flags.StringVar(&o.Section, "section", "", "measure only the databases whose name has this text")
	flags.StringVar(&o.Operation, "operation", "", "measure only the operations whose name has this text")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.PostgresDSN == "" {
		return errors.New("POSTGRES_DSN is not set: run make bench")
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close() //nolint:errcheck // the profile is for people, who see that it is cut
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if *out == "" {
		return harness.Run(ctx, os.Stdout, o)
	}
	var document bytes.Buffer
	if err := harness.Run(ctx, io.MultiWriter(os.Stdout, &document), o); err != nil {
		return err
	}
	return report.Write(*out, document.Bytes())
}
