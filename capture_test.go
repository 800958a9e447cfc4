package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

const canary = "c4n4ry-v4lu3"

// Vault has secrets in every place that a model can have.
type Vault struct {
	ID           uint
	Name         string
	Password     string
	PasswordHash []byte
	APIKey       *string
	CVV          int
	Chosen       string         `audit:"mask"`
	Inner        vaultInner     `gorm:"embedded;embeddedPrefix:in_" audit:"mask"`
	Settings     map[string]any `gorm:"serializer:json"`
	Raw          string         `gorm:"type:json"`
	Free         string
	Document     string // JSON in a column of texts
	Broken       string
	Tail         string
	Shown        string `audit:"unmask"`
	Token        string `audit:"unmask"`
}

type vaultInner struct{ Code, City string }

func (v Vault) String() string {
	return fmt.Sprintf("vault %s %s %s %s %d %s %s %v", v.Name, v.Password, v.PasswordHash, v.Chosen, v.CVV, v.Inner.Code, v.Free, v.APIKey)
}

func newVault(secret string) *Vault {
	return &Vault{
		Name: "v", Password: secret, PasswordHash: []byte(secret), APIKey: &secret, CVV: 123, Chosen: secret, Inner: vaultInner{secret, secret},
		Settings: map[string]any{"deep": []any{map[string]any{"client_secret": secret}}, "url": "https://u:" + secret + "@h/"},
		Raw:      `{"auth_token":{"x":"` + secret + `"}}`, Free: "Bearer " + secret, Document: ` [{"password":"` + secret + `"}]`, Broken: secret, Tail: secret + "7890", Shown: "shown", Token: "tok",
	}
}

// TestMasks_canary puts a secret everywhere, through every action and into every store and log, and
// looks for it in all that comes out.
func TestMasks_canary(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Vault{}, audit.MaskFunc("Broken", func(v any) any { panic(v) }),
			audit.MaskFunc("Tail", func(v any) any { s := fmt.Sprint(v); return s[len(s)-4:] })))
		trail, err := sqlstore.New(plain, sqlstore.Config{})
		must(t, err)
		var out strings.Builder
		var mu sync.Mutex
		rec := &recorder{}
		tell := func(text string) {
			mu.Lock()
			defer mu.Unlock()
			out.WriteString(text + "\n")
		}
		var log bytes.Buffer
		db, _ := setup(t, plain, audit.Config{
			Registry: reg, Sink: rec, TxSink: trail, RecordUnattributed: true, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			OnError: func(_ context.Context, err error) { tell(err.Error()) },
			Before: func(_ context.Context, r *event.Record) bool {
				seen := *r
				seen.LogID = "before"
				data, err := event.Encode(seen)
				tell(fmt.Sprintf("%s %v", data, err))
				return true
			},
			After: func(_ context.Context, records []event.Record) {
				for _, r := range records {
					data, err := event.Encode(r)
					tell(fmt.Sprintf("%s %v", data, err))
				}
			},
		})
		ctx := audit.WithExtra(audit.WithReason(db.Statement.Context, "Bearer "+canary), audit.Fields{"secret": canary, "list": []any{map[string]string{"otp": canary}}})
		db = db.WithContext(ctx)
		b, err := audit.StartBatch(db, audit.BatchOptions{Action: audit.ActionImport, Extra: audit.Fields{"api_key": canary}})
		must(t, err)
		tx := db.WithContext(b.Context())
		v := newVault(canary)
		must(t, tx.Create(v).Error)
		v.Password, v.Chosen, v.Inner.City, v.Raw, v.Name = canary+"2", canary+"2", canary+"2", `{"auth_token":{"x":"`+canary+`2"}}`, "w"
		v.Broken, v.Tail, v.Free = canary+"2", canary+"2345", "Bearer "+canary+"2"
		v.Document = `{"a":{"api_key":"` + canary + `2"}}`
		v.Settings = map[string]any{"deep": []any{map[string]any{"client_secret": canary + "2"}}}
		must(t, tx.Save(v).Error)
		must(t, audit.Log(tx, audit.Entry{Action: "PRINT", Object: v, Message: "postgres://u:" + canary + "@h", Extra: audit.Fields{"password": canary}, Reason: "Bearer " + canary}))
		must(t, audit.Log(tx, audit.Entry{Action: audit.ActionChange, Original: newVault(canary), Modified: v}))
		must(t, tx.Delete(v).Error)
		must(t, tx.Exec("UPDATE vaults SET name = '"+canary+"' -- "+canary).Error)
		b.AddError(errors.New("dsn postgres://u:" + canary + "@h"))
		must(t, b.End())
		records := rec.take()
		if len(records) != 7 {
			t.Errorf("%d records, want 7:\n%s", len(records), lines(records))
		}
		page, err := trail.Search(t.Context(), store.Query{Filters: noSelf}.WithDefaults())
		must(t, err)
		if len(page.Records) != 7 {
			t.Errorf("%d records stored, want 7", len(page.Records))
		}
		for _, r := range append(records, page.Records...) {
			data, err := event.Encode(r)
			must(t, err)
			out.Write(append(data, '\n'))
		}
		stats, err := json.Marshal(audit.From(db).Stats())
		must(t, err)
		out.Write(stats)
		out.WriteString("\n" + log.String())
		for _, l := range strings.Split(out.String(), "\n") {
			if strings.Contains(l, canary) || strings.Contains(l, "YzRuNHJ5") { // and in base64
				t.Errorf("the canary is in %s", l)
			}
		}
		for _, want := range []string{"[MASK_ERROR]", "[REDACTED]", `"7890"`, `"shown"`, `"tok"`} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s is nowhere", want)
			}
		}
		change := records[1]
		if !slices.Contains(change.ChangedFields, "password") || !slices.Contains(change.ChangedFields, "in_city") {
			t.Errorf("the change of a masked column is not visible: %v", change.ChangedFields)
		}
	})
}

