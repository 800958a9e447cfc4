package rabbit

import (
	"context"
	"errors"
	"fmt"
	"time"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/stream"
)

// Sync asks the server something on the connection that brings the messages, and waits for the answer.
// The server sends on a connection in order: what the stream held before, and there was credit for, has
// then come to this process, though perhaps not yet to Read.
func (s *Source) Sync(ctx context.Context) error {
	_, err := s.call(ctx, "ask for an answer", func() (int64, error) {
		offset, err := s.consumer.QueryOffset()
		if errors.Is(err, client.OffsetNotFoundError) {
			return 0, nil // nobody has committed one: an answer all the same
		}
		return offset, err
	})
	return err
}

// Since makes a source that begins with the first chunk that the server has taken at the time or later. A
// chunk is what was published together, so that a few messages may be older. ctx is for connecting only.
func Since(ctx context.Context, config Config, at time.Time) (*Source, error) {
	if at.UnixMilli() <= 0 {
		return nil, fmt.Errorf("rabbit: the time %s is before 1970", at.Format(time.RFC3339))
	}
	return newSource(ctx, config, "audit-since", stream.SourceOptions{Buffer: 64}, at)
}
