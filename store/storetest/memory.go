package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// Memory is a store in memory: the plain reading of what a store must do, record by record. The suite
// compares real stores with it, and passes on it as well. It is for tests: every search looks at every
// record. Its methods may be called concurrently.
type Memory struct {
	mu      sync.RWMutex
	records []event.Record
}

var _ Store = (*Memory)(nil)

// NewMemory gives a store that holds records.
func NewMemory(records ...event.Record) *Memory {
	return &Memory{records: slices.Clone(records)}
}

// Write stores docs, see store.Writer.
func (m *Memory) Write(_ context.Context, docs []store.Doc) ([]store.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	results := make([]store.Result, len(docs))
	for i, d := range docs {
		results[i] = m.put(d)
	}
	return results, nil
}

func (m *Memory) put(d store.Doc) store.Result {
	data, err := d.Encoded, error(nil)
	if data == nil {
		if data, err = event.Encode(d.Record); err != nil {
			return store.Result{Status: store.Poison, Err: err}
		}
	}
	r, err := event.Decode(data)
	if err != nil {
		return store.Result{Status: store.Poison, Err: err}
	}
	i := slices.IndexFunc(m.records, func(have event.Record) bool { return have.LogID == r.LogID })
	if i < 0 {
		m.records = append(m.records, r)
		return store.Result{}
	}
	old, oldErr := event.ContentHash(m.records[i])
	now, nowErr := event.ContentHash(r)
	if err := errors.Join(oldErr, nowErr); err != nil {
		return store.Result{Status: store.Poison, Err: err}
	}
	if old == now {
		return store.Result{Status: store.Duplicate}
	}
	return store.Result{Status: store.Conflict, Err: fmt.Errorf("storetest: %q is stored with other content", r.LogID)}
}

// Search gives one page, see store.Searcher.
func (m *Memory) Search(_ context.Context, q store.Query) (store.Page, error) {
	q = q.WithDefaults()
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	found := m.found(q)
	most := max(q.TotalLimit, 0)
	p := store.Page{Total: int64(min(len(found), most)), TotalExact: len(found) <= most && q.TotalLimit > 0}
	if q.After != nil {
		found = slices.DeleteFunc(found, func(r event.Record) bool { return compare(q, store.PositionOf(r), *q.After) <= 0 })
	}
	found = found[min(q.Offset, len(found)):]
	p.HasMore = len(found) > q.Size
	p.Records = found[:min(q.Size, len(found))]
	return p, nil
}

// found gives all records that match, in the order of the query.
func (m *Memory) found(q store.Query) []event.Record {
	var found []event.Record
	for _, r := range m.records {
		if matches(r, q) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b event.Record) int { return compare(q, store.PositionOf(a), store.PositionOf(b)) })
	return found
}

func compare(q store.Query, a, b store.Position) int {
	if q.Ascending {
		return a.Compare(b)
	}
	return b.Compare(a)
}

// Get gives one record, see store.Searcher.
func (m *Memory) Get(_ context.Context, logID string, filters ...store.Filter) (event.Record, error) {
	if err := (store.Query{Filters: filters}).WithDefaults().Validate(); err != nil {
		return event.Record{}, err
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, r := range m.records {
		if r.LogID == logID && passesAll(r, filters) {
			return r, nil
		}
	}
	return event.Record{}, fmt.Errorf("%w: %q", store.ErrNotFound, logID)
}

func matches(r event.Record, q store.Query) bool {
	ms := r.Timestamp.UnixMilli()
	if !q.From.IsZero() && ms < q.From.UnixMilli() || !q.To.IsZero() && ms >= q.To.UnixMilli() {
		return false
	}
	terms, never := q.Terms()
	return !never && passesAll(r, q.Filters) && store.MatchText(terms, store.SearchText(r))
}

func passesAll(r event.Record, filters []store.Filter) bool {
	return !slices.ContainsFunc(filters, func(f store.Filter) bool { return passes(r, f) == f.Not })
}

func passes(r event.Record, f store.Filter) bool {
	for _, have := range valuesOf(r, f.Field) {
		for _, want := range f.Values {
			if have != "" && compared(f.Field, have) == compared(f.Field, want) {
				return true
			}
		}
	}
	return false
}

// shortAddress gives an address in its shortest form: an address is an address, however it is written.
func shortAddress(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return s
}

func valuesOf(r event.Record, f store.Field) []string {
	switch f {
	case store.FieldLogID:
		return []string{r.LogID}
	case store.FieldUserID:
		return []string{r.UserID}
	case store.FieldUsername:
		return []string{r.Username}
	case store.FieldFullName:
		return []string{r.FullName}
	case store.FieldAction:
		return []string{string(r.Action)}
	case store.FieldObjectType:
		return []string{r.ObjectType}
	case store.FieldObjectID:
		return []string{r.ObjectID}
	case store.FieldSourceModel:
		return []string{r.SourceModel}
	case store.FieldSourcePK:
		return []string{r.SourcePK}
	case store.FieldTenantID:
		return []string{r.TenantID}
	case store.FieldRequestID:
		return []string{r.RequestID}
	case store.FieldTraceID:
		return []string{r.TraceID}
	case store.FieldSessionKey:
		return []string{r.SessionKey}
	case store.FieldIPAddress:
		return []string{r.IPAddress}
	case store.FieldBatchID:
		return []string{r.BatchID}
	case store.FieldBatchAction:
		return []string{string(r.BatchAction)}
	case store.FieldTxID:
		return []string{r.TxID}
	case store.FieldChangedField:
		return r.ChangedFields
	case store.FieldChange:
		return store.ChangeTokens(r)
	case store.FieldExtra:
		return store.ExtraTokens(r)
	}
	return nil
}
