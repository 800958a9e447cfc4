package store

import (
	"encoding/json"
	"unicode/utf8"
)

// kind says what simple has seen.
type kind int

const (
	notSimple    kind = iota
	simpleText        // a string that stands as it is between its quotes
	simpleNumber      // a number
	simpleWord        // true, false, null
)

// simple gives the text of a JSON value that can be read without decoding it, as nearly all values of
// changes can: a part of data.
func simple(data json.RawMessage) ([]byte, kind) {
	switch n := len(data); {
	case n >= 2 && data[0] == '"' && data[n-1] == '"':
		inner := data[1 : n-1]
		ascii := true
		for _, c := range inner {
			if c == '"' || c == '\\' || c < ' ' {
				return nil, notSimple
			}
			ascii = ascii && c < utf8.RuneSelf
		}
		if !ascii && !utf8.Valid(inner) {
			return nil, notSimple
		}
		return inner, simpleText
	case n == 0:
		return nil, notSimple
	case data[0] == '-' || data[0] >= '0' && data[0] <= '9':
		if data[n-1] >= '0' && data[n-1] <= '9' && json.Valid(data) {
			return data, simpleNumber
		}
	default:
		switch string(data) {
		case "true", "false", "null":
			return data, simpleWord
		}
	}
	return nil, notSimple
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
