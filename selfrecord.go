package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/store"
)

// Records about auditing itself have the object_type ObjectTypeConfig, the source "audit", and as object_id
// the program: Config.Service, or the name of its file.
const (
	ObjectTypeConfig = "audit_config"
	// ActionConfigure is of a configuration that is not that of the last start: other sinks, scope,
	// policies, masks, limits or registered models. The changes have what is different, extra fields the
	// whole and its hash.
	ActionConfigure Action = "CONFIGURE"
	// ActionDisable is of the first write of a table that is not recorded because its context is one of
	// Skip, and of the first one after Shutdown.
	ActionDisable Action = "DISABLE"

	ExtraConfiguration     = "configuration"
	ExtraConfigurationHash = "configuration_hash"
)

// ConfigKeeper is what a sink may be besides: it keeps the last configuration of a program, so that the
// next start can compare. The embedded store, the spool and the outbox are.
type ConfigKeeper interface {
	// LastConfig gives what KeepConfig was given last for the program, nil if nothing was.
	LastConfig(ctx context.Context, program string) ([]byte, error)
	// KeepConfig keeps the configuration, which is JSON without secrets. It replaces the last one.
	KeepConfig(ctx context.Context, program string, config []byte) error
}

// searcher is what a sink may be besides: its records can be found.
type searcher interface {
	Search(ctx context.Context, q store.Query) (store.Page, error)
}

// selfTimeout bounds how long the application's goroutine waits for a record about auditing itself.
const selfTimeout = 5 * time.Second

// self is what has to be recorded about auditing itself. Whoever writes next does so, when his transaction
// has ended: there may be no other connection before, and what he does may be rolled back.
type self struct {
	// done is one more than the version of the registry whose configuration was compared.
	done    atomic.Uint64
	waiting atomic.Bool // a goroutine will do it
	shut    atomic.Bool // writes after Shutdown were noticed
	inUse   bool        // there were records when db.Use was called

	mu      sync.Mutex
	notices []event.Record
}

// noticeSelf sees to what is due once the transaction of db has ended. It is called for each statement.
func (h *handle) noticeSelf(db *gorm.DB) {
	if h.auditor.cfg.SkipSelf || db == nil || db.Statement == nil {
		return
	}
	s := &h.self
	if s.done.Load() == h.auditor.cfg.Registry.currentVersion()+1 {
		return
	}
	if !s.waiting.CompareAndSwap(false, true) {
		return
	}
	ctx := context.WithoutCancel(contextOf(db))
	if !capture.AtEnd(db, func(bool) {
		defer s.waiting.Store(false)
		h.recordSelf(ctx)
	}) {
		s.waiting.Store(false) // the next statement
	}
}

func contextOf(db *gorm.DB) context.Context {
	if db.Statement.Context != nil {
		return db.Statement.Context
	}
	return context.Background() //nolint:forbidigo // a handle without a context
}

// notice has a record written when the transaction of db has ended; with ifCommitted only if it commits.
func (h *handle) notice(db *gorm.DB, r event.Record, ifCommitted bool) {
	if h.auditor.cfg.SkipSelf {
		return
	}
	s := &h.self
	ctx := context.WithoutCancel(contextOf(db))
	add := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.notices = append(s.notices, r)
	}
	now := capture.AtEnd(db, func(committed bool) {
		// Until one has committed several may wait.
		if !ifCommitted || committed && s.shut.CompareAndSwap(false, true) {
			add()
			h.recordNotices(ctx)
		}
	})
	if !now {
		add()
		s.done.Store(0) // the next statement
	}
}

// recordSelf writes what is due.
func (h *handle) recordSelf(ctx context.Context) {
	version := h.auditor.cfg.Registry.currentVersion()
	// It is tried once: another try would hold up the next statement as long as this one.
	h.self.done.Store(version + 1)
	h.recordNotices(ctx)
	err := guard("the record of the configuration", func() error { return h.recordConfig(ctx) })
	h.auditor.report(ctx, KindConfig, err)
}

func (h *handle) recordNotices(ctx context.Context) {
	h.self.mu.Lock()
	notices := h.self.notices
	h.self.notices = nil
	h.self.mu.Unlock()
	for _, r := range notices {
		h.auditor.report(ctx, KindConfig, h.writeSelf(ctx, r))
	}
}

// program names what runs here.
func (h *handle) program() string {
	if name := h.auditor.cfg.Service; name != "" {
		return name
	}
	return strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe")
}

// recordConfig compares the configuration with that of the last start, and records what is different.
func (h *handle) recordConfig(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	keeper := h.keeper()
	if keeper == nil {
		return nil
	}
	now := h.effective(h.current(ctx))
	last, err := h.lastConfig(ctx, keeper)
	if err != nil {
		return fmt.Errorf("audit: read the configuration of the last start: %w", err)
	}
	if last == nil && !h.self.inUse {
		// There is no start to compare with.
		h.auditor.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "audit: the configuration is kept for the first time", slog.String("configuration_hash", now.hash()))
		return keeper.KeepConfig(ctx, h.program(), now.json())
	}
	changes := now.changes(last)
	if len(changes) == 0 {
		return nil
	}
	r := event.Record{
		Action: ActionConfigure, ObjectType: ObjectTypeConfig, ObjectID: h.program(), ObjectRepr: "audit configuration of " + h.program(),
		ActorType: ActorSystem, Changes: changes,
		Extra: map[string]any{ExtraConfiguration: now, ExtraConfigurationHash: now.hash()},
	}
	rows := make([]event.MessageRow, len(changes))
	for i, c := range changes {
		r.ChangedFields = append(r.ChangedFields, c.Field)
		rows[i] = event.MessageRow{Field: c.Field, OldValue: c.Old, NewValue: c.New}
		for _, v := range []*[]byte{(*[]byte)(&rows[i].OldValue), (*[]byte)(&rows[i].NewValue)} {
			if *v == nil {
				*v = null
			}
		}
	}
	r.ChangeMessage = event.TableMessage(rows)
	if last == nil {
		r.ChangeMessage = event.TextMessage("The trail is in use, and nothing is known of the configuration of the last start")
	}
	if err := h.writeSelf(ctx, r); err != nil {
		return err
	}
	return keeper.KeepConfig(ctx, h.program(), now.json())
}

