package audit

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/event"
)

// kind says how the values of a column are written as JSON. Drivers give one and the same column as
// different Go types (a decimal as string, []byte or float64; a boolean as bool or int64), so it is
// decided by the model's field, not by the value.
type kind uint8

const (
	kindString kind = iota
	kindInteger
	kindDecimal
	kindFloat
	kindBool
	kindTime
	kindJSON
	kindBytes
)

var kindNames = [...]string{
	event.TypeString, event.TypeInteger, event.TypeDecimal, event.TypeFloat, event.TypeBoolean,
	event.TypeTime, event.TypeJSON, event.TypeBytes,
}

func (k kind) String() string { return kindNames[k] }

// kindOf decides by the declared type of the column, and if that says nothing by the Go type.
func kindOf(f *schema.Field) kind {
	if f.Serializer != nil {
		name := f.TagSettings["SERIALIZER"]
		if name == "" {
			name = f.TagSettings["JSON"]
		}
		switch strings.ToLower(name) {
		case "json":
			return kindJSON
		case "gob":
			return kindBytes
		}
		if _, ok := f.Serializer.(schema.JSONSerializer); ok {
			return kindJSON
		}
	}
	for _, t := range []schema.DataType{f.DataType, f.GORMDataType} {
		if k, ok := kindOfType(t); ok {
			return k
		}
	}
	return kindString
}

func kindOfType(t schema.DataType) (kind, bool) {
	switch t {
	case "":
		return kindString, false
	case schema.Bool:
		return kindBool, true
	case schema.Int, schema.Uint:
		return kindInteger, true
	case schema.Float:
		return kindFloat, true
	case schema.String:
		return kindString, true
	case schema.Time:
		return kindTime, true
	case schema.Bytes:
		return kindBytes, true
	}
	name := strings.ToLower(string(t))
	if strings.HasSuffix(name, "[]") {
		return kindString, true
	}
	for _, s := range sqlTypes {
		if strings.HasPrefix(name, s.prefix) {
			return s.kind, true
		}
	}
	return kindString, false
}

// sqlTypes are beginnings of SQL types as they are written in `gorm:"type:…"`; the first match counts.
var sqlTypes = []struct {
	prefix string
	kind   kind
}{
	{"json", kindJSON},
	{"interval", kindString},
	{"inet", kindString},
	{"decimal", kindDecimal},
	{"numeric", kindDecimal},
	{"money", kindDecimal},
	{"number", kindDecimal},
	{"bool", kindBool},
	{"tinyint(1)", kindBool},
	{"int4range", kindString},
	{"int8range", kindString},
	{"int", kindInteger},
	{"bigint", kindInteger},
	{"smallint", kindInteger},
	{"tinyint", kindInteger},
	{"mediumint", kindInteger},
	{"serial", kindInteger},
	{"bigserial", kindInteger},
	{"smallserial", kindInteger},
	{"year", kindInteger},
	{"float", kindFloat},
	{"double", kindFloat},
	{"real", kindFloat},
	{"timestamp", kindTime},
	{"datetime", kindTime},
	{"date", kindTime},
	{"time", kindString},
	{"bytea", kindBytes},
	{"blob", kindBytes},
	{"tinyblob", kindBytes},
	{"mediumblob", kindBytes},
	{"longblob", kindBytes},
	{"binary", kindBytes},
	{"varbinary", kindBytes},
	{"text", kindString},
	{"varchar", kindString},
	{"char", kindString},
	{"uuid", kindString},
	{"enum", kindString},
}

var null = json.RawMessage("null")

// encodeValue gives a raw driver value as JSON. What does not fit the kind is written as a text: an
// image never fails for its values.
func encodeValue(k kind, raw any) json.RawMessage { return appendValue(nil, k, raw) }

// appendValue appends encodeValue to dst.
func appendValue(dst []byte, k kind, raw any) []byte {
	if raw == nil {
		return append(dst, null...)
	}
	switch k {
	case kindInteger:
		if v, ok := raw.(int64); ok {
			return strconv.AppendInt(dst, v, 10)
		}
		if s, ok := integer(raw); ok {
			return append(dst, s...)
		}
	case kindDecimal:
		return appendQuoted(dst, decimal(raw))
	case kindFloat:
		return appendFloat(dst, raw)
	case kindBool:
		if b, ok := boolean(raw); ok {
			return strconv.AppendBool(dst, b)
		}
	case kindTime:
		if t, ok := timeOf(raw); ok {
			return append(appendTime(append(dst, '"'), t), '"')
		}
	case kindJSON:
		if data, ok := bytesOf(raw); ok {
			if compact, ok := compactJSON(data); ok {
				return append(dst, compact...)
			}
		}
	case kindBytes:
		if data, ok := bytesOf(raw); ok {
			return append(base64.StdEncoding.AppendEncode(append(dst, '"'), data), '"')
		}
	case kindString:
	}
	return appendQuoted(dst, textOf(raw))
}

// textOf gives a raw value as text, the same for all types in which drivers give one value.
func textOf(raw any) string {
	switch v := raw.(type) {
	case nil:
		return ""
	case string:
		return v
	case []byte:
		if utf8.Valid(v) {
			return string(v)
		}
		return base64.StdEncoding.EncodeToString(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case time.Time:
		return formatTime(v)
	default:
		return fmt.Sprint(v)
	}
}

func formatTime(t time.Time) string { return string(appendTime(nil, t)) }

func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		return append(dst, t.String()...) // RFC 3339 has four digits for the year
	}
	return t.AppendFormat(dst, time.RFC3339Nano)
}

