package query

import (
	"net/http"
	"slices"

	"github.com/gormtrail/audit/store"
)

// countAnswer is the body of /count/.
type countAnswer struct {
	Count int64 `json:"count"`
	// Relation is "eq", or "gte" if there are more.
	Relation string `json:"relation"`
	Window   window `json:"window"`
	TookMS   int64  `json:"took_ms"`
}

func countParams() []param {
	return []param{choice("total", "count up to 10,000, or all, which may take long", "estimate", "estimate", "exact")}
}

func (h *handler) count(r *call) {
	q := h.parse(r)
	if r.p.word("total", "estimate", "estimate", "exact") == "exact" {
		q.query.TotalLimit = -1
	}
	counter, ok := able[store.Counter](h, r)
	if !ok {
		return
	}
	total, err := counter.Count(r.c.Request.Context(), granted(q.query, r.grant))
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	a := countAnswer{Count: total.Count, Relation: "eq", Window: h.window(q), TookMS: h.took(r)}
	if !total.Exact {
		a.Relation = "gte"
	}
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, a)
	}
}

// granted gives the query with what the caller is granted.
func granted(q store.Query, grant Grant) store.Query {
	q.Filters = slices.Concat(q.Filters, grant.Filters)
	return q
}

func (h *handler) window(q request) window {
	return window{From: instant(q.query.From), To: instant(q.query.To), Zone: h.zoneOf(q).String()}
}

func (h *handler) took(r *call) int64 { return h.Clock().Sub(r.start).Milliseconds() }
