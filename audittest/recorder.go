package audittest

import (
	"context"
	"slices"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// Recorder keeps the records of committed transactions in memory. It may be used concurrently.
//
// Install is the usual way to one. As an audit.Sink it also stands beside another: audit.Tee(spool, rec).
type Recorder struct {
	// Clock gives the time of the records, unless audit.Config.Clock was set.
	Clock *Clock

	mu      sync.Mutex
	records Records
	failure error
}

// New gives a recorder that is installed nowhere.
func New() *Recorder { return &Recorder{Clock: NewClock()} }

// Install installs auditing on db with the Config of a new recorder, and ends the test if that fails.
//
// A handle has one Auditor: db is opened for this test, or by a set-up that all tests share and that keeps
// the recorder.
func Install(tb testing.TB, db *gorm.DB, cfg audit.Config) *Recorder {
	tb.Helper()
	rec := New()
	if err := db.Use(audit.New(rec.Config(cfg))); err != nil {
		tb.Fatalf("audittest: install: %v", err)
	}
	return rec
}

// Config gives cfg with the recorder where the records go, for an application that installs auditing itself.
// What is changed:
//
//   - Sink or TxSink, whichever cfg has, is the recorder; with neither, where the embedded store would be,
//     it is TxSink. Table and SkipMigrate, which are the embedded store's, are left out. So Strict and
//     Continue behave as in the application (see Fail).
//   - After is called once the recorder has the records.
//   - Clock is the recorder's if it is nil, and Host is left out if it is empty, so that records are the same
//     in each run.
//   - SkipProbe and SkipSelf are true: there is no store to be probed, and no last start.
func (r *Recorder) Config(cfg audit.Config) audit.Config {
	if cfg.Sink != nil && cfg.TxSink == nil {
		cfg.Sink = sink{r}
	} else {
		cfg.Sink, cfg.TxSink = nil, sink{r}
	}
	cfg.Table, cfg.SkipMigrate = "", false
	cfg.SkipProbe, cfg.SkipSelf = true, true
	if cfg.Clock == nil {
		cfg.Clock = r.Clock.Now
	}
	if cfg.Host == "" {
		cfg.Host = "-"
	}
	after := cfg.After
	cfg.After = func(ctx context.Context, records []event.Record) {
		r.keep(records)
		if after != nil {
			after(ctx, records)
		}
	}
	return cfg
}

// sink is the recorder as an installed one: it keeps nothing before After says that it is committed.
type sink struct{ r *Recorder }

func (s sink) Write(context.Context, []event.Record) error { return s.r.failed() }

func (s sink) WriteTx(context.Context, gorm.ConnPool, []event.Record) error { return s.r.failed() }

// Write keeps the records, as an audit.Sink.
func (r *Recorder) Write(_ context.Context, records []event.Record) error {
	if err := r.failed(); err != nil {
		return err
	}
	r.keep(records)
	return nil
}

func (r *Recorder) keep(records []event.Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil {
		r.records = append(r.records, records...)
	}
}

func (r *Recorder) failed() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// Fail lets each write of records fail with err from now on, as if the store were away: with the policy
// Strict the application's write fails, with Continue its records are lost and counted. Fail(nil) ends it.
func (r *Recorder) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failure = err
}

// Records gives what was committed since the last Reset, in the order of the commits.
func (r *Recorder) Records() Records {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.records)
}

// Reset forgets the records, and gives them.
func (r *Recorder) Reset() Records {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.records
	r.records = nil
	return out
}

// Pending gives the records that a COMMIT of tx would give now, see audit.PendingRecords. The test ends if
// tx is in no transaction.
func (r *Recorder) Pending(tb testing.TB, tx *gorm.DB) Records {
	tb.Helper()
	records, err := audit.PendingRecords(tx)
	if err != nil {
		tb.Fatalf("audittest: %v", err)
	}
	return records
}
