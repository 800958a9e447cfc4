package audit

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
)

// pending is a change, or an entry of Log, that waits for its transaction. The images are raw, as its
// record can only be made when the whole unit is known: what else was deleted, what its parent is.
type pending struct {
	handle *handle
	table  *table // nil for an entry without a model
	name   string // the table as the statement names it
	who    *who
	time   time.Time

	op            capture.Op
	before, after []any
	columns       []int // the columns that changed, of an update with both images
	note          string
	summary       *capture.Summary
	entry         *entry // set for Log and batch summaries
	rel           *relationChange

	// What happens at release:
	suppressed bool
	cascaded   map[string]int64 // dependents that were suppressed in favour of this, by object_type
	unit       *unit            // set in the first one of a unit once its records are made
}

// entry is what Log says besides the images.
type entry struct {
	action  event.Action
	message string
	base    event.Record // fields that are set already
	summary *Batch       // of a batch that has ended
	bare    bool         // the images only say which object is meant
	columns []int        // the columns to show of one image; nil: all

	lost atomic.Pointer[DeliverError] // set if the Sink did not take it

	unattributed bool // SQL text, which says of no object that it changed
}

// action gives the record's action.
func (p *pending) action() event.Action {
	if p.entry != nil {
		return p.entry.action
	}
	switch p.op {
	case capture.Insert:
		return event.ActionAdd
	case capture.Delete, capture.SoftDelete:
		return event.ActionDelete
	case capture.Restore:
		return event.ActionRestore
	default:
		return event.ActionChange
	}
}

// counts reports whether it is an object that a batch has processed.
func (p *pending) counts() bool {
	return p.entry == nil || p.entry.summary == nil && !p.entry.unattributed
}

// deletes reports whether the row is gone with this change.
func (p *pending) deletes() bool {
	return p.entry == nil && p.summary == nil && p.before != nil && (p.op == capture.Delete || p.op == capture.SoftDelete)
}

// space is the database schema that the statement names and the model does not: tenants may have the same
// tables each in a schema of their own.
func (p *pending) space() string {
	space := spaceOf(p.name)
	if p.table == nil || space == spaceOf(p.table.schema.Table) {
		return ""
	}
	return space
}

// spaceOf gives the database schema in a table's name, "" if it has none.
func spaceOf(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		return name[:i]
	}
	return ""
}

// space is that of the parent of a row: the same, unless its model names one.
func (e *edge) space(child string) string {
	if spaceOf(e.parent.schema.Table) != "" {
		return ""
	}
	return child
}

// image is the row as it is now, or as it was.
func (p *pending) image() []any {
	if p.after != nil && p.op != capture.SoftDelete {
		return p.after
	}
	if p.before != nil {
		return p.before
	}
	return p.after
}
