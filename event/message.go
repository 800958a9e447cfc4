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

type messageTable struct {
	Headers []string     `json:"headers"`
	Rows    []MessageRow `json:"rows"`
}

// TextMessage gives a message that is a text.
func TextMessage(s string) Message {
	return Message{raw: marshal(s)}
}

// TableMessage gives a message that is a table. A row's nil value is written as null.
func TableMessage(rows []MessageRow) Message {
	if rows == nil {
		rows = []MessageRow{}
	}
	return Message{raw: marshal(messageTable{Headers: []string{"field", "old_value", "new_value"}, Rows: rows})}
}

// IsZero reports whether there is no message.
func (m Message) IsZero() bool { return len(m.raw) == 0 }

// Text gives the message if it is a text.
func (m Message) Text() (text string, ok bool) {
	if len(m.raw) == 0 || m.raw[0] != '"' {
		return "", false
	}
	return text, json.Unmarshal(m.raw, &text) == nil
}

// Rows gives the rows of the message if it is a table.
func (m Message) Rows() (rows []MessageRow, ok bool) {
	if len(m.raw) == 0 || m.raw[0] != '{' {
		return nil, false
	}
	var t messageTable
	if json.Unmarshal(m.raw, &t) != nil || t.Rows == nil {
		return nil, false
	}
	return t.Rows, true
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
	m.raw = bytes.Clone(data)
	return nil
}
