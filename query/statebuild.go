package query

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// stateBuilder takes the records of an object, newest first, and knows what it was.
type stateBuilder struct {
	object objectRef
	grant  Grant
	main   *subject
	// dependents are in the order in which they are met.
	dependents []*subject
	byRef      map[objectRef]*subject
	more       bool // there are more dependents
	records    int
	oldest     time.Time
	tooMany    bool
}

// subject is one object whose state is rebuilt.
type subject struct {
	state objectState
	// known says that a record tells whether it exists, whole that all older values are known.
	known, whole bool
	// next has of each column the change that was met last, which is the next one in time.
	next map[string]event.Change
}

func newStateBuilder(o objectRef, grant Grant) *stateBuilder {
	b := &stateBuilder{object: o, grant: grant, byRef: map[objectRef]*subject{}}
	b.main = newSubject(o)
	return b
}

func newSubject(o objectRef) *subject {
	return &subject{
		state: objectState{ObjectType: o.kind, ObjectID: o.id, Exists: true, Fields: []stateField{}, Incomplete: []stateMark{}},
		next:  map[string]event.Change{},
	}
}

// read takes pages until the object is known as a whole.
func (b *stateBuilder) read(ctx context.Context, fetch fetchFunc, q store.Query) error {
	for {
		page, err := fetch(ctx, q)
		if err != nil {
			return err
		}
		for _, r := range page.Records {
			b.add(r)
			if b.main.whole {
				return nil
			}
		}
		if !page.HasMore || len(page.Records) == 0 {
			return nil
		}
		if b.records >= maxStateRecords {
			b.tooMany = true
			return nil
		}
		position := store.PositionOf(page.Records[len(page.Records)-1])
		q.After = &position
	}
}

func (b *stateBuilder) add(r event.Record) {
	b.records++
	b.oldest = r.Timestamp
	s := b.subjectOf(r)
	if s == nil || s.whole {
		return
	}
	redact(&r, b.grant)
	if b.grant.hides("changes") {
		s.mark(stateMark{Code: markHiddenData, LogID: r.LogID, Detail: "the changes are hidden from you"})
		r.Changes = nil
	}
	s.add(r, s == b.main && r.SourceModel == "", b.grant)
}

// subjectOf gives whose record r is; nil if there are too many.
func (b *stateBuilder) subjectOf(r event.Record) *subject {
	o := objectRef{store.Fold(r.SourceModel), r.SourcePK}
	if r.SourceModel == "" || o == (objectRef{store.Fold(b.object.kind), b.object.id}) {
		return b.main
	}
	if s, ok := b.byRef[o]; ok {
		return s
	}
	if len(b.dependents) == maxStateDependents {
		b.more = true
		return nil
	}
	s := newSubject(objectRef{r.SourceModel, r.SourcePK})
	b.byRef[o] = s
	b.dependents = append(b.dependents, s)
	return s
}

// since gives the time from which on records could be missing.
func (b *stateBuilder) since() time.Time {
	if b.main.whole {
		return b.oldest
	}
	return time.Time{}
}

func (b *stateBuilder) answer(marks []stateMark) stateAnswer {
	if b.tooMany {
		b.main.mark(stateMark{Code: markTooMany, Detail: fmt.Sprintf("only the newest %d records were read", b.records)})
	}
	for _, m := range marks {
		b.main.mark(m)
	}
	a := stateAnswer{objectState: b.main.finish(), Records: b.records, Dependents: []objectState{}, DependentsTruncated: b.more}
	for _, s := range b.dependents {
		a.Dependents = append(a.Dependents, s.finish())
	}
	return a
}

// add takes a record; own says that it has the object's own object_repr.
func (s *subject) add(r event.Record, own bool, grant Grant) {
	repr := r.SourceRepr
	if own {
		repr = r.ObjectRepr
	}
	hidden := "source_repr"
	if own {
		hidden = "object_repr"
	}
	if s.state.ObjectRepr == "" && !grant.hides(hidden) {
		s.state.ObjectRepr = repr
	}
	if !s.known {
		switch r.Action { //nolint:exhaustive // others say nothing about it
		case event.ActionAdd, event.ActionChange, event.ActionRestore:
			s.known = true
		case event.ActionDelete:
			s.known, s.state.Exists = true, false
		}
	}
	switch {
	case len(r.Changes) > 0:
	case r.Action == event.ActionChange, r.Action == event.ActionAdd, r.Action == event.ActionDelete:
		if !grant.hides("changes") {
			s.mark(stateMark{Code: markNoValues, LogID: r.LogID, Detail: fmt.Sprintf("a record of %s does not say which values", r.Action)})
		}
	}
	if r.IsTruncated && len(r.Changes) < len(r.ChangedFields) || r.IsTruncated && len(r.Changes) == 0 {
		s.mark(stateMark{Code: markRecordCut, LogID: r.LogID, Detail: "the record was cut: changes may be missing in it"})
	}
	for _, c := range r.Changes {
		s.change(r, c)
	}
	if r.Action == event.ActionAdd {
		s.whole = true
	}
	if r.Action == event.ActionDelete && len(r.Changes) > 0 {
		s.whole = !slices.ContainsFunc(r.Changes, func(c event.Change) bool { return c.New != nil })
	}
}

// change takes an older change of a column.
func (s *subject) change(r event.Record, c event.Change) {
	next, later := s.next[c.Field]
	s.next[c.Field] = c
	value := c.New
	if value == nil { // of a DELETE: what it was before
		value = c.Old
	}
	if later {
		if comparable(c) && comparable(next) && value != nil && next.Old != nil && !sameJSON(value, next.Old) {
			s.mark(stateMark{Code: markBroken, Field: c.Field, LogID: r.LogID, Detail: "the next change does not begin with the value that this record ends with: changes between them are missing"})
		}
		return
	}
	f := stateField{Field: c.Field, Label: c.Label, Type: c.Type, Value: value, LogID: r.LogID, Timestamp: r.Timestamp.UTC(), Redacted: c.Redacted, Truncated: c.Truncated}
	if f.Value == nil {
		f.Value = json.RawMessage("null")
	}
	if c.Redacted {
		s.mark(stateMark{Code: markMasked, Field: c.Field, LogID: r.LogID, Detail: "the value is masked"})
	}
	if c.Truncated {
		s.mark(stateMark{Code: markCut, Field: c.Field, LogID: r.LogID, Detail: "the value was cut"})
	}
	s.state.Fields = append(s.state.Fields, f)
}

// comparable reports whether the values of c are the ones that were stored.
func comparable(c event.Change) bool { return !c.Redacted && !c.Truncated }

// sameJSON compares two values but for the space between their parts.
func sameJSON(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

func (s *subject) mark(m stateMark) {
	if len(s.state.Incomplete) < maxStateMarks && !slices.Contains(s.state.Incomplete, m) {
		s.state.Incomplete = append(s.state.Incomplete, m)
	}
}

func (s *subject) finish() objectState {
	if !s.whole {
		s.mark(stateMark{Code: markNoAdd, Detail: "the trail does not go back to when the object was added: columns that never changed since are missing"})
	}
	slices.SortStableFunc(s.state.Fields, func(a, b stateField) int { return bytes.Compare([]byte(a.Field), []byte(b.Field)) })
	s.state.Complete = len(s.state.Incomplete) == 0
	return s.state
}
