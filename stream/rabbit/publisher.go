package rabbit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	client "github.com/rabbitmq/rabbitmq-stream-go-client/pkg/stream"

	"github.com/gormtrail/audit/stream"
)

const (
	// maxFrame is the broker's default limit of a frame, less room for what AMQP adds to a message.
	maxFrame = 1<<20 - 256
	// A frame is as large as pays: more messages in it make nothing faster, and so many of 1 KB fit.
	frameMessages = 500
	frameBytes    = 768 << 10
	// codeFrameTooLarge is the code of a nack for a frame that was never sent.
	codeFrameTooLarge = 14
)

// Publisher is a stream.Publisher. It publishes with a raw producer of the client, as the
// reconnecting one gives newer sequences to the broker before it resends older ones, which the broker
// then takes for duplicates, confirms and drops.
type Publisher struct {
	failing

	config   Config
	env      *environment
	producer *client.Producer

	frames  chan []stream.Message // to the sending goroutine, which may block in a write
	results chan error
	ended   sync.WaitGroup

	confirmed chan uint64
	room      chan struct{} // the window has become smaller

	window  window
	lastSeq uint64
	lost    bool // the client has closed the producer itself
	closing sync.Once
}

// NewPublisher makes a publisher for the stream under the producer name, which must be its alone for
// ever; "" makes one without a name, whose repeated sequences are not dropped. ctx is for connecting
// only.
func NewPublisher(ctx context.Context, config Config, producerName string) (*Publisher, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	if config.Partitions > 0 {
		return nil, fmt.Errorf("rabbit: Config.Partitions is %d: a super stream has a SuperPublisher", config.Partitions)
	}
	if len(producerName) > 255 {
		return nil, fmt.Errorf("rabbit: producer name has %d bytes, want at most 255", len(producerName))
	}
	config = config.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, config.ConnectTimeout)
	defer cancel()
	env, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	options := client.NewProducerOptions().SetProducerName(producerName).SetClientProvidedName("audit-publisher").
		SetQueueSize(stream.MaxUnconfirmed + 2*frameMessages).
		// The owner watches over the confirms; this only bounds the client's memory of them.
		SetConfirmationTimeOut(time.Minute)
	producer, err := ask(ctx, env, func() (*client.Producer, error) { return env.NewProducer(config.Stream, options) }, func(*client.Producer) {})
	if err != nil {
		env.abandon()
		what := "write to stream " + config.Stream
		if producerName != "" {
			what += ", or to read it, which the sequence of a name needs"
		}
		return nil, config.explain(what, err)
	}
	p := &Publisher{
		config: config, env: env, producer: producer,
		frames: make(chan []stream.Message), results: make(chan error, 1), failing: failing{done: make(chan struct{})},
		confirmed: make(chan uint64, 1), room: make(chan struct{}, 1),
	}
	// The client loses confirms that come before it is told where to send them.
	confirms, closed := producer.NotifyPublishConfirmation(), producer.NotifyClose()
	p.ended.Add(2)
	go p.receive(confirms, closed)
	go p.send()
	return p, nil
}

// Publish implements stream.Publisher.
func (p *Publisher) Publish(ctx context.Context, messages []stream.Message) error {
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
	for start := 0; start < len(messages); {
		end, size := start, 0
		for end < len(messages) && end-start < frameMessages {
			n := framed(messages[end])
			if n > maxFrame || end > start && size+n > frameBytes {
				break
			}
			size += n
			end++
		}
		if end == start {
			m := messages[start]
			return &stream.TooLargeError{Seq: m.Seq, Size: len(m.Payload), Limit: maxFrame}
		}
		if err := p.publishFrame(ctx, messages[start:end]); err != nil {
			return err
		}
		start = end
	}
	return nil
}

func (p *Publisher) publishFrame(ctx context.Context, messages []stream.Message) error {
	if err := p.waitForRoom(ctx, len(messages)); err != nil {
		return err
	}
	p.mu.Lock()
	for _, m := range messages {
		p.window.add(m.Seq)
	}
	p.lastSeq = messages[len(messages)-1].Seq
	p.mu.Unlock()
	select {
	case p.frames <- messages:
	case <-p.done:
		return p.Err()
	case <-ctx.Done():
		return p.fail(fmt.Errorf("%w: publish: %w", stream.ErrClosed, ctx.Err()))
	}
	var err error
	select {
	case err = <-p.results:
	case <-p.done:
		return p.Err()
	case <-ctx.Done():
		return p.fail(fmt.Errorf("%w: publish: %w", stream.ErrClosed, ctx.Err()))
	}
	var tooLarge *stream.TooLargeError
	if errors.As(err, &tooLarge) {
		p.mu.Lock()
		p.window.drop(tooLarge.Seq)
		p.lastSeq = tooLarge.Seq - 1
		p.mu.Unlock()
		return tooLarge
	}
	if err != nil {
		return p.fail(fmt.Errorf("%w: publish: %w", stream.ErrClosed, err))
	}
	return nil
}

