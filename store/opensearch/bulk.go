package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

const (
	// unknownTries is how often a document is sent that the server refuses for a reason that is in no
	// class.
	unknownTries = 5
	unknownPause = 100 * time.Millisecond
)

// item is one document of a write that has no result yet.
type item struct {
	at     int // place in the call's documents
	record event.Record
	index  string
	lines  []byte // the operation and the document, each with its line break
}

// write is one call of Write.
type write struct {
	s       *Store
	results []store.Result
}

// Write stores docs; see store.Writer. It sends as many bulk requests as MaxBulkBytes asks for, one
// after the other, and makes missing indices. The results say what became of each document even if
// some of the requests failed; the error is only for the end of ctx.
func (s *Store) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	w := &write{s: s, results: make([]store.Result, len(docs))}
	items := w.prepare(docs)
	items = w.ensure(ctx, items)
	for start := 0; start < len(items); {
		end, size := start, 0
		for end < len(items) && (end == start || size+len(items[end].lines) <= s.cfg.MaxBulkBytes) {
			size += len(items[end].lines)
			end++
		}
		w.send(ctx, items[start:end])
		start = end
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opensearch: write: %w", err)
	}
	return w.results, nil
}

func (w *write) result(it item, status store.Status, err error) {
	w.results[it.at] = store.Result{Status: status, Err: err}
}

func (w *write) all(items []item, status store.Status, err error) {
	for _, it := range items {
		w.result(it, status, err)
	}
}

// prepare makes the lines of all documents. One that would make the server refuse the whole request
// is poison here.
func (w *write) prepare(docs []store.Doc) []item {
	items := make([]item, 0, len(docs))
	for i, doc := range docs {
		it := item{at: i, record: doc.Record, index: w.s.names.of(doc.Record.Timestamp)}
		if n := len(doc.Record.LogID); n == 0 || n > event.MaxIDLength {
			w.result(it, store.Poison, fmt.Errorf("%w: log_id has %d bytes, want 1 to %d", event.ErrInvalid, n, event.MaxIDLength))
			continue
		}
		if doc.Record.Timestamp.IsZero() {
			w.result(it, store.Poison, fmt.Errorf("%w: timestamp is missing", event.ErrInvalid))
			continue
		}
		body, err := source(doc)
		if err != nil {
			w.result(it, store.Poison, fmt.Errorf("opensearch: encode: %w", err))
			continue
		}
		op := asJSON(map[string]any{"create": map[string]string{"_index": it.index, "_id": doc.Record.LogID}})
		it.lines = make([]byte, 0, len(op)+len(body)+2)
		it.lines = append(append(it.lines, op...), '\n')
		it.lines = append(append(it.lines, body...), '\n')
		items = append(items, it)
	}
	return items
}

// ensure makes the indices of items, and gives those items whose index is there.
func (w *write) ensure(ctx context.Context, items []item) []item {
	failed := make(map[string]error)
	asked := make(map[string]bool)
	ready := items[:0]
	for _, it := range items {
		if !asked[it.index] {
			asked[it.index] = true
			if err := w.s.ensure(ctx, it.index); err != nil {
				failed[it.index] = err
			}
		}
		if err := failed[it.index]; err != nil {
			w.result(it, statusOf(err), err)
			continue
		}
		ready = append(ready, it)
	}
	return ready
}

// send sends items until each has a result.
func (w *write) send(ctx context.Context, items []item) {
	for try := 1; len(items) > 0; try++ {
		answers, err := w.s.bulk(ctx, items)
		if err != nil {
			w.refused(ctx, items, err)
			return
		}
		rest := w.settle(ctx, items, answers, try)
		if len(rest) == 0 || !pause(ctx, unknownPause) {
			w.all(rest, store.Transient, ctx.Err())
			return
		}
		items = rest
	}
}

