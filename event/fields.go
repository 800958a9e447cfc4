package event

// member ties one JSON name to the field of a Record.
type member struct {
	name string
	// key is ,"name": with its comma.
	key string
	// always says that the member stands in each encoding, even if it is zero.
	always bool
	// kind says where the member comes from.
	kind memberKind
	// keep is how many bytes of a text always stay if the record must be cut; 0 means all.
	keep int
	// field gives a pointer to the field.
	field func(r *Record) any
}

// memberKind says whose a member is; it matters for records of other producers, see adopt.
type memberKind uint8

const (
	ours      memberKind = iota // added by this module to the specification's fields
	specified                   // a field of the specification
	transport                   // written on the way: not part of the content, see ContentHash
)

// Bytes that stay of a text when a record is cut. Names and ids stay whole as long as anybody uses
// them as names and ids.
const (
	keepID   = 1024
	keepText = 256
	keepData = 16
)

// members is the wire format: its order is the order of the encoding.
var members = withKeys([]member{
	{"schema_version", "", true, ours, 0, func(r *Record) any { return &r.SchemaVersion }},
	{"log_id", "", true, specified, 0, func(r *Record) any { return &r.LogID }},
	{"timestamp", "", true, specified, 0, func(r *Record) any { return &r.Timestamp }},
	{"user_id", "", false, specified, keepID, func(r *Record) any { return &r.UserID }},
	{"username", "", false, specified, keepText, func(r *Record) any { return &r.Username }},
	{"full_name", "", false, specified, keepText, func(r *Record) any { return &r.FullName }},
	{"actor_type", "", false, ours, keepText, func(r *Record) any { return &r.ActorType }},
	{"impersonator_id", "", false, ours, keepID, func(r *Record) any { return &r.ImpersonatorID }},
	{"tenant_id", "", false, ours, keepID, func(r *Record) any { return &r.TenantID }},
	{"action", "", true, specified, keepText, func(r *Record) any { return &r.Action }},
	{"object_type", "", false, specified, keepText, func(r *Record) any { return &r.ObjectType }},
	{"object_id", "", false, specified, keepID, func(r *Record) any { return &r.ObjectID }},
	{"object_repr", "", false, specified, keepText, func(r *Record) any { return &r.ObjectRepr }},
	{"change_message", "", false, specified, keepData, func(r *Record) any { return &r.ChangeMessage }},
	{"changes", "", false, ours, keepData, func(r *Record) any { return &r.Changes }},
	{"changed_fields", "", false, ours, keepText, func(r *Record) any { return &r.ChangedFields }},
	{"ip_address", "", false, specified, keepText, func(r *Record) any { return &r.IPAddress }},
	{"user_agent", "", false, specified, keepText, func(r *Record) any { return &r.UserAgent }},
	{"session_key", "", false, specified, keepText, func(r *Record) any { return &r.SessionKey }},
	{"request_id", "", false, ours, keepText, func(r *Record) any { return &r.RequestID }},
	{"trace_id", "", false, ours, keepText, func(r *Record) any { return &r.TraceID }},
	{"span_id", "", false, ours, keepText, func(r *Record) any { return &r.SpanID }},
	{"http_method", "", false, ours, keepText, func(r *Record) any { return &r.HTTPMethod }},
	{"http_route", "", false, ours, keepText, func(r *Record) any { return &r.HTTPRoute }},
	{"source", "", false, ours, keepText, func(r *Record) any { return &r.Source }},
	{"outcome", "", false, ours, keepText, func(r *Record) any { return &r.Outcome }},
	{"reason", "", false, ours, keepText, func(r *Record) any { return &r.Reason }},
	{"service", "", false, ours, keepText, func(r *Record) any { return &r.Service }},
	{"environment", "", false, ours, keepText, func(r *Record) any { return &r.Environment }},
	{"host", "", false, ours, keepText, func(r *Record) any { return &r.Host }},
	{"source_model", "", false, specified, keepText, func(r *Record) any { return &r.SourceModel }},
	{"source_pk", "", false, specified, keepID, func(r *Record) any { return &r.SourcePK }},
	{"source_repr", "", false, specified, keepText, func(r *Record) any { return &r.SourceRepr }},
	{"batch_id", "", false, specified, keepID, func(r *Record) any { return &r.BatchID }},
	{"batch_action", "", false, specified, keepText, func(r *Record) any { return &r.BatchAction }},
	{"batch_summary", "", false, specified, 0, func(r *Record) any { return &r.BatchSummary }},
	{"total_processed", "", false, specified, 0, func(r *Record) any { return &r.TotalProcessed }},
	{"error_count", "", false, specified, 0, func(r *Record) any { return &r.ErrorCount }},
	{"errors", "", false, specified, keepData, func(r *Record) any { return &r.Errors }},
	{"tx_id", "", false, ours, keepID, func(r *Record) any { return &r.TxID }},
	{"table", "", false, ours, keepText, func(r *Record) any { return &r.Table }},
	{"extra", "", false, specified, keepData, func(r *Record) any { return &r.Extra }},
	{"is_truncated", "", false, ours, 0, func(r *Record) any { return &r.IsTruncated }},
	{"untruncated_size", "", false, ours, 0, func(r *Record) any { return &r.UntruncatedSize }},
	{"record_hash", "", false, transport, keepText, func(r *Record) any { return &r.RecordHash }},
	{"producer_id", "", false, transport, keepText, func(r *Record) any { return &r.ProducerID }},
	{"seq", "", false, transport, 0, func(r *Record) any { return &r.Seq }},
	{"ingested_at", "", false, transport, 0, func(r *Record) any { return &r.IngestedAt }},
	{"stream", "", false, transport, keepText, func(r *Record) any { return &r.Stream }},
	{"stream_offset", "", false, transport, 0, func(r *Record) any { return &r.StreamOffset }},
})

func withKeys(list []member) []member {
	for i := range list {
		list[i].key = `,"` + list[i].name + `":`
	}
	return list
}

var memberIndex = func() map[string]int {
	index := make(map[string]int, len(members))
	for i := range members {
		index[members[i].name] = i
	}
	return index
}()

// Reserved reports whether name is the name of a field of the record, so that an extra field of that
// name is not shown at the top level.
func Reserved(name string) bool {
	_, ok := memberIndex[name]
	return ok
}
