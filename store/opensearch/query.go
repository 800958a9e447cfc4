package opensearch

import (
	"github.com/gormtrail/audit/store"
)

type object = map[string]any

// searchBody gives the body of the search for q, which has its defaults and is valid. It asks for one
// record more than a page, to know whether there are more.
func searchBody(q store.Query) object {
	order := "desc"
	if q.Ascending {
		order = "asc"
	}
	body := object{
		"query":   queryOf(q),
		"size":    fetchSize(q),
		"sort":    []object{{"timestamp": object{"order": order}}, {"log_id": object{"order": order}}},
		"timeout": "10s",
	}
	if q.After != nil {
		body["search_after"] = []any{q.After.Timestamp.UnixMilli(), q.After.LogID}
	}
	if q.Offset > 0 {
		body["from"] = q.Offset
	}
	switch {
	case q.TotalLimit < 0 && q.Offset+q.Size == store.MaxWindow:
		body["track_total_hits"] = store.MaxWindow + 1
	case q.TotalLimit < 0:
		body["track_total_hits"] = false
	default:
		// One more, to tell "exactly so many" from "more".
		body["track_total_hits"] = max(q.TotalLimit, q.Offset+q.Size) + 1
	}
	return body
}

// fetchSize is one more than a page, but for the last page that the server gives by offset.
func fetchSize(q store.Query) int {
	if q.After == nil && q.Offset+q.Size >= store.MaxWindow {
		return q.Size
	}
	return q.Size + 1
}

// queryOf gives the query of q without paging. Everything is a filter: nothing is scored, and the
// server may keep the answer.
func queryOf(q store.Query) object {
	filter := []object{}
	if bounds := (object{}); !q.From.IsZero() || !q.To.IsZero() {
		// Times are stored, and compared, in milliseconds.
		if !q.From.IsZero() {
			bounds["gte"] = q.From.UnixMilli()
		}
		if !q.To.IsZero() {
			bounds["lt"] = q.To.UnixMilli()
		}
		bounds["format"] = "epoch_millis"
		filter = append(filter, object{"range": object{"timestamp": bounds}})
	}
	terms, never := q.Terms()
	if never {
		filter = append(filter, object{"match_none": object{}})
	}
	for _, t := range terms {
		filter = append(filter, termQuery(t))
	}
	must, mustNot := filters(q.Filters)
	filter = append(filter, must...)
	return object{"bool": object{"filter": filter, "must_not": mustNot}}
}

func filters(list []store.Filter) (must, mustNot []object) {
	must, mustNot = []object{}, []object{}
	for _, f := range list {
		clause := filterClause(f)
		if f.Not {
			mustNot = append(mustNot, clause)
		} else {
			must = append(must, clause)
		}
	}
	return must, mustNot
}

func filterClause(f store.Filter) object {
	switch f.Field {
	case store.FieldChange:
		return object{"terms": object{"chg": f.Values}}
	case store.FieldExtra:
		return object{"terms": object{"extra_kv": f.Values}}
	}
	if !f.Field.Folds() && f.Field != store.FieldIPAddress {
		return object{"terms": object{string(f.Field): f.Values}}
	}
	values := make([]string, len(f.Values))
	for i, v := range f.Values {
		values[i] = foldedToken(f.Field, v)
	}
	return object{"terms": object{"folded": values}}
}

// termQuery finds the words of t, which are folded, in search_text. A prefix finds all words, however
// many there are, or fails: match_phrase_prefix would look at 50 only.
func termQuery(t store.Term) object {
	last := len(t.Words) - 1
	switch {
	case last == 0 && !t.Prefix:
		return object{"term": object{"search_text": t.Words[0]}}
	case last == 0:
		return object{"prefix": object{"search_text": object{"value": t.Words[0]}}}
	}
	clauses := make([]object, len(t.Words))
	for i, w := range t.Words {
		clauses[i] = object{"span_term": object{"search_text": w}}
	}
	if t.Prefix {
		clauses[last] = object{"span_multi": object{"match": object{"prefix": object{"search_text": object{"value": t.Words[last]}}}}}
	}
	return object{"span_near": object{"clauses": clauses, "slop": 0, "in_order": true}}
}
