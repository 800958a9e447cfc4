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

const maxUsers = 50

// usersAnswer is the body of /users/.
type usersAnswer struct {
	Users []userAnswer `json:"users"`
	// OtherCount is how many records others made, WithoutCount how many have no user.
	OtherCount   int64  `json:"other_count"`
	WithoutCount int64  `json:"without_count"`
	Exact        bool   `json:"exact"`
	Window       window `json:"window"`
	TookMS       int64  `json:"took_ms"`
}

// userAnswer is somebody who has done something.
type userAnswer struct {
	UserID string `json:"user_id"`
	// Username and FullName are those of the newest record.
	Username  string    `json:"username,omitempty"`
	FullName  string    `json:"full_name,omitempty"`
	Count     int64     `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
}

// oneUserAnswer is the body of /users/<user_id>/.
type oneUserAnswer struct {
	userAnswer
	// CountRelation is "eq", or "gte" if there are more.
	CountRelation string `json:"count_relation"`
	// Facets say what they did, and from where.
	Facets map[string]facetAnswer `json:"facets"`
	// Newest are their newest records.
	Newest []json.RawMessage `json:"newest"`
	Window window            `json:"window"`
	TookMS int64             `json:"took_ms"`
}

type searchFaceter interface {
	store.Searcher
	store.Faceter
}

func (h *handler) users(r *call) {
	q := h.parse(r)
	size := r.p.number("size", store.DefaultFacetSize, 1, maxUsers)
	r.p.visible(r.grant, "user_id", "user_id")
	s, ok := able[searchFaceter](h, r)
	if !ok {
		return
	}
	found, facet, err := store.Users(r.c.Request.Context(), s, granted(q.query, r.grant), size)
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	a := usersAnswer{Users: make([]userAnswer, 0, len(found)), OtherCount: facet.Others, WithoutCount: facet.Without, Exact: facet.Exact, Window: h.window(q), TookMS: h.took(r)}
	for _, u := range found {
		one := userAnswer{UserID: u.UserID, Count: u.Count, FirstSeen: u.First.UTC(), LastSeen: u.Last.UTC()}
		one.named(u.Newest, r.grant)
		a.Users = append(a.Users, one)
	}
	r.rows = len(found)
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, a)
	}
}

// named takes the names of the record.
func (u *userAnswer) named(r event.Record, grant Grant) {
	if !grant.hides("username") {
		u.Username = r.Username
	}
	if !grant.hides("full_name") {
		u.FullName = r.FullName
	}
}

// userFacets say what a user did.
var userFacets = []store.Field{store.FieldAction, store.FieldObjectType, store.FieldIPAddress}

func (h *handler) user(r *call) {
	id := r.p.pathValue(r, "user_id")
	r.p.visible(r.grant, "user_id", "user_id")
	q := h.parse(r)
	s, ok := able[searchFaceter](h, r)
	if !ok {
		return
	}
	q.query.Filters = append(q.query.Filters, store.Filter{Field: store.FieldUserID, Values: []string{id}})
	a, err := describeUser(r.c.Request.Context(), s, q.query, r.grant)
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return
	}
	a.UserID, a.Window, a.TookMS = id, h.window(q), h.took(r)
	r.rows = len(a.Newest)
	if h.recordAccess(r) {
		r.c.PureJSON(http.StatusOK, a)
	}
}

func describeUser(ctx context.Context, s searchFaceter, q store.Query, grant Grant) (a oneUserAnswer, err error) {
	q = granted(q, grant)
	newest, err := s.Search(ctx, q)
	if err != nil {
		return a, err
	}
	if len(newest.Records) == 0 {
		return a, store.ErrNotFound
	}
	a.Count, a.CountRelation = newest.Total, "eq"
	if !newest.TotalExact {
		a.CountRelation = "gte"
	}
	a.LastSeen = newest.Records[0].Timestamp.UTC()
	a.named(newest.Records[0], grant)
	for _, rec := range newest.Records {
		shown, err := summary(rec, grant)
		if err != nil {
			return a, err
		}
		a.Newest = append(a.Newest, shown)
	}
	q.Ascending, q.Size, q.TotalLimit = true, 1, -1
	oldest, err := s.Search(ctx, q)
	if err != nil {
		return a, err
	}
	if len(oldest.Records) > 0 {
		a.FirstSeen = oldest.Records[0].Timestamp.UTC()
	}
	fields := slices.DeleteFunc(slices.Clone(userFacets), func(f store.Field) bool { return grant.hides(string(f)) })
	a.Facets = map[string]facetAnswer{}
	if len(fields) > 0 {
		// The grant is in q already.
		a.Facets, err = facetsOf(ctx, s, q, Grant{}, store.FacetRequest{Fields: fields})
	}
	return a, err
}
