// Package replay writes a part of a stream to a store again: to rebuild an index that was lost, or to make
// another one beside it.
//
// # Delivery
//
// Every message of the part is in the store when Run has returned nil, but for those that the report counts as
// undecodable, refused or in conflict with what is stored. What the store has already stays as it is: a
// record is stored once, so that a replay may be repeated, and may run beside a consumer. It commits no
// offset of the stream, and the consumers of the stream do not notice it.
//
// With Config.Checkpoints a replay that was interrupted, by kill -9 too, goes on where it was when it is
// started with the same part again; once it has ended, the next one begins anew.
//
// # Errors
//
// Trouble of stream and store is waited for without a limit, as by a consumer: end ctx to stop it. Messages
// that cannot be stored are told to Config.Refused and counted; the consumer has put them to the dead letters
// before, and this does not do it again.
//
// # Concurrency
//
// Run may be called several times at once, for different parts or stores.
//
// # Limits
//
// Memory is that of a consumer: some batches.
package replay
