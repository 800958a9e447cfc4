package middleware_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/middleware"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

// call sends one request through an engine with the middleware.
func call(o middleware.Options, prepare func(r *http.Request), handlers ...gin.HandlerFunc) *httptest.ResponseRecorder {
	engine := gin.New()
	engine.Use(gin.RecoveryWithWriter(io.Discard), middleware.Gin(o))
	engine.PUT("/customers/:id", handlers...)
	r := httptest.NewRequest(http.MethodPut, "/customers/7?secret=1", nil)
	if prepare != nil {
		prepare(r)
	}
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, r)
	return w
}

func TestGin_givesTheFacts(t *testing.T) {
	t.Parallel()
	proxies, err := middleware.ParseProxies("192.0.2.0/24")
	if err != nil {
		t.Fatal(err)
	}
	var got, viaGin audit.Request
	w := call(middleware.Options{
		TrustedProxies: proxies,
		SessionKey:     func(c *gin.Context) string { s, _ := c.Cookie("sid"); return s },
		SessionHashKey: []byte("key a"),
		Source:         "admin",
	}, func(r *http.Request) {
		r.Header.Set("X-Forwarded-For", "1.1.1.1, 203.0.113.9")
		r.Header.Set("User-Agent", "Agent/1")
		r.Header.Set("X-Request-ID", "req-1")
		r.Header.Set("Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		r.AddCookie(&http.Cookie{Name: "sid", Value: "secret"})
	}, func(c *gin.Context) {
		got, _ = audit.RequestFrom(c.Request.Context())
		viaGin, _ = audit.RequestFrom(c)
	})
	want := audit.Request{
		IPAddress: "203.0.113.9", UserAgent: "Agent/1", RequestID: "req-1",
		SessionKey: "c6d711a8c267314bf9281c4c8d309c78a1f79664cc0551880382b6713cd2bec9",
		TraceID:    "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7",
		Method: "PUT", Route: "/customers/:id", Source: "admin",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("the request's context (-want +got)\n%s", d)
	}
	if d := cmp.Diff(want, viaGin); d != "" {
		t.Errorf("the Gin context (-want +got)\n%s", d)
	}
	if id := w.Header().Get("X-Request-Id"); id != "req-1" {
		t.Errorf("the response has the request id %q", id)
	}
}

// TestGin_trustsNothingByDefault is rows 2 and 3 of the threat table: what a client writes into
// headers and body is neither its name nor its address.
func TestGin_trustsNothingByDefault(t *testing.T) {
	t.Parallel()
	for _, header := range []string{"X-Forwarded-For", "X-Real-Ip", "Forwarded", "True-Client-Ip", "Cf-Connecting-Ip", "X-User", "X-User-Id", "X-Remote-User", "Remote-User", "X-Forwarded-User", "Authorization"} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			var got audit.Request
			known := true
			call(middleware.Options{SessionKey: func(*gin.Context) string { return "secret" }}, func(r *http.Request) {
				r.Header.Set(header, "203.0.113.9")
			}, func(c *gin.Context) {
				got, _ = audit.RequestFrom(c.Request.Context())
				_, known = audit.ActorFrom(c.Request.Context())
			})
			if got.IPAddress != "192.0.2.1" || known || got.SessionKey != "" {
				t.Errorf("address %q, known %v, session %q", got.IPAddress, known, got.SessionKey)
			}
		})
	}
}

func actorFromKeys(c *gin.Context) (audit.Actor, bool) {
	id, ok := c.Get("user")
	if !ok {
		return audit.Actor{}, false
	}
	return audit.Actor{ID: id.(string)}, true
}

func TestGin_authenticationMayRunAfter(t *testing.T) {
	t.Parallel()
	var before, after bool
	var actor audit.Actor
	call(middleware.Options{Identify: actorFromKeys}, nil,
		func(c *gin.Context) {
			_, before = audit.ActorFrom(c)
			c.Set("user", "7")
		},
		func(c *gin.Context) {
			actor, after = audit.ActorFrom(c.Request.Context())
			c.Set("user", "8") // once known, an actor stays
			actor, _ = audit.ActorFrom(c)
		})
	if before || !after || actor.ID != "7" {
		t.Errorf("before %v, after %v, actor %q", before, after, actor.ID)
	}
}

