package rabbit

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// FuzzEncode compares what is encoded with what the client's own encoder gives, by its decoder.
func FuzzEncode(f *testing.F) {
	f.Add("id", []byte("{}"), "schema_version", "1")
	f.Add("", []byte(nil), "", "")
	f.Add(strings.Repeat("i", 300), bytes.Repeat([]byte("x"), 255), strings.Repeat("n", 255), strings.Repeat("v", 256))
	f.Add("é", bytes.Repeat([]byte("x"), 256), "n", "")
	f.Fuzz(func(t *testing.T, id string, payload []byte, name, value string) {
		m := stream.Message{ID: id, Seq: 7, Payload: payload}
		if name != "" {
			m.Properties = map[string]string{name: value}
		}
		frame := encodeFrame([]stream.Message{m, m})
		if got := frame[1].GetPublishingId(); got != 7 || !frame[1].HasPublishingId() {
			t.Errorf("publishing id %d", got)
		}
		data, err := frame[1].MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > framed(m) {
			t.Errorf("%d bytes, more than the %d that framed gives", len(data), framed(m))
		}
		var got amqp.Message
		if err := got.UnmarshalBinary(data); err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		want := stream.Message{ID: id, Payload: payload, Properties: m.Properties}
		back := decode(0, &got)
		if diff := cmp.Diff(want, back, cmp.Transformer("text", func(b []byte) string { return string(b) })); diff != "" {
			t.Error(diff)
		}
		if got.Properties.ContentType != event.ContentType {
			t.Errorf("content type %q", got.Properties.ContentType)
		}
	})
}
