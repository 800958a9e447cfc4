// Package event has the audit record as it travels: its fields, its encoding in JSON, its identity.
// It imports the standard library only, so that producers and readers in other programs can use it
// alone.
//
// The files in testdata are the contract: *.json is what this package writes, *.in.json what it
// reads of other producers and *.out.json what is stored of that.
//
// # Delivery
//
// A record is one line of JSON, at most MaxSize bytes, with the content type ContentType. LogID
// identifies it for ever, so that it may be delivered more than once. A queue that knows the place
// of a record only when it writes puts it in with Stamp, a consumer with StampIngest, without
// decoding. ContentHash is the same whichever way the record went.
//
// # Errors
//
// Decode refuses what is no record with an error that wraps ErrInvalid and names the field. Encode
// refuses a record only if log_id, timestamp or action are missing or the log_id is too long: a value
// that has no encoding, or is too long, is marked and the record still written.
//
// # Concurrency
//
// All functions may be called concurrently. A Record is a value; the slices and maps in it must not
// be changed once it was handed on.
//
// # Limits
//
// MaxSize, MaxDecodeSize, MaxDepth and MaxIDLength. Times are of the years 0 to 9999. Decode refuses
// a name that stands twice in one object, as OpenSearch does.
package event
