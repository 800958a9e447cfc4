package consumer

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// pending is a message of a batch that has no end yet.
type pending struct {
	message stream.Message
	doc     store.Doc
}

// settle brings every message of the batch into the store or into the dead letters, however long it
// takes. It reports whether all are there, and what was decoded; if not, ctx or work has ended.
func (c *Consumer) settle(ctx, work context.Context, batch []stream.Message) (marks []mark, ok bool) {
	todo := make([]pending, 0, len(batch))
	marks = make([]mark, 0, len(batch))
	var letters []letter
	for _, m := range batch {
		doc, err := c.decode(m)
		if err != nil {
			letters = append(letters, letter{m, kindUndecodable, err})
			continue
		}
		todo = append(todo, pending{m, doc})
		marks = append(marks, markOf(doc.Record))
	}
	pauses := c.backoff()
	for {
		var again []pending
		var trouble error
		environment := false
		if len(todo) > 0 {
			again, letters, environment, trouble = c.write(work, todo, letters)
		}
		if !c.bury(ctx, work, letters) {
			return nil, false
		}
		letters = nil
		if len(again) == 0 {
			c.recovered(ctx)
			return marks, true
		}
		c.count(func(s *Stats) {
			s.Retries += int64(len(again))
			if environment {
				s.EnvironmentWaits++
			}
		})
		c.enter(StateWaiting, trouble)
		c.complain(ctx, environment, len(again), trouble)
		if !pauses.wait(ctx) {
			return nil, false
		}
		todo = again
	}
}

// recovered says that the store takes records again, if it had not.
func (c *Consumer) recovered(ctx context.Context) {
	c.enter(StateRunning, nil)
	overload, environment := c.notices.over("transient"), c.notices.over("environment")
	if overload || environment {
		c.log.InfoContext(ctx, "store takes records again")
	}
}

func (c *Consumer) complain(ctx context.Context, environment bool, waiting int, err error) {
	attrs := []slog.Attr{slog.Int("waiting", waiting), slog.Any("error", err)}
	switch {
	case environment && c.notices.due("environment"):
		c.log.LogAttrs(ctx, slog.LevelError, "store takes no records until somebody mends it; waiting, nothing is lost", attrs...)
	case !environment && c.notices.due("transient"):
		c.log.LogAttrs(ctx, slog.LevelWarn, "store does not take all records now, trying again", attrs...)
	}
}

// write hands todo to the store. again is what has to be sent again, because of trouble, which
// environment says to be of the store's surroundings.
func (c *Consumer) write(ctx context.Context, todo []pending, letters []letter) (again []pending, _ []letter, environment bool, trouble error) {
	docs := make([]store.Doc, len(todo))
	for i, p := range todo {
		docs[i] = p.doc
	}
	results, err := c.tryWrite(ctx, docs)
	if err == nil && len(results) != len(docs) {
		err = fmt.Errorf("%w: %d for %d", errResults, len(results), len(docs))
	}
	if err != nil {
		return todo, letters, false, err
	}
	var stored, duplicates int64
	for i, r := range results {
		switch r.Status {
		case store.Stored:
			stored++
		case store.Duplicate:
			duplicates++
		case store.Poison:
			letters = append(letters, letter{todo[i].message, kindRefused, r.Err})
		case store.Conflict:
			letters = append(letters, letter{todo[i].message, kindConflict, r.Err})
		case store.Environment:
			environment, trouble = true, r.Err
			again = append(again, todo[i])
		default: // Transient, and whatever a store may say that is newer than this code
			if !environment {
				trouble = r.Err
			}
			again = append(again, todo[i])
		}
	}
	c.count(func(s *Stats) {
		s.Stored += stored
		s.Duplicates += duplicates
	})
	return again, letters, environment, trouble
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
	if n := len(m.Payload); n > c.cfg.MaxMessageSize {
		return store.Doc{}, fmt.Errorf("%w: it has %d bytes, want at most %d", errMessage, n, c.cfg.MaxMessageSize)
	}
	r, err := event.Decode(m.Payload)
	if err != nil {
		return store.Doc{}, err
	}
	encoded := m.Payload
	if event.Foreign(m.Payload) {
		if encoded, err = event.Encode(r); err != nil {
			return store.Doc{}, err
		}
	}
	r.IngestedAt, r.Stream, r.StreamOffset = c.cfg.Now().UTC(), c.cfg.Stream, m.Offset
	return store.Doc{Record: r, Encoded: event.StampIngest(encoded, r.IngestedAt, r.Stream, r.StreamOffset)}, nil
}
