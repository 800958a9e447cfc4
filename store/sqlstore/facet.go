package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Facets implements store.Faceter. Fields that have a column are counted by the database, others by reading
// the attributes of each record; at most r.Limit records are looked at.
func (s *Store) Facets(ctx context.Context, q store.Query, r store.FacetRequest) ([]store.Facet, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return nil, err
	}
	q, never, err := plainQuery(q)
	if err != nil {
		return nil, err
	}
	t := newTally(r)
	if !never {
		err = s.selected(ctx, q, func(sel selection) error {
			for _, record := range sel.tail {
				t.record(record)
			}
			if sel.more == nil {
				return s.each(ctx, q, sel, func(record event.Record) bool {
					t.record(record)
					return r.Limit < 0 || t.seen <= int64(r.Limit)
				})
			}
			return s.facets(ctx, q, r, sel, t)
		})
	}
	if err != nil {
		return nil, unavailable("facets", err)
	}
	facets := make([]store.Facet, len(r.Fields))
	for i, f := range r.Fields {
		facets[i] = store.NewFacet(f, t.counts[i], r.Size)
		facets[i].Without, facets[i].Exact = t.without[i], r.Limit < 0 || t.seen <= int64(r.Limit)
	}
	return facets, nil
}

// facets has the database count.
func (s *Store) facets(ctx context.Context, q store.Query, r store.FacetRequest, sel selection, t *tally) (err error) {
	// Attributes are different for nearly each record, so grouping by them would only cost.
	group := true
	var list []string
	for _, f := range r.Fields {
		if slices.Contains(columns, f) {
			list = append(list, string(f))
		} else if group {
			group = false
			list = append(list, "attrs")
		}
	}
	cols := strings.Join(list, ", ")
	b := builder{d: s.d}
	b.write("SELECT ", cols)
	if group {
		b.WriteString(", count(*)")
	} else {
		b.WriteString(", 1")
	}
	b.write(" FROM (SELECT ", cols)
	s.from(&b, q, sel)
	if r.Limit >= 0 {
		b.write(" ORDER BY ts DESC LIMIT ", strconv.Itoa(r.Limit+1))
	}
	b.WriteString(") AS found")
	if group {
		b.write(" GROUP BY ", cols)
	}
	rows, err := sel.conn.QueryContext(ctx, b.String(), b.args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values, into := make([]sql.NullString, len(list)), make([]any, 0, len(list)+1)
	for i := range values {
		into = append(into, &values[i])
	}
	var n int64
	into = append(into, &n)
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		t.row(list, values, n)
	}
	return rows.Err()
}

// tally counts the values of fields.
type tally struct {
	fields  []store.Field
	prefix  []string
	counts  []map[string]int64
	without []int64
	seen    int64 // records
}

func newTally(r store.FacetRequest) *tally {
	t := &tally{fields: r.Fields, without: make([]int64, len(r.Fields))}
	for _, f := range r.Fields {
		t.counts = append(t.counts, map[string]int64{})
		t.prefix = append(t.prefix, f.Canonical(r.Prefix))
	}
	return t
}

// record counts a record that was read.
func (t *tally) record(r event.Record) {
	t.seen++
	for i, f := range t.fields {
		var values []string
		for _, v := range f.Values(r) {
			values = append(values, filterKey(f, v))
		}
		t.add(i, values, 1)
	}
}

// row counts n records that have the same values in the columns.
func (t *tally) row(list []string, values []sql.NullString, n int64) {
	t.seen += n
	for i, f := range t.fields {
		var have []string
		if at := slices.Index(list, string(f)); at >= 0 {
			have = []string{values[at].String}
		} else {
			have = attrValues(values[slices.Index(list, "attrs")].String, f)
		}
		t.add(i, have, n)
	}
}

func (t *tally) add(i int, values []string, n int64) {
	none := true
	for j, v := range values {
		if v == "" || slices.Contains(values[:j], v) {
			continue
		}
		none = false
		if strings.HasPrefix(v, t.prefix[i]) {
			t.counts[i][v] += n
		}
	}
	if none {
		t.without[i] += n
	}
}

// attrValues gives the values of a field in the column attrs.
func attrValues(attrs string, f store.Field) (values []string) {
	for part := range strings.SplitSeq(attrs, attrSeparator) {
		if v, ok := strings.CutPrefix(part, string(f)+"="); ok {
			values = append(values, v)
		}
	}
	return values
}
