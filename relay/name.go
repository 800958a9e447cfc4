package relay

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gormtrail/audit/stream"
)

// maxNames is how many names a queue tries. A broker remembers 255 names per stream.
const maxNames = 8

// knower is a publisher that can say which sequence the broker knows under its name.
type knower interface {
	LastSeq(ctx context.Context) (uint64, error)
}

// connect makes a publisher under the queue's name. If the broker knows a higher sequence under that
// name than the queue has ever given, somebody else has published under it, or the queue was set back:
// the broker would confirm and drop what comes now. Then the name is given up for another one.
func (r *Relay) connect(ctx context.Context) (stream.Publisher, error) {
	name := r.queue.Producer()
	if name == "" { // nothing is dropped
		return r.dial(ctx, name)
	}
	for i := 1; i <= maxNames; i++ {
		if i > 1 {
			name = fmt.Sprintf("%s~%d", r.queue.Producer(), i)
		}
		publisher, err := r.dial(ctx, name)
		if err != nil {
			return nil, err
		}
		foreign, err := r.foreign(ctx, publisher, name)
		if err == nil && !foreign {
			return publisher, nil
		}
		_ = publisher.Close() // it has said what it could
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: %s and %d names after it", ErrForeignName, r.queue.Producer(), maxNames-1)
}

// foreign reports whether somebody else has published under the name.
func (r *Relay) foreign(ctx context.Context, publisher stream.Publisher, name string) (bool, error) {
	broker, ok := publisher.(knower)
	if !ok {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, r.config.ConfirmTimeout)
	defer cancel()
	known, err := broker.LastSeq(ctx)
	if err != nil {
		return false, err
	}
	last, err := r.queue.Last(ctx)
	if err != nil || known <= last {
		return false, err
	}
	r.mu.Lock()
	again := r.abandoned[name]
	if !again {
		if r.abandoned == nil {
			r.abandoned = make(map[string]bool)
		}
		r.abandoned[name] = true
		r.stats.AbandonedNames++
	}
	r.mu.Unlock()
	if !again {
		r.config.Logger.ErrorContext(ctx, "relay: somebody else has published under this queue's producer name, or the queue was set back; the name is given up",
			slog.String("producer", name), slog.Uint64("known", known), slog.Uint64("last", last))
	}
	return true, nil
}
