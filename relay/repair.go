package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/event"
)

// Watch says how far the records of a producer have come: rabbit.Watermarks. ok is false as long as that is
// not known.
type Watch interface {
	Progress(ctx context.Context, producer string) (p checkpoint.Progress, ok bool, err error)
}

// Repairable is a queue that keeps what was sent for a while, and can give it again: a spool.
type Repairable[O Orphan] interface {
	Producer() string
	// Acknowledged gives the sequence up to which everything was confirmed.
	Acknowledged() uint64
	// Kept gives the oldest sequence that is still kept.
	Kept() uint64
	// Refill gives what is kept of the range, as a queue with a producer name of its own.
	Refill(from, to uint64) (O, error)
	// Lost writes down that the range is nowhere any more.
	Lost(from, to uint64, reason string)
}

// RepairConfig is the configuration of Repair. The zero value has the defaults.
type RepairConfig struct {
	// Interval is how often to look. What is missing twice in a row is sent again.
	//
	// Defaults to 1 min.
	Interval time.Duration
	// Patience is how long to wait for what was sent again, before it is sent once more.
	//
	// Defaults to 1 h.
	Patience time.Duration
	// Relay is how it is sent.
	Relay Config
}

// Repair looks from time to time whether records of the queue's producer are missing where they are read,
// although the stream had confirmed them, as when a broker lost the end of its stream. It sends
// again what the queue still keeps, and writes a gap record for what it does not. It runs until ctx ends,
// and gives nil then; the error is one of the configuration.
func Repair[O Orphan](ctx context.Context, queue Repairable[O], watch Watch, dial DialFunc, config RepairConfig) error {
	if config.Interval == 0 {
		config.Interval = time.Minute
	}
	if config.Patience == 0 {
		config.Patience = time.Hour
	}
	config.Relay = config.Relay.withDefaults()
	if err := config.Relay.validate(); err != nil {
		return err
	}
	if config.Interval < 0 || config.Patience < 0 {
		return fmt.Errorf("relay: RepairConfig.Interval is %v and Patience %v, want 0 (default) or more", config.Interval, config.Patience)
	}
	r := repair[O]{queue: queue, dial: dial, config: config}
	for sleep(ctx, config.Interval) {
		p, ok, err := watch.Progress(ctx, queue.Producer())
		switch {
		case err != nil && ctx.Err() == nil:
			config.Relay.Logger.DebugContext(ctx, "relay: what is missing is not known", slog.Any("error", err))
		case ok:
			r.look(ctx, p.Missing)
		}
	}
	return nil
}

// repair remembers what is missing and what was done about it.
type repair[O Orphan] struct {
	queue  Repairable[O]
	dial   DialFunc
	config RepairConfig
	before []checkpoint.Range
	mended []mended
}

// mended is a range of which something was done.
type mended struct {
	checkpoint.Range

	at time.Time
}

// look takes care of what is missing now and was when it looked before: only then it is not on its way.
func (r *repair[O]) look(ctx context.Context, missing []checkpoint.Range) {
	now := r.config.Relay.Now()
	r.mended = slices.DeleteFunc(r.mended, func(m mended) bool { return now.Sub(m.at) >= r.config.Patience })
	for _, m := range missing {
		if m.To = min(m.To, r.queue.Acknowledged()); m.To < m.From {
			continue // is still to be sent anyway
		}
		for _, old := range r.before {
			again := checkpoint.Range{From: max(m.From, old.From), To: min(m.To, old.To)}
			if again.From > again.To {
				continue
			}
			for _, part := range r.untouched(again) {
				if r.mend(ctx, part) {
					r.mended = append(r.mended, mended{part, now})
				}
			}
		}
	}
	r.before = missing
}

// untouched gives the parts of m that were not mended lately.
func (r *repair[O]) untouched(m checkpoint.Range) []checkpoint.Range {
	parts := []checkpoint.Range{m}
	for _, done := range r.mended {
		var rest []checkpoint.Range
		for _, p := range parts {
			if done.To < p.From || done.From > p.To {
				rest = append(rest, p)
				continue
			}
			if p.From < done.From {
				rest = append(rest, checkpoint.Range{From: p.From, To: done.From - 1})
			}
			if p.To > done.To {
				rest = append(rest, checkpoint.Range{From: done.To + 1, To: p.To})
			}
		}
		parts = rest
	}
	return parts
}

// mend sends the range again, as far as it is kept.
func (r *repair[O]) mend(ctx context.Context, m checkpoint.Range) (done bool) {
	log := r.config.Relay.Logger.With(slog.String("producer", r.queue.Producer()))
	if kept := r.queue.Kept(); kept > m.From {
		r.gone(ctx, log, checkpoint.Range{From: m.From, To: min(m.To, kept-1)})
		if m.From = kept; m.From > m.To {
			return true
		}
	}
	log.WarnContext(ctx, "relay: the stream has lost records, sending them again", slog.Uint64("from_seq", m.From), slog.Uint64("to_seq", m.To))
	sent, err := r.send(ctx, m)
	if err != nil || ctx.Err() != nil {
		if ctx.Err() == nil {
			log.ErrorContext(ctx, "relay: cannot send again what the stream has lost", slog.Any("error", err))
		}
		return false
	}
	if sent < m.Len() { // the oldest went while it was on its way
		r.gone(ctx, log, checkpoint.Range{From: m.From, To: m.To - sent})
	}
	return true
}

// gone says of the range that it is kept no more, once.
func (r *repair[O]) gone(ctx context.Context, log *slog.Logger, m checkpoint.Range) {
	log.ErrorContext(ctx, "relay: the stream has lost records that are kept no more", slog.Uint64("from_seq", m.From), slog.Uint64("to_seq", m.To))
	r.queue.Lost(m.From, m.To, event.GapStream)
	r.mended = append(r.mended, mended{m, r.config.Relay.Now().AddDate(100, 0, 0)})
}

// send gives how many records were sent again.
func (r *repair[O]) send(ctx context.Context, m checkpoint.Range) (sent uint64, err error) {
	queue, err := r.queue.Refill(m.From, m.To)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, queue.Close()) }()
	again, err := New(queue, r.dial, r.config.Relay)
	if err != nil {
		return 0, err
	}
	if err := again.Run(ctx); err != nil {
		return 0, err
	}
	return again.Stats().Confirmed, nil
}
