// Package relay carries records from a durable queue to a stream.
//
// # Delivery
//
// At least once, in the order of the queue: one publisher at a time, under the queue's producer name,
// with the queue's sequences. On any doubt (a lost connection, a refused message, no confirm in time)
// the publisher is thrown away and everything that is not confirmed is published again by a new one,
// with the same sequences; the stream drops what it has. The queue is told only what is confirmed.
// A message that no broker would take is put aside by the queue, counted, and holds up nobody.
//
// One relay per queue: a spool is relayed by the process that writes to it (Start). Another process may
// relay what processes that ended have left (RunOrphans); the locks of the folders keep them apart.
//
// # Errors
//
// Nothing that a broker does ends a relay; it is counted, logged when it changes, and tried again
// after a pause of 100 ms to 5 s.
//
// # Concurrency
//
// Run is called once; everything else may be called concurrently.
//
// # Limits
//
// At most 10,000 records and 32 MiB are unconfirmed at a time, see Config.
package relay
