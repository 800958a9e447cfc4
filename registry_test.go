package audit_test

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit"
)

type Category struct{ ID uint }

type URLAlias struct {
	ID  uint
	URL string
}

// customer has the name of Customer in lower case.
type customer struct {
	ID uint
}

type badTag struct {
	ID   uint
	Name string `audit:"hide"`
	Nick string `audit:"label:"`
}

type selfNamed struct {
	ID   uint
	Name string
}

func (selfNamed) AuditRepr() string { return "myself" }

type panics struct{ ID uint }

func (panics) AuditLogTarget() string { panic("no") }

func TestRegistry_info(t *testing.T) {
	t.Parallel()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Dependent{}, audit.AppLabel("HRM"), audit.TypeName("EmployeeDependent")))
	must(t, reg.Register(Category{}))
	must(t, reg.Register(&URLAlias{}, audit.VerboseName("alias", "aliases of URLs")))
	must(t, reg.Register(&selfNamed{}, audit.TypeName("Self_Named"), audit.VerboseNamePlural("selves")))

	want := []audit.Info{
		{AppLabel: "audit_test", ModelName: "category", VerboseName: "Category", VerboseNamePlural: "Categories"},
		{AppLabel: "audit_test", ModelName: "self_named", VerboseName: "Self Named", VerboseNamePlural: "selves"},
		{AppLabel: "audit_test", ModelName: "urlalias", VerboseName: "alias", VerboseNamePlural: "aliases of URLs"},
		{AppLabel: "hrm", ModelName: "employeedependent", VerboseName: "Employee Dependent", VerboseNamePlural: "Employee Dependents"},
	}
	if diff := cmp.Diff(want, reg.AllInfo()); diff != "" {
		t.Errorf("AllInfo (-want +got):\n%s", diff)
	}
	for _, model := range []any{&Dependent{}, Dependent{}, &[]Dependent{}, []*Dependent{}, (*Dependent)(nil)} {
		if !reg.IsRegistered(model) {
			t.Errorf("IsRegistered(%T) = false", model)
		}
	}
	for _, model := range []any{nil, 1, "dependent", &Employee{}, struct{}{}} {
		if reg.IsRegistered(model) {
			t.Errorf("IsRegistered(%T) = true", model)
		}
	}
	info, err := reg.Info(&Dependent{})
	if err != nil || info != want[3] {
		t.Errorf("Info = %+v, %v", info, err)
	}
	ct, err := reg.ContentType(&Dependent{})
	if err != nil || ct.String() != "hrm.employeedependent" {
		t.Errorf("ContentType = %v, %v", ct, err)
	}
	if _, err := reg.Info(&Employee{}); !errors.Is(err, audit.ErrNotRegistered) || !strings.Contains(err.Error(), "Employee") {
		t.Errorf("Info of an unknown model: %v", err)
	}
	if _, err := reg.ContentType(nil); !errors.Is(err, audit.ErrNotRegistered) {
		t.Errorf("ContentType of nil: %v", err)
	}
	var types []string
	for _, m := range reg.Models() {
		types = append(types, fmt.Sprintf("%T", m))
	}
	if diff := cmp.Diff([]string{"*audit_test.Dependent", "*audit_test.Category", "*audit_test.URLAlias", "*audit_test.selfNamed"}, types); diff != "" {
		t.Errorf("Models (-want +got):\n%s", diff)
	}
}

func TestRegister_mistakes(t *testing.T) {
	t.Parallel()
	type inner struct{ City string }
	type withInner struct {
		ID      uint
		Address inner `gorm:"embedded;embeddedPrefix:home_"`
	}
	cases := []struct {
		name  string
		model any
		opts  []audit.Option
		want  []string // in the error; none: no error
	}{
		{"nil", nil, nil, []string{"<nil> is no model"}},
		{"no struct", 7, nil, []string{"int is no model"}},
		{"no name", &struct{ ID uint }{}, nil, []string{"TypeName", "AppLabel"}},
		{"named by options", &struct{ ID uint }{}, []audit.Option{audit.TypeName("Thing"), audit.AppLabel("app")}, nil},
		{"unknown fields", &Category{}, []audit.Option{audit.Mask("Pasword"), audit.Exclude("Nope"), audit.Label("Fone", "x"), audit.Unmask("U"), audit.MaskFunc("F", func(any) any { return nil })}, []string{`"Pasword"`, `"Nope"`, `"Fone"`, `"U"`, `"F"`}},
		{"fields by name and column", &Customer{}, []audit.Option{audit.Mask("Phone", "email"), audit.Exclude("updated_at")}, nil},
		{"embedded fields", &withInner{}, []audit.Option{audit.Mask("City"), audit.Exclude("Address.City"), audit.Label("home_city", "City")}, nil},
		{"bad tags", &badTag{}, nil, []string{`"hide"`, `empty label`, "Nick"}},
		{"empty target", &Category{}, []audit.Option{audit.Target(" ")}, []string{"target is empty"}},
		{"odd target", &Category{}, []audit.Option{audit.Target(3)}, []string{"target is a int"}},
		{"bad name", &Category{}, []audit.Option{audit.TypeName("a b"), audit.AppLabel("a.b")}, []string{`"a b"`, `"a.b"`}},
		{"nil option", &Category{}, []audit.Option{nil}, []string{"option is nil"}},
		{"nil masker", &Category{}, []audit.Option{audit.MaskFunc("ID", nil)}, []string{"MaskFunc"}},
		{"panicking method", &panics{}, nil, []string{"AuditLogTarget"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := audit.NewRegistry().Register(c.model, c.opts...)
			if len(c.want) == 0 {
				must(t, err)
				return
			}
			if !errors.Is(err, audit.ErrRegistration) {
				t.Fatalf("error %v, want ErrRegistration", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not name %q", err, w)
				}
			}
		})
	}
}

