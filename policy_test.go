package audit_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// TestPolicies_perModelAndAction: the embedded store loses its table, and only what must not happen
// unrecorded fails.
func TestPolicies_perModelAndAction(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Customer{}, audit.UsePolicy(audit.Critical, audit.ActionDelete)))
		must(t, reg.Register(&Boss{}, audit.UsePolicy(audit.Strict)))
		must(t, reg.Register(&Helper{}))
		must(t, reg.Register(&Tag{}, audit.UsePolicy(audit.Strict), audit.UsePolicy(audit.Standard, "UPDATE")))
		must(t, plain.AutoMigrate(reg.Models()...))
		must(t, plain.Use(audit.New(audit.Config{
			Registry: reg, Scope: audit.ScopeAll, Logger: slog.New(slog.DiscardHandler),
			Policies: []audit.PolicyRule{{Model: "audit_test.helper", Actions: []audit.Action{"create"}, Policy: audit.Critical}, {Actions: []audit.Action{"EXPORT"}, Policy: audit.Strict}},
		})))
		must(t, plain.Create(&Customer{ID: 1, Name: "Ada"}).Error)
		must(t, plain.Create(&Boss{ID: 1, Name: "B"}).Error)
		must(t, plain.Create(&Helper{ID: 1, Name: "h", BossID: 1}).Error)
		must(t, plain.Create(&Tag{ID: 1, Name: "red"}).Error)
		for _, table := range []string{"audit_logs"} {
			must(t, plain.Exec("ALTER TABLE "+table+" RENAME TO lost_"+table).Error)
		}
		failed := audit.From(plain).Stats().Failed
		for _, c := range []struct {
			name  string
			act   func(db *gorm.DB) error
			fails bool
		}{
			{"a change of a customer", func(db *gorm.DB) error { return db.Model(&Customer{ID: 1}).Update("phone", "1").Error }, false},
			{"a customer that goes", func(db *gorm.DB) error { return db.Delete(&Customer{ID: 1}).Error }, true},
			{"another customer", func(db *gorm.DB) error { return db.Create(&Customer{ID: 2}).Error }, false},
			{"a boss", func(db *gorm.DB) error { return db.Create(&Boss{ID: 2}).Error }, true},
			{"a helper by the configuration", func(db *gorm.DB) error { return db.Create(&Helper{ID: 2}).Error }, true},
			{"a change of a helper", func(db *gorm.DB) error { return db.Model(&Helper{ID: 1}).Update("name", "i").Error }, false},
			{"a tag", func(db *gorm.DB) error { return db.Delete(&Tag{ID: 1}).Error }, true},
			{"a change of a tag", func(db *gorm.DB) error { return db.Model(&Tag{ID: 1}).Update("name", "i").Error }, false},
			{"a transaction with one that is strict", func(db *gorm.DB) error {
				return db.Transaction(func(tx *gorm.DB) error {
					must(t, tx.Create(&Customer{ID: 3}).Error)
					must(t, tx.Delete(&Boss{ID: 1}).Error)
					return tx.Create(&Customer{ID: 4}).Error
				})
			}, true},
			{"a strict one that a savepoint took back", func(db *gorm.DB) error {
				return db.Transaction(func(tx *gorm.DB) error {
					_ = tx.Transaction(func(tx *gorm.DB) error {
						must(t, tx.Delete(&Boss{ID: 1}).Error)
						return errors.New("undone")
					})
					return tx.Create(&Customer{ID: 5}).Error
				})
			}, false},
			{"an export", func(db *gorm.DB) error { return audit.Log(db, audit.Entry{Action: "EXPORT", Object: &Customer{ID: 1}}) }, true},
			{"a print", func(db *gorm.DB) error { return audit.Log(db, audit.Entry{Action: "PRINT", Object: &Customer{ID: 1}}) }, false},
		} {
			err := c.act(plain)
			var lost *audit.DeliverError
			if c.fails != errors.As(err, &lost) || !c.fails && err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		var ids []uint
		must(t, plain.Unscoped().Model(&Customer{}).Where("deleted_at IS NULL").Order("id").Pluck("id", &ids).Error)
		var bosses, helpers, tags int64
		must(t, plain.Model(&Boss{}).Count(&bosses).Error)
		must(t, plain.Model(&Helper{}).Count(&helpers).Error)
		must(t, plain.Model(&Tag{}).Count(&tags).Error)
		if len(ids) != 3 || ids[2] != 5 || bosses != 1 || helpers != 1 || tags != 1 {
			t.Errorf("customers %v, %d bosses, %d helpers, %d tags", ids, bosses, helpers, tags)
		}
		if n := audit.From(plain).Stats().Failed - failed; n != 6 {
			t.Errorf("%d counted as failed, want 6", n)
		}
	})
}

