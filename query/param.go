package query

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// schema is a JSON Schema in the OpenAPI document.
type schema map[string]any

// param is a parameter of a route.
type param struct {
	name, text string
	schema     schema
	// path says that it is a part of the path, many that it may be repeated.
	path, many bool
}

func join(lists ...[]param) []param { return slices.Concat(lists...) }

func pathParam(name, text string) param {
	return param{name: name, text: text, path: true, schema: schema{"type": "string", "minLength": 1, "maxLength": event.MaxIDLength}}
}

func integer(name, text string, standard, least, most int) param {
	return param{name: name, text: text, schema: schema{"type": "integer", "minimum": least, "maximum": most, "default": standard}}
}

func choice(name, text, standard string, words ...string) param {
	s := schema{"type": "string", "enum": words}
	if standard != "" {
		s["default"] = standard
	}
	return param{name: name, text: text, schema: s}
}

func text(name, text string, most int) param {
	return param{name: name, text: text, schema: schema{"type": "string", "minLength": 1, "maxLength": most}}
}

func sortParam() param {
	return choice("sort", "newest or oldest first", "-timestamp", "-timestamp", "timestamp")
}

func cursorParam() param {
	return text("cursor", "next_cursor or prev_cursor of an answer with the same filters", MaxURLLength)
}

func pageParams() []param {
	return []param{
		integer("page_size", "records of a page", store.DefaultSize, 1, MaxPageSize), cursorParam(), sortParam(),
		choice("total", fmt.Sprintf("whether all records are counted, up to %d", store.TotalLimit), "estimate", "estimate", "none"),
	}
}

func offsetParams() []param {
	return []param{integer("from_offset", "skip so many records; with page_size at most 10,000, use cursor beyond", 0, 0, store.MaxWindow)}
}

// filterParams are those that every search takes.
func filterParams() []param {
	var out []param
	for _, f := range store.Fields() {
		values := schema{"type": "string", "minLength": 1, "maxLength": MaxValueLength}
		out = append(out,
			param{name: string(f), text: "records with this value; repeated: any of these", many: true, schema: values},
			param{name: notPrefix + string(f), text: "records without this value; repeated: none of these", many: true, schema: values})
	}
	out = append(out,
		text("change_field", "records in which this column was changed", MaxValueLength),
		text("change_from", "with change_field: from this value; a text, or the JSON of any other value", MaxValueLength),
		text("change_to", "with change_field: to this value; a text, or the JSON of any other value", MaxValueLength),
		param{name: "extra", text: "records whose own field has the value, as name=value; repeated: all of these", many: true, schema: schema{"type": "string", "minLength": 1, "maxLength": MaxValueLength}},
	)
	day := schema{"type": "string", "format": "date"}
	instant := schema{"type": "string", "format": "date-time"}
	return append(out,
		param{name: "from_date", text: "from the start of this day in the zone", schema: day},
		param{name: "to_date", text: "up to the end of this day in the zone", schema: day},
		param{name: "from", text: "from this instant; not together with from_date and to_date", schema: instant},
		param{name: "to", text: "up to, and without, this instant", schema: instant},
		param{name: "last", text: "the time up to now: 15m, 24h, 7d, 4w", schema: schema{"type": "string", "pattern": "^[1-9][0-9]{0,4}[mhdw]$"}},
		text("tz", "IANA zone of from_date and to_date, such as Asia/Ho_Chi_Minh; the service's own by default", 64),
		text("search_term", `words that must all occur; "a phrase", prefix*`, store.MaxTextLength),
	)
}

// allowed gives the names of the query parameters of the route.
func (r *route) allowed() []string {
	var names []string
	for _, p := range r.query() {
		names = append(names, p.name)
	}
	return names
}

// query gives the parameters of the route that are no part of its path.
func (r *route) query() []param {
	var out []param
	if r.filters {
		out = filterParams()
	}
	for _, p := range r.params {
		if !p.path {
			out = append(out, p)
		}
	}
	return out
}

// unknown reports the parameters that the route does not have.
func (p *parser) unknown(r *route) {
	allowed := r.allowed()
	for _, name := range p.names() {
		if slices.Contains(allowed, name) {
			continue
		}
		switch {
		case len(allowed) == 0:
			p.bad(quoteName(name), "unknown_parameter", "no parameters", "there is no such parameter")
		case name == "cursor", !r.filters:
			p.bad(quoteName(name), "unknown_parameter", strings.Join(allowed, ", "), "there is no such parameter")
		default:
			p.bad(quoteName(name), "unknown_parameter", allowedNames(r), "there is no such parameter")
		}
	}
}

// allowedNames names the parameters of a route with filters, those twice that can be negated only once.
func allowedNames(r *route) string {
	var names []string
	for _, name := range r.allowed() {
		if !strings.HasPrefix(name, notPrefix) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ") + "; a field behind " + notPrefix
}
