package store

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

func sample() event.Record {
	return event.Record{
		LogID: "018f-aa", Timestamp: time.UnixMilli(1), Action: event.ActionChange, ObjectType: "customer", ObjectID: "cus_456",
		ObjectRepr: "Nguyễn Thị Đào", Username: "john.doe", FullName: "John Doe",
		Changes: []event.Change{
			{Field: "phone", Label: "Phone number", Type: event.TypeString, Old: json.RawMessage(`"090"`), New: json.RawMessage(`"091"`)},
			{Field: "age", Old: json.RawMessage(`null`), New: json.RawMessage(`41`)},
			{Field: "password", Old: json.RawMessage(`"***"`), New: json.RawMessage(`"***"`), Redacted: true},
			{Field: "note", New: json.RawMessage(`"` + strings.Repeat("n", 600) + `"`)},
		},
		ChangedFields: []string{"phone", "age", "password", "note"},
		Extra:         map[string]any{"import_source": "Customers.xlsx", "nested": map[string]any{"row": 7, "tags": []string{"vip", "eu"}}, "ok": true},
	}
}

func TestSearchText_hasTheWords(t *testing.T) {
	t.Parallel()
	text := SearchText(sample())
	for _, query := range []string{"nguyen", "Đào", "john.doe", "doe", "cus_456", "456", "change", "phone number", "090", "41", "customers.xlsx", "vip", "7", "018f-aa"} {
		if !MatchText(ParseText(query), text) {
			t.Errorf("%q is not found in %q", query, text)
		}
	}
	if text != strings.Join(Words(text), " ") {
		t.Errorf("the text is not its words joined: %q", text)
	}
}

func TestSearchText_isTheSameAfterEncoding(t *testing.T) {
	t.Parallel()
	r := sample()
	data, err := event.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := event.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(SearchText(r), SearchText(decoded)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ExtraTokens(r), ExtraTokens(decoded)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ChangeTokens(r), ChangeTokens(decoded)); diff != "" {
		t.Error(diff)
	}
}

func TestSearchText_isBounded(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Extra["big"] = strings.Repeat("word ", 100_000)
	text := SearchText(r)
	if len(text) > MaxSearchText || len(text) < MaxSearchText-MaxWordLength {
		t.Errorf("the text has %d bytes, want just up to %d", len(text), MaxSearchText)
	}
	if !MatchText(ParseText("nguyen 091"), text) {
		t.Error("a huge value has pushed out the words of the object")
	}
}

func TestSearchText_tableMessageOfOtherProducers(t *testing.T) {
	t.Parallel()
	r := event.Record{ChangeMessage: event.TableMessage([]event.MessageRow{{Field: "Status", OldValue: json.RawMessage(`"PENDING"`), NewValue: json.RawMessage(`"APPROVED"`)}})}
	if text := SearchText(r); !MatchText(ParseText("status pending approved"), text) {
		t.Errorf("the rows of the message are not in %q", text)
	}
}

func TestChangeTokens_pairOldAndNew(t *testing.T) {
	t.Parallel()
	tokens := ChangeTokens(sample())
	for _, c := range tokens {
		if len(c) > MaxTokenLength {
			t.Errorf("token of %d bytes, want at most %d", len(c), MaxTokenLength)
		}
	}
	text := func(s string) *string { return &s }
	long := strings.Repeat("n", 600)
	for _, tt := range []struct {
		field         string
		before, after *string
		want          bool
	}{
		{"phone", nil, nil, true},
		{"phone", text("090"), nil, true},
		{"phone", nil, text("091"), true},
		{"phone", text("090"), text("091"), true},
		{"phone", text("091"), text("090"), false},
		{"phone", text("090"), text("41"), false},
		{"age", text("null"), text("41"), true},
		{"password", nil, nil, true},
		{"password", text("***"), nil, false},
		{"note", nil, &long, true},
	} {
		if got := slices.Contains(tokens, ChangeToken(tt.field, tt.before, tt.after)); got != tt.want {
			t.Errorf("%q is among the tokens: %v, want %v", ChangeToken(tt.field, tt.before, tt.after), got, tt.want)
		}
	}
}

func TestExtraTokens_havePaths(t *testing.T) {
	t.Parallel()
	want := []string{"import_source=Customers.xlsx", "nested.row=7", "nested.tags=vip", "nested.tags=eu", "ok=true"}
	if diff := cmp.Diff(want, ExtraTokens(sample())); diff != "" {
		t.Error(diff)
	}
}

func TestPosition_comparesMillisecondsThenID(t *testing.T) {
	t.Parallel()
	at := func(ns int64, id string) Position { return Position{Timestamp: time.Unix(0, ns), LogID: id} }
	for _, tt := range []struct {
		a, b Position
		want int
	}{
		{at(1_000_000, "a"), at(2_000_000, "a"), -1},
		{at(1_900_000, "a"), at(1_100_000, "b"), -1},
		{at(1_100_000, "b"), at(1_900_000, "a"), 1},
		{at(1_100_000, "a"), at(1_900_000, "a"), 0},
		{at(5, "B"), at(5, "a"), -1},
	} {
		if got := tt.a.Compare(tt.b); got != tt.want {
			t.Errorf("%v with %v: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
