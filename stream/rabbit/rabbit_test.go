package rabbit_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gormtrail/audit/internal/rabbittest"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/stream/streamtest"
)

var (
	_ stream.Publisher = (*rabbit.Publisher)(nil)
	_ stream.Publisher = (*rabbit.SuperPublisher)(nil)
	_ stream.Source    = (*rabbit.Source)(nil)
	_ stream.Inspector = (*rabbit.Source)(nil)
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := rabbittest.Leaks(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	testservers.RabbitMQ(t)
	streamtest.Run(t, func(t *testing.T) streamtest.Backend {
		config := rabbittest.Stream(t)
		return streamtest.Backend{
			Publisher: func(ctx context.Context, name string) (stream.Publisher, error) {
				p, err := rabbit.NewPublisher(ctx, config, name)
				if err != nil {
					return nil, err
				}
				return p, nil
			},
			Source: func(ctx context.Context, group string, o stream.SourceOptions) (stream.Source, error) {
				s, err := rabbit.NewSource(ctx, config, group, o)
				if err != nil {
					return nil, err
				}
				return s, nil
			},
			TooLarge: 1 << 20,
		}
	})
}

func TestDeclare_isIdempotent(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	limits := rabbit.Limits{MaxAge: time.Hour, MaxBytes: 50 << 20, SegmentBytes: 5 << 20}
	rabbittest.Declare(t, config, limits)
	if err := rabbit.Declare(t.Context(), config, limits); err != nil {
		t.Errorf("again: %v", err)
	}
	limits.MaxAge = 2 * time.Hour
	err := rabbit.Declare(t.Context(), config, limits)
	if !errors.Is(err, rabbit.ErrDeclared) || !strings.Contains(err.Error(), config.Stream) {
		t.Errorf("with other limits: got %v, want rabbit.ErrDeclared that names the stream", err)
	}
	err = rabbit.Declare(t.Context(), config, rabbit.Limits{MaxAge: -1, MaxBytes: -1, SegmentBytes: 1 << 40})
	for _, field := range []string{"MaxAge", "MaxBytes", "SegmentBytes"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("wrong limits: %v does not name %s", err, field)
		}
	}
}

func TestMissingStream(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	if _, err := rabbit.NewPublisher(t.Context(), config, "name"); !errors.Is(err, stream.ErrNotExist) {
		t.Errorf("publisher: got %v, want stream.ErrNotExist", err)
	}
	if _, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{}); !errors.Is(err, stream.ErrNotExist) {
		t.Errorf("source: got %v, want stream.ErrNotExist", err)
	}
	if err := rabbit.Delete(t.Context(), config); !errors.Is(err, stream.ErrNotExist) {
		t.Errorf("delete: got %v, want stream.ErrNotExist", err)
	}
}

func TestRemovedStream_failsBothEnds(t *testing.T) {
	t.Parallel()
	config := rabbittest.Config(t)
	if err := rabbit.Declare(t.Context(), config, rabbit.Limits{}); err != nil {
		t.Fatal(err)
	}
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
	if err := rabbit.Delete(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Read(t.Context(), 1); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("source: %v, want stream.ErrClosed", err)
	}
	<-p.Done()
	if !errors.Is(p.Err(), stream.ErrClosed) {
		t.Errorf("publisher: %v, want stream.ErrClosed", p.Err())
	}
}

func TestConnect_saysWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := rabbittest.Config(t)
	amqp, err := url.Parse(testservers.RabbitMQManagement(t))
	if err != nil {
		t.Fatal(err)
	}
	management, err := strconv.Atoi(amqp.Port())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(c *rabbit.Config)
		want   error
		text   []string
	}{
		{"password", func(c *rabbit.Config) { c.Password = "wrong-secret" }, rabbit.ErrAuthentication, []string{c(good.User), "password"}},
		{"virtual host", func(c *rabbit.Config) { c.VHost = "not/there" }, rabbit.ErrAuthentication, []string{`virtual host "not/there"`}},
		{"nothing listens", func(c *rabbit.Config) { c.Port = closedPort(t) }, nil, []string{"connection refused"}},
		{"another protocol", func(c *rabbit.Config) { c.Port = management }, rabbit.ErrNoStreamServer, []string{strconv.Itoa(management)}},
		{"TLS on the plain port", func(c *rabbit.Config) { c.TLS = &tls.Config{} }, nil, []string{"TLS with"}},
		{"one that does not answer", func(c *rabbit.Config) { c.Port = silentPort(t); c.ConnectTimeout = 300 * time.Millisecond }, context.DeadlineExceeded, []string{"does not answer"}},
		{"host", func(c *rabbit.Config) { c.Host = "no-such-host.invalid" }, nil, []string{"no-such-host.invalid"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			config := good
			test.change(&config)
			err := rabbit.Declare(t.Context(), config, rabbit.Limits{})
			if err == nil {
				t.Fatal("no error")
			}
			if test.want != nil && !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
			for _, text := range test.text {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%q does not say %q", err, text)
				}
			}
			if strings.Contains(err.Error(), "wrong-secret") {
				t.Errorf("%q shows the password", err)
			}
		})
	}
}

