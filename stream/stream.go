// Package stream has the message of a stream and the contracts of its two ends. The RabbitMQ
// implementation is in stream/rabbit, one in memory in stream/memory; both pass stream/streamtest.
//
// # Delivery
//
// A Publisher confirms what the stream holds; whatever is in doubt is published again with the same
// sequence numbers, in order, and the stream drops what it has already, per producer name. A Source
// gives the messages of the stream in order and, after a restart, again from the offset that its
// owner committed.
//
// # Errors
//
// An end that has failed stays failed: close it and make a new one. Only a *TooLargeError leaves a
// publisher usable.
//
// # Concurrency
//
// One goroutine owns an end; Close may be called from any goroutine, and a Source's Commit by another
// goroutine than Read.
//
// # Limits
//
// A publisher holds at most MaxUnconfirmed messages; RabbitMQ takes messages up to about 1 MiB.
package stream

import "context"

// DefaultName is the specification's name of the stream of records.
const DefaultName = "audit_logs_stream"

// MaxUnconfirmed is how many messages a publisher keeps unconfirmed. Publish waits above it.
const MaxUnconfirmed = 10_000

// Message is one message.
type Message struct {
	// ID is the message id: the record's log_id. Of a received message it comes from the producer and
	// may be empty.
	ID string
	// Seq is the publishing id, from 1: it rises strictly within one producer name, gaps are allowed.
	// It does not travel; a received message has 0.
	Seq uint64
	// Payload is the encoded record. Whoever receives a Message must not change it. Of a received
	// message it may be anything, also empty: other programs can write to the stream.
	Payload []byte
	// Properties are the application properties, such as schema_version.
	Properties map[string]string
	// Offset is the place on the stream, of a received message. Offsets rise strictly but have holes:
	// Commit itself takes offsets of the stream, so their difference is no count of messages.
	Offset int64
}

// Publisher is the writing end of one stream under one producer name. One goroutine owns it.
//
// Any doubt (an error other than *TooLargeError, Done closed, no confirm in time) means: close it, make
// a new one, and publish everything unconfirmed again, in order, with the same sequence numbers. "Not
// confirmed" does not mean "not stored". Two publishers with one name at the same time lose messages:
// nothing but their owners prevents that.
type Publisher interface {
	// Publish hands over messages in the order of their Seq and returns before they are confirmed. It
	// waits while the connection blocks or MaxUnconfirmed messages are unconfirmed, as long as ctx
	// lives; after its end the publisher has failed. It does not keep messages, but their payloads
	// until they are confirmed.
	//
	// A *TooLargeError names the first message that cannot be published: the messages before it were
	// handed over, it and those after it were not, and the publisher goes on.
	Publish(ctx context.Context, messages []Message) error
	// Confirmed gives, on a channel that the owner must drain, the highest Seq up to which all
	// published messages are confirmed. Newer values replace older ones that were not read. The
	// channel is never closed.
	Confirmed() <-chan uint64
	// Done is closed when the publisher can no longer be used; Err then says why, and nil before.
	Done() <-chan struct{}
	Err() error
	// Close releases the connection; Err is then ErrClosed, if there was no error before. It does not
	// wait for confirms, never blocks for long, and may be called again.
	Close() error
}

// Source is the reading end of one stream. One goroutine reads, and one, which may be another, commits.
type Source interface {
	// Read gives the next messages, at least one and at most max, waiting for the first as long as ctx
	// lives; the end of ctx does no harm to the source. It is how back-pressure reaches the broker: who
	// does not read gets no more. After Close or a failure it gives an error that wraps ErrClosed, also
	// if messages were waiting: they come again from the offset committed last.
	Read(ctx context.Context, max int) ([]Message, error)
	// Commit stores on the server, under the group's name, that everything up to and including offset
	// is done. An offset below the last one is ignored. It is not acknowledged: success means sent.
	// Call it once per batch: a commit is an entry of the stream itself.
	Commit(ctx context.Context, offset int64) error
	// Close releases the connection. It never blocks for long, and may be called again.
	Close() error
}

// Inspector is implemented by sources that can say where the stream and the group are. It is safe for
// use besides Read.
type Inspector interface {
	// Committed gives the offset stored last under the group's name. ok is false if there is none:
	// nothing was committed yet, or retention removed it.
	Committed(ctx context.Context) (offset int64, ok bool, err error)
	// Bounds says which offsets the stream holds. If First is beyond the last offset done + 1,
	// messages were removed before they were read.
	Bounds(ctx context.Context) (Bounds, error)
}

// Bounds are the ends of a stream.
type Bounds struct {
	// First is the offset of the first entry that the stream still holds.
	First int64
	// Last is an offset near the end: no message before it is missing from the stream, and the last
	// message is at it or a little after it.
	Last int64
	// Empty says that there is no entry yet, so that First and Last have no meaning.
	Empty bool
}

// SourceOptions say how a source reads. The zero value resumes where the group stopped.
type SourceOptions struct {
	// StartAt gives the first offset to read, for owners that keep a checkpoint of their own. It is
	// asked whenever the source becomes active: when it is made, with SingleActive when it takes over.
	// If it answers false, or is nil, the source starts behind the offset that the group committed
	// last, and with the first message of the stream if there is none.
	StartAt func(ctx context.Context) (offset int64, ok bool, err error)
	// SingleActive makes one source of a group at a time receive messages; the others wait in Read
	// and take over when it goes. RabbitMQ knows it from 3.11 on.
	SingleActive bool
	// Buffer is how many messages are read ahead, and BufferBytes with how many bytes of payload at most; one
	// message is, however large it is. A Read gives no more bytes than that, and one message.
	//
	// Default to 2,000 and 16 MiB.
	Buffer, BufferBytes int
	// Credits is how many chunks, which the server makes of messages, it sends before one of them has been
	// taken into the buffer: more for many small chunks on a slow line, fewer for less memory.
	//
	// Defaults to 10.
	Credits int
}
