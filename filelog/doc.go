// Package filelog writes records to a local log file, a JSON object a line, beside whatever else takes
// them (audit.Tee): for people with grep, and for collectors that read files. The specification has such a
// file next to the stream.
//
// # Delivery
//
// When Write returns nil, the operating system has the lines, each of them whole; they are not synced to
// the disk. The file is a copy for reading, not a queue: what must not be lost goes into a spool or an
// outbox as well.
//
// The file is rotated by size, by package lumberjack: it is renamed with the time in its name, and old ones
// are deleted by number and age. A file that somebody else has renamed or removed is noticed at the next
// Write, which makes a new one; no signal is needed, and none is handled.
//
// # Errors
//
// Open fails if the file cannot be written. Write gives what the operating system says (a full disk) and
// counts the records; it is ErrClosed after Close. What a failed write has left of a line is ended before
// the next.
//
// # Concurrency
//
// A Log may be used concurrently. One process writes a file.
//
// # Limits
//
// New files have the mode 0600, new folders 0700; a file that is there keeps its mode, so that a collector's
// group may be let in. lumberjack has a goroutine for each file that was rotated, which lives as long as the
// process.
package filelog
