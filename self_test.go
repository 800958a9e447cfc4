package audit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// quiet is a logger for those who log what is meant.
var quiet = slog.New(slog.DiscardHandler)

// start is what an application does when it begins: a handle of its own on the database, the plugin, the
// models, and a write.
func start(t *testing.T, d gorm.Dialector, cfg audit.Config, register func(r *audit.Registry)) *gorm.DB {
	t.Helper()
	db := open(t, d, &gorm.Config{})
	cfg.Registry = audit.NewRegistry()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	if cfg.Service == "" {
		cfg.Service = "crm"
	}
	must(t, db.Use(audit.New(cfg)))
	// As the README has it: after db.Use.
	must(t, cfg.Registry.Register(&Boss{}))
	if register != nil {
		register(cfg.Registry)
	}
	must(t, db.AutoMigrate(&Boss{}, &Helper{}, &Customer{}))
	must(t, db.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "7"})).Create(&Boss{Name: "b"}).Error)
	return db
}

// configured gives the records about auditing itself of a trail, oldest first.
func configured(t *testing.T, db *gorm.DB) []event.Record {
	t.Helper()
	trail, err := sqlstore.New(db, sqlstore.Config{})
	must(t, err)
	page, err := trail.Search(t.Context(), store.Query{Ascending: true, Size: 100, Filters: []store.Filter{{Field: store.FieldObjectType, Values: []string{audit.ObjectTypeConfig}}}}.WithDefaults())
	must(t, err)
	return page.Records
}

// differences gives what the changes of a record say.
func differences(r event.Record) string {
	var b strings.Builder
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "%s: %s -> %s\n", c.Field, c.Old, c.New)
	}
	return b.String()
}

