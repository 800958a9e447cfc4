package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// selection is how the records of a query are found, when they are counted.
type selection struct {
	conn gorm.ConnPool
	// more writes conditions beside those of filters and times. If it is nil, all records that these let
	// through must be read, and those taken that rest lets through.
	more func(b *builder)
	rest func(r event.Record) bool
	// tail are the records that the conditions leave out, because the text index does not have them yet.
	tail []event.Record
}

// isToken reports whether the field has no column: it is found by the text index, or by reading.
func isToken(f store.Field) bool { return f == store.FieldChange || f == store.FieldExtra }

// needsBody reports whether columns alone do not say which records q asks for.
func needsBody(q store.Query) bool {
	return q.Text != "" || slices.ContainsFunc(q.Filters, func(f store.Filter) bool { return isToken(f.Field) })
}

// restOf gives what columns do not say about q.
func restOf(q store.Query) func(r event.Record) bool {
	rest := store.Query{Text: q.Text}
	for _, f := range q.Filters {
		if isToken(f.Field) {
			rest.Filters = append(rest.Filters, f)
		}
	}
	return rest.Matcher()
}

// selected calls use with how the records of q are found. q is valid.
func (s *Store) selected(ctx context.Context, q store.Query, use func(sel selection) error) error {
	terms, _ := q.Terms()
	if m, ok := newMatch(q, terms); ok && s.textThere(ctx) {
		done, err := s.indexed(ctx, func() error { return s.text.index.selected(ctx, q, m, use) })
		if done {
			return err
		}
	}
	if needsBody(q) {
		return use(selection{conn: s.pool, rest: restOf(q)})
	}
	return use(selection{conn: s.pool, more: func(*builder) {}})
}

// indexed runs search on a text index that is up to date. done is false if that cannot be had: the answer would
// not be complete.
func (s *Store) indexed(ctx context.Context, search func() error) (done bool, err error) {
	late := s.text.index.catchUp(ctx, false)
	if late == nil {
		if err = search(); !errors.Is(err, errBehind) {
			s.text.failing.Store(false)
			return true, err
		}
	}
	if ctx.Err() != nil {
		return true, fmt.Errorf("catch up the text index: %w", errors.Join(ctx.Err(), late))
	}
	if late != nil && !s.text.failing.Swap(true) {
		s.cfg.Logger.WarnContext(ctx, "sqlstore: text index cannot catch up, text is found by reading all records", slog.Any("error", late))
	}
	return false, nil
}

// from writes FROM and WHERE for the records that are found in the table.
func (s *Store) from(b *builder, q store.Query, sel selection) {
	b.write(" FROM ", s.names.Table(""))
	s.where(b, q.Filters, q.From, q.To)
	sel.more(b)
}

// each calls f with the records of a selection that must be read, the newest first, until it returns false.
func (s *Store) each(ctx context.Context, q store.Query, sel selection, f func(r event.Record) bool) error {
	var last *store.Position
	for {
		b := builder{d: s.d}
		b.write("SELECT ts, log_id, body FROM ", s.names.Table(""))
		s.where(&b, q.Filters, q.From, q.To)
		if last != nil {
			s.after(&b, *last, false)
		}
		order(&b, false)
		b.write(" LIMIT ", strconv.Itoa(scanRows))
		rows, err := s.read(ctx, sel.conn, &b)
		if err != nil {
			return err
		}
		for _, row := range rows {
			r, err := decode(row)
			if err != nil {
				return err
			}
			if sel.rest(r) && !f(r) {
				return nil
			}
		}
		if len(rows) < scanRows {
			return nil
		}
		p := rows[len(rows)-1].position()
		last = &p
	}
}
