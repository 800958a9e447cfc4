package query

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// The trailers of an export.
const (
	trailerStatus = "Audit-Export-Status" // complete, or truncated at the limit
	trailerCount  = "Audit-Export-Count"
	trailerCursor = "Audit-Export-Cursor" // for what follows, if it was truncated
)

// MaxExport is the largest number of records of one export; what is beyond it comes with its cursor.
const MaxExport = 10_000_000

const exportPage = 500 // records in memory

func exportParams() []param {
	return []param{
		choice("format", "the form of the file", "csv", "csv", "ndjson", "cloudevents"),
		{name: "fields", text: "columns of a csv between commas; all by default", schema: schema{"type": "string", "minLength": 1, "maxLength": 1024}},
		integer("limit", "largest number of records", MaxExport, 1, MaxExport),
		cursorParam(), sortParam(),
		text("after_log_id", "go on behind this record, the last one of an export that was cut", event.MaxIDLength),
	}
}

// export streams all records that match. It holds one page of them in memory.
func (h *handler) export(r *call) {
	q := h.parse(r)
	q.query.Size, q.query.TotalLimit = exportPage, -1
	name := r.p.word("format", "csv", "csv", "ndjson", "cloudevents")
	columns := r.p.columns(name)
	limit := r.p.number("limit", MaxExport, 1, MaxExport)
	scope := scopeOf(r.route.operation, q.query, r.grant)
	at, ok := h.exportFrom(r, scope)
	if !ok {
		return
	}
	x := &exporter{h: h, r: r, query: pageQuery(q.query, r.grant, at), limit: limit}
	// The first page is found before anything is sent: then there is still a status for what goes wrong.
	first, err := x.page()
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	if !h.recordOutcome(r, event.OutcomeAttempted) {
		return
	}
	f, kind, ending := formatOf(name, columns, h.eventSource())
	unbound(r)
	x.headers(kind, fmt.Sprintf("audit-%s.%s", r.start.UTC().Format("20060102-150405"), ending))
	end, err := x.write(f, first, scope)
	outcome := "success"
	if err != nil {
		outcome = "failure"
		if r.c.Request.Context().Err() == nil {
			h.Logger.ErrorContext(r.c.Request.Context(), "audit query: an export was cut", slog.String("principal", r.grant.Principal), slog.Int("rows", r.rows), slog.Any("error", err))
		}
	}
	if !h.recordOutcome(r, outcome) || err != nil {
		cut(r.c) // so that nobody takes it for whole
		return
	}
	header := r.c.Writer.Header()
	header.Set(trailerStatus, end.Status)
	header.Set(trailerCount, strconv.Itoa(end.Count))
	if end.NextCursor != nil {
		header.Set(trailerCursor, *end.NextCursor)
	}
}

// exportFrom gives the place at which the export begins, nil for the first record. If ok is false it has
// refused the request.
func (h *handler) exportFrom(r *call, scope scope) (at *place, ok bool) {
	cursor, hasCursor := r.p.one("cursor")
	id, hasID := r.p.one("after_log_id")
	if hasCursor && hasID {
		r.p.bad("after_log_id", "conflict", "cursor or after_log_id", "cannot be used together with cursor")
	}
	if hasID && !validID(id) {
		r.p.bad("after_log_id", "invalid_value", fmt.Sprintf("1 to %d bytes of printable text", event.MaxIDLength), "%s is not an id", quote(id))
	}
	if hasCursor && r.p.values.Has("last") {
		r.p.bad("last", "conflict", "from and to, which do not move on", "cannot be used together with cursor")
	}
	if h.wrong(r) {
		return nil, false
	}
	switch {
	case hasCursor:
		p, err := h.cursors.decode(cursor, scope, r.start)
		if err == nil && p.back {
			err = errCursorMismatch
		}
		if err != nil {
			h.badCursor(r.c, err)
			return nil, false
		}
		return &p, true
	case hasID:
		ctx, cancel := h.step(r.c.Request.Context())
		defer cancel()
		record, err := h.Store.Get(ctx, id, r.grant.Filters...)
		if err != nil {
			h.failed(r.c, r.route.operation, err)
			return nil, false
		}
		return &place{position: store.PositionOf(record)}, true
	}
	return nil, true
}

