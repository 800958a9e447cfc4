package rabbit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/rabbitmq/rabbitmq-stream-go-client/pkg/message"
	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/stream"
)

// SuperPublisher is a stream.Publisher of a super stream: a publisher per partition, all under one
// producer name. A record goes to the partition that the hash of its object's type and id gives, so
// that the records of one object keep their order. Sequences rise within each partition as they do
// within the queue, so that each partition drops by itself what is published again.
type SuperPublisher struct {
	failing

	partitions []stream.Publisher
	route      func(m stream.Message) int

	confirmed chan uint64
	room      chan struct{}
	ended     sync.WaitGroup

	lastSeq uint64              // only Publish uses it
	ahead   map[uint64]struct{} // handed over, though a message before them was too large

	open    []placed // unconfirmed, in order over all partitions
	upTo    []uint64 // confirmed, per partition
	closing sync.Once
}

// placed is a message in a partition.
type placed struct {
	seq       uint64
	partition int
}

// Partitions gives the names of the partitions of the super stream, in the order in which the hash
// counts them. The error wraps ErrPartitions if there are not Config.Partitions of them: with another
// number an object's records would go to another partition than those before.
func Partitions(ctx context.Context, config Config) ([]string, error) {
	var names []string
	err := do(ctx, config, "ask for the partitions of", func(env *client.Environment, name string) (err error) {
		names, err = partitions(env, name, config.Partitions)
		return err
	})
	return names, err
}

func partitions(env *client.Environment, name string, want int) ([]string, error) {
	names, err := env.QueryPartitions(name)
	if err == nil && len(names) == 0 {
		err = client.StreamDoesNotExist
	}
	if err == nil && len(names) != want {
		err = fmt.Errorf("%w: super stream %q has %d, Config.Partitions is %d", ErrPartitions, name, len(names), want)
	}
	return names, err
}

// NewSuperPublisher makes a publisher for the super stream, see NewPublisher. Config.Partitions must be
// set.
func NewSuperPublisher(ctx context.Context, config Config, producerName string) (*SuperPublisher, error) {
	if config.Partitions < 1 {
		return nil, fmt.Errorf("rabbit: Config.Partitions is %d, want how many partitions the super stream has", config.Partitions)
	}
	names, err := Partitions(ctx, config)
	if err != nil {
		return nil, err
	}
	ends := make([]stream.Publisher, len(names))
	errs := make([]error, len(names))
	var dialing sync.WaitGroup
	for i, name := range names {
		one := config
		one.Stream, one.Partitions = name, 0
		dialing.Go(func() { ends[i], errs[i] = Dialer(one)(ctx, producerName) })
	}
	dialing.Wait()
	if err := errors.Join(errs...); err != nil {
		closeAll(ends)
		return nil, err
	}
	return newSuperPublisher(ends, byObject(names)), nil
}

// newSuperPublisher makes one of the ends that the route numbers.
func newSuperPublisher(ends []stream.Publisher, route func(m stream.Message) int) *SuperPublisher {
	p := &SuperPublisher{
		partitions: ends, route: route, upTo: make([]uint64, len(ends)),
		confirmed: make(chan uint64, 1), room: make(chan struct{}, 1), failing: failing{done: make(chan struct{})},
		ahead: make(map[uint64]struct{}),
	}
	for i := range ends {
		p.ended.Go(func() { p.receive(i) })
	}
	return p
}

// byObject gives the routing by the object, with the hash that RabbitMQ's clients of other languages
// have.
func byObject(names []string) func(m stream.Message) int {
	strategy := client.NewHashRoutingStrategy(func(m message.StreamMessage) string { return m.(*keyed).key })
	return func(m stream.Message) int {
		objectType, objectID := event.Object(m.Payload)
		to, err := strategy.Route(&keyed{key: objectType + ":" + objectID}, names)
		if err != nil || len(to) != 1 { // only a message that is nil has no route
			return 0
		}
		return slices.Index(names, to[0])
	}
}

// keyed is a message that only has a routing key.
type keyed struct {
	encoded

	key string
}

// Publish implements stream.Publisher.
func (p *SuperPublisher) Publish(ctx context.Context, messages []stream.Message) error {
	if err := p.Err(); err != nil {
		return err
	}
	last := p.lastSeq
	for _, m := range messages {
		if m.Seq <= last {
			return fmt.Errorf("%w: %d after %d", stream.ErrOrder, m.Seq, last)
		}
		last = m.Seq
	}
	for len(messages) > 0 {
		n := min(len(messages), frameMessages*len(p.partitions), stream.MaxUnconfirmed)
		if i := slices.IndexFunc(messages[:n], func(m stream.Message) bool { return framed(m) > maxFrame }); i == 0 {
			m := messages[0]
			return &stream.TooLargeError{Seq: m.Seq, Size: len(m.Payload), Limit: maxFrame}
		} else if i > 0 {
			n = i
		}
		if err := p.publishPart(ctx, messages[:n]); err != nil {
			return err
		}
		messages = messages[n:]
	}
	return nil
}

