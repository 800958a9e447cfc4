package query

import (
	"time"

	"github.com/gormtrail/audit/store"
)

const (
	dateForm    = "2006-01-02"
	dateAllowed = "YYYY-MM-DD, in the years 1900 to 9998"
	// The years of all stores: in every zone such a day has a four-digit year in UTC.
	minYear, maxYear = 1900, 9998
)

// dates reads from_date and to_date: whole days in the zone, both inclusive.
func (h *handler) dates(p *parser, q *store.Query) {
	from, hasFrom := p.date("from_date")
	to, hasTo := p.date("to_date")
	if hasFrom && hasTo && from.After(to) {
		p.bad("from_date", "invalid_range", "a day up to to_date", "%s is after to_date %s", from.Format(dateForm), to.Format(dateForm))
		return
	}
	if hasFrom {
		q.From = store.StartOfDay(from.Year(), from.Month(), from.Day(), h.Location)
	}
	if hasTo {
		q.To = store.StartOfDay(to.Year(), to.Month(), to.Day()+1, h.Location)
	}
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