func TestRegister_clashes(t *testing.T) {
	t.Parallel()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Customer{}, audit.Mask("Phone")))
	must(t, reg.Register(&Customer{}))
	must(t, reg.Register(Customer{}, audit.Mask("Phone")))
	if err := reg.Register(&Customer{}, audit.Mask("Email")); !errors.Is(err, audit.ErrRegistration) {
		t.Errorf("other options: %v", err)
	}
	err := reg.Register(&customer{})
	if !errors.Is(err, audit.ErrRegistration) || !strings.Contains(err.Error(), `"customer"`) {
		t.Errorf("one object_type for two models: %v", err)
	}
	if err := reg.Register(&customer{}, audit.AppLabel("other")); !errors.Is(err, audit.ErrRegistration) {
		t.Errorf("another app does not make another object_type: %v", err)
	}
	must(t, reg.Register(&customer{}, audit.TypeName("SmallCustomer")))
	if len(reg.Models()) != 2 {
		t.Errorf("%d models, want 2", len(reg.Models()))
	}
}

type boss struct {
	ID   uint
	Name string
}

type worker struct {
	ID         uint
	First      *boss
	FirstID    uint
	Second     *boss
	SecondID   uint
	Supervisor uint
}

type loopA struct{ ID, LoopBID uint }

type loopB struct{ ID, LoopAID uint }

func TestUse_reportsAllMistakes(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name string
		reg  func(r *audit.Registry)
		cfg  audit.Config
		want []string
	}{
		{"registration", func(r *audit.Registry) { _ = r.Register(&badTag{}); _ = r.Register(7) }, audit.Config{}, []string{"badTag", "int is no model"}},
		{"mended registration", func(r *audit.Registry) {
			_ = r.Register(&Category{}, audit.TypeName("a b"))
			_ = r.Register(&Category{})
		}, audit.Config{}, nil},
		{"other options", func(r *audit.Registry) {
			_ = r.Register(&Category{}, audit.AppLabel("a"))
			_ = r.Register(&Category{}, audit.AppLabel("b"))
		}, audit.Config{}, []string{"Category", "other options"}},
		{"configuration", func(*audit.Registry) {}, audit.Config{
			Sink: &recorder{}, Policy: audit.Strict, Table: "x", SkipMigrate: true, Scope: 9, MaxRows: -1, MaxStatementBytes: -2,
			MaxTransactionBytes: -3, MaskNames: []string{""},
		}, []string{"Config.Policy is Strict", "Config.Table", "Config.SkipMigrate", "Config.Scope is 9", "Config.MaxRows is -1", "Config.MaxStatementBytes is -2", "Config.MaxTransactionBytes is -3", "Config.MaskNames[0]"}},
		{"unknown policy", func(*audit.Registry) {}, audit.Config{Policy: 5}, []string{"Config.Policy is 5"}},
		{"unknown target", func(r *audit.Registry) { _ = r.Register(&Dependent{}) }, audit.Config{}, []string{`"hrm.Employee" is not registered`}},
		{"unregistered target", func(r *audit.Registry) { _ = r.Register(&Toy{}, audit.Target(&Employee{})) }, audit.Config{}, []string{"Employee is not registered"}},
		{"no relation", func(r *audit.Registry) {
			_ = r.Register(&Category{}, audit.Target("customer"))
			_ = r.Register(&Customer{})
		}, audit.Config{}, []string{"no relation", "CustomerID"}},
		{"ambiguous", func(r *audit.Registry) { _ = r.Register(&boss{}); _ = r.Register(&worker{}, audit.Target(&boss{})) }, audit.Config{}, []string{"several relations", "First", "Second"}},
		{"relation named", func(r *audit.Registry) {
			_ = r.Register(&boss{})
			_ = r.Register(&worker{}, audit.Target(&boss{}, "Second"))
		}, audit.Config{}, nil},
		{"foreign key named", func(r *audit.Registry) {
			_ = r.Register(&boss{})
			_ = r.Register(&worker{}, audit.Target("Boss", "Supervisor"))
		}, audit.Config{}, nil},
		{"wrong relation named", func(r *audit.Registry) {
			_ = r.Register(&boss{})
			_ = r.Register(&worker{}, audit.Target("boss", "Third"))
		}, audit.Config{}, []string{`"Third"`}},
		{"circle", func(r *audit.Registry) {
			_ = r.Register(&loopA{}, audit.Target(&loopB{}))
			_ = r.Register(&loopB{}, audit.Target(&loopA{}))
		}, audit.Config{}, []string{"circle", "loopa", "loopb"}},
		{"excluded key", func(r *audit.Registry) { _ = r.Register(&Category{}, audit.Exclude("ID")) }, audit.Config{}, []string{"primary key"}},
		{"masked and unmasked", func(r *audit.Registry) { _ = r.Register(&boss{}, audit.Mask("Name"), audit.Unmask("Name")) }, audit.Config{}, []string{"masked and unmasked"}},
		{"everything at once", func(r *audit.Registry) { _ = r.Register(&Dependent{}); _ = r.Register(&badTag{}) }, audit.Config{MaxRows: -1}, []string{"hrm.Employee", "badTag", "MaxRows"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, openers[0].open(t), &gorm.Config{})
			c.cfg.Registry = audit.NewRegistry()
			c.cfg.Logger = slog.New(slog.DiscardHandler)
			c.reg(c.cfg.Registry)
			if len(c.want) == 0 {
				c.cfg.Sink = &recorder{}
			}
			err := db.Use(audit.New(c.cfg))
			if len(c.want) == 0 {
				must(t, err)
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("error %q does not name %q", err, w)
				}
			}
			if audit.From(db) != nil {
				t.Error("the plugin is installed all the same")
			}
		})
	}
}