// TestGin_actorOutlivesTheRequest: Gin uses a context again for other requests, so a goroutine that
// outlives its request must not see the user of the next one.
func TestGin_actorOutlivesTheRequest_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.Use(gin.RecoveryWithWriter(io.Discard), middleware.Gin(middleware.Options{Identify: actorFromKeys}))
	engine.Use(func(c *gin.Context) { c.Set("user", c.Query("user")) })
	var late sync.WaitGroup
	release := make(chan struct{})
	engine.GET("/", func(c *gin.Context) {
		user := c.Query("user")
		ctx := context.WithoutCancel(c.Request.Context())
		for _, wait := range []bool{false, true} {
			late.Go(func() {
				if wait {
					<-release // until all requests have ended
				}
				actor, ok := audit.ActorFrom(ctx)
				if !ok || actor.ID != user {
					t.Errorf("the goroutine of user %s sees %q %v", user, actor.ID, ok)
				}
				if r, _ := audit.RequestFrom(ctx); r.RequestID != "r"+user {
					t.Errorf("the goroutine of user %s sees request %q", user, r.RequestID)
				}
			})
		}
		if user[len(user)-1] == '3' {
			panic("a handler")
		}
		c.Set("more", "while the goroutine asks")
		c.String(http.StatusOK, "ok")
	})
	var requests sync.WaitGroup
	for worker := range 4 {
		requests.Go(func() {
			for i := range 100 {
				user := strconv.Itoa(worker*1000 + i)
				r := httptest.NewRequest(http.MethodGet, "/?user="+user, nil)
				r.Header.Set("X-Request-Id", "r"+user)
				engine.ServeHTTP(httptest.NewRecorder(), r)
			}
		})
	}
	requests.Wait()
	close(release)
	late.Wait()
}

// TestGin_identifyEndsWithTheRequest: afterwards the context belongs to another request.
func TestGin_identifyEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	asked := 0
	kept := make(chan context.Context, 1)
	call(middleware.Options{Identify: func(*gin.Context) (audit.Actor, bool) { asked++; return audit.Actor{}, false }}, nil,
		func(c *gin.Context) { kept <- c.Request.Context() })
	if _, ok := audit.ActorFrom(<-kept); ok || asked != 1 {
		t.Errorf("known %v, asked %d times", ok, asked)
	}
}

// TestGin_handlerPanic_leaksNothing: the panic passes, the next request has nothing of this one.
func TestGin_handlerPanic_leaksNothing(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.Use(gin.RecoveryWithWriter(io.Discard), middleware.Gin(middleware.Options{Identify: actorFromKeys}))
	engine.GET("/panic", func(c *gin.Context) { c.Set("user", "7"); panic("a handler") })
	var known bool
	engine.GET("/", func(c *gin.Context) { _, known = audit.ActorFrom(c) })
	w := httptest.NewRecorder()
	engine.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/panic", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("status %d", w.Code)
	}
	for range 10 {
		engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
		if known {
			t.Fatal("the user of the request before is known")
		}
	}
}

func TestGin_panicOfTheApplicationsFunctions_isLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := call(middleware.Options{
		Identify:   func(*gin.Context) (audit.Actor, bool) { panic("secret 1") },
		SessionKey: func(*gin.Context) string { panic("secret 2") },
		Logger:     slog.New(slog.NewJSONHandler(&log, nil)),
	}, nil, func(c *gin.Context) { c.String(http.StatusOK, "ok") })
	if w.Code != http.StatusOK || w.Body.String() != "ok" {
		t.Errorf("status %d %q", w.Code, w.Body)
	}
	for _, want := range []string{`"function":"Identify"`, `"function":"SessionKey"`} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %s: %s", want, log.String())
		}
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log has the value: %s", log.String())
	}
}

