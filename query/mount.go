package query

import (
	"fmt"
	"sync"

	"github.com/gin-gonic/gin"
)

// handler has what the routes share.
type handler struct {
	Options
	cursors cursors
	busy    busy
}

// Mount adds the routes of the package to router; see the package comment. The error names every
// mistake in options, or says that a route is taken.
func Mount(router gin.IRouter, options Options) error {
	if router == nil {
		return fmt.Errorf("%w: Mount has no router", ErrOptions)
	}
	if err := options.Validate(); err != nil {
		return err
	}
	o := options.withDefaults()
	key := o.CursorKey
	if len(key) == 0 {
		key = randomKey()
		o.Logger.Info("audit query: cursors are signed with a random key: set Options.CursorKey if there are several instances")
	}
	h := &handler{Options: o, cursors: cursors{key: key, ttl: o.CursorTTL}, busy: busy{most: o.MaxConcurrent, running: map[string]int{}}}
	return h.routes(router)
}

func (h *handler) routes(router gin.IRouter) (err error) {
	defer func() {
		// Gin panics if a route is taken, or if a wildcard of another name is in its place.
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: Mount: %v", ErrOptions, r)
		}
	}()
	for path, route := range map[string]struct {
		operation Operation
		serve     func(*gin.Context, Grant)
	}{
		"/search":         {OperationSearch, h.search},
		"/detail/:log_id": {OperationDetail, h.detail},
	} {
		serve := h.guard(route.operation, route.serve)
		router.GET(path, serve)
		router.GET(path+"/", serve)
	}
	return nil
}

// busy counts the running requests of each principal.
type busy struct {
	most    int
	mu      sync.Mutex
	running map[string]int
}

func (b *busy) enter(principal string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[principal] >= b.most {
		return false
	}
	b.running[principal]++
	return true
}

func (b *busy) leave(principal string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.running[principal]--; b.running[principal] == 0 {
		delete(b.running, principal)
	}
}
