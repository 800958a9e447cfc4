package event

import (
	"bytes"
	"encoding/json"
)

// Texts of the simple actions.
const (
	TextCreated  = "Created new object"
	TextDeleted  = "Deleted object"
	TextModified = "Object modified"
	TextRestored = "Restored object"
)

// Message is the change_message of a record: a text, or a table with the headers field, old_value
// and new_value. It keeps the JSON that it was decoded from, so a message of another producer comes
// out as it came in. The zero Message is no message, and is left out of the encoding.
type Message struct {
	raw json.RawMessage
}

// MessageRow is one row of a table message.
type MessageRow struct {
	Field    string          `json:"field"`
	OldValue json.RawMessage `json:"old_value"`
	NewValue json.RawMessage `json:"new_value"`
}

// TextMessage gives a message that is a text.
func TextMessage(s string) Message {
	return Message{raw: appendString(make([]byte, 0, len(s)+2), s)}
}

// TableMessage gives a message that is a table. A row's nil value is written as null, one that is no
// JSON as text.
func TableMessage(rows []MessageRow) Message {
	const head = `{"headers":["field","old_value","new_value"],"rows":[`
	size := len(head) + 2
	for i := range rows {
		size += len(rows[i].Field) + len(rows[i].OldValue) + len(rows[i].NewValue) + len(`{"field":"","old_value":null,"new_value":null},`)
	}
	dst := append(make([]byte, 0, size), head...)
	for i := range rows {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(append(dst, `{"field":`...), rows[i].Field)
		dst = appendRaw(append(dst, `,"old_value":`...), rows[i].OldValue, MaxDepth-4)
		dst = appendRaw(append(dst, `,"new_value":`...), rows[i].NewValue, MaxDepth-4)
		dst = append(dst, '}')
	}
	return Message{raw: append(dst, "]}"...)}
}

// IsZero reports whether there is no message.
func (m Message) IsZero() bool { return len(m.raw) == 0 }

// Text gives the message if it is a text.
func (m Message) Text() (text string, ok bool) {
	if len(m.raw) == 0 || m.raw[0] != '"' {
		return "", false
	}
	return unquote(m.raw), true
}

// Rows gives the rows of the message if it is a table. A value that a row does not have is nil. The
// caller must not change the values.
func (m Message) Rows() (rows []MessageRow, ok bool) {
	_ = eachMember(m.raw, func(name, value []byte) error {
		if unquote(name) != "rows" || value[0] != '[' {
			return nil
		}
		ok = true
		return eachElement(value, func(element []byte) error {
			if element[0] != '{' {
				ok = false
				return errStop
			}
			rows = append(rows, messageRow(element))
			return nil
		})
	})
	if !ok {
		return nil, false
	}
	return rows, true
}

func messageRow(d []byte) (row MessageRow) {
	_ = eachMember(d, func(name, value []byte) error {
		value = value[:len(value):len(value)]
		switch unquote(name) {
		case "field":
			row.Field, _ = text(value) // of an object or a list: empty
		case "old_value":
			row.OldValue = value
		case "new_value":
			row.NewValue = value
		}
		return nil
	})
	return row
}

// JSON gives the message as JSON; nil if there is none. The caller must not change it.
func (m Message) JSON() json.RawMessage { return m.raw }

// MarshalJSON implements json.Marshaler. The zero Message is null.
func (m Message) MarshalJSON() ([]byte, error) {
	if len(m.raw) == 0 {
		return []byte("null"), nil
	}
	return m.raw, nil
}

// UnmarshalJSON implements json.Unmarshaler. null gives the zero Message.
func (m *Message) UnmarshalJSON(data []byte) error {
	data = bytes.TrimSpace(data)
	if bytes.Equal(data, []byte("null")) {
		m.raw = nil
		return nil
	}
	m.raw = appendRaw(nil, data, MaxDepth-1)
	return nil
}
