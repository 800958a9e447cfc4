// Command registry-pipeline takes a public registry the whole way: it imports the country subdivisions
// of ISO 3166-2, as two releases of the Python package pycountry list them, into PostgreSQL, one after
// the other. The changes go through the spool, or with -outbox through a table of the same database,
// RabbitMQ and a consumer into OpenSearch, and what changed between the releases is then printed from the
// audit search alone.
//
//	scripts/services.sh start
//	eval "$(scripts/services.sh env)"
//	go run ./examples/registry-pipeline
//	go run ./examples/registry-pipeline -outbox
//
// It works under names of its own, which it removes at the end. The releases are fetched with pip at
// run time.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/gormtrail/audit"
)

func main() {
	var (
		from = flag.String("from", "20.7.3", "the release of pycountry to begin with")
		to   = flag.String("to", "24.6.1", "the release to go to")
		show = flag.Int("show", 5, "how many of the added, changed and removed subdivisions to print each; -1 for all")
		box  = flag.Bool("outbox", false, "let the records wait for the stream in the database, in an outbox, instead of a spool")
	)
	flag.Parse()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	settings, err := settingsFrom(os.Getenv, log)
	settings.outbox = *box
	if err == nil {
		err = run(ctx, os.Stdout, settings, []string{*from, *to}, *show)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "registry-pipeline:", err)
		os.Exit(1)
	}
}

// run imports the versions in turn, and prints what changed with each but the first.
func run(ctx context.Context, w io.Writer, s settings, versions []string, show int) (err error) {
	releases := make([][]Subdivision, len(versions))
	for i, version := range versions {
		if releases[i], err = fetch(ctx, version); err != nil {
			return err
		}
	}
	p, err := open(ctx, s)
	if err != nil {
		return err
	}
	defer func() {
		if closed := p.close(ctx); err == nil {
			err = closed
		}
	}()
	if err := p.consume(ctx); err != nil {
		return err
	}
	for i, version := range versions {
		began := time.Now()
		differences, err := p.importAndSearch(ctx, version, releases[i])
		if err != nil {
			return err
		}
		n := counts(differences)
		_, err = fmt.Fprintf(w, "pycountry %s: %d subdivisions imported and found in %s: %d added, %d changed, %d removed\n",
			version, len(releases[i]), time.Since(began).Round(time.Millisecond), n[added], n[changed], n[removed])
		if err == nil && i > 0 {
			err = printDifferences(w, differences, show)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fetch downloads a release into a folder that goes away.
func fetch(ctx context.Context, version string) ([]Subdivision, error) {
	folder, err := os.MkdirTemp("", "pycountry")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder) //nolint:errcheck // a file left in the temporary folder does no harm
	return download(ctx, version, folder)
}

// importAndSearch imports a release and gives what the audit search says about it, when it can be
// found.
func (p *pipeline) importAndSearch(ctx context.Context, version string, release []Subdivision) ([]difference, error) {
	ctx = audit.WithActor(ctx, audit.Actor{ID: "registry", Username: "registry", FullName: "Registry import", Type: "system"})
	before := p.auditor.Stats().Emitted
	batchID, err := importRelease(ctx, p.db, version, release)
	if err != nil {
		return nil, err
	}
	if err := p.await(ctx, batchID, p.auditor.Stats().Emitted-before); err != nil {
		return nil, err
	}
	records, err := recordsOf(ctx, p.search, batchID)
	if err != nil {
		return nil, err
	}
	return recorded(records)
}

// printDifferences prints at most show differences of each kind.
func printDifferences(w io.Writer, all []difference, show int) error {
	for _, k := range []kind{added, changed, removed} {
		shown := 0
		for _, d := range all {
			if d.Kind != k || show >= 0 && shown >= show {
				continue
			}
			shown++
			if _, err := fmt.Fprintf(w, "  %-7s %-7s %s\n", k, d.Code, inWords(d)); err != nil {
				return err
			}
		}
		if rest := counts(all)[k] - shown; rest > 0 {
			if _, err := fmt.Fprintf(w, "  %-7s ... and %d more\n", k, rest); err != nil {
				return err
			}
		}
	}
	return nil
}

func inWords(d difference) string {
	text := func(s *string) string {
		if s == nil {
			return "nothing"
		}
		return fmt.Sprintf("%q", *s)
	}
	var fields []string
	for _, f := range d.Fields {
		switch d.Kind {
		case added:
			fields = append(fields, f.Field+" "+text(f.New))
		case removed:
			fields = append(fields, f.Field+" "+text(f.Old))
		default:
			fields = append(fields, f.Field+" "+text(f.Old)+" -> "+text(f.New))
		}
	}
	return strings.Join(fields, ", ")
}