func TestGin_identifyThatRecordsAChangeItself_ends(t *testing.T) {
	t.Parallel()
	var inner, outer bool
	var actor audit.Actor
	call(middleware.Options{Identify: func(c *gin.Context) (audit.Actor, bool) {
		_, inner = audit.ActorFrom(c)
		return audit.Actor{ID: "7"}, true
	}}, nil, func(c *gin.Context) { actor, outer = audit.ActorFrom(c) })
	if inner || !outer || actor.ID != "7" {
		t.Errorf("inner %v, outer %v %q", inner, outer, actor.ID)
	}
}

func TestSetContext_reachesBoth(t *testing.T) {
	t.Parallel()
	call(middleware.Options{Identify: actorFromKeys}, nil, func(c *gin.Context) {
		middleware.SetContext(audit.WithActor(c.Request.Context(), audit.Actor{ID: "9"}), c)
		for name, ctx := range map[string]context.Context{"request": c.Request.Context(), "gin": c, "copy": c.Copy()} {
			if actor, ok := audit.ActorFrom(ctx); !ok || actor.ID != "9" {
				t.Errorf("%s: %q %v", name, actor.ID, ok)
			}
			if _, ok := audit.RequestFrom(ctx); !ok {
				t.Errorf("%s: no request", name)
			}
		}
	})
}

func TestGin_contextWithFallback(t *testing.T) {
	t.Parallel()
	engine := gin.New()
	engine.ContextWithFallback = true
	engine.Use(middleware.Gin(middleware.Options{Identify: func(*gin.Context) (audit.Actor, bool) { return audit.Actor{ID: "7"}, true }}))
	engine.GET("/", func(c *gin.Context) {
		if actor, ok := audit.ActorFrom(c); !ok || actor.ID != "7" {
			t.Errorf("%q %v", actor.ID, ok)
		}
	})
	engine.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil))
}

// injections are what a client may try to write into a log: row 4 of the threat table.
var injections = []string{
	"a\r\nInjected: b", "a\x1b[31mred\x1b[0m", "a\u202egnp.exe", "a\u200bb", `a","action":"DELETE","x":"`, "a\x00b", "a\u2028b", "<script>alert(1)</script>", "=cmd|' /C calc'!A0", "a\xff\xfeb",
}

// TestGin_logInjection_staysData: whatever the client calls itself, the record is one line of JSON
// in which the text is the user agent and nothing else.
func TestGin_logInjection_staysData(t *testing.T) {
	t.Parallel()
	for _, text := range injections {
		var got audit.Request
		call(middleware.Options{}, func(r *http.Request) {
			r.Header["User-Agent"] = []string{text}
			r.Header["X-Request-Id"] = []string{text}
			r.Header["Traceparent"] = []string{text}
			r.Method = http.MethodPut
		}, func(c *gin.Context) { got, _ = audit.RequestFrom(c.Request.Context()) })
		data, err := event.Encode(event.Record{LogID: "1", Timestamp: time.Unix(1, 0), Action: event.ActionAdd, UserAgent: got.UserAgent, RequestID: got.RequestID, TraceID: got.TraceID})
		if err != nil {
			t.Fatal(err)
		}
		if bytes.ContainsAny(data, "\r\n\x1b\x00") {
			t.Errorf("%q: control characters in %q", text, data)
		}
		r, err := event.Decode(data)
		if err != nil {
			t.Fatal(err)
		}
		if r.UserAgent != strings.ToValidUTF8(strings.ReplaceAll(text, "\xff\xfe", "\uFFFD\uFFFD"), "\uFFFD") || r.Action != event.ActionAdd || strings.ContainsAny(r.RequestID, "<\x1b\r\n\u202e,\x00") || r.TraceID != "" {
			t.Errorf("%q became %+v", text, r)
		}
	}
}

func BenchmarkGin(b *testing.B) {
	engine := gin.New()
	engine.Use(middleware.Gin(middleware.Options{Identify: func(*gin.Context) (audit.Actor, bool) { return audit.Actor{ID: "7"}, true }}))
	engine.GET("/", func(*gin.Context) {})
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	w := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		engine.ServeHTTP(w, r)
	}
}
