package audit

import (
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/r3labs/diff/v3"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/mask"
)

const (
	// maxPaths is how many changes inside one JSON column the table of change_message lists one by
	// one; if there are more, the column stands there as a whole.
	maxPaths = 20
	// maxPathSize is the size in bytes up to which JSON is compared inside. The comparison costs about
	// 150 ns a byte; changes always has the whole values.
	maxPathSize = 64 << 10
)

// changed gives the columns that differ between two images of a row. auto says that nothing but
// columns differ that GORM sets by itself with every update: no change.
func (t *table) changed(before, after []any) (columns []int, auto bool) {
	auto = true
	for i := range t.columns {
		c := &t.columns[i]
		if c.hidden || equalValue(c.kind, before[i], after[i]) {
			continue
		}
		columns = append(columns, i)
		auto = auto && c.auto
	}
	return columns, auto
}

// all gives the columns that are shown of a row that was added or deleted. The caller must not change them.
func (t *table) all() []int {
	if t.shown != nil {
		return t.shown
	}
	columns := make([]int, 0, len(t.columns))
	for i := range t.columns {
		if !t.columns[i].hidden {
			columns = append(columns, i)
		}
	}
	return columns
}

// shower turns raw values into what is recorded.
type shower struct {
	rules  *mask.Rules
	failed func(error) // is told of panics in maskers
	room   []byte      // where values are written; what is full is left to its values
}

// roomSize is how many bytes of values are allocated together.
const roomSize = 512

// encode gives a raw value as JSON.
func (s *shower) encode(k kind, raw any) json.RawMessage {
	if cap(s.room)-len(s.room) < roomSize/8 {
		s.room = make([]byte, 0, roomSize)
	}
	start := len(s.room)
	s.room = appendValue(s.room, k, raw)
	return s.room[start:len(s.room):len(s.room)]
}

// change gives the change of one column. before and after are images, nil if there is none.
func (s *shower) change(c *column, i int, before, after []any) event.Change {
	ch := event.Change{Field: c.name, Label: c.label, Type: c.kind.String()}
	var redacted bool
	if before != nil {
		ch.Old, redacted = s.value(c, before[i])
		ch.Redacted = redacted
	}
	if after != nil {
		ch.New, redacted = s.value(c, after[i])
		ch.Redacted = ch.Redacted || redacted
	}
	return ch
}

// value gives one raw value as it is recorded. A NULL is no secret and is shown.
func (s *shower) value(c *column, raw any) (v json.RawMessage, redacted bool) {
	switch {
	case raw == nil:
		return null, false
	case c.masked && c.masker == nil:
		return quote(mask.Redacted), true
	case c.masker != nil:
		return s.ask(c, raw), true
	}
	if f, ok := raw.(float64); ok && c.kind == kindFloat && c.field != nil && c.field.IndirectFieldType.Kind() == reflect.Float32 && float64(float32(f)) == f {
		raw = float32(f) // 0.1, and not 0.10000000149011612
	}
	v = s.encode(c.kind, raw)
	if c.plain {
		return v, false
	}
	switch {
	case c.kind == kindJSON:
		return s.rules.JSON(v)
	case v[0] == '"' && c.free(raw):
		if text, masked := s.rules.Document(textOf(raw)); masked {
			return quote(text), true
		}
	case c.kind == kindBytes:
		// Base64 hides nothing.
		if data, ok := bytesOf(raw); ok && utf8.Valid(data) {
			if _, masked := s.rules.Document(string(data)); masked {
				return quote(mask.Redacted), true
			}
		}
	}
	return v, false
}

// free reports whether raw may be any text: it is a text column, or a value that does not fit its kind.
func (c *column) free(raw any) bool {
	switch raw.(type) {
	case string, []byte:
		return c.kind != kindBytes
	}
	return c.kind == kindString
}

// ask asks the application's masker.
func (s *shower) ask(c *column, raw any) json.RawMessage {
	var out json.RawMessage
	err := guard("masker of column "+c.name, func() error {
		out = encode(c.masker(raw))
		return nil
	})
	if err != nil && s.failed != nil {
		// What it panicked with may have the secret in it: only the place is told.
		s.failed(&PanicError{Where: "masker of column " + c.name, Value: mask.Redacted})
	}
	if err != nil || out == nil {
		return quote(mask.Failed)
	}
	return out
}

// rows appends the rows of the table in change_message for one changed column: one, or for JSON one for
// each place inside that differs.
func (s *shower) rows(to []event.MessageRow, c *column, i int, before, after []any, ch *event.Change) []event.MessageRow {
	name := c.label
	if name == "" {
		name = c.name
	}
	if c.kind == kindJSON && !c.masked && c.masker == nil && before != nil && after != nil {
		if rows := s.paths(c, name, before[i], after[i]); rows != nil {
			return append(to, rows...)
		}
	}
	return append(to, event.MessageRow{Field: name, OldValue: ch.Old, NewValue: ch.New})
}

// paths compares two JSON values inside; nil if that is not possible or gives no readable list.
func (s *shower) paths(c *column, name string, before, after any) []event.MessageRow {
	x, okX := bytesOf(before)
	y, okY := bytesOf(after)
	if !okX || !okY || len(x)+len(y) > maxPathSize {
		return nil
	}
	old, okX := decodeJSON(x)
	now, okY := decodeJSON(y)
	if !okX || !okY {
		return nil
	}
	var log diff.Changelog
	// Two numbers of the same value are different texts here, as they are to the database. With
	// SliceOrdering a moved element is a change, which by default it is not.
	err := guard("diff of column "+c.name, func() (err error) {
		log, err = diff.Diff(old, now, diff.SliceOrdering(true), diff.AllowTypeMismatch(true))
		return err
	})
	if err != nil || len(log) == 0 || len(log) > maxPaths {
		return nil
	}
	rows := make([]event.MessageRow, 0, len(log))
	for _, l := range log {
		// The list must say what the values say; r3labs/diff is checked, not trusted.
		if len(l.Path) == 0 || !reflect.DeepEqual(at(old, l.Path), l.From) || !reflect.DeepEqual(at(now, l.Path), l.To) {
			return nil
		}
		rows = append(rows, event.MessageRow{
			Field:    name + "." + strings.Join(l.Path, "."),
			OldValue: s.inner(c, l.Path, l.From, l.Type == diff.CREATE),
			NewValue: s.inner(c, l.Path, l.To, l.Type == diff.DELETE),
		})
	}
	return rows
}

// at gives the value at a path of decoded JSON, nil if there is none.
func at(v any, path []string) any {
	for _, name := range path {
		switch inner := v.(type) {
		case map[string]any:
			v = inner[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(inner) {
				return nil
			}
			v = inner[i]
		default:
			return nil
		}
	}
	return v
}

// inner gives a value from inside a JSON column.
func (s *shower) inner(c *column, path []string, v any, absent bool) json.RawMessage {
	if absent || v == nil {
		return null
	}
	if !c.plain {
		if slices.ContainsFunc(path, s.rules.Name) {
			return quote(mask.Redacted)
		}
		v, _ = s.rules.Value(v)
	}
	if out := encode(v); out != nil {
		return out
	}
	return quote(mask.Failed)
}
