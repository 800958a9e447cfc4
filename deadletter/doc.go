// Package deadletter reads the dead letters that a consumer has put aside, stores them again, and notes what
// became of them.
//
// A stream can only be added to. What became of a letter therefore stands behind it on the same stream, as a
// mark: that it was stored, that another try failed, or that somebody dropped it, with the time, the name of
// who did it, and for a drop the reason. So the bytes of a letter and all that was decided about them are in
// one place, in order, with one retention, and need no store, which may be what is broken.
//
// # Delivery
//
// A letter is marked as stored after the store has it. Whoever is killed between the two leaves the letter
// open; storing it again finds it stored already, and marks it. A mark is there when the call has returned.
//
// # Errors
//
// A letter that the store still refuses stays open, and has the newer reason. Trouble that would concern every
// letter (the store is not there, or takes nothing) ends Retry with an error; what was stored before is
// marked.
//
// # Concurrency
//
// The methods of a Box may be called concurrently, and several processes may work on one stream.
//
// # Limits
//
// The letters of a stream are in memory without their payloads, about 500 bytes each. Each call reads the
// stream from its beginning.
package deadletter
