package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/internal/scan"
	"github.com/gormtrail/audit/replay"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

type replayFlags struct {
	from, to, prefix string
	restart          bool
	batchSize        int
}

func (p Program) replay(c *common) *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use: "replay", Short: "Write a part of the stream to OpenSearch again", Args: noArgs,
		Long: `replay reads the stream, or a part of it, and writes each record to OpenSearch that is not there: to rebuild
an index that was lost, or, with --index-prefix, to make another one beside it.

A record is stored once, so replay may be repeated, and may run while a consumer does; the offsets of the
consumers stay as they are. When it was interrupted, the same command goes on where it was; --restart
begins anew. It ends when the part does, and says what it did. Messages that are no record, or that
OpenSearch refuses, are counted and named by their offset; the consumer has put them to the dead letters.

--from and --to are offsets, both included, or times: the first message that the broker took at the time
--from or later, to the last before the time --to. The broker knows times of what was published
together, so that a few messages around may be among them. A time is RFC 3339, or a date, which begins
at midnight in AUDIT_TIMEZONE. It is when the broker took the message: a record may be older.`,
		Example: "  auditlog replay\n  auditlog replay --from 2026-11-01 --to 2026-12-01 --index-prefix audit-logs-new",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.runReplay(cmd.Context(), c, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.from, "from", "", "first offset, or time; by default the beginning of the stream")
	flags.StringVar(&f.to, "to", "", "last offset, or the time before which it ends; by default the end of the stream")
	flags.StringVar(&f.prefix, "index-prefix", "", "prefix of the indices to write to; by default OPENSEARCH_INDEX_PREFIX")
	flags.BoolVar(&f.restart, "restart", false, "begin anew, though an earlier replay of the part was interrupted")
	flags.IntVar(&f.batchSize, "batch-size", consumer.DefaultBatchSize, "most records written at once")
	return cmd
}

// place is an end of the part: an offset or a time.
type place struct {
	set    bool
	offset int64
	at     time.Time // not zero: a time
}

func parsePlace(flag, text string, zone *time.Location) (place, error) {
	if text == "" {
		return place{}, nil
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return place{set: true, offset: n}, nil
	}
	if t, err := time.Parse(time.RFC3339, text); err == nil && t.Unix() > 0 {
		return place{set: true, at: t}, nil
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, zone); err == nil && t.Unix() > 0 {
		return place{set: true, at: t}, nil
	}
	return place{}, fmt.Errorf("%s is %q, want an offset, a time such as 2026-11-01T00:00:00Z, or a date", flag, text)
}

func (p Program) runReplay(ctx context.Context, c *common, f replayFlags) error {
	source, err1 := rabbit.ConfigFromEnv(c.getenv)
	if source.Stream == "" {
		source.Stream = rabbit.DefaultStream
	}
	settings := *c
	if f.prefix != "" {
		settings.getenv = func(name string) string {
			if name == "OPENSEARCH_INDEX_PREFIX" {
				return f.prefix
			}
			return c.getenv(name)
		}
	}
	target, err2 := openSearchConfig(&settings)
	zone, err3 := location(c.getenv)
	if zone == nil {
		zone = time.UTC
	}
	from, err4 := parsePlace("--from", f.from, zone)
	to, err5 := parsePlace("--to", f.to, zone)
	var err6 error
	if f.batchSize < 1 || f.batchSize > 100_000 {
		err6 = fmt.Errorf("--batch-size is %d, want 1 to 100000", f.batchSize)
	}
	var err7 error
	switch {
	case from.set && to.set && from.at.IsZero() != to.at.IsZero(): // nothing to compare
	case from.set && to.set && from.at.IsZero() && to.offset < from.offset, from.set && to.set && !from.at.IsZero() && !from.at.Before(to.at):
		err7 = fmt.Errorf("--to is %q, which is before --from, %q", f.to, f.from)
	case source.Partitions > 0 && (from.set && from.at.IsZero() || to.set && to.at.IsZero()):
		err7 = errors.New("--from and --to are offsets, which are others in each partition of a super stream: want times")
	}
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
		return usage(err)
	}
	store, err := opensearch.New(target)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = store.Close() }()
	parts, err := sources(ctx, c, source)
	if err != nil {
		return errors.New("stopped before the super stream was there")
	}
	for _, part := range parts {
		r := replayer{program: p, common: c, stream: part, store: store, prefix: target.IndexPrefix}
		if err := r.run(ctx, f, from, to); err != nil {
			return withHint(err)
		}
	}
	return nil
}

// replayer replays one stream.
type replayer struct {
	program Program
	common  *common
	stream  rabbit.Config
	store   *opensearch.Store
	prefix  string
}

