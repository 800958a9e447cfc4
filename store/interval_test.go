package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
	_ "time/tzdata"
)

// Zones whose clocks change at midnight, by half an hour, over the date line, or not at all.
var intervalZones = []string{
	"UTC", "Asia/Ho_Chi_Minh", "Europe/Berlin", "America/New_York", "America/Santiago", "America/Havana", "America/Sao_Paulo",
	"Asia/Amman", "Asia/Gaza", "Africa/Cairo", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Antarctica/Troll",
}

// TestBuckets_areWhatTheClockSays goes through the buckets in small steps.
func TestBuckets_areWhatTheClockSays(t *testing.T) {
	t.Parallel()
	for _, name := range intervalZones {
		loc, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, interval := range Intervals() {
			t.Run(name+"/"+string(interval), func(t *testing.T) {
				t.Parallel()
				rng := rand.New(rand.NewPCG(11, 12))
				for _, at := range interestingTimes(rng, loc) {
					checkBuckets(t, loc, interval, at)
				}
			})
		}
	}
}

// interestingTimes gives times around changes of the clock, and random ones.
func interestingTimes(rng *rand.Rand, loc *time.Location) []time.Time {
	var times []time.Time
	start := time.Date(2009, 1, 1, 0, 0, 0, 0, loc)
	for at := start; at.Year() < 2025; {
		_, end := at.ZoneBounds()
		if end.IsZero() {
			break
		}
		times = append(times, end)
		at = end
	}
	rng.Shuffle(len(times), func(i, j int) { times[i], times[j] = times[j], times[i] })
	times = times[:min(len(times), 3)]
	for range 2 {
		times = append(times, start.Add(time.Duration(rng.Int64N(int64(16*365*24*time.Hour)))))
	}
	return times
}

func checkBuckets(t *testing.T, loc *time.Location, interval Interval, at time.Time) {
	t.Helper()
	from, to := at.Add(-2*interval.longest()-time.Minute), at.Add(2*interval.longest()+time.Minute)
	h, err := (HistogramRequest{Interval: interval, Location: loc}).WithDefaults().Buckets(from, to)
	if err != nil {
		t.Fatal(err)
	}
	first, last := h.Buckets[0], h.Buckets[len(h.Buckets)-1]
	if first.Start.After(from) || !first.End.After(from) || last.End.Before(to) || !last.Start.Before(to) {
		t.Errorf("%s to %s: buckets from %s to %s", from, to, first.Start, last.End)
	}
	step := map[Interval]time.Duration{Minute: time.Second, Hour: time.Minute, Day: 15 * time.Minute, Week: time.Hour, Month: 4 * time.Hour, Year: 24 * time.Hour}[interval]
	highest := ""
	for i, b := range h.Buckets {
		if i > 0 && !b.Start.Equal(h.Buckets[i-1].End) || !b.Start.Before(b.End) {
			t.Fatalf("bucket %d is %s to %s, the one before ends at %s", i, b.Start, b.End, h.Buckets[max(0, i-1)].End)
		}
		// A day that is there already does not begin again where the clock is put back over midnight.
		label := max(highest, clockLabel(interval, b.Start))
		if label == highest {
			t.Errorf("bucket %d, %s to %s: begins within %s", i, b.Start, b.End, label)
		}
		for m := b.Start; m.Before(b.End); m = m.Add(step) {
			if got := max(highest, clockLabel(interval, m)); got != label {
				t.Errorf("bucket %d, %s to %s: %s is %s, not %s", i, b.Start, b.End, m, got, label)
				break
			}
		}
		if before := max(highest, clockLabel(interval, b.End.Add(-time.Nanosecond))); before != label {
			t.Errorf("bucket %d, %s to %s: it ends in %s, not %s", i, b.Start, b.End, before, label)
		}
		if h.Bucket(b.Start) != i || h.Bucket(b.End.Add(-time.Millisecond)) != i {
			t.Errorf("bucket %d is found as %d and %d", i, h.Bucket(b.Start), h.Bucket(b.End.Add(-time.Millisecond)))
		}
		highest = label
	}
	if h.Bucket(first.Start.Add(-time.Millisecond)) != -1 || h.Bucket(last.End) != -1 {
		t.Error("times outside have a bucket")
	}
}

// clockLabel gives the name of the interval that the clock shows, which rises with time: that of minutes and
// hours has the change of the clock in it, because what comes again after it is another hour.
func clockLabel(interval Interval, t time.Time) string {
	changed, _ := t.ZoneBounds()
	since := fmt.Sprintf("%020d", changed.Unix()+1<<40)
	switch interval { //nolint:exhaustive // the day is what is left
	case Minute:
		return since + t.Format(" 2006-01-02T15:04")
	case Hour:
		return since + t.Format(" 2006-01-02T15")
	case Week:
		y, w := t.ISOWeek()
		return fmt.Sprintf("%d-W%02d", y, w)
	case Month:
		return t.Format("2006-01")
	case Year:
		return t.Format("2006")
	}
	return t.Format("2006-01-02")
}

func TestBuckets_bounds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 30, 0, 0, time.UTC)
	for _, tt := range []struct {
		r    HistogramRequest
		to   time.Time
		want Interval
		n    int // -1 is an error
	}{
		{HistogramRequest{}, at, Minute, 0},
		{HistogramRequest{}, at.Add(-time.Hour), Minute, 0},
		{HistogramRequest{}, at.Add(time.Nanosecond), Minute, 1},
		{HistogramRequest{}, at.Add(500 * time.Minute), Minute, 500},
		{HistogramRequest{}, at.Add(500*time.Minute + 1), Hour, 9},
		{HistogramRequest{}, at.AddDate(0, 0, 30), Day, 31},
		{HistogramRequest{}, at.AddDate(5, 0, 0), Week, 262},
		{HistogramRequest{}, at.AddDate(30, 0, 0), Month, 361},
		{HistogramRequest{}, at.AddDate(100, 0, 0), Year, 101},
		{HistogramRequest{}, at.AddDate(499, 0, 0), Year, 500},
		{HistogramRequest{}, at.AddDate(500, 0, 0), "", -1},
		{HistogramRequest{}, at.AddDate(7000, 0, 0), "", -1},
		{HistogramRequest{Interval: Day}, at.AddDate(0, 0, 499), Day, 500},
		{HistogramRequest{Interval: Day}, at.AddDate(0, 0, 500), "", -1},
		{HistogramRequest{Interval: Hour, MaxBuckets: 24}, at.Add(23 * time.Hour), Hour, 24},
		{HistogramRequest{Interval: Hour, MaxBuckets: 24}, at.Add(24 * time.Hour), "", -1},
	} {
		h, err := tt.r.WithDefaults().Buckets(at, tt.to)
		if (err != nil) != (tt.n < 0) || err != nil && !errors.Is(err, ErrQuery) {
			t.Errorf("%+v until %s: %v", tt.r, tt.to, err)
		}
		if err == nil && (h.Interval != tt.want || len(h.Buckets) != tt.n) {
			t.Errorf("%+v until %s: %d buckets of a %s, want %d of a %s", tt.r, tt.to, len(h.Buckets), h.Interval, tt.n, tt.want)
		}
	}
}