// TestSelf_changesAgainstTheLastStart: whatever decides about the records is a record itself when it is not
// what it was, and only then.
func TestSelf_changesAgainstTheLastStart(t *testing.T) {
	t.Parallel()
	for _, o := range openers {
		t.Run(o.name, func(t *testing.T) {
			t.Parallel()
			d := o.open(t)
			helper := func(opts ...audit.Option) func(*audit.Registry) {
				return func(r *audit.Registry) { must(t, r.Register(&Helper{}, opts...)) }
			}
			key := []byte(hashKey)
			for i, c := range []struct {
				name     string
				cfg      audit.Config
				register func(*audit.Registry)
				want     string // none: no record
			}{
				{"the first start", audit.Config{}, nil, ""},
				{"the same", audit.Config{}, nil, ""},
				{"a scope", audit.Config{Scope: audit.ScopeAll}, nil, "scope: \"context\" -> \"all\"\n"},
				{"the same again", audit.Config{Scope: audit.ScopeAll}, nil, ""},
				{"a policy", audit.Config{Scope: audit.ScopeAll, Policy: audit.Strict}, nil, "policy: \"Continue\" -> \"Strict\"\n"},
				{"policies of actions", audit.Config{Scope: audit.ScopeAll, Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN"}, Policy: audit.Critical}}}, nil, "policies: {} -> {\"all LOGIN\":\"Strict\"}\npolicy: \"Strict\" -> \"Continue\"\n"},
				{"back", audit.Config{}, nil, "policies: {\"all LOGIN\":\"Strict\"} -> {}\nscope: \"all\" -> \"context\"\n"},
				{"another model", audit.Config{}, helper(), `model audit_test.helper:  -> {"table":"helpers","columns":["boss_id","id","name"]}` + "\n"},
				{"a mask", audit.Config{}, helper(audit.Mask("Name")), "model audit_test.helper: {\"columns\":[\"boss_id\",\"id\",\"name\"],\"table\":\"helpers\"} -> {\"table\":\"helpers\",\"columns\":[\"boss_id\",\"id\",\"name: mask\"]}\n"},
				{"a hash", audit.Config{}, helper(audit.MaskHash(key, "Name"), audit.Target(&Boss{}), audit.Exclude("BossID")), "model audit_test.helper: {\"columns\":[\"boss_id\",\"id\",\"name: mask\"],\"table\":\"helpers\"} -> {\"table\":\"helpers\",\"targets\":[\"audit_test.boss\"],\"columns\":[\"id\",\"name: mask by a hash\"],\"excluded\":[\"boss_id\"]}\n"},
				{"names", audit.Config{MaskNames: []string{"name"}, KeepValuePatterns: true}, helper(audit.Unmask("Name")), "keep_value_patterns: false -> true\nmask_names: [] -> [\"name\"]\nmodel audit_test.boss"},
				{"the models are gone", audit.Config{}, nil, "model audit_test.helper: {\"columns\":[\"boss_id\",\"id\",\"name: unmask\"],\"table\":\"helpers\"} -> \n"},
				{"another program", audit.Config{Service: "worker"}, nil, "unknown"},
				{"another program again", audit.Config{Service: "worker"}, nil, ""},
				{"the first one again", audit.Config{}, nil, ""},
				{"no probe, and a hook", audit.Config{SkipProbe: true, Before: func(context.Context, *event.Record) bool { return true }}, nil, "before: false -> true\nstart_probe: true -> false\n"},
				{"nothing is said", audit.Config{SkipSelf: true, Scope: audit.ScopeAll}, nil, ""},
			} {
				before := 0
				if i > 0 {
					before = len(configured(t, open(t, d, &gorm.Config{})))
				}
				db := start(t, d, c.cfg, c.register)
				records := configured(t, db)[before:]
				switch {
				case c.want == "" && len(records) == 0:
				case c.want == "unknown" && len(records) == 1 && strings.Contains(string(records[0].ChangeMessage.JSON()), "nothing is known"):
				case c.want != "" && len(records) == 1 && strings.Contains(differences(records[0]), c.want):
				default:
					t.Errorf("%s: %d records, want %q", c.name, len(records), c.want)
					for _, r := range records {
						t.Errorf("%s", differences(r))
					}
				}
				for _, r := range records {
					data, err := event.Encode(r)
					must(t, err)
					if hash, err := event.ContentHash(r); err != nil || hash != r.RecordHash || r.Action != audit.ActionConfigure || r.Source != "audit" || r.ActorType != audit.ActorSystem || strings.Contains(string(data), hashKey) {
						t.Errorf("%s: %s", c.name, data)
					}
				}
				if errs := audit.From(db).Stats().Errors; len(errs) != 0 {
					t.Errorf("%s: %v", c.name, errs)
				}
			}
		})
	}
}

// TestSelf_kept: a spool and an outbox cannot be searched, and know the last configuration all the same.
func TestSelf_kept(t *testing.T) {
	t.Parallel()
	for _, o := range openers {
		for _, kind := range []string{"spool", "outbox"} {
			t.Run(o.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				d, dir := o.open(t), t.TempDir()
				for i, c := range []struct {
					scope audit.Scope
					want  int
				}{{audit.ScopeContext, 0}, {audit.ScopeContext, 0}, {audit.ScopeAll, 1}, {audit.ScopeAll, 0}} {
					rec := &recorder{}
					cfg := audit.Config{Scope: c.scope}
					end := func() {}
					if kind == "spool" {
						queue, err := spool.Open(dir, spool.Config{})
						must(t, err)
						end = func() { must(t, queue.Close()) }
						cfg.Sink = audit.Tee(rec, queue)
					} else {
						box, err := outbox.New(open(t, d, &gorm.Config{}), outbox.Config{})
						must(t, err)
						cfg.Sink, cfg.TxSink = rec, box
					}
					start(t, d, cfg, nil)
					end()
					if len(rec.self) != c.want || i == 2 && differences(rec.self[0]) != "scope: \"context\" -> \"all\"\n" {
						t.Errorf("start %d: %d records about the configuration, want %d:\n%s", i, len(rec.self), c.want, lines(rec.self))
					}
				}
			})
		}
	}
}

// TestSelf_notComparable: with a sink of which nothing is known nothing is said.
func TestSelf_notComparable(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	start(t, openers[0].open(t), audit.Config{Sink: rec}, nil)
	if len(rec.self) != 0 {
		t.Error(lines(rec.self))
	}
}

// TestSelf_models_registeredLater, and a model that is written by nobody, are seen at the next statement of
// any table.
func TestSelf_models_registeredLater(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db := start(t, plain.Dialector, audit.Config{}, nil)
		must(t, audit.From(db).Registry().Register(&Customer{}))
		must(t, db.AutoMigrate(&Tag{}))
		must(t, db.Create(&Tag{Name: "not registered"}).Error)
		records := configured(t, db)
		if len(records) != 1 || !strings.HasPrefix(differences(records[0]), "model audit_test.customer:  -> {") {
			t.Errorf("%d records:\n%s", len(records), lines(records))
		}
	})
}

// TestSelf_isNotRolledBack: the first statement is in a transaction that is.
func TestSelf_isNotRolledBack(t *testing.T) {
	t.Parallel()
	for _, prepare := range []bool{false, true} {
		each(t, func(t *testing.T, plain *gorm.DB) {
			db := open(t, plain.Dialector, &gorm.Config{PrepareStmt: prepare})
			pool, err := db.DB()
			must(t, err)
			pool.SetMaxOpenConns(1) // whoever asks for a second connection waits for ever
			reg := bosses(t, db)
			must(t, db.Use(audit.New(audit.Config{Registry: reg, Logger: quiet})))
			_ = db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.WithContext(audit.Skip(t.Context())).Create(&Boss{}).Error)
				return errors.New("undone")
			})
			records := configured(t, db)
			if len(records) != 1 || records[0].Action != audit.ActionDisable {
				t.Errorf("%d records:\n%s", len(records), lines(records))
			}
			if errs := audit.From(db).Stats().Errors; len(errs) != 0 {
				t.Errorf("%v", errs)
			}
		})
	}
}

