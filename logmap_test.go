package audit_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
)

// TestLog_flatForm gives every field of the specification's log_audit_event by hand, without an object.
func TestLog_flatForm(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		_, rec := setup(t, plain, audit.Config{})
		must(t, audit.Log(plain, audit.Entry{
			Action:     "CREATE",
			ObjectType: "Customer", ObjectID: "cus_456", ObjectRepr: "John Smith", Message: "Created new customer",
			Actor:   &audit.Actor{ID: "user_123", Username: "john.doe", FullName: "John Doe", TenantID: "acme", ImpersonatorID: "1", Type: "robot"},
			Request: &audit.Request{IPAddress: "192.168.1.1", UserAgent: "Mozilla/5.0", SessionKey: "session_key_here", RequestID: "r", TraceID: "tr", SpanID: "sp", Method: "POST", Route: "/x", Source: "job"},
			Reason:  "ticket 4711", Outcome: "success", Extra: audit.Fields{"automated_task": "nightly"},
		}))
		r := rec.only(t)
		message, _ := r.ChangeMessage.Text()
		if r.Action != audit.ActionAdd || r.ObjectType != "Customer" || r.ObjectID != "cus_456" || r.ObjectRepr != "John Smith" || message != "Created new customer" ||
			r.UserID != "user_123" || r.Username != "john.doe" || r.FullName != "John Doe" || r.TenantID != "acme" || r.ImpersonatorID != "1" || r.ActorType != "robot" ||
			r.IPAddress != "192.168.1.1" || r.UserAgent != "Mozilla/5.0" || r.SessionKey != "session_key_here" || r.RequestID != "r" || r.TraceID != "tr" || r.SpanID != "sp" ||
			r.HTTPMethod != "POST" || r.HTTPRoute != "/x" || r.Source != "job" || r.Reason != "ticket 4711" || r.Outcome != "success" || r.Extra["automated_task"] != "nightly" {
			t.Errorf("%+v", r)
		}
		if len(r.Changes) != 0 || r.Table != "" {
			t.Errorf("changes %+v of table %q", r.Changes, r.Table)
		}
	})
}

// TestLog_requestOfTheEntry replaces that of the context; the actor stays.
func TestLog_requestOfTheEntry(t *testing.T) {
	t.Parallel()
	db, rec := setup(t, open(t, openers[0].open(t), &gorm.Config{}), audit.Config{})
	ctx := audit.WithRequest(db.Statement.Context, audit.Request{IPAddress: "192.0.2.1", UserAgent: "curl"})
	must(t, audit.Log(db.WithContext(ctx), audit.Entry{Action: "X", Request: &audit.Request{IPAddress: "192.0.2.2"}}))
	if r := rec.only(t); r.IPAddress != "192.0.2.2" || r.UserAgent != "" || r.UserID != "7" {
		t.Errorf("%+v", r)
	}
}

type level string

