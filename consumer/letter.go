package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gormtrail/audit/internal/failpoint"
	"github.com/gormtrail/audit/stream"
)

// Properties of a dead letter, besides those that the message had. Its payload and its id are the
// message's.
const (
	PropertyErrorType    = "x-error-type" // undecodable, refused or conflict
	PropertyErrorReason  = "x-error-reason"
	PropertySourceStream = "x-source-stream"
	PropertySourceOffset = "x-source-offset"
	PropertyFirstFailed  = "x-first-failed" // RFC 3339
	// PropertyCut has the original size of a payload that had to be cut to fit beside the other
	// properties.
	PropertyCut = "x-original-size"
)

// Values of PropertyErrorType.
const (
	kindUndecodable = "undecodable" // it is no record
	kindRefused     = "refused"     // the store will never take it
	kindConflict    = "conflict"    // another record with its log_id is in the store
)

const (
	maxReason = 1000
	// letterBytes bounds what is appended at once.
	letterBytes = 4 << 20
)

// letter is a message that cannot be stored, and why.
type letter struct {
	pending

	kind   string
	reason error
}

// bury appends letters to the dead letters, however long it takes. It reports whether they are there;
// if not, ctx or work has ended.
func (s *session) bury(ctx, work context.Context, b *batch, letters []letter) bool {
	for len(letters) > 0 {
		n, size := 0, 0
		for n < len(letters) && (n == 0 || size+len(letters[n].message.Payload) <= letterBytes) {
			size += len(letters[n].message.Payload)
			n++
		}
		if !s.append(ctx, work, b, letters[:n]) {
			return false
		}
		letters = letters[n:]
	}
	return true
}

func (s *session) append(ctx, work context.Context, b *batch, letters []letter) bool {
	c := s.c
	messages := make([]stream.Message, len(letters))
	for i, l := range letters {
		messages[i] = c.address(l)
	}
	pauses := c.backoff()
	for {
		err := c.tryAppend(work, messages)
		if err == nil {
			break
		}
		var tooLarge *stream.TooLargeError
		if errors.As(err, &tooLarge) && tooLarge.Seq >= 1 && tooLarge.Seq <= uint64(len(messages)) && cut(&messages[tooLarge.Seq-1], tooLarge.Limit) {
			continue
		}
		s.worry(b, StateWaiting, err)
		if c.notices.due("letters") {
			c.log.ErrorContext(ctx, "dead letters cannot be kept; waiting, nothing is lost", slog.Int("waiting", len(messages)), slog.Any("error", err))
		}
		if !pauses.wait(ctx) {
			return false
		}
	}
	failpoint.Hit(failpoint.DLQWritten)
	c.notices.over("letters")
	for _, l := range letters {
		c.count(func(s *Stats) {
			s.DeadLettered++
			switch l.kind {
			case kindUndecodable:
				s.Undecodable++
			case kindConflict:
				s.Conflicts++
			default:
				s.Refused++
			}
		})
		// The reason may quote the record: it stands in the dead letter, not here.
		if c.notices.due("letter " + l.kind) {
			c.log.WarnContext(ctx, "message has become a dead letter", slog.String("type", l.kind), slog.Int64("offset", l.message.Offset))
		}
	}
	return true
}

func (c *Consumer) tryAppend(ctx context.Context, messages []stream.Message) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &panicError{v}
		}
	}()
	return c.letters.Append(ctx, messages...)
}

// address makes the message for the dead letters.
func (c *Consumer) address(l letter) stream.Message {
	properties := make(map[string]string, len(l.message.Properties)+5)
	maps.Copy(properties, l.message.Properties)
	properties[PropertyErrorType] = l.kind
	properties[PropertyErrorReason] = ReasonText(l.reason)
	properties[PropertySourceStream] = c.cfg.Stream
	properties[PropertySourceOffset] = strconv.FormatInt(l.message.Offset, 10)
	properties[PropertyFirstFailed] = c.cfg.Now().UTC().Format(time.RFC3339Nano)
	return stream.Message{ID: l.message.ID, Payload: l.message.Payload, Properties: properties}
}

// ReasonText gives the text of err as it stands in PropertyErrorReason: UTF-8 of a bounded length.
func ReasonText(err error) string {
	if err == nil {
		return "unknown"
	}
	s := strings.ToValidUTF8(err.Error(), "\uFFFD")
	if len(s) > maxReason {
		end := maxReason
		for !utf8.RuneStart(s[end]) {
			end--
		}
		s = s[:end] + "…"
	}
	return s
}

// cut makes m fit into limit bytes: first without the properties that it came with, then with a
// shorter payload. It reports whether that made it smaller.
func cut(m *stream.Message, limit int) bool {
	properties := maps.Clone(m.Properties)
	maps.DeleteFunc(properties, func(name, _ string) bool { return !strings.HasPrefix(name, "x-") || len(name) > 32 })
	for name, value := range properties {
		if len(value) > 2*maxReason {
			delete(properties, name)
		}
	}
	if len(properties) < len(m.Properties) {
		m.Properties = properties
		return true
	}
	const room = 8 << 10
	size := len(m.Payload)
	if size == 0 || limit <= room {
		return false
	}
	if _, done := m.Properties[PropertyCut]; !done {
		properties[PropertyCut] = fmt.Sprint(size)
	}
	m.Payload, m.Properties = m.Payload[:min(limit-room, size/2)], properties
	return true
}
