package query

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Bounds of the parameters.
const (
	MaxPageSize    = 200  // records of a page
	MaxTerms       = 16   // words of search_term
	MaxValueLength = 512  // bytes of a filter's value
	MaxURLLength   = 8192 // bytes of a URL
	// MaxHeaderLength and MaxBodyLength bound the header and the body of a request in bytes.
	MaxHeaderLength = 32 << 10
	MaxBodyLength   = 64 << 10

	notPrefix = "not_"
)

// request is a search as it was asked for: checked, without what the caller is granted.
type request struct {
	query  store.Query
	cursor string
	// total says whether the answer has one.
	total bool
	// zone is the zone of the days.
	zone *time.Location
	// values are the parameters, for the links to other pages.
	values url.Values
}

// parser collects everything that is wrong with the parameters of a request.
type parser struct {
	values url.Values
	errs   []ParamError
}

func (p *parser) read(rawQuery string) {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		p.bad("(query)", "invalid_value", "name=value pairs joined by &, percent-encoded", "the query string cannot be read")
	}
	p.values = values
}

// names gives the names of the parameters in the order of the alphabet.
func (p *parser) names() []string { return slices.Sorted(maps.Keys(p.values)) }

func (p *parser) bad(param, code, allowed, format string, args ...any) {
	p.errs = append(p.errs, ParamError{Param: param, Code: code, Detail: fmt.Sprintf(format, args...), Allowed: allowed})
}

// one gives the value of a parameter that may be there once.
func (p *parser) one(name string) (string, bool) {
	values, ok := p.values[name]
	switch {
	case !ok:
		return "", false
	case len(values) > 1:
		p.bad(name, "repeated_parameter", "one value", "%d values", len(values))
		return "", false
	case strings.TrimSpace(values[0]) == "":
		p.bad(name, "empty_value", "a value, or leave the parameter out", "is empty")
		return "", false
	}
	return values[0], true
}

// word gives the value of a parameter that is one of the words.
func (p *parser) word(name, standard string, words ...string) string {
	v, ok := p.one(name)
	if !ok {
		return standard
	}
	if !slices.Contains(words, v) {
		p.bad(name, "invalid_value", strings.Join(words, " or "), "%s is not known", quote(v))
	}
	return v
}

// number gives the value of a parameter that is a whole number between least and most.
func (p *parser) number(name string, standard, least, most int) int {
	v, ok := p.one(name)
	if !ok {
		return standard
	}
	n, err := strconv.Atoi(v)
	switch {
	case err != nil || strings.HasPrefix(v, "+"):
		p.bad(name, "invalid_value", fmt.Sprintf("%d to %d", least, most), "%s is not a whole number", quote(v))
	case n < least || n > most:
		p.bad(name, "out_of_range", fmt.Sprintf("%d to %d", least, most), "%d is out of range", n)
	default:
		return n
	}
	return standard
}

// filterOf gives the field that the parameter filters by.
func filterOf(param string) (field store.Field, not, ok bool) {
	name, not := strings.CutPrefix(param, notPrefix)
	ok = slices.Contains(store.Fields(), store.Field(name))
	return store.Field(name), not, ok
}

// parse reads the parameters of the route: the filters, the times and the text, if it has them, and the
// order. What concerns only some routes they read themselves.
func (h *handler) parse(r *call) request {
	p := r.p
	q := request{values: p.values}
	if r.route.filters {
		for _, name := range p.names() {
			field, not, ok := filterOf(name)
			if ok && p.visible(r.grant, name, string(field)) {
				q.query.Filters = append(q.query.Filters, store.Filter{Field: field, Not: not, Values: p.filterValues(name, field)})
			}
		}
		p.change(&q.query, r.grant)
		p.extra(&q.query, r.grant)
		p.text(&q.query, r.grant)
		h.times(r, &q)
	}
	q.query.Ascending = p.word("sort", "-timestamp", "-timestamp", "timestamp") == "timestamp"
	q.query = q.query.WithDefaults()
	return q
}

// visible reports whether the caller may ask by the field, and says so if not.
func (p *parser) visible(grant Grant, param, field string) bool {
	if grant.hides(field) {
		p.bad(param, "hidden_field", "fields that you can see", "this field is hidden from you")
		return false
	}
	return true
}

