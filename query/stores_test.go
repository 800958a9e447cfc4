package query_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/store/sqlstore"
	"github.com/gormtrail/audit/store/storetest"
)

// eachStore runs the test on the oracle and on every real store, filled with the records. real says
// that each request takes its time: fewer rounds are enough.
func eachStore(t *testing.T, records []event.Record, test func(t *testing.T, s store.Searcher, real bool)) {
	t.Helper()
	for name, open := range map[string]func(*testing.T, []event.Record) store.Searcher{
		"memory":     func(_ *testing.T, r []event.Record) store.Searcher { return storetest.NewMemory(r...) },
		"sqlite":     openSQLite,
		"postgres":   openPostgres,
		"opensearch": openOpenSearch,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t, records), name != "memory")
		})
	}
}

func openSQLite(t *testing.T, records []event.Record) store.Searcher {
	return openSQL(t, sqlite.Open("file:"+filepath.Join(t.TempDir(), "trail.db")+"?_pragma=busy_timeout(10000)"), records)
}

func openPostgres(t *testing.T, records []event.Record) store.Searcher {
	return openSQL(t, postgres.Open(testservers.PostgresSchema(t)), records)
}

func openSQL(t *testing.T, dialect gorm.Dialector, records []event.Record) store.Searcher {
	t.Helper()
	db, err := gorm.Open(dialect, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if raw, err := db.DB(); err != nil || raw.Close() != nil {
			t.Errorf("close: %v", err)
		}
	})
	s, err := sqlstore.New(db, sqlstore.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	fill(t, s, records)
	return s
}

func openOpenSearch(t *testing.T, records []event.Record) store.Searcher {
	t.Helper()
	address, prefix := testservers.OpenSearch(t), testservers.Name(t, "t-query-")
	s, err := opensearch.New(opensearch.Config{Addresses: []string{address}, IndexPrefix: prefix, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		ctx := context.WithoutCancel(t.Context())
		if names := strings.Fields(ask(ctx, t, http.MethodGet, address+"/_cat/indices/"+prefix+"*?h=index")); len(names) > 0 {
			ask(ctx, t, http.MethodDelete, address+"/"+strings.Join(names, ","))
		}
		ask(ctx, t, http.MethodDelete, address+"/_index_template/"+prefix)
		http.DefaultClient.CloseIdleConnections()
	})
	if _, err := s.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	fill(t, s, records)
	if err := s.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(ctx context.Context, t *testing.T, method, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK {
		t.Errorf("%s %s: %d %s", method, url, answer.StatusCode, body)
	}
	return string(body)
}

func fill(t *testing.T, w store.Writer, records []event.Record) {
	t.Helper()
	docs := make([]store.Doc, len(records))
	for i, r := range records {
		docs[i].Record = r
	}
	if len(docs) == 0 {
		return
	}
	results, err := w.Write(t.Context(), docs)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Status != store.Stored {
			t.Fatal(fmt.Sprintf("record %d:", i), r.Status, r.Err)
		}
	}
}
