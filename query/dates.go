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
		q.From = startOfDay(from.Year(), from.Month(), from.Day(), h.Location)
	}
	if hasTo {
		q.To = startOfDay(to.Year(), to.Month(), to.Day()+1, h.Location)
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

// startOfDay returns the first instant whose date in loc is y-m-d or later. time.Date at midnight is
// wrong on days that begin with a gap or have two midnights.
func startOfDay(y int, m time.Month, d int, loc *time.Location) time.Time {
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	for t := midnight.Add(-15 * time.Hour).In(loc); ; { // 15 h: no zone is further east of UTC
		_, off := t.Zone()
		_, end := t.ZoneBounds()
		start := midnight.Add(-time.Duration(off) * time.Second)
		if start.Before(t) {
			start = t // a gap swallowed midnight
		}
		if end.IsZero() || start.Before(end) {
			return start.In(loc)
		}
		t = end.In(loc)
	}
}
