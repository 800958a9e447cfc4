// Package streamtest has the suite that every stream passes: what relay and consumer rely on.
package streamtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/stream"
)

// patience is how long the suite waits for what must happen.
const patience = 30 * time.Second

// Backend makes the ends of one stream.
type Backend struct {
	// Publisher and Source make an end. The suite closes what it makes.
	Publisher func(ctx context.Context, name string) (stream.Publisher, error)
	Source    func(ctx context.Context, group string, options stream.SourceOptions) (stream.Source, error)
	// TooLarge is the size of a payload that the stream refuses.
	TooLarge int
}

// Run runs the suite. open gives an empty stream of its own for each test, which it removes when the
// test ends.
func Run(t *testing.T, open func(t *testing.T) Backend) {
	t.Helper()
	tests := []struct {
		name string
		test func(t *testing.T, b *bundle)
	}{
		{"order and content", testOrder},
		{"confirms a contiguous prefix", testConfirms},
		{"resending under a name is dropped", testResend},
		{"without a name nothing is dropped", testNoName},
		{"names do not disturb each other", testNames},
		{"gaps in sequences are fine", testSequenceGaps},
		{"a sequence that does not rise is refused", testSequenceOrder},
		{"offsets rise and have holes", testOffsets},
		{"commit and resume", testResume},
		{"commit does not go back", testCommitBack},
		{"groups are independent", testGroups},
		{"start at a checkpoint", testStartAt},
		{"committed and bounds", testInspector},
		{"back-pressure", testBackPressure},
		{"read waits for messages", testReadWaits},
		{"another goroutine than the reading one commits", testCommitWhileReading},
		{"read gives at most what was asked for", testReadLimit},
		{"the end of a context does no harm to a source", testReadCancel},
		{"a source that is closed gives nothing more", testSourceClosed},
		{"a publisher that is closed takes nothing more", testPublisherClosed},
		{"closing while reading", testCloseWhileReading},
		{"a message too large", testTooLarge},
		{"constructors obey the context", testDialCancel},
		{"one source of a group is active", testSingleActive},
		{"messages of any form", testForms},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.test(t, &bundle{T: t, backend: open(t)})
		})
	}
}

// bundle is what a test has.
type bundle struct {
	*testing.T
	backend Backend
}

func (b *bundle) context() context.Context {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	b.Cleanup(cancel)
	return ctx
}

func (b *bundle) publisher(name string) stream.Publisher {
	b.Helper()
	p, err := b.backend.Publisher(b.context(), name)
	if err != nil {
		b.Fatalf("Publisher(%q): %v", name, err)
	}
	b.Cleanup(func() { b.close(p) })
	return p
}

func (b *bundle) source(group string, options stream.SourceOptions) stream.Source {
	b.Helper()
	s, err := b.backend.Source(b.context(), group, options)
	if err != nil {
		b.Fatalf("Source(%q): %v", group, err)
	}
	b.Cleanup(func() { b.close(s) })
	return s
}

func (b *bundle) close(end interface{ Close() error }) {
	b.Helper()
	if err := end.Close(); err != nil {
		b.Errorf("Close: %v", err)
	}
}

// numbered gives the messages with the sequences from..to.
func numbered(from, to uint64) []stream.Message {
	var messages []stream.Message
	for seq := from; seq <= to; seq++ {
		messages = append(messages, stream.Message{
			ID: fmt.Sprintf("id-%d", seq), Seq: seq, Payload: fmt.Appendf(nil, `{"n":%d}`, seq),
			Properties: map[string]string{"schema_version": "1"},
		})
	}
	return messages
}

// publish publishes the messages and waits until all are confirmed.
func (b *bundle) publish(p stream.Publisher, messages ...stream.Message) {
	b.Helper()
	if err := p.Publish(b.context(), messages); err != nil {
		b.Fatalf("Publish: %v", err)
	}
	b.confirmed(p, messages[len(messages)-1].Seq)
}

func (b *bundle) confirmed(p stream.Publisher, want uint64) {
	b.Helper()
	ctx := b.context()
	var last uint64
	for {
		select {
		case got := <-p.Confirmed():
			if got <= last {
				b.Fatalf("confirmed %d after %d", got, last)
			}
			if got > want {
				b.Fatalf("confirmed %d, but only %d were published", got, want)
			}
			if last = got; got == want {
				return
			}
		case <-p.Done():
			b.Fatalf("publisher failed at confirm %d of %d: %v", last, want, p.Err())
		case <-ctx.Done():
			b.Fatalf("confirmed %d of %d: %v", last, want, ctx.Err())
		}
	}
}

// read reads exactly n messages.
func (b *bundle) read(s stream.Source, n int) []stream.Message {
	b.Helper()
	var all []stream.Message
	for len(all) < n {
		batch, err := s.Read(b.context(), n-len(all))
		if err != nil {
			b.Fatalf("Read after %d of %d messages: %v", len(all), n, err)
		}
		if len(batch) == 0 {
			b.Fatalf("Read gave no message and no error")
		}
		all = append(all, batch...)
	}
	return all
}

// ids joins the ids of the messages.
func ids(messages []stream.Message) string {
	var s []string
	for _, m := range messages {
		s = append(s, strings.TrimPrefix(m.ID, "id-"))
	}
	return strings.Join(s, " ")
}

func (b *bundle) wantIDs(messages []stream.Message, want string) {
	b.Helper()
	if got := ids(messages); got != want {
		b.Errorf("got the messages %s\nwant %s", got, want)
	}
}

func (b *bundle) wantClosed(what string, err error) {
	b.Helper()
	if !errors.Is(err, stream.ErrClosed) {
		b.Errorf("%s: got the error %v, want one that is stream.ErrClosed", what, err)
	}
}