// TestPolicies_strictAndAllElse: the default is Strict, and one model is let off.
func TestPolicies_strictAndAllElse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Customer{}, audit.UsePolicy(audit.Continue)))
		must(t, reg.Register(&Boss{}))
		must(t, plain.AutoMigrate(reg.Models()...))
		must(t, plain.Use(audit.New(audit.Config{Registry: reg, Scope: audit.ScopeAll, Policy: audit.Strict, Logger: slog.New(slog.DiscardHandler)})))
		must(t, plain.Exec("ALTER TABLE audit_logs RENAME TO lost").Error)
		must(t, plain.Transaction(func(tx *gorm.DB) error { return tx.Create(&Customer{}).Error }))
		if err := plain.Create(&Boss{}).Error; err == nil {
			t.Error("a boss without a record")
		}
		if n := count(t, plain); n != 1 {
			t.Errorf("%d customers, want 1", n)
		}
	})
}

// TestExtra_thatPanics_costsNoRecord, not even with Strict.
func TestExtra_thatPanics_costsNoRecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		sink := &failing{}
		db, _ := setup(t, plain, audit.Config{TxSink: sink, Policy: audit.Strict})
		circle := map[string]any{}
		circle["again"] = circle
		ctx := audit.WithExtra(db.Statement.Context, audit.Fields{"x": panicsAsText{}, "y": circle})
		must(t, db.WithContext(ctx).Create(&Customer{Name: "a"}).Error)
		if sink.calls != 1 {
			t.Errorf("%d calls, want 1", sink.calls)
		}
	})
}

type panicsAsText struct{}

func (panicsAsText) MarshalText() ([]byte, error) { panic("text") }

// quick is a sink that makes a difference.
type quick struct {
	recorder
	quickly int
}

func (q *quick) WriteBestEffort(ctx context.Context, records []event.Record) error {
	q.quickly += len(records)
	return q.Write(ctx, records)
}

func TestPolicies_bestEffort(t *testing.T) {
	t.Parallel()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Customer{}))
	must(t, reg.Register(&Boss{}, audit.UsePolicy(audit.Telemetry)))
	sink := &quick{}
	plainSink := &recorder{}
	db, _ := setup(t, open(t, openers[0].open(t), &gorm.Config{}), audit.Config{Registry: reg, Sink: audit.Tee(sink, plainSink), Policies: []audit.PolicyRule{{Actions: []audit.Action{"VIEW"}, Policy: audit.Telemetry}}})
	must(t, db.Create(&Boss{}).Error)
	must(t, audit.Log(db, audit.Entry{Action: "VIEW", Object: &Customer{ID: 1}}))
	if sink.quickly != 2 {
		t.Errorf("%d written without waiting, want 2", sink.quickly)
	}
	// With one that is worth waiting for they are all waited for.
	must(t, db.Transaction(func(tx *gorm.DB) error {
		must(t, tx.Create(&Boss{}).Error)
		return tx.Create(&Customer{}).Error
	}))
	if sink.quickly != 2 || len(sink.take()) != 4 || len(plainSink.take()) != 4 {
		t.Errorf("%d written without waiting, want 2", sink.quickly)
	}
}

