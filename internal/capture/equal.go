package capture

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"reflect"
	"strconv"
	"time"

	"gorm.io/gorm/schema"
)

// Equal reports whether two raw values of one column are the same value. Times are compared by their
// instant, bytes and texts by content, numbers by their value; NaN is equal to NaN.
func Equal(a, b any) bool {
	switch x := a.(type) {
	case nil:
		return b == nil
	case int64:
		if y, ok := b.(int64); ok {
			return x == y
		}
	case string:
		if y, ok := b.(string); ok {
			return x == y
		}
	case bool:
		if y, ok := b.(bool); ok {
			return x == y
		}
	case float64:
		if y, ok := b.(float64); ok {
			return x == y || math.IsNaN(x) && math.IsNaN(y)
		}
	case time.Time:
		y, ok := b.(time.Time)
		return ok && x.Equal(y)
	case []byte:
		if y, ok := b.([]byte); ok {
			return bytes.Equal(x, y)
		}
	}
	if b == nil {
		return false
	}
	ta, oka := text(a)
	tb, okb := text(b)
	if oka && okb {
		return ta == tb
	}
	return reflect.DeepEqual(a, b)
}

// text gives a value in words, so that the same number is equal however the driver gave it.
func text(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case []byte:
		return string(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case uint64:
		return strconv.FormatUint(v, 10), true
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	}
	return "", false
}

// equalColumn is Equal for a column of the model: documents are equal if they decode to the same.
func equalColumn(document bool, a, b any) bool {
	if Equal(a, b) {
		return true
	}
	return document && a != nil && b != nil && equalJSON(a, b)
}

// isJSON reports whether the column of f holds documents as text.
func isJSON(f *schema.Field) bool {
	if f == nil {
		return false
	}
	switch f.DataType {
	case "json", "jsonb", "JSON", "JSONB":
		return true
	}
	return f.TagSettings["SERIALIZER"] == "json"
}

func equalJSON(a, b any) bool {
	x, okx := decode(a)
	y, oky := decode(b)
	return okx && oky && reflect.DeepEqual(x, y)
}

func decode(v any) (doc any, ok bool) {
	s, ok := text(v)
	if !ok {
		return nil, false
	}
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	if d.Decode(&doc) != nil {
		return nil, false
	}
	_, err := d.Token()
	return doc, err == io.EOF
}

// size gives about how many bytes an image takes in memory.
func size(image []any) int64 {
	n := int64(16 * len(image))
	for _, v := range image {
		switch v := v.(type) {
		case string:
			n += int64(len(v))
		case []byte:
			n += int64(len(v)) + 24
		case nil, bool:
		default:
			n += 24
		}
	}
	return n
}
