package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/query"
	"github.com/gormtrail/audit/query/viewer"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/store/sqlstore"
)

type serveFlags struct {
	listen, tokenFile, database, table, title string
	metrics                                   string
	recordReads                               bool
	oidc                                      oidcFlags
}

func (p Program) serve(c *common) *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use: "serve", Short: "Serve the query API and the viewer, until stopped", Args: noArgs,
		Long: `serve answers

  /api/audit-logs/search/           one page of records
  /api/audit-logs/detail/<log_id>/  one record in full
  /api/audit-logs/openapi.json      all other routes: history and state of an object, export, facets, …
  /audit/                           a page for people; it asks for a token
  /healthz                          200 while the store answers, else 503
  /metrics                          numbers for Prometheus: at --metrics-listen, or here if only this
                                    machine can ask

from OpenSearch, or with --database from the table of an application that keeps its records in its own
database.

Every request needs a token, "Authorization: Bearer <token>". Tokens come from AUDIT_API_TOKENS, as
name=token with commas between them, and from --token-file, a line for each: name and token, then
what the token is restricted to, if anything. In place of a token there may be its hash, which auditlog
token makes:

  auditor   3q2-7wC0ffee4u9XYZabcdef
  acme      sha256:5e88…   tenant_id=acme hide=ip_address,extra.salary

With --oidc-issuer it also takes JSON Web Tokens of an OpenID Connect provider.

Who reads is recorded in the trail itself, as records of the action ACCESS and EXPORT, and nothing is
shown that cannot be recorded; --record-reads=false switches that off.

AUDIT_API_SECRET, 32 random characters or more, keeps cursors and sessions valid over restarts and
between several servers; without it they are not.

Put a server with TLS before it when it listens beyond this machine.`,
		Example: "  AUDIT_API_TOKENS=me=$(openssl rand -hex 16) auditlog serve\n  auditlog serve --database sqlite:app.db --token-file tokens.txt",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.runServe(cmd.Context(), c, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8000", "address to listen at")
	flags.StringVar(&f.metrics, "metrics-listen", "", "address of its own for /metrics, such as 127.0.0.1:9464; by default it is at --listen if that is of this machine, else nowhere")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the tokens, a line for each")
	flags.StringVar(&f.database, "database", "", "read from this database instead of OpenSearch: sqlite:FILE, postgres://…, or mysql:user:password@tcp(host:port)/name; also AUDIT_DATABASE")
	flags.StringVar(&f.table, "table", sqlstore.DefaultTable, "table of the records in the database")
	flags.BoolVar(&f.recordReads, "record-reads", true, "record in the trail who reads it; needs a database or OpenSearch that can be written")
	f.oidc.add(flags)
	flags.StringVar(&f.title, "title", "Audit trail", "heading of the page")
	return cmd
}

func (p Program) runServe(ctx context.Context, c *common, f serveFlags) error {
	if f.database == "" {
		f.database = c.getenv("AUDIT_DATABASE")
	}
	zone, err1 := location(c.getenv)
	who, err2 := authorizer(c.getenv, f.tokenFile, f.oidc, c.log)
	cursorKey, sessionKey, err3 := keys(c.getenv)
	var err4, err5 error
	if _, _, err := net.SplitHostPort(f.listen); err != nil {
		err4 = fmt.Errorf("--listen is %q, want host:port", f.listen)
	}
	if _, _, err := net.SplitHostPort(f.metrics); err != nil && f.metrics != "" {
		err4 = errors.Join(err4, fmt.Errorf("--metrics-listen is %q, want host:port", f.metrics))
	}
	var target opensearch.Config
	var dialector gorm.Dialector
	if f.database != "" {
		dialector, err5 = p.dialector(f.database, "--database (or AUDIT_DATABASE)")
	} else {
		target, err5 = openSearchConfig(c)
	}
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
		return usage(err)
	}
	var from store.Searcher
	if dialector != nil {
		s, closeDatabase, err := openDatabase(ctx, c, dialector, f.table)
		if err != nil {
			return err
		}
		defer closeDatabase()
		from = s
	} else {
		s, err := opensearch.New(target)
		if err != nil {
			return usage(err)
		}
		defer func() { _ = s.Close() }()
		if err := s.Ping(ctx); err != nil {
			c.log.WarnContext(ctx, "opensearch is not there yet, answers will be 503", slog.Any("error", err))
		}
		from = s
	}
	tell, err := observe(ctx, c, "auditlog-serve")
	if err != nil {
		return err
	}
	defer tell.stop(ctx, c)
	options := query.Options{Observe: tell.Query(), Store: from, Authorizer: who, Location: zone, CursorKey: cursorKey, Logger: c.log, Done: ctx.Done()}
	if w, ok := from.(store.Writer); ok && f.recordReads {
		options.Access.Recorder = query.AccessTo(w)
	}
	//nolint:contextcheck // requests have contexts of their own
	handler, err := router(from, viewer.Options{
		Title: f.title, SessionKey: sessionKey, Query: options,
	})
	if err != nil {
		return usage(err)
	}
	host, _, _ := net.SplitHostPort(f.listen)
	if f.metrics == "" && loopback(host) { // nobody asks there who it is
		handler = withMetrics(handler, tell.handler)
	}
	if !loopback(host) {
		c.log.WarnContext(ctx, "serves beyond this machine without TLS: tokens can be read on their way", slog.String("listen", f.listen))
	}
	run := func(ctx context.Context) error {
		return listen(ctx, c, f.listen, handler, func(address string) {
			_, _ = fmt.Fprintf(p.Stdout, "audit trail: http://%s/audit/\n", address)
		})
	}
	if f.metrics == "" {
		return run(ctx)
	}
	metrics := http.NewServeMux()
	metrics.Handle("GET /metrics", tell.handler)
	return beside(ctx, c, f.metrics, metrics, run)
}

