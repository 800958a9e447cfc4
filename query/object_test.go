package query_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// story makes the records of one object, a minute apart.
type story struct {
	records []event.Record
}

func raw(v string) json.RawMessage {
	if v == "" {
		return nil
	}
	return json.RawMessage(v)
}

// add takes the changes as field, old, new.
func (s *story) add(action event.Action, change func(*event.Record), changes ...string) {
	n := len(s.records)
	r := event.Record{
		LogID: fmt.Sprintf("s%02d", n), Timestamp: noon.Add(time.Duration(n) * time.Minute), Action: action, TenantID: "acme",
		ObjectType: "employee", ObjectID: "7", ObjectRepr: fmt.Sprintf("Ann %d", n), UserID: "1", Username: "bob",
	}
	for i := 0; i < len(changes); i += 3 {
		r.Changes = append(r.Changes, event.Change{Field: changes[i], Label: "Label " + changes[i], Type: event.TypeString, Old: raw(changes[i+1]), New: raw(changes[i+2])})
		r.ChangedFields = append(r.ChangedFields, changes[i])
	}
	if change != nil {
		change(&r)
	}
	s.records = append(s.records, r)
}

func dependent(id string) func(*event.Record) {
	return func(r *event.Record) { r.SourceModel, r.SourcePK, r.SourceRepr = "dependent", id, "Child "+id }
}

type stateBody struct {
	ObjectType  string `json:"object_type"`
	ObjectID    string `json:"object_id"`
	ObjectRepr  string `json:"object_repr"`
	Exists      bool
	Complete    bool
	GapsVisible bool `json:"gaps_visible"`
	Incomplete  []struct {
		Code, Field string
		LogID       string `json:"log_id"`
	}
	Fields []struct {
		Field, Label        string
		Value               json.RawMessage
		LogID               string `json:"log_id"`
		Redacted, Truncated bool
	}
	Dependents []stateBody
	Records    int
}

// values gives the fields as name=value.
func (s stateBody) values() []string {
	out := []string{}
	for _, f := range s.Fields {
		v := f.Field + "=" + string(f.Value)
		if f.Redacted {
			v += " redacted"
		}
		if f.Truncated {
			v += " truncated"
		}
		out = append(out, v)
	}
	return out
}

func (s stateBody) codes() []string {
	out := []string{}
	for _, m := range s.Incomplete {
		out = append(out, m.Code)
	}
	return out
}

func (a *app) state(t *testing.T, token, params string) stateBody {
	t.Helper()
	w := a.get(token, "/objects/Employee/7/state/"+params)
	if w.Code != http.StatusOK {
		t.Fatalf("state%s gives %d: %s", params, w.Code, w.Body)
	}
	return parse[stateBody](t, w.Body)
}

func at(minute int) string {
	return "?at=" + noon.Add(time.Duration(minute)*time.Minute).Format(time.RFC3339)
}

