package audit

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/tx"
)

// Entry is a record that the application writes itself, with Log.
type Entry struct {
	// Action says what happened: ActionImport, ActionExport, or a word of your own. Required.
	Action Action
	// Object is the model that it happened to, registered or not. With ObjectType, ObjectID, ObjectRepr
	// and Message none is needed.
	Object any
	// Original and Modified are the object before and after; both give the changes between them. With
	// the action ADD Modified (or Object) is shown as it is, with DELETE Original (or Object). They may
	// stand for Object.
	//
	// All three may be maps as well, with names of fields or columns as keys; Object or ObjectType
	// then says of what. A map has to have only what is to be shown. If it is of no registered model,
	// any names and values will do, and "id" is the object's id.
	Original, Modified any

	// ObjectType, ObjectID and ObjectRepr name something that is no model, or replace what is derived
	// from the object.
	ObjectType string
	ObjectID   string
	ObjectRepr string

	// Message is the change_message instead of the one that is derived.
	Message string
	// Actor acts instead of the context's actor, such as in a job that works for a user.
	Actor *Actor
	// Request is that in which it happened, instead of the context's.
	Request *Request
	// Reason is why it was done, instead of the context's reason.
	Reason string
	// Outcome is "success", "failure" or "unknown"; empty means success.
	Outcome string
	// Extra are more fields, besides those of the context.
	Extra Fields
}

// Log writes a record by hand: for exports, logins, changes of many-to-many relations, and whatever
// else no write to a registered model shows. Inside a transaction the record commits or vanishes with
// it. The scope does not matter, but in a context of Skip nothing is recorded.
//
// The record's actor, request, reason and fields are those of the context of db. An error wraps ErrEntry
// if e is no record, and is ErrNotInstalled if db has no plugin. That the sink does not take the record
// is an error with the policy Strict only. For an act that must not happen unrecorded see Attempt.
func Log(db *gorm.DB, e Entry) error {
	h := handleOf(db)
	if h == nil {
		return ErrNotInstalled
	}
	ctx := db.Statement.Context
	p, err := h.entry(ctx, e)
	if err != nil {
		return err
	}
	if s := scopeOf(ctx); s != nil && s.skip {
		if h.auditor.skipped(ctx, p.name, SkipAsked) {
			h.noticeSkip(db, p.name)
		}
		return nil
	}
	h.noticeSelf(db)
	strict := h.policyOf(p) == Strict
	if unit, observed := tx.Find(db.Statement.ConnPool); strict && h.txSink == nil && (unit != nil || !observed) {
		return fmt.Errorf("%w: it is in a transaction, and Config.Sink takes records after COMMIT, when it is too late for Strict: use Attempt outside of it", ErrEntry)
	}
	return h.log(db, p, strict)
}

// entry makes of e what waits for the transaction.
func (h *handle) entry(ctx context.Context, e Entry) (*pending, error) {
	action, err := parseAction(e.Action)
	if err != nil {
		return nil, err
	}
	switch e.Outcome {
	case "", "success", "failure", "unknown":
	default:
		return nil, fmt.Errorf("%w: outcome is %q, want success, failure or unknown", ErrEntry, e.Outcome)
	}
	w, err := whoOf(ctx)
	h.auditor.report(ctx, KindModel, err)
	h.traced(ctx, w)
	if e.Actor != nil {
		w.actor = *e.Actor
		if w.actor.Type == "" {
			w.actor.Type = ActorUser
		}
	}
	if e.Request != nil {
		w.request = *e.Request
		if w.request.TraceID == "" {
			h.traced(ctx, w)
		}
	}
	if e.Reason != "" {
		w.reason = e.Reason
	}
	p := &pending{handle: h, who: w, time: h.auditor.cfg.Clock(), op: capture.Update, entry: &entry{action: action, message: e.Message}}
	p.entry.base = event.Record{ObjectType: e.ObjectType, ObjectID: e.ObjectID, ObjectRepr: e.ObjectRepr, Outcome: e.Outcome, Extra: maps.Clone(map[string]any(e.Extra))}
	if err := h.entryImages(ctx, p, e); err != nil {
		return nil, err
	}
	if p.table == nil {
		if e.ObjectType == "" && (e.ObjectID != "" || e.ObjectRepr != "") {
			return nil, fmt.Errorf("%w: it has an object id or text, but no object and no object type", ErrEntry)
		}
		text := e.Message
		if text == "" {
			text = textFor(action)
		}
		text, _ = h.auditor.rules.Document(text)
		p.entry.base.ChangeMessage = event.TextMessage(text)
	}
	return p, nil
}

