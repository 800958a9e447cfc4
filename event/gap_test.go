package event_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

func TestGap_isARecordThatSurvivesTheWire(t *testing.T) {
	t.Parallel()
	last := time.Date(2026, 11, 24, 12, 0, 1, 5_000_000, time.UTC)
	for name, g := range map[string]event.Gap{
		"dropped": {Producer: "shop/1", Reason: event.GapFull, Count: 12, First: last.Add(-time.Second), Last: last},
		"damaged": {Producer: "shop/1", Reason: event.GapDamaged, Count: 3, From: 7, To: 9, First: last, Last: last, Bytes: 900, Detail: "file x"},
		"torn":    {Producer: "shop/1", Reason: event.GapTorn, First: last, Last: last, Bytes: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sent := g.Record(g.ID())
			data, err := event.Encode(sent)
			if err != nil {
				t.Fatal(err)
			}
			r, err := event.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if hash, err := event.ContentHash(r); err != nil || hash != sent.RecordHash || r.RecordHash != hash {
				t.Errorf("hash %s, %v; want %s", hash, err, sent.RecordHash)
			}
			for where, r := range map[string]event.Record{"sent": sent, "received": r} {
				got, ok := event.GapOf(r)
				if diff := cmp.Diff(g, got); !ok || diff != "" {
					t.Errorf("%s: %t %s", where, ok, diff)
				}
			}
			if r.ObjectID != "shop/1" || r.Outcome != "failure" || !r.Timestamp.Equal(last) || r.LogID != g.ID() {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestGapID_followsFromWhatIsMissing(t *testing.T) {
	t.Parallel()
	g := event.Gap{Producer: "a/1", Reason: event.GapDamaged, Count: 3, From: 7, To: 9, Last: time.UnixMilli(1_700_000_000_123)}
	again, other := g, g
	again.Detail = "another word"
	other.To = 10
	if g.ID() != again.ID() || g.ID() == other.ID() {
		t.Errorf("%s, again %s, another %s", g.ID(), again.ID(), other.ID())
	}
	if id := g.ID(); len(id) != 36 || id[14] != '8' || id[:8]+id[9:13] != "018bcfe5687b" {
		t.Errorf("id %s, want a UUIDv8 of that millisecond", id)
	}
}

func TestGapOf_otherRecords(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]event.Record{
		"a change":     {Action: event.ActionChange, ObjectType: "customer"},
		"without data": {Action: event.ActionGap, ObjectType: event.ObjectTypeGap},
		"garbage":      {Action: event.ActionGap, ObjectType: event.ObjectTypeGap, Extra: map[string]any{"gap": "x"}},
	} {
		if g, ok := event.GapOf(r); ok {
			t.Errorf("%s: %+v", name, g)
		}
	}
}
