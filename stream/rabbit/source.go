package rabbit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/amqp"
	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/stream"
)

// DefaultBuffer and DefaultBufferBytes are how many messages a source reads ahead, and how many bytes of
// them; DefaultCredits is how many chunks are on their way besides.
const (
	DefaultBuffer      = 2000
	DefaultBufferBytes = 16 << 20
	DefaultCredits     = 10
)

// Source is a stream.Source and a stream.Inspector.
type Source struct {
	config   Config
	group    string
	since    time.Time // where to begin, if it is not zero: see Since
	env      *environment
	consumer *client.Consumer

	messages chan stream.Message
	room     room
	done     chan struct{}
	calls    chan struct{} // holds one token: one call at a time goes to the client
	ended    sync.WaitGroup

	mu      sync.Mutex
	err     error // not nil: done is closed
	closing sync.Once
}

// NewSource makes a source for the stream. group is the name under which the server keeps the
// committed offset. ctx is for connecting only.
func NewSource(ctx context.Context, config Config, group string, options stream.SourceOptions) (*Source, error) {
	return newSource(ctx, config, group, options, time.Time{})
}

func newSource(ctx context.Context, config Config, group string, options stream.SourceOptions, since time.Time) (*Source, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Partitions > 0 {
		return nil, fmt.Errorf("rabbit: Config.Partitions is %d: make a source for each of the Partitions", config.Partitions)
	}
	if group == "" || len(group) > 255 {
		return nil, fmt.Errorf("rabbit: group is %q, want 1 to 255 bytes", group)
	}
	options, err := withDefaults(options)
	if err != nil {
		return nil, err
	}
	config = config.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	env, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Source{
		config: config, group: group, since: since, env: env, room: room{most: options.BufferBytes, made: make(chan struct{}, 1)},
		messages: make(chan stream.Message, options.Buffer), done: make(chan struct{}), calls: make(chan struct{}, 1),
	}
	consumer, err := s.subscribe(ctx, options)
	if err != nil {
		env.abandon()
		return nil, err
	}
	s.consumer = consumer
	closed := consumer.NotifyClose()
	// A connection that broke before that line will never be reported: ask on it.
	_, err = await(ctx, consumer.QueryOffset, func(int64) {})
	if err != nil && !errors.Is(err, client.OffsetNotFoundError) {
		_ = s.Close()
		return nil, config.explain("read from stream "+config.Stream, err)
	}
	s.ended.Add(1)
	go func() {
		defer s.ended.Done()
		if e, ok := <-closed; ok {
			s.fail(fmt.Errorf("%w: %s: %s", stream.ErrClosed, config.Host, e.Reason))
		}
	}()
	return s, nil
}

// withDefaults gives the options with what is not set.
func withDefaults(o stream.SourceOptions) (stream.SourceOptions, error) {
	for _, f := range []struct {
		name   string
		value  *int
		preset int
	}{
		{"Buffer", &o.Buffer, DefaultBuffer},
		{"BufferBytes", &o.BufferBytes, DefaultBufferBytes},
		{"Credits", &o.Credits, DefaultCredits},
	} {
		if *f.value < 0 || *f.value > math.MaxInt32 || f.name == "Credits" && *f.value > math.MaxInt16 {
			return o, fmt.Errorf("rabbit: SourceOptions.%s is %d, want 0 (default, %d) or more, and Credits at most %d", f.name, *f.value, f.preset, math.MaxInt16)
		}
		if *f.value == 0 {
			*f.value = f.preset
		}
	}
	return o, nil
}

