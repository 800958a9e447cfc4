package audit

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/internal/mask"
)

// mapOf gives a map with names as keys, of whatever type it is.
func mapOf(object any) (map[string]any, bool) {
	rv := reflect.ValueOf(object)
	for rv.Kind() == reflect.Pointer && !rv.IsNil() {
		rv = rv.Elem()
	}
	if rv.Kind() != reflect.Map || rv.Type().Key().Kind() != reflect.String {
		return nil, false
	}
	m := make(map[string]any, rv.Len())
	for it := rv.MapRange(); it.Next(); {
		m[it.Key().String()] = it.Value().Interface()
	}
	return m, true
}

// entryTable finds the model that the objects of e are of; for maps it is the one that a struct among
// them or the object type names, or one of their own.
func (h *handle) entryTable(ctx context.Context, e Entry) (*table, error) {
	var found *table
	var given []map[string]any
	for _, object := range []any{e.Object, e.Modified, e.Original} {
		if isNil(object) {
			continue
		}
		if m, ok := mapOf(object); ok {
			given = append(given, m)
			continue
		}
		t, err := h.tableOf(ctx, object)
		if err != nil {
			return nil, err
		}
		if found != nil && found != t {
			return nil, fmt.Errorf("%w: its objects are a %s and a %s, want one model", ErrEntry, found.model.typ, t.model.typ)
		}
		found = t
	}
	if found != nil || len(given) == 0 {
		return found, nil
	}
	if e.ObjectType == "" {
		return nil, fmt.Errorf("%w: its objects are maps, and nothing says of what: set ObjectType or Object", ErrEntry)
	}
	for _, t := range h.current(ctx).list {
		if t.model.info.ModelName == e.ObjectType {
			return t, nil
		}
	}
	return mapTable(e.ObjectType, &h.auditor.rules, given), nil
}

// mapTable makes the table of maps that are no registered model: a column for each name.
func mapTable(objectType string, rules *mask.Rules, given []map[string]any) *table {
	t := &table{model: &model{info: Info{ModelName: objectType}}, repr: -1}
	kinds := make(map[string]kind)
	for _, m := range given {
		for name, v := range m {
			k, known := kindOfValue(v)
			old, seen := kinds[name]
			switch {
			case !seen && known:
				kinds[name] = k
			case seen && known && old != k:
				kinds[name] = kindJSON // JSON says of each value what it is
			}
		}
	}
	for _, m := range given {
		for name := range m {
			if !slices.ContainsFunc(t.columns, func(c column) bool { return c.name == name }) {
				t.columns = append(t.columns, column{name: name, kind: kinds[name], masked: rules.Name(name)})
			}
		}
	}
	slices.SortFunc(t.columns, func(a, b column) int { return strings.Compare(a.name, b.name) })
	for i := range t.columns {
		if strings.EqualFold(t.columns[i].name, "id") {
			t.key = []int{i}
			break
		}
	}
	t.findRepr()
	return t
}

// kindOfValue decides by a Go value; false for nil.
func kindOfValue(v any) (kind, bool) {
	if isNil(v) {
		return kindString, false
	}
	switch v.(type) {
	case json.RawMessage:
		return kindJSON, true
	case driver.Valuer:
	default:
		rv := reflect.Indirect(reflect.ValueOf(v))
		switch rv.Kind() {
		case reflect.Map, reflect.Array:
			return kindJSON, true
		case reflect.Slice:
			if rv.Type().Elem().Kind() != reflect.Uint8 {
				return kindJSON, true
			}
		case reflect.Struct:
			if _, ok := timeOf(rv.Interface()); !ok {
				return kindJSON, true
			}
		}
	}
	raw := readable(func() any { return rawOf(v) })
	if raw == nil {
		return kindString, false
	}
	return kindOfRaw(raw), true
}

func kindOfRaw(raw any) kind {
	switch raw.(type) {
	case int64, uint64:
		return kindInteger
	case float64:
		return kindFloat
	case bool:
		return kindBool
	case []byte:
		return kindBytes
	}
	if _, ok := raw.(string); !ok {
		if _, ok := timeOf(raw); ok {
			return kindTime
		}
	}
	return kindString
}

// imageOfMap gives base with the values of m in it, and the columns that m has.
func (t *table) imageOfMap(base []any, m map[string]any) (row []any, columns []int, err error) {
	row = make([]any, len(t.columns))
	copy(row, base)
	err = guard("reading a map", func() error {
		for name, v := range m {
			i := slices.IndexFunc(t.columns, func(c column) bool { return c.named(name) })
			switch {
			case i < 0 && t.excluded(name):
			case i < 0:
				return fmt.Errorf("%w: its map has %q, which is no field of %s", ErrEntry, name, t.model.info.ModelName)
			default:
				columns = append(columns, i)
				row[i] = readable(func() any { return t.columns[i].rawOf(v) })
			}
		}
		return nil
	})
	return row, columns, err
}

// rawOf gives v as an image of the column has it.
func (c *column) rawOf(v any) any {
	if c.kind != kindJSON || isNil(v) {
		return rawOf(v)
	}
	if c.field != nil { // of a model: texts are JSON already
		switch v := v.(type) {
		case string, []byte, driver.Valuer:
			return rawOf(v)
		}
	}
	return string(encodeOrSay(v))
}

func (c *column) named(name string) bool {
	if c.field == nil {
		return c.name == name
	}
	return means(name, c.field)
}

// excluded reports whether the model has a field of the name that is not read.
func (t *table) excluded(name string) bool {
	return t.schema != nil && slices.ContainsFunc(t.schema.Fields, func(f *schema.Field) bool { return means(name, f) })
}

// entryImage gives the image of an object of an entry, and of a map the columns that it has.
func (t *table) entryImage(ctx context.Context, object any, base []any) (row []any, columns []int, err error) {
	if isNil(object) {
		return nil, nil, nil
	}
	if m, ok := mapOf(object); ok {
		return t.imageOfMap(base, m)
	}
	return t.imageOf(ctx, object), nil, nil
}
