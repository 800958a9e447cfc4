package sqlstore

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// maxKey is the largest length in bytes of a filter value in the table. Longer ones are hashed, because
// no index takes them.
const maxKey = 256

// attrSeparator stands around each attribute.
const attrSeparator = "\x1f"

// columns are the filter columns in the order of the table, with the names of their fields: those that
// most queries use.
var columns = []store.Field{
	store.FieldUserID, store.FieldAction, store.FieldObjectType, store.FieldObjectID, store.FieldTenantID, store.FieldBatchID,
}

// attrFields are filtered by the one column attrs, which has them as ␟field=value␟field=value␟. A column
// for each of them would cost every write of the application more, for queries that are seldom.
var attrFields = []store.Field{
	store.FieldUsername, store.FieldFullName, store.FieldSourceModel, store.FieldSourcePK, store.FieldRequestID, store.FieldTraceID,
	store.FieldSessionKey, store.FieldIPAddress, store.FieldBatchAction, store.FieldTxID, store.FieldChangedField,
}

const numColumns = 6

// row is a record as it is stored.
type row struct {
	logID  string
	millis int64
	// filters are the values of columns; "" is NULL.
	filters [numColumns]string
	attrs   string
	body    string
}

// values gives the nullable columns in the order of the table.
func (r *row) values() (v [numColumns + 1]string) {
	copy(v[:], r.filters[:])
	v[numColumns] = r.attrs
	return v
}

// errLogID says that a log_id cannot be stored in any database alike.
var errLogID = errors.New("want valid UTF-8 without NUL")

func validID(logID string) bool {
	return utf8.ValidString(logID) && strings.IndexByte(logID, 0) < 0
}

// newRow gives the row of r. encoded may be nil.
func newRow(r *event.Record, encoded []byte) (row, error) {
	if !validID(r.LogID) {
		return row{}, fmt.Errorf("sqlstore: log_id %q: %w", r.LogID, errLogID)
	}
	// A text column takes UTF-8 only; encoding the record again makes it that.
	if encoded == nil || !utf8.Valid(encoded) {
		var err error
		if encoded, err = event.Encode(*r); err != nil {
			return row{}, fmt.Errorf("sqlstore: encode %s: %w", r.LogID, err)
		}
	}
	out := row{logID: r.LogID, millis: r.Timestamp.UnixMilli(), body: string(encoded)}
	for i, v := range [numColumns]string{r.UserID, string(r.Action), r.ObjectType, r.ObjectID, r.TenantID, r.BatchID} {
		out.filters[i] = filterKey(columns[i], v)
	}
	out.attrs = attrsOf(r)
	return out, nil
}

// attrsOf gives the column attrs.
func attrsOf(r *event.Record) string {
	var b strings.Builder
	add := func(f store.Field, v string) {
		if v = filterKey(f, v); v != "" {
			b.WriteString(attrSeparator)
			b.WriteString(string(f))
			b.WriteByte('=')
			b.WriteString(v)
		}
	}
	for i, v := range [...]string{
		r.Username, r.FullName, r.SourceModel, r.SourcePK, r.RequestID, r.TraceID, r.SessionKey, r.IPAddress, string(r.BatchAction), r.TxID,
	} {
		add(attrFields[i], v)
	}
	for _, f := range r.ChangedFields {
		add(store.FieldChangedField, f)
	}
	if b.Len() > 0 {
		b.WriteString(attrSeparator)
	}
	return b.String()
}

// attr gives what is in attrs if the field has the value, which is a filterKey.
func attr(f store.Field, v string) string {
	return attrSeparator + string(f) + "=" + v + attrSeparator
}

// filterKey gives a value as it is compared. The same is done to what is stored and to what is asked.
func filterKey(f store.Field, v string) string {
	if v == "" {
		return ""
	}
	switch f {
	case store.FieldAction, store.FieldBatchAction:
		v = strings.ToUpper(store.Fold(v)) // people read the table as well
	case store.FieldIPAddress:
		if a, err := netip.ParseAddr(v); err == nil {
			v = a.Unmap().String()
		}
	default:
		if f.Folds() {
			v = store.Fold(v)
		}
	}
	if strings.Contains(v, attrSeparator) {
		v = strings.ReplaceAll(v, attrSeparator, "\uFFFD")
	}
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, "\uFFFD")
	}
	if strings.IndexByte(v, 0) >= 0 {
		v = strings.ReplaceAll(v, "\x00", "\uFFFD") // no text column of PostgreSQL takes it
	}
	if len(v) > maxKey {
		sum := sha256.Sum256([]byte(v))
		return "sha256:" + hex.EncodeToString(sum[:])
	}
	return v
}
