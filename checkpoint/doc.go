// Package checkpoint says how far a consumer has brought the records of a stream, in total and by
// producer: up to which sequence everything is in the store, and which sequences never came.
//
// A consumer keeps a checkpoint beside the offset that the broker keeps, so that an offset that somebody
// moved loses nothing. Producers read it as the indexed watermark: what is in the store need not be kept
// for sending it again, and what is missing can be sent again.
//
// # Delivery
//
// A checkpoint never promises too much: what it calls indexed is in the store or in the dead letters, or
// a gap record says that it is lost. It may promise too little, which costs repeated work only.
//
// # Errors
//
// Decode returns an error that wraps ErrFormat for what is not a checkpoint. ErrForbidden is for those who
// keep checkpoints.
//
// # Concurrency
//
// Values are plain data. A Tracker may be used by one goroutine at a time.
//
// # Limits
//
// A Tracker follows 10,000 producers and 1,000 missing ranges of each; see Tracker.
package checkpoint