func TestLog_maps(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		db, rec := setup(t, plain, audit.Config{})
		type m = map[string]any
		day := time.Date(2024, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
		cases := []struct {
			name  string
			entry audit.Entry
			line  string
			with  string // changes
		}{
			{
				"of nothing registered",
				audit.Entry{Action: audit.ActionChange, ObjectType: "setting", Original: m{"id": 4, "name": "tax", "rate": 7, "api_key": "a", "old": true}, Modified: m{"id": 4, "name": "tax", "rate": 19, "api_key": "b"}},
				`CHANGE setting 4 "tax" api_key:"[REDACTED]"->"[REDACTED]" old:true->null rate:7->19`,
				`[{"field":"api_key","type":"string","old":"[REDACTED]","new":"[REDACTED]","redacted":true},{"field":"old","type":"boolean","old":true,"new":null},{"field":"rate","type":"integer","old":7,"new":19}]`,
			},
			{
				"with values of all kinds",
				audit.Entry{Action: audit.ActionAdd, ObjectType: "x", ObjectID: "7", Object: audit.Fields{"b": []byte("abc"), "f": 1.5, "j": m{"a": []int{1}, "password": "p"}, "l": level("high"), "n": nil, "p": (*int)(nil), "t": day, "raw": json.RawMessage(`{"a" : 1}`), "u": uint64(1<<64 - 1)}},
				`ADD x 7 "x 7"`,
				`[{"field":"b","type":"bytes","new":"YWJj"},{"field":"f","type":"float","new":1.5},{"field":"j","type":"json","new":{"a":[1],"password":"[REDACTED]"},"redacted":true},{"field":"l","type":"string","new":"high"},{"field":"n","type":"string","new":null},{"field":"p","type":"string","new":null},{"field":"raw","type":"json","new":{"a":1}},{"field":"t","type":"time","new":"2024-01-02T02:04:05Z"},{"field":"u","type":"integer","new":18446744073709551615}]`,
			},
			{
				"of two types",
				audit.Entry{Action: audit.ActionChange, ObjectType: "x", Original: m{"v": 7}, Modified: m{"v": "7"}},
				`CHANGE x  "x" v:7->"7"`, `[{"field":"v","type":"json","old":7,"new":"7"}]`,
			},
			{
				"deleted",
				audit.Entry{Action: audit.ActionDelete, ObjectType: "x", Original: map[string]string{"ID": "k", "title": "T"}},
				`DELETE x k "T"`, `[{"field":"ID","type":"string","old":"k"},{"field":"title","type":"string","old":"T"}]`,
			},
			{
				"of a registered model, by columns and fields, and what is excluded",
				audit.Entry{Action: audit.ActionChange, ObjectType: "customer", ObjectID: "3", Original: m{"Name": "Ada", "note": "n", "balance": 1, "Secret": "x"}, Modified: m{"name": "Bob", "Note": "m", "balance": "1", "secret": "y"}},
				`CHANGE customer 3 "Bob" name:"Ada"->"Bob" secret:"[REDACTED]"->"[REDACTED]"`, "",
			},
			{
				"of an object",
				audit.Entry{Action: audit.ActionChange, Object: &Customer{ID: 3, Name: "Ada"}, Original: m{"phone": "1"}, Modified: m{"phone": "2"}},
				`CHANGE customer 3 "Ada" phone:"1"->"2"`, `[{"field":"phone","label":"Phone number","type":"string","old":"1","new":"2"}]`,
			},
			{
				"added to a registered model",
				audit.Entry{Action: audit.ActionAdd, ObjectType: "customer", Modified: m{"id": 9, "name": "Ada"}},
				`ADD customer 9 "Ada"`, `[{"field":"id","type":"integer","new":9},{"field":"name","type":"string","new":"Ada"}]`,
			},
			{"exported", audit.Entry{Action: audit.ActionExport, ObjectType: "report", Object: m{"id": "r1", "rows": 7}}, `EXPORT report r1 "report r1"`, `[]`},
		}
		for _, c := range cases {
			if err := audit.Log(db, c.entry); err != nil {
				t.Errorf("%s: %v", c.name, err)
				continue
			}
			r := rec.only(t)
			if got := line(r); got != c.line {
				t.Errorf("%s: %s\nwant %s", c.name, got, c.line)
			}
			data, err := json.Marshal(r.Changes)
			must(t, err)
			if c.with != "" && string(data) != c.with {
				t.Errorf("%s: %s\nwant %s", c.name, data, c.with)
			}
		}
		for name, e := range map[string]audit.Entry{
			"of nothing":       {Action: "X", Object: m{"a": 1}},
			"unknown field":    {Action: "X", ObjectType: "customer", Object: m{"nam": 1}},
			"numbers as names": {Action: "X", ObjectType: "x", Object: map[int]int{1: 1}},
		} {
			if err := audit.Log(db, e); !errors.Is(err, audit.ErrEntry) {
				t.Errorf("%s: %v", name, err)
			}
		}
		rec.expect(t)
	})
}
