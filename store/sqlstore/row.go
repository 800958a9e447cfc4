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

// fieldSeparator stands around each of the changed fields.
const fieldSeparator = "\x1f"

// columns are the filter columns in the order of the table. Their names are those of the fields.
var columns = []store.Field{
	store.FieldUserID, store.FieldUsername, store.FieldFullName, store.FieldAction, store.FieldObjectType, store.FieldObjectID,
	store.FieldSourceModel, store.FieldSourcePK, store.FieldTenantID, store.FieldRequestID, store.FieldTraceID, store.FieldSessionKey,
	store.FieldIPAddress, store.FieldBatchID, store.FieldBatchAction, store.FieldTxID, store.FieldChangedField,
}

const numColumns = 17

// row is a record as it is stored.
type row struct {
	logID  string
	millis int64
	// filters are the values of columns; "" is NULL.
	filters [numColumns]string
	body    string
}

// errLogID says that a log_id cannot be stored in any database alike.
var errLogID = errors.New("want valid UTF-8 without NUL")

func validID(logID string) bool {
	return utf8.ValidString(logID) && strings.IndexByte(logID, 0) < 0
}

// newRow gives the row of r. encoded may be nil.
func newRow(r event.Record, encoded []byte) (row, error) {
	if !validID(r.LogID) {
		return row{}, fmt.Errorf("sqlstore: log_id %q: %w", r.LogID, errLogID)
	}
	// A text column takes UTF-8 only; encoding the record again makes it that.
	if encoded == nil || !utf8.Valid(encoded) {
		var err error
		if encoded, err = event.Encode(r); err != nil {
			return row{}, fmt.Errorf("sqlstore: encode %s: %w", r.LogID, err)
		}
	}
	out := row{logID: r.LogID, millis: r.Timestamp.UnixMilli(), body: string(encoded)}
	for i, v := range [numColumns]string{
		r.UserID, r.Username, r.FullName, string(r.Action), r.ObjectType, r.ObjectID, r.SourceModel, r.SourcePK, r.TenantID,
		r.RequestID, r.TraceID, r.SessionKey, r.IPAddress, r.BatchID, string(r.BatchAction), r.TxID, changedFields(r.ChangedFields),
	} {
		if columns[i] == store.FieldChangedField {
			out.filters[i] = v
		} else {
			out.filters[i] = filterKey(columns[i], v)
		}
	}
	return out, nil
}

// changedFields gives the column of the changed fields, in which each one is found with its separators.
func changedFields(fields []string) string {
	if len(fields) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(fieldSeparator)
	for _, f := range fields {
		b.WriteString(filterKey(store.FieldChangedField, f))
		b.WriteString(fieldSeparator)
	}
	return b.String()
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
	case store.FieldChangedField:
		v = strings.ReplaceAll(v, fieldSeparator, " ")
	default:
		if f.Folds() {
			v = store.Fold(v)
		}
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
