package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gorm.io/gorm"
	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Card has a column for each kind of mask.
type Card struct {
	ID      uint
	Name    string
	IBAN    string `audit:"mask:last4"`
	Account string
	Mail    string
	Phone   string `audit:"label:Phone number"`
	Comment string
}

func (c Card) String() string { return fmt.Sprintf("card %s%s%s%s", c.Name, c.IBAN, c.Account, c.Mail) }

const hashKey = "0123456789abcdef0123456789abcdef"

// TestMasks_partialAndHash: what they hide is hidden in every output.
func TestMasks_partialAndHash(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Card{}, audit.MaskPartial("Account"), audit.MaskHash([]byte(hashKey), "mail")))
		trail, err := sqlstore.New(plain, sqlstore.Config{})
		must(t, err)
		rec := &recorder{}
		db, _ := setup(t, plain, audit.Config{Registry: reg, Sink: rec, TxSink: trail})
		iban, mail := "DE02"+canary+"ÄÖ78", canary+"@example.org"
		c := Card{Name: "n", IBAN: iban, Account: canary[:7], Mail: mail}
		must(t, db.Create(&c).Error)
		must(t, db.Model(&c).Updates(map[string]any{"iban": iban + "9", "account": canary + "2", "mail": "x" + mail}).Error)
		must(t, db.Model(&c).Updates(map[string]any{"mail": mail}).Error)
		must(t, audit.Log(db, audit.Entry{Action: "PRINT", Object: &c}))
		must(t, audit.Log(db, audit.Entry{Action: audit.ActionChange, ObjectType: "card", Original: map[string]string{"IBAN": iban}, Modified: map[string]string{"IBAN": "2" + iban}}))
		must(t, db.Delete(&c).Error)
		page, err := trail.Search(t.Context(), store.Query{Filters: noSelf}.WithDefaults())
		must(t, err)
		records := rec.take()
		if len(records) != 6 || len(page.Records) != 6 {
			t.Fatalf("%d and %d records, want 6", len(records), len(page.Records))
		}
		for _, r := range append(records, page.Records...) {
			data, err := event.Encode(r)
			must(t, err)
			if strings.Contains(string(data), canary[:7]) {
				t.Errorf("the canary is in %s", data)
			}
		}
		value := func(i int, field string) (old, now string) {
			for _, ch := range records[i].Changes {
				if ch.Field == field {
					if !ch.Redacted {
						t.Errorf("record %d: %s is not marked as redacted", i, field)
					}
					return string(ch.Old), string(ch.New)
				}
			}
			t.Errorf("record %d has no %s", i, field)
			return "", ""
		}
		if old, now := value(1, "iban"); old != `"****ÄÖ78"` || now != `"****Ö789"` {
			t.Errorf("iban %s -> %s", old, now)
		}
		if old, now := value(1, "account"); old != `"[REDACTED]"` || !strings.HasPrefix(now, `"****`) {
			t.Errorf("account %s -> %s", old, now)
		}
		_, first := value(0, "mail")
		old, other := value(1, "mail")
		_, again := value(2, "mail")
		if first != old || first != again || first == other || !strings.HasPrefix(first, `"hmac:`) || len(first) != len(`"hmac:"`)+32 {
			t.Errorf("hashes %s %s %s %s", first, old, other, again)
		}
		if got := records[0].ObjectRepr; got != "card n" {
			t.Errorf("object_repr %q", got)
		}
	})
}

func TestOnly(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Customer{}, audit.Only("Name", "email")))
		db, rec := setup(t, plain, audit.Config{Registry: reg})
		c := Customer{Name: "Ada", Phone: "1", Note: "n"}
		must(t, db.Create(&c).Error)
		if r := rec.only(t); fmt.Sprint(r.ChangedFields) != "[id name email]" {
			t.Errorf("fields %v", r.ChangedFields)
		}
		must(t, db.Model(&c).Update("phone", "2").Error)
		rec.expect(t)
		must(t, db.Model(&c).Updates(map[string]any{"phone": "3", "name": "Bob"}).Error)
		rec.expect(t, `CHANGE customer 1 "Bob" name:"Ada"->"Bob"`)
		// The mark of deleted rows is read, but not shown.
		must(t, db.Delete(&c).Error)
		if r := rec.only(t); r.Action != audit.ActionDelete || fmt.Sprint(r.ChangedFields) != "[id name email]" {
			t.Errorf("%s %v", line(r), r.ChangedFields)
		}
		must(t, db.Unscoped().Model(&c).Update("deleted_at", nil).Error)
		rec.expect(t, `RESTORE customer 1 "Bob"`)
	})
}

