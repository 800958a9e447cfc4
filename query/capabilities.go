package query

import (
	"fmt"
	"net/http"

	"github.com/gormtrail/audit/store"
)

// capabilities says what the store can do beside searching.
func (h *handler) capabilities() map[string]bool {
	_, count := h.Store.(store.Counter)
	_, facets := h.Store.(store.Faceter)
	_, histogram := h.Store.(store.Histogrammer)
	_, feed := h.Store.(store.Feed)
	return map[string]bool{"count": count, "facets": facets, "users": facets, "histogram": histogram, "changes": feed, "stream": feed}
}

// able gives the store as a T. If ok is false it has refused the request, for a store that cannot do it or
// for mistakes in the parameters.
func able[T any](h *handler, r *call) (s T, ok bool) {
	if h.wrong(r) {
		return s, false
	}
	if s, ok = h.Store.(T); !ok {
		h.refuse(r.c, http.StatusNotImplemented, problemNotSupported, "Not supported", fmt.Sprintf("the store of this service cannot do %s", r.route.operation))
	}
	return s, ok
}