func c(s string) string { return strconv.Quote(s) }

// closedPort gives a port on which nothing listens.
func closedPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port
}

// silentPort gives a port that takes connections and never answers.
func silentPort(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener.Addr().(*net.TCPAddr).Port
}

func TestFirstOfSeveralHosts_thatAnswers(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	config.Host = "no-such-host.invalid, " + config.Host
	p, err := rabbit.NewPublisher(t.Context(), config, "name")
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
}

func TestTLS(t *testing.T) {
	t.Parallel()
	uri, file := os.Getenv("RABBITMQ_STREAM_TLS_URI"), os.Getenv("RABBITMQ_CA_FILE")
	if uri == "" || file == "" {
		if testservers.Required() {
			t.Fatal("RABBITMQ_STREAM_TLS_URI or RABBITMQ_CA_FILE is not set")
		}
		t.Skip("RABBITMQ_STREAM_TLS_URI or RABBITMQ_CA_FILE is not set")
	}
	config, err := rabbit.ConfigFromURI(uri)
	if err != nil {
		t.Fatal(err)
	}
	config.Stream = testservers.Name(t, "t_audit_")
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)

	unknown := config
	unknown.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	var authority x509.UnknownAuthorityError
	if err := rabbit.Declare(t.Context(), unknown, rabbit.Limits{}); !errors.As(err, &authority) {
		t.Errorf("unknown authority: got %v", err)
	}
	wrong := config
	wrong.TLS = &tls.Config{RootCAs: trusted, ServerName: "another.example"}
	var name x509.HostnameError
	if err := rabbit.Declare(t.Context(), wrong, rabbit.Limits{}); !errors.As(err, &name) {
		t.Errorf("wrong name: got %v", err)
	}

	config.TLS = &tls.Config{RootCAs: trusted}
	rabbittest.Declare(t, config, rabbit.Limits{})
	p, err := rabbit.NewPublisher(t.Context(), config, "name")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Publish(t.Context(), []stream.Message{{Seq: 7, Payload: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	if seq := <-p.Confirmed(); seq != 7 {
		t.Errorf("confirmed %d, want 7", seq)
	}
	if seq, err := p.LastSeq(t.Context()); err != nil || seq != 7 {
		t.Errorf("LastSeq: %d, %v; want 7", seq, err)
	}
}

func TestAppender(t *testing.T) {
	t.Parallel()
	config := rabbittest.Stream(t)
	a, err := rabbit.NewAppender(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Append(t.Context()); err != nil {
		t.Errorf("nothing: %v", err)
	}
	for _, messages := range [][]stream.Message{
		{{ID: "1", Payload: []byte("a"), Properties: map[string]string{"reason": "no JSON"}}},
		{{ID: "2", Payload: []byte("b")}, {ID: "3", Payload: []byte("c")}},
	} {
		if err := a.Append(t.Context(), messages...); err != nil {
			t.Fatal(err)
		}
	}
	err = a.Append(t.Context(), stream.Message{ID: "4"}, stream.Message{ID: "5", Payload: make([]byte, 2<<20)})
	var tooLarge *stream.TooLargeError
	if !errors.As(err, &tooLarge) || tooLarge.Seq != 2 {
		t.Errorf("too large: got %v, want one that names the second", err)
	}
	s, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var got []stream.Message
	for len(got) < 3 {
		messages, err := s.Read(t.Context(), 10)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, messages...)
	}
	if got[0].ID != "1" || got[1].ID != "2" || got[2].ID != "3" || got[0].Properties["reason"] != "no JSON" {
		t.Errorf("got %+v", got)
	}
	if err := a.Close(); err != nil {
		t.Error(err)
	}
	if err := a.Append(t.Context(), stream.Message{}); !errors.Is(err, stream.ErrClosed) {
		t.Errorf("after Close: %v, want stream.ErrClosed", err)
	}
}
