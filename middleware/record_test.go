package middleware_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/middleware"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

type customer struct {
	ID   uint
	Name string
}

// audited gives a database whose changes are recorded, and the records.
func audited(t testing.TB) (*gorm.DB, *sqlstore.Store) {
	t.Helper()
	db, err := gorm.Open(sqlite.Open("file:"+filepath.Join(t.TempDir(), "test.db")+"?_txlock=immediate&_pragma=busy_timeout(20000)&_pragma=journal_mode(WAL)"), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if pool, err := db.DB(); err == nil {
			_ = pool.Close() // the test has its results
		}
	})
	records, err := sqlstore.New(db, sqlstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	registry := audit.NewRegistry()
	if err := registry.Register(&customer{}); err != nil {
		t.Fatal(err)
	}
	if err := db.Use(audit.New(audit.Config{Registry: registry, TxSink: records})); err != nil {
		t.Fatal(err)
	}
	if err := db.AutoMigrate(&customer{}); err != nil {
		t.Fatal(err)
	}
	return db, records
}

func all(t testing.TB, records *sqlstore.Store) []event.Record {
	t.Helper()
	page, err := records.Search(t.Context(), store.Query{Size: 1000, Ascending: true}.WithDefaults())
	if err != nil {
		t.Fatal(err)
	}
	return page.Records
}

func TestGin_changesAreRecorded(t *testing.T) {
	t.Parallel()
	for name, contextOf := range map[string]func(c *gin.Context) context.Context{
		"the request's context": func(c *gin.Context) context.Context { return c.Request.Context() },
		"the Gin context":       func(c *gin.Context) context.Context { return c },
		"a copy of it":          func(c *gin.Context) context.Context { return c.Copy() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, records := audited(t)
			call(middleware.Options{Identify: actorFromKeys}, func(r *http.Request) { r.Header.Set("X-Request-Id", "r1") }, func(c *gin.Context) {
				c.Set("user", "7")
				if err := db.WithContext(contextOf(c)).Create(&customer{Name: "Ann"}).Error; err != nil {
					t.Error(err)
				}
			})
			got := all(t, records)
			if len(got) != 1 {
				t.Fatalf("%d records", len(got))
			}
			if r := got[0]; r.UserID != "7" || r.ActorType != "user" || r.RequestID != "r1" || r.HTTPMethod != "PUT" || r.HTTPRoute != "/customers/:id" || r.IPAddress != "192.0.2.1" || r.Source != "api" {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestGin_withoutIt_nothingIsRecorded(t *testing.T) {
	t.Parallel()
	db, records := audited(t)
	engine := gin.New()
	engine.GET("/", func(c *gin.Context) {
		if err := db.WithContext(c).Create(&customer{Name: "Ann"}).Error; err != nil {
			t.Error(err)
		}
	})
	engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
	if got := all(t, records); len(got) != 0 {
		t.Errorf("%d records", len(got))
	}
}

// TestGin_panicInATransaction_givesNoRecord: neither the change nor its record stays, and the next
// request has nothing of it.
func TestGin_panicInATransaction_givesNoRecord(t *testing.T) {
	t.Parallel()
	db, records := audited(t)
	engine := gin.New()
	engine.Use(gin.RecoveryWithWriter(io.Discard), middleware.Gin(middleware.Options{Identify: actorFromKeys}))
	engine.GET("/panic", func(c *gin.Context) {
		c.Set("user", "7")
		_ = db.WithContext(c.Request.Context()).Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&customer{Name: "Never"}).Error; err != nil {
				t.Error(err)
			}
			panic("a handler")
		})
	})
	engine.GET("/", func(c *gin.Context) {
		if err := db.WithContext(c.Request.Context()).Create(&customer{Name: "Ann"}).Error; err != nil {
			t.Error(err)
		}
	})
	for _, path := range []string{"/panic", "/"} {
		engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, path, nil))
	}
	got := all(t, records)
	if len(got) != 1 || got[0].UserID != "" || got[0].ActorType != "anonymous" || got[0].ObjectRepr != "Ann" {
		t.Errorf("%+v", got)
	}
}

// TestGin_workThatOutlivesTheRequest: what a goroutine writes after the answer was sent carries the
// user and the request that started it.
func TestGin_workThatOutlivesTheRequest_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	db, records := audited(t)
	engine := gin.New()
	engine.Use(middleware.Gin(middleware.Options{Identify: actorFromKeys}))
	var late sync.WaitGroup
	release := make(chan struct{})
	engine.GET("/:user", func(c *gin.Context) {
		c.Set("user", c.Param("user"))
		ctx, name := context.WithoutCancel(c.Request.Context()), c.Param("user")
		late.Go(func() {
			<-release
			if err := db.WithContext(ctx).Create(&customer{Name: name}).Error; err != nil {
				t.Error(err)
			}
		})
	})
	const requests = 20
	for i := range requests {
		r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/u%d", i), nil)
		r.Header.Set("X-Request-Id", fmt.Sprintf("ru%d", i))
		engine.ServeHTTP(httptest.NewRecorder(), r)
	}
	close(release)
	late.Wait()
	got := all(t, records)
	if len(got) != requests {
		t.Errorf("%d records, want %d", len(got), requests)
	}
	for _, r := range got {
		if r.UserID != r.ObjectRepr || r.RequestID != "r"+r.UserID {
			t.Errorf("%s was written by %s in request %s", r.ObjectRepr, r.UserID, r.RequestID)
		}
	}
}