// columns reads the columns of a csv.
func (p *parser) columns(format string) []string {
	v, ok := p.one("fields")
	if !ok {
		return csvColumns
	}
	if format != "csv" {
		p.bad("fields", "conflict", "format=csv", "cannot be used together with format=%s", format)
		return nil
	}
	var columns []string
	for name := range strings.SplitSeq(v, ",") {
		switch {
		case !slices.Contains(csvColumns, name):
			p.bad("fields", "invalid_value", strings.Join(csvColumns, ","), "%s is no column", quote(name))
		case slices.Contains(columns, name):
			p.bad("fields", "repeated_parameter", "each column once", "%s is there twice", name)
		}
		columns = append(columns, name)
	}
	return columns
}

// eventSource is the source of a CloudEvent whose record has no service.
func (h *handler) eventSource() string {
	if h.base == "" {
		return "/audit"
	}
	return h.base
}

// exporter is one export under way.
type exporter struct {
	h     *handler
	r     *call
	query store.Query
	limit int
}

// page finds the next page.
func (x *exporter) page() (store.Page, error) {
	x.query.Size = min(exportPage, x.limit-x.r.rows)
	ctx, cancel := x.h.step(x.r.c.Request.Context())
	defer cancel()
	page, err := x.h.Store.Search(ctx, x.query)
	if err == nil && len(page.Records) > 0 {
		position := store.PositionOf(page.Records[len(page.Records)-1])
		x.query.After = &position
	}
	return page, err
}

func (x *exporter) headers(kind, file string) {
	header := x.r.c.Writer.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Disposition", `attachment; filename="`+file+`"`)
	header.Set("Trailer", strings.Join([]string{trailerStatus, trailerCount, trailerCursor}, ", "))
	header.Set("X-Accel-Buffering", "no")
	x.r.c.Status(http.StatusOK)
}

// write sends the page and all that follow.
func (x *exporter) write(f exportFormat, page store.Page, scope scope) (exportEnd, error) {
	w := bufio.NewWriterSize(x.r.c.Writer, 64<<10)
	f.begin(w)
	for {
		for _, rec := range page.Records {
			if err := f.record(w, rec, x.r.grant); err != nil {
				return exportEnd{}, err
			}
			x.r.rows++
		}
		more := page.HasMore && len(page.Records) > 0
		if !more || x.r.rows >= x.limit {
			e := exportEnd{Status: "complete", Count: x.r.rows}
			if more {
				cursor := x.h.cursors.encode(place{position: *x.query.After}, scope, x.r.start)
				e.Status, e.NextCursor = "truncated", &cursor
			}
			f.end(w, e)
			return e, send(x.r.c, w)
		}
		if err := send(x.r.c, w); err != nil {
			return exportEnd{}, err
		}
		var err error
		if page, err = x.page(); err != nil {
			return exportEnd{}, err
		}
	}
}

// send brings what is in the buffer to the caller, who has so long to take it.
func send(c *gin.Context, w *bufio.Writer) error {
	control := http.NewResponseController(c.Writer)
	if err := control.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) { //nolint:forbidigo // the connection has no other clock
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// cut ends the connection within the answer, so that the caller sees that it is not whole. To panic is the
// way of net/http to do so, but a handler that recovers would make a whole answer of it.
func cut(c *gin.Context) {
	c.Abort()
	w := http.ResponseWriter(c.Writer)
	for {
		if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
			w = u.Unwrap()
			continue
		}
		break
	}
	if hijacker, ok := w.(http.Hijacker); ok {
		if conn, _, err := hijacker.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler)
}
