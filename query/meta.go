package query

import (
	"net/http"
	"strings"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// meta is the body of /meta/.
type meta struct {
	SchemaVersion int    `json:"schema_version"`
	Zone          string `json:"tz"`
	// Routes are the paths that the service has, Capabilities what its store can do.
	Routes       []string        `json:"routes"`
	Capabilities map[string]bool `json:"capabilities"`
	Filters      []store.Field   `json:"filters"`
	Hidden       []string        `json:"hidden"`
	Restricted   bool            `json:"restricted"`
	Actions      []event.Action  `json:"actions"`
	ExportFields []string        `json:"export_fields"`
	Formats      []string        `json:"export_formats"`
	Limits       map[string]int  `json:"limits"`
	Recorded     []Operation     `json:"recorded_operations"`
}

func (h *handler) meta(r *call) {
	if h.wrong(r) {
		return
	}
	m := meta{
		SchemaVersion: event.SchemaVersion, Zone: h.Location.String(), Capabilities: h.capabilities(),
		Hidden: append([]string{}, r.grant.Hidden...), Restricted: len(r.grant.Filters) > 0, ExportFields: csvColumns, Formats: []string{"csv", "ndjson", "cloudevents"},
		Actions: []event.Action{event.ActionAdd, event.ActionChange, event.ActionDelete, event.ActionRestore, event.ActionImport, event.ActionExport},
		Limits: map[string]int{
			"page_size": MaxPageSize, "from_offset": store.MaxWindow, "total": store.TotalLimit, "values": store.MaxValues, "value_bytes": MaxValueLength,
			"search_term_characters": store.MaxTextLength, "search_term_words": MaxTerms, "url_bytes": MaxURLLength, "header_bytes": MaxHeaderLength,
			"body_bytes": MaxBodyLength, "concurrent": h.MaxConcurrent, "streams": h.MaxStreams, "export": MaxExport,
		},
		Recorded: []Operation{},
	}
	for _, f := range store.Fields() {
		if !r.grant.hides(string(f)) {
			m.Filters = append(m.Filters, f)
		}
	}
	for _, route := range h.table() {
		m.Routes = append(m.Routes, route.verb()+" "+openPath(route))
	}
	if !isNil(h.Access.Recorder) {
		m.Recorded = append(m.Recorded, h.Access.Operations...)
	}
	r.c.PureJSON(http.StatusOK, m)
}

// openPath gives the path in the form of OpenAPI.
func openPath(r *route) string {
	parts := strings.Split(r.path, "/")
	for i, p := range parts {
		if name, ok := strings.CutPrefix(p, ":"); ok {
			parts[i] = "{" + name + "}"
		}
	}
	path := strings.Join(parts, "/")
	if !r.bare {
		path += "/"
	}
	return path
}
