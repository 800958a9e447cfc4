package query

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// batchAnswer is the body of /batches/.
type batchAnswer struct {
	BatchID     string       `json:"batch_id"`
	BatchAction event.Action `json:"batch_action,omitempty"`
	// First and Last are when its first and its last record were made.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Summary is the record that sums it up, null if there is none: it is written when the batch ends, and
	// only if there were errors or the application wants it always.
	Summary json.RawMessage `json:"summary"`
	// TotalProcessed, ErrorCount and Errors are those of the summary.
	TotalProcessed *int64   `json:"total_processed"`
	ErrorCount     *int64   `json:"error_count"`
	Errors         []string `json:"errors"`
	answer
}

func (h *handler) batch(r *call) {
	id := r.p.pathValue(r, "batch_id")
	r.p.visible(r.grant, "batch_id", "batch_id")
	q := h.parse(r)
	r.p.page(&q)
	if h.wrong(r) {
		return
	}
	members := []store.Filter{{Field: store.FieldBatchID, Values: []string{id}}}
	ctx := r.c.Request.Context()
	b, err := h.describeBatch(ctx, r, id, slices.Concat(members, r.grant.Filters))
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	fetch := func(ctx context.Context, q store.Query) (store.Page, error) {
		q.Filters = slices.Concat(q.Filters, members)
		return h.Store.Search(ctx, q)
	}
	var ok bool
	if b.answer, ok = h.page(r, q, fetch, summary); ok {
		r.c.PureJSON(http.StatusOK, b)
	}
}

// describeBatch gives all but the page.
func (h *handler) describeBatch(ctx context.Context, r *call, id string, filters []store.Filter) (b batchAnswer, err error) {
	b = batchAnswer{BatchID: id, Errors: []string{}}
	for _, ascending := range []bool{true, false} {
		page, err := h.Store.Search(ctx, store.Query{Filters: filters, Ascending: ascending, Size: 1, TotalLimit: -1})
		if err != nil {
			return b, err
		}
		if len(page.Records) == 0 {
			return b, store.ErrNotFound
		}
		if rec := page.Records[0]; ascending {
			b.First, b.BatchAction = rec.Timestamp.UTC(), rec.BatchAction
		} else {
			b.Last = rec.Timestamp.UTC()
		}
	}
	s, ok, err := h.batchSummary(ctx, filters, b.BatchAction)
	if r.grant.hides("batch_action") {
		b.BatchAction = ""
	}
	if err != nil || !ok {
		return b, err
	}
	if !r.grant.hides("total_processed") {
		b.TotalProcessed = &s.TotalProcessed
	}
	if !r.grant.hides("error_count") {
		b.ErrorCount = &s.ErrorCount
	}
	if !r.grant.hides("errors") {
		b.Errors = append(b.Errors, s.Errors...)
	}
	b.Summary, err = full(s, r.grant)
	return b, err
}

// batchSummary finds the summary among the records of a batch: it comes last, and has the action of the
// batch, which most of the others have not.
func (h *handler) batchSummary(ctx context.Context, filters []store.Filter, action event.Action) (event.Record, bool, error) {
	q := store.Query{Filters: filters, Size: 200, TotalLimit: -1}
	if action != "" {
		q.Filters = append(slices.Clone(filters), store.Filter{Field: store.FieldAction, Values: []string{string(action)}})
	}
	page, err := h.Store.Search(ctx, q)
	for _, r := range page.Records {
		if r.BatchSummary {
			return r, true, err
		}
	}
	return event.Record{}, false, err
}
