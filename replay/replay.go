package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/gormtrail/audit/checkpoint"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/internal/scan"
	"github.com/gormtrail/audit/stream"
)

// Run replays the part. It gives nil when all of it is done, and an error that wraps ErrStopped if ctx ended
// before. The report is right in both cases.
func Run(ctx context.Context, open OpenFunc, to consumer.Store, cfg Config) (Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return Report{}, err
	}
	r := &run{open: open, cfg: cfg}
	r.report.Offset, r.committed, r.read = -1, -1, -1
	if err := r.begin(ctx); err != nil || r.nothing {
		return r.report, err
	}
	work, finish := context.WithCancel(ctx)
	defer finish()
	r.finish = finish
	settings := cfg.Consumer
	settings.Stream, settings.Group, settings.CommitInterval = cfg.Stream, cfg.group(), cfg.Interval
	settings.Checkpoints, settings.Watermarks, settings.Partition = cfg.Checkpoints, nil, true
	settings.AcceptPoison = forever // what cannot be stored is only counted, and stays on the stream
	c, err := consumer.New(r.dial, to, r, settings)
	if err != nil {
		return r.report, err
	}
	r.stats = c.Stats
	told := make(chan struct{})
	go func() {
		defer close(told)
		r.tell(work)
	}()
	err = c.Run(work)
	finish()
	<-told
	r.mu.Lock()
	defer r.mu.Unlock()
	report := r.now()
	if err == nil && !r.done {
		err = fmt.Errorf("%w: %w", ErrStopped, context.Cause(ctx))
	}
	if cfg.Progress != nil {
		cfg.Progress(Progress{report, r.goal})
	}
	if err == nil {
		r.forget(context.WithoutCancel(ctx))
	}
	return report, err
}

// run is one call of Run. It is the dialer and the dead letters of a consumer.
type run struct {
	open    OpenFunc
	cfg     Config
	last    int64 // where the part ends
	goal    int64 // the same, about, for people
	nothing bool  // there is nothing in the part
	finish  context.CancelFunc
	stats   func() consumer.Stats

	telling sync.Mutex // Config.Refused is called once at a time

	mu        sync.Mutex
	report    Report
	read      int64 // offset read last
	committed int64 // up to where all is done
	ended     bool  // all was read
	done      bool  // and all is done
}

// begin finds out where to begin and where to end.
func (r *run) begin(ctx context.Context) error {
	source, err := r.open(ctx, r.cfg.From)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }()
	bounds, err := source.Bounds(ctx)
	if err != nil {
		return err
	}
	r.report.First = r.cfg.From
	if bounds.Empty || r.cfg.From > bounds.Last+chunk {
		r.nothing = true
		return nil
	}
	r.last = r.cfg.To
	if r.cfg.End {
		r.last = -1
	}
	r.goal = bounds.Last
	if !r.cfg.End {
		r.goal = min(r.goal, r.cfg.To)
	}
	if gone := min(bounds.First, r.goal+1) - r.cfg.From; gone > 0 {
		r.report.Gone, r.report.First = gone, bounds.First
		r.cfg.Consumer.Logger.WarnContext(ctx, "the stream no longer has the beginning of the part",
			slog.Int64("from_offset", r.cfg.From), slog.Int64("first_offset", bounds.First))
	}
	if r.cfg.Checkpoints == nil || r.cfg.Restart {
		return nil
	}
	saved, ok, err := r.load(ctx)
	switch {
	case errors.Is(err, checkpoint.ErrForbidden), errors.Is(err, checkpoint.ErrFormat):
		r.cfg.Consumer.Logger.WarnContext(ctx, "cannot see whether an earlier replay was interrupted; begins anew", slog.Any("error", err))
		return nil
	case err != nil:
		return fmt.Errorf("replay: look for an earlier one: %w", err)
	}
	if ok && saved.Offset >= r.report.First && saved.Offset <= bounds.Last+chunk {
		r.committed, r.report.First, r.report.Resumed = saved.Offset, saved.Offset+1, true
		r.cfg.Consumer.Logger.InfoContext(ctx, "goes on where an earlier replay of this part was interrupted", slog.Int64("from_offset", saved.Offset+1))
	}
	return nil
}

