package audit

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
)

// Extra fields that are written here. They replace fields of the application of the same name.
const (
	// ExtraCascaded says how many dependents went with a deleted object, by object_type:
	// {"dependent": 2}.
	ExtraCascaded = "cascaded"
	// ExtraRows and ExtraStatement stand in the record of a statement that changed more rows than are
	// recorded one by one: their number, and its text without values.
	ExtraRows      = "rows"
	ExtraStatement = "statement"
	// ExtraNote says what is not certain of a change, such as "no before image": the row was there, how it
	// looked is not known, and changes has the new values of all columns, without old ones.
	ExtraNote = "note"
)

// unit is what one transaction, or one statement outside of one, is recorded as.
type unit struct {
	records []event.Record
	// encoded are the encodings of the records, if a sink takes them.
	encoded [][]byte
	txTaken bool // the TxSink took the records
	txErr   error
	// bestEffort says that all of them have that policy.
	bestEffort bool
	lost       int // so many it did not take
	unmade     int // changes whose record could not be made
	vetoed     int // records that Config.Before did not want
	cascaded   int64
	processed  map[*Batch]*processed
}

// assemble makes the records of a unit. conn is for reading parents; inTx says that it is in the
// transaction.
func (h *handle) assemble(ctx context.Context, conn gorm.ConnPool, inTx bool, items []*pending) *unit {
	u := &unit{records: make([]event.Record, 0, len(items))}
	for _, p := range items { // a COMMIT that was refused may have come before
		p.suppressed, p.cascaded = false, nil
	}
	items, merged := mergeRelations(items)
	u.bestEffort = !slices.ContainsFunc(items, func(p *pending) bool { return h.policyOf(p) != BestEffort })
	u.cascaded = suppress(items) + merged
	ps := newParents(h, conn, inTx, items)
	if err := ps.load(ctx, items); err != nil {
		h.auditor.report(ctx, KindTarget, err)
	}
	for _, p := range items {
		if p.suppressed {
			continue
		}
		first := len(u.records)
		err := guard("making a record", func() error {
			u.records = h.records(ctx, p, ps, u.records)
			return nil
		})
		if err != nil {
			u.unmade++
			h.auditor.report(ctx, KindCapture, err)
			continue
		}
		if b := p.who.batch; b != nil && p.counts() {
			done := u.processed[b]
			if done == nil {
				if u.processed == nil {
					u.processed = make(map[*Batch]*processed)
				}
				done = &processed{}
				u.processed[b] = done
			}
			r := &u.records[first]
			switch {
			case p.summary != nil:
				done.rows += p.summary.Rows
			case r.SourceModel != "":
				done.objects = append(done.objects, objectKey{r.SourceModel, r.SourcePK})
			default:
				done.objects = append(done.objects, objectKey{r.ObjectType, r.ObjectID})
			}
		}
	}
	u.records, u.vetoed = h.before(ctx, u.records)
	h.seal(u, inTx)
	return u
}

// seal gives the records of a unit their ids, in their order, and their hashes. Encoding them is what a hash
// costs, so that a store which takes encodings need not do it again.
func (h *handle) seal(u *unit, inTx bool) {
	records := u.records
	if len(records) == 0 {
		return
	}
	_, keep := h.txSink.(encodedTxSink)
	keep = keep && inTx || !u.bestEffort && takesEncoded(h.auditor.cfg.Sink)
	if keep {
		u.encoded = make([][]byte, len(records))
	}
	scratch := scratches.Get().(*[]byte) //nolint:forcetypeassert // only those are put
	defer scratches.Put(scratch)
	room := *scratch
	now := h.auditor.cfg.Clock()
	txID := event.NewID(now)
	ids := make([]string, len(records))
	for i := range ids {
		ids[i] = event.NewID(now)
	}
	// Records of one statement have one timestamp; readers order them by id.
	slices.Sort(ids)
	for i := range records {
		r := &records[i]
		r.LogID, r.TxID = ids[i], txID
		// An error means a record that Encode refuses as well; the sink will say so.
		var err error
		if room, err = event.Seal(r, room[:0]); keep && err == nil {
			u.encoded[i] = slices.Clone(room)
		}
	}
	if cap(room) <= maxScratch {
		*scratch = room
	}
}

