package consumer

import (
	"fmt"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// Document makes the document to store of a message: what a consumer makes of it that reads it from the
// stream of this name. The message may be anything; one that is larger than maxSize bytes is not looked
// into, and 0 means DefaultMaxMessageSize. The error says why it is no record; it may quote the message. The
// document keeps the payload, byte for byte, unless event.Foreign says that it must be written anew.
func Document(m stream.Message, from string, at time.Time, maxSize int) (store.Doc, error) {
	setNumber(&maxSize, DefaultMaxMessageSize)
	if n := len(m.Payload); n > maxSize {
		return store.Doc{}, fmt.Errorf("%w: it has %d bytes, want at most %d", errMessage, n, maxSize)
	}
	if len(m.Payload) == 0 {
		return store.Doc{}, fmt.Errorf("%w: it has no body; on a stream of RabbitMQ that is also what does not follow AMQP 1.0", errMessage)
	}
	r, err := event.Decode(m.Payload)
	if err != nil {
		return store.Doc{}, err
	}
	encoded := m.Payload
	if event.Foreign(m.Payload) {
		if encoded, err = event.Encode(r); err != nil {
			return store.Doc{}, err
		}
	}
	r.IngestedAt, r.Stream, r.StreamOffset = at.UTC(), from, m.Offset
	return store.Doc{Record: r, Encoded: event.StampIngest(encoded, r.IngestedAt, r.Stream, r.StreamOffset)}, nil
}
