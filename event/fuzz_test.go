package event_test

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

// longNumber is a number that readers refuse for its length, which Encode writes as a text.
var longNumber = regexp.MustCompile(`[-+.eE0-9]{1000}`)

// FuzzDecode: whatever Decode accepts has an encoding that is valid, fits, and is its own.
func FuzzDecode(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 8<<10 {
			f.Add(data)
		}
	}
	for _, c := range invalid {
		if len(c.data) < 8<<10 {
			f.Add([]byte(c.data))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		event.Foreign(data)
		event.Stamp(data, "p", 1)
		r, err := event.Decode(data)
		// With a space before it, it is not in the canonical form, which has a shorter way.
		if spaced, errSpaced := event.Decode(append([]byte{' '}, data...)); (err == nil) != (errSpaced == nil) || !reflect.DeepEqual(r, spaced) {
			t.Fatalf("%.300q\n%v %+v\nspaced\n%v %+v", data, err, r, errSpaced, spaced)
		}
		if err != nil {
			return
		}
		once := encode(t, r)
		if len(once) > event.MaxSize || !json.Valid(once) || bytes.ContainsAny(once, "\n\r") {
			t.Fatalf("bad encoding of %d bytes: %.200s", len(once), once)
		}
		again, err := event.Decode(once)
		if err != nil {
			t.Fatalf("%v\nin  %.300s\nout %.300s", err, data, once)
		}
		if twice := encode(t, again); !bytes.Equal(once, twice) {
			t.Fatalf("no fixpoint\n%s", cmp.Diff(string(once), string(twice)))
		}
		if r.IsTruncated == again.IsTruncated && !longNumber.Match(data) {
			// cmp.Diff takes twice the time for each level of nested lists.
			if !reflect.DeepEqual(r, again) {
				t.Fatalf("%.300s\n%+v\n%+v", data, r, again)
			}
			h1, _ := event.ContentHash(r)
			if h2, _ := event.ContentHash(again); h1 != h2 {
				t.Fatalf("hash %s became %s", h1, h2)
			}
		}
		stamped, err := event.Decode(event.Stamp(once, "p", 9))
		if err != nil {
			t.Fatal(err)
		}
		again.ProducerID, again.Seq = "p", 9
		if !reflect.DeepEqual(again, stamped) {
			t.Fatalf("%+v\n%+v", again, stamped)
		}
	})
}

// FuzzEncode: whatever the application puts into a record, the record is written and read.
func FuzzEncode(f *testing.F) {
	f.Add("a", []byte(`{"a":1,"a":2}`), "k\xff", math.NaN(), int64(0))
	f.Add("\x00\u2028\"\\<>\xed\xa0\x80", []byte(`"\ud800"`), "", math.Inf(-1), int64(math.MaxInt64))
	f.Add(" ", []byte(" [ 1 , 2.0e5 ] "), "seq", math.Copysign(0, -1), int64(math.MinInt64))
	f.Add("x", []byte("no json \xff"), "\xfe", 1e300, int64(1))
	f.Fuzz(func(t *testing.T, s string, raw []byte, name string, number float64, seconds int64) {
		r := event.Record{
			LogID: "1", Timestamp: time.Unix(seconds, 0), Action: event.Action("A" + s),
			UserID: s, ObjectRepr: s, Errors: []string{s, name}, ChangedFields: []string{name},
			Changes:       []event.Change{{Field: s, Label: name, Old: raw, New: raw}, {Field: name}},
			ChangeMessage: event.TableMessage([]event.MessageRow{{Field: s, OldValue: raw}}),
			Extra: map[string]any{
				name: number, s: json.RawMessage(raw), "list": []any{s, number, raw, map[string]any{name: nil, s: s}},
				"number": json.Number(s), "\xff": 1, "\xfe": 2,
			},
		}
		if r.Timestamp.IsZero() {
			return
		}
		once := encode(t, r)
		if len(once) > event.MaxSize || !json.Valid(once) {
			t.Fatalf("bad encoding of %d bytes: %.200s", len(once), once)
		}
		got, err := event.Decode(once)
		if err != nil {
			t.Fatalf("%v\n%.500s", err, once)
		}
		if twice := encode(t, got); !bytes.Equal(once, twice) {
			t.Fatalf("no fixpoint\n%s", cmp.Diff(string(once), string(twice)))
		}
	})
}
