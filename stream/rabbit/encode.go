package rabbit

import (
	"encoding/binary"
	"errors"
	"math"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"
	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/message"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// encoded is a message in its form on the wire. The client's own amqp.AMQP10 is encoded by reflection
// and in a dozen allocations, which costs about as much as all else that publishing does.
type encoded struct {
	bytes []byte
	id    int64
}

var _ message.StreamMessage = (*encoded)(nil)

// MarshalBinary gives the message's encoding.
func (m *encoded) MarshalBinary() ([]byte, error) { return m.bytes, nil }

// HasPublishingId says that the message has an id.
func (m *encoded) HasPublishingId() bool { return true }

// GetPublishingId gives the id, SetPublishingId sets it.
func (m *encoded) GetPublishingId() int64   { return m.id }
func (m *encoded) SetPublishingId(id int64) { m.id = id }

// UnmarshalBinary is not for a message that is sent.
func (m *encoded) UnmarshalBinary([]byte) error { return errors.ErrUnsupported }

// The rest is for filters, which are not used here, and for readers of confirms.
func (m *encoded) GetData() [][]byte                             { return nil }
func (m *encoded) GetMessageProperties() *amqp.MessageProperties { return nil }
func (m *encoded) GetMessageAnnotations() amqp.Annotations       { return nil }
func (m *encoded) GetApplicationProperties() map[string]any      { return nil }
func (m *encoded) GetMessageHeader() *amqp.MessageHeader         { return nil }
func (m *encoded) GetAMQPValue() any                             { return nil }

// encodeFrame gives the messages in their form on the wire, in one buffer.
func encodeFrame(messages []stream.Message) []message.StreamMessage {
	size := 0
	for _, m := range messages {
		size += framed(m)
	}
	buffer := make([]byte, 0, size)
	all := make([]encoded, len(messages))
	batch := make([]message.StreamMessage, len(messages))
	for i, m := range messages {
		start := len(buffer)
		buffer = appendMessage(buffer, m)
		all[i] = encoded{bytes: buffer[start:len(buffer):len(buffer)], id: int64(m.Seq)}
		batch[i] = &all[i]
	}
	return batch
}

// The parts of AMQP 1.0 that a message has, see
// http://docs.oasis-open.org/amqp/core/v1.0/os/amqp-core-complete-v1.0-os.pdf, 1.6 and 3.2.
const (
	amqpProperties            = 0x73
	amqpApplicationProperties = 0x74
	amqpData                  = 0x75

	amqpNull     = 0x40
	amqpBinary8  = 0xa0
	amqpString8  = 0xa1
	amqpSymbol8  = 0xa3
	amqpBinary32 = 0xb0
	amqpString32 = 0xb1
	amqpList32   = 0xd0
	amqpMap32    = 0xd1
)

// appendMessage appends the message: its id and content type, its application properties and its
// payload.
func appendMessage(b []byte, m stream.Message) []byte {
	// Fields of a list end with the last one that is set.
	b = append(b, 0, 0x53, amqpProperties, amqpList32)
	b, begin := openCompound(b, 7)
	if m.ID == "" {
		b = append(b, amqpNull)
	} else {
		b = appendVariable(b, amqpString8, amqpString32, m.ID)
	}
	b = append(b, amqpNull, amqpNull, amqpNull, amqpNull, amqpNull) // user id to correlation id
	b = append(b, amqpSymbol8, byte(len(event.ContentType)))
	b = append(b, event.ContentType...)
	closeCompound(b, begin)
	if len(m.Properties) > 0 {
		b = append(b, 0, 0x53, amqpApplicationProperties, amqpMap32)
		b, begin = openCompound(b, 2*len(m.Properties))
		for name, value := range m.Properties {
			b = appendVariable(b, amqpString8, amqpString32, name)
			b = appendVariable(b, amqpString8, amqpString32, value)
		}
		closeCompound(b, begin)
	}
	b = append(b, 0, 0x53, amqpData)
	return appendVariable(b, amqpBinary8, amqpBinary32, m.Payload)
}

// openCompound appends room for the size of a list or map, and its count.
func openCompound(b []byte, count int) (_ []byte, begin int) {
	begin = len(b)
	b = append(b, 0, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, uint32(count)), begin
}

// closeCompound sets the size, which counts from the count on.
func closeCompound(b []byte, begin int) {
	binary.BigEndian.PutUint32(b[begin:], uint32(len(b)-begin-4))
}

// appendVariable appends a value with its length, in one byte under the code short or in four under
// long.
func appendVariable[T string | []byte](b []byte, short, long byte, value T) []byte {
	if len(value) <= math.MaxUint8 {
		b = append(b, short, byte(len(value)))
	} else {
		b = binary.BigEndian.AppendUint32(append(b, long), uint32(len(value)))
	}
	return append(b, value...)
}