// scratches are for encodings that nobody keeps.
var scratches = sync.Pool{New: func() any { return new([]byte) }}

// maxScratch is the size in bytes up to which one is used again.
const maxScratch = 64 << 10

// records appends the record of p, or of a dependent with a changed foreign key the two. A record is large,
// so it is made where it stays.
func (h *handle) records(ctx context.Context, p *pending, ps *parents, out []event.Record) []event.Record {
	if p.rel != nil {
		row := ps.rows[p.rel.owner.rowKey()]
		p.before, p.after = row, row
	}
	start := len(out)
	out = append(out, event.Record{})
	made := &out[start]
	h.base(p, made)
	if p.table != nil {
		h.describe(ctx, p, made)
	}
	if p.rel != nil {
		h.describeRelation(ctx, p, ps, made)
	}
	h.maskExtra(made)
	wants := p.wants()
	if len(wants) == 0 {
		return out
	}
	base := *made
	out = out[:start]
	var first object
	for i, w := range wants {
		parent := ps.find(w)
		if i > 0 && parent.table == first.table && parent.id == first.id {
			continue // it moved between two parents that are both logged under this object
		}
		first = parent
		r := base
		r.SourceModel, r.SourcePK, r.SourceRepr = r.ObjectType, r.ObjectID, r.ObjectRepr
		r.ObjectType, r.ObjectID = parent.table.model.info.ModelName, parent.id
		r.ObjectRepr = parent.table.objectRepr(ctx, parent.row, &h.auditor.rules, h.modelFailed(ctx))
		if r.ObjectRepr == "" {
			r.ObjectRepr = parent.table.fallbackRepr(parent.id)
		}
		out = append(out, r)
	}
	return out
}

// base fills what does not depend on the images.
func (h *handle) base(p *pending, r *event.Record) {
	cfg := &h.auditor.cfg
	if p.entry != nil {
		*r = p.entry.base
	}
	r.SchemaVersion = event.SchemaVersion
	own := r.Extra
	p.who.fill(r)
	for name, v := range own {
		setExtra(r, name, v)
	}
	if len(p.cascaded) > 0 {
		setExtra(r, ExtraCascaded, p.cascaded)
	}
	r.Reason, _ = h.auditor.rules.Document(r.Reason)
	r.ObjectRepr, _ = h.auditor.rules.Document(r.ObjectRepr) // what an entry of Log says
	r.Timestamp = p.time.UTC()
	r.Action = p.action()
	r.Service, r.Environment, r.Host = cfg.Service, cfg.Environment, cfg.Host
	r.Table = p.name
	if p.table != nil && r.ObjectType == "" {
		r.ObjectType = p.table.model.info.ModelName
	}
}

func setExtra(r *event.Record, name string, v any) {
	if r.Extra == nil {
		r.Extra = make(map[string]any, 1)
	}
	r.Extra[name] = v
}

// maskExtra masks secrets in the application's own fields. Values that cannot be encoded as JSON must not
// cost the record: what they are is said in their place.
func (h *handle) maskExtra(r *event.Record) {
	if len(r.Extra) == 0 {
		return
	}
	masked := make(map[string]any, len(r.Extra))
	for name, v := range r.Extra {
		out, _ := decodeJSON(encodeOrSay(v))
		masked[name] = out
	}
	out, _ := h.auditor.rules.Value(masked)
	r.Extra = out.(map[string]any)
}

