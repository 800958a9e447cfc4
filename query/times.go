package query

import (
	"strconv"
	"strings"
	"time"

	"github.com/gormtrail/audit/store"
)

const (
	dateForm    = "2006-01-02"
	dateAllowed = "YYYY-MM-DD, in the years 1900 to 9998"
	// The years of all stores: in every zone such a day has a four-digit year in UTC.
	minYear, maxYear = 1900, 9998
)

// times reads the time span: days of the zone, both inclusive; or instants, of which the second is not
// in it; or so long up to now.
func (h *handler) times(r *call, q *request) {
	p := r.p
	q.zone = h.zone(p)
	h.oneFamily(p)
	h.dates(p, q)
	from, hasFrom := p.instant("from")
	to, hasTo := p.instant("to")
	if hasFrom && hasTo && from.After(to) {
		p.bad("from", "invalid_range", "an instant up to to", "%s is after to", quote(p.values.Get("from")))
	}
	if hasFrom {
		q.query.From = from
	}
	if hasTo {
		q.query.To = to
	}
	if d, ok := p.duration("last"); ok {
		q.query.To = r.start.UTC().Truncate(time.Millisecond)
		q.query.From = q.query.To.Add(-d)
	}
}

// oneFamily reports parameters of time that do not go together.
func (h *handler) oneFamily(p *parser) {
	first := ""
	for _, family := range [][]string{{"from_date", "to_date"}, {"from", "to"}, {"last"}} {
		for _, name := range family {
			if !p.values.Has(name) {
				continue
			}
			if first != "" {
				p.bad(name, "conflict", "from_date and to_date, or from and to, or last", "cannot be used together with %s", first)
				return
			}
		}
		for _, name := range family {
			if first == "" && p.values.Has(name) {
				first = name
			}
		}
	}
}

func (h *handler) dates(p *parser, q *request) {
	from, hasFrom := p.date("from_date")
	to, hasTo := p.date("to_date")
	if hasFrom && hasTo && from.After(to) {
		p.bad("from_date", "invalid_range", "a day up to to_date", "%s is after to_date %s", from.Format(dateForm), to.Format(dateForm))
		return
	}
	if hasFrom {
		q.query.From = store.StartOfDay(from.Year(), from.Month(), from.Day(), q.zone)
	}
	if hasTo {
		q.query.To = store.StartOfDay(to.Year(), to.Month(), to.Day()+1, q.zone)
	}
}

// zone gives the zone of the days.
func (h *handler) zone(p *parser) *time.Location {
	name, ok := p.one("tz")
	if !ok {
		return h.Location
	}
	// "Local" is that of this machine, which the caller cannot know.
	zone, err := time.LoadLocation(name)
	if err != nil || zone == time.Local || len(name) > 64 {
		p.bad("tz", "invalid_value", "the IANA name of a zone, such as Asia/Ho_Chi_Minh or UTC", "%s is no zone", quote(name))
		return h.Location
	}
	return zone
}

// zoneOf gives the zone in which the request counts its days.
func (h *handler) zoneOf(q request) *time.Location {
	if q.zone == nil {
		return h.Location
	}
	return q.zone
}

func (p *parser) date(name string) (time.Time, bool) {
	v, ok := p.one(name)
	if !ok {
		return time.Time{}, false
	}
	day, err := time.Parse(dateForm, v)
	if err != nil || day.Year() < minYear || day.Year() > maxYear {
		p.bad(name, "invalid_date", dateAllowed, "%s is not such a date", quote(v))
		return time.Time{}, false
	}
	return day, true
}

// instant reads a date-time. Its offset is required: a time without one is a different instant for each
// reader.
func (p *parser) instant(name string) (time.Time, bool) {
	v, ok := p.one(name)
	if !ok {
		return time.Time{}, false
	}
	// A + that nobody has encoded comes as a blank.
	at, err := time.Parse(time.RFC3339Nano, strings.Replace(v, " ", "+", 1))
	if err != nil || at.UTC().Year() < minYear || at.UTC().Year() > maxYear {
		p.bad(name, "invalid_date", "RFC 3339 with an offset, such as 2026-11-23T08:00:00+07:00 or 2026-11-23T01:00:00Z, in the years 1900 to 9998", "%s is not such an instant", quote(v))
		return time.Time{}, false
	}
	return at.UTC().Truncate(time.Millisecond), true
}

// duration reads so many minutes, hours, days or weeks.
func (p *parser) duration(name string) (time.Duration, bool) {
	v, ok := p.one(name)
	if !ok {
		return 0, false
	}
	unit, known := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[v[len(v)-1]]
	n, err := strconv.ParseUint(v[:len(v)-1], 10, 32)
	if !known || err != nil || n < 1 || n > 99_999 || v[0] == '0' {
		p.bad(name, "invalid_value", "a number up to 99999 and m, h, d or w, such as 15m or 7d", "%s is no such time", quote(v))
		return 0, false
	}
	return time.Duration(n) * unit, true
}
