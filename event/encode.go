package event

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// MaxSize is the largest size in bytes of an encoded record with all its stamps. Encode cuts longer
// values.
const MaxSize = 256 << 10

// MaxStamp is what Encode leaves free of MaxSize for Stamp and StampIngest.
const MaxStamp = 1 << 10

// MaxDepth is how deeply the objects and arrays of an encoded record may be nested; the record
// itself is the first level. Encode writes what is deeper as text.
const MaxDepth = 64

// MaxIDLength is the largest length in bytes of a log_id.
const MaxIDLength = 512

// Encode gives the encoding of r: one line of JSON, the members in a fixed order, the same bytes for
// the same record. Values that JSON does not have are written as marked text, never left out: NaN
// and infinities as "NaN", "Infinity" and "-Infinity", what fails to encode as "[UNENCODABLE] …".
//
// A record that would be larger than MaxSize is cut: its longest values are shortened to a common
// length, at the border of a character and with "…" at the end; a value that is no string becomes
// the beginning of its JSON text. The changes concerned are marked as truncated, the record has
// is_truncated and untruncated_size, and its record_hash, if it has one, is that of what is left.
// Only where thousands of short values leave no other way are the last of a list left out.
//
// The error wraps ErrInvalid if log_id, timestamp or action are missing or the log_id is longer than
// MaxIDLength. There is no other error.
func Encode(r Record) ([]byte, error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	data := r.append(make([]byte, 0, 1024))
	if len(data) <= MaxSize-MaxStamp {
		return data, nil
	}
	return r.fit(data), nil
}

// MarshalJSON implements json.Marshaler with the wire format. It neither cuts nor validates; see
// Encode.
func (r Record) MarshalJSON() ([]byte, error) {
	return r.append(nil), nil
}

func (r *Record) validate() error {
	switch {
	case strings.TrimSpace(r.LogID) == "":
		return fmt.Errorf("%w: log_id is missing", ErrInvalid)
	case len(r.LogID) > MaxIDLength, !utf8.ValidString(r.LogID) && len(string([]rune(r.LogID))) > MaxIDLength:
		return fmt.Errorf("%w: log_id has %d bytes, want at most %d", ErrInvalid, len(string([]rune(r.LogID))), MaxIDLength)
	case r.Timestamp.IsZero():
		return fmt.Errorf("%w: timestamp is missing", ErrInvalid)
	case ParseAction(string(r.Action)) == "":
		return fmt.Errorf("%w: action is missing", ErrInvalid)
	}
	return nil
}

// append appends the encoding of r to dst.
func (r *Record) append(dst []byte) []byte {
	start := len(dst)
	for i := range members {
		dst = r.appendMember(dst, &members[i])
	}
	return r.finish(dst, start)
}

// finish ends an encoding that begins at start, after its known members.
func (r *Record) finish(dst []byte, start int) []byte {
	for _, name := range sortedNames(r.unknown) {
		dst = r.appendUnknown(dst, name)
	}
	dst[start] = '{' // in the place of the first member's comma; some are always there
	return append(dst, '}')
}

func (r *Record) appendUnknown(dst []byte, name string) []byte {
	dst = append(dst, ',')
	dst = append(appendString(dst, name), ':')
	return appendRaw(dst, r.unknown[name], MaxDepth-1)
}

// appendMember appends a comma, the name and the value, or nothing if the value is left out.
func (r *Record) appendMember(dst []byte, m *member) []byte {
	before := len(dst)
	zero := false
	field := m.field(r)
	if f, ok := field.(*string); ok { // most of them, and most are empty
		if *f == "" && !m.always {
			return dst
		}
		return appendString(append(dst, m.key...), *f)
	}
	dst = append(dst, m.key...)
	switch f := field.(type) {
	case *Action:
		a := ParseAction(string(*f))
		dst, zero = appendString(dst, string(a)), a == ""
	case *int: // schema_version
		v := *f
		if v < 1 {
			v = SchemaVersion
		}
		dst = strconv.AppendInt(dst, int64(v), 10)
	case *int64:
		dst, zero = strconv.AppendInt(dst, *f, 10), *f == 0
		if m.name == "stream_offset" {
			zero = r.Stream == "" // an offset of 0 is an offset, as soon as there is a stream
		}
	case *uint64:
		dst, zero = strconv.AppendUint(dst, *f, 10), *f == 0
	case *bool:
		dst, zero = strconv.AppendBool(dst, *f), !*f
	case *time.Time:
		dst, zero = appendTime(dst, *f), f.IsZero()
	case *Message:
		dst, zero = appendRaw(dst, f.raw, MaxDepth-1), f.IsZero()
	case *[]string:
		dst, zero = appendTexts(dst, *f), len(*f) == 0
	case *[]Change:
		dst, zero = r.appendChanges(dst), len(*f) == 0
	case *map[string]any:
		dst, zero = appendMap(dst, *f, MaxDepth-1), len(*f) == 0
	}
	if zero && !m.always {
		return dst[:before]
	}
	return dst
}

func appendTexts(dst []byte, texts []string) []byte {
	dst = append(dst, '[')
	for i, s := range texts {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, s)
	}
	return append(dst, ']')
}

func (r *Record) appendChanges(dst []byte) []byte {
	dst = append(dst, '[')
	for i := range r.Changes {
		if i > 0 {
			dst = append(dst, ',')
		}
		var unknown map[string][]byte
		if i < len(r.unknownOfChange) {
			unknown = r.unknownOfChange[i]
		}
		dst = r.Changes[i].append(dst, unknown)
	}
	return append(dst, ']')
}

func sortedNames[V any](m map[string]V) []string {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}

// MarshalJSON implements json.Marshaler with the wire format.
func (c Change) MarshalJSON() ([]byte, error) {
	return c.append(nil, nil), nil
}

func (c *Change) append(dst []byte, unknown map[string][]byte) []byte {
	dst = append(dst, `{"field":`...)
	dst = appendString(dst, c.Field)
	if c.Label != "" {
		dst = appendString(append(dst, `,"label":`...), c.Label)
	}
	if c.Type != "" {
		dst = appendString(append(dst, `,"type":`...), c.Type)
	}
	if len(c.Old) > 0 {
		dst = appendRaw(append(dst, `,"old":`...), c.Old, MaxDepth-3)
	}
	if len(c.New) > 0 {
		dst = appendRaw(append(dst, `,"new":`...), c.New, MaxDepth-3)
	}
	if c.Redacted {
		dst = append(dst, `,"redacted":true`...)
	}
	if c.Truncated {
		dst = append(dst, `,"truncated":true`...)
	}
	if c.OldHash != "" {
		dst = appendString(append(dst, `,"old_hash":`...), c.OldHash)
	}
	if c.NewHash != "" {
		dst = appendString(append(dst, `,"new_hash":`...), c.NewHash)
	}
	for _, name := range sortedNames(unknown) {
		dst = append(dst, ',')
		dst = append(appendString(dst, name), ':')
		dst = appendRaw(dst, unknown[name], MaxDepth-3)
	}
	return append(dst, '}')
}

var (
	firstTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	lastTime  = time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
)

// wireTime gives t in UTC, and of a year outside 0 to 9999, which RFC 3339 cannot say, the nearest
// time that it can.
func wireTime(t time.Time) time.Time {
	t = t.UTC()
	switch y := t.Year(); {
	case y < 0:
		return firstTime
	case y > 9999:
		return lastTime
	}
	return t
}

func appendTime(dst []byte, t time.Time) []byte {
	dst = append(dst, '"')
	dst = wireTime(t).AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}