func (s *Source) subscribe(ctx context.Context, options stream.SourceOptions) (*client.Consumer, error) {
	settings := client.NewConsumerOptions().SetConsumerName(s.group).SetClientProvidedName("audit-source").
		SetManualCommit().SetCRCCheck(true).SetInitialCredits(int16(options.Credits))
	if options.SingleActive {
		wasActive := false
		// Called on the goroutine that reads the consumer's socket.
		update := func(_ string, active bool) client.OffsetSpecification {
			if !active {
				if wasActive { // what was read ahead now comes to another source
					s.fail(fmt.Errorf("%w: another source of the group %q has become active", stream.ErrClosed, s.group))
				}
				return client.OffsetSpecification{}.Next()
			}
			wasActive = true
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.ConnectTimeout)
			defer cancel()
			start, err := s.start(ctx, options)
			if err != nil {
				s.fail(fmt.Errorf("%w: %w", stream.ErrClosed, err))
				return client.OffsetSpecification{}.Next()
			}
			return start
		}
		settings.SetSingleActiveConsumer(client.NewSingleActiveConsumer(update)).SetOffset(client.OffsetSpecification{}.First())
	} else {
		start, err := s.start(ctx, options)
		if err != nil {
			return nil, err
		}
		settings.SetOffset(start)
	}
	consumer, err := ask(ctx, s.env, func() (*client.Consumer, error) {
		return s.env.NewConsumer(s.config.Stream, s.handle, settings)
	}, func(*client.Consumer) { s.fail(stream.ErrClosed) })
	if err != nil {
		s.fail(stream.ErrClosed) // releases a handler of a consumer that is still being made
		return nil, s.config.explain("read from stream "+s.config.Stream, err)
	}
	return consumer, nil
}

// start says where to begin. The broker takes an offset that does not exist as the next one that
// does; stored + 1 need not exist.
func (s *Source) start(ctx context.Context, options stream.SourceOptions) (client.OffsetSpecification, error) {
	var begin client.OffsetSpecification
	if !s.since.IsZero() {
		return begin.Timestamp(s.since.UnixMilli()), nil
	}
	if options.StartAt != nil {
		offset, ok, err := options.StartAt(ctx)
		if err != nil {
			return begin, fmt.Errorf("rabbit: where to start: %w", err)
		}
		if ok && offset < 0 {
			return begin, fmt.Errorf("rabbit: SourceOptions.StartAt gave the offset %d, want 0 or more", offset)
		}
		if ok {
			return begin.Offset(offset), nil
		}
	}
	offset, ok, err := s.Committed(ctx)
	if err != nil {
		return begin, err
	}
	if !ok {
		return begin.First(), nil
	}
	return begin.Offset(offset + 1), nil
}

// handle runs on the consumer's goroutine. While it blocks, the broker gets no more credit.
func (s *Source) handle(c client.ConsumerContext, m *amqp.Message) {
	select {
	case <-s.done:
		return
	default:
	}
	message := decode(c.Consumer.GetOffset(), m)
	if !s.room.take(len(message.Payload), s.done) {
		return
	}
	select {
	case s.messages <- message:
	case <-s.done:
	}
}

// room bounds the bytes that wait to be read.
type room struct {
	most int
	made chan struct{} // has a token after some were read

	mu    sync.Mutex
	bytes int
}

// take waits until there is room for n bytes; any number has room alone. It is false when done is closed.
func (r *room) take(n int, done <-chan struct{}) bool {
	for {
		r.mu.Lock()
		fits := r.bytes == 0 || r.bytes+n <= r.most
		if fits {
			r.bytes += n
		}
		r.mu.Unlock()
		if fits {
			return true
		}
		select {
		case <-r.made:
		case <-done:
			return false
		}
	}
}

func (r *room) give(n int) {
	r.mu.Lock()
	r.bytes -= n
	r.mu.Unlock()
	select {
	case r.made <- struct{}{}:
	default:
	}
}

