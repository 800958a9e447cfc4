package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// ActionGap is the action, and ObjectTypeGap the object_type, of a gap record.
const (
	ActionGap     Action = "GAP"
	ObjectTypeGap string = "audit_gap"
)

// Reasons of a Gap. Others may come.
const (
	GapFull        = "full"        // the queue was at its size, and the newest were dropped
	GapDisk        = "disk"        // the disk did not take them: full, failing, read-only
	GapTimeout     = "timeout"     // the disk was too slow, or the caller had no more time
	GapInvalid     = "invalid"     // they cannot be encoded
	GapDamaged     = "damaged"     // they were written once, and are damaged
	GapTorn        = "torn"        // bytes of a write that a crash cut off; nobody was told that they are safe
	GapQuarantined = "quarantined" // they cannot be sent, and were put aside
	GapRemoved     = "removed"     // the queue's files were removed while it was in use
	GapStream      = "stream"      // the stream has lost them, and the queue keeps them no more
)

// Gap says that records of a producer are missing, so that a loss is visible wherever the records are
// read. It travels as a record of its own: Record makes it, GapOf reads it.
//
// The record has the action GAP, the object_type audit_gap, the producer as object_id, the outcome
// "failure", the reason in reason, all of it in words in change_message, and all fields under extra.gap: producer,
// reason, count, from_seq, to_seq, first_time, last_time, bytes and detail. Fields that are zero are left
// out, except count.
type Gap struct {
	// Producer is the producer whose records are missing.
	Producer string
	// Reason is one of the Gap constants.
	Reason string
	// Count is how many records are missing; 0 with GapTorn, where none was promised.
	Count uint64
	// From and To are the first and the last sequence that are missing, 0 if the records never had one.
	From, To uint64
	// First and Last are when the first and the last of them were lost, or for damage between which
	// times they were written, as far as it is known.
	First, Last time.Time
	// Bytes is the size of what was put aside.
	Bytes int64
	// Detail is more about it, in words: an error, a file.
	Detail string
}

// Record gives the gap record with the id. The timestamp is Last.
func (g Gap) Record(id string) Record {
	text := g.text()
	fields := map[string]any{"producer": g.Producer, "reason": g.Reason, "count": g.Count}
	if g.From > 0 || g.To > 0 {
		fields["from_seq"], fields["to_seq"] = g.From, g.To
	}
	if !g.First.IsZero() {
		fields["first_time"] = wireTime(g.First).Format(time.RFC3339Nano)
	}
	if !g.Last.IsZero() {
		fields["last_time"] = wireTime(g.Last).Format(time.RFC3339Nano)
	}
	if g.Bytes > 0 {
		fields["bytes"] = g.Bytes
	}
	if g.Detail != "" {
		fields["detail"] = g.Detail
	}
	r := Record{
		LogID: id, Timestamp: g.Last, Action: ActionGap, ActorType: "system", ObjectType: ObjectTypeGap, ObjectID: g.Producer,
		ObjectRepr: "gap: " + g.Reason, ChangeMessage: TextMessage(text), Outcome: "failure", Reason: g.Reason, Source: "audit",
		Extra: map[string]any{"gap": fields},
	}
	r.RecordHash = r.hash()
	return r
}

func (g Gap) text() string {
	text := fmt.Sprintf("%d records of %s are missing: %s", g.Count, g.Producer, g.Reason)
	if g.From > 0 {
		text += fmt.Sprintf(", sequences %d to %d", g.From, g.To)
	}
	if g.Bytes > 0 {
		text += fmt.Sprintf(", %d bytes put aside", g.Bytes)
	}
	return text
}

// ID gives an id for the gap record that follows from the producer, the reason and the range: a gap that
// is found again, by whoever reads the same damage after a restart, is the same record. It is a UUIDv8
// (RFC 9562, section 5.8) that begins with the milliseconds of Last, as a UUIDv7 does.
func (g Gap) ID() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "audit/gap/v1\n%s\n%s\n%d\n%d\n%d\n", g.Producer, g.Reason, g.From, g.To, g.Bytes))
	var b [16]byte
	copy(b[:], sum[:])
	binary.BigEndian.PutUint64(b[:], uint64(g.Last.UnixMilli())<<16|8<<12|uint64(binary.BigEndian.Uint16(sum[6:8])&0xfff))
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

// GapOf gives the gap that r tells of. ok is false if r is no gap record. It may come from anybody who can
// write to the stream.
func GapOf(r Record) (g Gap, ok bool) {
	fields, isMap := r.Extra["gap"].(map[string]any)
	if r.Action != ActionGap || r.ObjectType != ObjectTypeGap || !isMap {
		return Gap{}, false
	}
	str := func(name string) string { s, _ := fields[name].(string); return s }
	number := func(name string) uint64 {
		switch v := fields[name].(type) {
		case json.Number:
			n, _ := strconv.ParseUint(v.String(), 10, 64)
			return n
		case uint64:
			return v
		case int64:
			return uint64(max(0, v))
		}
		return 0
	}
	at := func(name string) time.Time { t, _ := time.Parse(time.RFC3339Nano, str(name)); return t }
	return Gap{
		Producer: str("producer"), Reason: str("reason"), Count: number("count"), From: number("from_seq"), To: number("to_seq"),
		First: at("first_time"), Last: at("last_time"), Bytes: int64(min(number("bytes"), 1<<62)), Detail: str("detail"),
	}, true
}
