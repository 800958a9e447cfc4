package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// configOf gives the Config of a store on the real server with an account.
func configOf(t testing.TB, account testservers.Account, prefix string) Config {
	t.Helper()
	a := testservers.OpenSearchAccess(t)
	return Config{
		Addresses: []string{a.URL}, CACert: a.CACert, Username: account.User, Password: account.Password,
		IndexPrefix: prefix, Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

// newStore gives a store of its own on the real server, with the rights of a consumer, and removes its
// indices after the test. With users of few rights an operator has to set it up.
func newStore(t *testing.T, change ...func(*Config)) *Store {
	t.Helper()
	s := newBareStore(t, change...)
	if testservers.OpenSearchAccess(t).Operator.User != "" {
		if _, err := asOperator(t, s).Setup(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// newBareStore is newStore without a template.
func newBareStore(t *testing.T, change ...func(*Config)) *Store {
	t.Helper()
	a := testservers.OpenSearchAccess(t)
	cfg := configOf(t, a.Consumer, testservers.Name(t, testservers.SearchPrefix))
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	admin := as(t, s, a.Admin)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		open, closed, err := admin.list(ctx)
		if err != nil {
			t.Error(err)
		}
		names := append(open, closed...)
		names = append(names, s.names.checkpoints())
		r := request{method: http.MethodDelete, path: "/" + strings.Join(names, ","), query: url.Values{"ignore_unavailable": {"true"}}}
		if err := admin.call(ctx, r, nil); err != nil {
			t.Error(err)
		}
		err = admin.call(ctx, request{method: http.MethodDelete, path: "/_index_template/" + cfg.IndexPrefix}, nil)
		var answer *answerError
		if err != nil && (!errors.As(err, &answer) || answer.status != http.StatusNotFound) {
			t.Error(err)
		}
	})
	return s
}

// as gives a store of the same indices on the real server, used by another account.
func as(t testing.TB, s *Store, account testservers.Account) *Store {
	t.Helper()
	other, err := New(configOf(t, account, s.names.prefix))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Close() })
	return other
}

func asReader(t testing.TB, s *Store) *Store {
	t.Helper()
	return as(t, s, testservers.OpenSearchAccess(t).Reader)
}

func asOperator(t testing.TB, s *Store) *Store {
	t.Helper()
	return as(t, s, testservers.OpenSearchAccess(t).Operator)
}

func asAdmin(t testing.TB, s *Store) *Store {
	t.Helper()
	return as(t, s, testservers.OpenSearchAccess(t).Admin)
}

var november = time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)

// record gives a record that differs from others by its number.
func record(n int, change ...func(*event.Record)) event.Record {
	at := november.Add(time.Duration(n) * time.Second)
	r := event.Record{
		SchemaVersion: event.SchemaVersion,
		LogID:         event.NewID(at), Timestamp: at,
		UserID: "7", Username: "john.doe", FullName: "Nguyễn Thị Đào",
		Action: event.ActionChange, ObjectType: "customer", ObjectID: fmt.Sprint(n), ObjectRepr: "Customer " + fmt.Sprint(n),
		ChangeMessage: event.TextMessage(event.TextModified),
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func docs(t testing.TB, records ...event.Record) []store.Doc {
	t.Helper()
	list := make([]store.Doc, len(records))
	for i, r := range records {
		data, err := event.Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		list[i] = store.Doc{Record: r, Encoded: data}
	}
	return list
}

// writeAll writes docs and gives the statuses.
func writeAll(t testing.TB, s *Store, list []store.Doc) []store.Status {
	t.Helper()
	results, err := s.Write(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	statuses := make([]store.Status, len(results))
	for i, r := range results {
		statuses[i] = r.Status
		if (r.Err != nil) != (r.Status != store.Stored && r.Status != store.Duplicate) {
			t.Errorf("document %d: status %s with error %v", i, r.Status, r.Err)
		}
		if r.Err != nil {
			t.Logf("document %d: %s: %v", i, r.Status, r.Err)
		}
	}
	return statuses
}

// found gives the ids of all records, in the order of the query.
func found(t testing.TB, s *Store, q store.Query) []string {
	t.Helper()
	s = refreshed(t, s)
	if q.Size == 0 {
		q.Size = store.MaxSize
	}
	page, err := s.Search(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range page.Records {
		ids = append(ids, r.LogID)
	}
	return ids
}

// refreshed makes all that was written visible, and gives the store of a reader.
func refreshed(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := asAdmin(t, s).Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return asReader(t, s)
}

// raw sends a request of the administrator to the real server, whose answer it gives.
func raw(t testing.TB, s *Store, method, path string, body any) map[string]any {
	t.Helper()
	s = asAdmin(t, s)
	r := request{method: method, path: path}
	if body != nil {
		r.body = asJSON(body)
	}
	var v map[string]any
	if err := s.call(t.Context(), r, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func pretty(v any) string {
	data, _ := json.MarshalIndent(v, "", " ")
	return string(data)
}
