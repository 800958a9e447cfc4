package store_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

func TestMatcher(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	at := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	r := event.Record{
		LogID: "1", Timestamp: at, Action: event.ActionChange, Username: "Nguyễn", IPAddress: "::ffff:192.0.2.1", ObjectRepr: "Big Customer",
		ChangedFields: []string{"status", "note"},
		Changes: []event.Change{
			{Field: "status", Old: json.RawMessage(`"PENDING"`), New: json.RawMessage(`"APPROVED"`)},
			{Field: "amount", Old: json.RawMessage(`12.50`), New: json.RawMessage(`null`)},
			{Field: "pin", Old: json.RawMessage(`"***"`), New: json.RawMessage(`"***"`), Redacted: true},
		},
		Extra: map[string]any{"import": map[string]any{"file": "a.xlsx"}},
	}
	filter := func(f store.Field, values ...string) store.Filter { return store.Filter{Field: f, Values: values} }
	for _, tt := range []struct {
		name string
		q    store.Query
		want bool
	}{
		{"everything", store.Query{}, true},
		{"folded", store.Query{Filters: []store.Filter{filter(store.FieldUsername, "x", "NGUYEN")}}, true},
		{"action", store.Query{Filters: []store.Filter{filter(store.FieldAction, "change")}}, true},
		{"address", store.Query{Filters: []store.Filter{filter(store.FieldIPAddress, "192.0.2.1")}}, true},
		{"other address", store.Query{Filters: []store.Filter{filter(store.FieldIPAddress, "192.0.2.10")}}, false},
		{"one of several", store.Query{Filters: []store.Filter{filter(store.FieldChangedField, "note")}}, true},
		{"not", store.Query{Filters: []store.Filter{{Field: store.FieldChangedField, Values: []string{"note"}, Not: true}}}, false},
		{"no value", store.Query{Filters: []store.Filter{filter(store.FieldUserID, "")}}, false},
		{"not no value", store.Query{Filters: []store.Filter{{Field: store.FieldUserID, Values: []string{""}, Not: true}}}, true},
		{"two filters", store.Query{Filters: []store.Filter{filter(store.FieldLogID, "1"), filter(store.FieldAction, "ADD")}}, false},
		{"changed", store.Query{Filters: []store.Filter{store.Changed("status", nil, nil)}}, true},
		{"changed from", store.Query{Filters: []store.Filter{store.Changed("status", text("PENDING"), nil)}}, true},
		{"changed to", store.Query{Filters: []store.Filter{store.Changed("status", nil, text("APPROVED"))}}, true},
		{"changed from and to", store.Query{Filters: []store.Filter{store.Changed("status", text("PENDING"), text("APPROVED"))}}, true},
		{"changed the other way", store.Query{Filters: []store.Filter{store.Changed("status", text("APPROVED"), nil)}}, false},
		{"another field's value", store.Query{Filters: []store.Filter{store.Changed("status", nil, text("null"))}}, false},
		{"a number", store.Query{Filters: []store.Filter{store.Changed("amount", text("12.50"), text("null"))}}, true},
		{"another case", store.Query{Filters: []store.Filter{store.Changed("status", nil, text("approved"))}}, false},
		{"masked", store.Query{Filters: []store.Filter{store.Changed("pin", nil, text("***"))}}, false},
		{"masked field", store.Query{Filters: []store.Filter{store.Changed("pin", nil, nil)}}, true},
		{"extra", store.Query{Filters: []store.Filter{store.Extra("import.file", "b", "a.xlsx")}}, true},
		{"other extra", store.Query{Filters: []store.Filter{store.Extra("import.file", "b")}}, false},
		{"from", store.Query{From: at, To: at.Add(time.Millisecond)}, true},
		{"to", store.Query{To: at}, false},
		{"text", store.Query{Text: "customer BIG"}, true},
		{"other text", store.Query{Text: "small customer"}, false},
		{"no text", store.Query{Text: "%"}, false},
	} {
		if err := tt.q.WithDefaults().Validate(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if got := tt.q.Matcher()(r); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		passes := true
		for _, f := range tt.q.Filters {
			passes = passes && f.Matches(r)
		}
		if len(tt.q.Filters) > 0 && passes != tt.want {
			t.Errorf("%s: filters alone: %v, want %v", tt.name, passes, tt.want)
		}
	}
}

func TestFacetRequest_Validate(t *testing.T) {
	t.Parallel()
	for _, r := range []store.FacetRequest{
		{},
		{Fields: []store.Field{"body"}},
		{Fields: []store.Field{store.FieldLogID}},
		{Fields: []store.Field{store.FieldAction, store.FieldAction}},
		{Fields: []store.Field{store.FieldAction}, Size: store.MaxFacetSize + 1},
		{Fields: []store.Field{store.FieldAction}, Size: -1},
		{Fields: []store.Field{store.FieldAction}, Prefix: "0123456789012345678901234567890123456789012345678901234567890123456789"},
	} {
		if err := r.WithDefaults().Validate(); err == nil {
			t.Errorf("%+v is valid", r)
		}
	}
	if err := (store.FacetRequest{Fields: store.FacetFields()}).WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
}
