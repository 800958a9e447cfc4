package opensearch

import (
	"fmt"
	"strings"
	"time"
)

// names gives the names of the indices. The name of a record's index depends on its timestamp alone,
// never on the clock: else a record that is delivered twice, over the end of a month, would be two
// documents.
type names struct{ prefix string }

// Timestamps in these years have an index for each month; all others share one, so that a wrong
// clock does not make indices without end.
const (
	firstYear = 2000
	lastYear  = 2100
)

// alias is the name under which all indices are found.
func (n names) alias() string { return n.prefix }

// of gives the index of a record with timestamp t.
func (n names) of(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < firstYear || y > lastYear {
		return n.outOfRange()
	}
	return fmt.Sprintf("%s-%04d.%02d", n.prefix, t.Year(), int(t.Month()))
}

func (n names) outOfRange() string { return n.prefix + "-out-of-range" }

// patterns match the indices and nothing else: not those of a prefix that begins with this one, such
// as audit-logs-staging beside audit-logs, for two templates of equal priority exclude each other.
func (n names) patterns() []string {
	return []string{n.prefix + "-2*", n.outOfRange()}
}

// month gives the first instant of the month of which name is the index; ok is false if name is not
// the index of a month.
func (n names) month(name string) (month time.Time, ok bool) {
	suffix, found := strings.CutPrefix(name, n.prefix+"-")
	month, err := time.Parse("2006.01", suffix)
	return month, found && err == nil && n.of(month) == name
}

// holds reports whether the index can have records with from <= timestamp < to, where zero times
// are no bounds; ours is false if it is no index of this store.
func (n names) holds(name string, from, to time.Time) (holds, ours bool) {
	if name == n.outOfRange() {
		low := time.Date(firstYear, 1, 1, 0, 0, 0, 0, time.UTC)
		high := time.Date(lastYear+1, 1, 1, 0, 0, 0, 0, time.UTC)
		return from.IsZero() || from.Before(low) || to.IsZero() || to.After(high), true
	}
	month, ok := n.month(name)
	if !ok {
		return false, false
	}
	return (to.IsZero() || month.Before(to)) && (from.IsZero() || month.AddDate(0, 1, 0).After(from)), true
}