func (p *Publisher) waitForRoom(ctx context.Context, n int) error {
	for {
		p.mu.Lock()
		unconfirmed := p.window.len()
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

// send makes the calls that write: they block as long as the broker does not read, without a
// deadline, and even with the lock that closing needs.
func (p *Publisher) send() {
	defer p.ended.Done()
	for {
		select {
		case <-p.done:
			return
		case frame := <-p.frames:
			p.results <- p.sendFrame(frame)
		}
	}
}

// sendFrame writes the messages in one frame, or in more if the broker's limit asks for it.
func (p *Publisher) sendFrame(messages []stream.Message) error {
	err := p.producer.BatchSend(encodeFrame(messages))
	if !errors.Is(err, client.FrameTooLarge) {
		return err
	}
	if len(messages) == 1 {
		m := messages[0]
		return &stream.TooLargeError{Seq: m.Seq, Size: len(m.Payload), Limit: maxFrame}
	}
	half := len(messages) / 2
	if err := p.sendFrame(messages[:half]); err != nil {
		return err
	}
	return p.sendFrame(messages[half:])
}

// receive takes confirms all the time: while it does not, the client reads nothing from the socket,
// not even heartbeats.
func (p *Publisher) receive(confirms client.ChannelPublishConfirm, closed client.ChannelClose) {
	defer p.ended.Done()
	for confirms != nil || closed != nil {
		select {
		case statuses, ok := <-confirms:
			if !ok {
				confirms = nil
				continue
			}
			p.take(statuses)
		case e, ok := <-closed:
			if ok {
				p.mu.Lock()
				p.lost = true
				p.mu.Unlock()
				_ = p.fail(fmt.Errorf("%w: %s: %s", stream.ErrClosed, p.config.Host, e.Reason))
			}
			closed = nil
		}
	}
}

func (p *Publisher) take(statuses []*client.ConfirmationStatus) {
	var upTo uint64
	for _, status := range statuses {
		if status.IsConfirmed() {
			p.mu.Lock()
			upTo = max(upTo, p.window.confirm(uint64(status.GetPublishingId())))
			p.mu.Unlock()
			continue
		}
		if status.GetErrorCode() != codeFrameTooLarge { // that one Publish has from BatchSend already
			_ = p.fail(fmt.Errorf("%w: %s did not confirm message %d: code %d", stream.ErrClosed, p.config.Host, status.GetPublishingId(), status.GetErrorCode()))
		}
	}
	if upTo == 0 {
		return
	}
	select {
	case <-p.confirmed: // replaced by the newer one
	default:
	}
	p.confirmed <- upTo // has room: nobody else sends
	select {
	case p.room <- struct{}{}:
	default:
	}
}

// Confirmed implements stream.Publisher.
func (p *Publisher) Confirmed() <-chan uint64 { return p.confirmed }

// Close implements stream.Publisher.
func (p *Publisher) Close() error {
	p.closing.Do(func() {
		_ = p.fail(stream.ErrClosed)
		closeWithin(func() {
			p.mu.Lock()
			lost := p.lost
			p.mu.Unlock()
			if !lost {
				_ = p.producer.Close()
			}
			p.env.close()
			p.ended.Wait()
		})
	})
	return nil
}

// LastSeq gives the highest sequence that the server knows under the publisher's name; 0 if none. It
// reports what was written, not what is confirmed: fit to detect a lost or foreign queue, not to
// delete from one.
func (p *Publisher) LastSeq(ctx context.Context) (uint64, error) {
	seq, err := await(ctx, p.producer.GetLastPublishingId, func(int64) {})
	if err != nil {
		return 0, p.config.explain("ask for the last sequence", err)
	}
	return uint64(max(seq, 0)), nil
}

// framed gives the size of the message in a frame, or a little more.
func framed(m stream.Message) int {
	n := len(m.Payload) + len(m.ID) + 80
	for name, value := range m.Properties {
		n += len(name) + len(value) + 10
	}
	return n
}

// Dialer gives the function with which a relay makes publishers for the stream, or for the super stream
// if Config.Partitions is set.
func Dialer(config Config) func(ctx context.Context, producerName string) (stream.Publisher, error) {
	return func(ctx context.Context, producerName string) (stream.Publisher, error) {
		if config.Partitions > 0 {
			p, err := NewSuperPublisher(ctx, config, producerName)
			if err != nil {
				return nil, err // not a SuperPublisher that is nil
			}
			return p, nil
		}
		p, err := NewPublisher(ctx, config, producerName)
		if err != nil {
			return nil, err // not a Publisher that is nil
		}
		return p, nil
	}
}
