// Package spool is a durable local queue in files: records are on the disk of the host when Write
// returns, and stay there until the stream has them.
//
// # Delivery
//
// Write returns after the records were written and synced. Many callers share one sync. WriteBestEffort does not
// wait for it: what is in memory when the process dies is lost. Records get
// the sequences 1, 2, 3, … of the spool's producer in the order in which they were written; a relay
// publishes them in that order and acknowledges what the stream has confirmed. Nothing that is not
// acknowledged is ever removed.
//
// A spool folder is a parent: each process locks a folder of its own in it, with an identity of its
// own, and takes over one that another process has left before it makes a new one. So several
// processes and rolling restarts may share a parent on one host; not on a network file system, whose
// locks and syncs cannot be relied on. What others have left can be drained under its own identity,
// see Orphans.
//
// Acknowledged segments are kept until the store is known to have their records (Config.Index, MarkIndexed) or
// Config.Retention has passed, so that what a broker has lost can be sent again, see Refill and auditlog
// relay --refill. Only when the room is needed do they go earlier.
//
// # Losses
//
// What could not be written, is damaged, or cannot be sent is told by a gap record in the stream: an
// event.Gap with producer, reason, count, sequences and times. Config.WhenFull chooses between that and
// leaving the records to the caller. Near its size the spool writes records without old and new values,
// see Config.SoftBytes. The oldest are never dropped.
//
// # Files
//
// Below the parent, with the modes 0700 and 0600:
//
//	<uuid>/lock           held by the process that owns the folder
//	<uuid>/identity       the producer name
//	<uuid>/acknowledged   up to where the stream has confirmed; if lost, everything is sent again
//	<uuid>/losses         what no gap record tells of yet
//	<uuid>/<first>.seg    a segment: a header, then frames (see frame.go)
//	<uuid>/drained        says that nothing waits, if it names the last segment
//	<uuid>/ballast        space that is given up for gap records when the disk is full
//	<uuid>/quarantine/    damaged bytes, and records that cannot be sent; nothing removes them
//
// A Reader, and auditlog tail, read a folder without locking or changing it, also while it is in use.
//
// # Errors
//
// Open fails if the folder cannot be written, locked or read, and with ErrTooMany if it would need
// another producer name. Write fails with ErrFull when the spool has reached its size, and with a
// *DiskError that says what is wrong with the disk; a file whose sync has failed is never written again.
// See also ErrClosed, ErrInUse, ErrFormat, ErrTimeout and RejectedError. A folder that is removed is made
// again within a second, a disk that becomes full or read-only is seen as fast, see Stats.Problem.
//
// # Concurrency
//
// A Spool may be used concurrently; Read by one reader at a time.
//
// # Limits
//
// By default 1 GiB in segments of 16 MiB, see Config.
package spool
