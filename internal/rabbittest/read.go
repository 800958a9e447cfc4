package rabbittest

import (
	"context"
	"testing"
	"time"

	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// Messages reads all messages of the stream. It puts one of its own at the end, to know where that is.
func Messages(t testing.TB, config rabbit.Config) []stream.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	end := "end-" + time.Now().String()
	a, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	if err := a.Append(ctx, stream.Message{ID: end}); err != nil {
		t.Fatal(err)
	}
	s, err := rabbit.NewSource(ctx, config, "check", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	var all []stream.Message
	for {
		messages, err := s.Read(ctx, 1000)
		if err != nil {
			t.Fatalf("after %d messages: %v", len(all), err)
		}
		all = append(all, messages...)
		if all[len(all)-1].ID == end {
			return all[:len(all)-1]
		}
	}
}
