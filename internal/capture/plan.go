package capture

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"
	"gorm.io/gorm/schema"
)

// beforeAlias and beforeColumn name the before image inside a statement that returns both.
const (
	beforeAlias  = "__a"
	beforeColumn = "__o"
)

type planKey struct {
	model *Model
	table *table
	ref   string
}

// plan is what is the same for all statements of a model on a table: positions and SQL texts.
type plan struct {
	model *Model
	// read has the positions in Model.Columns that the table has and that may be read.
	read []int
	// keys are the positions in Model.Columns of the columns by which a row is found again: the primary
	// key of the model, or a unique key of the table. It is nil if neither can be read whole.
	keys []int
	// sure says that the table has no two rows of the same keys. A model may declare a part of the
	// table's key as its own (id of tenant_id and id), by which rows must not be joined.
	sure bool
	json []bool
	soft *softDelete

	list    string // "a","b"
	full    string // "t"."a","t"."b"
	aliased string // "t"."a" AS "__o0",…
	old     string // "__a"."__o0",…
	join    string // "t"."id" = "__a"."__o0"
}

// planOf gives the plan for a statement; ref is the quoted name by which its SQL calls the table.
func (e *engine) planOf(st *gorm.Statement, m *Model, t *table, ref string) *plan {
	key := planKey{m, t, ref}
	if p, ok := e.plans.Load(key); ok {
		return p.(*plan) //nolint:forcetypeassert // only plans are stored
	}
	p := &plan{model: m, json: make([]bool, len(m.Columns)), soft: softDeleteOf(m)}
	var list, full, aliased, old []string
	for i, name := range m.Columns {
		p.json[i] = isJSON(m.Schema.FieldsByDBName[name])
		if !t.readable(name) {
			continue
		}
		n := len(p.read)
		p.read = append(p.read, i)
		quoted := st.Quote(clause.Column{Name: name})
		o := st.Quote(clause.Column{Name: beforeColumn + strconv.Itoa(n)})
		list = append(list, quoted)
		full = append(full, ref+"."+quoted)
		aliased = append(aliased, ref+"."+quoted+" AS "+o)
		old = append(old, st.Quote(clause.Column{Name: beforeAlias})+"."+o)
	}
	p.list, p.full = strings.Join(list, ","), strings.Join(full, ",")
	if n := e.generation.Load(); n > 0 {
		comment := "/* " + strconv.FormatUint(uint64(n), 10) + " */ "
		p.list, p.full = comment+p.list, comment+p.full
	}
	p.aliased, p.old = strings.Join(aliased, ","), strings.Join(old, ",")
	p.keys, p.sure = keysOf(m, t)
	var join []string
	for _, k := range p.keys {
		if !p.sure {
			break
		}
		for n, i := range p.read {
			if i == k {
				join = append(join, full[n]+" = "+old[n])
			}
		}
	}
	p.join = strings.Join(join, " AND ")
	actual, _ := e.plans.LoadOrStore(key, p)
	return actual.(*plan) //nolint:forcetypeassert // only plans are stored
}

// keysOf gives the positions of the model's primary key if the table has it as one; else those of a unique
// key of the table, which is sure; else those of the model's primary key all the same.
func keysOf(m *Model, t *table) (keys []int, sure bool) {
	declared := m.Schema.PrimaryFieldDBNames
	keys = positions(m, t, declared)
	var other []int
	for _, k := range t.unique {
		if !k.sure || len(k.columns) == 0 {
			continue
		}
		if keys != nil && containsAll(declared, k.columns) {
			return keys, true
		}
		if other == nil {
			other = positions(m, t, k.columns)
		}
	}
	if other != nil {
		return other, true
	}
	return keys, false
}

// positions gives the positions of columns, nil if one of them cannot be read.
func positions(m *Model, t *table, columns []string) []int {
	var at []int
	for _, name := range columns {
		i := position(m.Columns, name)
		if i < 0 || !t.readable(name) {
			return nil
		}
		at = append(at, i)
	}
	return at
}

func containsAll(all, some []string) bool {
	return !slices.ContainsFunc(some, func(s string) bool { return !slices.Contains(all, s) })
}

func position(names []string, name string) int {
	for i, n := range names {
		if n == name {
			return i
		}
	}
	return -1
}

// key gives the keys of an image as one text.
func (p *plan) key(image []any) string { return keyOf(image, p.keys) }

// keyOf gives the values at some positions as one text that differs if one of them does.
func keyOf(image []any, at []int) string {
	var b strings.Builder
	for _, i := range at {
		s := word(image[i])
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
	}
	return b.String()
}

func word(v any) string {
	switch v := v.(type) {
	case nil:
		return "\x00"
	case time.Time:
		return strconv.FormatInt(v.UnixNano(), 10)
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10)
		}
	}
	if s, ok := text(v); ok {
		return s
	}
	return fmt.Sprint(v)
}

// equal reports whether two images are the same row.
func (p *plan) equal(a, b []any) bool {
	for _, i := range p.read {
		if !equalColumn(p.json[i], a[i], b[i]) {
			return false
		}
	}
	return true
}

// softDelete is the column that marks deleted rows.
type softDelete struct {
	at   int       // position in Model.Columns, -1 if it is excluded
	zero time.Time // the value of a row that is not deleted, if it is not NULL
}

func softDeleteOf(m *Model) *softDelete {
	for _, f := range m.Schema.Fields {
		if f.DBName == "" {
			continue
		}
		if _, ok := reflect.New(f.IndirectFieldType).Interface().(schema.DeleteClausesInterface); !ok {
			continue
		}
		s := &softDelete{at: position(m.Columns, f.DBName)}
		if v, ok := f.TagSettings["ZEROVALUE"]; ok {
			for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02"} {
				if t, err := time.Parse(layout, v); err == nil {
					s.zero = t
					break
				}
			}
		}
		return s
	}
	return nil
}

// deleted reports whether the image is of a deleted row.
func (s *softDelete) deleted(image []any) bool {
	switch v := image[s.at].(type) {
	case nil:
		return false
	case time.Time:
		return !v.Equal(s.zero)
	default:
		t, ok := text(v)
		return !ok || t != "0" && t != ""
	}
}

// updated says what an update of a row was.
func (p *plan) updated(before, after []any) Op {
	if p.soft == nil || p.soft.at < 0 {
		return Update
	}
	was, is := p.soft.deleted(before), p.soft.deleted(after)
	switch {
	case !was && is:
		return SoftDelete
	case was && !is:
		return Restore
	default:
		return Update
	}
}
