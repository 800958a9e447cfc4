package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// errOther is why a document is a conflict.
var errOther = errors.New("opensearch: a record with this log_id and other content is stored already, and stays")

// compareChunk bounds how many stored records are read at once.
const compareChunk = 200

// compare settles items whose log_id is in the store already: the same content is a Duplicate, as it
// comes when a batch is sent again, other content is a Conflict.
func (w *write) compare(ctx context.Context, items []item) {
	for len(items) > 0 {
		n := min(len(items), compareChunk)
		stored, err := w.multiGet(ctx, items[:n])
		for i, it := range items[:n] {
			if err != nil {
				w.result(it, statusOf(err), err)
				continue
			}
			status, err := sameContent(w.docs[it.at].Record, stored[i])
			w.result(it, status, err)
		}
		items = items[n:]
	}
}

// sameContent compares a record with the stored one of the same id.
func sameContent(r event.Record, stored []byte) (store.Status, error) {
	if stored == nil {
		return store.Transient, errors.New("opensearch: the record that was said to be there is not")
	}
	old, err := recordIn(stored)
	if err != nil {
		return store.Conflict, fmt.Errorf("%w: %w", errOther, err)
	}
	have, err1 := event.ContentHash(old)
	want, err2 := event.ContentHash(r)
	if err := errors.Join(err1, err2); err != nil {
		return store.Conflict, fmt.Errorf("%w: %w", errOther, err)
	}
	if have == want {
		return store.Duplicate, nil
	}
	return store.Conflict, errOther
}

// multiGet gives the stored documents of items, nil for one that is not there. It sees what was
// written a moment ago, as a search would not.
func (w *write) multiGet(ctx context.Context, items []item) ([]json.RawMessage, error) {
	ids := make([]documentID, len(items))
	for i, it := range items {
		ids[i] = documentID{it.index, w.docs[it.at].Record.LogID}
	}
	return w.s.multiGet(ctx, ids)
}

// documentID is where a document is.
type documentID struct {
	Index string `json:"_index"`
	ID    string `json:"_id"`
}

func (s *Store) multiGet(ctx context.Context, ids []documentID) ([]json.RawMessage, error) {
	var v struct {
		Docs []struct {
			Found  bool            `json:"found"`
			Source json.RawMessage `json:"_source"`
			Error  *errorCause     `json:"error"`
		} `json:"docs"`
	}
	r := request{method: http.MethodPost, path: "/_mget", body: asJSON(map[string]any{"docs": ids})}
	if err := s.call(ctx, r, &v); err != nil {
		return nil, err
	}
	if len(v.Docs) != len(ids) {
		return nil, fmt.Errorf("opensearch: answer has %d documents for %d ids", len(v.Docs), len(ids))
	}
	sources := make([]json.RawMessage, len(ids))
	for i, d := range v.Docs {
		if d.Error != nil {
			return nil, &answerError{status: http.StatusServiceUnavailable, kind: d.Error.Type, reason: d.Error.text()}
		}
		if d.Found {
			sources[i] = d.Source
		}
	}
	return sources, nil
}
