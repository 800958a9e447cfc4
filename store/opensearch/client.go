package opensearch

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	osclient "github.com/opensearch-project/opensearch-go/v4"

	"github.com/gormtrail/audit/store"
)

var (
	_ store.Writer   = (*Store)(nil)
	_ store.Searcher = (*Store)(nil)
)

// performer is all that is used of the vendor's client: it picks a node, authenticates, and brings
// back the answer. The typed calls are not used, because they hide partial failures and the status
// of an answer that is not JSON.
type performer interface {
	Perform(req *http.Request) (*http.Response, error)
}

// Store writes records to OpenSearch and finds them. Make one with New.
type Store struct {
	cfg    Config
	client performer
	names  names
	log    *slog.Logger
	idle   func()
	indices
}

// New gives a Store. It does not connect: a server that is not there shows with the first call; see
// Ping. The error wraps ErrConfig and names all that is wrong.
func New(cfg Config) (*Store, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, names: names{prefix: cfg.IndexPrefix}, log: cfg.Logger, idle: func() {}}
	transport := cfg.Transport
	if transport == nil {
		t := newTransport(cfg)
		transport, s.idle = t, t.CloseIdleConnections
	}
	client, err := osclient.NewClient(osclient.Config{
		Addresses: cfg.Addresses,
		Username:  cfg.Username,
		Password:  cfg.Password,
		Transport: exchange{transport},
		Signer:    cfg.Signer,
		// Retries are for whoever knows what the request was. The client's own come without a pause.
		DisableRetry: true,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	s.client = client
	if cfg.InsecureSkipVerify {
		s.log.Warn("opensearch certificates are not verified: traffic can be read and changed on its way")
	}
	return s, nil
}

func newTransport(cfg Config) *http.Transport {
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: cfg.InsecureSkipVerify}, //nolint:gosec // the operator's choice, logged
	}
	if len(cfg.CACert) > 0 {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM(cfg.CACert)
	}
	return t
}

// Close releases idle connections. Calls that are under way end undisturbed.
func (s *Store) Close() error {
	s.idle()
	return nil
}

// exchange sends a request and reads the whole answer, so that an answer which is cut off is an
// error here and not later.
type exchange struct{ next http.RoundTripper }

// maxAnswer bounds an answer. The largest is a page of 1000 records.
const maxAnswer = 1 << 30

// RoundTrip implements http.RoundTripper.
func (x exchange) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := x.next.RoundTrip(req)
	if err != nil {
		if !strings.Contains(err.Error(), req.URL.Host) { // as of "EOF"
			err = fmt.Errorf("%s: %w", req.URL.Host, err)
		}
		return nil, &exchangeError{err}
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	_ = res.Body.Close()
	if err != nil {
		return nil, &exchangeError{fmt.Errorf("%s: answer was cut off after %d bytes: %w", req.URL.Host, len(body), err)}
	}
	if len(body) > maxAnswer {
		return nil, &exchangeError{errors.New("answer is larger than 1 GiB")}
	}
	res.Body = &wholeAnswer{Reader: bytes.NewReader(body), data: body}
	return res, nil
}

// wholeAnswer is the body of an answer that is in memory already.
type wholeAnswer struct {
	*bytes.Reader
	data []byte
}

// Close implements io.Closer.
func (*wholeAnswer) Close() error { return nil }

// request is one request to the server.
type request struct {
	method, path string
	query        url.Values
	body         []byte
	payload      *payload // instead of body: one that is used again
	ndjson, gzip bool
	timeout      time.Duration
}

// do sends r and gives status and body of the answer, whatever the status. The error is for a
// request without an answer.
func (s *Store) do(ctx context.Context, r request) (status int, body []byte, err error) {
	switch {
	case r.timeout > 0:
	case r.method == http.MethodPut || r.method == http.MethodDelete:
		// What changes the state of the cluster waits for its manager, behind all others.
		r.timeout = max(s.cfg.Timeout, s.cfg.BulkTimeout)
	default:
		r.timeout = s.cfg.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	target := r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, bytes.NewReader(r.body))
	if err != nil {
		return 0, nil, fmt.Errorf("opensearch: %s %s: %w", r.method, r.path, err)
	}
	if r.payload != nil {
		r.payload.attach(req)
	}
	if r.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	switch {
	case len(r.body) == 0 && r.payload == nil:
		req.Body = http.NoBody
	case r.ndjson:
		req.Header.Set("Content-Type", "application/x-ndjson")
	default:
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := s.client.Perform(req)
	if err != nil {
		return 0, nil, fmt.Errorf("opensearch: %s %s: %w", r.method, r.path, err)
	}
	defer func() { _ = res.Body.Close() }()
	if whole, ok := res.Body.(*wholeAnswer); ok {
		return res.StatusCode, whole.data, nil
	}
	body, err = io.ReadAll(res.Body)
	if err != nil {
		return 0, nil, fmt.Errorf("opensearch: %s %s: %w", r.method, r.path, err)
	}
	return res.StatusCode, body, nil
}

// call is do for requests that must succeed: it decodes the answer into v, if that is not nil. The
// error is an *answerError if the server refused.
func (s *Store) call(ctx context.Context, r request, v any) error {
	status, body, err := s.do(ctx, r)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		return errorOf(status, body)
	}
	if v == nil {
		return nil
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("opensearch: %s %s: answer is no JSON of the server: %w", r.method, r.path, err)
	}
	return nil
}

// asJSON encodes a request body, which is made of maps, slices, texts and numbers only.
func asJSON(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return data
}

// Version is what the server says about itself.
type Version struct {
	Distribution string // "opensearch"
	Number       string // such as "3.5.0"
	Cluster      string // name of the cluster
}

// Version asks the server for its version.
func (s *Store) Version(ctx context.Context) (Version, error) {
	var v struct {
		Cluster string `json:"cluster_name"`
		Version struct {
			Distribution string `json:"distribution"`
			Number       string `json:"number"`
		} `json:"version"`
	}
	if err := s.call(ctx, request{method: http.MethodGet, path: "/"}, &v); err != nil {
		return Version{}, unavailable(err)
	}
	if v.Version.Number == "" {
		return Version{}, fmt.Errorf("%w: opensearch: the answer at / has no version: no OpenSearch server", store.ErrUnavailable)
	}
	return Version{Distribution: v.Version.Distribution, Number: v.Version.Number, Cluster: v.Cluster}, nil
}

// Ping reports whether the server answers and takes the credentials; the error wraps
// store.ErrUnavailable.
func (s *Store) Ping(ctx context.Context) error {
	_, err := s.Version(ctx)
	return err
}

// Refresh makes everything that was written visible to Search; without it that takes the refresh
// interval of the index, one second.
func (s *Store) Refresh(ctx context.Context) error {
	err := s.call(ctx, request{method: http.MethodPost, path: "/" + s.names.alias() + "/_refresh"}, nil)
	var answer *answerError
	if errors.As(err, &answer) && answer.kind == "index_not_found_exception" {
		return nil // nothing was written yet
	}
	return err
}

func unavailable(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
