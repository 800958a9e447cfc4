package viewer

import (
	"fmt"
	"net/http"
	"path"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/query"
)

// handler has what the routes share.
type handler struct {
	Options
	page     page
	sessions *sessions
	// cross refuses requests that another site makes a browser send.
	cross *http.CrossOriginProtection
}

// Mount adds the page and its routes to router; see the package comment. The error names every
// mistake in options, or says that a route is taken.
func Mount(router gin.IRouter, options Options) error {
	if router == nil {
		return fmt.Errorf("%w: viewer Mount has no router", query.ErrOptions)
	}
	if err := options.validate(); err != nil {
		return err
	}
	o := options.withDefaults()
	if len(o.SessionKey) == 0 {
		o.SessionKey = randomKey()
		o.Query.Logger.Info("audit viewer: sessions have a random key: set Options.SessionKey if there are several instances")
		if len(o.Query.CursorKey) == 0 {
			o.Query.CursorKey = randomKey() // is said by the line above
		}
	}
	p, err := newPage(o)
	if err != nil {
		return err
	}
	s, err := newSessions(o)
	if err != nil {
		return err
	}
	h := &handler{Options: o, page: p, sessions: s, cross: http.NewCrossOriginProtection()}
	o.Query.Authorizer = &sessionAuthorizer{inner: o.Query.Authorizer, sessions: s}
	h.Query = o.Query
	if err := h.routes(router); err != nil {
		return err
	}
	return query.Mount(router.Group("/api"), o.Query)
}

func (h *handler) routes(router gin.IRouter) (err error) {
	defer func() {
		if r := recover(); r != nil { // Gin panics if a route is taken
			err = fmt.Errorf("%w: viewer Mount: %v", query.ErrOptions, r)
		}
	}()
	router.GET("/", h.servePage)
	if group, ok := router.(interface{ BasePath() string }); ok && !strings.HasSuffix(group.BasePath(), "/") {
		// References in the page are relative: it must be opened with the last slash.
		router.GET("", func(c *gin.Context) {
			// Relative, since a proxy may have taken away the front of the path.
			to := "./" + path.Base(c.Request.URL.EscapedPath()) + "/"
			if q := c.Request.URL.RawQuery; q != "" {
				to += "?" + q
			}
			c.Header("Location", to)
			c.Status(http.StatusPermanentRedirect)
		})
	}
	router.GET("/assets/:version/:name", h.serveAsset)
	router.GET("/session", h.whoIs)
	router.POST("/session", h.signIn)
	router.DELETE("/session", h.signOut)
	return nil
}