func TestRegister_afterUse(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		must(t, db.AutoMigrate(&Category{}, &Dependent{}))
		must(t, db.Create(&Category{}).Error)
		rec.expect(t)
		must(t, reg.Register(&Category{}))
		must(t, db.Create(&Category{}).Error)
		rec.expect(t, `ADD category 2 "category 2"`)

		// What is wrong with its target can only be told now, and its changes are recorded all the same.
		must(t, reg.Register(&Dependent{}))
		must(t, db.Create(&Dependent{FullName: "Kim"}).Error)
		rec.expect(t, `ADD dependent 1 "dependent Kim"`)
		if s := audit.From(db).Stats(); s.Errors[audit.KindRegistry] != 1 {
			t.Errorf("errors %v", s.Errors)
		}
	})
}

func TestUse_severalHandles(t *testing.T) {
	t.Parallel()
	reg := company(t)
	rec := &recorder{}
	plugin := audit.New(audit.Config{Registry: reg, Sink: rec, Scope: audit.ScopeAll})
	for i, naming := range []schema.NamingStrategy{{}, {TablePrefix: "t_"}, {SingularTable: true}} {
		db := open(t, openers[0].open(t), &gorm.Config{NamingStrategy: naming})
		must(t, db.AutoMigrate(reg.Models()...))
		must(t, db.Use(plugin))
		must(t, db.Create(&Customer{Name: "Ada"}).Error)
		r := rec.only(t)
		if want := []string{"customers", "t_customers", "customer"}[i]; r.Table != want || r.ObjectType != "customer" {
			t.Errorf("record of %s %s, want %s", r.ObjectType, r.Table, want)
		}
		if audit.From(db) != plugin {
			t.Error("From gives another plugin")
		}
		if err := db.Use(plugin); !errors.Is(err, gorm.ErrRegistered) {
			t.Errorf("using it twice: %v", err)
		}
	}
	if s := plugin.Stats(); s.Emitted != 3 {
		t.Errorf("stats %+v", s)
	}
	if audit.From(open(t, openers[0].open(t), &gorm.Config{})).Stats().Emitted != 0 {
		t.Error("a handle without the plugin has counters")
	}
}

// TestUse_furtherDatabaseOfTheSameHandle: resolvers open sources and replicas with the handle's own
// configuration, and GORM initializes its plugins for each.
func TestUse_furtherDatabaseOfTheSameHandle(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	db, rec := setup(t, plain, audit.Config{})
	cfg := *db.Config
	further := open(t, openers[0].open(t), &cfg)
	must(t, further.AutoMigrate(&Customer{}))
	must(t, further.WithContext(db.Statement.Context).Create(&Customer{Name: "Ada"}).Error)
	rec.expect(t, `ADD customer 1 "Ada"`)
	must(t, db.Create(&Customer{Name: "Bob"}).Error)
	rec.expect(t, `ADD customer 1 "Bob"`)
}
