package accounting

import (
	"errors"
	"fmt"
	"time"
)

// ErrUnbalanced is returned, wrapped, by Account.Check if more records have come out than went in.
var ErrUnbalanced = errors.New("accounting: more records came out than went in")

// Queue are the numbers of a producer's queue.
type Queue struct {
	// Producer is the producer name, the producer_id of its records.
	Producer string
	// Written is how many records have, or will have, a sequence: those that the queue has taken.
	Written uint64
	// Refused is how many it did not take since the process began: no room, a failing disk, records that
	// cannot be encoded.
	Refused uint64
	// LostWritten is how many of Written were lost later, to damage. Quarantined is how many of them were
	// put aside, because no broker would take them.
	LostWritten, Quarantined uint64
	// Pending is how many of Written the stream has not confirmed, PendingBytes their size, about, and
	// OldestPending how long the oldest has been waiting.
	Pending       uint64
	PendingBytes  int64
	OldestPending time.Duration
	// ConfirmAge is for how long the stream has confirmed nothing, though something waited: that of
	// the relay's Stats.
	ConfirmAge time.Duration
}

// Delivered are the numbers of a producer at the other end: distinct sequences.
type Delivered struct {
	// Indexed is how many are in the store, DeadLettered how many in the dead letters or, as gap records
	// say, put aside by the queue.
	Indexed, DeadLettered uint64
	// Lost is how many gap records name as lost.
	Lost uint64
	// Highest is the highest sequence of all of them.
	Highest uint64
}

// Account is the balance of a producer at one moment. In JSON durations are nanoseconds.
type Account struct {
	// Producer is its name.
	Producer string `json:"producer"`
	// Emitted is how many records were handed to the queue. Each of them is one of Indexed, Pending,
	// DeadLettered and Lost.
	Emitted      uint64 `json:"emitted"`
	Indexed      uint64 `json:"indexed"`
	Pending      uint64 `json:"pending"`
	DeadLettered uint64 `json:"dead_lettered"`
	Lost         uint64 `json:"lost"`
	// InQueue and OnStream are the two parts of Pending: before and after the stream's confirm. What is
	// stored before its confirm has come counts as in the queue no more.
	InQueue  uint64 `json:"in_queue"`
	OnStream uint64 `json:"on_stream"`
	// PendingBytes, OldestPending and ConfirmAge are those of the queue.
	PendingBytes  int64         `json:"pending_bytes"`
	OldestPending time.Duration `json:"oldest_pending_ns"`
	ConfirmAge    time.Duration `json:"confirm_age_ns"`

	excess uint64
}

// Balance gives the account of a producer. d must have been taken before q.
func Balance(q Queue, d Delivered) Account {
	a := Account{
		Producer: q.Producer, Emitted: q.Written + q.Refused, Indexed: d.Indexed,
		PendingBytes: q.PendingBytes, OldestPending: q.OldestPending, ConfirmAge: q.ConfirmAge,
	}
	// Both ends know of what was put aside or damaged: the queue since its start, the other end when the
	// gap record has come.
	a.DeadLettered = max(d.DeadLettered, q.Quarantined)
	lost := max(d.Lost, q.LostWritten)
	a.Lost = q.Refused + lost
	settled := a.Indexed + a.DeadLettered + lost
	if settled > q.Written || d.Highest > q.Written {
		a.excess = max(settled, d.Highest) - q.Written
		return a
	}
	a.Pending = q.Written - settled
	a.InQueue = min(q.Pending, a.Pending)
	a.OnStream = a.Pending - a.InQueue
	return a
}

// Check gives nil if the account is balanced. Otherwise somebody else writes under the producer's name,
// or the queue was set back.
func (a Account) Check() error {
	if a.excess > 0 {
		return fmt.Errorf("%w: producer %q: emitted %d, indexed %d, dead-lettered %d, lost %d: %d too many",
			ErrUnbalanced, a.Producer, a.Emitted, a.Indexed, a.DeadLettered, a.Lost, a.excess)
	}
	return nil
}
