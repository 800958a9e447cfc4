package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// MaxSize is the largest size in bytes of an encoded record. Encode cuts longer values.
const MaxSize = 256 << 10

// MaxStamp is what Encode leaves free of MaxSize, for Stamp and StampIngest.
const MaxStamp = 1 << 10

// MaxIDLength is the largest length in bytes of a log_id.
const MaxIDLength = 512

// member ties one JSON name to the field of a Record. The table members is the wire format: its
// order is the order of the encoding.
type member struct {
	name   string
	always bool
	field  func(r *Record) any
}

var members = []member{
	{"schema_version", true, func(r *Record) any { return &r.SchemaVersion }},
	{"log_id", true, func(r *Record) any { return &r.LogID }},
	{"timestamp", true, func(r *Record) any { return &r.Timestamp }},
	{"user_id", false, func(r *Record) any { return &r.UserID }},
	{"username", false, func(r *Record) any { return &r.Username }},
	{"full_name", false, func(r *Record) any { return &r.FullName }},
	{"actor_type", false, func(r *Record) any { return &r.ActorType }},
	{"impersonator_id", false, func(r *Record) any { return &r.ImpersonatorID }},
	{"tenant_id", false, func(r *Record) any { return &r.TenantID }},
	{"action", true, func(r *Record) any { return &r.Action }},
	{"object_type", false, func(r *Record) any { return &r.ObjectType }},
	{"object_id", false, func(r *Record) any { return &r.ObjectID }},
	{"object_repr", false, func(r *Record) any { return &r.ObjectRepr }},
	{"change_message", false, func(r *Record) any { return &r.ChangeMessage }},
	{"changes", false, func(r *Record) any { return &r.Changes }},
	{"changed_fields", false, func(r *Record) any { return &r.ChangedFields }},
	{"ip_address", false, func(r *Record) any { return &r.IPAddress }},
	{"user_agent", false, func(r *Record) any { return &r.UserAgent }},
	{"session_key", false, func(r *Record) any { return &r.SessionKey }},
	{"request_id", false, func(r *Record) any { return &r.RequestID }},
	{"trace_id", false, func(r *Record) any { return &r.TraceID }},
	{"span_id", false, func(r *Record) any { return &r.SpanID }},
	{"http_method", false, func(r *Record) any { return &r.HTTPMethod }},
	{"http_route", false, func(r *Record) any { return &r.HTTPRoute }},
	{"source", false, func(r *Record) any { return &r.Source }},
	{"outcome", false, func(r *Record) any { return &r.Outcome }},
	{"reason", false, func(r *Record) any { return &r.Reason }},
	{"service", false, func(r *Record) any { return &r.Service }},
	{"environment", false, func(r *Record) any { return &r.Environment }},
	{"host", false, func(r *Record) any { return &r.Host }},
	{"source_model", false, func(r *Record) any { return &r.SourceModel }},
	{"source_pk", false, func(r *Record) any { return &r.SourcePK }},
	{"source_repr", false, func(r *Record) any { return &r.SourceRepr }},
	{"batch_id", false, func(r *Record) any { return &r.BatchID }},
	{"batch_action", false, func(r *Record) any { return &r.BatchAction }},
	{"batch_summary", false, func(r *Record) any { return &r.BatchSummary }},
	{"total_processed", false, func(r *Record) any { return &r.TotalProcessed }},
	{"error_count", false, func(r *Record) any { return &r.ErrorCount }},
	{"errors", false, func(r *Record) any { return &r.Errors }},
	{"tx_id", false, func(r *Record) any { return &r.TxID }},
	{"table", false, func(r *Record) any { return &r.Table }},
	{"extra", false, func(r *Record) any { return &r.Extra }},
	{"is_truncated", false, func(r *Record) any { return &r.IsTruncated }},
	{"untruncated_size", false, func(r *Record) any { return &r.UntruncatedSize }},
	{"record_hash", false, func(r *Record) any { return &r.RecordHash }},
	{"producer_id", false, func(r *Record) any { return &r.ProducerID }},
	{"seq", false, func(r *Record) any { return &r.Seq }},
	{"ingested_at", false, func(r *Record) any { return &r.IngestedAt }},
	{"stream", false, func(r *Record) any { return &r.Stream }},
	{"stream_offset", false, func(r *Record) any { return &r.StreamOffset }},
}

var memberIndex = func() map[string]int {
	index := make(map[string]int, len(members))
	for i, m := range members {
		index[m.name] = i
	}
	return index
}()

// Reserved reports whether name is the name of a field of the record, so that an extra field of that
// name is not shown at the top level.
func Reserved(name string) bool {
	_, ok := memberIndex[name]
	return ok
}

// MarshalJSON implements json.Marshaler with the wire format. It does not cut; see Encode.
func (r Record) MarshalJSON() ([]byte, error) {
	return r.append(nil, nil)
}

// append appends the encoding of r to dst, leaving out the members that skip names.
func (r *Record) append(dst []byte, skip func(name string) bool) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	put := func(name string, value []byte) {
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(dst, marshal(name)...)
		dst = append(dst, ':')
		dst = append(dst, value...)
	}
	for _, m := range members {
		if skip != nil && skip(m.name) {
			continue
		}
		field := m.field(r)
		if isZero(field) && !m.always {
			// An offset of 0 is an offset, as soon as there is a stream.
			if m.name != "stream_offset" || r.Stream == "" {
				continue
			}
		}
		value, err := encodeField(m.name, field)
		if err != nil {
			return nil, err
		}
		put(m.name, value)
	}
	for _, name := range slices.Sorted(maps.Keys(r.unknown)) {
		if skip == nil || !skip(name) {
			put(name, r.unknown[name])
		}
	}
	return append(dst, '}'), nil
}

