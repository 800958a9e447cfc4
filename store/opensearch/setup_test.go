package opensearch

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func TestSetup_isIdempotent(t *testing.T) {
	t.Parallel()
	s := newBareStore(t)
	name := s.names.prefix
	for i, want := range []SetupReport{{Template: name, Created: true, Version: SchemaVersion}, {Template: name, Version: SchemaVersion}} {
		got, err := asOperator(t, s).Setup(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i+1, diff)
		}
	}
}

// TestSetup_givesTheSameIndexAsWithout: an index made by the server from the template and one that the
// store makes have the same mapping and settings.
func TestSetup_givesTheSameIndexAsWithout(t *testing.T) {
	t.Parallel()
	with, without := newBareStore(t), newBareStore(t)
	if _, err := asOperator(t, with).Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	describe := func(s *Store) (mapping, settings, aliases any) {
		index := s.names.of(november)
		m := raw(t, s, http.MethodGet, "/"+index, nil)[index].(map[string]any)
		set := m["settings"].(map[string]any)["index"].(map[string]any)
		for _, own := range []string{"creation_date", "uuid", "provided_name", "version"} {
			delete(set, own)
		}
		return m["mappings"], set, len(m["aliases"].(map[string]any))
	}
	raw(t, with, http.MethodPost, "/"+with.names.of(november)+"/_doc", object{"log_id": "by the server itself"})
	writeAll(t, asAdmin(t, without), docs(t, record(1)))
	m1, s1, a1 := describe(with)
	m2, s2, a2 := describe(without)
	if diff := cmp.Diff([]any{m1, s1, a1}, []any{m2, s2, a2}); diff != "" {
		t.Errorf("(-template +store):\n%s", diff)
	}
	if a1 != 1 {
		t.Errorf("%d aliases", a1)
	}
}

// olderIndex makes an index of a month as an older version had it: without the field tx_id, and changed.
func olderIndex(t *testing.T, s *Store, month time.Time, change func(properties map[string]any)) string {
	t.Helper()
	var body struct {
		Settings json.RawMessage `json:"settings"`
		Mappings map[string]any  `json:"mappings"`
	}
	if err := json.Unmarshal(schemaJSON, &body); err != nil {
		t.Fatal(err)
	}
	properties := body.Mappings["properties"].(map[string]any)
	delete(properties, "tx_id")
	change(properties)
	index := s.names.of(month)
	raw(t, s, http.MethodPut, "/"+index, object{"mappings": body.Mappings, "settings": body.Settings, "aliases": object{s.names.alias(): object{}}})
	return index
}

func TestSetup_upgradesOlderTemplateAndMapping_andRefusesANewer(t *testing.T) {
	t.Parallel()
	s := newBareStore(t)
	operator := asOperator(t, s)
	index := olderIndex(t, s, november, func(map[string]any) {}) // before the template, which would add to it
	// Of this one a field cannot be changed. It stays in use, and holds up no other.
	stuck := olderIndex(t, s, november.AddDate(0, -1, 0), func(properties map[string]any) {
		properties["user_id"] = object{"type": "text"}
	})
	if _, err := operator.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	october := func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(0, -1, 0) }
	writeAll(t, s, docs(t, record(1), record(2, october)))

	const next = SchemaVersion + 1
	name := s.names.prefix
	for i, want := range []SetupReport{
		{Template: name, Version: next, Upgraded: true, Indices: []string{index}, Kept: []KeptIndex{{Index: stuck}}},
		{Template: name, Version: next, Kept: []KeptIndex{{Index: stuck}}},
	} {
		got, err := operator.setup(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(KeptIndex{}, "Reason")); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i+1, diff)
		}
		if len(got.Kept) == 1 && !strings.Contains(got.Kept[0].Reason, "user_id") {
			t.Errorf("the reason does not name the field: %s", got.Kept[0].Reason)
		}
	}
	in := func(r *event.Record) { r.TxID = "tx" }
	for i, status := range writeAll(t, s, docs(t, record(3, in), record(4, in, october))) {
		if status != store.Stored {
			t.Errorf("document %d: %s", i, status)
		}
	}
	q := store.Query{Filters: []store.Filter{{Field: store.FieldTxID, Values: []string{"tx"}}}}
	if ids := found(t, s, q); len(ids) != 1 {
		t.Errorf("the new field finds %v", ids)
	}
	if ids := found(t, s, store.Query{}); len(ids) != 4 {
		t.Errorf("found %v", ids)
	}

	got, err := operator.Setup(t.Context())
	if !errors.Is(err, ErrNewer) || got.Version != next || got.Upgraded {
		t.Errorf("older program: %+v, %v", got, err)
	}
	if have, _, err := operator.templateVersion(t.Context()); err != nil || have != next {
		t.Errorf("template has version %d, %v", have, err)
	}
	// A consumer of the older version goes on, in the indices that are there and in new ones.
	december := func(r *event.Record) { r.Timestamp = r.Timestamp.AddDate(0, 1, 0) }
	if got := writeAll(t, s, docs(t, record(5), record(6, december))); !slices.Equal(got, []store.Status{store.Stored, store.Stored}) {
		t.Errorf("older consumer: %v", got)
	}
}

