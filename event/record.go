package event

import (
	"encoding/json"
	"time"
)

// SchemaVersion is the version of the wire format that this package writes.
const SchemaVersion = 1

// OutcomeAttempted is the outcome of a record that was written before an act, whose outcome is in a record
// of its own: alone it says that the act was attempted.
const OutcomeAttempted = "attempted"

// ContentType is the content type of an encoded record, on the stream and over HTTP.
const ContentType = "application/json"

// Record is one audit record: one change of one row, one manual entry, or the summary of a batch.
//
// The JSON names are the contract between producers, stream, consumer, stores and the query API;
// see testdata for golden files. Zero fields are left out of the encoding, except log_id,
// timestamp, schema_version and action. A Record is a value: whoever receives one may keep it, and
// must not change the slices and maps in it.
type Record struct {
	// SchemaVersion is the version of the format. Encode writes the package's SchemaVersion when it
	// is 0.
	SchemaVersion int
	// LogID identifies the record for ever; a UUIDv7 when it was made by this module (see NewID).
	LogID string
	// Timestamp is when the change was made, in UTC; for a captured row the moment at which the
	// statement returned.
	Timestamp time.Time

	// UserID, Username and FullName say who did it.
	UserID   string
	Username string
	FullName string
	// ActorType is "user", "system", or a word of the application's own.
	ActorType string
	// ImpersonatorID is the id of the user who acted in the name of UserID.
	ImpersonatorID string
	// TenantID is the tenant that the record belongs to.
	TenantID string

	// Action says what happened; see the Action constants.
	Action Action
	// ObjectType is the lower-case name of the model, such as "customer". For the record of a
	// dependent row it is the type of the parent.
	ObjectType string
	// ObjectID is the primary key of the object as text; of a composite key the parts joined by
	// commas.
	ObjectID string
	// ObjectRepr is the object in words. It holds data of the application's users: escape it.
	ObjectRepr string
	// ChangeMessage says what changed, as text or as a table.
	ChangeMessage Message
	// Changes has one entry for each changed column, in the order of the model's fields.
	Changes []Change
	// ChangedFields has the column names of Changes.
	ChangedFields []string

	// IPAddress, UserAgent and SessionKey describe the client. UserAgent is chosen by the client.
	// SessionKey is a keyed hash, never the session's secret.
	IPAddress  string
	UserAgent  string
	SessionKey string
	// RequestID, TraceID and SpanID link the record to the request that caused it.
	RequestID string
	TraceID   string
	SpanID    string
	// HTTPMethod and HTTPRoute name the handler; the route is its template, never the raw URL.
	HTTPMethod string
	HTTPRoute  string

	// Source is where the change came from: "api", "admin", "job", "cli", "migration", or a word of
	// the application's own.
	Source string
	// Outcome is "success", "failure", "unknown", or "attempted" (see OutcomeAttempted); empty means
	// success.
	Outcome string
	// Reason is why it was done, in the words of the actor.
	Reason string
	// Service, Environment and Host name the program that made the record.
	Service     string
	Environment string
	Host        string

	// SourceModel, SourcePK and SourceRepr name the dependent row whose change is logged under its
	// parent. SourceModel has the form of ObjectType.
	SourceModel string
	SourcePK    string
	SourceRepr  string

	// BatchID links all records of one batch; BatchAction is what the batch as a whole did.
	BatchID     string
	BatchAction Action
	// BatchSummary marks the one record that sums a batch up. TotalProcessed counts the batch's
	// committed objects, ErrorCount its errors, and Errors has the first of them.
	BatchSummary   bool
	TotalProcessed int64
	ErrorCount     int64
	Errors         []string

	// TxID is the same for all records of one database transaction.
	TxID string
	// Table is the database table of the row that changed.
	Table string

	// ProducerID and Seq are given by the durable queue that the record went through: within one
	// producer Seq counts from 1 without a gap.
	ProducerID string
	Seq        uint64
	// RecordHash is the hash of the record's content; see ContentHash.
	RecordHash string

	// Extra has the application's own fields, nested under "extra" on the wire. Numbers of a decoded
	// record are of type json.Number.
	Extra map[string]any

	// IsTruncated says that values were cut to keep the record within MaxSize, or that a statement
	// changed more rows than are recorded one by one. UntruncatedSize is the size in bytes that the
	// encoded record would have had.
	IsTruncated     bool
	UntruncatedSize int64

	// IngestedAt, Stream and StreamOffset are set by the consumer: when it stored the record, and
	// where on which stream it found it. StreamOffset has no meaning without Stream.
	IngestedAt   time.Time
	Stream       string
	StreamOffset int64

	// unknown has the top-level members that this version does not know, so that they survive.
	unknown map[string][]byte
	// unknownOfChange has the same for the entries of Changes, by their index.
	unknownOfChange []map[string][]byte
}

// Change is the change of one column.
type Change struct {
	// Field is the database column.
	Field string `json:"field"`
	// Label is the field's name for people; empty means Field.
	Label string `json:"label,omitempty"`
	// Type is one of the Type constants: how Old and New are to be read.
	Type string `json:"type,omitempty"`
	// Old and New are JSON values. A nil slice is "no such value" (Old of an ADD, New of a DELETE)
	// and is left out; a database NULL is the JSON null. The DELETE of a row that is only marked as
	// deleted has New of the columns that the statement set, the mark among them. A CHANGE without any Old
	// is of a row of which it is not known how it looked before.
	Old json.RawMessage `json:"old,omitempty"`
	New json.RawMessage `json:"new,omitempty"`
	// Redacted says that Old and New were replaced by a mask.
	Redacted bool `json:"redacted,omitempty"`
	// Truncated says that Old or New was cut.
	Truncated bool `json:"truncated,omitempty"`
	// OldHash and NewHash are the SHA-256, in hex, of the JSON of Old or New before it was cut by more
	// than a little: a copy of the whole value can be proved to be the one that was stored.
	OldHash string `json:"old_hash,omitempty"`
	NewHash string `json:"new_hash,omitempty"`
}

// Types of the values in a Change.
const (
	TypeString  = "string"  // JSON string
	TypeInteger = "integer" // JSON number without fraction
	TypeDecimal = "decimal" // JSON string, exact
	TypeFloat   = "float"   // JSON number; NaN and infinities are strings
	TypeBoolean = "boolean" // JSON true or false
	TypeTime    = "time"    // JSON string in RFC 3339, UTC
	TypeJSON    = "json"    // any JSON value
	TypeBytes   = "bytes"   // JSON string in base64
)