func integer(raw any) (string, bool) {
	switch v := raw.(type) {
	case int64, uint64:
		return textOf(v), true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	case float64:
		if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
			return strconv.FormatInt(int64(v), 10), true
		}
	case string:
		return v, isInteger(v)
	case []byte:
		return string(v), isInteger(string(v))
	default:
		rv := reflect.ValueOf(raw)
		if rv.CanInt() {
			return strconv.FormatInt(rv.Int(), 10), true
		}
		if rv.CanUint() {
			return strconv.FormatUint(rv.Uint(), 10), true
		}
	}
	return "", false
}

// isInteger reports whether s is a JSON number without a fraction.
func isInteger(s string) bool {
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0')
}

func decimal(raw any) string {
	switch v := raw.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'f', -1, 32)
	default:
		return textOf(raw)
	}
}

// appendFloat appends a JSON number, or a string for NaN and the infinities, which JSON does not have.
func appendFloat(dst []byte, raw any) []byte {
	switch v := raw.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return appendQuoted(dst, floatName(v))
		}
		return strconv.AppendFloat(dst, v, 'g', -1, 64)
	case float32:
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return appendQuoted(dst, floatName(f))
		}
		return strconv.AppendFloat(dst, float64(v), 'g', -1, 32)
	}
	// PostgreSQL gives the decimal that GORM declares for a float as a text.
	text := textOf(raw)
	if f, err := strconv.ParseFloat(text, 64); err != nil || math.IsNaN(f) || math.IsInf(f, 0) || !isNumber(text) {
		return appendQuoted(dst, text)
	}
	return append(dst, text...)
}

// isNumber reports whether s, which strconv.ParseFloat takes, is a JSON number.
func isNumber(s string) bool {
	whole, fraction, ok := strings.Cut(s, ".")
	if isInteger(whole) && (!ok || fraction != "" && strings.Trim(fraction, "0123456789") == "") {
		return true
	}
	return json.Valid([]byte(s))
}

func floatName(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case f > 0:
		return "Infinity"
	default:
		return "-Infinity"
	}
}

func boolean(raw any) (value, ok bool) {
	switch v := raw.(type) {
	case bool:
		return v, true
	case int64:
		return v != 0, v == 0 || v == 1
	case uint64:
		return v != 0, v == 0 || v == 1
	case float64:
		return v != 0, v == 0 || v == 1
	case string, []byte:
		switch strings.ToLower(textOf(v)) {
		case "1", "t", "true", "\x01":
			return true, true
		case "0", "f", "false", "\x00":
			return false, true
		}
	}
	return false, false
}

// timeLayouts are the forms in which SQLite and MariaDB give times as texts.
var timeLayouts = []string{
	time.RFC3339Nano, "2006-01-02 15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999 -0700 MST",
	"2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "2006-01-02",
}

func timeOf(raw any) (time.Time, bool) {
	switch v := raw.(type) {
	case time.Time:
		return v, true
	case string, []byte:
		s := textOf(v)
		for _, layout := range timeLayouts {
			if t, err := time.Parse(layout, s); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

func bytesOf(raw any) ([]byte, bool) {
	switch v := raw.(type) {
	case []byte:
		return v, true
	case string:
		return []byte(v), true
	}
	return nil, false
}

// compactJSON gives data without the spaces between its parts, numbers as they are written.
func compactJSON(data []byte) (json.RawMessage, bool) {
	var b bytes.Buffer
	if json.Compact(&b, data) != nil || b.Len() == 0 {
		return nil, false
	}
	return b.Bytes(), true
}

// decodeJSON decodes data with numbers as they are written; false if it is not one JSON value.
func decodeJSON(data []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, err == io.EOF
}

// quote gives s as a JSON string. What is not UTF-8 becomes U+FFFD.
func quote(s string) json.RawMessage { return appendQuoted(make([]byte, 0, len(s)+2), s) }

// appendQuoted appends quote to dst.
func appendQuoted(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' {
			return append(dst, encode(s)...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// encode gives v as JSON; nil if it cannot be encoded.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(v) != nil {
		return nil
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// equalValue reports whether two raw values of a column are the same to the database, in whatever
// types, zones and spellings the driver gives them.
func equalValue(k kind, a, b any) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	switch a := a.(type) {
	case int64:
		if b, ok := b.(int64); ok {
			return a == b
		}
	case string:
		if b, ok := b.(string); ok && a == b {
			return true
		}
	case []byte:
		if b, ok := b.([]byte); ok && bytes.Equal(a, b) {
			return true
		}
	case time.Time:
		if b, ok := b.(time.Time); ok {
			return a.Equal(b)
		}
	case float64:
		if b, ok := b.(float64); ok {
			return a == b || math.IsNaN(a) && math.IsNaN(b)
		}
	}
	if k == kindJSON {
		return equalJSON(a, b)
	}
	if k == kindBytes {
		x, okX := bytesOf(a)
		y, okY := bytesOf(b)
		return okX && okY && bytes.Equal(x, y)
	}
	return textOf(a) == textOf(b)
}

// equalJSON compares decoded: the order of keys and spaces are no change.
func equalJSON(a, b any) bool {
	x, okX := bytesOf(a)
	y, okY := bytesOf(b)
	if !okX || !okY {
		return textOf(a) == textOf(b)
	}
	if bytes.Equal(x, y) {
		return true
	}
	v, okV := decodeJSON(x)
	w, okW := decodeJSON(y)
	return okV && okW && reflect.DeepEqual(v, w)
}
