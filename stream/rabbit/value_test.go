package rabbit

import (
	"testing"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"
)

// TestDecode_bodies: other producers may write the body as one section of data, as several, or as a value.
func TestDecode_bodies(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		message amqp.Message
		want    string
	}{
		"data":             {amqp.Message{Data: [][]byte{[]byte("a")}}, "a"},
		"several sections": {amqp.Message{Data: [][]byte{[]byte("a"), []byte("b")}}, "ab"},
		"text":             {amqp.Message{Value: "ä"}, "ä"},
		"bytes":            {amqp.Message{Value: []byte{0, 1}}, "\x00\x01"},
		"number":           {amqp.Message{Value: int64(5)}, ""},
		"nothing":          {amqp.Message{}, ""},
	} {
		data, err := c.message.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var m amqp.Message
		if err := m.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if got := decode(7, &m); string(got.Payload) != c.want || got.Offset != 7 {
			t.Errorf("%s: %q at %d, want %q", name, got.Payload, got.Offset, c.want)
		}
	}
}
