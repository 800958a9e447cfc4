package harness

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"gorm.io/gorm"
)

// Names of the operations that only Compare has: the program has not loaded the row.
const (
	opUpdateUnloaded = "update two columns of a row by where"
	opDeleteUnloaded = "delete a row by where"
)

// compared are the sections that Compare measures, and the operations.
var compared = struct { //nolint:gochecknoglobals // a table
	sections   []string
	operations []operation
}{
	[]string{"PostgreSQL over loopback", "PostgreSQL over loopback, `synchronous_commit=off`", "SQLite, a file, WAL, `synchronous=FULL`"},
	append(slices.Clone(operations[:4]), []operation{
		{opUpdateUnloaded, 1, true, func(db *gorm.DB, as func(*Customer) any, rows []Customer, i int) error {
			return change(db.Model(as(&Customer{})).Where("id = ?", rows[i].ID))
		}},
		{opDeleteUnloaded, 1, true, func(db *gorm.DB, as func(*Customer) any, rows []Customer, i int) error {
			return db.Where("id = ?", rows[i].ID).Delete(as(&Customer{})).Error
		}},
	}...),
}

// Compare measures further variants next to plain GORM, to capturing, to the embedded store and to the naive
// way, and writes a table for each database to w: beside the ratio is what the variant has recorded, as
// compared with the row before and after the write. The details of what is wrong go to details.
//
// A variant that cannot be installed on a database is left out there, and one whose write fails is not timed.
func Compare(ctx context.Context, w, details io.Writer, o Options, further []Variant) error {
	if o.Rounds < 1 || o.Writes < 1 || o.Resident < 0 {
		return fmt.Errorf("%d rounds of %d writes with %d resident rows: want 1 or more of the first two, and none less than 0", o.Rounds, o.Writes, o.Resident)
	}
	ctx, cancel := context.WithCancel(withActor(ctx))
	defer cancel()
	list, err := sections(ctx, o)
	if err != nil {
		return err
	}
	for _, s := range list {
		if s.close != nil {
			defer s.close() //nolint:errcheck // not measured here
		}
		if slices.Contains(compared.sections, s.name) && strings.Contains(s.name, o.Section) {
			if err := s.compare(ctx, w, details, o, further); err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
	}
	return nil
}

func (s *section) compare(ctx context.Context, w, details io.Writer, o Options, further []Variant) (err error) {
	s.variants = []string{capturing, embedded, naive}
	handles, err := s.handles(ctx, o.Resident)
	if err != nil {
		return err
	}
	defer func() {
		for _, h := range handles {
			err = errors.Join(err, h.close(ctx))
		}
	}()
	for _, v := range further {
		h, err := openHandle(ctx, s, v, o.Resident)
		if err != nil {
			fmt.Fprintf(details, "%s: left out: %v\n", s.name, err)
			continue
		}
		handles = append(handles, h)
	}
	if _, err := fmt.Fprintf(w, "\n### %s\n\n| | | time | recorded |\n|---|---|---|---|\n", s.name); err != nil {
		return err
	}
	// The words come last, so that looking at the records is not in the way of what is measured.
	lines := make([][]string, len(compared.operations))
	for n, op := range compared.operations {
		if !strings.Contains(op.name, o.Operation) {
			continue
		}
		able, err := ableTo(ctx, handles, op)
		if err != nil {
			return err
		}
		samples, err := measure(ctx, able, op, o.Rounds, o.Writes)
		if err != nil {
			return err
		}
		for _, h := range handles {
			time := "–"
			if i := slices.Index(able, h); i == 0 {
				_, plain, _ := quartiles(milliseconds(samples[0]))
				time = fmt.Sprintf("%.3f ms", plain)
			} else if i > 0 {
				time, _ = ratio(samples[0], samples[i])
			}
			lines[n] = append(lines[n], fmt.Sprintf("| %s | %s |", h.variant.Name, time))
		}
	}
	for n, op := range compared.operations {
		for i := range lines[n] {
			word, detail, err := handles[i].truth(ctx, op)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", op.name, handles[i].variant.Name, err)
			}
			if detail != "" {
				fmt.Fprintf(details, "%s: %s: %s: %s: %s\n", s.name, op.name, handles[i].variant.Name, word, detail)
			}
			name := ""
			if i == 0 {
				name = "**" + op.name + "**"
			}
			if _, err := fmt.Fprintf(w, "| %s %s %s |\n", name, lines[n][i], word); err != nil {
				return err
			}
		}
	}
	return nil
}

// ableTo gives the handles on which the operation does not fail.
func ableTo(ctx context.Context, handles []*handle, op operation) (able []*handle, err error) {
	for _, h := range handles {
		var rows []Customer
		if op.there {
			rows = make([]Customer, 1)
		}
		if rows, err = prepare(h.plain.WithContext(ctx), len(rows)); err != nil {
			return nil, err
		}
		if op.write(h.db.WithContext(ctx), h.variant.model, rows, 0) == nil {
			able = append(able, h)
			h.rows++
		}
	}
	return able, nil
}
