package opensearch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"sync"
)

// SetupReport says what Setup did.
type SetupReport struct {
	// Template is the name of the index template.
	Template string
	// Created and Upgraded say that the template was made, or replaced by a newer version; else it
	// was there already.
	Created, Upgraded bool
	// Version is that of the template that is on the server now.
	Version int
	// Indices are the existing indices whose mapping was upgraded.
	Indices []string
	// Kept are existing indices that stay as they are, because a field of theirs cannot be changed.
	Kept []KeptIndex
}

// KeptIndex is an index whose mapping could not be upgraded. Records go on being written to it and found in
// it, but not by the fields that the server names in Reason. The index of the next month is right.
type KeptIndex struct{ Index, Reason string }

// Setup puts the index template on the server and upgrades the mapping of existing indices. It is
// idempotent, and never goes back to an older version: the error then wraps ErrNewer, and nothing is
// changed. It never takes anything away from an index that exists. It does not need to be called: an index that
// is missing is made with the same mapping when the first record of its month comes; but an index
// that somebody else makes has the right mapping only with the template.
func (s *Store) Setup(ctx context.Context) (SetupReport, error) {
	return s.setup(ctx, SchemaVersion)
}

func (s *Store) setup(ctx context.Context, version int) (SetupReport, error) {
	report := SetupReport{Template: s.names.alias()}
	have, found, err := s.templateVersion(ctx)
	if err != nil {
		return report, err
	}
	switch {
	case found && have > version:
		report.Version = have
		return report, fmt.Errorf("%w: index template %q has version %d, this program knows version %d: use a newer program", ErrNewer, report.Template, have, version)
	case !found || have < version:
		r := request{method: http.MethodPut, path: "/_index_template/" + report.Template, body: asJSON(s.names.templateBody(version))}
		if err := s.call(ctx, r, nil); err != nil {
			return report, fmt.Errorf("opensearch: put index template %s: %w", report.Template, unavailable(err))
		}
		report.Created, report.Upgraded = !found, found
	}
	report.Version = version
	err = s.upgradeMappings(ctx, version, &report)
	return report, err
}

func (s *Store) templateVersion(ctx context.Context) (version int, found bool, err error) {
	var v struct {
		Templates []struct {
			Template struct {
				Version int `json:"version"`
			} `json:"index_template"`
		} `json:"index_templates"`
	}
	err = s.call(ctx, request{method: http.MethodGet, path: "/_index_template/" + s.names.alias()}, &v)
	var answer *answerError
	switch {
	case errors.As(err, &answer) && answer.kind == "resource_not_found_exception":
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("opensearch: get index template %s: %w", s.names.alias(), unavailable(err))
	case len(v.Templates) == 0:
		return 0, false, nil
	}
	return v.Templates[0].Template.Version, true, nil
}

// upgradeMappings adds the fields of this version to indices of older ones. One that cannot be upgraded holds
// up no other.
func (s *Store) upgradeMappings(ctx context.Context, version int, report *SetupReport) error {
	open, _, err := s.list(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, index := range open {
		have, err := s.mappingVersion(ctx, index)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if have >= version {
			continue
		}
		r := request{method: http.MethodPut, path: "/" + index + "/_mapping", body: asJSON(mappingUpdate(version))}
		err = s.call(ctx, r, nil)
		var answer *answerError
		switch {
		case errors.As(err, &answer) && answer.status == http.StatusBadRequest && answer.kind == "illegal_argument_exception":
			report.Kept = append(report.Kept, KeptIndex{index, answer.reason})
		case err != nil:
			errs = append(errs, fmt.Errorf("opensearch: upgrade mapping of %s: %w", index, unavailable(err)))
		default:
			report.Indices = append(report.Indices, index)
		}
	}
	return errors.Join(errs...)
}

// mappingVersion gives the version of the mapping of an index; the error wraps ErrForeignIndex if it
// has none.
func (s *Store) mappingVersion(ctx context.Context, index string) (int, error) {
	var v map[string]struct {
		Mappings struct {
			Meta struct {
				Version int `json:"schema_version"`
			} `json:"_meta"`
		} `json:"mappings"`
	}
	// Not by _mapping, for which a writer would need one more right.
	r := request{method: http.MethodGet, path: "/" + index, query: url.Values{"filter_path": {"*.mappings._meta,error,status"}}}
	if err := s.call(ctx, r, &v); err != nil {
		return 0, fmt.Errorf("opensearch: get mapping of %s: %w", index, err)
	}
	for _, m := range v { // one, but under another name if index is an alias
		if m.Mappings.Meta.Version > 0 {
			return m.Mappings.Meta.Version, nil
		}
	}
	return 0, fmt.Errorf("%w: %q: move its documents away, or choose another index prefix", ErrForeignIndex, index)
}

// list gives the names of this store's indices, oldest first.
func (s *Store) list(ctx context.Context) (open, closed []string, err error) {
	var v struct {
		Indices []struct {
			Name       string   `json:"name"`
			Attributes []string `json:"attributes"`
		} `json:"indices"`
	}
	path := "/_resolve/index/" + s.names.patterns()[0] + "," + s.names.outOfRange() + "*"
	r := request{method: http.MethodGet, path: path, query: url.Values{"expand_wildcards": {"all"}}}
	if err := s.call(ctx, r, &v); err != nil {
		return nil, nil, fmt.Errorf("opensearch: list indices: %w", unavailable(err))
	}
	for _, index := range v.Indices {
		if _, ours := s.names.month(index.Name); !ours && index.Name != s.names.outOfRange() {
			continue
		}
		isClosed := false
		for _, a := range index.Attributes {
			isClosed = isClosed || a == "closed"
		}
		if isClosed {
			closed = append(closed, index.Name)
		} else {
			open = append(open, index.Name)
		}
	}
	return open, closed, nil
}

// indices remembers which indices were seen with a mapping of ours.
type indices struct {
	mu    sync.Mutex
	known map[string]bool
}

// ensure makes the index if it is not there. It asks each time, because an index that was removed
// meanwhile would be made again by the next bulk, and without the template it would have a mapping
// that the server guesses.
func (s *Store) ensure(ctx context.Context, index string) error {
	status, body, err := s.do(ctx, request{method: http.MethodHead, path: "/" + index})
	switch {
	case err != nil:
		return err
	case status == http.StatusOK:
		return s.check(ctx, index)
	case status != http.StatusNotFound:
		return errorOf(status, body)
	}
	put := request{method: http.MethodPut, path: "/" + index}
	// What the template gives needs no rights: naming an alias here would need one of its own.
	if version, found, err := s.templateVersion(ctx); err != nil || !found || version < SchemaVersion {
		put.body = asJSON(s.names.indexBody())
	}
	err = s.call(ctx, put, nil)
	var answer *answerError
	if errors.As(err, &answer) && answer.kind == "resource_already_exists_exception" {
		return s.check(ctx, index)
	}
	if err != nil {
		return err
	}
	s.log.InfoContext(ctx, "made index", slog.String("index", index))
	s.remember(index)
	return nil
}

// check refuses an index whose mapping is not ours, once per index.
func (s *Store) check(ctx context.Context, index string) error {
	s.mu.Lock()
	known := s.known[index]
	s.mu.Unlock()
	if known {
		return nil
	}
	if _, err := s.mappingVersion(ctx, index); err != nil {
		return err
	}
	s.remember(index)
	return nil
}

func (s *Store) forget(index string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, index)
}

func (s *Store) remember(index string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.known == nil {
		s.known = make(map[string]bool)
	}
	s.known[index] = true
}
