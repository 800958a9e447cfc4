package query

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// object is a JSON object that keeps its order.
type object []member

type member struct {
	name  string
	value json.RawMessage
}

// readObject reads a JSON object with the order of its members.
func readObject(data []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, fmt.Errorf("query: not a JSON object: %v %w", t, err)
	}
	var o object
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("query: read name: %w", err)
		}
		m := member{name: name.(string)} // the grammar has only strings here
		if err := d.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("query: read %s: %w", m.name, err)
		}
		o = append(o, m)
	}
	return o, nil
}

func (o *object) set(name string, value json.RawMessage) {
	*o = append(*o, member{name, value})
}

func (o object) has(name string) bool {
	for _, m := range o {
		if m.name == name {
			return true
		}
	}
	return false
}

// MarshalJSON implements json.Marshaler.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, m := range o {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, encode(m.name)...)
		b = append(b, ':')
		b = append(b, m.value...)
	}
	return append(b, '}'), nil
}

// encode gives v, which has a type that can be encoded, as JSON. Nothing here is put into a page, so
// <, > and & stay readable.
func encode(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
