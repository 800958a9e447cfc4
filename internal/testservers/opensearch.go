package testservers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"
)

// OpenSearch gives the URL of OpenSearch. If it begins with https, the server has the security plugin; see
// OpenSearchAccess. The long run names another version of it in AUDIT_TEST_OPENSEARCH, to be counted.
func OpenSearch(t testing.TB) string {
	t.Helper()
	return address(t, strings.TrimSpace("OpenSearch "+os.Getenv("AUDIT_TEST_OPENSEARCH")), "OPENSEARCH_URL")
}

// Access is an OpenSearch and the accounts of deploy/opensearch/roles.yml on it. Without the security plugin
// the accounts are empty, and CACert is nil.
type Access struct {
	URL                               string
	CACert                            []byte
	Consumer, Reader, Operator, Admin Account
}

// Account is a user with the rights of one role.
type Account struct{ User, Password string }

// SearchPrefix begins the names of indices for which the roles give rights.
const SearchPrefix = "audit-logs-t-"

// OpenSearchAccess gives the server of OpenSearch with what is needed to speak to it. The accounts are those
// of OPENSEARCH_SECURE_URL, if that is the server.
func OpenSearchAccess(t testing.TB) Access {
	t.Helper()
	a := Access{URL: OpenSearch(t)}
	if strings.HasPrefix(a.URL, "https://") {
		a.readAccounts(t)
	}
	return a
}

// SecureOpenSearch is OpenSearchAccess for the server with the security plugin, whatever OPENSEARCH_URL is. Only the
// long run has it.
func SecureOpenSearch(t testing.TB) Access {
	t.Helper()
	a := Access{URL: address(t, "OpenSearch with security", "OPENSEARCH_SECURE_URL")}
	a.readAccounts(t)
	return a
}

func (a *Access) readAccounts(t testing.TB) {
	t.Helper()
	a.CACert = file(t, "OPENSEARCH_SECURE_CA_FILE")
	password := strings.TrimSpace(string(file(t, "OPENSEARCH_SECURE_PASSWORD_FILE")))
	a.Consumer = Account{"audit_consumer", password}
	a.Reader = Account{"audit_reader", password}
	a.Operator = Account{"audit_operator", password}
	a.Admin = Account{"admin", strings.TrimSpace(string(file(t, "OPENSEARCH_SECURE_ADMIN_PASSWORD_FILE")))}
}

func file(t testing.TB, variable string) []byte {
	t.Helper()
	data, err := os.ReadFile(address(t, "OpenSearch with security", variable))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// Transport gives a transport for requests of a test's own to the server. It keeps no connections.
func (a Access) Transport() *http.Transport {
	t := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}
	if a.CACert != nil {
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		t.TLSClientConfig.RootCAs.AppendCertsFromPEM(a.CACert)
	}
	return t
}

// Do sends a request of the administrator, and gives the status and the answer. It works in a test's
// cleanup too.
func (a Access) Do(t testing.TB, method, path, body string) (status int, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.URL+"/"+strings.TrimPrefix(path, "/"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.Admin.User != "" {
		req.SetBasicAuth(a.Admin.User, a.Admin.Password)
	}
	res, err := a.Transport().RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it was read to its end
	data, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(data)
}

// Variables gives the environment variables by which the project's programs reach the server with the
// account.
func (a Access) Variables(t testing.TB, account Account) map[string]string {
	t.Helper()
	u, err := url.Parse(a.URL)
	if err != nil {
		t.Fatal(err)
	}
	v := map[string]string{"OPENSEARCH_HOST": u.Hostname(), "OPENSEARCH_PORT": u.Port()}
	if a.CACert != nil {
		v["OPENSEARCH_USE_SSL"], v["OPENSEARCH_CA_FILE"] = "true", os.Getenv("OPENSEARCH_SECURE_CA_FILE")
		v["OPENSEARCH_USERNAME"], v["OPENSEARCH_PASSWORD"] = account.User, account.Password
	}
	return v
}
