package event_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

func TestStamp_isAsIfSetBefore(t *testing.T) {
	t.Parallel()
	plain := event.Record{
		LogID: "1", Timestamp: time.Unix(1, 0).UTC(), Action: event.ActionAdd,
		Extra: map[string]any{"seq": "mine", "s": `"producer_id"`},
	}
	stamped := plain
	stamped.ProducerID, stamped.Seq = "old", 7
	foreign := stamped
	foreign.Stream, foreign.StreamOffset = "s", 0
	for _, c := range []struct {
		name string
		from event.Record
		id   string
		seq  uint64
	}{
		{"none before", plain, "producer-1", 1},
		{"replaces", stamped, "producer-2", 8},
		{"takes away", stamped, "", 0},
		{"largest", plain, "p", math.MaxUint64},
		{"id needs escapes", plain, "a\"b\\c\n", 3},
		{"keeps the stream", foreign, "p", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := c.from
			want.ProducerID, want.Seq, want.SchemaVersion = c.id, c.seq, event.SchemaVersion
			got, err := event.Decode(event.Stamp(encode(t, c.from), c.id, c.seq))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, exportAll); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestStampIngest_isAsIfSetBefore(t *testing.T) {
	t.Parallel()
	r := event.Record{SchemaVersion: 1, LogID: "1", Timestamp: time.Unix(1, 0).UTC(), Action: event.ActionAdd, IngestedAt: time.Unix(9, 0).UTC()}
	want := r
	want.IngestedAt, want.Stream, want.StreamOffset = time.Unix(2, 5).UTC(), "audit_logs_stream", 0
	got, err := event.Decode(event.StampIngest(encode(t, r), want.IngestedAt, want.Stream, 0))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got, exportAll); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestStamp_givesBackWhatIsNoObject(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"", "x", "[]", "{", "}", `"{}"`} {
		if got := event.Stamp([]byte(in), "p", 1); string(got) != in {
			t.Errorf("Stamp(%q) = %q", in, got)
		}
	}
}

func TestStamp_doesNotChangeItsArgument(t *testing.T) {
	t.Parallel()
	data := make([]byte, 0, 4096)
	data = append(data, encode(t, event.Record{LogID: "1", Timestamp: time.Unix(1, 0), Action: event.ActionAdd})...)
	before := string(data[:cap(data)])
	event.Stamp(data, "p", 1)
	if string(data[:cap(data)]) != before {
		t.Error("the argument was changed")
	}
}
