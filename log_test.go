package audit_test

import (
	"errors"
	"fmt"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

func TestLog(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		ann := Employee{Name: "Ann"}
		must(t, db.Create(&ann).Error)
		rec.take()
		kim := Dependent{ID: 5, EmployeeID: &ann.ID, FullName: "Kim"}
		cases := []struct {
			name    string
			entry   audit.Entry
			line    string
			message string
		}{
			{"export", audit.Entry{Action: "export", Object: &Customer{ID: 3, Name: "Ada"}}, `EXPORT customer 3 "Ada"`, `"Exported object"`},
			{"by value", audit.Entry{Action: audit.ActionImport, Object: Customer{ID: 3, Name: "Ada"}}, `IMPORT customer 3 "Ada"`, `"Imported object"`},
			{"unregistered", audit.Entry{Action: "PRINT", Object: &Category2{ID: 4, Name: "tea"}}, `PRINT category2 4 "tea"`, `"PRINT"`},
			{"no model", audit.Entry{Action: "LOGIN", ObjectType: "session", ObjectID: "x", ObjectRepr: "session of john"}, `LOGIN session x "session of john"`, `"LOGIN"`},
			{"nothing but a message", audit.Entry{Action: "BACKUP", Message: "nightly"}, `BACKUP   ""`, `"nightly"`},
			{
				"diff",
				audit.Entry{Action: "UPDATE", Original: &Customer{ID: 3, Name: "Ada", Secret: "a"}, Modified: &Customer{ID: 3, Name: "Bob", Secret: "b"}},
				`CHANGE customer 3 "Bob" name:"Ada"->"Bob" secret:"[REDACTED]"->"[REDACTED]"`,
				`{"headers":["field","old_value","new_value"],"rows":[{"field":"name","old_value":"Ada","new_value":"Bob"},{"field":"secret","old_value":"[REDACTED]","new_value":"[REDACTED]"}]}`,
			},
			{
				"diff with a message",
				audit.Entry{Action: audit.ActionChange, Original: &Customer{ID: 3}, Modified: &Customer{ID: 3, Name: "Bob"}, Message: "named"},
				`CHANGE customer 3 "Bob" name:""->"Bob"`, `"named"`,
			},
			{"no difference", audit.Entry{Action: audit.ActionChange, Original: &Customer{ID: 3, Name: "Ada"}, Modified: &Customer{ID: 3, Name: "Ada"}}, `CHANGE customer 3 "Ada"`, `"Object modified"`},
			{"add", audit.Entry{Action: "CREATE", Modified: &Customer{ID: 3, Name: "Ada"}}, `ADD customer 3 "Ada"`, `"Created new object"`},
			{"delete", audit.Entry{Action: audit.ActionDelete, Object: &Customer{ID: 3, Name: "Ada"}}, `DELETE customer 3 "Ada"`, `"Deleted object"`},
			{"role", audit.Entry{Action: audit.ActionChange, Object: &ann, Message: "Added role: boss"}, `CHANGE employee 1 "Ann"`, `"Added role: boss"`},
			{"dependent", audit.Entry{Action: "PRINT", Object: &kim}, `PRINT employee 1 "Ann" from dependent 5 "dependent Kim"`, `"PRINT"`},
			{"masked message", audit.Entry{Action: "CALL", Message: "amqp://u:pw@h/"}, `CALL   ""`, `"amqp://[REDACTED]@h/"`},
		}
		for _, c := range cases {
			must(t, audit.Log(db, c.entry))
			r := rec.only(t)
			if got := line(r); got != c.line {
				t.Errorf("%s: %s\nwant %s", c.name, got, c.line)
			}
			if got := string(r.ChangeMessage.JSON()); got != c.message {
				t.Errorf("%s: message %s, want %s", c.name, got, c.message)
			}
			if r.UserID != "7" || r.Timestamp.IsZero() || r.LogID == "" || r.RecordHash == "" {
				t.Errorf("%s: %+v", c.name, r)
			}
		}
		must(t, audit.Log(db, audit.Entry{Action: "X", Actor: &audit.Actor{ID: "9"}, Reason: "because", Outcome: "failure", Extra: audit.Fields{"n": 1, "password": "x"}}))
		if r := rec.only(t); r.UserID != "9" || r.ActorType != "user" || r.Reason != "because" || r.Outcome != "failure" || fmt.Sprint(r.Extra["n"]) != "1" || r.Extra["password"] != "[REDACTED]" {
			t.Errorf("%+v", r)
		}
		// Without any context it is recorded as well: somebody asked for it.
		must(t, audit.Log(plain, audit.Entry{Action: "X"}))
		if r := rec.only(t); r.ActorType != audit.ActorSystem {
			t.Errorf("%+v", r)
		}
	})
}

func TestLog_inTransaction(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		must(t, db.Transaction(func(tx *gorm.DB) error {
			must(t, audit.Log(tx, audit.Entry{Action: "FIRST"}))
			_ = tx.Transaction(func(tx *gorm.DB) error {
				must(t, audit.Log(tx, audit.Entry{Action: "SECOND"}))
				return errors.New("undone")
			})
			rec.expect(t)
			return nil
		}))
		if r := rec.only(t); r.Action != "FIRST" {
			t.Error(line(r))
		}
		_ = db.Transaction(func(tx *gorm.DB) error {
			must(t, audit.Log(tx, audit.Entry{Action: "THIRD"}))
			return errors.New("undone")
		})
		rec.expect(t)
	})
}

func TestLog_mistakes(t *testing.T) {
	t.Parallel()
	plain := open(t, openers[0].open(t), &gorm.Config{})
	if err := audit.Log(plain, audit.Entry{Action: "X"}); !errors.Is(err, audit.ErrNotInstalled) {
		t.Errorf("without plugin: %v", err)
	}
	db, rec := setup(t, plain, audit.Config{})
	for name, e := range map[string]audit.Entry{
		"no action":      {},
		"bad action":     {Action: "two words"},
		"bad outcome":    {Action: "X", Outcome: "maybe"},
		"no model":       {Action: "X", Object: 7},
		"a slice":        {Action: "X", Object: []Customer{{}}},
		"two models":     {Action: "X", Original: &Customer{}, Modified: &Employee{}},
		"id of nothing":  {Action: "X", ObjectID: "7"},
		"unnamed struct": {Action: "X", Object: struct{ A int }{}},
	} {
		if err := audit.Log(db, e); !errors.Is(err, audit.ErrEntry) {
			t.Errorf("%s: %v", name, err)
		}
	}
	rec.expect(t)
}
