package rabbittest

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gormtrail/audit/internal/testservers"
)

// Manage asks RabbitMQ's management API, and gives what it answers. It may be called from a cleanup.
func Manage(t testing.TB, method, path, body string) (answer string) {
	t.Helper()
	base, err := url.Parse(testservers.RabbitMQManagement(t))
	if err != nil {
		t.Fatal(err)
	}
	account := base.User
	base.User = nil
	// The test's own context has ended when cleanups run.
	request, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, strings.TrimSuffix(base.String(), "/")+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := account.Password()
	request.SetBasicAuth(account.Username(), password)
	request.Header.Set("Content-Type", "application/json")
	request.Close = true // no connection stays behind
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was read to its end
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode >= 300 {
		t.Fatalf("%s %s: %s: %s", method, path, response.Status, data)
	}
	return string(data)
}