// Reading has no primary key.
type Reading struct {
	Sensor string
	Value  float64
	PIN    string `audit:"mask"`
}

// Member has a key of two columns.
type Member struct {
	TeamID int64  `gorm:"primaryKey;autoIncrement:false"`
	UserID string `gorm:"primaryKey"`
	Role   string
}

func TestKeys(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Reading{}))
		must(t, reg.Register(&Member{}))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		must(t, db.Create(&Member{TeamID: 1, UserID: "u2", Role: "boss"}).Error)
		rec.expect(t, `ADD member 1,u2 "member 1,u2"`)
		must(t, db.Model(&Member{}).Where("role = ?", "boss").Update("user_id", "u3").Error)
		rec.expect(t, `CHANGE member 1,u3 "member 1,u3" user_id:"u2"->"u3"`)
		must(t, db.Create(&Reading{Sensor: "s", Value: 1.5, PIN: "9"}).Error)
		must(t, db.Where("sensor = ?", "s").Delete(&Reading{}).Error)
		rec.expect(t, `ADD reading s,1.5,[REDACTED] "reading s,1.5,[REDACTED]"`, `DELETE reading s,1.5,[REDACTED] "reading s,1.5,[REDACTED]"`)
	})
}

func TestSummary_ofManyRows(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{MaxRows: 5})
		var many []Customer
		for i := range 6 {
			many = append(many, Customer{Name: fmt.Sprint(i)})
		}
		b, err := audit.StartBatch(db, audit.BatchOptions{Action: audit.ActionImport})
		must(t, err)
		must(t, db.WithContext(b.Context()).Create(&many).Error)
		r := rec.only(t)
		if r.Action != audit.ActionAdd || !r.IsTruncated || r.ObjectType != "customer" || r.ObjectID != "" || fmt.Sprint(r.Extra[audit.ExtraRows]) != "6" {
			t.Errorf("%+v", r)
		}
		if s := fmt.Sprint(r.Extra[audit.ExtraStatement]); !strings.HasPrefix(s, "INSERT") {
			t.Errorf("statement %q", s)
		}
		must(t, db.Model(&Customer{}).Where("note = 'it''s' AND name <> ?", "secret").Or("1 = 1").Update("phone", "secret").Error)
		if s := fmt.Sprint(rec.only(t).Extra[audit.ExtraStatement]); strings.Contains(s, "it''s") || strings.Contains(s, "secret") || !strings.Contains(s, "'?'") {
			t.Errorf("statement %q", s)
		}
		b.AddError(errors.New("x"))
		must(t, b.End())
		if s := rec.only(t); s.TotalProcessed != 6 {
			t.Errorf("processed %d, want 6", s.TotalProcessed)
		}
		if s := audit.From(db).Stats(); s.Truncated != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestRecord_tooLarge_isCutAndVerifies(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := company(t)
		must(t, plain.AutoMigrate(reg.Models()...))
		must(t, plain.Use(audit.New(audit.Config{Registry: reg, Scope: audit.ScopeAll})))
		take := newRecords(t, plain)
		c := Customer{Name: "Ada", Email: strings.Repeat("é", 600_000)}
		must(t, plain.Create(&c).Error)
		must(t, plain.Model(&c).Update("email", strings.Repeat("x", 600_000)).Error)
		records := take()
		if len(records) != 2 {
			t.Fatalf("%d records, want 2", len(records))
		}
		for _, r := range records {
			data, err := event.Encode(r)
			must(t, err)
			hash, err := event.ContentHash(r)
			must(t, err)
			if len(data) > event.MaxSize || !r.IsTruncated || r.UntruncatedSize < 600_000 || r.RecordHash != hash {
				t.Errorf("%d bytes, truncated %v from %d, hash %s, want %s", len(data), r.IsTruncated, r.UntruncatedSize, r.RecordHash, hash)
			}
			i := slices.IndexFunc(r.Changes, func(c event.Change) bool { return c.Field == "email" })
			if i < 0 || !r.Changes[i].Truncated || r.ObjectRepr != "Ada" {
				t.Errorf("changes %d", i)
			}
		}
	})
}

