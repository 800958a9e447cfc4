package audittest_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/audittest"
	"github.com/gormtrail/audit/event"
)

func raw(s string) json.RawMessage { return json.RawMessage(s) }

// sample has each kind of record.
func sample() audittest.Records {
	return audittest.Records{
		{
			Action: audit.ActionChange, ObjectType: "employee", ObjectID: "3", ObjectRepr: "Bob", SourceModel: "customer", SourcePK: "7",
			SourceRepr: "Ada", UserID: "1", Username: "john.doe", BatchID: "b1", BatchAction: audit.ActionImport,
			Changes: []event.Change{
				{Field: "phone", Label: "Phone number", Old: raw(`"0901"`), New: raw(`"0902"`)},
				{Field: "balance", Old: raw(`"12.50"`), New: raw(`null`)},
			},
			Extra: map[string]any{"ticket": json.Number("12"), "a": "b"},
		},
		{
			Action: audit.ActionDelete, ObjectType: "employee", ObjectID: "4", TenantID: "t", Reason: "left", Source: "job", Outcome: "unknown", UserID: "2",
			Changes: []event.Change{{Field: "password", Old: raw(`"***"`), Redacted: true}, {Field: "note", Old: raw(`"aaa"`), Truncated: true}},
		},
		{
			Action: audit.ActionImport, ObjectType: "employee", BatchID: "b1", BatchAction: audit.ActionImport, BatchSummary: true, TotalProcessed: 5,
			ErrorCount: 1, Errors: []string{"row 3: no name"}, ChangeMessage: event.TextMessage("imported"), IsTruncated: true, ImpersonatorID: "9",
		},
	}
}

func TestWant_differences(t *testing.T) {
	t.Parallel()
	r := sample()[:1]
	for _, c := range []struct {
		name string
		want audittest.Want
		says string // "" if it matches
	}{
		{"nothing is compared", audittest.Want{}, ""},
		{"an alias", audittest.Want{Action: "UPDATE"}, ""},
		{"action", audittest.Want{Action: audit.ActionAdd}, `action is "CHANGE", want "ADD"`},
		{"model alone, any case", audittest.Want{Object: "CUSTOMER", Under: "Employee"}, ""},
		{"key", audittest.Want{Object: "customer 8"}, `object is "customer 7", want "customer 8"`},
		{"part of a key", audittest.Want{Object: "customer 77"}, `want "customer 77"`},
		{"no parent", audittest.Want{Under: "-"}, `under is "employee 3", want "-"`},
		{"actor's id", audittest.Want{By: "1"}, ""},
		{"actor", audittest.Want{By: "eve"}, `by is "john.doe", want "eve"`},
		{"no actor", audittest.Want{By: "-"}, `by is "john.doe", want "-"`},
		{"any batch", audittest.Want{Batch: "*"}, ""},
		{"no batch", audittest.Want{Batch: "-"}, `batch is "b1", want "-"`},
		{"no tenant", audittest.Want{Tenant: "-"}, ""},
		{"tenant", audittest.Want{Tenant: "t"}, `tenant is nothing, want "t"`},
		{"outcome", audittest.Want{Outcome: "success"}, ""},
		{"outcome", audittest.Want{Outcome: "failure"}, `outcome is nothing, want "failure"`},
		{"words", audittest.Want{Repr: "Bob"}, ""},
		{"extra", audittest.Want{Extra: map[string]any{"ticket": 12, "a": "b"}}, ""},
		{"extra", audittest.Want{Extra: map[string]any{"ticket": 13}}, `extra ticket is "12", want "13"`},
		{"no extra", audittest.Want{Extra: map[string]any{"none": nil}}, `extra none is`},
		{"message", audittest.Want{Message: "x"}, `message is nothing, want "x"`},
		{"fields", audittest.Want{Fields: audittest.Fields{"phone": {"0901", "0902"}, "balance": {12.5, nil}}}, ""},
		{"by label", audittest.Want{Fields: audittest.Fields{"Phone number": {"0901", audittest.Any}, "balance": {audittest.Any, nil}}}, ""},
		{"no fields", audittest.Want{Fields: audittest.Fields{}}, `field phone has changed: "0901" -> "0902"`},
		{"one field too many", audittest.Want{Fields: audittest.Fields{"phone": {"0901", "0902"}, "balance": {12.5, nil}, "name": {nil, nil}}}, "field name has not changed"},
		{"a value", audittest.Want{Fields: audittest.Fields{"phone": {"0901", "0903"}, "balance": {12.5, nil}}}, `field phone: the new value is "0902", want "0903"`},
		{"a value that is NULL", audittest.Want{Fields: audittest.Fields{"phone": {nil, "0902"}, "balance": {12.5, nil}}}, `the old value is "0901", want null`},
		{"no value", audittest.Want{Fields: audittest.Fields{"phone": {audittest.None, "0902"}, "balance": {12.5, nil}}}, `the old value is "0901", want no value`},
		{"not masked", audittest.Want{Fields: audittest.Fields{"phone": {audittest.Masked, "0902"}, "balance": {12.5, nil}}}, `the old value is "0901", want a masked value`},
	} {
		f := failing(t, func(tb testing.TB) { r.Match(tb, c.want) })
		if c.says == "" && f.errors != nil || !strings.Contains(f.text(), c.says) || c.says != "" && f.errors == nil {
			t.Errorf("%s: %+v: says %q, want %q", c.name, c.want, f.text(), c.says)
		}
	}
}

