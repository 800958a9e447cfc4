package consumer

import (
	"sync"
	"time"
)

// State is what a consumer is doing.
type State string

// The states of a consumer.
const (
	StateStopped    State = "stopped"
	StateConnecting State = "connecting" // no source yet, or it was lost
	StateRunning    State = "running"
	StateWaiting    State = "waiting" // the store or the dead letters do not take all: see LastError
	// StateSuspended: most of the last records would become dead letters, and the consumer waits until the
	// store takes them or an operator says so. See Config.PoisonWindow and Config.AcceptPoison.
	StateSuspended State = "suspended"
)

// Stats is what a consumer has done since it was made. Received = Stored + Duplicates + DeadLettered +
// those in memory, once all that was read has been settled.
type Stats struct {
	// Stream is Config.Stream.
	Stream string
	State  State
	// Received counts messages from the stream, with those that came again.
	Received int64
	// Stored and Duplicates count records that the store has taken, or had already.
	Stored, Duplicates int64
	// DeadLettered counts messages in the dead letters: the sum of Undecodable, Refused (by the store)
	// and Conflicts (another record with this log_id is stored).
	DeadLettered                    int64
	Undecodable, Refused, Conflicts int64
	// Retries counts documents that were sent to the store again, EnvironmentWaits how often the store
	// took none at all, and Reconnects how often the source was lost.
	Retries, EnvironmentWaits, Reconnects int64
	// Gaps counts how often messages had been removed from the stream before they were read, and Missing
	// how many offsets that were: at least one message less, because commits take offsets as well.
	Gaps, Missing int64
	// SequenceGaps counts how often sequences of a producer did not come, and MissingRecords how many records
	// that are now: they may still come when their producer sends them again. LostRecords counts those
	// of which a gap record says that they are lost. See Config.Partition.
	SequenceGaps, MissingRecords, LostRecords int64
	// CheckpointErrors counts checkpoints and watermarks that could not be saved. The next ones make up for
	// them.
	CheckpointErrors int64
	// Held and HeldBytes are what is in memory: read, and not settled or behind what is not. InFlight is how
	// many batches are being written, MaxInFlight how many may be now.
	Held, HeldBytes       int
	InFlight, MaxInFlight int
	// Lag is about how many messages of the stream are not settled, LagAge how old the record is that was
	// settled last, if any are not: by how much a search is behind. Unread is Lag as a share of what the
	// stream still holds, if it has removed anything: at 1, messages are removed before they are read.
	// Lag is -1 and Unread 0 as long as they are not known.
	Lag    int64
	LagAge time.Duration
	Unread float64
	// LastRecord is the time of the record that was settled last, zero before the first.
	LastRecord time.Time
	// Offset is the offset up to which everything is done, Committed the one that the stream was told; -1
	// before the first.
	Offset, Committed int64
	// LastCheckpoint is when this process has saved a checkpoint last, zero before the first and without
	// Config.Checkpoints. CheckpointAge is for how long an offset was committed that no checkpoint has; 0 if
	// there is none.
	LastCheckpoint time.Time
	CheckpointAge  time.Duration
	// LastError is what stands in the way, "" if nothing does. It may name servers, never the content of
	// records.
	LastError string
	// Since is when State was entered.
	Since time.Time
}

type stats struct {
	mu sync.Mutex
	v  Stats
	ok bool // v.Offset and v.Committed were set
	// behind is from when on a checkpoint is missing, zero if none is.
	behind time.Time
}

// behindSince says that there is something for a checkpoint from now on.
func (s *stats) behindSince(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.behind.IsZero() {
		s.behind = now
	}
}

// checkpointed says that a checkpoint was saved.
func (s *stats) checkpointed(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.v.LastCheckpoint, s.behind = at, time.Time{}
}

// Stats gives the numbers of this moment.
func (c *Consumer) Stats() Stats {
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	v := c.stats.v
	v.Stream = c.cfg.Stream
	if !c.stats.ok {
		v.Offset, v.Committed, v.Lag = -1, -1, -1
	}
	if v.State == "" {
		v.State = StateStopped
	}
	v.MaxInFlight, v.InFlight = c.gate.now()
	if (v.Lag > 0 || v.Held > 0) && !v.LastRecord.IsZero() {
		v.LagAge = max(c.cfg.Now().Sub(v.LastRecord), 0)
	}
	if !c.stats.behind.IsZero() {
		v.CheckpointAge = max(c.cfg.Now().Sub(c.stats.behind), 0)
	}
	return v
}

// count changes the numbers.
func (c *Consumer) count(change func(s *Stats)) {
	c.stats.mu.Lock()
	defer c.stats.mu.Unlock()
	if !c.stats.ok {
		c.stats.v.Offset, c.stats.v.Committed, c.stats.v.Lag, c.stats.ok = -1, -1, -1, true
	}
	change(&c.stats.v)
}

// enter sets the state, and the error that it is about.
func (c *Consumer) enter(state State, err error) {
	c.count(func(s *Stats) {
		if s.State != state {
			s.State, s.Since = state, c.cfg.Now()
		}
		s.LastError = ""
		if err != nil {
			s.LastError = err.Error()
		}
	})
}