// Based is built on gorm.Model.
type Based struct {
	gorm.Model
	Name string
}

func TestExclude_columnsOfGormModel(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Based{}, audit.Exclude("CreatedAt", "updated_at", "Model.DeletedAt")))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		b := Based{Name: "a"}
		must(t, db.Create(&b).Error)
		must(t, db.Model(&b).Update("name", "b").Error)
		must(t, db.Delete(&b).Error)
		must(t, db.Unscoped().Model(&Based{}).Where("id = ?", b.ID).Update("deleted_at", nil).Error)
		records := rec.take()
		expect(t, records, `ADD based 1 "a"`, `CHANGE based 1 "b" name:"a"->"b"`, `DELETE based 1 "b"`, `RESTORE based 1 "b"`)
		for _, r := range records {
			for _, c := range r.Changes {
				if c.Field != "id" && c.Field != "name" {
					t.Errorf("%s has %s", line(r), c.Field)
				}
			}
		}
	})
}

// Planet is in the default registry.
type Planet struct {
	ID   uint
	Name string
}

func TestPlugin_default(t *testing.T) {
	t.Parallel()
	must(t, audit.Register(&Planet{}))
	db := open(t, openers[0].open(t), &gorm.Config{})
	must(t, db.AutoMigrate(&Planet{}))
	must(t, db.Use(audit.Plugin))
	take := newRecords(t, db)
	must(t, db.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: "1"})).Create(&Planet{Name: "Mars"}).Error)
	expect(t, take(), `ADD planet 1 "Mars"`)
	if audit.From(db) != audit.Plugin || audit.Plugin.Registry() != audit.DefaultRegistry || !audit.DefaultRegistry.IsRegistered(Planet{}) {
		t.Error("not the defaults")
	}
}

// Shy panics in String.
type Shy struct {
	ID   uint
	Code string
}

func (*Shy) String() string { panic("not me") }

// Titled says itself what it is called.
type Titled struct {
	ID       uint
	Title    string
	Settings map[string]string `gorm:"serializer:json"`
	When     time.Time
	Note     *string `audit:"-"`
}

func TestRepr(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Shy{}))
		must(t, reg.Register(&selfNamed{}, audit.TypeName("Self")))
		must(t, reg.Register(&Titled{}, audit.Repr(func(m any) string {
			v := m.(*Titled)
			return fmt.Sprintf("%s %s %d %v", v.Title, v.Settings["a"], v.When.UTC().Year(), v.Note == nil)
		})))
		must(t, reg.Register(&Category{}))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		note := "n"
		must(t, db.Create(&Shy{Code: "c1"}).Error)
		must(t, db.Create(&selfNamed{}).Error)
		must(t, db.Create(&Titled{Title: "T", Settings: map[string]string{"a": "b"}, When: time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), Note: &note}).Error)
		must(t, db.Create(&Titled{Title: strings.Repeat("ä", 400)}).Error)
		must(t, db.Create(&Category{}).Error)
		records := rec.take()
		var got []string
		for _, r := range records {
			got = append(got, r.ObjectRepr)
		}
		want := []string{"c1", "myself", "T b 2024 true", strings.Repeat("ä", 255) + "…", "category 1"}
		if !slices.Equal(got, want) {
			t.Errorf("reprs %q, want %q", got, want)
		}
		if s := audit.From(db).Stats(); s.Errors[audit.KindModel] != 1 || s.Failed != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestTarget_unreadableParent: what the parent is called cannot be read, and the application's