// pathValue gives a part of the path, which must be a value that can occur in the field.
func (p *parser) pathValue(r *call, name string) string {
	v := r.c.Param(name)
	if !validID(v) {
		p.bad(name, "invalid_value", fmt.Sprintf("1 to %d bytes of printable text", event.MaxIDLength), "%s is not an id", quote(v))
	}
	return v
}

// quoteName gives the name of an unknown parameter for a message.
func quoteName(name string) string {
	if name == "" || len(name) > 60 || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return quote(name)
	}
	return name
}

// filterValues gives the values of a filter, normalised.
func (p *parser) filterValues(name string, field store.Field) []string {
	var out []string
	for _, v := range p.values[name] {
		switch {
		case strings.TrimSpace(v) == "":
			p.bad(name, "empty_value", "a value, or leave the parameter out", "is empty")
			continue
		case len(v) > MaxValueLength:
			p.bad(name, "too_long", fmt.Sprintf("at most %d bytes", MaxValueLength), "a value has %d bytes", len(v))
			continue
		case !plain(v):
			p.bad(name, "invalid_value", "UTF-8 text without control characters", "%s cannot occur", quote(v))
			continue
		}
		switch field {
		case store.FieldAction, store.FieldBatchAction:
			v = string(event.ParseAction(v))
		case store.FieldIPAddress:
			addr, err := netip.ParseAddr(v)
			if err != nil {
				p.bad(name, "invalid_value", "an IPv4 or IPv6 address", "%s is not an address", quote(v))
				continue
			}
			v = addr.String()
		}
		if !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	if len(out) > store.MaxValues {
		p.bad(name, "too_many_values", fmt.Sprintf("at most %d values", store.MaxValues), "%d values", len(out))
	}
	return out
}

// plain reports whether v may be asked for: databases differ about invalid UTF-8 and about NUL.
func plain(v string) bool {
	return utf8.ValidString(v) && !strings.ContainsFunc(v, unicode.IsControl)
}

func (p *parser) text(q *store.Query, grant Grant) {
	v, ok := p.one("search_term")
	if !ok {
		return
	}
	v = strings.TrimSpace(v)
	switch n, words := utf8.RuneCountInString(v), len(strings.Fields(v)); {
	case len(grant.Hidden) > 0:
		p.bad("search_term", "hidden_field", "filters by field", "text cannot be searched, because fields are hidden from you")
	case !plain(v):
		p.bad("search_term", "invalid_value", "UTF-8 text without control characters", "%s cannot occur", quote(v))
	case n > store.MaxTextLength:
		p.bad("search_term", "too_long", fmt.Sprintf("at most %d characters", store.MaxTextLength), "has %d characters", n)
	case words > MaxTerms:
		p.bad("search_term", "too_many_values", fmt.Sprintf("at most %d words", MaxTerms), "has %d words", words)
	case len(store.ParseText(v)) == 0:
		p.bad("search_term", "invalid_value", "at least one word: letters or digits", "%s has no word", quote(v))
	default:
		q.Text = v
	}
}

// page reads the parameters of one page.
func (p *parser) page(r *request) {
	r.total = p.word("total", "estimate", "estimate", "none") == "estimate"
	if !r.total {
		r.query.TotalLimit = -1
	}
	r.query.Size = p.number("page_size", store.DefaultSize, 1, MaxPageSize)
	r.query.Offset = p.number("from_offset", 0, 0, store.MaxWindow)
	r.cursor, _ = p.one("cursor")
	if r.cursor != "" {
		for _, name := range []string{"from_offset", "last"} {
			if _, has := p.values[name]; has {
				p.bad(name, "conflict", "cursor without "+name+"; next and previous have what goes with it", "cannot be used together with cursor")
			}
		}
	}
	if sum := r.query.Offset + r.query.Size; sum > store.MaxWindow {
		p.bad("from_offset", "out_of_range", fmt.Sprintf("from_offset + page_size up to %d; page further with cursor=<next_cursor>", store.MaxWindow),
			"from_offset + page_size is %d", sum)
	}
}
