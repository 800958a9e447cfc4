package audittest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gormtrail/audit/event"
)

// Records are records in order, with what a test asks of them. The methods that take a testing.TB report a
// mistake with Errorf and go on.
type Records []event.Record

// Of gives the records whose row or whose parent is the object, as in Want.Object.
func (rs Records) Of(object string) Records {
	return rs.Where(func(r event.Record) bool {
		row, under := objects(r)
		return row.is(object) || under.is(object)
	})
}

// Where gives the records for which keep is true.
func (rs Records) Where(keep func(event.Record) bool) Records {
	var out Records
	for _, r := range rs {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out
}

// Match says that the records are those of the table: each row's one, in this order, and no others.
func (rs Records) Match(tb testing.TB, wants ...Want) {
	tb.Helper()
	var b strings.Builder
	for i, r := range rs {
		if i >= len(wants) {
			fmt.Fprintf(&b, "record %d is not in the table:\n%s", i+1, indent(line(r)))
			continue
		}
		if d := wants[i].differences(r); d != nil {
			fmt.Fprintf(&b, "record %d: %s:\n%s", i+1, strings.Join(d, "; "), indent(line(r)))
		}
	}
	for i := len(rs); i < len(wants); i++ {
		fmt.Fprintf(&b, "record %d is missing, want %s\n", i+1, wants[i])
	}
	report(tb, rs, b.String())
}

// MatchUnordered is Match in any order.
func (rs Records) MatchUnordered(tb testing.TB, wants ...Want) {
	tb.Helper()
	// Each row of the table gets a record of its own if that is possible at all: a row that fits many must
	// not take the one record of another.
	byWant := make([]int, len(wants))
	byRecord := make([]int, len(rs))
	for i := range byWant {
		byWant[i] = -1
	}
	for i := range byRecord {
		byRecord[i] = -1
	}
	for w := range wants {
		tried := make([]bool, len(rs))
		pair(rs, wants, w, tried, byWant, byRecord)
	}
	var b strings.Builder
	for i, r := range rs {
		if byRecord[i] < 0 {
			fmt.Fprintf(&b, "record %d is not in the table:\n%s", i+1, indent(line(r)))
		}
	}
	for i, w := range wants {
		if byWant[i] < 0 {
			fmt.Fprintf(&b, "there is no record of %s\n", w)
		}
	}
	report(tb, rs, b.String())
}

// pair gives a record to wants[w], moving other rows to other records if need be (Kuhn's algorithm for
// matchings in bipartite graphs).
func pair(rs Records, wants []Want, w int, tried []bool, byWant, byRecord []int) bool {
	for i, r := range rs {
		if tried[i] || wants[w].differences(r) != nil {
			continue
		}
		tried[i] = true
		if byRecord[i] < 0 || pair(rs, wants, byRecord[i], tried, byWant, byRecord) {
			byRecord[i], byWant[w] = w, i
			return true
		}
	}
	return false
}

// Contains says that there is a record for each row of the table, among any others, in any order.
func (rs Records) Contains(tb testing.TB, wants ...Want) {
	tb.Helper()
	for _, w := range wants {
		if !slices.ContainsFunc(rs, func(r event.Record) bool { return w.differences(r) == nil }) {
			report(tb, rs, fmt.Sprintf("there is no record of %s\n", w))
		}
	}
}

// Empty says that nothing was recorded.
func (rs Records) Empty(tb testing.TB) {
	tb.Helper()
	if len(rs) > 0 {
		tb.Errorf("audit: nothing should be recorded, but there is:\n%s", indent(rs.Text()))
	}
}

func report(tb testing.TB, rs Records, mistakes string) {
	tb.Helper()
	if mistakes == "" {
		return
	}
	all := "no records"
	if len(rs) > 0 {
		all = "all records:\n" + indent(rs.Text())
	}
	tb.Errorf("audit: the records are not those expected:\n%s%s", mistakes, all)
}

// String gives the row as a failure shows it.
func (w Want) String() string {
	var parts []string
	add := func(name, value string) {
		if value != "" {
			parts = append(parts, name+value)
		}
	}
	add("", string(w.Action))
	add("", w.Object)
	add("under ", w.Under)
	add("by ", w.By)
	for _, name := range sortedNames(w.Fields) {
		v := w.Fields[name]
		parts = append(parts, fmt.Sprintf("%s %s -> %s", name, valueText(v[0]), valueText(v[1])))
	}
	add("batch ", w.Batch)
	add("tenant ", w.Tenant)
	add("reason ", w.Reason)
	add("source ", w.Source)
	add("outcome ", w.Outcome)
	add("repr ", w.Repr)
	add("message ", w.Message)
	for _, name := range sortedNames(w.Extra) {
		parts = append(parts, fmt.Sprintf("extra %s %s", name, valueText(w.Extra[name])))
	}
	if parts == nil {
		return "any record"
	}
	return strings.Join(parts, ", ")
}
