// Package consumer carries audit records from a stream to a store.
//
// # Delivery
//
// At least once, and with a store that writes each log_id once: exactly once. The committed offset
// never passes a record that is neither in the store nor in the dead letters. A consumer may be killed
// at any time; what it had read and not committed comes again.
//
// # Errors
//
// A message that is no record, or that the store will never take, becomes a dead letter with the
// reason, and the next is read. Everything else (stream, store or dead letters not there, disk full,
// credentials refused) is waited for, without a limit and without losing anything: see Stats and the
// log.
//
// # Concurrency
//
// Run may run once at a time. Stats may be called at any time.
//
// # Limits
//
// A batch is in memory as a whole: BatchSize messages, and at least BatchBytes.
package consumer