// refused settles items whose request had no answer, or was refused as a whole.
func (w *write) refused(ctx context.Context, items []item, err error) {
	var answer *answerError
	if !errors.As(err, &answer) {
		w.all(items, store.Transient, err) // whether it was done is not known
		return
	}
	c := classifyWhole(answer.status, answer.kind, answer.reason)
	halve := c == classTooBig || c == classPoison || answer.kind == "circuit_breaking_exception"
	switch {
	case halve && len(items) > 1:
		half := len(items) / 2
		w.send(ctx, items[:half])
		w.send(ctx, items[half:])
	case c == classTooBig:
		w.all(items, store.Poison, fmt.Errorf("opensearch: document with %d bytes is too large for the server: %w", len(items[0].lines), err))
	case c == classPoison:
		w.all(items, store.Poison, err)
	case c == classTransient:
		w.all(items, store.Transient, err)
	default:
		w.all(items, store.Environment, err)
	}
}

// settle takes over the answers, and gives the items that are to be sent again now.
func (w *write) settle(ctx context.Context, items []item, answers []itemAnswer, try int) (again []item) {
	var present []item
	for i, it := range items {
		a := answers[i]
		kind, reason := "", ""
		if a.Error != nil {
			kind, reason = a.Error.Type, a.Error.text()
		}
		err := &answerError{status: a.Status, kind: kind, reason: reason}
		switch classify(a.Status, kind, reason) {
		case classOK:
			w.result(it, store.Stored, nil)
		case classDuplicate:
			present = append(present, it)
		case classTransient, classTooBig:
			w.result(it, store.Transient, err)
		case classPoison:
			w.result(it, store.Poison, err)
		case classEnvironment:
			if kind == "index_not_found_exception" && try == 1 && w.s.ensure(ctx, it.index) == nil {
				again = append(again, it) // somebody has removed it meanwhile
				continue
			}
			w.result(it, store.Environment, err)
		default:
			if try < unknownTries {
				again = append(again, it)
				continue
			}
			w.result(it, store.Poison, fmt.Errorf("opensearch: refused %d times for an unclassified reason: %w", try, err))
		}
	}
	w.compare(ctx, present)
	return again
}

// itemAnswer is what the server says about one document.
type itemAnswer struct {
	Status int         `json:"status"`
	Error  *errorCause `json:"error"`
}

// bulk sends items in one request and gives one answer for each.
func (s *Store) bulk(ctx context.Context, items []item) ([]itemAnswer, error) {
	size := 0
	for _, it := range items {
		size += len(it.lines)
	}
	body := make([]byte, 0, size)
	for _, it := range items {
		body = append(body, it.lines...)
	}
	r := request{
		method: http.MethodPost, path: "/_bulk", body: body, ndjson: true, timeout: s.cfg.BulkTimeout,
		query: url.Values{
			"timeout": {"60s"},
			// The status must stay in, else there are no places to count; and the filter holds for the
			// error of a refused request as well.
			"filter_path": {"took,errors,error,status,items.*.status,items.*.error"},
		},
	}
	status, answer, err := s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, errorOf(status, answer)
	}
	return parseBulk(answer, len(items))
}

// parseBulk reads the answer to a bulk of n items. An answer that does not have exactly one status
// for each is no answer: nothing is known.
func parseBulk(answer []byte, n int) ([]itemAnswer, error) {
	var v struct {
		Items []map[string]itemAnswer `json:"items"`
	}
	if err := json.Unmarshal(answer, &v); err != nil {
		return nil, fmt.Errorf("opensearch: bulk answer is no JSON of the server: %w", err)
	}
	if len(v.Items) != n {
		return nil, fmt.Errorf("opensearch: bulk answer has %d items for %d documents", len(v.Items), n)
	}
	answers := make([]itemAnswer, n)
	for i, it := range v.Items {
		a, ok := it["create"]
		if !ok || a.Status == 0 {
			return nil, fmt.Errorf("opensearch: bulk answer has no status for document %d", i)
		}
		answers[i] = a
	}
	return answers, nil
}

// pause waits, and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
