package event_test

import (
	"testing"
	"time"

	"github.com/gormtrail/audit/event"
)

func TestObject(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ encoded, objectType, objectID string }{
		{`{"log_id":"1","object_type":"customer","object_id":"7","object_repr":"x"}`, "customer", "7"},
		{`{"object_id":"7","object_type":"customer"}`, "customer", "7"},
		{`{"changes":[{"object_type":"no","object_id":"no"}],"object_type":"customer"}`, "customer", ""},
		{`{"object_type":"cust\u006fmer","object_id":"a\"b"}`, "customer", `a"b`},
		{`{"object_type":"customer","object_id":7}`, "customer", "7"},
		{`{}`, "", ""},
		{``, "", ""},
		{`{"object_type":`, "", ""},
		{`[1]`, "", ""},
	} {
		objectType, objectID := event.Object([]byte(c.encoded))
		if objectType != c.objectType || objectID != c.objectID {
			t.Errorf("%s: got %q, %q; want %q, %q", c.encoded, objectType, objectID, c.objectType, c.objectID)
		}
	}
}

func TestHasMember(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		encoded string
		want    bool
	}{
		{`{"a":1,"seq":2}`, true},
		{` { "a" : [1, 2] , "seq" : 2 } `, true},
		{`{"s\u0065q":2}`, true},
		{`{"a":{"seq":2},"b":["seq"],"c":"seq"}`, false},
		{`{"seq2":1,"s":1,"":1}`, false},
		{`{"a":"\"seq\":1"}`, false},
		{`{}`, false},
		{``, false},
		{`{"`, false},
		{`{"seq`, false},
		{`["seq"]`, false},
	} {
		if got := event.HasMember([]byte(c.encoded), "stream", "seq"); got != c.want {
			t.Errorf("%s: got %v, want %v", c.encoded, got, c.want)
		}
	}
	if event.HasMember([]byte(`{"a":1}`)) {
		t.Error("no names: got true")
	}
}

// FuzzObject: any bytes are taken, and of a record it gives what decoding gives.
func FuzzObject(f *testing.F) {
	f.Add([]byte(`{"object_type":"a","object_id":"b"}`), "customer", "7")
	f.Add([]byte(`{"object_type" : "\ud800"`), "a\"\\", "\x00é")
	f.Fuzz(func(t *testing.T, raw []byte, objectType, objectID string) {
		event.Object(raw)
		event.HasMember(raw, "a", "object_type")
		encoded, err := event.Encode(event.Record{LogID: "1", Timestamp: time.Unix(1e9, 0), Action: event.ActionAdd, ObjectType: objectType, ObjectID: objectID})
		if err != nil {
			return // not a record
		}
		r, err := event.Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		gotType, gotID := event.Object(encoded)
		if gotType != r.ObjectType || gotID != r.ObjectID {
			t.Errorf("%s: got %q, %q; want %q, %q", encoded, gotType, gotID, r.ObjectType, r.ObjectID)
		}
	})
}
