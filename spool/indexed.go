package spool

import (
	"context"
	"log/slog"
	"time"
)

// Index says which records of a producer are in the store. It is the one thing that a spool hears from the
// far end of the pipeline: with it, segments can go before the Retention has passed. A store that can be
// searched by producer_id and seq can answer it.
type Index interface {
	// IndexedUpTo gives the highest sequence n, at least after and at most upTo, so that the store has
	// every record of the producer behind after and up to n. It may be called by several spools at once.
	IndexedUpTo(ctx context.Context, producer string, after, upTo uint64) (uint64, error)
}

// MarkIndexed says that the store has all records up to and including upTo. Segments whose records it has,
// and the stream has confirmed, are not kept any longer. What is beyond the acknowledged sequence does not
// count, and a lower mark than before changes nothing.
func (s *Spool) MarkIndexed(upTo uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if upTo = min(upTo, s.acknowledged); upTo > s.indexed {
		s.indexed = upTo
		s.poke()
	}
}

// askIndex asks the index from time to time, until the spool is closed.
func (s *Spool) askIndex() {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // ends with the spool
	defer cancel()
	s.asking.Go(func() {
		<-s.quit
		cancel()
	})
	tick := time.NewTicker(max(s.config.IndexInterval, time.Millisecond))
	defer tick.Stop()
	failed := false
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		err := s.ask(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			s.config.Logger.WarnContext(ctx, "spool: which records are in the store is not known; they are kept for the retention", slog.Any("error", err))
		}
		failed = err != nil
	}
}

// ask moves the indexed sequence as far as the store says, over what is known to be lost.
func (s *Spool) ask(ctx context.Context) error {
	for {
		s.mu.Lock()
		producer, after, upTo := s.folder.producer, s.indexed, s.acknowledged
		for _, r := range s.lostRanges {
			if r.from <= after+1 && after < r.to {
				after = r.to
			}
		}
		after = min(after, upTo)
		s.mu.Unlock()
		if after >= upTo {
			s.MarkIndexed(after)
			return nil
		}
		n, err := s.config.Index.IndexedUpTo(ctx, producer, after, upTo)
		if err != nil {
			return err
		}
		s.MarkIndexed(max(after, min(n, upTo)))
		if n <= after {
			return nil
		}
	}
}
