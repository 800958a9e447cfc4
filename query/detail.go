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

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/event"
)

func (h *handler) detail(c *gin.Context, grant Grant) {
	id := c.Param("log_id")
	if !validID(id) {
		h.badParams(c, []ParamError{{
			Param: "log_id", Code: "invalid_value", Detail: quote(id) + " is not an id",
			Allowed: fmt.Sprintf("1 to %d bytes of printable text", event.MaxIDLength),
		}})
		return
	}
	if c.Request.URL.RawQuery != "" {
		var p parser
		p.read(c.Request.URL.RawQuery)
		for _, name := range slices.Sorted(maps.Keys(p.values)) {
			p.bad(quoteName(name), "unknown_parameter", "no parameters", "there is no such parameter")
		}
		if len(p.errs) > 0 {
			h.badParams(c, p.errs)
			return
		}
	}
	record, err := h.Store.Get(c.Request.Context(), id, grant.Filters...)
	if err != nil {
		h.failed(c, OperationDetail, err)
		return
	}
	body, err := full(record, grant)
	if err != nil {
		h.failed(c, OperationDetail, err)
		return
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:16]) + `"`
	c.Header("ETag", tag)
	// The record never changes, but who may see it does: ask every time, answer 304.
	c.Header("Cache-Control", "private, no-cache")
	if matches(c.GetHeader("If-None-Match"), tag) {
		c.Status(http.StatusNotModified)
		return
	}
	c.Data(http.StatusOK, "application/json; charset=utf-8", body)
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
func full(r event.Record, grant Grant) ([]byte, error) {
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