func TestMasks_mistakes(t *testing.T) {
	t.Parallel()
	type Tagged struct {
		ID   uint
		Name string `audit:"mask:first"`
	}
	reg := audit.NewRegistry()
	for _, c := range []struct {
		want string
		err  error
	}{
		{"Only has no fields", reg.Register(&Card{}, audit.Only())},
		{`Only names the field "Nam"`, reg.Register(&Card{}, audit.Only("Nam"))},
		{`MaskPartial names the field "Nam"`, reg.Register(&Card{}, audit.MaskPartial("Nam"))},
		{`MaskHash names the field "Nam"`, reg.Register(&Card{}, audit.MaskHash([]byte(hashKey), "Nam"))},
		{"a key of 3 bytes, want at least 16", reg.Register(&Card{}, audit.MaskHash([]byte("abc"), "Name"))},
		{`unknown mask "first", want mask or mask:last4`, reg.Register(&Tagged{})},
	} {
		if !errors.Is(c.err, audit.ErrRegistration) || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v, want %s", c.err, c.want)
		}
	}
	reg = audit.NewRegistry()
	must(t, reg.Register(&Card{}, audit.Only("Name", "IBAN", "Phone"), audit.Exclude("Phone"), audit.MaskHash([]byte(hashKey), "IBAN")))
	err := open(t, openers[0].open(t), &gorm.Config{}).Use(audit.New(audit.Config{Registry: reg, Sink: &recorder{}}))
	for _, want := range []string{`field "Phone" is named by Only and excluded`, `field "IBAN" has several masks: [MaskHash MaskPartial]`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// naming is a naming strategy with labels.
type naming struct{ schema.NamingStrategy }

func (naming) Label(objectType, column string) string { return objectType + "/" + column }

func TestLabels(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name   string
		naming schema.Namer
		label  func(objectType, column string) string
		want   string // of phone, comment, mail, name
	}{
		{"tag, option, column", nil, nil, `["Phone number","Remark","",""]`},
		{"function", nil, func(objectType, column string) string {
			if column == "mail" {
				return objectType + " mail"
			}
			return ""
		}, `["Phone number","Remark","card mail",""]`},
		{"words", nil, audit.HumanLabel, `["Phone number","Remark","Mail","Name"]`},
		{"naming strategy", naming{}, nil, `["Phone number","Remark","card/mail","card/name"]`},
		{"function first", naming{}, func(_, column string) string { return map[string]string{"mail": "M"}[column] }, `["Phone number","Remark","M","card/name"]`},
	}
	for _, c := range cases {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Card{}, audit.Label("Comment", "Remark")))
		db, rec := setup(t, open(t, openers[0].open(t), &gorm.Config{NamingStrategy: c.naming}), audit.Config{Registry: reg, Label: c.label})
		card := Card{Name: "a"}
		must(t, db.Create(&card).Error)
		rec.take()
		must(t, db.Model(&card).Updates(Card{Name: "b", Mail: "b", Phone: "b", Comment: "b"}).Error)
		r := rec.only(t)
		byField := map[string]string{}
		for _, ch := range r.Changes {
			byField[ch.Field] = ch.Label
		}
		got, _ := json.Marshal([]string{byField["phone"], byField["comment"], byField["mail"], byField["name"]})
		if string(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		rows, _ := r.ChangeMessage.Rows()
		for i, ch := range r.Changes {
			if want := ch.Label; want != "" && rows[i].Field != want {
				t.Errorf("%s: change_message has %q, want %q", c.name, rows[i].Field, want)
			}
		}
	}
	if got := audit.HumanLabel("", "phone_number"); got != "Phone number" {
		t.Error(got)
	}
	// A panic is an error of db.Use, or told later, and breaks no write.
	broken := func(string, string) string { panic("label") }
	reg := audit.NewRegistry()
	must(t, reg.Register(&Card{}))
	plain := open(t, openers[0].open(t), &gorm.Config{})
	var panicked *audit.PanicError
	if err := plain.Use(audit.New(audit.Config{Registry: reg, Sink: &recorder{}, Label: broken})); !errors.As(err, &panicked) {
		t.Errorf("db.Use: %v", err)
	}
	reg = audit.NewRegistry()
	db, rec := setup(t, plain, audit.Config{Registry: reg, Label: broken})
	must(t, reg.Register(&Card{}))
	must(t, db.AutoMigrate(&Card{}))
	must(t, db.WithContext(audit.WithActor(context.Background(), audit.Actor{ID: "7"})).Create(&Card{Name: "a"}).Error)
	rec.expect(t, `ADD card 1 "card a"`)
	if n := audit.From(db).Stats().Errors[audit.KindRegistry]; n != 1 {
		t.Errorf("%d errors told, want 1", n)
	}
}
