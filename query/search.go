package query

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// answer is the body of a search.
type answer struct {
	Results []json.RawMessage `json:"results"`
	// PageSize and FromOffset are those of the request; FromOffset is absent with a cursor.
	PageSize   int  `json:"page_size"`
	FromOffset *int `json:"from_offset,omitempty"`
	// Total is absent if it was not asked for. TotalRelation is "eq", or "gte" if there are more.
	Total         *int64 `json:"total,omitempty"`
	TotalRelation string `json:"total_relation,omitempty"`
	// The cursors are null where the records end; Next and Previous are references relative to the
	// request's own URL, so they are right behind every proxy.
	NextCursor *string `json:"next_cursor"`
	PrevCursor *string `json:"prev_cursor"`
	Next       *string `json:"next"`
	Previous   *string `json:"previous"`
	Window     window  `json:"window"`
	TookMS     int64   `json:"took_ms"`
}

// window says which instants were really searched: From <= timestamp < To.
type window struct {
	From *time.Time `json:"from"`
	To   *time.Time `json:"to"`
	Zone string     `json:"tz"`
}

func (h *handler) search(r *call) {
	q := h.parse(r)
	r.p.page(&q)
	if a, ok := h.page(r, q, h.Store.Search, summary); ok {
		r.c.PureJSON(http.StatusOK, a)
	}
}

// page answers one page of what fetch finds. If ok is false it has refused the request.
func (h *handler) page(r *call, q request, fetch fetchFunc, show showFunc) (a answer, ok bool) {
	if h.wrong(r) {
		return answer{}, false
	}
	scope := scopeOf(r.route.operation, q.query, r.grant)
	var at *place
	if q.cursor != "" {
		p, err := h.cursors.decode(q.cursor, scope, r.start)
		if err != nil {
			h.badCursor(r.c, err)
			return answer{}, false
		}
		at = &p
	}
	page, err := fetch(r.c.Request.Context(), pageQuery(q.query, r.grant, at))
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return answer{}, false
	}
	a, err = h.answer(r, q, page, at, scope, show)
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return answer{}, false
	}
	for rel, ref := range map[string]*string{"next": a.Next, "prev": a.Previous} {
		if ref != nil {
			r.c.Writer.Header().Add("Link", "<"+*ref+`>; rel="`+rel+`"`)
		}
	}
	r.rows = len(a.Results)
	return a, h.recordAccess(r)
}

// fetchFunc finds one page, as store.Searcher does.
type fetchFunc func(ctx context.Context, q store.Query) (store.Page, error)

// showFunc gives a record as the caller may see it.
type showFunc func(r event.Record, grant Grant) (json.RawMessage, error)

func (h *handler) badCursor(c *gin.Context, err error) {
	switch {
	case errors.Is(err, errCursorExpired):
		h.refuse(c, http.StatusGone, problemCursorExpired, "The cursor has expired", "search again without cursor")
	case errors.Is(err, errCursorMismatch):
		h.badParams(c, []ParamError{{
			Param: "cursor", Code: "cursor_mismatch", Detail: "the cursor belongs to another search",
			Allowed: "a cursor of an answer to you with the same filters, dates, search_term and sort",
		}})
	default:
		h.badParams(c, []ParamError{{Param: "cursor", Code: "invalid_cursor", Detail: "not a cursor of this service", Allowed: "next_cursor or prev_cursor of an answer"}})
	}
}

// pageQuery gives what the store is asked for: what the caller asked for and what they are granted,
// from the place on.
func pageQuery(q store.Query, grant Grant, at *place) store.Query {
	q.Filters = slices.Concat(q.Filters, grant.Filters)
	if at != nil {
		q.After = &at.position
		q.Ascending = q.Ascending != at.back
	}
	return q
}

func (h *handler) answer(r *call, q request, page store.Page, at *place, s scope, show showFunc) (answer, error) {
	records := page.Records
	before, after := at != nil || q.query.Offset > 0, page.HasMore
	if at != nil && at.back {
		slices.Reverse(records)
		before, after = page.HasMore, true
	}
	a := answer{
		Results:  make([]json.RawMessage, 0, len(records)),
		PageSize: q.query.Size,
		Window:   window{From: instant(q.query.From), To: instant(q.query.To), Zone: h.zoneOf(q).String()},
	}
	for _, rec := range records {
		shown, err := show(rec, r.grant)
		if err != nil {
			return answer{}, err
		}
		a.Results = append(a.Results, shown)
	}
	if at == nil && r.route.has("from_offset") {
		a.FromOffset = &q.query.Offset
	}
	if q.total {
		a.Total, a.TotalRelation = &page.Total, "eq"
		if !page.TotalExact {
			a.TotalRelation = "gte"
		}
	}
	if n := len(records); n > 0 {
		if after {
			a.NextCursor, a.Next = h.link(r, q, place{position: store.PositionOf(records[n-1])}, s)
		}
		if before {
			a.PrevCursor, a.Previous = h.link(r, q, place{position: store.PositionOf(records[0]), back: true}, s)
		}
	}
	a.TookMS = h.Clock().Sub(r.start).Milliseconds()
	return a, nil
}

// link gives the cursor of a place, and the reference to the page there; none if the parameters come
// in a body.
func (h *handler) link(r *call, q request, p place, s scope) (cursor, ref *string) {
	text := h.cursors.encode(p, s, r.start)
	if r.route.body {
		return &text, nil
	}
	values := maps.Clone(q.values)
	values.Del("from_offset")
	if values.Has("last") { // which would move on
		values.Del("last")
		values.Set("from", q.query.From.Format(time.RFC3339Nano))
		values.Set("to", q.query.To.Format(time.RFC3339Nano))
	}
	values.Set("cursor", text)
	link := "?" + values.Encode()
	return &text, &link
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// summary gives the fields of a record for lists: those of the specification also when they are empty, and
// those of a dependent only where there are any.
func summary(r event.Record, grant Grant) (json.RawMessage, error) {
	var o object
	for _, f := range []struct {
		name  string
		value any
	}{
		{"log_id", r.LogID},
		{"timestamp", r.Timestamp.UTC()},
		{"user_id", r.UserID},
		{"username", r.Username},
		{"full_name", r.FullName},
		{"action", r.Action},
		{"object_type", r.ObjectType},
		{"object_id", r.ObjectID},
		{"object_repr", r.ObjectRepr},
	} {
		if !grant.hides(f.name) {
			o.set(f.name, encode(f.value))
		}
	}
	// What says under which record it belongs, where it is that of a dependent.
	for _, f := range []struct{ name, value string }{
		{"source_model", r.SourceModel}, {"source_pk", r.SourcePK}, {"source_repr", r.SourceRepr}, {"tx_id", r.TxID},
	} {
		if f.value != "" && !grant.hides(f.name) {
			o.set(f.name, encode(f.value))
		}
	}
	return o.MarshalJSON()
}