// load gives the checkpoint of an earlier replay, and waits for a store that is not there.
func (r *run) load(ctx context.Context) (saved checkpoint.Checkpoint, ok bool, err error) {
	for said := false; ; said = true {
		saved, ok, err = r.cfg.Checkpoints.Load(ctx, r.cfg.Stream, r.cfg.group())
		if err == nil || ctx.Err() != nil || errors.Is(err, checkpoint.ErrForbidden) || errors.Is(err, checkpoint.ErrFormat) {
			return saved, ok, err
		}
		if !said {
			r.cfg.Consumer.Logger.WarnContext(ctx, "cannot see yet whether an earlier replay was interrupted; waiting", slog.Any("error", err))
		}
		timer := time.NewTimer(r.cfg.Interval)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

// forever is longer than a replay takes.
const forever = 10 * 365 * 24 * time.Hour

// chunk is how far behind Bounds.Last there may be messages.
const chunk = 1 << 16

// dial makes the source of a consumer.
func (r *run) dial(ctx context.Context) (consumer.Source, error) {
	r.mu.Lock()
	from := max(r.report.First, r.committed+1)
	r.mu.Unlock()
	source, err := r.open(ctx, from)
	if err != nil {
		return nil, err
	}
	reader, err := scan.Open(ctx, source, r.last)
	if err != nil {
		_ = source.Close()
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.read, r.ended = reader.Last(), r.committed, false
	return &part{run: r, source: source, reader: reader}, nil
}

// part is the source of the part. Behind its end there is nothing, until somebody closes it.
type part struct {
	run    *run
	source Source
	reader *scan.Reader
}

// Read implements consumer.Source.
func (p *part) Read(ctx context.Context, limit int) ([]stream.Message, error) {
	batch, err := p.reader.Read(ctx, limit)
	p.run.mu.Lock()
	if len(batch) > 0 {
		p.run.read = batch[len(batch)-1].Offset
	}
	if errors.Is(err, io.EOF) {
		p.run.ended = true
		p.run.check()
	}
	p.run.mu.Unlock()
	if errors.Is(err, io.EOF) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return batch, err
}

// Commit implements consumer.Source; the stream is told nothing.
func (p *part) Commit(_ context.Context, offset int64) error {
	p.run.mu.Lock()
	defer p.run.mu.Unlock()
	p.run.committed = max(p.run.committed, offset)
	p.run.check()
	return nil
}

// Close implements consumer.Source.
func (p *part) Close() error { return p.source.Close() }

// check ends the run when all was read and is done. The caller holds mu.
func (r *run) check() {
	if r.ended && r.committed >= r.read && !r.done {
		r.done = true
		r.finish()
	}
}

// Append implements consumer.DeadLetters.
func (r *run) Append(_ context.Context, messages ...stream.Message) error {
	if r.cfg.Refused == nil {
		return nil
	}
	r.telling.Lock()
	defer r.telling.Unlock()
	for _, m := range messages {
		refusal := Refusal{Offset: -1, Type: m.Properties[consumer.PropertyErrorType], Reason: m.Properties[consumer.PropertyErrorReason]}
		_, _ = fmt.Sscan(m.Properties[consumer.PropertySourceOffset], &refusal.Offset)
		r.cfg.Refused(refusal)
	}
	return nil
}

// forget keeps a checkpoint that says nothing is done, so that the next replay of the part begins anew.
func (r *run) forget(ctx context.Context) {
	if r.cfg.Checkpoints == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := r.cfg.Checkpoints.Save(ctx, checkpoint.Checkpoint{Stream: r.cfg.Stream, Group: r.cfg.group(), Offset: -1, At: r.cfg.Consumer.Now().UTC()})
	if err != nil {
		r.cfg.Consumer.Logger.WarnContext(ctx, "the end of the replay is not kept; the next one of this part needs Restart", slog.Any("error", err))
	}
}

// tell reports the progress until ctx ends.
func (r *run) tell(ctx context.Context) {
	if r.cfg.Progress == nil {
		return
	}
	tick := time.NewTicker(r.cfg.Interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		r.mu.Lock()
		p := Progress{r.now(), r.goal}
		r.mu.Unlock()
		r.cfg.Progress(p)
	}
}

// now gives the report of this moment. The caller holds mu.
func (r *run) now() Report {
	report := r.report
	s := r.stats()
	report.Read, report.Stored, report.Duplicates = s.Received, s.Stored, s.Duplicates
	report.Undecodable, report.Refused, report.Conflicts = s.Undecodable, s.Refused, s.Conflicts
	report.Offset = r.committed
	return report
}
