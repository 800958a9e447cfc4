package opensearch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/gormtrail/audit/checkpoint"
)

// checkpoints gives the index of the checkpoints: one small document for each stream and group.
func (n names) checkpoints() string { return n.prefix + "-checkpoints" }

// checkpointBody is the index of the checkpoints. The checkpoint itself is not looked into: each producer
// would become a field.
func checkpointBody() object {
	return object{
		"settings": object{"index": object{"number_of_shards": 1, "auto_expand_replicas": "0-1"}},
		"mappings": object{
			"dynamic": "strict",
			"properties": object{
				"stream": object{"type": "keyword"}, "group": object{"type": "keyword"}, "offset": object{"type": "long"},
				"at": object{"type": "date"}, "checkpoint": object{"type": "object", "enabled": false},
			},
		},
	}
}

func (n names) checkpointPath(stream, group string) string {
	return "/" + n.checkpoints() + "/_doc/" + url.PathEscape(group+"@"+stream)
}

// Save keeps the checkpoint in place of the one before of its stream and group, in the index
// <prefix>-checkpoints. It makes the index if it is not there. The error wraps checkpoint.ErrForbidden if the
// user has not the right to, and store.ErrUnavailable for all else that the server does.
func (s *Store) Save(ctx context.Context, c checkpoint.Checkpoint) error {
	if err := s.ensureCheckpoints(ctx); err != nil {
		return fmt.Errorf("opensearch: make index %s: %w", s.names.checkpoints(), refused(err))
	}
	data, err := checkpoint.Encode(c)
	if err != nil {
		return err
	}
	body := object{"stream": c.Stream, "group": c.Group, "offset": c.Offset, "at": c.At.UnixMilli(), "checkpoint": json.RawMessage(data)}
	r := request{method: http.MethodPut, path: s.names.checkpointPath(c.Stream, c.Group), body: asJSON(body)}
	if err := s.call(ctx, r, nil); err != nil {
		return fmt.Errorf("opensearch: save the checkpoint of %s@%s: %w", c.Group, c.Stream, refused(err))
	}
	return nil
}

// Load gives the checkpoint that was saved last for the stream and the group; ok is false if there is
// none. Errors are those of Save, and checkpoint.ErrFormat.
func (s *Store) Load(ctx context.Context, stream, group string) (c checkpoint.Checkpoint, ok bool, err error) {
	var v struct {
		Source struct {
			Checkpoint json.RawMessage `json:"checkpoint"`
		} `json:"_source"`
	}
	err = s.call(ctx, request{method: http.MethodGet, path: s.names.checkpointPath(stream, group)}, &v)
	var answer *answerError
	if errors.As(err, &answer) && answer.status == http.StatusNotFound {
		return checkpoint.Checkpoint{}, false, nil
	}
	if err != nil {
		return checkpoint.Checkpoint{}, false, fmt.Errorf("opensearch: load the checkpoint of %s@%s: %w", group, stream, refused(err))
	}
	if c, err = checkpoint.Decode(v.Source.Checkpoint); err != nil {
		return checkpoint.Checkpoint{}, false, fmt.Errorf("opensearch: the checkpoint of %s@%s: %w", group, stream, err)
	}
	return c, true, nil
}

// refused marks the refusal of the credentials, and all else as unavailable.
func refused(err error) error {
	var answer *answerError
	if errors.As(err, &answer) && answer.status == http.StatusForbidden {
		return fmt.Errorf("%w: %w", checkpoint.ErrForbidden, err)
	}
	return unavailable(err)
}

// ensureCheckpoints makes the index once per process.
func (s *Store) ensureCheckpoints(ctx context.Context) error {
	index := s.names.checkpoints()
	s.mu.Lock()
	known := s.known[index]
	s.mu.Unlock()
	if known {
		return nil
	}
	status, body, err := s.do(ctx, request{method: http.MethodHead, path: "/" + index})
	if err != nil {
		return err
	}
	switch status {
	case http.StatusOK:
	case http.StatusNotFound:
		err := s.call(ctx, request{method: http.MethodPut, path: "/" + index, body: asJSON(checkpointBody())}, nil)
		var answer *answerError
		if err != nil && (!errors.As(err, &answer) || answer.kind != "resource_already_exists_exception") {
			return err
		}
	default:
		return errorOf(status, body)
	}
	s.remember(index)
	return nil
}