// transaction must not notice.
func TestTarget_unreadableParent(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		must(t, db.Migrator().DropTable(&Employee{}))
		one := uint(1)
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, tx.Create(&Dependent{EmployeeID: &one, FullName: "Kim"}).Error)
			return tx.Create(&Customer{Name: "Ada"}).Error
		}))
		rec.expect(t, `ADD employee 1 "employee 1" from dependent 1 "dependent Kim"`, `ADD customer 1 "Ada"`)
		if s := audit.From(db).Stats(); s.Errors[audit.KindTarget] != 1 || s.Failed != 0 || s.Emitted != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestUpdate_ofNothingButItsTime_isNoChange(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		c := Customer{Name: "Ada", UpdatedAt: 5}
		must(t, db.Create(&c).Error)
		rec.take()
		must(t, db.Model(&c).Update("name", "Ada").Error)
		must(t, db.Model(&c).UpdateColumn("updated_at", 7).Error)
		rec.expect(t)
		if s := audit.From(db).Stats(); s.Unchanged != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestTables_byName: rows of a registered table are recorded through whatever struct they are written.
func TestTables_byName(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		type foreign struct {
			ID   uint
			Name string
		}
		must(t, db.Table("customers").Create(&foreign{Name: "Ada"}).Error)
		must(t, db.Table("customers").Where("name = ?", "Ada").Update("phone", "1").Error)
		must(t, db.Table("customers").Create(map[string]any{"name": "Bob"}).Error)
		must(t, db.Table("customers").Where("id = ?", 1).Delete(&foreign{}).Error)
		must(t, db.Migrator().CreateTable(&Category2{}))
		must(t, db.Create(&Category2{Name: "x"}).Error)
		// The phone is NULL, not empty.
		rec.expect(t, `ADD customer 1 "Ada"`, `CHANGE customer 1 "Ada" phone:null->"1"`, `ADD customer 2 "Bob"`, `DELETE customer 1 "Ada"`)
	})
}

func TestConcurrentSafe_manyRequests(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[1].open(t), &gorm.Config{})
	rec := &recorder{}
	reg := company(t)
	_, _ = setup(t, plain, audit.Config{Registry: reg, Sink: rec})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			user := fmt.Sprint(i)
			db := plain.WithContext(audit.WithActor(t.Context(), audit.Actor{ID: user}))
			for n := range 10 {
				if n == 5 {
					_ = reg.Register(&Category{}) // while all others write
				}
				err := db.Transaction(func(tx *gorm.DB) error {
					c := Customer{Name: user}
					if err := tx.Create(&c).Error; err != nil {
						return err
					}
					return tx.Model(&c).Update("phone", fmt.Sprint(n)).Error
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	records := rec.take()
	if len(records) != 160 {
		t.Fatalf("%d records, want 160", len(records))
	}
	ids, txs := map[string]bool{}, map[string]int{}
	for _, r := range records {
		if r.UserID != r.ObjectRepr {
			t.Errorf("%s is by %s", line(r), r.UserID)
		}
		ids[r.LogID] = true
		txs[r.TxID]++
	}
	if len(ids) != 160 || len(txs) != 80 {
		t.Errorf("%d ids, %d transactions", len(ids), len(txs))
	}
}

// TestOrder_ofOneStatement: records of one statement are in order by time and id.
func TestOrder_ofOneStatement(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	now := time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)
	db, rec := setup(t, plain, audit.Config{Clock: func() time.Time { return now }})
	var many []Customer
	for i := range 50 {
		many = append(many, Customer{Name: fmt.Sprint(i)})
	}
	must(t, db.Create(&many).Error)
	records := rec.take()
	if len(records) != 50 || !slices.IsSortedFunc(records, func(a, b event.Record) int { return strings.Compare(a.LogID, b.LogID) }) {
		t.Error("not in order")
	}
	for i, r := range records {
		if r.ObjectRepr != fmt.Sprint(i) || !r.Timestamp.Equal(now) {
			t.Errorf("record %d is %s at %s", i, line(r), r.Timestamp)
		}
	}
}
