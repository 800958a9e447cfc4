package rabbit

import (
	"context"
	"fmt"
	"sync"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/stream"
)

// environment is one of the client's. What asks it may connect anew, for as long as it takes, and the client
// races with itself if it is closed meanwhile (1.8.2): it is closed once nobody asks any more.
type environment struct {
	*client.Environment

	asking sync.RWMutex // read-locked by those who ask
	closed bool
}

// ask calls f, which uses env, and waits as long as ctx lives. What f gives later goes to discard.
func ask[T any](ctx context.Context, env *environment, f func() (T, error), discard func(T)) (T, error) {
	return await(ctx, func() (value T, err error) {
		env.asking.RLock()
		defer env.asking.RUnlock()
		if env.closed {
			return value, fmt.Errorf("%w: before it was asked", stream.ErrClosed)
		}
		return f()
	}, discard)
}

// close waits for those who ask, and closes.
func (e *environment) close() {
	e.asking.Lock()
	defer e.asking.Unlock()
	e.closed = true
	_ = e.Close()
}

// abandon closes without waiting.
func (e *environment) abandon() { go e.close() }
