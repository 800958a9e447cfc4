package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrFormat is returned, wrapped, for what is not a checkpoint.
	ErrFormat = errors.New("checkpoint: bad format")
	// ErrForbidden is returned, wrapped, by who keeps checkpoints if the credentials do not allow it: asking
	// again does not help.
	ErrForbidden = errors.New("checkpoint: forbidden")
)

// Version is the version of the encoding. Decode refuses newer ones.
const Version = 1

// Checkpoint is how far a consumer has come.
type Checkpoint struct {
	// Version is the version of the encoding; Encode sets it.
	Version int `json:"version"`
	// Stream and Group name the stream and the group of consumers.
	Stream string `json:"stream"`
	Group  string `json:"group"`
	// Offset is the offset of the stream up to which everything is in the store or in the dead letters.
	Offset int64 `json:"offset"`
	// At is when the checkpoint was made.
	At time.Time `json:"at"`
	// Complete says that the stream was followed from its first message on: then a producer that
	// was never seen begins with sequence 1.
	Complete bool `json:"complete"`
	// Producers has what is known of each producer, by producer_id.
	Producers map[string]Progress `json:"producers,omitempty"`
}

// Progress is how far the records of one producer have come.
type Progress struct {
	// Seen is the highest sequence that came.
	Seen uint64 `json:"seen"`
	// Missing are the sequences below Seen that did not come, ascending.
	Missing []Range `json:"missing,omitempty"`
	// Lost counts the sequences of which a gap record says that they are lost.
	Lost uint64 `json:"lost,omitempty"`
	// At is the time of the record that came last, to forget producers that are gone.
	At time.Time `json:"at"`
}

// Range is a range of sequences, both ends included.
type Range struct {
	From uint64 `json:"from"`
	To   uint64 `json:"to"`
}

// Len is how many sequences the range has.
func (r Range) Len() uint64 { return r.To - r.From + 1 }

// Indexed is the watermark: everything up to it is in the store, in the dead letters, or known to be lost.
func (p Progress) Indexed() uint64 {
	if len(p.Missing) > 0 {
		return p.Missing[0].From - 1
	}
	return p.Seen
}

// MissingCount is how many sequences did not come.
func (p Progress) MissingCount() (n uint64) {
	for _, r := range p.Missing {
		n += r.Len()
	}
	return n
}

// Encode gives the checkpoint as JSON.
func Encode(c Checkpoint) ([]byte, error) {
	c.Version = Version
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("checkpoint: encode: %w", err)
	}
	return data, nil
}

// Decode reads what Encode has written. The error wraps ErrFormat if it is something else, of a newer
// version, or contradicts itself.
func Decode(data []byte) (Checkpoint, error) {
	var c Checkpoint
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&c); err != nil {
		return Checkpoint{}, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if c.Version < 1 || c.Version > Version {
		return Checkpoint{}, fmt.Errorf("%w: version %d, want 1 to %d", ErrFormat, c.Version, Version)
	}
	if c.Offset < -1 {
		return Checkpoint{}, fmt.Errorf("%w: offset %d, want -1 (nothing yet) or more", ErrFormat, c.Offset)
	}
	for name, p := range c.Producers {
		last := uint64(0)
		for _, r := range p.Missing {
			// Between two ranges there is a sequence that came, and Seen came.
			if r.From < 1 || r.To < r.From || (last > 0 && r.From <= last+1) || r.To >= p.Seen {
				return Checkpoint{}, fmt.Errorf("%w: producer %q: missing range %d to %d of %d", ErrFormat, name, r.From, r.To, p.Seen)
			}
			last = r.To
		}
	}
	return c, nil
}