// volatile is a sink that says it is not durable.
type volatile struct{ recorder }

func (*volatile) Durable() bool { return false }

func TestPolicies_mistakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		opts []audit.Option
		cfg  audit.Config
		want []string // none: no error
	}{
		{"unknown", []audit.Option{audit.UsePolicy(7, "X")}, audit.Config{Policies: []audit.PolicyRule{{Policy: -1}}}, []string{"model audit_test.Boss: UsePolicy is 7", "Config.Policies[0].Policy is -1, want Continue, Strict or BestEffort"}},
		{"bad words", []audit.Option{audit.UsePolicy(audit.Strict, "two words")}, audit.Config{Policies: []audit.PolicyRule{{Model: 3}, {Model: " "}, {Actions: []audit.Action{"-"}}}}, []string{`UsePolicy has the action "two words"`, "Config.Policies[0].Model is a int", "Config.Policies[1].Model is empty", `Config.Policies[2].Policy has the action "-"`}},
		{"contradiction", []audit.Option{audit.UsePolicy(audit.Strict, "DELETE")}, audit.Config{Policies: []audit.PolicyRule{{Model: &Boss{}, Actions: []audit.Action{"DELETE"}, Policy: audit.Continue}}}, []string{"model audit_test.Boss: UsePolicy is Strict, but Config.Policies[0].Policy is Continue"}},
		{"said twice", []audit.Option{audit.UsePolicy(audit.Strict, "DELETE")}, audit.Config{Policies: []audit.PolicyRule{{Model: &Boss{}, Actions: []audit.Action{"DELETE"}, Policy: audit.Strict}}}, nil},
		{"after COMMIT", []audit.Option{audit.UsePolicy(audit.Strict)}, audit.Config{Sink: &recorder{}, Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN", "DELETE"}, Policy: audit.Strict}}}, []string{"model audit_test.Boss: UsePolicy is Strict, but Config.Sink takes records after COMMIT", "Config.Policies[0].Policy is Strict, but Config.Sink"}},
		{"acts without a transaction", nil, audit.Config{Sink: &recorder{}, Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN", "EXPORT"}, Policy: audit.Strict}}}, nil},
		{"acts in a sink that forgets", []audit.Option{audit.UsePolicy(audit.Strict, "EXPORT")}, audit.Config{Sink: &volatile{}, Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN"}, Policy: audit.Strict}}}, []string{"model audit_test.Boss: UsePolicy is Strict, but Config.Sink, *audit_test.volatile, keeps records in memory", "Config.Policies[0].Policy is Strict, but Config.Sink, *audit_test.volatile, keeps records in memory or does not sync them: use a spool"}},
		{"acts in two that forget", nil, audit.Config{Sink: audit.Tee(&volatile{}, audit.Tee(&volatile{})), Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN"}, Policy: audit.Strict}}}, []string{"keeps records in memory"}},
		{"acts in one that forgets and one that does not", nil, audit.Config{Sink: audit.Tee(&volatile{}, &recorder{}), Policies: []audit.PolicyRule{{Actions: []audit.Action{"LOGIN"}, Policy: audit.Strict}}}, nil},
		{"beside a sink in the transaction", nil, audit.Config{Sink: &recorder{}, TxSink: &failing{}, Policy: audit.Strict}, nil},
	} {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Boss{}, c.opts...))
		c.cfg.Registry = reg
		err := open(t, openers[0].open(t), &gorm.Config{}).Use(audit.New(c.cfg))
		if len(c.want) == 0 && err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v\nwant %s", c.name, err, want)
			}
		}
	}
	if s := audit.Policy(7).String() + audit.Critical.String() + audit.Standard.String() + audit.Telemetry.String(); s != "Policy(7)StrictContinueBestEffort" {
		t.Error(s)
	}
}
