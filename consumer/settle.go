package consumer

import (
	"context"
	"fmt"
	"log/slog"
	"slices"

	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// pending is a message of a batch that has no end yet.
type pending struct {
	at      int // place in the batch
	message stream.Message
	doc     store.Doc
	bad     error // not nil: it is no record
}

// settle brings every message of the batch into the store or into the dead letters, however long it
// takes, or until alive ends; what is being written then may go on until work ends.
func (s *session) settle(alive, work context.Context, b *batch) {
	c := s.c
	defer s.calm(alive, b)
	todo := s.decodeAll(b)
	if !s.window.inTurn(alive, b) {
		return
	}
	heldBack := false // by the guard
	for len(todo) > 0 {
		if !c.gate.enter(alive) {
			return
		}
		t := s.attempt(work, todo)
		v := c.guard.judge(t.good, len(t.letters), heldBack)
		if heldBack = v.held; heldBack {
			s.holdBack(&t, v)
		}
		c.gate.leave(t.how())
		if !s.bury(alive, work, b, t.letters) {
			return
		}
		todo = t.again
		if len(todo) == 0 {
			break
		}
		s.window.settle(b, todo[0].at)
		c.count(func(v *Stats) {
			v.Retries += int64(len(todo))
			if t.environment {
				v.EnvironmentWaits++
			}
		})
		s.worry(b, t.state(), t.trouble)
		c.complain(alive, t)
	}
	s.window.settle(b, len(b.messages))
	close(b.finished)
}

// decodeAll makes documents of the messages.
func (s *session) decodeAll(b *batch) []pending {
	todo := make([]pending, len(b.messages))
	ids := make(map[string]struct{}, len(b.messages))
	for i, m := range b.messages {
		todo[i] = pending{at: i, message: m}
		todo[i].doc, todo[i].bad = s.c.decode(m)
		if todo[i].bad == nil {
			b.marks[i] = markOf(todo[i].doc.Record)
			ids[todo[i].doc.Record.LogID] = struct{}{}
		}
	}
	b.ids = ids
	close(b.decoded)
	return todo
}

// attempted is what came of one attempt to settle pending messages.
type attempted struct {
	good        int       // stored
	letters     []letter  // to be buried
	again       []pending // to be sent again, in the order of the batch
	trouble     error     // why
	environment bool      // it is of the store's surroundings
	suspended   bool      // the guard holds them back
}

func (t *attempted) how() outcome {
	switch {
	case len(t.again) == 0:
		return fine
	case t.environment || t.suspended:
		return hopeless
	}
	return overload
}

func (t *attempted) state() State {
	if t.suspended {
		return StateSuspended
	}
	return StateWaiting
}

// attempt hands what can be stored to the store.
func (s *session) attempt(work context.Context, todo []pending) (t attempted) {
	docs := make([]store.Doc, 0, len(todo))
	for _, p := range todo {
		if p.bad == nil {
			docs = append(docs, p.doc)
		}
	}
	var results []store.Result
	if len(docs) > 0 {
		failpoint.Hit(failpoint.BulkSent)
		var err error
		results, err = s.c.tryWrite(work, docs)
		failpoint.Hit(failpoint.BulkAcked)
		if err == nil && len(results) != len(docs) {
			err = fmt.Errorf("%w: %d for %d", errResults, len(results), len(docs))
		}
		if err != nil {
			return attempted{again: todo, trouble: err}
		}
	}
	var stored, duplicates int64
	for _, p := range todo {
		if p.bad != nil {
			t.letters = append(t.letters, letter{p, kindUndecodable, p.bad})
			continue
		}
		r := results[0]
		results = results[1:]
		switch r.Status {
		case store.Stored:
			stored++
		case store.Duplicate:
			duplicates++
		case store.Poison:
			t.letters = append(t.letters, letter{p, kindRefused, r.Err})
		case store.Conflict:
			t.letters = append(t.letters, letter{p, kindConflict, r.Err})
		case store.Environment:
			t.environment, t.trouble = true, r.Err
			t.again = append(t.again, p)
		default: // Transient, and whatever a store may say that is newer than this code
			if !t.environment {
				t.trouble = r.Err
			}
			t.again = append(t.again, p)
		}
	}
	t.good = int(stored + duplicates)
	s.c.count(func(v *Stats) {
		v.Stored += stored
		v.Duplicates += duplicates
	})
	return t
}

// holdBack makes the letters wait, but for a few when it begins: somebody will want to look at them.
func (s *session) holdBack(t *attempted, v verdict) {
	sample := 0
	if v.first {
		sample = min(guardSample, len(t.letters))
	}
	for _, l := range t.letters[sample:] {
		t.again = append(t.again, l.pending)
	}
	slices.SortFunc(t.again, func(a, b pending) int { return a.at - b.at })
	t.letters = t.letters[:sample]
	t.trouble, t.suspended = v.err, true
}

// worry says that the batch waits because of err.
func (s *session) worry(b *batch, state State, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.troubled {
		b.troubled = true
		s.troubled++
	}
	s.c.enter(state, err)
}

// calm says that the batch no longer waits. With the last one of them all is well again.
func (s *session) calm(ctx context.Context, b *batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !b.troubled {
		return
	}
	b.troubled = false
	if s.troubled--; s.troubled == 0 && ctx.Err() == nil {
		s.c.recovered(ctx)
	}
}

// recovered says that the store takes records again.
func (c *Consumer) recovered(ctx context.Context) {
	c.enter(StateRunning, nil)
	over := false
	for _, kind := range []string{"transient", "environment", "suspended"} {
		over = c.notices.over(kind) || over
	}
	if over {
		c.log.InfoContext(ctx, "store takes records again")
	}
}

func (c *Consumer) complain(ctx context.Context, t attempted) {
	attrs := []slog.Attr{slog.Int("waiting", len(t.again)), slog.Any("error", t.trouble)}
	switch {
	case t.suspended:
		if c.notices.due("suspended") {
			first := t.again[0].message.Offset
			c.log.LogAttrs(ctx, slog.LevelError, "suspended, nothing is lost: most records would become dead letters, which is rather the fault of a mapping, a version or a server than theirs. "+
				"A few of them are in the dead letters, to be looked at. It goes on when the store takes them; if they are to become dead letters, start with --accept-poison",
				append(attrs, slog.Int64("first_offset", first))...)
		}
	case t.environment:
		if c.notices.due("environment") {
			c.log.LogAttrs(ctx, slog.LevelError, "store takes no records until somebody mends it; waiting, nothing is lost", attrs...)
		}
	default:
		if c.notices.due("transient") {
			c.log.LogAttrs(ctx, slog.LevelWarn, "store does not take all records now, trying again", attrs...)
		}
	}
}

// tryWrite is Write of the store; its panic is an error.
func (c *Consumer) tryWrite(ctx context.Context, docs []store.Doc) (results []store.Result, err error) {
	defer func() {
		if v := recover(); v != nil {
			results, err = nil, &panicError{v}
		}
	}()
	return c.store.Write(ctx, docs)
}

// decode makes a document of a message.
func (c *Consumer) decode(m stream.Message) (store.Doc, error) {
	return Document(m, c.cfg.Stream, c.cfg.Now(), c.cfg.MaxMessageSize)
}
