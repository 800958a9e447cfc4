package query

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Bounds of a state.
const (
	maxStateRecords    = 10_000 // records that are read for one state
	maxStateDependents = 100    // dependents in one answer
	maxStateMarks      = 100    // reasons why it is incomplete
	statePage          = 500
)

func stateParams() []param {
	return append(objectParams(),
		param{name: "at", text: "the instant, inclusive; now by default", schema: schema{"type": "string", "format": "date-time"}})
}

// stateAnswer is the body of /state/.
type stateAnswer struct {
	objectState
	At time.Time `json:"at"`
	// Records is how many records were read for it.
	Records int `json:"records"`
	// GapsVisible says whether the caller can see records of gaps. If not, records may be missing of which
	// this answer cannot tell.
	GapsVisible bool `json:"gaps_visible"`
	// Dependents are those that were seen under the object.
	Dependents          []objectState `json:"dependents"`
	DependentsTruncated bool          `json:"dependents_truncated,omitempty"`
}

// objectState is one object at the time.
type objectState struct {
	ObjectType string `json:"object_type"`
	ObjectID   string `json:"object_id"`
	ObjectRepr string `json:"object_repr,omitempty"`
	// Exists is false after a DELETE; Fields are then what it had before.
	Exists bool `json:"exists"`
	// Complete says that the trail has everything since the object was added; else Incomplete says why not.
	Complete   bool         `json:"complete"`
	Incomplete []stateMark  `json:"incomplete"`
	Fields     []stateField `json:"fields"`
}

// stateField is the last known value of a column, and which record says so.
type stateField struct {
	Field     string          `json:"field"`
	Label     string          `json:"label,omitempty"`
	Type      string          `json:"type,omitempty"`
	Value     json.RawMessage `json:"value"`
	LogID     string          `json:"log_id"`
	Timestamp time.Time       `json:"timestamp"`
	Redacted  bool            `json:"redacted,omitempty"`
	Truncated bool            `json:"truncated,omitempty"`
}

// stateMark is a reason why a state may not be what the object was.
type stateMark struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"`
	LogID  string `json:"log_id,omitempty"`
}

// The codes of a stateMark.
const (
	markNoAdd      = "no_add"       // the trail does not go back to when it was added
	markNoValues   = "no_values"    // a record says that it changed, but not how
	markCut        = "value_cut"    // a value was cut
	markMasked     = "value_masked" // a value is masked, or hidden from the caller
	markRecordCut  = "record_cut"   // a record was cut, so that changes may be missing in it
	markBroken     = "chain_broken" // a value before a change is not the one after the last change
	markGap        = "gap"          // records of a producer are missing in this time
	markStatement  = "statement"    // a statement wrote rows that were not recorded one by one
	markTooMany    = "too_many"     // there are more records than are read
	markHiddenData = "hidden"       // changes are hidden from the caller as a whole
)

// state answers the object as it was.
func (h *handler) state(r *call) {
	o := r.objectRef()
	at, ok := r.p.instant("at")
	if !ok {
		at = r.start.UTC().Truncate(time.Millisecond)
	}
	if h.wrong(r) {
		return
	}
	ctx := r.c.Request.Context()
	b := newStateBuilder(o, r.grant)
	// Newest first, up to the first whole image: older records say nothing more.
	q := store.Query{To: at.Add(time.Millisecond), Size: statePage, TotalLimit: -1, Filters: r.grant.Filters}
	err := b.read(ctx, o.fetch(h.Store), q)
	if err == nil && b.records == 0 {
		err = store.ErrNotFound
	}
	var marks []stateMark
	if err == nil {
		marks, err = h.unseen(ctx, r.grant, o, b.since(), at)
	}
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	a := b.answer(marks)
	a.At, a.GapsVisible = at, len(r.grant.Filters) == 0
	r.rows = a.Records
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, a)
	}
}

// The words by which records are found that stand for many rows, or for rows that nobody knows: they
// have no object_id.
var statementTexts = []string{
	`"rows in one statement not recorded one by one"`,
	`"SQL text wrote the table its rows and values are not known"`,
	`"which rows it wrote if any is not known"`,
}

// unseen gives the marks for what may have changed the object without a record of its own: statements
// that wrote many rows of its type, and gaps.
func (h *handler) unseen(ctx context.Context, grant Grant, o objectRef, since, at time.Time) ([]stateMark, error) {
	var marks []stateMark
	for _, text := range statementTexts {
		page, err := h.Store.Search(ctx, store.Query{
			Filters: append(slices.Clone(grant.Filters), store.Filter{Field: store.FieldObjectType, Values: []string{o.kind}}),
			From:    since, To: at.Add(time.Millisecond), Text: text, TotalLimit: -1,
		})
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if r.ObjectID == "" {
				marks = append(marks, stateMark{Code: markStatement, LogID: r.LogID, Detail: "a statement wrote rows of this type that are not recorded one by one"})
			}
		}
	}
	// A gap has the time of its last loss, which may be after at.
	q := store.Query{
		Filters: append(slices.Clone(grant.Filters), store.Filter{Field: store.FieldObjectType, Values: []string{event.ObjectTypeGap}}),
		From:    since, Ascending: true, Size: statePage, TotalLimit: -1,
	}
	for len(marks) < maxStateMarks {
		page, err := h.Store.Search(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Records {
			if g, ok := event.GapOf(r); ok && g.Count > 0 && !g.First.After(at) && (!g.First.IsZero() || !r.Timestamp.After(at)) {
				marks = append(marks, stateMark{Code: markGap, LogID: r.LogID, Detail: "records are missing in this time, of this object or of others"})
			}
		}
		if !page.HasMore {
			break
		}
		position := store.PositionOf(page.Records[len(page.Records)-1])
		q.After = &position
	}
	return marks, nil
}
