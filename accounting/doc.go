// Package accounting answers whether every record is somewhere: for each producer and at any moment,
//
//	emitted = indexed + pending + dead-lettered + lost
//
// where lost are those that were counted as lost, each with a gap record. What the equation leaves as
// pending is still on its way, and must become nothing when nothing more is written; a record that
// vanished without being counted stays pending for ever, and its age says so.
//
// # Delivery
//
// A Queue has the numbers of the beginning: a spool or an outbox gives them. A Ledger counts the end,
// between a consumer and its store, distinct by sequence, however often a record comes. Balance puts both
// together. They may be taken in different processes; what is at the end is taken first. Handler gives the
// accounts of now over HTTP, as metrics or JSON, and WriteText writes the metrics; Ledger.Accounts is the one call
// for both ends in one process. An application that only writes has a Ledger that is empty: what is Pending for
// it is not yet in the store or not known to be.
//
// # Errors
//
// Account.Check gives ErrUnbalanced if more has come out than went in.
//
// # Concurrency
//
// A Ledger may be used concurrently.
//
// # Limits
//
// A Ledger keeps a few numbers for each producer, and for each hole in its sequences.
package accounting