// publishPart publishes messages that are within the limits.
func (p *SuperPublisher) publishPart(ctx context.Context, messages []stream.Message) error {
	if err := p.waitForRoom(ctx, len(messages)); err != nil {
		return err
	}
	parts := make([][]stream.Message, len(p.partitions))
	p.mu.Lock()
	for _, m := range messages {
		to := p.route(m)
		p.open = append(p.open, placed{m.Seq, to})
		if _, ok := p.ahead[m.Seq]; ok {
			delete(p.ahead, m.Seq)
			continue
		}
		parts[to] = append(parts[to], m)
	}
	p.lastSeq = messages[len(messages)-1].Seq
	p.mu.Unlock()
	errs := make([]error, len(parts))
	for i, part := range parts {
		if len(part) > 0 {
			errs[i] = p.partitions[i].Publish(ctx, part)
		}
	}
	var first *stream.TooLargeError
	stopped := make([]uint64, len(parts)) // sequences from which on a partition has nothing; 0: it has all
	for i, err := range errs {
		var tooLarge *stream.TooLargeError
		switch {
		case err == nil:
		case errors.As(err, &tooLarge):
			stopped[i] = tooLarge.Seq
			if first == nil || tooLarge.Seq < first.Seq {
				first = tooLarge
			}
		default:
			return p.fail(err)
		}
	}
	if first != nil {
		p.takeBack(first.Seq, stopped)
		return first
	}
	p.advance() // all may be confirmed already, if they were ahead
	return nil
}

// takeBack leaves the message with the sequence, and those behind it, to the next call of Publish,
// which will not hand over again what some partitions have.
func (p *SuperPublisher) takeBack(seq uint64, stopped []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.open) > 0 && p.open[len(p.open)-1].seq >= seq {
		at := p.open[len(p.open)-1]
		if from := stopped[at.partition]; from == 0 || at.seq < from {
			p.ahead[at.seq] = struct{}{}
		}
		p.open = p.open[:len(p.open)-1]
	}
	p.lastSeq = seq - 1
}

func (p *SuperPublisher) waitForRoom(ctx context.Context, n int) error {
	for {
		p.mu.Lock()
		unconfirmed := len(p.open)
		p.mu.Unlock()
		if unconfirmed == 0 || unconfirmed+n <= stream.MaxUnconfirmed {
			return nil
		}
		select {
		case <-p.room:
		case <-p.done:
			return p.Err()
		case <-ctx.Done():
			return p.fail(fmt.Errorf("%w: publish: %w", stream.ErrClosed, ctx.Err()))
		}
	}
}

// receive takes the confirms of one partition, and its end.
func (p *SuperPublisher) receive(partition int) {
	from := p.partitions[partition]
	for {
		select {
		case upTo := <-from.Confirmed():
			p.mu.Lock()
			p.upTo[partition] = max(p.upTo[partition], upTo)
			p.mu.Unlock()
			p.advance()
		case <-from.Done():
			_ = p.fail(from.Err())
			return
		case <-p.done:
			return
		}
	}
}

// advance tells the owner up to where all partitions together have confirmed.
func (p *SuperPublisher) advance() {
	p.mu.Lock()
	defer p.mu.Unlock()
	var done uint64
	for len(p.open) > 0 && p.open[0].seq <= p.upTo[p.open[0].partition] {
		done = p.open[0].seq
		p.open = p.open[1:]
	}
	if done == 0 {
		return
	}
	select {
	case <-p.confirmed: // replaced by the newer one
	default:
	}
	p.confirmed <- done // has room: nobody else sends, as mu is held
	select {
	case p.room <- struct{}{}:
	default:
	}
}

// Confirmed implements stream.Publisher.
func (p *SuperPublisher) Confirmed() <-chan uint64 { return p.confirmed }

// Close implements stream.Publisher.
func (p *SuperPublisher) Close() error {
	p.closing.Do(func() {
		_ = p.fail(stream.ErrClosed)
		closeAll(p.partitions)
		p.ended.Wait()
	})
	return nil
}

func closeAll(ends []stream.Publisher) {
	var closing sync.WaitGroup
	for _, one := range ends {
		if one != nil {
			closing.Go(func() { _ = one.Close() }) // always nil
		}
	}
	closing.Wait()
}

// LastSeq gives the highest sequence that any partition knows under the publisher's name, see
// Publisher.LastSeq.
func (p *SuperPublisher) LastSeq(ctx context.Context) (uint64, error) {
	highest := uint64(0)
	for _, one := range p.partitions {
		known, ok := one.(interface {
			LastSeq(ctx context.Context) (uint64, error)
		})
		if !ok {
			continue
		}
		seq, err := known.LastSeq(ctx)
		if err != nil {
			return 0, err
		}
		highest = max(highest, seq)
	}
	return highest, nil
}
