package audittest

import (
	"fmt"
	"strings"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
)

// Want is a row of the table of expected records. What is left out is not compared.
type Want struct {
	// Action is ADD, CHANGE, DELETE, RESTORE, or one of your own.
	Action audit.Action
	// Object is the row that changed: the model and the key, "customer 7", or the model alone. Upper and
	// lower case are the same.
	Object string
	// Under is the object in whose history the record stands if the row is a dependent one (see
	// audit.Target): "employee 3". "-" says that it is no dependent.
	Under string
	// Fields are the columns that changed: exactly these. See None, Any and Masked.
	Fields Fields
	// By is the username of the actor, or the id; "-" says that there is none.
	By string
	// Batch is the id of the batch; "*" says any, "-" none.
	Batch string
	// Tenant, Reason, Source and Outcome are the fields of the record.
	Tenant, Reason, Source, Outcome string
	// Message is the change_message, if that is a text.
	Message string
	// Repr is the object in words, object_repr.
	Repr string
	// Extra has some of the record's extra fields.
	Extra map[string]any
}

// Fields has the old and the new value of columns, by the column's name or its label. Values are compared as
// what they say: 7, "7" and json.Number("7") are the same, so are two times of the same moment and two JSON
// texts of the same content. nil is NULL.
type Fields map[string][2]any

type special string

// Values for Fields.
const (
	Any    special = "any value"      // whatever it is
	None   special = "no value"       // the old one of an ADD, the new one of a DELETE
	Masked special = "a masked value" // a value that is masked
)

// differences says in which ways r is not what w wants.
func (w Want) differences(r event.Record) (out []string) {
	add := func(what, got, want string) {
		out = append(out, fmt.Sprintf("%s is %s, want %s", what, orNothing(got), orNothing(want)))
	}
	text := func(what, got, want string) {
		switch {
		case want == "", want == got, want == "-" && got == "", want == "*" && got != "":
		default:
			add(what, got, want)
		}
	}
	if w.Action != "" && event.ParseAction(string(w.Action)) != r.Action {
		add("action", string(r.Action), string(w.Action))
	}
	object, under := objects(r)
	if w.Object != "" && !object.is(w.Object) {
		add("object", object.String(), w.Object)
	}
	if w.Under != "" && !under.is(w.Under) {
		add("under", under.String(), w.Under)
	}
	if w.By != "" && w.By != r.UserID {
		text("by", r.Username, w.By)
	}
	text("batch", r.BatchID, w.Batch)
	text("tenant", r.TenantID, w.Tenant)
	text("reason", r.Reason, w.Reason)
	text("source", r.Source, w.Source)
	if w.Outcome != "success" || r.Outcome != "" { // which is not written out
		text("outcome", r.Outcome, w.Outcome)
	}
	text("repr", r.ObjectRepr, w.Repr)
	if message, ok := r.ChangeMessage.Text(); w.Message != "" && (!ok || message != w.Message) {
		add("message", message, w.Message)
	}
	if w.Fields != nil {
		out = append(out, w.Fields.differences(r.Changes)...)
	}
	for _, name := range sortedNames(w.Extra) {
		if got, ok := r.Extra[name]; !ok || !sameValue(got, w.Extra[name]) {
			add("extra "+name, valueText(got), valueText(w.Extra[name]))
		}
	}
	return out
}

func (f Fields) differences(changes []event.Change) (out []string) {
	seen := map[string]bool{}
	for _, c := range changes {
		name := c.Field
		want, ok := f[name]
		if !ok {
			name = c.Label
			want, ok = f[name]
		}
		if !ok {
			out = append(out, fmt.Sprintf("field %s has changed: %s", c.Field, changeText(c)))
			continue
		}
		seen[name] = true
		for i, got := range [][]byte{c.Old, c.New} {
			if !sameChange(got, c.Redacted, want[i]) {
				out = append(out, fmt.Sprintf("field %s: the %s value is %s, want %s", c.Field, [...]string{"old", "new"}[i], rawText(got), valueText(want[i])))
			}
		}
	}
	for _, name := range sortedNames(f) {
		if !seen[name] {
			out = append(out, fmt.Sprintf("field %s has not changed", name))
		}
	}
	return out
}

// object is a model and a key.
type object struct{ model, key string }

func (o object) String() string { return strings.TrimSpace(o.model + " " + o.key) }

// is reports whether o is what a table names.
func (o object) is(want string) bool {
	if want == "-" {
		return o == object{}
	}
	model, key, exact := strings.Cut(strings.TrimSpace(want), " ")
	return strings.EqualFold(model, o.model) && (!exact || strings.TrimSpace(key) == o.key)
}

// objects gives the row that changed, and the object in whose history it stands.
func objects(r event.Record) (row, under object) {
	if r.SourceModel == "" {
		return object{r.ObjectType, r.ObjectID}, object{}
	}
	return object{r.SourceModel, r.SourcePK}, object{r.ObjectType, r.ObjectID}
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return fmt.Sprintf("%q", s)
}
