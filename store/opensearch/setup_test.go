package opensearch

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func TestSetup_isIdempotent(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	name := s.names.prefix
	for i, want := range []SetupReport{{Template: name, Created: true}, {Template: name}} {
		got, err := s.Setup(t.Context())
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
	with, without := newStore(t), newStore(t)
	if _, err := with.Setup(t.Context()); err != nil {
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
	writeAll(t, without, docs(t, record(1)))
	m1, s1, a1 := describe(with)
	m2, s2, a2 := describe(without)
	if diff := cmp.Diff([]any{m1, s1, a1}, []any{m2, s2, a2}); diff != "" {
		t.Errorf("(-template +store):\n%s", diff)
	}
	if a1 != 1 {
		t.Errorf("%d aliases", a1)
	}
}

func TestSetup_upgradesOlderTemplateAndMapping_andKeepsANewer(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	if _, err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	// An index of a version that knew fewer fields.
	var body struct {
		Settings json.RawMessage `json:"settings"`
		Mappings map[string]any  `json:"mappings"`
	}
	if err := json.Unmarshal(schemaJSON, &body); err != nil {
		t.Fatal(err)
	}
	delete(body.Mappings["properties"].(map[string]any), "tx_id")
	index := s.names.of(november)
	raw(t, s, http.MethodPut, "/"+index, object{"mappings": body.Mappings, "settings": body.Settings})
	writeAll(t, s, docs(t, record(1)))

	const next = SchemaVersion + 1
	name := s.names.prefix
	for i, want := range []SetupReport{{Template: name, Upgraded: true, Indices: []string{index}}, {Template: name}} {
		got, err := s.setup(t.Context(), next)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i+1, diff)
		}
	}
	writeAll(t, s, docs(t, record(2, func(r *event.Record) { r.TxID = "tx" })))
	q := store.Query{Filters: []store.Filter{{Field: store.FieldTxID, Values: []string{"tx"}}}}
	if ids := found(t, s, q); len(ids) != 1 {
		t.Errorf("the new field finds %v", ids)
	}

	got, err := s.Setup(t.Context())
	if err != nil || !got.Newer || got.Upgraded {
		t.Errorf("older program: %+v, %v", got, err)
	}
	if have, _, err := s.templateVersion(t.Context()); err != nil || have != next {
		t.Errorf("template has version %d, %v", have, err)
	}
}

func TestSetup_foreignIndex_isNamed(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	raw(t, s, http.MethodPut, "/"+s.names.of(november), nil)
	if _, err := s.Setup(t.Context()); !errors.Is(err, ErrForeignIndex) {
		t.Errorf("got %v", err)
	}
}

// TestNames_patternsDoNotMeetThoseOfALongerPrefix: the server refuses two templates of one priority
// whose patterns overlap.
func TestNames_patternsDoNotMeetThoseOfALongerPrefix(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	staging := newStore(t, func(c *Config) { c.IndexPrefix = s.names.prefix + "-staging" })
	for _, s := range []*Store{s, staging} {
		if _, err := s.Setup(t.Context()); err != nil {
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
