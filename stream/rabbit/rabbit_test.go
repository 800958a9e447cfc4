package rabbit_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
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

// TestTLS_ofBothSides: the server looks at the certificate of the client, which all of a pipeline shows.
func TestTLS_ofBothSides(t *testing.T) {
	t.Parallel()
	server := testservers.RabbitMQWithTLS(t)
	plain, err := rabbit.ConfigFromURI(server.URI)
	if err != nil {
		t.Fatal(err)
	}
	with := func(certificate, key string) rabbit.Config {
		config, err := rabbit.ConfigFromEnv(func(name string) string {
			return map[string]string{
				"RABBITMQ_STREAM_TLS": "true", "RABBITMQ_STREAM_CA_FILE": server.CAFile,
				"RABBITMQ_STREAM_CERT_FILE": certificate, "RABBITMQ_STREAM_KEY_FILE": key,
				"RABBITMQ_STREAM_HOST": plain.Host, "RABBITMQ_STREAM_PORT": strconv.Itoa(plain.Port),
				"RABBITMQ_STREAM_USER": plain.User, "RABBITMQ_STREAM_PASSWORD": plain.Password,
			}[name]
		})
		if err != nil {
			t.Fatal(err)
		}
		return config
	}
	config := with(server.CertFile, server.KeyFile)
	config.Stream = testservers.Name(t, "t_audit_")
	rabbittest.Declare(t, config, rabbit.Limits{})
	fill(t, config, 10, 10)
	source, err := rabbit.NewSource(t.Context(), config, "group", stream.SourceOptions{SingleActive: true})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	for read := 0; read < 10; {
		messages, err := source.Read(t.Context(), 100)
		if err != nil {
			t.Fatal(err)
		}
		read += len(messages)
	}

	stranger := with(forged(t, server.CAFile))
	stranger.Stream = config.Stream
	if _, err := rabbit.NewSource(t.Context(), stranger, "group", stream.SourceOptions{}); err == nil || !strings.Contains(err.Error(), "TLS") {
		t.Errorf("a certificate that nobody vouches for: %v, want an error of TLS", err)
	}
}

// forged gives the files of a certificate that claims to be signed by the authority, and of its key. A client shows
// the server only what claims that.
func forged(t *testing.T, authority string) (certificate, key string) {
	t.Helper()
	data, err := os.ReadFile(authority)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		t.Fatalf("no PEM in %s", authority)
	}
	real, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stranger"}, NotAfter: time.Now().Add(time.Hour)}
	issuer := &x509.Certificate{RawSubject: real.RawSubject}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	for name, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(filepath.Join(folder, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
}

func TestTLS(t *testing.T) {
	t.Parallel()
	server := testservers.RabbitMQWithTLS(t)
	config, err := rabbit.ConfigFromURI(server.URI)
	if err != nil {
		t.Fatal(err)
	}
	config.Stream = testservers.Name(t, "t_audit_")
	authority, err := os.ReadFile(server.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)

	unknown := config
	unknown.TLS = &tls.Config{RootCAs: x509.NewCertPool()}
	var nobody x509.UnknownAuthorityError
	if err := rabbit.Declare(t.Context(), unknown, rabbit.Limits{}); !errors.As(err, &nobody) {
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
