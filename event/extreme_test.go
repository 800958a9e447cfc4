package event_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
)

// What a database keeps and a store refuses with its whole record is written as text.
func TestEncode_numbersAndNamesThatReadersRefuse_areTexts(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		value string
		text  bool
	}{
		"number":          {strings.Repeat("9", 1001), true},
		"fraction":        {"-0." + strings.Repeat("9", 1000), true},
		"number inside":   {`{"a":[1,` + strings.Repeat("9", 1001) + `]}`, true},
		"name":            {`{"` + strings.Repeat("k", 50_001) + `" : 1}`, true},
		"number of 1000":  {strings.Repeat("9", 1000), false},
		"long text":       {`"` + strings.Repeat("9", 60_000) + `"`, false},
		"text with names": {`["` + strings.Repeat("k", 50_001) + `",":"]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var extra any
			d := json.NewDecoder(strings.NewReader(tt.value))
			d.UseNumber()
			if err := d.Decode(&extra); err != nil {
				t.Fatal(err)
			}
			r := event.Record{
				LogID: "x", Timestamp: time.Unix(1, 0), Action: event.ActionChange,
				Changes: []event.Change{{Field: "f", Old: json.RawMessage(tt.value)}}, Extra: map[string]any{"n": 1},
			}
			if number, ok := extra.(json.Number); ok {
				r.Extra["n"] = number
			}
			data, err := event.Encode(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := event.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			var text string
			isText := json.Unmarshal(got.Changes[0].Old, &text) == nil && tt.value[0] != '"'
			if isText != tt.text || tt.text && text != tt.value {
				t.Errorf("is a text: %v, want %v: %.80s", isText, tt.text, got.Changes[0].Old)
			}
			if _, ok := got.Extra["n"].(string); ok != (tt.text && r.Extra["n"] != 1) {
				t.Errorf("extra is %.80v", got.Extra["n"])
			}
			if again, err := event.Encode(got); err != nil || !bytes.Equal(again, data) {
				t.Errorf("encoded again it differs, or %v", err)
			}
		})
	}
}
