package query

import (
	"fmt"
	"strings"

	"github.com/gormtrail/audit/store"
)

// change reads the search for a change of a column from one value to another. Values of a column that is
// hidden from the caller cannot be asked for: the answer would tell them.
func (p *parser) change(q *store.Query, grant Grant) {
	field, hasField := p.one("change_field")
	before, after := p.changeValue("change_from"), p.changeValue("change_to")
	if !hasField {
		for name, v := range map[string]*string{"change_from": before, "change_to": after} {
			if v != nil {
				p.bad(name, "conflict", "change_field beside it", "cannot be used without change_field")
			}
		}
		return
	}
	switch {
	case !plain(field) || len(field) > MaxValueLength:
		p.bad("change_field", "invalid_value", "the name of a column", "%s cannot occur", quote(field))
	case grant.hides("changes") || grant.hides(hiddenChanges+field):
		p.bad("change_field", "hidden_field", "columns that you can see", "this column is hidden from you")
	default:
		q.Filters = append(q.Filters, store.Changed(field, before, after))
	}
}

func (p *parser) changeValue(name string) *string {
	values, ok := p.values[name]
	if !ok {
		return nil
	}
	switch {
	case len(values) > 1:
		p.bad(name, "repeated_parameter", "one value", "%d values", len(values))
	case len(values[0]) == 0:
		p.bad(name, "empty_value", `a value, "" for the empty text, or leave the parameter out`, "is empty")
	case len(values[0]) > MaxValueLength:
		p.bad(name, "too_long", fmt.Sprintf("at most %d bytes", MaxValueLength), "has %d bytes", len(values[0]))
	case !plain(values[0]):
		p.bad(name, "invalid_value", "UTF-8 text without control characters", "%s cannot occur", quote(values[0]))
	}
	v := values[0]
	if v == `""` {
		v = ""
	}
	return &v
}

// extra reads the filters by fields of the application's own.
func (p *parser) extra(q *store.Query, grant Grant) {
	for _, pair := range p.values["extra"] {
		key, value, ok := strings.Cut(pair, "=")
		switch {
		case !ok || key == "":
			p.bad("extra", "invalid_value", "name=value", "%s is not of this form", quote(pair))
		case len(pair) > MaxValueLength:
			p.bad("extra", "too_long", fmt.Sprintf("at most %d bytes", MaxValueLength), "a value has %d bytes", len(pair))
		case !plain(pair):
			p.bad("extra", "invalid_value", "UTF-8 text without control characters", "%s cannot occur", quote(pair))
		case grant.hidesExtra(key):
			p.bad("extra", "hidden_field", "fields that you can see", "this field is hidden from you")
		default:
			q.Filters = append(q.Filters, store.Extra(key, value))
		}
	}
	if n := len(p.values["extra"]); n > MaxTerms {
		p.bad("extra", "too_many_values", fmt.Sprintf("at most %d", MaxTerms), "%d values", n)
	}
}

// hidesExtra reports whether the field, or one that it is a part of, is hidden.
func (g Grant) hidesExtra(key string) bool {
	if g.hides("extra") {
		return true
	}
	for _, name := range g.Hidden {
		if hidden, ok := strings.CutPrefix(name, hiddenExtra); ok && (key == hidden || strings.HasPrefix(key, hidden+".")) {
			return true
		}
	}
	return false
}