func encodeField(name string, field any) ([]byte, error) {
	switch f := field.(type) {
	case *int:
		if name == "schema_version" && *f == 0 {
			return marshal(SchemaVersion), nil
		}
	case *time.Time:
		return marshal(formatTime(*f)), nil
	}
	data, err := tryMarshal(field)
	if err != nil {
		return nil, fmt.Errorf("event: encode %s: %w", name, err)
	}
	return data, nil
}

// formatTime gives t in RFC 3339 and UTC, with a year that every reader of the format takes.
func formatTime(t time.Time) string {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return time.Time{}.Format(time.RFC3339Nano)
	}
	return t.Format(time.RFC3339Nano)
}

func isZero(field any) bool {
	switch f := field.(type) {
	case *string:
		return *f == ""
	case *Action:
		return *f == ""
	case *int:
		return *f == 0
	case *int64:
		return *f == 0
	case *uint64:
		return *f == 0
	case *bool:
		return !*f
	case *time.Time:
		return f.IsZero()
	case *Message:
		return f.IsZero()
	case *[]string:
		return len(*f) == 0
	case *[]Change:
		return len(*f) == 0
	case *map[string]any:
		return len(*f) == 0
	}
	return false
}

// UnmarshalJSON implements json.Unmarshaler; see Decode.
func (r *Record) UnmarshalJSON(data []byte) error {
	got, err := Decode(data)
	if err != nil {
		return err
	}
	*r = got
	return nil
}

// Decode reads an encoded record. It takes what other producers of the format write: ids that are
// numbers, times without a zone (they are UTC), the actions CREATE and UPDATE. A record without
// schema_version is of the specification's own producer, whose custom fields stand at the top level:
// they go to Extra. Unknown fields of other records are kept and encoded again.
//
// The error wraps ErrInvalid and names the field. Decode keeps no reference to data.
func Decode(data []byte) (Record, error) {
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if raw == nil {
		return Record{}, fmt.Errorf("%w: null", ErrInvalid)
	}
	var r Record
	for name, value := range raw {
		i, ok := memberIndex[name]
		if !ok {
			if r.unknown == nil {
				r.unknown = make(map[string]json.RawMessage)
			}
			r.unknown[name] = bytes.Clone(value)
			continue
		}
		if err := decodeField(members[i].field(&r), value); err != nil {
			return Record{}, fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
		}
	}
	if r.SchemaVersion == 0 {
		r.SchemaVersion = SchemaVersion
		if err := r.adopt(); err != nil {
			return Record{}, err
		}
	}
	return r, r.validate()
}

// Foreign reports whether data, which Decode has accepted, is a record of another producer, whose
// encoding must be replaced by Encode's before it is stored.
func Foreign(data []byte) bool {
	var v struct {
		SchemaVersion json.RawMessage `json:"schema_version"`
	}
	return json.Unmarshal(data, &v) != nil || len(v.SchemaVersion) == 0
}

// adopt moves the top-level custom fields of the specification's producer to Extra. A field of
// Extra wins over a top-level one of the same name.
func (r *Record) adopt() error {
	for name, value := range r.unknown {
		if _, taken := r.Extra[name]; taken {
			continue
		}
		var v any
		if err := unmarshal(value, &v); err != nil {
			return fmt.Errorf("%w: %s: %w", ErrInvalid, name, err)
		}
		if r.Extra == nil {
			r.Extra = make(map[string]any, len(r.unknown))
		}
		r.Extra[name] = v
	}
	r.unknown = nil
	return nil
}

func (r *Record) validate() error {
	switch {
	case r.LogID == "":
		return fmt.Errorf("%w: log_id is missing", ErrInvalid)
	case len(r.LogID) > MaxIDLength:
		return fmt.Errorf("%w: log_id has %d bytes, want at most %d", ErrInvalid, len(r.LogID), MaxIDLength)
	case r.Timestamp.IsZero():
		return fmt.Errorf("%w: timestamp is missing", ErrInvalid)
	case r.Action == "":
		return fmt.Errorf("%w: action is missing", ErrInvalid)
	}
	return nil
}

func decodeField(field any, value json.RawMessage) error {
	if string(value) == "null" {
		return nil
	}
	switch f := field.(type) {
	case *string:
		s, err := decodeText(value)
		*f = s
		return err
	case *Action:
		s, err := decodeText(value)
		*f = ParseAction(s)
		return err
	case *time.Time:
		t, err := decodeTime(value)
		*f = t
		return err
	default:
		return unmarshal(value, field)
	}
}

// decodeText takes a JSON string, and a number or boolean as its text: other producers write ids as
// numbers.
func decodeText(value json.RawMessage) (string, error) {
	switch value[0] {
	case '"':
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	case '{', '[':
		return "", fmt.Errorf("%.20q is not a text", value)
	default:
		return string(value), nil
	}
}

func decodeTime(value json.RawMessage) (time.Time, error) {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return time.Time{}, err
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999Z07:00", "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.64q is not a time in RFC 3339", s)
}

func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return d.Decode(v)
}

// marshal encodes what cannot fail.
func marshal(v any) []byte {
	data, err := tryMarshal(v)
	if err != nil {
		return []byte("null")
	}
	return data
}

func tryMarshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // the readers escape; here < would only take six bytes
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Encode gives the encoding of r. A record that would be larger than MaxSize is cut: its longest
// values are shortened and marked as truncated.
func Encode(r Record) ([]byte, error) {
	if strings.TrimSpace(r.LogID) == "" {
		return nil, fmt.Errorf("%w: log_id is missing", ErrInvalid)
	}
	return r.append(nil, nil)
}