// Read implements stream.Source.
func (s *Source) Read(ctx context.Context, limit int) ([]stream.Message, error) {
	if err := s.failed(); err != nil {
		return nil, err
	}
	if limit < 1 {
		return nil, fmt.Errorf("rabbit: Read of at most %d messages, want 1 or more", limit)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var batch []stream.Message
	select {
	case m := <-s.messages:
		batch = append(make([]stream.Message, 0, min(limit, len(s.messages)+1)), m)
	case <-s.done:
		return nil, s.failed()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	size := len(batch[0].Payload)
	defer func() { s.room.give(size) }()
	for len(batch) < limit && size < s.room.most {
		select {
		case m := <-s.messages:
			batch = append(batch, m)
			size += len(m.Payload)
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// Commit implements stream.Source.
func (s *Source) Commit(ctx context.Context, offset int64) error {
	if offset < 0 {
		return fmt.Errorf("rabbit: commit of the offset %d, want 0 or more", offset)
	}
	_, err := s.call(ctx, "commit", func() (int64, error) { return 0, s.consumer.StoreCustomOffset(offset) })
	return err
}

// Committed implements stream.Inspector.
func (s *Source) Committed(ctx context.Context) (offset int64, ok bool, err error) {
	offset, err = s.call(ctx, "ask for the committed offset", func() (int64, error) {
		return s.env.QueryOffset(s.group, s.config.Stream)
	})
	if errors.Is(err, client.OffsetNotFoundError) {
		return 0, false, nil
	}
	return offset, err == nil, err
}

// Bounds implements stream.Inspector.
func (s *Source) Bounds(ctx context.Context) (stream.Bounds, error) {
	var stats *client.StreamStats
	_, err := s.call(ctx, "ask for the statistics", func() (_ int64, err error) {
		stats, err = s.env.StreamStats(s.config.Stream)
		return 0, err
	})
	if err != nil {
		return stream.Bounds{}, err
	}
	first, err := stats.FirstOffset()
	if err != nil { // the client's only error here: there is none
		return stream.Bounds{Empty: true}, nil //nolint:nilerr // no offset is an empty stream
	}
	last, err := stats.CommittedChunkId()
	if err != nil {
		return stream.Bounds{Empty: true}, nil //nolint:nilerr // nothing committed is an empty stream
	}
	return stream.Bounds{First: first, Last: last}, nil
}

// Replicas gives how many nodes of the cluster have the stream.
func (s *Source) Replicas(ctx context.Context) (int, error) {
	n, err := s.call(ctx, "ask for the replicas", func() (n int64, err error) {
		defer func() { // the client (1.8.2) takes it for granted that there is an answer
			if v := recover(); v != nil {
				err = fmt.Errorf("the server gave no metadata: %v", v)
			}
		}()
		data, err := s.env.StreamMetaData(s.config.Stream)
		if err != nil {
			return 0, err
		}
		return int64(1 + len(data.Replicas)), nil
	})
	return int(n), err
}

// call makes one call to the client, which may hang. As long as one hangs, no other begins.
func (s *Source) call(ctx context.Context, what string, f func() (int64, error)) (int64, error) {
	if err := s.failed(); err != nil {
		return 0, err
	}
	select {
	case s.calls <- struct{}{}:
	case <-s.done:
		return 0, s.failed()
	case <-ctx.Done():
		return 0, fmt.Errorf("rabbit: %s: %w", what, ctx.Err())
	}
	value, err := ask(ctx, s.env, func() (int64, error) {
		defer func() { <-s.calls }()
		return f()
	}, func(int64) {})
	if err != nil {
		return 0, s.config.explain(what, err)
	}
	return value, nil
}

func (s *Source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
		close(s.done)
	}
}

func (s *Source) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Close implements stream.Source.
func (s *Source) Close() error {
	s.closing.Do(func() {
		s.fail(stream.ErrClosed)
		closeWithin(func() {
			_ = s.consumer.Close()
			s.env.close()
			s.ended.Wait()
		})
	})
	return nil
}

func decode(offset int64, m *amqp.Message) stream.Message {
	out := stream.Message{Offset: offset, Payload: m.GetData()}
	if len(m.Data) > 1 { // one body in several sections
		out.Payload = nil
		for _, section := range m.Data {
			out.Payload = append(out.Payload, section...)
		}
	}
	switch value := m.Value.(type) { // other producers may write the body as a value
	case string:
		out.Payload = []byte(value)
	case []byte:
		out.Payload = value
	}
	if m.Properties != nil && m.Properties.MessageID != nil {
		out.ID = fmt.Sprint(m.Properties.MessageID)
	}
	if len(m.ApplicationProperties) > 0 {
		out.Properties = make(map[string]string, len(m.ApplicationProperties))
		for name, value := range m.ApplicationProperties {
			out.Properties[name] = fmt.Sprint(value)
		}
	}
	return out
}
