package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
)

// errFound ends a walk over members early.
var errFound = errors.New("found")

// Object gives the type and id of the object of an encoded record, without decoding the rest; both are
// empty where the record has none or the text is no record. It may be called with any bytes.
func Object(encoded []byte) (objectType, objectID string) {
	// An encoding has the type just before the id; where one is left out, the whole record is read.
	_ = eachMember(encoded, func(name, value []byte) error {
		switch {
		case bytes.Equal(name, []byte(`"object_type"`)):
			objectType = objectText(value)
		case bytes.Equal(name, []byte(`"object_id"`)):
			objectID = objectText(value)
			if objectType != "" {
				return errFound
			}
		}
		return nil
	})
	return objectType, objectID
}

// HasMember reports whether the JSON object encoded has a member of one of the names, also if it is written
// with escapes; members of members do not count. It may be called with any bytes.
func HasMember(encoded []byte, names ...string) bool {
	found := false
	_ = eachMember(encoded, func(name, _ []byte) error {
		if bytes.IndexByte(name, '\\') >= 0 {
			found = slices.Contains(names, unquote(name))
		} else {
			name = name[1:max(1, len(name)-1)]
			for _, n := range names {
				found = found || string(name) == n
			}
		}
		if found {
			return errFound
		}
		return nil
	})
	return found
}

// objectText gives the value of a JSON string, and anything else as it is written: ids of other producers
// may be numbers.
func objectText(value []byte) string {
	var s string
	switch {
	case len(value) >= 2 && value[0] == '"' && !bytes.ContainsRune(value, '\\'):
		return string(value[1 : len(value)-1])
	case json.Unmarshal(value, &s) == nil:
		return s
	}
	return string(value)
}
