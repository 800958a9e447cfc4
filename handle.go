package audit

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/tx"
)

// handle is an Auditor on one *gorm.DB. It stands in the handle's map of plugins, which all its
// sessions share, so that it lives exactly as long as they do.
type handle struct {
	auditor *Auditor
	db      *gorm.DB
	txSink  TxSink // the configured one or the embedded store; nil if there is none
	txName  string // what an error calls it

	sinkName string // what a Tracer is told of Config.Sink

	mu     sync.Mutex // compiling
	tables atomic.Pointer[tables]
	adHoc  sync.Map // reflect.Type -> *table, of models that only Log knows
	others otherTables
	self   self
}

// handlePlugin is the name under which a handle is found.
const handlePlugin = PluginName + ":handle"

// Name implements gorm.Plugin.
func (h *handle) Name() string { return handlePlugin }

// Initialize implements gorm.Plugin. Plugins that open further databases with the same configuration
// call it; the Auditor has done everything then.
func (h *handle) Initialize(*gorm.DB) error { return nil }

func handleOf(db *gorm.DB) *handle {
	if db == nil || db.Config == nil {
		return nil
	}
	h, _ := db.Config.Plugins[handlePlugin].(*handle)
	return h
}

func (h *handle) hooks() capture.Hooks {
	return capture.Hooks{
		Hooks:    tx.Hooks{BeforeCommit: h.beforeCommit, AfterCommit: h.afterCommit, Discarded: h.discarded, InDoubt: h.inDoubt},
		Model:    h.model,
		Captured: h.captured,
		Skipped:  h.notCaptured,
		Failed:   h.captureFailed,
		Strict:   h.strict,
		InTx:     h.txSink != nil,
	}
}

