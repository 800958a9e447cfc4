package query

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// checkpointNow is the checkpoint behind everything that is there.
const checkpointNow = "now"

// maxCheckpoint bounds a checkpoint in bytes: that of OpenSearch names every month that it has.
const maxCheckpoint = 6000

// changesAnswer is the body of /changes/.
type changesAnswer struct {
	Results []json.RawMessage `json:"results"`
	// Next is the checkpoint for the next request; it is there also if nothing has arrived.
	Next string `json:"next"`
	// More says that the next request may be made at once.
	More   bool  `json:"more"`
	TookMS int64 `json:"took_ms"`
}

func changesParams() []param {
	return []param{
		text("after", "next of an answer; now for the end; from the beginning if it is missing", maxCheckpoint),
		integer("limit", "largest number of records", store.DefaultChangesSize, 1, store.MaxSize),
	}
}

// changes answers records in the order of their arrival: who follows next misses none, however late the
// transaction commits that wrote it.
func (h *handler) changes(r *call) {
	q := h.parse(r)
	after := r.p.checkpoint("after")
	limit := r.p.number("limit", store.DefaultChangesSize, 1, store.MaxSize)
	feed, ok := able[store.Feed](h, r)
	if !ok {
		return
	}
	ctx := r.c.Request.Context()
	found := store.Changes{}
	var err error
	if after == checkpointNow {
		found.Next, err = feed.Now(ctx)
	} else {
		found, err = feed.Changes(ctx, store.ChangesRequest{After: after, Query: granted(q.query, r.grant), Size: limit})
	}
	if err != nil {
		h.feedFailed(r, "after", err)
		return
	}
	a := changesAnswer{Results: make([]json.RawMessage, 0, len(found.Records)), Next: found.Next, More: found.More}
	for _, rec := range found.Records {
		shown, err := whole(rec, r.grant)
		if err != nil {
			h.failed(r.c, r.route.operation, err)
			return
		}
		a.Results = append(a.Results, shown)
	}
	a.TookMS, r.rows = h.took(r), len(a.Results)
	// That somebody asked and got only such records is no news, else it would be the next one for ever.
	if slices.ContainsFunc(found.Records, func(rec event.Record) bool { return !isAccess(rec) }) && !h.recordAccess(r) {
		return
	}
	r.c.PureJSON(http.StatusOK, a)
}

// checkpoint reads a checkpoint, which is the store's.
func (p *parser) checkpoint(name string) string {
	v, ok := p.one(name)
	if ok && !validCheckpoint(v) {
		p.bad(name, "invalid_checkpoint", "next of an answer, or now", "%s is no checkpoint", quote(v))
	}
	return v
}

func validCheckpoint(v string) bool {
	return v != "" && len(v) <= maxCheckpoint && !strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' })
}

// feedFailed answers for an error of a feed, whose checkpoint the parameter or header had.
func (h *handler) feedFailed(r *call, name string, err error) {
	if errors.Is(err, store.ErrCheckpoint) {
		r.p.bad(name, "invalid_checkpoint", "next of an answer of this service, or begin again without it", "the checkpoint cannot be used, or not any longer")
		h.wrong(r)
		return
	}
	h.failed(r.c, r.route.operation, err)
}
