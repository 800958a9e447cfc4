package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
)

// Orphan is a queue that another process has left. Read gives io.EOF at its end.
type Orphan interface {
	Queue
	Close() error
}

// Pool is a queue that knows of others that were left: a spool. Orphans gives them once, locked for
// the caller, who closes them.
type Pool[O Orphan] interface {
	Queue
	Orphans() ([]O, error)
}

// Service is a relay that runs in the background.
type Service struct {
	relay  *Relay
	cancel context.CancelFunc
	ended  sync.WaitGroup

	mu      sync.Mutex
	orphans uint64
	current *Relay // of the orphan that is being sent
	past    Stats  // the counters of those before
}

// Start relays the queue in the background, and every Config.OrphanInterval what other processes have
// left beside it, one after the other, each under its own producer name. The stream need not be there
// yet. Shutdown ends it.
func Start[O Orphan](pool Pool[O], dial DialFunc, config Config) (*Service, error) {
	r, err := New(pool, dial, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the life of the service, ended by Shutdown
	s := &Service{relay: r, cancel: cancel}
	s.ended.Go(func() { _ = r.Run(ctx) }) // always nil
	s.ended.Go(func() { s.runOrphans(ctx, func() ([]Orphan, error) { return widen(pool.Orphans()) }) })
	return s, nil
}

// RunOrphans relays what processes that have ended have left, one after the other, and looks for more
// every Config.OrphanInterval, until ctx ends; then it gives nil. It is for a process of its own: what
// running processes write is relayed by themselves.
func RunOrphans[O Orphan](ctx context.Context, find func() ([]O, error), dial DialFunc, config Config) error {
	o, err := NewOrphans(find, dial, config)
	if err != nil {
		return err
	}
	return o.Run(ctx)
}

// Orphans does what RunOrphans does, and says how it goes.
type Orphans struct {
	service *Service
	find    func() ([]Orphan, error)
}

// NewOrphans makes one; Run sets it going.
func NewOrphans[O Orphan](find func() ([]O, error), dial DialFunc, config Config) (*Orphans, error) {
	r, err := New(nil, dial, config)
	if err != nil {
		return nil, err
	}
	return &Orphans{service: &Service{relay: r}, find: func() ([]Orphan, error) { return widen(find()) }}, nil
}

// Run is RunOrphans.
func (o *Orphans) Run(ctx context.Context) error {
	o.service.runOrphans(ctx, o.find)
	return nil
}

// Done gives how many queues were sent to their end.
func (o *Orphans) Done() uint64 { return o.service.Orphans() }

// Stats gives the counters of all queues together, and the state of the one that is being sent: Connected,
// Blocked, Unconfirmed and ConfirmAge are zero while there is none.
func (o *Orphans) Stats() Stats {
	o.service.mu.Lock()
	defer o.service.mu.Unlock()
	if o.service.current == nil {
		return o.service.past
	}
	return o.service.past.and(o.service.current.Stats())
}

// and gives the counters of both, and the state of the later.
func (s Stats) and(later Stats) Stats {
	later.Sent += s.Sent
	later.Resent += s.Resent
	later.Confirmed += s.Confirmed
	later.Quarantined += s.Quarantined
	later.Connections += s.Connections
	later.Failures += s.Failures
	later.AbandonedNames += s.AbandonedNames
	if later.LastError == nil {
		later.LastError, later.LastErrorTime = s.LastError, s.LastErrorTime
	}
	return later
}

func widen[O Orphan](orphans []O, err error) ([]Orphan, error) {
	wide := make([]Orphan, len(orphans))
	for i, o := range orphans {
		wide[i] = o
	}
	return wide, err
}

func (s *Service) runOrphans(ctx context.Context, find func() ([]Orphan, error)) {
	config := s.relay.config
	for {
		orphans, err := find()
		if err != nil {
			config.Logger.ErrorContext(ctx, "relay: look for what other processes have left", slog.Any("error", err))
		}
		for _, o := range orphans {
			if ctx.Err() == nil {
				s.drain(ctx, o)
			}
			if err := o.Close(); err != nil {
				config.Logger.ErrorContext(ctx, "relay: close what another process has left", slog.String("producer", o.Producer()), slog.Any("error", err))
			}
		}
		if !sleep(ctx, config.OrphanInterval) {
			return
		}
	}
}

func (s *Service) drain(ctx context.Context, o Orphan) {
	config := s.relay.config
	r, err := New(o, s.relay.dial, config)
	if err != nil { // the configuration was good before
		config.Logger.ErrorContext(ctx, "relay: make a relay", slog.Any("error", err))
		return
	}
	config.Logger.InfoContext(ctx, "relay: sending what another process has left", slog.String("producer", o.Producer()))
	s.mu.Lock()
	s.current = r
	s.mu.Unlock()
	_ = r.Run(ctx) // always nil
	s.mu.Lock()
	s.current, s.past = nil, s.past.and(r.Stats())
	s.past.Connected, s.past.Blocked, s.past.Unconfirmed, s.past.ConfirmAge = false, false, 0, 0
	s.mu.Unlock()
	if last, err := o.Last(ctx); err == nil && o.Acknowledged() >= last {
		s.mu.Lock()
		s.orphans++
		s.mu.Unlock()
	}
}

// Flush waits until everything that is in the queue now is confirmed, or ctx ends; then it gives a
// *PendingError. It does not wait for what other processes have left.
func (s *Service) Flush(ctx context.Context) error { return s.relay.Flush(ctx) }

// Shutdown waits until everything in the queue is confirmed, or ctx ends, and stops. A *PendingError
// says how much stays in the queue. Stop writing before; close the queue afterwards. It may be called
// again.
func (s *Service) Shutdown(ctx context.Context) error {
	err := s.Flush(ctx)
	s.cancel()
	s.ended.Wait()
	var pending *PendingError
	if errors.As(err, &pending) { // confirms may have come at the last moment
		last, lastErr := s.relay.queue.Last(context.WithoutCancel(ctx))
		if done := s.relay.queue.Acknowledged(); lastErr == nil {
			if done >= last {
				return nil
			}
			pending.Pending = last - done
		}
	}
	return err
}

// Stats gives the numbers of the queue's own relay.
func (s *Service) Stats() Stats { return s.relay.Stats() }

// Orphans gives how many queues of other processes were sent to their end.
func (s *Service) Orphans() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.orphans
}
