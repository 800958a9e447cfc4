package opensearch

import (
	"context"
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
	at         int    // place in the call's documents
	index      string // name of its index
	start, end int    // its lines in the body: the operation and the document, each with its line break
}

// write is one call of Write.
type write struct {
	s       *Store
	docs    []store.Doc
	results []store.Result
	*buffer
	asked map[string]error // the indices of this call
	month monthName
}

// Write stores docs; see store.Writer. It sends as many bulk requests as MaxBulkBytes asks for, one
// after the other, and makes missing indices. The results say what became of each document even if
// some of the requests failed; the error is only for the end of ctx.
//
// It needs memory for one request, not for all docs. To have several requests under way, call it several
// times at once.
func (s *Store) Write(ctx context.Context, docs []store.Doc) ([]store.Result, error) {
	w := &write{
		s: s, docs: docs, results: make([]store.Result, len(docs)), asked: make(map[string]error, 1),
		buffer: buffers.Get().(*buffer), //nolint:forcetypeassert // only those are put
	}
	defer w.release(s.keep())
	for next := 0; next < len(docs) && ctx.Err() == nil; {
		next = w.fill(next)
		w.send(ctx, w.ensure(ctx, w.items))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("opensearch: write: %w", err)
	}
	return w.results, nil
}

// keep is how large a buffer may be to be used again: a request, with the document that made it full.
func (s *Store) keep() int { return s.cfg.MaxBulkBytes + event.MaxSize }

func (w *write) result(it item, status store.Status, err error) {
	w.results[it.at] = store.Result{Status: status, Err: err}
}

func (w *write) all(items []item, status store.Status, err error) {
	for _, it := range items {
		w.result(it, status, err)
	}
}

// fill makes items of the documents from next on, until a request is full, and gives the number of the
// first that is left. A document that would make the server refuse the whole request is poison here.
func (w *write) fill(next int) int {
	w.body, w.items = w.body[:0], w.items[:0]
	for ; next < len(w.docs); next++ {
		it, err := w.add(next)
		switch {
		case err != nil:
			w.body = w.body[:it.start]
			w.result(it, store.Poison, err)
		case it.end > w.s.cfg.MaxBulkBytes && len(w.items) > 0:
			w.body = w.body[:it.start]
			return next
		default:
			w.items = append(w.items, it)
		}
	}
	return next
}

// add appends the lines of a document.
func (w *write) add(at int) (it item, err error) {
	doc := &w.docs[at]
	it = item{at: at, start: len(w.body)}
	if n := len(doc.Record.LogID); n == 0 || n > event.MaxIDLength {
		return it, fmt.Errorf("%w: log_id has %d bytes, want 1 to %d", event.ErrInvalid, n, event.MaxIDLength)
	}
	if doc.Record.Timestamp.IsZero() {
		return it, fmt.Errorf("%w: timestamp is missing", event.ErrInvalid)
	}
	it.index = w.month.of(w.s.names, doc.Record.Timestamp)
	b := append(append(append(w.body, `{"create":{"_index":"`...), it.index...), `","_id":`...)
	b = append(appendText(b, doc.Record.LogID), '}', '}', '\n')
	w.body, err = appendSource(b, doc)
	if err != nil {
		return it, fmt.Errorf("opensearch: encode: %w", err)
	}
	w.body = append(w.body, '\n')
	it.end = len(w.body)
	return it, nil
}

// monthName remembers the name of the index of a month: most records of a batch are of the same one.
type monthName struct {
	year  int
	month time.Month
	name  string
}

func (m *monthName) of(n names, t time.Time) string {
	t = t.UTC()
	if year, month, _ := t.Date(); m.name == "" || year != m.year || month != m.month {
		m.year, m.month, m.name = year, month, n.of(t)
	}
	return m.name
}

// ensure makes the indices of items, and gives those items whose index is there.
func (w *write) ensure(ctx context.Context, items []item) []item {
	ready := items[:0]
	for _, it := range items {
		err, known := w.asked[it.index]
		if !known {
			err = w.s.ensure(ctx, it.index)
			w.asked[it.index] = err
		}
		if err != nil {
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
		answers, err := w.bulk(ctx, items)
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
		w.all(items, store.Poison, fmt.Errorf("opensearch: document with %d bytes is too large for the server: %w", items[0].end-items[0].start, err))
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

// bulk sends items in one request and gives one answer for each, until the next call.
func (w *write) bulk(ctx context.Context, items []item) ([]itemAnswer, error) {
	body, err := w.requestBody(items)
	if err != nil {
		return nil, err
	}
	p := &payload{data: body}
	defer p.close() // before the buffer is used for anything else
	r := request{
		method: http.MethodPost, path: "/_bulk", payload: p, ndjson: true, gzip: w.s.cfg.Compress, timeout: w.s.cfg.BulkTimeout,
		query: url.Values{
			"timeout": {"60s"},
			// The status must stay in, else there are no places to count; and the filter holds for the
			// error of a refused request as well.
			"filter_path": {"took,errors,error,status,items.*.status,items.*.error"},
		},
	}
	status, answer, err := w.s.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, errorOf(status, answer)
	}
	w.answers, err = parseBulk(w.answers, answer, len(items))
	return w.answers, err
}

// requestBody gives the lines of items: a part of the body, unless some between them have a result, or it
// is compressed.
func (w *write) requestBody(items []item) ([]byte, error) {
	contiguous := true
	for i := range items[1:] {
		contiguous = contiguous && items[i].end == items[i+1].start
	}
	if contiguous && !w.s.cfg.Compress {
		return w.body[items[0].start:items[len(items)-1].end], nil
	}
	w.request = w.request[:0]
	if w.s.cfg.Compress {
		var err error
		w.request, err = compress(w.request, w.body, items)
		return w.request, err
	}
	for _, it := range items {
		w.request = append(w.request, w.body[it.start:it.end]...)
	}
	return w.request, nil
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