// TestFields_values: values are the same if they say the same.
func TestFields_values(t *testing.T) {
	t.Parallel()
	at := time.Date(2024, 1, 2, 3, 4, 5, 0, time.FixedZone("", 7*3600))
	for _, c := range []struct {
		got  string
		want any
		same bool
	}{
		{`7`, 7, true},
		{`7`, "7", true},
		{`"7"`, uint8(7), true},
		{`"12.50"`, 12.5, true},
		{`12.50`, "12.5", true},
		{`7`, 8, false},
		{`"a"`, "A", false},
		{`null`, nil, true},
		{`null`, "", false},
		{`""`, nil, false},
		{`0`, nil, false},
		{`true`, true, true},
		{`true`, false, false},
		{`"true"`, true, true},
		{`1`, true, false},
		{`"2024-01-01T20:04:05Z"`, at, true},
		{`"2024-01-01T20:04:06Z"`, at, false},
		{`{"b":1,"a":[1,2]}`, map[string]any{"a": []int{1, 2}, "b": 1}, true},
		{`{"b":1,"a":[1,2]}`, `{"a": [1, 2], "b": 1}`, true},
		{`"{\"a\":1}"`, map[string]int{"a": 1}, true},
		{`{"a":1}`, map[string]int{"a": 2}, false},
		{`{"a":1}`, map[string]int{"b": 1}, false},
		{`[1]`, []int{1, 2}, false},
		{`[1,2]`, []int{2, 1}, false},
		{`{"a":1}`, "no json", false},
		{`7`, make(chan int), false},
		{`9007199254740993`, int64(9007199254740993), true},
		{`9007199254740993`, int64(9007199254740992), false},
		{`"1e3"`, 1000, false},
	} {
		rs := audittest.Records{{Changes: []event.Change{{Field: "f", New: raw(c.got)}}}}
		f := failing(t, func(tb testing.TB) {
			rs.Match(tb, audittest.Want{Fields: audittest.Fields{"f": {audittest.None, c.want}}})
		})
		if same := f.errors == nil; same != c.same {
			t.Errorf("%s and %v: the same is %t, want %t", c.got, c.want, same, c.same)
		}
	}
}

func TestRecords_match(t *testing.T) {
	t.Parallel()
	rs := sample()
	change, del, summary := audittest.Want{Object: "customer 7"}, audittest.Want{Action: audit.ActionDelete}, audittest.Want{Message: "imported"}
	any := audittest.Want{}
	for _, c := range []struct {
		name   string
		assert func(tb testing.TB)
		says   string
	}{
		{"in order", func(tb testing.TB) { rs.Match(tb, change, del, summary) }, ""},
		{"out of order", func(tb testing.TB) { rs.Match(tb, del, change, summary) }, "record 1: action is"},
		{"one is missing", func(tb testing.TB) { rs[:2].Match(tb, change, del, summary) }, "record 3 is missing, want message imported"},
		{"one too many", func(tb testing.TB) { rs.Match(tb, change, del) }, "record 3 is not in the table:\n  IMPORT employee"},
		{"any order", func(tb testing.TB) { rs.MatchUnordered(tb, summary, change, del) }, ""},
		{"any order, rows that fit many", func(tb testing.TB) { rs.MatchUnordered(tb, any, any, change) }, ""},
		{"any order, one too many", func(tb testing.TB) { rs.MatchUnordered(tb, change, del) }, "record 3 is not in the table"},
		{"any order, one is missing", func(tb testing.TB) { rs.MatchUnordered(tb, change, change, del, summary) }, "there is no record of customer 7"},
		{"contains", func(tb testing.TB) { rs.Contains(tb, del) }, ""},
		{"does not contain", func(tb testing.TB) { rs.Contains(tb, audittest.Want{Object: "x 1", Under: "y", By: "z"}) }, "there is no record of x 1, under y, by z"},
		{"empty", func(tb testing.TB) { audittest.Records{}.Empty(tb) }, ""},
		{"nothing at all", func(tb testing.TB) { audittest.Records(nil).Match(tb, any) }, "record 1 is missing, want any record\nno records"},
		{"not empty", func(tb testing.TB) { rs.Empty(tb) }, "DELETE employee 4"},
		{"of an object and its dependents", func(tb testing.TB) { rs.Of("employee 3").Match(tb, change) }, ""},
		{"of a dependent", func(tb testing.TB) { rs.Of("customer 7").Match(tb, change) }, ""},
		{"of a model", func(tb testing.TB) { rs.Of("employee").Match(tb, any, any, any) }, ""},
	} {
		f := failing(t, c.assert)
		if (c.says == "") != (f.errors == nil) || !strings.Contains(f.text(), c.says) {
			t.Errorf("%s: says %q, want %q", c.name, f.text(), c.says)
		}
	}
}

func TestRecords_golden(t *testing.T) {
	file := filepath.Join("testdata", "sample.golden")
	sample().Golden(t, file)
	if os.Getenv(audittest.UpdateVariable) != "" {
		return // the file is written; what follows would write other things into it
	}
	f := failing(t, func(tb testing.TB) { sample()[1:].Golden(tb, file) })
	if !strings.Contains(f.text(), `line 1 of testdata/sample.golden is "DELETE employee 4`) {
		t.Errorf("says %q", f.text())
	}
	f = failing(t, func(tb testing.TB) { sample()[:1].Golden(tb, file) })
	if !strings.Contains(f.text(), `is "", want "DELETE`) {
		t.Errorf("says %q", f.text())
	}
	made := filepath.Join(t.TempDir(), "deep", "new.golden")
	f = failing(t, func(tb testing.TB) { sample().Golden(tb, made) })
	if !f.fatal || !strings.Contains(f.text(), audittest.UpdateVariable) {
		t.Errorf("says %q", f.text())
	}
	t.Setenv(audittest.UpdateVariable, "1")
	sample().Golden(t, made)
	t.Setenv(audittest.UpdateVariable, "")
	sample().Golden(t, made)
}
