package store

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// TestStartOfDay_isFirstInstantOfDate compares with a walk over all minutes around the midnight.
func TestStartOfDay_isFirstInstantOfDate(t *testing.T) {
	t.Parallel()
	zones := []string{
		"UTC", "Asia/Ho_Chi_Minh", "Europe/Berlin", "America/Santiago", "America/Havana", "America/Asuncion",
		"Asia/Amman", "America/Sao_Paulo", "Asia/Gaza", "Pacific/Apia", "Pacific/Kiritimati", "Australia/Lord_Howe", "Asia/Kathmandu",
	}
	for _, zone := range zones {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			loc, err := time.LoadLocation(zone)
			if err != nil {
				t.Fatal(err)
			}
			for day := time.Date(2008, 1, 1, 0, 0, 0, 0, time.UTC); day.Year() < 2020; day = day.AddDate(0, 0, 1) {
				if !changesNear(day, loc) && day.Day() != 1 {
					continue // the plain case, once a month is enough
				}
				y, m, d := day.Date()
				if got, want := StartOfDay(y, m, d, loc), scanDay(day, loc); !got.Equal(want) {
					t.Errorf("StartOfDay(%s) = %s, want %s", day.Format(time.DateOnly), got, want.In(loc))
				}
			}
		})
	}
}

func changesNear(day time.Time, loc *time.Location) bool {
	_, before := day.Add(-40 * time.Hour).In(loc).Zone()
	_, after := day.Add(40 * time.Hour).In(loc).Zone()
	return before != after
}

func scanDay(day time.Time, loc *time.Location) time.Time {
	want := day.Format(time.DateOnly)
	for t := day.Add(-16 * time.Hour); ; t = t.Add(time.Minute) {
		if t.In(loc).Format(time.DateOnly) >= want {
			return t
		}
	}
}

func TestStartOfDay_skippedDayIsEmpty(t *testing.T) {
	t.Parallel()
	apia, err := time.LoadLocation("Pacific/Apia")
	if err != nil {
		t.Fatal(err)
	}
	from, to := StartOfDay(2011, 12, 30, apia), StartOfDay(2011, 12, 31, apia)
	if !from.Equal(to) {
		t.Errorf("the day that Apia skipped is from %s to %s, want empty", from, to)
	}
}
