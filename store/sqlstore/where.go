package sqlstore

import (
	"slices"
	"time"

	"github.com/gormtrail/audit/store"
)

// where writes the conditions of filters and times.
func (s *Store) where(b *builder, filters []store.Filter, from, to time.Time) {
	b.WriteString(" WHERE 1 = 1")
	if !from.IsZero() {
		b.write(" AND ts >= ", b.arg(from.UnixMilli()))
	}
	if !to.IsZero() {
		b.write(" AND ts < ", b.arg(to.UnixMilli()))
	}
	for _, f := range filters {
		if !isToken(f.Field) { // what has no column is not in this table
			s.filter(b, f)
		}
	}
}

func (s *Store) filter(b *builder, f store.Filter) {
	values := make([]string, 0, len(f.Values))
	for _, v := range f.Values {
		if f.Field == store.FieldLogID {
			if validID(v) {
				values = append(values, v)
			}
		} else if key := filterKey(f.Field, v); key != "" {
			values = append(values, key)
		}
	}
	// A field that is not there is no value, so "" is never found.
	if len(values) == 0 {
		if !f.Not {
			b.WriteString(" AND 1 = 0")
		}
		return
	}
	column := string(f.Field)
	inAttrs := slices.Contains(attrFields, f.Field)
	if inAttrs {
		column = "attrs"
	}
	b.WriteString(" AND ")
	if f.Not {
		b.write("(", column, " IS NULL OR NOT (")
	}
	if inAttrs {
		b.WriteString("(")
		for i, v := range values {
			if i > 0 {
				b.WriteString(" OR ")
			}
			b.write(s.d.locate(column, b.arg(attr(f.Field, v))), " > 0")
		}
		b.WriteString(")")
	} else {
		b.write(column, " IN (")
		b.list(values)
		b.WriteString(")")
	}
	if f.Not {
		b.WriteString("))")
	}
}

// after writes the condition that a record follows p in the direction of the query. The first part is
// what an index can use.
func (s *Store) after(b *builder, p store.Position, ascending bool) {
	op := "<"
	if ascending {
		op = ">"
	}
	ms := p.Timestamp.UnixMilli()
	b.write(" AND ts ", op, "= ", b.arg(ms), " AND (ts ", op, " ", b.arg(ms), " OR log_id ", op, " ", b.arg(p.LogID), ")")
}

// order writes the order of the query.
func order(b *builder, ascending bool) {
	if ascending {
		b.WriteString(" ORDER BY ts, log_id")
	} else {
		b.WriteString(" ORDER BY ts DESC, log_id DESC")
	}
}