// current gives the registered models as this handle sees them. Models may be registered while it is
// in use.
func (h *handle) current(ctx context.Context) *tables {
	version := h.auditor.cfg.Registry.currentVersion()
	if ts := h.tables.Load(); ts != nil && ts.version == version {
		return ts
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if ts := h.tables.Load(); ts != nil && ts.version == version {
		return ts
	}
	ts, err := h.compile()
	// db.Use has returned what was wrong then; this is news.
	h.auditor.report(ctx, KindRegistry, err)
	h.tables.Store(ts)
	return ts
}

func (h *handle) compile() (*tables, error) {
	models, version, err := h.auditor.cfg.Registry.state()
	ts, compileErr := compile(h.db, models, version, &h.auditor.rules, h.auditor.labelsOf(h.db))
	var policyErr error
	ts.policies, policyErr = h.auditor.compilePolicies(ts)
	return ts, errors.Join(err, compileErr, policyErr)
}

// model says what is captured of the table that st writes.
func (h *handle) model(st *gorm.Statement) *capture.Model {
	t := h.current(st.Context).find(st)
	h.noticeSelf(st.DB)
	if t == nil {
		h.others.count(st.Table)
		return nil
	}
	s := scopeOf(st.Context)
	switch {
	case s != nil && s.skip:
		if h.auditor.skipped(st.Context, t.schema.Table, SkipAsked) {
			h.noticeSkip(st.DB, t.schema.Table)
		}
		return nil
	case isRaw(st):
		// It is counted as what it is, with or without an audit context.
	case h.auditor.cfg.Scope == ScopeContext && !s.active():
		h.auditor.skipped(st.Context, t.schema.Table, SkipNoContext)
		return nil
	}
	if h.auditor.closed.Load() {
		h.noticeShutdown(st.DB, t.schema.Table)
	}
	return &t.capture
}

// captured turns the changes of a statement into pending records.
func (h *handle) captured(st *gorm.Statement, changes []capture.Change, summary *capture.Summary) []tx.Item {
	w, err := whoOf(st.Context)
	h.auditor.report(st.Context, KindModel, err)
	h.traced(st.Context, w)
	if summary != nil {
		if !summary.InDoubt {
			h.auditor.counters.truncated.Add(1)
		}
		t, _ := summary.Model.Owner.(*table)
		return []tx.Item{&pending{handle: h, table: t, name: summary.Table, who: w, time: summary.Time, op: summary.Op, summary: summary}}
	}
	items := make([]tx.Item, 0, len(changes))
	for i := range changes {
		c := &changes[i]
		t, _ := c.Model.Owner.(*table)
		p := &pending{handle: h, table: t, name: c.Table, who: w, time: c.Time, op: c.Op, before: c.Before, after: c.After, note: c.Note}
		if c.Before != nil && c.After != nil {
			var auto bool
			p.columns, auto = t.changed(c.Before, c.After)
			if c.Op == capture.Update && auto {
				h.auditor.counters.unchanged.Add(1)
				continue
			}
		}
		items = append(items, p)
	}
	return items
}

func (h *handle) notCaptured(st *gorm.Statement, reason string) {
	name := st.Table
	if t := h.current(st.Context).find(st); t != nil {
		name = t.schema.Table // with its database schema, as in the report
	}
	h.auditor.skipped(st.Context, name, reason)
	if reason == capture.ReasonRaw && h.auditor.cfg.RecordUnattributed {
		h.unattributed(st)
	}
}

func (h *handle) captureFailed(st *gorm.Statement, err error) {
	ctx := context.Background() //nolint:forbidigo // the engine's own failure may belong to no statement
	if st != nil && st.Context != nil {
		ctx = st.Context
	}
	h.auditor.counters.failed.Add(1)
	h.auditor.report(ctx, KindCapture, err)
}

// modelFailed tells of a panic in the application's model.
func (h *handle) modelFailed(ctx context.Context) func(error) {
	return func(err error) { h.auditor.report(ctx, KindModel, err) }
}

// pendings gives the items as what they are.
func pendings(items []tx.Item) []*pending {
	out := make([]*pending, 0, len(items))
	for _, item := range items {
		if p, ok := item.(*pending); ok {
			out = append(out, p)
		}
	}
	return out
}

// beforeCommit makes the records and, if the sink is one for transactions, writes them.
func (h *handle) beforeCommit(ctx context.Context, conn gorm.ConnPool, items []tx.Item) error {
	ps := pendings(items)
	if len(ps) == 0 {
		return nil
	}
	var u *unit
	if err := guard("making the records", func() error { u = h.assemble(ctx, conn, true, ps); return nil }); err != nil {
		u = &unit{unmade: len(ps)}
		h.auditor.report(ctx, KindCapture, err)
	}
	ps[0].unit = u
	if h.txSink == nil {
		return nil
	}
	// One record that must be there is enough: they are written together.
	strict := slices.ContainsFunc(ps, func(p *pending) bool { return h.policyOf(p) == Strict })
	var err error
	switch {
	case len(u.records) == 0: // vetoed, suppressed, or not made
	case h.auditor.closed.Load():
		err = ErrShutdown
	default:
		err = h.tracedWrite(ctx, h.txName, u.records, func(ctx context.Context) error {
			return guard(h.txName, func() error { return u.writeTx(ctx, h.txSink, conn) })
		})
	}
	if err == nil && u.unmade > 0 && strict {
		err = errors.New("audit: a change could not be made a record")
	}
	if err == nil {
		u.txTaken = true
		return nil
	}
	u.lost = lostOf(err, len(u.records))
	err = &DeliverError{Records: u.lost, Err: err}
	if strict {
		return err
	}
	u.txErr = err // told if the transaction commits: one that cannot has no records to lose
	return nil
}

// afterCommit hands the records to the sink, and counts what has become true.
func (h *handle) afterCommit(ctx context.Context, items []tx.Item) {
	h.ended(ctx, pendings(items), false)
}

// ended does what follows the end of a transaction that has committed, or may have.
func (h *handle) ended(ctx context.Context, ps []*pending, doubt bool) {
	if len(ps) == 0 {
		return
	}
	ctx = context.WithoutCancel(ctx)
	u := ps[0].unit
	if u == nil {
		u = h.assemble(ctx, h.pool(), false, ps)
		if h.txSink != nil {
			u.lost = len(u.records)
		}
	}
	if u.txErr != nil {
		h.auditor.report(ctx, KindSink, u.txErr)
	}
	if doubt {
		u.doubt()
	}
	if err := h.deliver(ctx, u); err != nil || u.unmade > 0 {
		if err == nil {
			err = &DeliverError{Records: u.unmade, Err: errors.New("a record could not be made")}
		}
		for _, p := range ps {
			if p.entry != nil && h.txSink == nil {
				p.entry.lost.Store(err) // Log may be waiting
			}
		}
	}
	c := &h.auditor.counters
	c.emitted.Add(int64(len(u.records) - u.lost))
	if doubt {
		c.unknown.Add(int64(len(u.records) - u.lost))
	}
	c.failed.Add(int64(u.lost + u.unmade))
	c.vetoed.Add(int64(u.vetoed))
	c.suppressed.Add(u.cascaded)
	h.after(ctx, u.records)
	for b, done := range u.processed {
		b.add(done)
	}
}

// pool gives the handle's pool for reading. The lists of keys differ from call to call, so the cache
// of prepared statements is left out.
func (h *handle) pool() gorm.ConnPool {
	if p, ok := h.db.Config.ConnPool.(*gorm.PreparedStmtDB); ok {
		return p.ConnPool
	}
	return h.db.Config.ConnPool
}

// deliver writes to the sink that takes records after COMMIT.
func (h *handle) deliver(ctx context.Context, u *unit) *DeliverError {
	sink := h.auditor.cfg.Sink
	if sink == nil || len(u.records) == 0 {
		return nil
	}
	err := ErrShutdown
	if h.auditor.enter() {
		err = h.tracedWrite(ctx, h.sinkName, u.records, func(ctx context.Context) error {
			return write(ctx, sink, u.records, u.encoded, u.bestEffort)
		})
		h.auditor.leave()
	}
	if err == nil {
		return nil
	}
	u.lost = len(u.records)
	lost := &DeliverError{Records: len(u.records), Err: err}
	h.auditor.report(ctx, KindSink, lost)
	return lost
}

func (h *handle) discarded(items []tx.Item) {
	h.auditor.counters.discarded.Add(int64(len(items)))
}
