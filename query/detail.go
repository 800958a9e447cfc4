package query

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gormtrail/audit/event"
)

func (h *handler) detail(r *call) {
	c := r.c
	record, ok := h.recordOf(r)
	if !ok {
		return
	}
	body, err := full(record, r.grant)
	if err != nil {
		h.failed(c, r.route.operation, err)
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	r.rows = 1
	if !h.recordAccess(r) {
		return
	}
	c.Header("ETag", tag)
	// The record never changes, but who may see it does: ask every time, answer 304.
	c.Header("Cache-Control", "private, no-cache")
	if matches(c.GetHeader("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		return
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", body)
}

// recordOf gives the record that the path names. If ok is false it has refused the request.
func (h *handler) recordOf(r *call) (record event.Record, ok bool) {
	id := r.p.pathValue(r, "log_id")
	if h.wrong(r) {
		return event.Record{}, false
	}
	record, err := h.Store.Get(r.c.Request.Context(), id, r.grant.Filters...)
	if err != nil {
		h.failed(r.c, r.route.operation, err)
		return event.Record{}, false
	}
	return record, true
}

func validID(id string) bool {
	return id != "" && len(id) <= event.MaxIDLength && utf8.ValidString(id) &&
		!strings.ContainsFunc(id, func(r rune) bool { return !unicode.IsPrint(r) })
}

// matches reports whether an If-None-Match header names the tag.
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		if part = strings.TrimPrefix(strings.TrimSpace(part), "W/"); part == tag || part == "*" {
			return true
		}
	}
	return false
}

// full gives the record as JSON, without what the grant hides. The application's own fields stand at
// the top level; those with the name of a field of the record stay under extra.
func full(r event.Record, grant Grant) (json.RawMessage, error) {
	redact(&r, grant)
	data, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("query: encode record: %w", err)
	}
	o, err := readObject(data)
	if err != nil {
		return nil, err
	}
	o = slices.DeleteFunc(o, func(m member) bool {
		return m.name == "extra" || grant.hides(m.name) || !event.Reserved(m.name) && grant.hides(hiddenExtra+m.name)
	})
	var taken object
	if grant.hides("extra") {
		r.Extra = nil
	}
	for _, name := range slices.Sorted(maps.Keys(r.Extra)) {
		switch value := encode(r.Extra[name]); {
		case grant.hides(hiddenExtra + name):
		case event.Reserved(name) || o.has(name):
			taken.set(name, value)
		default:
			o.set(name, value)
		}
	}
	if len(taken) > 0 {
		o.set("extra", encode(taken))
	}
	return o.MarshalJSON()
}
