package store

import "time"

// Interval is the width of the buckets of a histogram.
type Interval string

// The intervals. Days begin with the first instant of their date (see StartOfDay), weeks on Monday. Minutes
// and hours begin on the full minute or hour of the clock, and where the clock is changed: no bucket spans
// that, so the hour that is there twice has two buckets.
const (
	Minute Interval = "minute"
	Hour   Interval = "hour"
	Day    Interval = "day"
	Week   Interval = "week"
	Month  Interval = "month"
	Year   Interval = "year"
)

// Intervals gives all intervals, the shortest first.
func Intervals() []Interval { return []Interval{Minute, Hour, Day, Week, Month, Year} }

// longest gives how long an interval lasts at most.
func (i Interval) longest() time.Duration {
	const day = 24 * time.Hour
	switch i { //nolint:exhaustive // the longest is what is left
	case Minute:
		return time.Minute
	case Hour:
		return time.Hour
	case Day:
		return 2 * day // one that is followed by a day that was skipped
	case Week:
		return 8 * day
	case Month:
		return 32 * day
	}
	return 367 * day
}

// start gives the start of the interval with t, in the zone of t.
func (i Interval) start(t time.Time) time.Time {
	y, m, d := t.Date()
	switch i { //nolint:exhaustive // a day begins where it is
	case Minute, Hour:
		start := t.Add(-i.since(t))
		if changed, _ := t.ZoneBounds(); !changed.IsZero() && start.Before(changed) {
			start = changed
		}
		return start.In(t.Location())
	case Week:
		d -= (int(t.Weekday()) + 6) % 7
	case Month:
		d = 1
	case Year:
		m, d = time.January, 1
	}
	return StartOfDay(y, m, d, t.Location())
}

// next gives the start of the interval behind the one that starts at t.
func (i Interval) next(t time.Time) time.Time {
	if i == Minute || i == Hour {
		next := t.Add(i.longest() - i.since(t))
		if _, changed := t.ZoneBounds(); !changed.IsZero() && next.After(changed) {
			next = changed
		}
		return next.In(t.Location())
	}
	y, m, d := t.Date()
	for n := 1; ; n++ {
		var next time.Time
		switch i {
		case Week:
			// Not simply seven days on, because the first day of the week may have been skipped.
			monday := d - (int(t.Weekday())+6)%7
			next = StartOfDay(y, m, monday+7*n, t.Location())
		case Month:
			next = StartOfDay(y, m+time.Month(n), 1, t.Location())
		case Year:
			next = StartOfDay(y+n, time.January, 1, t.Location())
		default:
			next = StartOfDay(y, m, d+n, t.Location())
		}
		if next.After(t) { // else it is the same instant: a day that was skipped
			return next
		}
	}
}

// since gives how much of the full minute or hour of the clock has passed.
func (i Interval) since(t time.Time) time.Duration {
	_, offset := t.Zone()
	width := int64(i.longest())
	// In nanoseconds within the interval, because the time since the epoch does not fit for all years.
	seconds := (t.Unix() + int64(offset)) % (width / int64(time.Second))
	if seconds < 0 {
		seconds += width / int64(time.Second)
	}
	return time.Duration(seconds)*time.Second + time.Duration(t.Nanosecond())
}
