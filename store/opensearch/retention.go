package opensearch

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Month is the index of one month.
type Month struct {
	// Start is the first instant of the month in UTC; it ends where the next one starts.
	Start time.Time
	// Index is the name of the index.
	Index string
	// Closed says that the index is closed: its records are kept and cannot be searched.
	Closed bool
}

// Months gives the months that have an index, oldest first. The index of times out of range is none of
// them. The error wraps store.ErrUnavailable.
func (s *Store) Months(ctx context.Context) ([]Month, error) {
	open, closed, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var months []Month
	for i, index := range slices.Concat(open, closed) {
		if start, ok := s.names.month(index); ok {
			months = append(months, Month{Start: start, Index: index, Closed: i >= len(open)})
		}
	}
	slices.SortFunc(months, func(a, b Month) int { return a.Start.Compare(b.Start) })
	return months, nil
}

// DeleteBefore removes the indices of all months that had ended at the time before, and gives their names.
// Months are the unit: records of the month in which before lies stay, also those that are older than it;
// and so do those with times out of range, whose index has no month. What is removed cannot be had back but
// from a snapshot, or from the stream if that still has it.
//
// A consumer that is delivered an old record makes the index of its month anew. The error wraps
// store.ErrUnavailable; the names are then those that were removed before it.
func (s *Store) DeleteBefore(ctx context.Context, before time.Time) ([]string, error) {
	months, err := s.Months(ctx)
	if err != nil {
		return nil, err
	}
	var removed []string
	for _, m := range months {
		if m.Start.AddDate(0, 1, 0).After(before) {
			break
		}
		// By its own name, and not with others: what a wildcard meets is not known before.
		if err := s.call(ctx, request{method: http.MethodDelete, path: "/" + m.Index}, nil); err != nil {
			return removed, fmt.Errorf("opensearch: remove index %s: %w", m.Index, unavailable(err))
		}
		s.forget(m.Index)
		removed = append(removed, m.Index)
	}
	return removed, nil
}

// policyName is the id of the policy of retention.
func (n names) policyName() string { return n.prefix + "-retention" }

// policyBody is a policy by which the server itself removes an index when it is so many months old. Its age
// counts from when it was made, which is in its month, or later: so it never goes too early, unless a clock
// was ahead.
func (n names) policyBody(months int) object {
	age := fmt.Sprintf("%dd", (months+1)*31) // its own month, and so many more of at most 31 days
	return object{"policy": object{
		"description":   fmt.Sprintf("made by %s: indices of audit records are removed after %d months", owner, months),
		"default_state": "keep",
		"states": []object{
			{
				"name": "keep", "actions": []object{},
				"transitions": []object{{"state_name": "remove", "conditions": object{"min_index_age": age}}},
			},
			{"name": "remove", "actions": []object{{"delete": object{}}}, "transitions": []object{}},
		},
		// Only those of months: the index of times out of range has none.
		"ism_template": []object{{"index_patterns": []string{n.patterns()[0]}, "priority": 100}},
	}}
}

// SetPolicy puts a policy on the server by which it removes an index of a month when that has been over for
// so many months, at least 1, and gives the policy's name. It is put on the indices that exist too. It may be
// called again, with another number as well. The error wraps ErrNoPlugin if the server lacks the plugin for
// index state management (then call DeleteBefore from time to time), and store.ErrUnavailable for all else
// that the server does.
func (s *Store) SetPolicy(ctx context.Context, months int) (string, error) {
	name := s.names.policyName()
	if months < 1 {
		return name, fmt.Errorf("%w: a policy for %d months, want at least 1", ErrConfig, months)
	}
	path := "/_plugins/_ism/policies/" + name
	var have struct {
		Sequence int64 `json:"_seq_no"`
		Term     int64 `json:"_primary_term"`
	}
	put := request{method: http.MethodPut, path: path, body: asJSON(s.names.policyBody(months))}
	err := s.call(ctx, request{method: http.MethodGet, path: path}, &have)
	answer := answerOf(err)
	switch {
	case err == nil: // it is replaced, unless somebody else does so at this moment
		put.query = map[string][]string{"if_seq_no": {fmt.Sprint(have.Sequence)}, "if_primary_term": {fmt.Sprint(have.Term)}}
	case answer != nil && answer.kind == "" && strings.Contains(answer.reason, "no handler found"):
		return name, fmt.Errorf("%w: %w", ErrNoPlugin, err)
	case answer == nil || answer.status != http.StatusNotFound:
		return name, fmt.Errorf("opensearch: get policy %s: %w", name, unavailable(err))
	}
	if err := s.call(ctx, put, nil); err != nil {
		return name, fmt.Errorf("opensearch: put policy %s: %w", name, unavailable(err))
	}
	there, err := s.Months(ctx)
	if err != nil {
		return name, err
	}
	for _, m := range there {
		if err := s.attachPolicy(ctx, m.Index, name); err != nil {
			return name, err
		}
	}
	return name, nil
}

// attachPolicy puts the policy on an index, or its new version in place of the one that it has.
func (s *Store) attachPolicy(ctx context.Context, index, policy string) error {
	var reason string
	for _, way := range []string{"add", "change_policy"} {
		var v struct {
			Failures bool `json:"failures"`
			Failed   []struct {
				Reason string `json:"reason"`
			} `json:"failed_indices"`
		}
		r := request{method: http.MethodPost, path: "/_plugins/_ism/" + way + "/" + index, body: asJSON(object{"policy_id": policy})}
		if err := s.call(ctx, r, &v); err != nil {
			return fmt.Errorf("opensearch: put policy %s on %s: %w", policy, index, unavailable(err))
		}
		if !v.Failures {
			return nil
		}
		if len(v.Failed) > 0 {
			reason = v.Failed[0].Reason
		}
	}
	return unavailable(fmt.Errorf("opensearch: put policy %s on %s: %s", policy, index, clip(reason, maxReason)))
}
