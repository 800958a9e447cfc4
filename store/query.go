package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a query.
const (
	DefaultSize   = 20
	MaxSize       = 1000   // records of a page
	MaxWindow     = 10_000 // Offset + Size
	MaxTextLength = 256    // characters of Text
	MaxValues     = 100    // values of one filter
	TotalLimit    = 10_000 // largest total that is counted by default
)

// Query asks for records. The zero Query asks for the newest DefaultSize records of all.
type Query struct {
	// Filters must all hold.
	Filters []Filter
	// From and To bound the timestamp: From <= timestamp < To. The zero time is no bound. As
	// everywhere in a query, what of a time is below a millisecond does not count.
	From, To time.Time
	// Text finds records whose words (object, people, ids, changes, extra texts; see SearchText)
	// include all words of Text, whatever their case and accents. A word that ends in * finds all words
	// that begin with it; words in double quotes must stand together. A Text without any word, such as
	// "%", finds nothing; one of white space is no Text.
	Text string
	// Ascending gives the oldest first; else the newest first. Records of the same millisecond are
	// ordered by log_id, by its bytes, in the same direction.
	Ascending bool
	// After skips all records up to and including this position, in the direction of the query.
	After *Position
	// Offset skips so many records. It cannot be used together with After, and Offset + Size is at
	// most MaxWindow.
	Offset int
	// Size is the largest number of records wanted, at most MaxSize. Defaults to DefaultSize.
	Size int
	// TotalLimit is up to which number the total is counted; negative means not at all. Defaults to
	// the constant TotalLimit.
	TotalLimit int
}

// Filter holds for records whose field has one of the values, or with Not for all others.
type Filter struct {
	Field  Field
	Values []string
	Not    bool
}

// Field is the name of a field that can be filtered by, as it is on the wire.
type Field string

// The fields that can be filtered by. Values are compared as they are, but those of FieldUsername,
// FieldFullName, FieldObjectType, FieldAction and FieldSourceModel without regard to case.
const (
	FieldLogID       Field = "log_id"
	FieldUserID      Field = "user_id"
	FieldUsername    Field = "username"
	FieldFullName    Field = "full_name"
	FieldAction      Field = "action"
	FieldObjectType  Field = "object_type"
	FieldObjectID    Field = "object_id"
	FieldSourceModel Field = "source_model"
	FieldSourcePK    Field = "source_pk"
	FieldTenantID    Field = "tenant_id"
	FieldRequestID   Field = "request_id"
	FieldTraceID     Field = "trace_id"
	FieldSessionKey  Field = "session_key"
	FieldIPAddress   Field = "ip_address"
	FieldBatchID     Field = "batch_id"
	FieldBatchAction Field = "batch_action"
	FieldTxID        Field = "tx_id"
	// FieldChangedField holds if the column is among the changed ones.
	FieldChangedField Field = "changed_fields"

	// FieldChange holds if a field was changed from one value to another; make such filters with Changed.
	// FieldExtra holds if a field of the application's own has a value; make such filters with Extra. Both
	// have tokens for values, and are not among Fields.
	FieldChange Field = "change"
	FieldExtra  Field = "extra"
)

// Fields gives all fields that can be filtered by with plain values.
func Fields() []Field {
	return []Field{
		FieldLogID, FieldUserID, FieldUsername, FieldFullName, FieldAction, FieldObjectType, FieldObjectID,
		FieldSourceModel, FieldSourcePK, FieldTenantID, FieldRequestID, FieldTraceID, FieldSessionKey, FieldIPAddress,
		FieldBatchID, FieldBatchAction, FieldTxID, FieldChangedField,
	}
}

// Folds reports whether values of the field are compared without regard to case and accents; see
// Fold.
func (f Field) Folds() bool {
	switch f {
	case FieldUsername, FieldFullName, FieldObjectType, FieldAction, FieldSourceModel, FieldBatchAction:
		return true
	}
	return false
}

func (f Field) known() bool {
	return f == FieldChange || f == FieldExtra || slices.Contains(Fields(), f)
}

// Terms gives the terms of the Text. If never is true, the Text finds nothing.
func (q Query) Terms() (terms []Term, never bool) {
	terms = ParseText(q.Text)
	return terms, len(terms) == 0 && strings.TrimSpace(q.Text) != ""
}

// WithDefaults gives q with the defaults filled in.
func (q Query) WithDefaults() Query {
	if q.Size == 0 {
		q.Size = DefaultSize
	}
	if q.TotalLimit == 0 {
		q.TotalLimit = TotalLimit
	}
	return q
}

// Validate reports everything that is wrong with q, which has its defaults; the error wraps ErrQuery.
func (q Query) Validate() error {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("%w: "+format, append([]any{ErrQuery}, args...)...))
	}
	if q.Size < 1 || q.Size > MaxSize {
		bad("size is %d, want 1 to %d", q.Size, MaxSize)
	}
	if q.Offset < 0 || q.Offset+q.Size > MaxWindow {
		bad("offset %d + size %d is not in 0 to %d: page by position instead", q.Offset, q.Size, MaxWindow)
	}
	if q.Offset > 0 && q.After != nil {
		bad("offset and position exclude each other")
	}
	if q.After != nil && (q.After.Timestamp.IsZero() || q.After.LogID == "") {
		bad("a position needs a timestamp and a log_id")
	}
	if n := utf8.RuneCountInString(q.Text); n > MaxTextLength {
		bad("text has %d characters, want at most %d", n, MaxTextLength)
	}
	for _, f := range q.Filters {
		if !f.Field.known() {
			bad("no field %q to filter by", f.Field)
		}
		if len(f.Values) == 0 || len(f.Values) > MaxValues {
			bad("filter %q has %d values, want 1 to %d", f.Field, len(f.Values), MaxValues)
		}
	}
	return errors.Join(errs...)
}
