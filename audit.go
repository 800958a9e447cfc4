package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/mask"
)

// PluginName is the name under which the plugin is in a handle.
const PluginName = "audit"

// Plugin is the default plugin: the default registry, and records in the table audit_logs of the
// handle's own database. Use it with db.Use(audit.Plugin).
var Plugin = New(Config{})

// Auditor records the changes that are made through the handles it is used on. It may serve several,
// and be used concurrently.
type Auditor struct {
	given Config // as the application gave it
	cfg   Config // with defaults
	rules mask.Rules

	counters counters
	closed   atomic.Bool
	busyMu   sync.Mutex
	busy     int           // writes to sinks that are under way
	idle     chan struct{} // closed when busy falls to 0; nil if nobody waits
}

var _ gorm.Plugin = (*Auditor)(nil)

// New gives an Auditor for db.Use, which reports all mistakes in cfg.
func New(cfg Config) *Auditor {
	a := &Auditor{given: cfg, cfg: cfg.withDefaults()}
	a.rules = mask.Rules{Names: cfg.MaskNames, NoNames: cfg.KeepSecretNames, NoForms: cfg.KeepValuePatterns}
	return a
}

// Name implements gorm.Plugin.
func (a *Auditor) Name() string { return PluginName }

// Initialize implements gorm.Plugin: it begins to record the changes made through db and all its
// sessions. It reports every mistake in the configuration and in the registered models at once, and
// creates the table of the embedded store. Use db.Use, before the handle serves several goroutines.
func (a *Auditor) Initialize(db *gorm.DB) error {
	if h := handleOf(db); h != nil {
		// A plugin such as a resolver has opened a further database for the same handle.
		return capture.Install(db, h.hooks(), a.captureConfig())
	}
	h := &handle{auditor: a, db: db.Session(&gorm.Session{NewDB: true})}
	ts, err := h.compile()
	if err = errors.Join(a.cfg.validate(), err, a.checkTested(db)); err != nil {
		return err
	}
	h.tables.Store(ts)
	if a.cfg.Sink != nil && a.cfg.Tracer != nil {
		h.sinkName = "sink " + sinkName(a.cfg.Sink)
	}
	h.txSink = a.cfg.TxSink
	if a.cfg.embedded() {
		if h.txSink, err = a.openEmbedded(db, ts.policies); err != nil {
			return err
		}
	}
	if h.txSink != nil {
		h.txName = "sink " + sinkName(h.txSink)
	}
	if err := capture.Install(db, h.hooks(), a.captureConfig()); err != nil {
		return err
	}
	// From now on sessions of h.db are observed as well.
	h.db = db.Session(&gorm.Session{NewDB: true})
	db.Config.Plugins[handlePlugin] = h
	ctx, cancel := context.WithTimeout(contextOf(db), selfTimeout)
	defer cancel()
	a.report(ctx, KindConfig, h.lookAtTrail(ctx))
	if a.cfg.SkipProbe {
		return nil
	}
	if err := h.probe(ctx); err != nil {
		if ts.policies.strict {
			return err
		}
		a.report(ctx, KindProbe, err)
	}
	return nil
}

// checkTested gives an error for a database that is not tested, and only a warning if it is allowed, or an
// older version.
func (a *Auditor) checkTested(db *gorm.DB) error {
	err := capture.Check(db)
	if err != nil && (a.cfg.AllowUntested || !errors.Is(err, capture.ErrDialect)) {
		a.cfg.Logger.LogAttrs(db.Statement.Context, slog.LevelWarn, "audit: no test runs on this database, it is captured as well as it can be", slog.Any("error", err))
		return nil
	}
	return err
}

func (a *Auditor) captureConfig() capture.Config {
	return capture.Config{
		MaxRows: a.cfg.MaxRows, MaxBytes: a.cfg.MaxStatementBytes, MaxTxBytes: a.cfg.MaxTransactionBytes,
		AllowUntested: a.cfg.AllowUntested, Now: a.cfg.Clock,
	}
}

// From gives the Auditor that is used on a handle, nil if there is none. The methods of a nil Auditor
// do nothing.
func From(db *gorm.DB) *Auditor {
	h := handleOf(db)
	if h == nil {
		return nil
	}
	return h.auditor
}

// Registry gives the registry whose models are recorded.
func (a *Auditor) Registry() *Registry {
	if a == nil {
		return nil
	}
	return a.cfg.Registry
}

// Stats gives the counters as they are now.
func (a *Auditor) Stats() Stats {
	if a == nil {
		return Stats{}
	}
	return a.counters.stats()
}

// enter begins a write to a sink; false after Shutdown.
func (a *Auditor) enter() bool {
	a.busyMu.Lock()
	defer a.busyMu.Unlock()
	if a.closed.Load() {
		return false
	}
	a.busy++
	return true
}

func (a *Auditor) leave() {
	a.busyMu.Lock()
	defer a.busyMu.Unlock()
	if a.busy--; a.busy == 0 && a.idle != nil {
		close(a.idle)
		a.idle = nil
	}
}

// wait waits until no write to a sink is under way.
func (a *Auditor) wait(ctx context.Context) error {
	a.busyMu.Lock()
	if a.busy == 0 {
		a.busyMu.Unlock()
		return nil
	}
	if a.idle == nil {
		a.idle = make(chan struct{})
	}
	idle := a.idle
	a.busyMu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("audit: writes to the sink are under way: %w", ctx.Err())
	}
}

// Flush waits until the sinks have brought all records so far to where they promise to bring them. It
// may be called at any time and honours ctx.
func (a *Auditor) Flush(ctx context.Context) error {
	if a == nil {
		return nil
	}
	if err := a.wait(ctx); err != nil {
		return err
	}
	var errs []error
	for _, sink := range []any{a.cfg.TxSink, a.cfg.Sink} {
		if sink != nil {
			errs = append(errs, flush(ctx, sink))
		}
	}
	return errors.Join(errs...)
}

// Shutdown stops the recording on all handles and flushes. Later changes are counted as failed with
// ErrShutdown; with the policy Strict they fail. It does not close the sinks: whoever made them does
// that afterwards. It may be called several times and honours ctx.
func (a *Auditor) Shutdown(ctx context.Context) error {
	if a == nil {
		return nil
	}
	a.busyMu.Lock()
	a.closed.Store(true)
	a.busyMu.Unlock()
	return a.Flush(ctx)
}
