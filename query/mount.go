package query

import (
	"fmt"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
)

// handler has what the routes share.
type handler struct {
	Options
	cursors cursors
	// busy counts the requests, and streaming those among them that stream.
	busy, streaming busy
	// base is the path at which the routes are mounted, if it is known.
	base string
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
	h := &handler{Options: o, cursors: cursors{key: key, ttl: o.CursorTTL}, busy: newBusy(o.MaxConcurrent), streaming: newBusy(o.MaxStreams)}
	if group, ok := router.(interface{ BasePath() string }); ok {
		h.base = strings.TrimSuffix(group.BasePath(), "/")
	}
	return h.routes(router)
}

// busy counts the running requests of each principal.
type busy struct {
	most    int
	mu      sync.Mutex
	running map[string]int
}

func newBusy(most int) busy { return busy{most: most, running: map[string]int{}} }

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
