package awssig

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// verify recomputes the signature of a request, as "Signature Version 4" says, from nothing but the request
// and the secret, and says what is wrong.
func verify(r *http.Request, body []byte, secret, region, service string) error {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	parts := map[string]string{}
	for p := range strings.SplitSeq(rest, ", ") {
		name, value, _ := strings.Cut(p, "=")
		parts[name] = value
	}
	scope := strings.SplitN(parts["Credential"], "/", 2)
	at := r.Header.Get("X-Amz-Date")
	if !ok || len(scope) != 2 || len(at) != len("20060102T150405Z") {
		return fmt.Errorf("no signature in %q, date %q", r.Header.Get("Authorization"), at)
	}
	if want := at[:8] + "/" + region + "/" + service + "/aws4_request"; scope[1] != want {
		return fmt.Errorf("scope %q, want %q", scope[1], want)
	}
	names := strings.Split(parts["SignedHeaders"], ";")
	for _, name := range []string{"host", "x-amz-date"} {
		if !slices.Contains(names, name) {
			return fmt.Errorf("header %s is not signed: %q", name, names)
		}
	}
	var headers strings.Builder
	for _, name := range names {
		value := r.Header.Get(name)
		switch name {
		case "host":
			value = r.Host
		case "content-length":
			value = fmt.Sprint(r.ContentLength)
		}
		fmt.Fprintf(&headers, "%s:%s\n", name, strings.TrimSpace(value))
	}
	query := strings.ReplaceAll(r.URL.Query().Encode(), "+", "%20")
	payload := hexSum(body)
	// All services but S3 encode the path once more.
	var path strings.Builder
	for i, segment := range strings.Split(r.URL.EscapedPath(), "/") {
		if i > 0 {
			path.WriteByte('/')
		}
		path.WriteString(strings.ReplaceAll(url.QueryEscape(segment), "+", "%20"))
	}
	canonical := strings.Join([]string{r.Method, path.String(), query, headers.String(), parts["SignedHeaders"], payload}, "\n")
	toSign := strings.Join([]string{"AWS4-HMAC-SHA256", at, scope[1], hexSum([]byte(canonical))}, "\n")
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope[1], "/") {
		key = mac(key, part)
	}
	if want := hex.EncodeToString(mac(key, toSign)); want != parts["Signature"] {
		return fmt.Errorf("signature %s, want %s, of\n%s", parts["Signature"], want, canonical)
	}
	if hash := r.Header.Get("X-Amz-Content-Sha256"); hash != payload {
		return fmt.Errorf("body hash %q, want %q", hash, payload)
	}
	return nil
}

func hexSum(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(text))
	return h.Sum(nil)
}

// TestSigner_aServerThatVerifies: in front of the real OpenSearch stands a server that lets nothing through
// whose signature it does not find right.
func TestSigner_aServerThatVerifies(t *testing.T) {
	t.Parallel()
	access := testservers.OpenSearchAccess(t)
	target, err := url.Parse(access.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, service, secret, session string
		compress                       bool
		want                           store.Status
	}{
		{"domain", "es", "geheim", "", false, store.Stored},
		{"serverless collection, temporary keys, compressed", "aoss", "geheim", "token/+=", true, store.Stored},
		{"wrong key", "es", "falsch", "", false, store.Environment},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var signed atomic.Int64
			proxy := httputil.NewSingleHostReverseProxy(target)
			proxy.Transport = access.Transport()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err == nil {
					err = verify(r, body, "geheim", "eu-central-1", c.service)
				}
				if err == nil && r.Header.Get("X-Amz-Security-Token") != c.session {
					err = fmt.Errorf("session token %q", r.Header.Get("X-Amz-Security-Token"))
				}
				if err != nil {
					if c.want == store.Stored {
						t.Errorf("%s %s: %v", r.Method, r.URL, err)
					}
					w.WriteHeader(http.StatusForbidden)
					_, _ = io.WriteString(w, `{"message":"The request signature we calculated does not match the signature you provided."}`)
					return
				}
				signed.Add(1)
				r.Body = io.NopCloser(bytes.NewReader(body))
				if r.Header.Del("Authorization"); access.Consumer.User != "" {
					r.SetBasicAuth(access.Admin.User, access.Admin.Password)
				}
				proxy.ServeHTTP(w, r)
			}))
			t.Cleanup(server.Close)
			env := map[string]string{
				"OPENSEARCH_AWS_REGION": "eu-central-1", "OPENSEARCH_AWS_SERVICE": c.service,
				"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": c.secret, "AWS_SESSION_TOKEN": c.session,
			}
			signer, err := FromEnv(func(name string) string { return env[name] })
			if err != nil {
				t.Fatal(err)
			}
			prefix := testservers.Name(t, testservers.SearchPrefix)
			s, err := opensearch.New(opensearch.Config{Addresses: []string{server.URL}, IndexPrefix: prefix, Signer: signer, Compress: c.compress})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = s.Close()
				access.Do(t, http.MethodDelete, prefix+"-2026.11?ignore_unavailable=true", "")
			})
			at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
			record := event.Record{LogID: "a/b ü+%", Timestamp: at, Action: event.ActionAdd, ObjectRepr: "Nguyễn"}
			results, err := s.Write(t.Context(), []store.Doc{{Record: record}})
			if err != nil || results[0].Status != c.want {
				t.Fatalf("write: %v, %v", results, err)
			}
			if c.want != store.Stored {
				if strings.Contains(results[0].Err.Error(), c.secret) {
					t.Errorf("the key is in %v", results[0].Err)
				}
				return
			}
			if err := s.Refresh(t.Context()); err != nil {
				t.Fatal(err)
			}
			if page, err := s.Search(t.Context(), store.Query{Text: "nguyen"}); err != nil || len(page.Records) != 1 {
				t.Errorf("search: %+v, %v", page, err)
			}
			if n := signed.Load(); n < 5 {
				t.Errorf("only %d requests came", n)
			}
		})
	}
}

func TestFromEnv_namesEveryWrongValue(t *testing.T) {
	t.Parallel()
	get := func(v map[string]string) func(string) string { return func(name string) string { return v[name] } }
	if s, err := FromEnv(get(nil)); s != nil || err != nil {
		t.Errorf("nothing set: %v, %v", s, err)
	}
	_, err := FromEnv(get(map[string]string{"OPENSEARCH_AWS_REGION": "Frankfurt", "OPENSEARCH_AWS_SERVICE": "s3", "AWS_SECRET_ACCESS_KEY": "geheim"}))
	if !errors.Is(err, ErrConfig) {
		t.Fatalf("got %v", err)
	}
	for _, want := range []string{`"Frankfurt"`, `"s3", want es or aoss`, "AWS_ACCESS_KEY_ID"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no %s in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "geheim") {
		t.Errorf("the key is in %v", err)
	}
	if _, err := New(Config{Region: "eu-central-1"}); !errors.Is(err, ErrConfig) {
		t.Errorf("without credentials: %v", err)
	}
}