// TestSelf_switchedOff: that somebody's writes are not recorded is.
func TestSelf_switchedOff(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db := start(t, plain.Dialector, audit.Config{}, func(r *audit.Registry) { must(t, r.Register(&Customer{})) })
		ctx := audit.WithReason(audit.WithActor(t.Context(), audit.Actor{ID: "9", Username: "eve"}), "seed, password=hunter2")
		skip := db.WithContext(audit.Skip(ctx))
		for range 3 {
			must(t, skip.Create(&Boss{Name: "x"}).Error)
			must(t, skip.Create(&Customer{Name: "x"}).Error)
		}
		must(t, audit.Log(skip, audit.Entry{Action: "LOGIN"}))
		auditor := audit.From(db)
		must(t, auditor.Shutdown(t.Context()))
		_ = db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Boss{}).Error)
			return errors.New("undone")
		})
		for range 2 {
			must(t, db.WithContext(ctx).Create(&Boss{}).Error)
		}
		records := configured(t, db)
		var got []string
		for _, r := range records {
			text, _ := r.ChangeMessage.Text()
			got = append(got, fmt.Sprintf("%s %s by %s: %s (%s)", r.Action, r.Table, r.Username, text, r.Reason))
		}
		want := []string{
			"DISABLE bosses by eve: Writes of bosses are not recorded: their context is one of Skip (seed, password=[REDACTED])",
			"DISABLE customers by eve: Writes of customers are not recorded: their context is one of Skip (seed, password=[REDACTED])",
			"DISABLE  by eve: Entries without a table are not recorded: their context is one of Skip (seed, password=[REDACTED])",
			"DISABLE bosses by eve: Auditing is shut down, and writes follow, of bosses first (seed, password=[REDACTED])",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if s := auditor.Stats(); s.Failed != 2 || s.Skipped["bosses"][audit.SkipAsked] != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// TestSelf_ConcurrentSafe: many begin at once, and one says so.
func TestSelf_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := bosses(t, plain)
		must(t, plain.Use(audit.New(audit.Config{Registry: reg, Scope: audit.ScopeAll, Logger: quiet})))
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				db := plain
				if i%4 == 0 {
					db = plain.WithContext(audit.Skip(t.Context()))
				}
				for range 3 {
					if err := db.Create(&Boss{Name: "b"}).Error; err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if records := configured(t, plain); len(records) != 1 {
			t.Errorf("%d records, want the one of Skip:\n%s", len(records), lines(records))
		}
	})
}

// TestProbe: db.Use finds out that nothing can be recorded, with Strict by an error.
func TestProbe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		must(t, plain.AutoMigrate(&Boss{}))
		for _, c := range []struct {
			name  string
			cfg   audit.Config
			fails bool
			told  int64
		}{
			{"continue", audit.Config{}, false, 1},
			{"strict", audit.Config{Policy: audit.Strict}, true, 0},
			{"strict for something", audit.Config{Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN"}, Policy: audit.Strict}}}, true, 0},
			{"not asked", audit.Config{Policy: audit.Strict, SkipProbe: true}, false, 0},
		} {
			c.cfg.Registry, c.cfg.Logger, c.cfg.SkipMigrate = audit.NewRegistry(), quiet, true // and nobody makes the table
			auditor := audit.New(c.cfg)
			err := open(t, plain.Dialector, &gorm.Config{}).Use(auditor)
			if c.fails != (err != nil) || err != nil && !strings.Contains(err.Error(), "audit: the probe at start: write: ") {
				t.Errorf("%s: %v", c.name, err)
			}
			if n := auditor.Stats().Errors[audit.KindProbe]; n != c.told {
				t.Errorf("%s: told %d times, want %d", c.name, n, c.told)
			}
		}
		// What is written is read back, and nothing of it stays.
		trail := newTrail(t, plain)
		must(t, open(t, plain.Dialector, &gorm.Config{}).Use(audit.New(audit.Config{Registry: audit.NewRegistry(), Policy: audit.Strict})))
		page, err := trail.Search(t.Context(), store.Query{}.WithDefaults())
		must(t, err)
		if len(page.Records) != 0 {
			t.Error(lines(page.Records))
		}
		err = open(t, plain.Dialector, &gorm.Config{}).Use(audit.New(audit.Config{Registry: audit.NewRegistry(), TxSink: forgetful{trail}, Policy: audit.Strict}))
		if !errors.Is(err, store.ErrNotFound) {
			t.Errorf("a sink that forgets: %v", err)
		}
		err = open(t, plain.Dialector, &gorm.Config{}).Use(audit.New(audit.Config{Registry: audit.NewRegistry(), TxSink: changing{trail}, Policy: audit.Strict}))
		if err == nil || !strings.Contains(err.Error(), "not the one that was written") {
			t.Errorf("a sink that changes what it takes: %v", err)
		}
	})
}

// forgetful takes records and has none.
type forgetful struct{ *sqlstore.Store }

func (forgetful) WriteTx(context.Context, gorm.ConnPool, []event.Record) error { return nil }

// changing writes something else.
type changing struct{ *sqlstore.Store }

func (c changing) WriteTx(ctx context.Context, conn gorm.ConnPool, records []event.Record) error {
	other := records[0]
	other.UserID = "somebody else"
	return c.Store.WriteTx(ctx, conn, []event.Record{other})
}
