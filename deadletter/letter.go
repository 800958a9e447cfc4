package deadletter

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/stream"
)

// Letter is a message that could not be stored. The same message may be on the stream several times, because a
// consumer that was killed puts it aside again: that is one letter.
type Letter struct {
	// Number is the letter's name: the offset on the stream of dead letters at which it stands first.
	Number int64 `json:"number"`
	// ID is the message's own id, "" if it has none. It comes from the producer.
	ID string `json:"id,omitempty"`
	// Stream and Offset are where the message came from; Offset is -1 if that is not known.
	Stream string `json:"stream"`
	Offset int64  `json:"offset"`
	// Type is undecodable, refused or conflict; Reason says more. It may quote the message: escape it.
	Type   string `json:"type"`
	Reason string `json:"reason"`
	// First and Last are when it failed for the first and for the last time, and Times how often.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Times int       `json:"times"`
	// Size is the size of the message in bytes. Cut says that only its beginning was kept.
	Size int  `json:"size"`
	Cut  bool `json:"cut,omitempty"`
	// End is what became of it; nil while it is open.
	End *Mark `json:"end,omitempty"`

	copies []int64 // all offsets at which it stands, ascending
}

// Open reports whether nothing has become of the letter yet.
func (l Letter) Open() bool { return l.End == nil }

// content is all that is on a stream of dead letters.
type content struct {
	letters []*Letter // by Number
	byKey   map[key]*Letter
	byPlace map[int64]*Letter // by each of the offsets
}

// key tells messages apart. The bytes are in it because a stream that was deleted and made again has the
// same offsets for other messages.
type key struct {
	stream, offset string
	sum            [16]byte
}

func newContent() *content {
	return &content{byKey: make(map[key]*Letter), byPlace: make(map[int64]*Letter)}
}

// take takes up what comes next on the stream.
func (c *content) take(m stream.Message) {
	if isMark(m) {
		mark, err := decodeMark(m)
		if err != nil {
			return // nobody's
		}
		for _, n := range mark.Letters {
			if l := c.byPlace[n]; l != nil {
				l.apply(mark)
			}
		}
		return
	}
	l := letterOf(m)
	sum := sha256.Sum256(m.Payload)
	k := key{stream: m.Properties[consumer.PropertySourceStream], offset: m.Properties[consumer.PropertySourceOffset]}
	copy(k.sum[:], sum[:])
	if before := c.byKey[k]; before != nil {
		before.copies = append(before.copies, m.Offset)
		before.Times++
		if l.First.Before(before.First) {
			before.First = l.First
		}
		if l.Last.After(before.Last) {
			before.Last, before.Type, before.Reason = l.Last, l.Type, l.Reason
		}
		c.byPlace[m.Offset] = before
		return
	}
	c.byKey[k] = &l
	c.byPlace[m.Offset] = &l
	c.letters = append(c.letters, &l)
}

// letterOf reads the properties of a dead letter. Whatever they are, it is one: other programs can write to
// the stream.
func letterOf(m stream.Message) Letter {
	p := m.Properties
	l := Letter{
		Number: m.Offset, ID: m.ID, Stream: p[consumer.PropertySourceStream], Offset: -1,
		Type: p[consumer.PropertyErrorType], Reason: p[consumer.PropertyErrorReason], Times: 1, Size: len(m.Payload), copies: []int64{m.Offset},
	}
	if n, err := strconv.ParseInt(p[consumer.PropertySourceOffset], 10, 64); err == nil && n >= 0 {
		l.Offset = n
	}
	if at, err := time.Parse(time.RFC3339Nano, p[consumer.PropertyFirstFailed]); err == nil {
		l.First, l.Last = at.UTC(), at.UTC()
	}
	if n, err := strconv.Atoi(p[consumer.PropertyCut]); err == nil && n > len(m.Payload) {
		l.Size, l.Cut = n, true
	}
	return l
}

func (l *Letter) apply(m Mark) {
	switch m.Kind {
	case KindFailed:
		l.Times++
		if m.At.After(l.Last) {
			l.Last = m.At
		}
		if m.Type != "" {
			l.Type = m.Type
		}
		l.Reason = m.Reason
	default:
		if l.End == nil { // what was decided first counts
			end := m
			end.Letters = nil
			l.End = &end
		}
	}
}

// list gives copies of the letters.
func (c *content) list() []Letter {
	letters := make([]Letter, len(c.letters))
	for i, l := range c.letters {
		letters[i] = *l
		letters[i].copies = slices.Clone(l.copies)
	}
	return letters
}

// Filter chooses letters. The zero Filter chooses those that are open.
type Filter struct {
	// Numbers, if there are any, are those of the letters. One that does not exist is an error.
	Numbers []int64
	// Type, if it is not empty, is that of the letter; Reason a part of its reason, whatever the case.
	Type, Reason string
	// Handled chooses those that are no longer open instead, and All both.
	Handled, All bool
}

// Matches reports whether the letter is one of those that f chooses, but for Numbers.
func (f Filter) Matches(l Letter) bool {
	switch {
	case !f.All && l.Open() == f.Handled:
		return false
	case f.Type != "" && f.Type != l.Type:
		return false
	}
	return f.Reason == "" || strings.Contains(strings.ToLower(l.Reason), strings.ToLower(f.Reason))
}
