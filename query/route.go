package query

import (
	"fmt"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/store"
)

// route is one route of the package: what serves it, and all that the parser of parameters and the
// OpenAPI document know of it. There is no other list of routes or of parameters.
type route struct {
	method    string // GET if it is empty
	path      string
	operation Operation
	summary   string
	text      string // more about it
	params    []param
	// filters says that the parameters of the filters, the times and search_term are taken as well.
	filters bool
	// streams says that the answer goes on for longer than one time-out.
	streams bool
	// body says that the parameters come as a JSON object in the body.
	body bool
	// bare says that the path has no last slash.
	bare bool
	// answers are the media types of status 200 with the names of their schemas.
	answers []media
	// problems are the statuses that can be answered beside those of every route.
	problems []int
	serve    func(r *call)
}

type media struct {
	kind, schema string
}

func jsonOf(schema string) []media { return []media{{"application/json", schema}} }

// call is one request of a caller who may make it.
type call struct {
	c     *gin.Context
	route *route
	grant Grant
	// p has the parameters, of which none is unknown.
	p     *parser
	start time.Time
	// rows counts the records that the answer shows.
	rows int
}

// table gives all routes.
func (h *handler) table() []*route {
	return []*route{
		{
			path: "/search", operation: OperationSearch, summary: "One page of records, as summaries",
			filters: true, params: join(pageParams(), offsetParams()), answers: jsonOf("Page"), problems: []int{410}, serve: h.search,
		},
		{
			method: "POST", path: "/search", operation: OperationSearch, summary: "One page of records, for filters that are too long for a URL",
			text:    "The body is a JSON object with the parameters of GET /search/ by name; a value is a text, a number or, for a repeated parameter, a list.",
			filters: true, body: true, params: join(pageParams(), offsetParams()), answers: jsonOf("Page"), problems: []int{410, 413, 415}, serve: h.search,
		},
		{
			path: "/detail/:log_id", operation: OperationDetail, summary: "One record in full",
			params: []param{pathParam("log_id", "id of the record")}, answers: jsonOf("Record"), problems: []int{304, 404}, serve: h.detail,
		},
		{
			path: "/context/:log_id", operation: OperationContext, summary: "The records around a record",
			text:   "The records before and after in time; with scope only those of the same request, trace, session, transaction, batch, user or object.",
			params: contextParams(), answers: jsonOf("Context"), problems: []int{404}, serve: h.context,
		},
		{
			path: "/objects/:object_type/:object_id/history", operation: OperationHistory, summary: "All that happened to an object, with its dependents",
			filters: true, params: join(objectParams(), pageParams()), answers: jsonOf("Page"), problems: []int{410}, serve: h.history,
		},
		{
			path: "/objects/:object_type/:object_id/state", operation: OperationState, summary: "The object as it was at a time, rebuilt from its records",
			params: stateParams(), answers: jsonOf("State"), problems: []int{404}, serve: h.state,
		},
		{
			path: "/batches/:batch_id", operation: OperationBatch, summary: "A batch: its summary and errors, and a page of its records",
			filters: true, params: join([]param{pathParam("batch_id", "id of the batch")}, pageParams()), answers: jsonOf("Batch"), problems: []int{404, 410}, serve: h.batch,
		},
		{
			path: "/count", operation: OperationCount, summary: "How many records match",
			filters: true, params: countParams(), answers: jsonOf("Count"), serve: h.count,
		},
		{
			path: "/facets", operation: OperationFacets, summary: "Which values occur how often",
			text:    "The facet of a field ignores the caller's filter on this field, so that it shows what else could be chosen.",
			filters: true, params: facetParams(), answers: jsonOf("Facets"), serve: h.facets,
		},
		{
			path: "/histogram", operation: OperationHistogram, summary: "How many records there are over time",
			filters: true, params: histogramParams(), answers: jsonOf("Histogram"), serve: h.histogram,
		},
		{
			path: "/users", operation: OperationUser, summary: "Who made records, most first",
			filters: true, params: []param{integer("size", "number of users", store.DefaultFacetSize, 1, maxUsers)}, answers: jsonOf("Users"), serve: h.users,
		},
		{
			path: "/users/:user_id", operation: OperationUser, summary: "What a user did, when first and last, and from where",
			filters: true, params: []param{pathParam("user_id", "id of the user")}, answers: jsonOf("User"), problems: []int{404}, serve: h.user,
		},
		{
			path: "/changes", operation: OperationChanges, summary: "Records in the order of their arrival, from a checkpoint on",
			text:    "For programs that take over all records. Who follows next misses none, and may get one twice.",
			filters: true, params: changesParams(), answers: jsonOf("Changes"), serve: h.changes,
		},
		{
			path: "/stream", operation: OperationTail, summary: "Records as they arrive, as server-sent events",
			text:    "Each record is an event record; an id comes behind those that were read together. Who comes again with Last-Event-ID misses none, and may get some twice.",
			filters: true, params: tailParams(), streams: true, answers: []media{{"text/event-stream", "Text"}}, serve: h.tail,
		},
		{
			path: "/export", operation: OperationExport, summary: "All records that match, as a file",
			text: "The answer is streamed. It is whole if the trailer Audit-Export-Status is complete, and for the formats in JSON if their last line says so. " +
				"One that was cut is continued with after_log_id=<log_id of the last whole record>.",
			filters: true, params: exportParams(), streams: true, problems: []int{404, 410},
			answers: []media{{"text/csv", "Text"}, {"application/x-ndjson", "Text"}, {"application/cloudevents-batch+json", "CloudEvents"}}, serve: h.export,
		},
		{
			path: "/meta", operation: OperationMeta, summary: "What this service can do: fields, limits, zone",
			answers: jsonOf("Meta"), serve: h.meta,
		},
		{
			path: "/openapi.json", bare: true, operation: OperationMeta, summary: "This document",
			answers: jsonOf("Object"), serve: h.openAPI,
		},
	}
}

func (r *route) verb() string {
	if r.method == "" {
		return "GET"
	}
	return r.method
}

// paths gives the paths at which the route is mounted.
func (r *route) paths() []string {
	if r.bare {
		return []string{r.path}
	}
	return []string{r.path, r.path + "/"}
}

func (h *handler) routes(router gin.IRouter) (err error) {
	defer func() {
		// Gin panics if a route is taken, or if a wildcard of another name is in its place.
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: Mount: %v", ErrOptions, r)
		}
	}()
	for _, r := range h.table() {
		serve := h.guard(r)
		for _, path := range r.paths() {
			router.Handle(r.verb(), path, serve)
		}
	}
	return nil
}

// has reports whether the route has the query parameter.
func (r *route) has(name string) bool {
	for _, p := range r.params {
		if p.name == name && !p.path {
			return true
		}
	}
	return false
}
