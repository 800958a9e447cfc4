package rabbit_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/tcpproxy"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// proxied gives the configuration of a stream that is reached through a proxy.
func proxied(t *testing.T) (rabbit.Config, *tcpproxy.Proxy) {
	t.Helper()
	return rabbittest.Through(t, rabbittest.Stream(t))
}

func TestPublisher_connectionLost(t *testing.T) {
	t.Parallel()
	config, proxy := proxied(t)
	p, err := rabbit.NewPublisher(t.Context(), config, "name")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), []stream.Message{{Seq: 1, Payload: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	if seq := <-p.Confirmed(); seq != 1 {
		t.Errorf("confirmed %d, want 1", seq)
	}
	proxy.Cut()
	<-p.Done()
	if !errors.Is(p.Err(), stream.ErrClosed) {
		t.Errorf("Err: %v, want stream.ErrClosed", p.Err())
	}
	if err := p.Publish(t.Context(), []stream.Message{{Seq: 2, Payload: []byte("{}")}}); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Publish: %v, want stream.ErrClosed", err)
	}
}

func TestSource_connectionLost(t *testing.T) {
	t.Parallel()
	config, proxy := proxied(t)
	s, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(context.Background(), 1)
		ended <- err
	}()
	proxy.Cut()
	if err := <-ended; !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Read: %v, want stream.ErrClosed", err)
	}
	if err := s.Commit(t.Context(), 1); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Commit: %v, want stream.ErrClosed", err)
	}
	if _, _, err := s.Committed(t.Context()); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Committed: %v, want stream.ErrClosed", err)
	}
}

// TestFrozenServer fills the connection until it takes no more: Publish must obey its context, and
// Close must come back.
func TestFrozenServer_publishObeysItsContext(t *testing.T) {
	t.Parallel()
	config, proxy := proxied(t)
	p, err := rabbit.NewPublisher(t.Context(), config, "name")
	if err != nil {
		t.Fatal(err)
	}
	proxy.Hold()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	large := []byte(strings.Repeat("x", 200<<10))
	for seq := uint64(1); err == nil; seq++ {
		err = p.Publish(ctx, []stream.Message{{Seq: seq, Payload: large}})
	}
	if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, stream.ErrClosed) {
		t.Errorf("Publish: %v, want context.DeadlineExceeded and stream.ErrClosed", err)
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = p.Close()
	}()
	select {
	case <-closed:
	case <-time.After(2 * time.Minute):
		t.Error("Close blocks")
	}
	proxy.Cut() // lets go of what the client left behind
	proxy.Forward()
}

// TestCredentials_ofAnyCharacters: the client puts them into a URI without escaping.
func TestCredentials_ofAnyCharacters(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	name := testservers.Name(t, "t_audit_user_")
	config.User, config.Password, config.VHost = name+"@:/", "p@ss:w/o%r?d#[ä]", name+"/v host%2f"
	rabbittest.Manage(t, http.MethodPut, "/api/vhosts/"+url.PathEscape(config.VHost), `{}`)
	t.Cleanup(func() { rabbittest.Manage(t, http.MethodDelete, "/api/vhosts/"+url.PathEscape(config.VHost), "") })
	rabbittest.Manage(t, http.MethodPut, "/api/users/"+url.PathEscape(config.User), `{"password":"`+config.Password+`","tags":""}`)
	t.Cleanup(func() { rabbittest.Manage(t, http.MethodDelete, "/api/users/"+url.PathEscape(config.User), "") })

	if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); !errors.Is(err, rabbit.ErrAuthentication) || !strings.Contains(err.Error(), "virtual host") {
		t.Errorf("without a permission on the virtual host: got %v, want rabbit.ErrAuthentication that names it", err)
	}
	permission := "/api/permissions/" + url.PathEscape(config.VHost) + "/" + url.PathEscape(config.User)
	rabbittest.Manage(t, http.MethodPut, permission, `{"configure":"","write":".*","read":".*"}`)
	if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); !errors.Is(err, rabbit.ErrAuthentication) || !strings.Contains(err.Error(), "permission to declare") {
		t.Errorf("without the permission to configure: got %v, want rabbit.ErrAuthentication that says so", err)
	}
	rabbittest.Manage(t, http.MethodPut, permission, `{"configure":".*","write":".*","read":".*"}`)
	rabbittest.Declare(t, config, rabbit.Limits{})
	p, err := rabbit.NewPublisher(t.Context(), config, "name")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), []stream.Message{{Seq: 1, Payload: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	<-p.Confirmed()
	s, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Read(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
}

func TestRetention_givesBounds(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	rabbittest.Declare(t, config, rabbit.Limits{MaxBytes: 1 << 20, SegmentBytes: 200 << 10})
	p, err := rabbit.NewPublisher(t.Context(), config, "name")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	s, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	payload := make([]byte, 10<<10)
	var bounds stream.Bounds
	for seq := uint64(1); bounds.First == 0; seq++ { // the server truncates when it likes
		if seq > 10_000 {
			t.Fatal("the server does not truncate")
		}
		if err := p.Publish(t.Context(), []stream.Message{{Seq: seq, Payload: payload}}); err != nil {
			t.Fatal(err)
		}
		<-p.Confirmed()
		if seq%50 == 0 {
			if bounds, err = s.Bounds(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	late, err := rabbit.NewSource(t.Context(), config, "late", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	messages, err := late.Read(t.Context(), 1)
	if err != nil || messages[0].Offset < bounds.First {
		t.Errorf("the first message has the offset %v (%v), want at least %d", messages, err, bounds.First)
	}
}

// TestOpenAndClose_leavesNothing: no connection stays; goroutines are looked for at the end of all
// tests.
func TestOpenAndClose_leavesNothing(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	for i := range 20 {
		p, err := rabbit.NewPublisher(t.Context(), config, "name")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Publish(t.Context(), []stream.Message{{Seq: uint64(i + 1), Payload: []byte("{}")}}); err != nil {
			t.Fatal(err)
		}
		<-p.Confirmed()
		s, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		messages, err := s.Read(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(t.Context(), messages[0].Offset); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	// The server's own list of who publishes to the stream and reads from it.
	path := "/api/stream/publishers/" + url.PathEscape("/") + "/" + config.Stream
	for deadline := time.Now().Add(2 * time.Minute); ; {
		if body := strings.TrimSpace(rabbittest.Manage(t, http.MethodGet, path, "")); body == "[]" {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("the server has still publishers: %s", body)
		}
	}
}
