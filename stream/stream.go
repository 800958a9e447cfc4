// Package stream has the message of a stream and the contracts of its two ends. The RabbitMQ
// implementation is in stream/rabbit, one in memory in stream/memory; both pass stream/streamtest.
package stream

import (
	"context"
	"errors"
)

var (
	// ErrClosed is returned by an end that was closed or has lost its connection: make a new one.
	ErrClosed = errors.New("stream: closed")
	// ErrNotExist is returned, wrapped, if the stream does not exist.
	ErrNotExist = errors.New("stream: stream does not exist")
	// ErrTooLarge is returned, wrapped, if a message is larger than the broker's frame.
	ErrTooLarge = errors.New("stream: message too large")
)

// Message is one message.
type Message struct {
	// ID is the message id: the record's log_id.
	ID string
	// Seq is the publishing id: it rises strictly within one producer name.
	Seq uint64
	// Payload is the encoded record. Whoever receives a Message must not change it.
	Payload []byte
	// Properties are the application properties, such as schema_version.
	Properties map[string]string
	// Offset is the place on the stream, of a received message.
	Offset int64
}

// Publisher is the writing end of one stream under one producer name. One goroutine owns it.
//
// Any doubt (an error, Done closed, no confirm in time) means: close it, make a new one, and publish
// everything unconfirmed again, in order, with the same sequence numbers. "Not confirmed" does not
// mean "not stored".
type Publisher interface {
	// Publish hands over messages in the order of their Seq and returns before they are confirmed. It
	// may block while the connection does. It does not keep messages, but their payloads until they
	// are confirmed.
	Publish(ctx context.Context, messages []Message) error
	// Confirmed gives, on a channel that the owner must drain, the highest Seq up to which all
	// published messages are confirmed. Newer values replace older ones that were not read.
	Confirmed() <-chan uint64
	// Done is closed when the publisher can no longer be used; Err then says why.
	Done() <-chan struct{}
	Err() error
	// Close releases the connection. It does not wait for confirms, and never blocks for long.
	Close() error
}

// Source is the reading end of one stream. One goroutine owns it.
type Source interface {
	// Read gives the next messages, at least one and at most max, waiting for the first as long as ctx
	// lives. It is how back-pressure reaches the broker: who does not read gets no more.
	Read(ctx context.Context, max int) ([]Message, error)
	// Commit stores on the server, under the group's name, that everything up to and including offset
	// is done.
	Commit(ctx context.Context, offset int64) error
	// Close releases the connection.
	Close() error
}