// The state at each time is what the records up to then say, with the dependents, before and after the
// object was deleted and added again.
func TestState_atEachTime(t *testing.T) {
	t.Parallel()
	var s story
	s.add(event.ActionAdd, nil, "name", "", `"Ann"`, "grade", "", `1`, "note", "", `null`)
	s.add(event.ActionChange, nil, "grade", `1`, `2`)
	s.add(event.ActionAdd, dependent("a"), "first", "", `"Cy"`)
	s.add(event.ActionChange, nil, "name", `"Ann"`, `"Anne"`, "note", `null`, `""`)
	s.add("APPROVE", nil)
	s.add(event.ActionChange, dependent("a"), "first", `"Cy"`, `"Cyd"`)
	s.add(event.ActionDelete, nil, "name", `"Anne"`, "", "grade", `2`, "", "note", `""`, "")
	s.add(event.ActionRestore, nil, "deleted_at", `"2026"`, `null`)
	s.add(event.ActionChange, nil, "grade", `2`, `3`)
	eachStore(t, s.records, func(t *testing.T, st store.Searcher, _ bool) {
		a := newApp(t, st)
		for _, tt := range []struct {
			minute     int
			repr       string
			exists     bool
			values     []string
			dependents []string
		}{
			{0, "Ann 0", true, []string{`grade=1`, `name="Ann"`, `note=null`}, nil},
			{1, "Ann 1", true, []string{`grade=2`, `name="Ann"`, `note=null`}, nil},
			{2, "Ann 1", true, []string{`grade=2`, `name="Ann"`, `note=null`}, []string{`first="Cy"`}},
			{4, "Ann 4", true, []string{`grade=2`, `name="Anne"`, `note=""`}, []string{`first="Cy"`}},
			{5, "Ann 4", true, []string{`grade=2`, `name="Anne"`, `note=""`}, []string{`first="Cyd"`}},
			{6, "Ann 6", false, []string{`grade=2`, `name="Anne"`, `note=""`}, nil},
			{7, "Ann 7", true, []string{`deleted_at=null`, `grade=2`, `name="Anne"`, `note=""`}, nil},
			{99, "Ann 8", true, []string{`deleted_at=null`, `grade=3`, `name="Anne"`, `note=""`}, nil},
		} {
			got := a.state(t, rootToken, at(tt.minute))
			if diff := cmp.Diff(tt.values, got.values()); diff != "" || got.Exists != tt.exists || !got.Complete || got.ObjectRepr != tt.repr || !got.GapsVisible {
				t.Errorf("minute %d: %+v\n%s", tt.minute, got, diff)
			}
			var dependents []string
			for _, d := range got.Dependents {
				if d.ObjectType != "dependent" || d.ObjectRepr != "Child a" || !d.Complete {
					t.Errorf("minute %d: dependent %+v", tt.minute, d)
				}
				dependents = append(dependents, d.values()...)
			}
			if diff := cmp.Diff(tt.dependents, dependents); diff != "" {
				t.Errorf("minute %d: %s", tt.minute, diff)
			}
		}
		a.problem(t, http.StatusNotFound, rootToken, "/objects/employee/7/state/"+at(-1))
		a.problem(t, http.StatusNotFound, rootToken, "/objects/employee/8/state/")
		a.problem(t, http.StatusNotFound, globexToken, "/objects/employee/7/state/")
		// A dependent is an object as well, though it is recorded under its parent.
		w := a.get(rootToken, "/objects/dependent/a/state/")
		if got := parse[stateBody](t, w.Body); !slices.Equal(got.values(), []string{`first="Cyd"`}) || got.ObjectRepr != "Child a" || !got.Complete {
			t.Errorf("the dependent: %+v", got)
		}
	})
}

