package relay

import (
	"context"

	"github.com/gormtrail/audit/stream"
)

// Queue is what a relay empties: a spool or an outbox.
type Queue interface {
	// Producer gives the producer name, which is the queue's alone for ever. "" has no name: messages
	// that are sent again may then be on the stream twice.
	Producer() string
	// Acknowledged gives the sequence up to which everything is done, 0 at first. The relay begins
	// behind it.
	Acknowledged() uint64
	// Last gives the sequence of the newest entry, 0 if there never was one.
	Last(ctx context.Context) (uint64, error)
	// Read gives the entries behind after as messages with Seq, in order, at least one and at most
	// limit, waiting for the first as long as ctx lives. It is called again for entries that were given
	// before. io.EOF means that no more will come. The relay does not change what it gets.
	Read(ctx context.Context, after uint64, limit int) ([]stream.Message, error)
	// Acknowledge says that everything up to and including seq is confirmed or put aside.
	Acknowledge(ctx context.Context, seq uint64) error
	// Quarantine keeps a message that cannot be sent, with the reason. Once it has returned nil, the
	// relay goes on behind the message.
	Quarantine(ctx context.Context, m stream.Message, reason error) error
}

// DialFunc makes a publisher. rabbit.Dialer gives one.
type DialFunc func(ctx context.Context, producerName string) (stream.Publisher, error)
