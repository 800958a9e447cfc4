package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/gormtrail/audit/internal/bench/report"
)

// Options say what is measured.
type Options struct {
	// PostgresDSN is a DSN of words, with host and port. MariaDBDSN may be empty.
	PostgresDSN, MariaDBDSN string
	// Rounds and Writes are how many rounds there are, and writes of one row in each.
	Rounds, Writes int
	// Section and Operation, if they are not empty, are texts that must be in the names of what is measured.
	Section, Operation string
	// Resident is how many rows are in the table besides those that are written, so that a key is looked up
	// in an index, as in a real table.
	Resident int
	// Command made the document.
	Command string
}

// Run measures, and writes the document to w. It may take ten minutes.
func Run(ctx context.Context, w io.Writer, o Options) error {
	if o.Rounds < 1 || o.Writes < 1 || o.Resident < 0 {
		return fmt.Errorf("%d rounds of %d writes with %d resident rows: want 1 or more of the first two, and none less than 0", o.Rounds, o.Writes, o.Resident)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	list, err := sections(ctx, o)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, introduction, o.Command, report.Made(), o.Rounds, o.Writes); err != nil {
		return err
	}
	for _, s := range list {
		if strings.Contains(s.name, o.Section) {
			if err := s.run(ctx, w, o); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		if s.close != nil {
			if err := s.close(); err != nil {
				return err
			}
		}
	}
	return nil
}

// result is a line of a section.
type result struct {
	op      operation
	samples [][]sample // by handle
}

// run measures the section and writes its tables.
func (s *section) run(ctx context.Context, w io.Writer, o Options) (err error) {
	handles, err := s.handles(ctx, o.Resident)
	if err != nil {
		return err
	}
	defer func() {
		for _, h := range handles {
			err = errors.Join(err, h.close(ctx))
		}
	}()
	if _, err := fmt.Fprintf(w, "\n## %s\n\n%s\n\n%s", s.name, s.about, head(handles, "")); err != nil {
		return err
	}
	var results []result
	for _, op := range operations {
		if s.operations != nil && !slices.Contains(s.operations, op.name) || !strings.Contains(op.name, o.Operation) {
			continue
		}
		rounds, writes := share(o.Rounds, s.rounds), share(o.Writes, s.writes)
		if op.rows > 1 {
			writes = 3
		}
		samples, err := measure(ctx, handles, op, rounds, writes)
		if err != nil {
			return err
		}
		results = append(results, result{op, samples})
		if _, err := fmt.Fprintln(w, s.ratios(handles, op, samples)); err != nil {
			return err
		}
	}
	return s.costs(w, handles, results)
}

func share(n, percent int) int {
	if percent == 0 {
		return n
	}
	return max(3, n*percent/100)
}

func head(handles []*handle, unit string) string {
	line, rule := "| "+unit+" |", "|---|"
	for _, h := range handles {
		line, rule = line+" "+h.variant.Name+" |", rule+"---|"
	}
	return line + "\n" + rule + "\n"
}

// ratios gives the line of times of an operation.
func (s *section) ratios(handles []*handle, op operation, samples [][]sample) string {
	var line strings.Builder
	_, plain, _ := quartiles(milliseconds(samples[0]))
	fmt.Fprintf(&line, "| %s | %.3f ms |", op.name, plain)
	for n := 1; n < len(handles); n++ {
		text, middle := ratio(samples[0], samples[n])
		line.WriteString(" " + text)
		if limit := s.limits[handles[n].variant.Name][op.name]; limit > 0 {
			verdict := "met"
			if middle > limit+0.005 {
				verdict = "**not met**"
			}
			fmt.Fprintf(&line, ", ≤ %.2f %s", limit, verdict)
		}
		line.WriteString(" |")
	}
	return line.String()
}

// ratio gives the median of the ratios of each round, as text with the quartiles.
func ratio(plain, audited []sample) (text string, middle float64) {
	values := make([]float64, len(audited))
	for round := range values {
		values[round] = float64(audited[round].time) / float64(plain[round].time)
	}
	low, middle, high := quartiles(values)
	return fmt.Sprintf("%.2f (%.2f–%.2f)", middle, low, high), middle
}

func milliseconds(samples []sample) []float64 {
	out := make([]float64, len(samples))
	for i := range samples {
		out[i] = float64(samples[i].time.Nanoseconds()) / 1e6
	}
	return out
}

// costs writes what a write takes besides time.
func (s *section) costs(w io.Writer, handles []*handle, results []result) error {
	if len(results) == 0 {
		return nil
	}
	wired, server := handles[0].wire != nil, handles[0].server != nil
	title := "Of the program for one write: µs of processor, allocations, kB allocated"
	switch {
	case wired:
		title = "On the wire for one write: round trips, bytes"
	case server:
		title = "For one write: µs of processor of the program + of the server, allocations and kB of the program"
	}
	if _, err := fmt.Fprintf(w, "\n%s:\n\n%s", title, head(handles, "")); err != nil {
		return err
	}
	for _, r := range results {
		var line strings.Builder
		fmt.Fprintf(&line, "| %s |", r.op.name)
		for n := range handles {
			median := func(f func(sample) float64) float64 {
				values := make([]float64, len(r.samples[n]))
				for i, s := range r.samples[n] {
					values[i] = f(s)
				}
				_, middle, _ := quartiles(values)
				return middle
			}
			micros := func(f func(sample) time.Duration) float64 {
				return median(func(s sample) float64 { return float64(f(s).Nanoseconds()) / 1e3 })
			}
			client, srv := micros(func(s sample) time.Duration { return s.client }), micros(func(s sample) time.Duration { return s.server })
			allocs, kb := median(func(s sample) float64 { return s.allocs }), median(func(s sample) float64 { return s.bytes })/1024
			switch {
			case wired:
				fmt.Fprintf(&line, " %.1f, %.0f |", median(func(s sample) float64 { return s.trips }), median(func(s sample) float64 { return s.wired }))
			case server:
				fmt.Fprintf(&line, " %.0f + %.0f, %.0f, %.1f |", client, srv, allocs, kb)
			default:
				fmt.Fprintf(&line, " %.0f, %.0f, %.1f |", client, allocs, kb)
			}
		}
		if _, err := fmt.Fprintln(w, line.String()); err != nil {
			return err
		}
	}
	return nil
}

const introduction = `# Benchmarks

What auditing costs: the same writes through plain GORM and with the plugin, in the same run, taking turns in short
rounds. A ratio of 1.50 means that the audited write takes one and a half times as long. Given are the median of the
rounds and, in brackets, the quartiles; behind them what is aimed at. Compare ratios, never times of different runs.

- **capture only** hands the records to a sink that drops them: images, differences, records and their hashes are made all
  the same.
- **embedded** is the default: the record is written into the table ` + "`audit_logs`" + ` in the application's transaction.
- **not registered** has the plugin, and writes a model that is not registered.
- **naive** is how auditing is mostly written by hand, in callbacks: a SELECT before the write and one after it. It is
  wrong under concurrency and does not know of a rollback.

Made by ` + "`%s`" + ` %s; %d rounds of %d writes of one row each (3 of 1,000 rows).
`
