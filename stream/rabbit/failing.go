package rabbit

import "sync"

// failing is how a publisher ends: with the first error, and for ever. Its lock guards the rest of the
// publisher as well.
type failing struct {
	mu   sync.Mutex
	err  error // not nil: done is closed
	done chan struct{}
}

// fail marks the publisher as unusable with the first error, and gives that.
func (f *failing) fail(err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
		close(f.done)
	}
	return f.err
}

// Done implements stream.Publisher.
func (f *failing) Done() <-chan struct{} { return f.done }

// Err implements stream.Publisher.
func (f *failing) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