// withMetrics puts /metrics before the pages. A ServeMux would clean their paths, and ids may have slashes.
func withMetrics(pages, metrics http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && r.Method == http.MethodGet {
			metrics.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// router gives the routes of serve. Gin's mode is one for the whole process: main sets it.
func router(from store.Searcher, options viewer.Options) (http.Handler, error) {
	r := gin.New()
	r.UseRawPath = true // ids may have a slash
	r.Use(gin.CustomRecovery(func(c *gin.Context, _ any) { c.AbortWithStatus(http.StatusInternalServerError) }))
	if err := r.SetTrustedProxies(nil); err != nil {
		return nil, err
	}
	if err := query.Mount(r.Group("/api/audit-logs"), options.Query); err != nil {
		return nil, err
	}
	if err := viewer.Mount(r.Group("/audit"), options); err != nil {
		return nil, err
	}
	r.GET("/", func(c *gin.Context) { c.Redirect(http.StatusFound, "/audit/") })
	r.GET("/healthz", func(c *gin.Context) {
		ctx, cancel := context.WithTimeout(c.Request.Context(), 5*time.Second)
		defer cancel()
		if _, err := from.Search(ctx, store.Query{Size: 1, TotalLimit: -1}); err != nil {
			c.JSON(http.StatusServiceUnavailable, gin.H{"status": "unavailable"})
			return
		}
		c.JSON(http.StatusOK, gin.H{"status": "ok"})
	})
	return r, nil
}

// dialector gives the opener of the database at an address, which the flag name has. No error has the address in it, because a
// password may be in there.
func (p Program) dialector(address, name string) (gorm.Dialector, error) {
	scheme, rest, ok := strings.Cut(address, ":")
	open := p.Databases[scheme]
	if !ok || rest == "" || open == nil {
		known := slices.Sorted(maps.Keys(p.Databases))
		return nil, fmt.Errorf("%s begins with %q, want one of %s and a colon", name, scheme, strings.Join(known, ", "))
	}
	return open(address), nil
}

// openDatabase gives the store in a database, which must have it already.
func openDatabase(ctx context.Context, c *common, d gorm.Dialector, table string) (*sqlstore.Store, func(), error) {
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	raw, err := db.DB()
	if err != nil {
		return nil, nil, fmt.Errorf("open database: %w", err)
	}
	closeDatabase := func() { _ = raw.Close() }
	s, err := sqlstore.New(db.WithContext(ctx), sqlstore.Config{Table: table, SkipMigrate: true, Logger: c.log})
	if err == nil {
		_, err = s.Search(ctx, store.Query{Size: 1, TotalLimit: -1})
	}
	if err != nil {
		closeDatabase()
		return nil, nil, fmt.Errorf("read table %s: %w", table, err)
	}
	return s, closeDatabase, nil
}
