package store

import "time"

// StartOfDay returns the first instant whose date in loc is y-m-d or later. A day goes from its
// StartOfDay to that of the day after (y, m, d+1), which is right on days when clocks change as well:
// where there is no midnight, or two. A day that loc skipped is empty. Month and day out of range are
// normalised as in time.Date.
//
// time.Date at midnight is not the same: it gives 23:00 of the day before, or the second of two
// midnights, on about one of 2,000 days of the zones that change at midnight.
func StartOfDay(y int, m time.Month, d int, loc *time.Location) time.Time {
	midnight := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	for t := midnight.Add(-15 * time.Hour).In(loc); ; { // no zone is further east of UTC than 15 hours
		_, offset := t.Zone()
		_, end := t.ZoneBounds()
		start := midnight.Add(-time.Duration(offset) * time.Second)
		if start.Before(t) {
			start = t // the clocks were put forward over midnight
		}
		if end.IsZero() || start.Before(end) {
			return start.In(loc)
		}
		t = end.In(loc)
	}
}
