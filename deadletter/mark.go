package deadletter

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// PropertyMark is the property of a mark; its value is the Kind. A dead letter never is taken for a mark,
// although it has the properties of a message of somebody else's: it has an error type besides.
const PropertyMark = "x-dead-letter-mark"

// Kind says what became of letters.
type Kind string

// Kinds of a Mark.
const (
	KindStored  Kind = "stored"  // the store has it
	KindDropped Kind = "dropped" // somebody has decided that it is not needed
	KindFailed  Kind = "failed"  // another try has failed: it stays open
)

// Mark says what became of letters: it stands behind them on the stream.
type Mark struct {
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"`
	// By is who did it. It is what he says of himself.
	By string `json:"by"`
	// Reason is why letters were dropped, or why a try failed; Type is then the type of the failure.
	Reason string `json:"reason,omitempty"`
	Type   string `json:"type,omitempty"`
	// Letters are the numbers of the letters.
	Letters []int64 `json:"letters,omitempty"`
}

// markLetters is how many letters one mark names at most.
const markLetters = 1000

func isMark(m stream.Message) bool {
	return m.Properties[PropertyMark] != "" && m.Properties[consumer.PropertyErrorType] == ""
}

func decodeMark(m stream.Message) (Mark, error) {
	var mark Mark
	if err := json.Unmarshal(m.Payload, &mark); err != nil {
		return Mark{}, fmt.Errorf("deadletter: mark at offset %d: %w", m.Offset, err)
	}
	switch mark.Kind {
	case KindStored, KindDropped, KindFailed:
		return mark, nil
	}
	return Mark{}, fmt.Errorf("deadletter: mark at offset %d is of the kind %q", m.Offset, mark.Kind)
}

func (mark Mark) message() (stream.Message, error) {
	payload, err := json.Marshal(mark)
	if err != nil {
		return stream.Message{}, fmt.Errorf("deadletter: mark: %w", err)
	}
	return stream.Message{ID: "mark-" + event.NewID(mark.At), Payload: payload, Properties: map[string]string{PropertyMark: string(mark.Kind)}}, nil
}
