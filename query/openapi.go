package query

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/gormtrail/audit/event"
)

// openAPI answers the OpenAPI 3.1 document of the service. It is made from the same list of routes and
// parameters by which requests are served and read, and its schemas from the types of the answers.
func (h *handler) openAPI(r *call) {
	if h.wrong(r) {
		return
	}
	r.c.PureJSON(http.StatusOK, h.document())
}

func (h *handler) document() schema {
	paths := map[string]schema{}
	for _, r := range h.table() {
		path := openPath(r)
		if paths[path] == nil {
			paths[path] = schema{}
		}
		paths[path][strings.ToLower(r.verb())] = r.document()
	}
	base := h.base
	if base == "" {
		base = "/"
	}
	return schema{
		"openapi": "3.1.0",
		"info": schema{
			"title": "Audit trail", "version": fmt.Sprint(event.SchemaVersion),
			"description": "Search and read the audit trail. Every path is also served without its last slash. The service decides for each request which records and fields the caller sees.",
		},
		"servers":  []schema{{"url": base}},
		"security": []schema{{"bearer": []string{}}},
		"paths":    paths,
		"components": schema{
			"securitySchemes": schema{"bearer": schema{"type": "http", "scheme": "bearer"}},
			"schemas":         schemas(),
			"responses":       schema{"Problem": schema{"description": "What is wrong, as RFC 9457 says", "content": schema{"application/problem+json": schema{"schema": ref("Problem")}}}},
		},
	}
}

func ref(name string) schema { return schema{"$ref": "#/components/schemas/" + name} }

// document gives the operation of the route.
func (r *route) document() schema {
	o := schema{
		"operationId": strings.ToLower(r.verb()) + idOf(r.path), "summary": r.summary, "tags": []string{string(r.operation)}, "responses": r.responses(),
	}
	if r.text != "" {
		o["description"] = r.text
	}
	parameters := []schema{}
	for _, p := range r.params {
		if p.path {
			parameters = append(parameters, p.document())
		}
	}
	switch {
	case r.body:
		o["requestBody"] = schema{"required": true, "content": schema{"application/json": schema{"schema": bodySchema(r.query())}}}
	default:
		for _, p := range r.query() {
			parameters = append(parameters, p.document())
		}
	}
	if len(parameters) > 0 {
		o["parameters"] = parameters
	}
	return o
}

// idOf makes a name of a path.
func idOf(path string) string {
	id := ""
	for _, part := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/:_.", r) }) {
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}

func (p param) document() schema {
	d := schema{"name": p.name, "in": "query", "description": p.text, "schema": p.schema}
	if p.path {
		d["in"], d["required"] = "path", true
	}
	if p.many {
		d["schema"] = schema{"type": "array", "items": p.schema, "minItems": 1, "maxItems": 100}
		d["explode"] = true
	}
	return d
}

func bodySchema(params []param) schema {
	properties := schema{}
	for _, p := range params {
		s := p.schema
		if p.many {
			s = schema{"oneOf": []schema{p.schema, {"type": "array", "items": p.schema, "minItems": 1, "maxItems": 100}}}
		}
		properties[p.name] = s
	}
	return schema{"type": "object", "properties": properties, "additionalProperties": false}
}

// statuses are the problems that every route can answer.
var statuses = []int{400, 401, 403, 414, 429, 431, 500, 501, 503, 504}

func (r *route) responses() schema {
	content := schema{}
	for _, m := range r.answers {
		content[m.kind] = schema{"schema": ref(m.schema)}
	}
	out := schema{"200": schema{"description": r.summary, "content": content}}
	for _, status := range slices.Concat(statuses, r.problems) {
		key := fmt.Sprint(status)
		if status == http.StatusNotModified {
			out[key] = schema{"description": "What If-None-Match names is still right"}
			continue
		}
		out[key] = schema{"$ref": "#/components/responses/Problem"}
	}
	return out
}