// Whatever may be missing is said.
func TestState_incomplete_saysWhy(t *testing.T) {
	t.Parallel()
	added := func(s *story) { s.add(event.ActionAdd, nil, "name", "", `"Ann"`, "grade", "", `1`) }
	for _, tt := range []struct {
		name   string
		tell   func(s *story)
		token  string
		values []string
		codes  []string
	}{
		{"all is there", added, rootToken, []string{`grade=1`, `name="Ann"`}, []string{}},
		{"no ADD", func(s *story) { s.add(event.ActionChange, nil, "grade", `1`, `2`) }, rootToken, []string{`grade=2`}, []string{"no_add"}},
		{"cut value", func(s *story) {
			added(s)
			s.add(event.ActionChange, func(r *event.Record) { r.Changes[0].Truncated = true }, "name", `"Ann"`, `"Anne…"`)
		}, rootToken, []string{`grade=1`, `name="Anne…" truncated`}, []string{"value_cut"}},
		{"masked value", func(s *story) {
			s.add(event.ActionAdd, func(r *event.Record) { r.Changes[0].Redacted = true }, "name", "", `"***"`)
		}, rootToken, []string{`name="***" redacted`}, []string{"value_masked"}},
		{"hidden value", func(s *story) {
			s.add(event.ActionAdd, nil, "salary", "", `10`, "name", "", `"Ann"`)
		}, hiddenToken, []string{`name="Ann"`, `salary=null redacted`}, []string{"value_masked"}},
		{"no values", func(s *story) { added(s); s.add(event.ActionChange, nil) }, rootToken, []string{`grade=1`, `name="Ann"`}, []string{"no_values"}},
		{"record cut", func(s *story) {
			s.add(event.ActionAdd, func(r *event.Record) { r.IsTruncated = true; r.ChangedFields = append(r.ChangedFields, "more") }, "name", "", `"Ann"`)
		}, rootToken, []string{`name="Ann"`}, []string{"record_cut"}},
		{"a change is missing", func(s *story) {
			added(s)
			s.add(event.ActionChange, nil, "grade", `1`, `2`)
			s.add(event.ActionChange, nil, "grade", `5`, `6`)
		}, rootToken, []string{`grade=6`, `name="Ann"`}, []string{"chain_broken"}},
		{"many rows in one statement", func(s *story) {
			added(s)
			s.add(event.ActionChange, func(r *event.Record) {
				r.ObjectID, r.IsTruncated = "", true
				r.ChangeMessage = event.TextMessage("20000 rows in one statement, not recorded one by one")
			})
		}, rootToken, []string{`grade=1`, `name="Ann"`}, []string{"statement"}},
		{"SQL text", func(s *story) {
			added(s)
			s.add(event.ActionChange, func(r *event.Record) {
				r.ObjectID = ""
				r.ChangeMessage = event.TextMessage("SQL text wrote the table; its rows and values are not known")
			})
		}, rootToken, []string{`grade=1`, `name="Ann"`}, []string{"statement"}},
		{"a gap", func(s *story) {
			added(s)
			s.gap(noon, noon.Add(time.Hour))
		}, rootToken, []string{`grade=1`, `name="Ann"`}, []string{"gap"}},
		{"a gap before it", func(s *story) {
			s.gap(noon.Add(-2*time.Hour), noon.Add(-time.Hour))
			added(s)
		}, rootToken, []string{`grade=1`, `name="Ann"`}, []string{}},
		{"a statement before it", func(s *story) {
			s.add(event.ActionChange, func(r *event.Record) {
				r.ObjectID = ""
				r.ChangeMessage = event.TextMessage("SQL text wrote the table; its rows and values are not known")
			})
			added(s)
		}, rootToken, []string{`grade=1`, `name="Ann"`}, []string{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var s story
			tt.tell(&s)
			got := newApp(t, storetest.NewMemory(s.records...)).state(t, tt.token, at(30))
			if diff := cmp.Diff(tt.codes, got.codes()); diff != "" || got.Complete != (len(tt.codes) == 0) {
				t.Errorf("complete %v: %s", got.Complete, diff)
			}
			if diff := cmp.Diff(tt.values, got.values()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func (s *story) gap(first, last time.Time) {
	g := event.Gap{Producer: "p", Reason: event.GapDisk, Count: 3, From: 1, To: 3, First: first, Last: last}
	s.records = append(s.records, g.Record(g.ID()))
}

// What is hidden or not the caller's does not come to light through the state.
func TestState_restricted(t *testing.T) {
	t.Parallel()
	var s story
	s.add(event.ActionAdd, nil, "salary", "", `4711`, "name", "", `"Ann"`)
	s.gap(noon, noon.Add(time.Hour))
	a := newApp(t, storetest.NewMemory(s.records...))
	if w := a.get(hiddenToken, "/objects/employee/7/state/"); strings.Contains(w.Body.String(), "4711") {
		t.Errorf("a hidden value is shown: %s", w.Body)
	}
	if got := a.state(t, acmeToken, ""); got.GapsVisible || len(got.codes()) != 0 {
		t.Errorf("a tenant sees %+v", got)
	}
	whole := newApp(t, storetest.NewMemory(s.records...), func(o *query.Options) {
		o.Authorizer = granting(query.Grant{Principal: "x", Hidden: []string{"changes"}})
	})
	if got := whole.state(t, "", ""); !slices.Contains(got.codes(), "hidden") || len(got.Fields) != 0 {
		t.Errorf("hidden changes: %+v", got)
	}
	ids := newApp(t, storetest.NewMemory(s.records...), func(o *query.Options) {
		o.Authorizer = granting(query.Grant{Principal: "x", Hidden: []string{"object_id"}})
	})
	if p := ids.problem(t, 400, "", "/objects/employee/7/state/"); p.Errors[0].Code != "hidden_field" {
		t.Errorf("a hidden id: %+v", p)
	}
	a.problem(t, 400, rootToken, "/objects/employee/7/state/?at=2026")
}

// The history has the object's own records and those of its dependents, page by page, in both directions.
func TestHistory(t *testing.T) {
	t.Parallel()
	var s story
	s.add(event.ActionAdd, nil, "name", "", `"Ann"`)
	for i := range 25 {
		switch i % 3 {
		case 0:
			s.add(event.ActionChange, nil, "name", `"A"`, `"B"`)
		case 1:
			s.add(event.ActionChange, dependent("a"), "first", `"C"`, `"D"`)
		default:
			s.add(event.ActionChange, func(r *event.Record) {
				r.ObjectID, r.SourceModel, r.SourcePK = "other", "employee", "7" // it is a dependent itself
			}, "name", `"A"`, `"B"`)
		}
	}
	s.add(event.ActionAdd, func(r *event.Record) { r.ObjectID = "8" }, "name", "", `"No"`)
	s.add(event.ActionAdd, func(r *event.Record) { r.TenantID = "globex" }, "name", "", `"No"`)
	var want []string
	for _, r := range s.records[:26] {
		want = append(want, r.LogID)
	}
	eachStore(t, s.records, func(t *testing.T, st store.Searcher, _ bool) {
		a := newApp(t, st)
		read := func(token, params string) page {
			w := a.get(token, "/objects/employee/7/history/"+params)
			if w.Code != http.StatusOK {
				t.Fatalf("%s gives %d: %s", params, w.Code, w.Body)
			}
			return parse[page](t, w.Body)
		}
		var got, back []string
		p := read(acmeToken, "?sort=timestamp&page_size=7")
		if *p.Total != 26 || p.FromOffset != nil {
			t.Errorf("total %d", *p.Total)
		}
		if c, ok := p.Results[0]["changes"].([]any); !ok || len(c) != 1 {
			t.Errorf("the first record is %v", p.Results[0])
		}
		for {
			got = append(got, ids(p)...)
			if p.Next == nil {
				break
			}
			p = read(acmeToken, *p.Next)
		}
		for {
			back = append(ids(p), back...)
			if p.Previous == nil {
				break
			}
			p = read(acmeToken, *p.Previous)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("forth: %s", diff)
		}
		if diff := cmp.Diff(want, back); diff != "" {
			t.Errorf("back: %s", diff)
		}
		if p := read(acmeToken, "?source_model=dependent&total=none"); len(p.Results) != 8 || p.Total != nil {
			t.Errorf("of the dependents there are %d", len(p.Results))
		}
		if p := read(rootToken, "?page_size=200"); len(p.Results) != 27 {
			t.Errorf("root sees %d", len(p.Results))
		}
		a.problem(t, 400, rootToken, "/objects/employee/7/history/?from_offset=1")
		// The cursor of one object is of no use for another.
		next := *read(acmeToken, "?page_size=3").Next
		a.problem(t, 400, rootToken, "/objects/employee/7/history/"+next)
		a.problem(t, 400, acmeToken, "/search/"+next)
	})
}