func TestSetup_foreignIndex_isNamed(t *testing.T) {
	t.Parallel()
	s := newBareStore(t)
	raw(t, s, http.MethodPut, "/"+s.names.of(november), nil)
	if _, err := asOperator(t, s).Setup(t.Context()); !errors.Is(err, ErrForeignIndex) {
		t.Errorf("got %v", err)
	}
}

// TestNames_patternsDoNotMeetThoseOfALongerPrefix: the server refuses two templates of one priority
// whose patterns overlap.
func TestNames_patternsDoNotMeetThoseOfALongerPrefix(t *testing.T) {
	t.Parallel()
	s := newBareStore(t)
	staging := newBareStore(t, func(c *Config) { c.IndexPrefix = s.names.prefix + "-staging" })
	for _, s := range []*Store{s, staging} {
		if _, err := asOperator(t, s).Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
		writeAll(t, s, docs(t, record(1)))
	}
	for _, s := range []*Store{s, staging} {
		if ids := found(t, s, store.Query{}); len(ids) != 1 {
			t.Errorf("found %v", ids)
		}
	}
}

func TestNames_of(t *testing.T) {
	t.Parallel()
	n := names{"a-2006-01"} // digits that time layouts know
	at := func(s string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, c := range []struct{ at, want string }{
		{"2026-11-30T23:59:59.999999999Z", "2026.11"},
		{"2026-12-01T06:59:59+07:00", "2026.11"},
		{"2026-12-01T07:00:00+07:00", "2026.12"},
		{"2000-01-01T00:00:00Z", "2000.01"},
		{"1999-12-31T23:59:59Z", "out-of-range"},
		{"2100-12-31T23:59:59Z", "2100.12"},
		{"2101-01-01T00:00:00Z", "out-of-range"},
		{"9999-12-31T23:59:59Z", "out-of-range"},
		{"0001-01-01T00:00:00Z", "out-of-range"},
	} {
		name := n.of(at(c.at))
		if name != n.prefix+"-"+c.want {
			t.Errorf("%s: %s", c.at, name)
		}
		if holds, ours := n.holds(name, at(c.at), at(c.at).Add(1)); !holds || !ours {
			t.Errorf("%s is not in its own index %s", c.at, name)
		}
	}
	for _, c := range []struct {
		name, from, to string
		holds          bool
	}{
		{"2026.11", "2026-11-30T23:59:59Z", "", true},
		{"2026.11", "2026-12-01T00:00:00Z", "", false},
		{"2026.11", "", "2026-11-01T00:00:00Z", false},
		{"2026.11", "", "2026-11-01T00:00:01Z", true},
		{"2026.11", "", "", true},
		{"out-of-range", "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z", false},
		{"out-of-range", "2026-11-01T00:00:00Z", "", true},
		{"dead", "", "", false},
		{"2026.13", "", "", false},
		{"2026.11-v2", "", "", false},
	} {
		var from, to time.Time
		if c.from != "" {
			from = at(c.from)
		}
		if c.to != "" {
			to = at(c.to)
		}
		if holds, _ := n.holds(n.prefix+"-"+c.name, from, to); holds != c.holds {
			t.Errorf("%s in %s..%s: %t", c.name, c.from, c.to, holds)
		}
	}
}
