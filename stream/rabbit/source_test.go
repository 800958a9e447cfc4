package rabbit_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// fill puts messages of this size on the stream.
func fill(t *testing.T, config rabbit.Config, count, size int) {
	t.Helper()
	a, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	for n := range count {
		if err := a.Append(t.Context(), stream.Message{ID: fmt.Sprint(n), Payload: []byte(strings.Repeat("x", size))}); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSource_boundedByBytes: a Read gives no more bytes than are read ahead, and one message, and nothing
// is left out.
func TestSource_boundedByBytes(t *testing.T) {
	t.Parallel()
	const count, size, most = 60, 100_000, 250_000
	config := rabbittest.Stream(t)
	fill(t, config, count, size)
	s, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{BufferBytes: most, Credits: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	next := 0
	for next < count {
		messages, err := s.Read(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		if n := len(messages); n > most/size+1 {
			t.Errorf("%d messages of %d bytes at once", n, size)
		}
		for _, m := range messages {
			if m.ID != fmt.Sprint(next) {
				t.Fatalf("got %s, want %d", m.ID, next)
			}
			next++
		}
	}
	if n, err := s.Replicas(t.Context()); n != 1 || err != nil {
		t.Errorf("%d replicas, %v, want 1 on one node", n, err)
	}
}

// TestSource_options_areChecked names what is wrong.
func TestSource_options_areChecked(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	for _, o := range []stream.SourceOptions{{Buffer: -1}, {BufferBytes: -1}, {Credits: -1}, {Credits: 40_000}} {
		if _, err := rabbit.NewSource(t.Context(), config, "group", o); err == nil || !strings.Contains(err.Error(), "SourceOptions.") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// reader makes an account that may only read what begins with prefix, and gives the configuration with it.
func reader(t *testing.T, config rabbit.Config, configure, write string) rabbit.Config {
	t.Helper()
	name := testservers.Name(t, "t_audit_reader_")
	rabbittest.Manage(t, http.MethodPut, "/api/users/"+name, `{"password":"`+name+`","tags":""}`)
	t.Cleanup(func() { rabbittest.Manage(t, http.MethodDelete, "/api/users/"+name, "") })
	rabbittest.Manage(t, http.MethodPut, "/api/permissions/"+url.PathEscape("/")+"/"+name,
		`{"configure":"`+configure+`","write":"`+write+`","read":"^`+config.Stream+`$"}`)
	config.User, config.Password = name, name
	return config
}

// TestSource_ofAnAccountThatMayOnlyRead: a stream that somebody else has made needs no right but to read,
// also for the offset, though that is written to the stream.
func TestSource_ofAnAccountThatMayOnlyRead(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	fill(t, config, 10, 10)
	least := reader(t, config, "^$", "^$")
	if err := rabbit.Declare(t.Context(), least, rabbit.Limits{}); !errors.Is(err, rabbit.ErrAuthentication) {
		t.Errorf("declare: %v, want rabbit.ErrAuthentication", err)
	}
	s, err := rabbit.NewSource(t.Context(), least, "group", stream.SourceOptions{SingleActive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for read := 0; read < 10; {
		messages, err := s.Read(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		read += len(messages)
	}
	if err := s.Commit(t.Context(), 9); err != nil {
		t.Errorf("commit: %v", err)
	}
	if bounds, err := s.Bounds(t.Context()); err != nil || bounds.Empty {
		t.Errorf("bounds %+v, %v", bounds, err)
	}
	for { // it is not acknowledged
		offset, ok, err := s.Committed(t.Context())
		if err != nil || ok && offset != 9 {
			t.Fatalf("committed %d, %v", offset, err)
		}
		if ok {
			break
		}
	}
	if n, err := s.Replicas(t.Context()); n != 1 || err != nil {
		t.Errorf("%d replicas, %v", n, err)
	}
}