// entryImages takes the images of the objects in e.
func (h *handle) entryImages(ctx context.Context, p *pending, e Entry) error {
	t, err := h.entryTable(ctx, e)
	if err != nil || t == nil {
		return err
	}
	p.table = t
	if t.schema != nil {
		p.name = t.schema.Table
	}
	original, modified := e.Original, e.Modified
	switch {
	case isNil(original) && p.entry.action == event.ActionDelete:
		original = e.Object
	case isNil(modified):
		modified = e.Object
	}
	var base []any // what a map does not say
	if _, ok := mapOf(e.Object); !ok {
		base = t.imageOf(ctx, e.Object)
	}
	var given, more []int
	if p.before, given, err = t.entryImage(ctx, original, base); err != nil {
		return err
	}
	if p.after, more, err = t.entryImage(ctx, modified, base); err != nil {
		return err
	}
	if given = append(given, more...); given != nil {
		slices.Sort(given)
		given = slices.DeleteFunc(slices.Compact(given), func(i int) bool { return t.columns[i].hidden })
	}
	p.entry.columns = given
	switch {
	case p.entry.action == event.ActionDelete:
		p.op = capture.Delete
	case p.before != nil && p.after != nil && !isNil(e.Original) && !isNil(e.Modified):
		p.columns, _ = t.changed(p.before, p.after)
		p.entry.columns = nil
	case p.entry.action == event.ActionAdd:
		p.op, p.before = capture.Insert, nil
	default:
		// One image only says which object is meant.
		p.columns, p.entry.bare = nil, true
	}
	return nil
}

func isNil(v any) bool {
	if v == nil {
		return true
	}
	rv := reflect.ValueOf(v)
	return rv.Kind() == reflect.Pointer && rv.IsNil()
}

// tableOf gives the compiled model of an object, registered or not.
func (h *handle) tableOf(ctx context.Context, object any) (*table, error) {
	typ := reflect.TypeOf(object)
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if typ.Kind() != reflect.Struct {
		return nil, fmt.Errorf("%w: its object is a %T, want a model, or ObjectType, ObjectID and ObjectRepr", ErrEntry, object)
	}
	if t := h.current(ctx).byType[typ]; t != nil {
		return t, nil
	}
	if t, ok := h.adHoc.Load(typ); ok {
		return t.(*table), nil
	}
	m, err := newModel(typ, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEntry, err)
	}
	t, err := adHoc(h.db, m, &h.auditor.rules, h.auditor.labelsOf(h.db))
	if err != nil {
		return nil, fmt.Errorf("%w: model %s: %w", ErrEntry, typ, err)
	}
	stored, _ := h.adHoc.LoadOrStore(typ, t)
	return stored.(*table), nil
}

// imageOf gives the values of a struct as the driver would get them; nil for no object. A value that
// does not convert is written as a text.
func (t *table) imageOf(ctx context.Context, object any) []any {
	if isNil(object) {
		return nil
	}
	rv := reflect.ValueOf(object)
	for rv.Kind() == reflect.Pointer {
		if rv.IsNil() {
			return nil
		}
		rv = rv.Elem()
	}
	if !rv.CanAddr() {
		// GORM's accessors of some fields need an address.
		addressable := reflect.New(rv.Type()).Elem()
		addressable.Set(rv)
		rv = addressable
	}
	row := make([]any, len(t.columns))
	for i := range t.columns {
		row[i] = readable(func() any {
			v, _ := t.columns[i].field.ValueOf(ctx, rv)
			return rawOf(v)
		})
	}
	return row
}

// unencodable begins the text that stands for a value without an encoding, as in package event.
const unencodable = "[UNENCODABLE] "

// readable gives what read gives. Where the application's code in it panics, that is the value: it must not
// cost the record, and what it panicked with may be what is to be hidden.
func readable(read func() any) (v any) {
	if guard("reading a value", func() error { v = read(); return nil }) != nil {
		return unencodable + "panic"
	}
	return v
}

// encodeOrSay gives v as JSON, or a text that says what could not be encoded, without its values.
func encodeOrSay(v any) (data json.RawMessage) {
	text := readable(func() any {
		if err, ok := v.(error); ok && !isNil(v) {
			if _, own := v.(json.Marshaler); !own {
				return err.Error() // encoding/json would write most errors as {}
			}
		}
		switch rv := reflect.ValueOf(v); rv.Kind() {
		case reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
			if data = encode(v); data == nil {
				return fmt.Sprint(v) // NaN
			}
		default:
			if data = encode(v); data == nil {
				return fmt.Sprintf("%s%T", unencodable, v)
			}
		}
		return nil
	})
	if text == nil {
		return data
	}
	return quote(text.(string))
}

func rawOf(v any) any {
	if isNil(v) {
		return nil
	}
	if u, ok := v.(uint64); ok {
		return u
	}
	raw, err := driver.DefaultParameterConverter.ConvertValue(v)
	if err == nil {
		return raw
	}
	if t, ok := v.(time.Time); ok {
		return t
	}
	if data := encode(v); data != nil {
		return string(data)
	}
	return fmt.Sprintf("%s%T", unencodable, v)
}
