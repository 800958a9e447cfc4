package event

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unencodable begins the text that stands for a value without an encoding.
const unencodable = "[UNENCODABLE] "

// appendRaw appends a JSON value of the application or of another producer in the canonical form.
// What is no JSON, is nested deeper than allowed, has a name twice in one object, which half of all
// readers refuse and the others understand differently, or has numbers or names of a length that readers
// refuse, is appended as text.
func appendRaw(dst, raw []byte, allowed int) []byte {
	if len(raw) == 0 {
		return append(dst, "null"...)
	}
	if isPlain(raw, allowed) {
		return append(dst, raw...)
	}
	if !utf8.Valid(raw) {
		raw = bytes.ToValidUTF8(raw, []byte("\uFFFD"))
	}
	if !json.Valid(raw) || depth(raw) > allowed || extreme(raw) {
		return appendString(dst, string(raw))
	}
	if _, twice := duplicateKey(raw); twice {
		return appendString(dst, string(raw))
	}
	return appendCanonical(dst, raw)
}

// appendValue appends a value of the application's own fields. allowed is how many levels of objects
// and arrays it may have.
func appendValue(dst []byte, v any, allowed int) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case string:
		return appendString(dst, v)
	case bool:
		return strconv.AppendBool(dst, v)
	case int:
		return strconv.AppendInt(dst, int64(v), 10)
	case int64:
		return strconv.AppendInt(dst, v, 10)
	case float64:
		return appendFloat(dst, v, 64)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case rawValue:
		return append(dst, v...)
	case json.RawMessage:
		return appendSorted(dst, v, allowed)
	case map[string]any:
		if allowed > 0 && v != nil {
			return appendMap(dst, v, allowed)
		}
	case []any:
		if allowed > 0 && v != nil {
			dst = append(dst, '[')
			for i, e := range v {
				if i > 0 {
					dst = append(dst, ',')
				}
				dst = appendValue(dst, e, allowed-1)
			}
			return append(dst, ']')
		}
	case error:
		// encoding/json would write most errors as {}.
		if _, ok := v.(json.Marshaler); !ok {
			return appendText(dst, v)
		}
	}
	data, err := safeMarshal(v)
	if err != nil {
		return appendString(dst, unencodable+err.Error())
	}
	return appendSorted(dst, data, allowed)
}

// appendSorted is appendRaw for values of the application's own fields, which are decoded into maps:
// it sorts the names in objects, so that the encoding is the same before and after.
func appendSorted(dst, raw []byte, allowed int) []byte {
	if len(raw) > 0 && raw[0] != '{' && raw[0] != '[' && isPlain(raw, allowed) {
		return append(dst, raw...)
	}
	raw = appendRaw(nil, raw, allowed)
	if raw[0] != '{' && raw[0] != '[' {
		return append(dst, raw...)
	}
	var v any
	if decodeAny(raw, &v) != nil { // cannot be: appendRaw gives valid JSON
		return append(dst, raw...)
	}
	return appendValue(dst, v, allowed)
}

// appendMap appends m with its names sorted.
func appendMap(dst []byte, m map[string]any, allowed int) []byte {
	dst = append(dst, '{')
	m = validNames(m)
	for i, name := range sortedNames(m) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, name), ':')
		dst = appendValue(dst, m[name], allowed-1)
	}
	return append(dst, '}')
}

// validNames gives m with names that are UTF-8; those that become equal are kept apart by
// underscores.
func validNames(m map[string]any) map[string]any {
	var bad []string
	for name := range m {
		if !utf8.ValidString(name) {
			bad = append(bad, name)
		}
	}
	if bad == nil {
		return m
	}
	slices.Sort(bad)
	m = maps.Clone(m)
	for _, name := range bad {
		valid := strings.ToValidUTF8(name, "\uFFFD")
		for _, taken := m[valid]; taken; _, taken = m[valid] {
			valid += "_"
		}
		m[valid] = m[name]
		delete(m, name)
	}
	return m
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, `"NaN"`...)
	case math.IsInf(f, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(f, -1):
		return append(dst, `"-Infinity"`...)
	}
	format := byte('f')
	if a := math.Abs(f); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(dst, f, format, -1, bits)
}

// appendText appends the text of an error of the application, whose method may panic.
func appendText(dst []byte, err error) (out []byte) {
	defer func() {
		if p := recover(); p != nil {
			out = appendString(dst, unencodable+fmt.Sprintf("panic in Error: %v", p))
		}
	}()
	return appendString(dst, err.Error())
}

// safeMarshal is json.Marshal for values whose methods may panic.
func safeMarshal(v any) (data []byte, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in MarshalJSON: %v", p)
		}
	}()
	return json.Marshal(v)
}
