package consumer

import (
	"context"
	"slices"
	"sync"

	"github.com/gormtrail/audit/stream"
)

// batch is what is written together: messages in the order of the stream.
type batch struct {
	messages []stream.Message
	bytes    int
	marks    []mark // one for each message
	troubled bool   // its last attempt failed; its writer uses it

	ids      map[string]struct{} // the log_ids, once it is decoded
	decoded  chan struct{}       // closed then
	finished chan struct{}       // closed when all of it is settled

	// Guarded by window.mu.
	settled int // so many of its first messages are in the store or in the dead letters
	taken   int // so many of them were given out by settledNow
}

func newBatch(messages []stream.Message) *batch {
	return &batch{
		messages: messages, bytes: sizeOf(messages), marks: make([]mark, len(messages)),
		decoded: make(chan struct{}), finished: make(chan struct{}),
	}
}

// window holds what was read and not yet settled, in the order of the stream: batches may be written in
// any order, but only what is settled without a hole counts. It bounds the memory of a session.
type window struct {
	most, mostBytes int
	settledMore     chan struct{} // has a token after progress
	roomMade        chan struct{} // has a token after a batch was given back

	mu      sync.Mutex
	batches []*batch
	held    int
	bytes   int
}

func newWindow(most, mostBytes int) *window {
	return &window{most: most, mostBytes: mostBytes, settledMore: make(chan struct{}, 1), roomMade: make(chan struct{}, 1)}
}

// room waits until more may be read, and gives how many messages; 0 is the end of ctx.
func (w *window) room(ctx context.Context) int {
	for {
		w.mu.Lock()
		free := w.most - w.held
		if w.bytes >= w.mostBytes {
			free = 0
		}
		w.mu.Unlock()
		if free > 0 {
			return free
		}
		select {
		case <-w.roomMade:
		case <-ctx.Done():
			return 0
		}
	}
}

// add takes up a batch behind the others.
func (w *window) add(b *batch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches = append(w.batches, b)
	w.held += len(b.messages)
	w.bytes += b.bytes
}

// inTurn waits until no batch before b is being written that has a record with a log_id of b: of records with the
// same log_id the one that came first is stored, and the others are what is in conflict with it. It reports
// false if alive ends before.
func (w *window) inTurn(alive context.Context, b *batch) bool {
	w.mu.Lock()
	before := slices.Clone(w.batches[:max(0, slices.Index(w.batches, b))])
	w.mu.Unlock()
	for _, e := range before {
		select {
		case <-e.decoded: // a writer has it: batches are taken in their order
		case <-alive.Done():
			return false
		}
		if !e.shares(b) {
			continue
		}
		select {
		case <-e.finished:
		case <-alive.Done():
			return false
		}
	}
	return true
}

// shares reports whether two batches have a log_id in common.
func (b *batch) shares(other *batch) bool {
	for id := range b.ids {
		if _, ok := other.ids[id]; ok {
			return true
		}
	}
	return false
}

// settle says that the first n messages of the batch are settled.
func (w *window) settle(b *batch, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n <= b.settled {
		return
	}
	b.settled = n
	token(w.settledMore)
}

// settledNow gives the marks of what has come to be settled without a hole, and the offset of the last
// one of them; with no marks there is nothing new.
func (w *window) settledNow() (offset int64, marks []mark) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.batches) > 0 {
		b := w.batches[0]
		if b.settled > b.taken {
			marks = append(marks, b.marks[b.taken:b.settled]...)
			offset = b.messages[b.settled-1].Offset
			b.taken = b.settled
		}
		if b.taken < len(b.messages) {
			break
		}
		w.batches[0] = nil
		w.batches = w.batches[1:]
		w.held -= len(b.messages)
		w.bytes -= b.bytes
		token(w.roomMade)
	}
	return offset, marks
}

// size gives what is held.
func (w *window) size() (held, bytes int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held, w.bytes
}

func token(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
