package memory

import (
	"context"
	"fmt"

	"github.com/gormtrail/audit/stream"
)

// Source is a stream.Source and a stream.Inspector.
type Source struct {
	stream  *Stream
	group   string
	options stream.SourceOptions
	done    chan struct{}

	// Guarded by stream.mu.
	started bool
	next    int64 // the offset to read next
	err     error
}

// Source makes a source. group is the name under which the stream keeps the committed offset.
func (s *Stream) Source(ctx context.Context, group string, options stream.SourceOptions) (*Source, error) {
	if group == "" {
		return nil, fmt.Errorf("memory: group is %q, want a name", group)
	}
	source := &Source{stream: s, group: group, options: options, done: make(chan struct{})}
	if err := s.register(ctx, source); err != nil {
		return nil, err
	}
	if !options.SingleActive {
		if err := source.start(ctx); err != nil {
			source.fail(err)
			return nil, err
		}
	}
	return source, nil
}

// start finds out where to begin.
func (s *Source) start(ctx context.Context) error {
	next, ok := int64(0), false
	if s.options.StartAt != nil {
		var err error
		if next, ok, err = s.options.StartAt(ctx); err != nil {
			return fmt.Errorf("memory: where to start: %w", err)
		}
		if ok && next < 0 {
			return fmt.Errorf("memory: SourceOptions.StartAt gave the offset %d, want 0 or more", next)
		}
	}
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	if !ok {
		if committed, known := s.stream.offsets[s.group]; known {
			next = committed + 1
		}
	}
	s.next, s.started = next, true
	return nil
}

// Read implements stream.Source.
func (s *Source) Read(ctx context.Context, limit int) ([]stream.Message, error) {
	if limit < 1 {
		return nil, fmt.Errorf("memory: Read of at most %d messages, want 1 or more", limit)
	}
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		batch, begin, changed, err := s.take(limit)
		if err != nil || len(batch) > 0 {
			return batch, err
		}
		if begin {
			if err := s.start(ctx); err != nil {
				s.fail(fmt.Errorf("%w: %w", stream.ErrClosed, err))
			}
			continue
		}
		select {
		case <-changed:
		case <-s.done:
		case <-ctx.Done():
		}
	}
}

// take gives what there is to read. begin says that the source has just become the active one.
func (s *Source) take(limit int) (batch []stream.Message, begin bool, changed <-chan struct{}, err error) {
	m := s.stream
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.err != nil {
		return nil, false, nil, s.err
	}
	if !s.started {
		if other := m.active[s.group]; other == nil || other == s {
			m.active[s.group] = s
			return nil, true, nil, nil
		}
		return nil, false, m.changed, nil
	}
	s.next = max(s.next, m.first)
	for int(s.next-m.first) < len(m.log) && len(batch) < limit {
		if e := m.log[s.next-m.first]; e.message != nil {
			batch = append(batch, *e.message)
		}
		s.next++
	}
	return batch, false, m.changed, nil
}

// Commit implements stream.Source.
func (s *Source) Commit(ctx context.Context, offset int64) error {
	if offset < 0 {
		return fmt.Errorf("memory: commit of the offset %d, want 0 or more", offset)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: commit: %w", err)
	}
	m := s.stream
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if committed, ok := m.offsets[s.group]; !ok || committed < offset {
		m.offsets[s.group] = offset
		m.log = append(m.log, entry{})
		m.signal()
	}
	return nil
}

// Committed implements stream.Inspector.
func (s *Source) Committed(context.Context) (offset int64, ok bool, err error) {
	s.stream.mu.Lock()
	defer s.stream.mu.Unlock()
	offset, ok = s.stream.offsets[s.group]
	return offset, ok, s.err
}

// Bounds implements stream.Inspector.
func (s *Source) Bounds(context.Context) (stream.Bounds, error) {
	m := s.stream
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.log) == 0 {
		return stream.Bounds{Empty: true}, s.err
	}
	return stream.Bounds{First: m.first, Last: m.first + int64(len(m.log)) - 1}, s.err
}

// Close implements stream.Source.
func (s *Source) Close() error {
	s.fail(stream.ErrClosed)
	return nil
}

func (s *Source) fail(err error) {
	m := s.stream
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.err != nil {
		return
	}
	s.err = err
	close(s.done)
	delete(m.ends, s)
	if m.active[s.group] == s {
		delete(m.active, s.group)
		m.signal()
	}
}