func (r replayer) run(ctx context.Context, f replayFlags, from, to place) error {
	first, _, err := r.offset(ctx, from)
	if err != nil {
		return err
	}
	last, end, err := r.offset(ctx, to)
	if err != nil {
		return err
	}
	if !to.at.IsZero() && !end {
		last-- // the message at the time is the first beyond
	}
	end = end || !to.set
	out := r.program.Stdout
	if !end && last < first {
		_, err := fmt.Fprintf(out, "stream %s: no messages between %s and %s\n", r.stream.Stream, f.from, f.to)
		return err
	}
	screen := newScreen(r.program.Stderr, r.common.log)
	report, err := replay.Run(ctx, r.open, r.store, replay.Config{
		Stream: r.stream.Stream, From: first, To: last, End: end, Restart: f.restart, Checkpoints: r.store, Name: f.name(),
		Progress: screen.show, Refused: screen.refused,
		Consumer: consumer.Config{BatchSize: f.batchSize, Logger: r.common.log},
	})
	screen.clear()
	resumed := ""
	if report.Resumed {
		resumed = ", where an earlier replay was interrupted"
	}
	_, _ = fmt.Fprintf(out, "stream %s, into %s, from offset %d%s: %d read, %d stored, %d were stored already, %d conflicts, %d poison (%d undecodable, %d refused)\n",
		r.stream.Stream, r.prefix, report.First, resumed, report.Read, report.Stored, report.Duplicates, report.Conflicts, report.Poison(), report.Undecodable, report.Refused)
	if report.Gone > 0 {
		_, _ = fmt.Fprintf(out, "the stream no longer has the %d offsets before %d\n", report.Gone, report.First)
	}
	return err
}

// name tells parts apart that are given by times, whose offsets may be the same.
func (f replayFlags) name() string {
	return strings.TrimSpace(f.from + " " + f.to)
}

// offset gives the offset of a place; end says that it is beyond the last message.
func (r replayer) offset(ctx context.Context, p place) (offset int64, end bool, err error) {
	if p.at.IsZero() {
		return p.offset, false, nil
	}
	source, err := rabbit.Since(ctx, r.stream, p.at)
	if err != nil {
		return 0, false, err
	}
	defer func() { _ = source.Close() }()
	offset, ok, err := scan.First(ctx, source)
	if err != nil || ok {
		return offset, false, err
	}
	bounds, err := source.Bounds(ctx)
	if err != nil {
		return 0, false, err
	}
	return bounds.Last + 1<<17, true, nil // more than any message has
}

func (r replayer) open(ctx context.Context, from int64) (replay.Source, error) {
	s, err := rabbit.NewSource(ctx, r.stream, "audit-replay", stream.SourceOptions{
		StartAt: func(context.Context) (int64, bool, error) { return from, true, nil },
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// screen shows how far a replay is: on a terminal in one line that changes, else now and then in the log.
type screen struct {
	log   *slog.Logger
	out   io.Writer // nil: no terminal
	begin time.Time

	mu      sync.Mutex
	said    time.Time
	width   int
	refusal int
}

const (
	sayEvery    = 10 * time.Second
	sayRefusals = 100
)

func newScreen(stderr io.Writer, log *slog.Logger) *screen {
	s := &screen{log: log, begin: time.Now()}
	if file, ok := stderr.(*os.File); ok {
		if info, err := file.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 {
			s.out = file
		}
	}
	s.said = s.begin
	return s
}

func (s *screen) show(p replay.Progress) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rate := float64(p.Read) / max(time.Since(s.begin).Seconds(), 0.001)
	share := 1.0
	if all := p.Last - p.First + 1; all > 0 {
		share = min(1, float64(max(p.Offset-p.First+1, 0))/float64(all))
	}
	if s.out == nil {
		if time.Since(s.said) >= sayEvery {
			s.said = time.Now()
			s.log.Info("replays", slog.Int64("offset", p.Offset), slog.Int64("of", p.Last), slog.Int64("read", p.Read), slog.Int64("stored", p.Stored),
				slog.Int64("duplicates", p.Duplicates), slog.Int64("conflicts", p.Conflicts), slog.Int64("poison", p.Poison()))
		}
		return
	}
	line := fmt.Sprintf("%3.0f %%  offset %d of %d, %d read, %.0f/s, %d stored, %d there already, %d conflicts, %d poison",
		100*share, p.Offset, p.Last, p.Read, rate, p.Stored, p.Duplicates, p.Conflicts, p.Poison())
	s.width = max(s.width, len(line))
	_, _ = fmt.Fprintf(s.out, "\r%-*s", s.width, line)
}

// clear ends the line that changes.
func (s *screen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.out != nil && s.width > 0 {
		_, _ = fmt.Fprintln(s.out)
	}
}

// refused names a message that cannot be stored; of very many only the first ones.
func (s *screen) refused(r replay.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refusal++; s.refusal <= sayRefusals {
		s.log.Warn("message cannot be stored", slog.Int64("offset", r.Offset), slog.String("type", r.Type))
	}
}
