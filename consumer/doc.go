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
// Run may run once at a time. Stats, Health and Ready may be called at any time.
//
// # Limits
//
// In memory are at most MaxHeld messages, and one batch more than MaxHeldBytes, besides what the source reads
// ahead. MaxInFlight batches are written at the same time at most. If most records would become dead letters,
// the consumer is suspended: see Config.PoisonWindow.
package consumer
