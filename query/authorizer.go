package query

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Operation is what a caller wants to do.
type Operation string

// The operations that an Authorizer is asked about. Each shows records or what is counted from them, but
// for OperationMeta.
const (
	OperationSearch    Operation = "search"    // list records
	OperationDetail    Operation = "detail"    // read one record in full
	OperationContext   Operation = "context"   // list the records around a record
	OperationHistory   Operation = "history"   // read the records of an object in full
	OperationState     Operation = "state"     // read an object as it was
	OperationUser      Operation = "user"      // see what a user did, in numbers
	OperationBatch     Operation = "batch"     // see the summary of a batch, and list its records
	OperationCount     Operation = "count"     // count records
	OperationFacets    Operation = "facets"    // see which values occur how often
	OperationHistogram Operation = "histogram" // see how many records there are over time
	OperationExport    Operation = "export"    // take out records in full
	OperationTail      Operation = "tail"      // see records in full as they arrive
	OperationChanges   Operation = "changes"   // read records in full in the order of arrival
	OperationMeta      Operation = "meta"      // read what the service can do
)

// Authorizer decides about every request to the trail.
type Authorizer interface {
	// Authorize says who makes the request and what they may see. It returns an error that wraps
	// ErrUnauthenticated or ErrForbidden to refuse; any other error gives status 503, so nothing is
	// shown when it cannot decide. It may read what the application's own middleware has put into c,
	// must not write an answer, and may be called concurrently.
	Authorize(c *gin.Context, operation Operation) (Grant, error)
}

// AuthorizerFunc is a function as an Authorizer.
type AuthorizerFunc func(c *gin.Context, operation Operation) (Grant, error)

// Authorize calls f.
func (f AuthorizerFunc) Authorize(c *gin.Context, operation Operation) (Grant, error) {
	return f(c, operation)
}

// Grant is what a caller may see. The zero Grant is refused: it has no principal.
type Grant struct {
	// Principal names the caller, in logs and for the limit of requests at once. Cursors of one
	// principal are of no use to another. Required.
	Principal string
	// UserID is the caller's id in the records that Options.Access makes of their reading.
	//
	// Defaults to Principal.
	UserID string
	// Filters must all hold for a record to be seen, such as
	//
	//	{Field: store.FieldTenantID, Values: []string{"acme"}}
	//
	// No filters: all records. A filter without values refuses the request with 403.
	Filters []store.Filter
	// Hidden names fields that are left out of every answer: a field of the record ("ip_address"), a
	// field of the application's own ("extra.salary"), or a column ("changes.salary"), whose values are
	// marked as redacted. log_id, timestamp and action cannot be hidden.
	//
	// A caller with hidden fields cannot filter by them, and cannot use search_term, which would answer
	// whether a hidden value occurs. What a model's own object_repr or reason says about a hidden column
	// is not known here: hide those too where it matters.
	Hidden []string
}

// AllowAll lets everybody see everything, under the given name: for tests, and for servers that only
// their owner can reach.
func AllowAll(principal string) Authorizer {
	return AuthorizerFunc(func(*gin.Context, Operation) (Grant, error) {
		return Grant{Principal: principal}, nil
	})
}

const (
	hiddenExtra   = "extra."
	hiddenChanges = "changes."
)

// validate reports mistakes of the Authorizer. They are the application's, never the caller's.
func (g Grant) validate() error {
	var errs []error
	if g.Principal == "" {
		errs = append(errs, errors.New("query: Grant.Principal is empty"))
	}
	for _, f := range g.Filters {
		if !slices.Contains(store.Fields(), f.Field) {
			errs = append(errs, fmt.Errorf("query: Grant.Filters has the field %q, want one of store.Fields", f.Field))
		}
		if len(f.Values) > store.MaxValues {
			errs = append(errs, fmt.Errorf("query: Grant.Filters has %d values of %q, want at most %d", len(f.Values), f.Field, store.MaxValues))
		}
	}
	for _, name := range g.Hidden {
		switch {
		case name == "log_id", name == "timestamp", name == "action":
			errs = append(errs, fmt.Errorf("query: Grant.Hidden has %q, which cannot be hidden", name))
		case !event.Reserved(name) && !strings.HasPrefix(name, hiddenExtra) && !strings.HasPrefix(name, hiddenChanges):
			errs = append(errs, fmt.Errorf("query: Grant.Hidden has %q, want a field of the record, extra.<name> or changes.<column>", name))
		}
	}
	return errors.Join(errs...)
}

// empty reports whether a filter lets nothing through.
func (g Grant) empty() bool {
	return slices.ContainsFunc(g.Filters, func(f store.Filter) bool { return len(f.Values) == 0 })
}

func (g Grant) hides(name string) bool { return slices.Contains(g.Hidden, name) }
