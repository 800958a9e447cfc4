package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gormtrail/audit/internal/capture"
)

// Stats are the counters of an Auditor since it was made, over all its handles. Of everything that
// was captured,
//
//	emitted + failed + discarded + suppressed + unchanged + vetoed
//
// is the sum, besides the records about auditing itself (ObjectTypeConfig), which are emitted or failed, where one change that is logged under two parents counts twice from emitted on, and the
// rows of a tracked relation as the one record that they give.
type Stats struct {
	// Emitted counts the committed records that every sink took, and those of Unknown.
	Emitted int64
	// Unknown counts, of Emitted, the records of transactions whose COMMIT was sent but not answered, so
	// that it is not known whether they have happened: their outcome is OutcomeUnknown. A TxSink has them
	// if and only if they have.
	Unknown int64
	// Failed counts the committed changes without a record, and the records that a sink did not take.
	Failed int64
	// Discarded counts changes that were rolled back.
	Discarded int64
	// Suppressed counts deletes of dependents that went with their parent.
	Suppressed int64
	// Unchanged counts rows in which an update changed nothing but columns that GORM sets by itself.
	// Rows in which it changed nothing at all are counted nowhere.
	Unchanged int64
	// Vetoed counts records that Config.Before did not want.
	Vetoed int64
	// Truncated counts statements that changed more rows than are recorded one by one.
	Truncated int64
	// Skipped counts, by table and reason, writes of registered models that were not recorded: the
	// constants Skip….
	Skipped map[string]map[string]int64
	// Errors counts what OnError was told, by kind: the constants Kind….
	Errors map[string]int64
}

// Reasons of Stats.Skipped. The capture engine has more, such as statements that it cannot follow.
const (
	// SkipNoContext: there was no audit context, and the scope is ScopeContext. Config.Scope records
	// them.
	SkipNoContext = "no audit context"
	// SkipAsked: the context is one of Skip.
	SkipAsked = "skip"
)

// Kinds of errors in Stats.Errors.
const (
	KindCapture  = "capture"  // images could not be taken or read
	KindSink     = "sink"     // a sink did not take records
	KindTarget   = "target"   // the parent of a dependent row could not be read
	KindModel    = "model"    // a method or function of the application's model panicked
	KindRegistry = "registry" // a model that was registered after db.Use is wrong
	KindBatch    = "batch"    // the summary of a batch could not be written, or an error came after it
	KindCommit   = "commit"   // the answer to COMMIT was lost, so its outcome is not known
	KindProbe    = "probe"    // the record that is written at start could not be read back
	KindConfig   = "config"   // the configuration could not be compared or recorded
	KindHook     = "hook"     // a function of the application that Config or BatchOptions have panicked
)

// counters are the live form of Stats.
type counters struct {
	emitted, unknown, failed, discarded, suppressed, unchanged, vetoed, truncated atomic.Int64

	mu      sync.Mutex
	skipped map[string]map[string]int64
	errors  map[string]int64
	logged  map[string]time.Time // by kind of error
}

func (c *counters) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Emitted: c.emitted.Load(), Unknown: c.unknown.Load(), Failed: c.failed.Load(), Discarded: c.discarded.Load(), Suppressed: c.suppressed.Load(),
		Unchanged: c.unchanged.Load(), Vetoed: c.vetoed.Load(), Truncated: c.truncated.Load(),
		Skipped: make(map[string]map[string]int64, len(c.skipped)), Errors: maps.Clone(c.errors),
	}
	for table, reasons := range c.skipped {
		s.Skipped[table] = maps.Clone(reasons)
	}
	if s.Errors == nil {
		s.Errors = map[string]int64{}
	}
	return s
}

// skip counts a skipped write. It reports whether it is the first of its table and reason.
func (c *counters) skip(table, reason string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.skipped == nil {
		c.skipped = make(map[string]map[string]int64)
	}
	reasons := c.skipped[table]
	if reasons == nil {
		reasons = make(map[string]int64)
		c.skipped[table] = reasons
	}
	reasons[reason]++
	return reasons[reason] == 1
}

// logEvery is how often one kind of error is logged.
const logEvery = time.Minute

// count counts an error. It reports whether it is to be logged.
func (c *counters) count(kind string, now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.errors == nil {
		c.errors = make(map[string]int64)
		c.logged = make(map[string]time.Time)
	}
	c.errors[kind]++
	last, logged := c.logged[kind]
	if logged && now.Sub(last) < logEvery {
		return false
	}
	c.logged[kind] = now
	return true
}

// report is the one place for errors inside auditing that the application's write does not report.
func (a *Auditor) report(ctx context.Context, kind string, err error) {
	if err == nil {
		return
	}
	if a.counters.count(kind, a.cfg.Clock()) {
		attrs := []slog.Attr{slog.String("kind", kind), slog.String("error", a.safeText(err))}
		var lost *DeliverError
		if errors.As(err, &lost) {
			attrs = append(attrs, slog.Int("records", lost.Records))
		}
		a.cfg.Logger.LogAttrs(ctx, slog.LevelError, "audit: error; at most one is logged for each kind and minute", attrs...)
	}
	if a.cfg.OnError != nil {
		// A hook that panics must not take the write with it; there is nobody left to tell.
		_ = guard("OnError", func() error { a.cfg.OnError(ctx, err); return nil })
	}
}

// safeText gives an error in words that may be logged: databases quote values in theirs.
func (a *Auditor) safeText(err error) (text string) {
	if panicked := guard("Error of an error", func() error { text = err.Error(); return nil }); panicked != nil {
		return fmt.Sprintf("%T: %v", err, panicked)
	}
	text, _ = a.rules.Document(text)
	return text
}

// skipped counts a write of a registered model that is not recorded, and warns about the first. It reports
// whether it is that.
func (a *Auditor) skipped(ctx context.Context, table, reason string) bool {
	if !a.counters.skip(table, reason) {
		return false
	}
	if reason == SkipAsked {
		return true
	}
	hint := "see the documentation of audit.Stats"
	switch reason {
	case capture.ReasonPool:
		hint = "statements of this connection pool are not what the database is sent; see audit.Config.AllowUntested"
	case capture.ReasonStray:
		a.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "audit: a transaction was begun as text on a pool: it is not known which statements run in it, and their records count as committed",
			slog.String("reason", reason), slog.String("hint", "use db.Begin, db.Connection or audit.BeginSQL"))
		return true
	case SkipNoContext:
		hint = "pass the request's context with db.WithContext, or set Config.Scope to audit.ScopeAll to record all"
	}
	a.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "audit: writes of a registered model are not recorded",
		slog.String("table", table), slog.String("reason", reason), slog.String("hint", hint))
	return true
}