// lastConfig gives the configuration that was recorded last, or else was kept, nil if there is none. What is in
// the trail counts more: it is harder to change.
func (h *handle) lastConfig(ctx context.Context, keeper ConfigKeeper) (effective, error) {
	if s := h.searcher(); s != nil {
		page, err := s.Search(ctx, store.Query{Size: 1, TotalLimit: -1, Filters: []store.Filter{
			{Field: store.FieldObjectType, Values: []string{ObjectTypeConfig}},
			{Field: store.FieldObjectID, Values: []string{h.program()}},
			{Field: store.FieldAction, Values: []string{string(ActionConfigure)}},
		}})
		if err != nil {
			return nil, err
		}
		if len(page.Records) > 0 {
			return effectiveOf(encode(page.Records[0].Extra[ExtraConfiguration])), nil
		}
	}
	data, err := keeper.LastConfig(ctx, h.program())
	if err != nil || data == nil {
		return nil, err
	}
	return effectiveOf(data), nil
}

func (h *handle) searcher() searcher {
	for _, sink := range []any{h.txSink, h.auditor.cfg.Sink} {
		if s, ok := sink.(searcher); ok {
			return s
		}
	}
	return nil
}

// lookAtTrail finds out whether there are records already, before there are those of this program.
func (h *handle) lookAtTrail(ctx context.Context) error {
	s := h.searcher()
	if s == nil || h.auditor.cfg.SkipSelf {
		return nil
	}
	page, err := s.Search(ctx, store.Query{Size: 1, TotalLimit: -1, Filters: []store.Filter{{Field: store.FieldObjectType, Values: []string{ObjectTypeConfig}, Not: true}}})
	h.self.inUse = len(page.Records) > 0
	return err
}

// keeper gives the sink that keeps configurations, nil if there is none.
func (h *handle) keeper() ConfigKeeper {
	for _, sink := range []any{h.txSink, h.auditor.cfg.Sink} {
		if k := keeperOf(sink); k != nil {
			return k
		}
	}
	return nil
}

func keeperOf(sink any) ConfigKeeper {
	if t, ok := sink.(tee); ok {
		for _, s := range t {
			if k := keeperOf(s); k != nil {
				return k
			}
		}
		return nil
	}
	k, _ := sink.(ConfigKeeper)
	return k
}

// writeSelf writes a record about auditing itself: also after Shutdown, and without asking the
// application's hook, which could veto it.
func (h *handle) writeSelf(ctx context.Context, r event.Record) error {
	ctx, cancel := context.WithTimeout(ctx, selfTimeout)
	defer cancel()
	cfg := &h.auditor.cfg
	r.SchemaVersion, r.Source = event.SchemaVersion, "audit"
	r.Service, r.Environment, r.Host = cfg.Service, cfg.Environment, cfg.Host
	if r.Timestamp.IsZero() {
		r.Timestamp = cfg.Clock().UTC()
	}
	records := []event.Record{r}
	h.seal(&unit{records: records}, false)
	var errs []error
	if h.txSink != nil {
		errs = append(errs, h.inTx(ctx, func(conn gorm.ConnPool) error {
			return guard("sink "+sinkName(h.txSink), func() error { return h.txSink.WriteTx(ctx, conn, records) })
		}))
	}
	if cfg.Sink != nil {
		errs = append(errs, write(ctx, cfg.Sink, records, nil, false))
	}
	if err := errors.Join(errs...); err != nil {
		h.auditor.counters.failed.Add(1)
		return &DeliverError{Records: 1, Err: err}
	}
	h.auditor.counters.emitted.Add(1)
	h.after(ctx, records)
	return nil
}

// inTx runs f in a transaction of its own.
func (h *handle) inTx(ctx context.Context, f func(conn gorm.ConnPool) error) error {
	return h.db.WithContext(ctx).Transaction(func(tx *gorm.DB) error { return f(tx.Statement.ConnPool) })
}

// noticeSkip is for the first write of a table in a context of Skip.
func (h *handle) noticeSkip(db *gorm.DB, table string) {
	what := "Writes of " + table
	if table == "" {
		what = "Entries without a table"
	}
	h.notice(db, h.disabled(db, table, what+" are not recorded: their context is one of Skip"), false)
}

// noticeShutdown is for the first write after Shutdown.
func (h *handle) noticeShutdown(db *gorm.DB, table string) {
	if !h.self.shut.Load() {
		h.notice(db, h.disabled(db, table, "Auditing is shut down, and writes follow, of "+table+" first"), true)
	}
}

func (h *handle) disabled(db *gorm.DB, table, text string) event.Record {
	w, err := whoOf(contextOf(db))
	h.auditor.report(contextOf(db), KindModel, err)
	r := event.Record{
		Action: ActionDisable, ObjectType: ObjectTypeConfig, ObjectID: h.program(), ObjectRepr: "audit configuration of " + h.program(),
		ChangeMessage: event.TextMessage(text), Table: table, Timestamp: h.auditor.cfg.Clock().UTC(),
	}
	w.fill(&r)
	h.maskExtra(&r)
	r.Reason, _ = h.auditor.rules.Document(r.Reason)
	return r
}
