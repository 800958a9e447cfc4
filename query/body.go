package query

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
)

// readBody reads the parameters from the body. If it gives false it has refused the request.
func (h *handler) readBody(r *call) bool {
	c := r.c
	if c.Request.URL.RawQuery != "" {
		r.p.bad("(query)", "conflict", "all parameters in the body", "there are parameters in the URL as well")
	}
	if kind, _, err := mime.ParseMediaType(c.GetHeader("Content-Type")); err != nil || kind != "application/json" {
		h.refuse(c, http.StatusUnsupportedMediaType, problemMedia, "Unsupported media type", "the body must be application/json")
		return false
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, MaxBodyLength))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		h.refuse(c, http.StatusRequestEntityTooLarge, problemBody, "Body too large", fmt.Sprintf("the body has more than %d bytes", MaxBodyLength))
		return false
	case err != nil:
		r.p.bad("(body)", "invalid_value", "a JSON object", "the body cannot be read")
	}
	r.p.values = url.Values{}
	if err == nil {
		r.p.readJSON(data)
	}
	return true
}

// readJSON reads {"name": "text", "other": ["a", "b"], "page_size": 5}.
func (p *parser) readJSON(data []byte) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	bad := func() {
		p.bad("(body)", "invalid_value", "one JSON object with texts, numbers and lists of them", "the body is not such an object")
	}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		bad()
		return
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			bad()
			return
		}
		var value any
		if d.Decode(&value) != nil {
			bad()
			return
		}
		p.member(name.(string), value) // the grammar has only strings here
	}
	if _, err := d.Token(); err != nil {
		bad()
		return
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		bad()
	}
}

func (p *parser) member(name string, value any) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	if p.values.Has(name) {
		p.bad(quoteName(name), "repeated_parameter", "each name once, with a list of its values", "is there twice")
		return
	}
	if len(list) == 0 {
		p.bad(quoteName(name), "empty_value", "a value, or leave the parameter out", "is an empty list")
	}
	for _, v := range list {
		switch v := v.(type) {
		case string:
			p.values.Add(name, v)
		case json.Number:
			p.values.Add(name, v.String())
		default:
			p.bad(quoteName(name), "invalid_value", "a text, a number, or a list of them", "is neither")
		}
	}
}
