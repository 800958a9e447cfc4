package memory

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/gormtrail/audit/stream"
)

// DefaultMaxMessage is the largest payload in bytes that a stream takes: about what RabbitMQ does.
const DefaultMaxMessage = 1<<20 - 512

// Stream is one stream. Make it with New.
type Stream struct {
	maxMessage int

	mu        sync.Mutex
	first     int64 // offset of the first entry in log
	log       []entry
	sequences map[string]uint64
	offsets   map[string]int64
	active    map[string]*Source // the active source of each group of single active ones
	changed   chan struct{}      // closed and replaced at each change
	ends      map[failer]struct{}
	held      bool
	swallowed bool
	refusal   error
}

// entry is a message or, without a message, what a commit leaves behind.
type entry struct {
	message *stream.Message
}

// failer is an end that a fault can break.
type failer interface{ fail(err error) }

// Config is the configuration of a stream.
type Config struct {
	// MaxMessage is the largest payload in bytes.
	//
	// Defaults to DefaultMaxMessage.
	MaxMessage int
}

// New makes an empty stream.
func New(config Config) *Stream {
	if config.MaxMessage <= 0 {
		config.MaxMessage = DefaultMaxMessage
	}
	return &Stream{
		maxMessage: config.MaxMessage,
		sequences:  make(map[string]uint64),
		offsets:    make(map[string]int64),
		active:     make(map[string]*Source),
		changed:    make(chan struct{}),
		ends:       make(map[failer]struct{}),
	}
}

// signal tells everybody who waits that something has changed. The caller holds mu.
func (s *Stream) signal() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// Messages gives a copy of the messages that the stream holds.
func (s *Stream) Messages() []stream.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []stream.Message
	for _, e := range s.log {
		if e.message != nil {
			all = append(all, *e.message)
		}
	}
	return all
}

// HoldConfirms makes publishers store without confirming until it is called with false.
func (s *Stream) HoldConfirms(hold bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held = hold
	if !hold {
		for end := range s.ends {
			if p, ok := end.(*Publisher); ok {
				p.confirmAll()
			}
		}
	}
	s.signal()
}

// Swallow makes publishers take messages without storing or confirming them, as a connection that is
// dead already, until it is called with false. Publishers that have swallowed messages then stay
// without confirms: Disconnect them.
func (s *Stream) Swallow(swallow bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.swallowed = swallow
}

// Disconnect breaks all ends that exist, as a lost connection does. What publishers have handed over
// is stored, whether it was confirmed or not.
func (s *Stream) Disconnect() {
	s.mu.Lock()
	ends := maps.Clone(s.ends)
	s.mu.Unlock()
	for end := range ends {
		end.fail(fmt.Errorf("%w: disconnected", stream.ErrClosed))
	}
}

// Refuse makes new ends fail with err until it is called with nil.
func (s *Stream) Refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refusal = err
}

// Truncate removes everything before offset, as retention does, with the offsets that were committed
// below it.
func (s *Stream) Truncate(offset int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := min(max(offset-s.first, 0), int64(len(s.log)))
	s.log = s.log[n:]
	s.first += n
	maps.DeleteFunc(s.offsets, func(_ string, committed int64) bool { return committed < s.first })
	s.signal()
}

// register takes up an end, unless it is refused or ctx is over.
func (s *Stream) register(ctx context.Context, end failer) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: connect: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal != nil {
		return fmt.Errorf("memory: connect: %w", s.refusal)
	}
	s.ends[end] = struct{}{}
	return nil
}