// describe fills what the images say.
func (h *handle) describe(ctx context.Context, p *pending, r *event.Record) {
	t := p.table
	if p.summary != nil {
		summarize(p.summary, t, r)
		return
	}
	if row := p.image(); row != nil {
		if r.ObjectID == "" {
			r.ObjectID = t.objectID(row)
		}
		if r.ObjectRepr == "" && t.schema == nil && t.repr < 0 {
			r.ObjectRepr = t.fallbackRepr(r.ObjectID) // a map, whose id may not be in it
		}
		if r.ObjectRepr == "" {
			r.ObjectRepr = t.objectRepr(ctx, row, &h.auditor.rules, h.modelFailed(ctx))
		}
	}
	before, after := p.before, p.after
	if p.op == capture.Delete {
		after = nil
	}
	if p.note != "" {
		setExtra(r, ExtraNote, p.note)
	}
	var rows []event.MessageRow
	onlyMarks := true
	show := p.shown()
	r.Changes = make([]event.Change, len(show))
	r.ChangedFields = make([]string, len(show))
	if before != nil && after != nil && r.Action != event.ActionDelete {
		rows = make([]event.MessageRow, 0, len(show))
	}
	sh := &shower{rules: &h.auditor.rules, failed: h.modelFailed(ctx)}
	for n, i := range show {
		c := &t.columns[i]
		ch := &r.Changes[n]
		now := after
		if p.op == capture.SoftDelete && before != nil && !slices.Contains(p.columns, i) {
			now = nil // what the statement left alone is gone
		}
		*ch = sh.change(c, i, before, now)
		r.ChangedFields[n] = c.name
		if rows != nil {
			rows = sh.rows(rows, c, i, before, after, ch)
			onlyMarks = onlyMarks && (c.soft || c.auto)
		}
	}
	switch {
	case p.entry != nil && p.entry.message != "":
		text, _ := h.auditor.rules.Document(p.entry.message)
		r.ChangeMessage = event.TextMessage(text)
	case len(rows) > 0 && (r.Action != event.ActionRestore || !onlyMarks):
		r.ChangeMessage = event.TableMessage(rows)
	default:
		if m, ok := simpleMessages[r.Action]; ok {
			r.ChangeMessage = m
			return
		}
		r.ChangeMessage = event.TextMessage(textFor(r.Action))
	}
}

// shown gives the columns that the record lists. Of a row that was marked as deleted these are all, as of one
// that is gone: with the old values, and beside them the new ones of what the same statement changed. If there
// is but one image, it is listed whole: which of its columns changed is not known.
func (p *pending) shown() []int {
	switch {
	case p.rel != nil, p.entry != nil && p.entry.bare:
		return nil
	case p.entry != nil && p.entry.columns != nil:
		return p.entry.columns
	case p.before == nil || p.after == nil || p.op == capture.SoftDelete || p.op == capture.Delete:
		return p.table.all()
	}
	return p.columns
}

// simpleMessages are the messages of changes of rows, which are the same for all.
var simpleMessages = map[event.Action]event.Message{
	event.ActionAdd:     event.TextMessage(event.TextCreated),
	event.ActionDelete:  event.TextMessage(event.TextDeleted),
	event.ActionRestore: event.TextMessage(event.TextRestored),
	event.ActionChange:  event.TextMessage(event.TextModified),
}

// summarize fills the record of a statement that changed more rows than are recorded one by one.
func summarize(s *capture.Summary, t *table, r *event.Record) {
	if s.InDoubt {
		r.ChangeMessage = event.TextMessage("One statement, of which the answer was lost: which rows it wrote, if any, is not known")
		setExtra(r, ExtraStatement, statementShape(s.Statement, t))
		return
	}
	r.IsTruncated = true
	r.ChangeMessage = event.TextMessage(fmt.Sprintf("%d rows in one statement, not recorded one by one", s.Rows))
	setExtra(r, ExtraRows, s.Rows)
	setExtra(r, ExtraStatement, statementShape(s.Statement, t))
}

// textFor gives the change_message of an action without a table.
func textFor(action event.Action) string {
	switch action { //nolint:exhaustive // others have none, also those of the application
	case event.ActionAdd:
		return event.TextCreated
	case event.ActionDelete:
		return event.TextDeleted
	case event.ActionRestore:
		return event.TextRestored
	case event.ActionChange:
		return event.TextModified
	case event.ActionImport:
		return "Imported object"
	case event.ActionExport:
		return "Exported object"
	}
	return string(action)
}
