package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"
	"unicode/utf8"
)

// MaxDecodeSize is the largest size in bytes that Decode reads: the largest frame of a RabbitMQ
// stream. Records of other producers may be larger than MaxSize.
const MaxDecodeSize = 1 << 20

// Decode reads an encoded record. Besides what Encode writes it takes what other producers of the
// format write: ids that are numbers, times without a zone (they are UTC), the actions CREATE and
// UPDATE, any JSON value as change_message.
//
// A record without schema_version is of the specification's own producer, whose custom fields stand
// at the top level: they go to Extra. Those that carry the name of a field which this module added
// become that field if they are text, as it is. Of records with a schema_version unknown members,
// also those of a change, are kept and encoded again.
//
// Decode refuses data that is larger than MaxDecodeSize, nested deeper than MaxDepth, or that has a
// name twice in one object; the first two before it reads a single value. The error wraps ErrInvalid
// and names the field. Decode keeps no reference to data, and may be called concurrently.
func Decode(data []byte) (Record, error) {
	data, plain, err := check(data)
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	d := decoder{room: make([]byte, 0, len(data)), plain: plain}
	r := new(Record)
	if isForeign(data) {
		err = d.foreign(r, data)
	} else {
		err = d.record(r, data)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if err := r.validate(); err != nil {
		return Record{}, err
	}
	return *r, nil
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

// Foreign reports whether the encoding data of a record, which Decode has accepted, must be replaced
// by Encode's before it is stored: it has no schema_version, so it is of another producer, or it is
// larger than MaxSize.
func Foreign(data []byte) bool {
	return len(data) > MaxSize || isForeign(data)
}

func isForeign(data []byte) bool {
	foreign := true
	_ = eachMember(data, func(name, value []byte) error {
		if string(name) == `"schema_version"` || unquote(name) == "schema_version" {
			foreign = string(value) == "null" || string(value) == "0"
			return errStop
		}
		return nil
	})
	return foreign
}

// check gives data as UTF-8 if it is an object that may be read at all, and whether it is in the canonical form.
func check(data []byte) (_ []byte, plain bool, err error) {
	if len(data) > MaxDecodeSize {
		return nil, false, fmt.Errorf("%d bytes, want at most %d", len(data), MaxDecodeSize)
	}
	if plain = isPlain(data, MaxDepth); !plain {
		if data, err = checkClosely(data); err != nil {
			return nil, false, err
		}
	}
	if i := skipSpace(data, 0); data[i] != '{' {
		return nil, false, fmt.Errorf("%.20q is not an object", data[i:])
	}
	return data, plain, nil
}

func checkClosely(data []byte) ([]byte, error) {
	if n := depth(data); n > MaxDepth {
		return nil, fmt.Errorf("nested %d levels deep, want at most %d", n, MaxDepth)
	}
	if !utf8.Valid(data) {
		data = bytes.ToValidUTF8(data, []byte("\uFFFD"))
	}
	if !json.Valid(data) {
		var v json.RawMessage
		return nil, fmt.Errorf("no JSON: %w", json.Unmarshal(data, &v))
	}
	if name, twice := duplicateKey(data); twice {
		return nil, fmt.Errorf("the name %.64q stands twice in one object", name)
	}
	return data, nil
}

// decoder reads checked data.
type decoder struct {
	// room is where the raw values are copied to, one allocation for all: their canonical form is
	// never longer than the original.
	room  []byte
	plain bool // the data is in that form already
}

func (d *decoder) raw(value []byte) []byte {
	start := len(d.room)
	if d.plain {
		d.room = append(d.room, value...)
	} else {
		d.room = appendCanonical(d.room, value)
	}
	return d.room[start:len(d.room):len(d.room)]
}

func (d *decoder) record(r *Record, data []byte) error {
	return eachMember(data, func(name, value []byte) error {
		i, ok := lookup(name)
		if !ok {
			if r.unknown == nil {
				r.unknown = make(map[string][]byte)
			}
			r.unknown[unquote(name)] = d.raw(value)
			return nil
		}
		if err := d.field(r, members[i].field(r), value); err != nil {
			return fmt.Errorf("%s: %w", members[i].name, err)
		}
		return nil
	})
}

// lookup gives the index of the member with the quoted name.
func lookup(name []byte) (int, bool) {
	if bytes.IndexByte(name, '\\') < 0 {
		i, ok := memberIndex[string(name[1:len(name)-1])] // does not allocate
		return i, ok
	}
	i, ok := memberIndex[unquote(name)]
	return i, ok
}

// foreign reads a record of the specification's producer.
func (d *decoder) foreign(r *Record, data []byte) error {
	custom := make(map[string]any)
	err := eachMember(data, func(name, value []byte) error {
		i, ok := lookup(name)
		switch {
		case ok && members[i].name == "schema_version":
			return nil
		case ok && members[i].name == "extra" && value[0] != '{' && value[0] != 'n':
			// a custom field that happens to have this name
		case ok && members[i].kind == specified:
			if err := d.field(r, members[i].field(r), value); err != nil {
				return fmt.Errorf("%s: %w", members[i].name, err)
			}
			return nil
		case ok && members[i].kind == ours && value[0] == '"':
			if s, isText := members[i].field(r).(*string); isText {
				*s = unquote(value)
				return nil
			}
		}
		if depth(value) > MaxDepth-2 { // it goes one level deeper
			custom[unquote(name)] = string(appendCanonical(nil, value))
			return nil
		}
		v, err := decodeOne(value)
		custom[unquote(name)] = v
		return err
	})
	if err != nil {
		return err
	}
	r.SchemaVersion = SchemaVersion
	if len(custom) > 0 {
		maps.Copy(custom, r.Extra) // a field of extra wins over a top-level one of the same name
		r.Extra = custom
	}
	return nil
}

// field reads value into the field of r that the pointer leads to.
func (d *decoder) field(r *Record, field any, value []byte) (err error) {
	if string(value) == "null" {
		return nil
	}
	switch f := field.(type) {
	case *string:
		*f, err = text(value)
	case *Action:
		var s string
		s, err = text(value)
		*f = ParseAction(s)
	case *int: // schema_version
		var v int64
		if v, err = integer(value); err == nil && (v < 1 || v > 1<<30) {
			err = fmt.Errorf("%.20q, want 1 or more", value)
		}
		*f = int(v)
	case *int64:
		*f, err = integer(value)
	case *uint64:
		if *f, err = strconv.ParseUint(string(value), 10, 64); err != nil {
			err = fmt.Errorf("%.40q is not a whole number from 0 on", value)
		}
	case *bool:
		if *f = string(value) == "true"; !*f && string(value) != "false" {
			err = fmt.Errorf("%.40q is not true or false", value)
		}
	case *time.Time:
		*f, err = instant(value)
	case *Message:
		f.raw = d.raw(value)
	case *[]string:
		*f, err = texts(value)
	case *[]Change:
		err = d.changes(r, value)
	case *map[string]any:
		if value[0] != '{' {
			return fmt.Errorf("%.40q is not an object", value)
		}
		if err = decodeAny(value, f); len(*f) == 0 {
			*f = nil
		}
	}
	return err
}

// decodeOne is decodeAny for one checked value. Simple ones, of which a message may have a hundred thousand, do not
// take a decoder with its buffer each.
func decodeOne(value []byte) (v any, err error) {
	switch value[0] {
	case '"':
		return unquote(value), nil
	case '{', '[':
		err = decodeAny(value, &v)
		return v, err
	case 't', 'f':
		return value[0] == 't', nil
	case 'n':
		return nil, nil //nolint:nilnil // null is a value
	}
	return json.Number(value), nil
}

// decodeAny keeps numbers as json.Number.
func decodeAny(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return dec.Decode(v)
}

func (d *decoder) changes(r *Record, value []byte) error {
	if value[0] != '[' {
		return fmt.Errorf("%.40q is not a list", value)
	}
	return eachElement(value, func(element []byte) error {
		if string(element) == "null" {
			return nil
		}
		c, unknown, err := d.change(element)
		if err != nil {
			return fmt.Errorf("%d: %w", len(r.Changes), err)
		}
		if unknown != nil {
			missing := len(r.Changes) - len(r.unknownOfChange)
			r.unknownOfChange = append(r.unknownOfChange, make([]map[string][]byte, missing)...)
			r.unknownOfChange = append(r.unknownOfChange, unknown)
		}
		if r.Changes == nil {
			r.Changes = make([]Change, 0, 4)
		}
		r.Changes = append(r.Changes, c)
		return nil
	})
}

func (d *decoder) change(element []byte) (c Change, unknown map[string][]byte, err error) {
	if element[0] != '{' {
		return c, nil, fmt.Errorf("%.40q is not an object", element)
	}
	err = eachMember(element, func(name, value []byte) (err error) {
		key := name
		if bytes.IndexByte(name, '\\') >= 0 {
			key = []byte(`"` + unquote(name) + `"`)
		}
		switch string(key[1 : len(key)-1]) { // does not allocate
		case "old":
			c.Old = d.raw(value) // also null: the value was NULL
			return nil
		case "new":
			c.New = d.raw(value)
			return nil
		case "field":
			err = d.field(nil, &c.Field, value)
		case "label":
			err = d.field(nil, &c.Label, value)
		case "type":
			err = d.field(nil, &c.Type, value)
		case "redacted":
			err = d.field(nil, &c.Redacted, value)
		case "truncated":
			err = d.field(nil, &c.Truncated, value)
		case "old_hash":
			err = d.field(nil, &c.OldHash, value)
		case "new_hash":
			err = d.field(nil, &c.NewHash, value)
		default:
			if unknown == nil {
				unknown = make(map[string][]byte)
			}
			unknown[unquote(name)] = d.raw(value)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", unquote(name), err)
		}
		return nil
	})
	return c, unknown, err
}

// UnmarshalJSON implements json.Unmarshaler. Unknown members are left out.
func (c *Change) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if string(data) == "null" {
		return nil
	}
	d := decoder{}
	got, _, err := d.change(data)
	if err != nil {
		return fmt.Errorf("%w: change: %w", ErrInvalid, err)
	}
	*c = got
	return nil
}

// text takes a JSON string, and a number or boolean as its text: other producers write ids as
// numbers.
func text(value []byte) (string, error) {
	switch value[0] {
	case '"':
		return unquote(value), nil
	case '{', '[':
		return "", fmt.Errorf("%.40q is not a text", value)
	}
	return string(value), nil
}

// texts takes a list of texts, and a lone text as a list of one. An element that is an object or a
// list is taken as its JSON, null is left out.
func texts(value []byte) ([]string, error) {
	if value[0] == '"' {
		return []string{unquote(value)}, nil
	}
	if value[0] != '[' {
		return nil, fmt.Errorf("%.40q is not a list", value)
	}
	var list []string
	_ = eachElement(value, func(element []byte) error {
		switch element[0] {
		case '"':
			list = append(list, unquote(element))
		case 'n':
		default:
			list = append(list, string(appendCanonical(nil, element)))
		}
		return nil
	})
	return list, nil
}

// integer takes whole numbers also as 2.0, 2e0 and "2".
func integer(value []byte) (int64, error) {
	s := string(value)
	if value[0] == '"' {
		s = unquote(value)
	}
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v, nil
	}
	const exact = 1 << 53
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == float64(int64(f)) && f <= exact && f >= -exact {
		return int64(f), nil
	}
	return 0, fmt.Errorf("%.40q is not a whole number", value)
}

var timeLayouts = []string{
	time.RFC3339Nano,
	"2006-01-02T15:04:05.999999999", // Python's isoformat without a zone
	"2006-01-02 15:04:05.999999999Z07:00",
	"2006-01-02 15:04:05.999999999",
	"2006-01-02T15:04:05.999999999Z0700", // strftime's %z
	"2006-01-02 15:04:05.999999999Z0700",
}

func instant(value []byte) (time.Time, error) {
	if value[0] != '"' {
		return time.Time{}, fmt.Errorf("%.40q is not a time in RFC 3339", value)
	}
	s := unquote(value)
	for _, layout := range timeLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return wireTime(t), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.64q is not a time in RFC 3339", s)
}
