package query

import (
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
	Results []object `json:"results"`
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

func (h *handler) search(c *gin.Context, grant Grant) {
	start := h.Clock()
	r, errs := h.parseSearch(c.Request.URL.RawQuery, grant)
	if len(errs) > 0 {
		h.badParams(c, errs)
		return
	}
	scope := scopeOf(r.query, grant)
	var at *place
	if r.cursor != "" {
		p, err := h.cursors.decode(r.cursor, scope, start)
		if err != nil {
			h.badCursor(c, err)
			return
		}
		at = &p
	}
	page, err := h.Store.Search(c.Request.Context(), pageQuery(r.query, grant, at))
	if err != nil {
		h.failed(c, OperationSearch, err)
		return
	}
	a := h.answer(r, grant, page, at, scope, start)
	for rel, ref := range map[string]*string{"next": a.Next, "prev": a.Previous} {
		if ref != nil {
			c.Writer.Header().Add("Link", "<"+*ref+`>; rel="`+rel+`"`)
		}
	}
	c.PureJSON(http.StatusOK, a)
}

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

func (h *handler) answer(r request, grant Grant, page store.Page, at *place, s scope, start time.Time) answer {
	records := page.Records
	before, after := at != nil || r.query.Offset > 0, page.HasMore
	if at != nil && at.back {
		slices.Reverse(records)
		before, after = page.HasMore, true
	}
	a := answer{
		Results:  make([]object, 0, len(records)),
		PageSize: r.query.Size,
		Window:   window{From: instant(r.query.From), To: instant(r.query.To), Zone: h.Location.String()},
	}
	for _, rec := range records {
		a.Results = append(a.Results, summary(rec, grant))
	}
	if at == nil {
		a.FromOffset = &r.query.Offset
	}
	if r.total {
		a.Total, a.TotalRelation = &page.Total, "eq"
		if !page.TotalExact {
			a.TotalRelation = "gte"
		}
	}
	if n := len(records); n > 0 {
		if after {
			a.NextCursor, a.Next = h.link(r, place{position: store.PositionOf(records[n-1])}, s, start)
		}
		if before {
			a.PrevCursor, a.Previous = h.link(r, place{position: store.PositionOf(records[0]), back: true}, s, start)
		}
	}
	a.TookMS = h.Clock().Sub(start).Milliseconds()
	return a
}

// link gives the cursor of a place, and the reference to the page there.
func (h *handler) link(r request, p place, s scope, now time.Time) (cursor, ref *string) {
	text := h.cursors.encode(p, s, now)
	values := maps.Clone(r.values)
	values.Del("from_offset")
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

// summary gives the fields of a record for lists, all of them also when they are empty.
func summary(r event.Record, grant Grant) object {
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
	return o
}
