package audittest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"time"

	"github.com/gormtrail/audit/event"
)

// sameChange compares one side of a change with what a table says.
func sameChange(got json.RawMessage, masked bool, want any) bool {
	switch want {
	case Any:
		return got != nil
	case None:
		return got == nil
	case Masked:
		return got != nil && masked
	}
	return got != nil && sameValue(got, want)
}

// sameValue compares two values by what they say.
func sameValue(a, b any) bool {
	x, errX := plain(a)
	y, errY := plain(b)
	return errX == nil && errY == nil && equal(x, y)
}

// plain gives v as encoding/json decodes it, numbers as json.Number.
func plain(v any) (any, error) {
	data, ok := v.(json.RawMessage)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			return nil, fmt.Errorf("audittest: a value that cannot be compared: %w", err)
		}
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	var out any
	if err := d.Decode(&out); err != nil {
		return nil, fmt.Errorf("audittest: %w", err)
	}
	return out, nil
}

func equal(x, y any) bool {
	if reflect.DeepEqual(x, y) {
		return true
	}
	s, isTextX := scalar(x)
	t, isTextY := scalar(y)
	if isTextX && isTextY {
		return s == t || sameNumber(s, t) || sameTime(s, t)
	}
	// A column of text with JSON in it.
	if isTextX != isTextY {
		if isTextY {
			s, y = t, x
		}
		if decoded, err := plain(json.RawMessage(s)); err == nil {
			return equalParts(decoded, y)
		}
		return false
	}
	return equalParts(x, y)
}

func equalParts(x, y any) bool {
	switch x := x.(type) {
	case []any:
		y, ok := y.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !equal(x[i], y[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for k := range x {
			if other, ok := y[k]; !ok || !equal(x[k], other) {
				return false
			}
		}
		return true
	}
	return reflect.DeepEqual(x, y)
}

func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

func sameNumber(a, b string) bool {
	// Only what is short: an exponent of a million digits is no test's value.
	if len(a) > 100 || len(b) > 100 || strings.ContainsAny(a+b, "eE/xX_") {
		return false
	}
	x, ok := new(big.Rat).SetString(a)
	if !ok {
		return false
	}
	y, ok := new(big.Rat).SetString(b)
	return ok && x.Cmp(y) == 0
}

func sameTime(a, b string) bool {
	x, err := time.Parse(time.RFC3339Nano, a)
	if err != nil {
		return false
	}
	y, err := time.Parse(time.RFC3339Nano, b)
	return err == nil && x.Equal(y)
}

func valueText(v any) string {
	if s, ok := v.(special); ok {
		return string(s)
	}
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

func rawText(raw json.RawMessage) string {
	if raw == nil {
		return string(None)
	}
	return string(raw)
}

// changeText gives a change for people: both values, or the one that there is.
func changeText(c event.Change) (s string) {
	switch {
	case c.Old == nil:
		s = string(c.New)
	case c.New == nil:
		s = string(c.Old)
	default:
		s = string(c.Old) + " -> " + string(c.New)
	}
	if c.Redacted {
		s += " (masked)"
	}
	if c.Truncated {
		s += " (cut)"
	}
	return s
}
