package relay

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Relay empties one queue into a stream.
type Relay struct {
	queue  Queue
	dial   DialFunc
	config Config

	mu      sync.Mutex
	stats   Stats
	highest uint64 // sequence up to which something was sent in this life
	warned  time.Time
	// bytesAllowed is Config.WindowBytes, or less after a connection on which nothing was confirmed in
	// time: on a slow line, so much may be under way that its confirm comes too late, again and again.
	bytesAllowed int
	since        time.Time       // from when on something waits and nothing was confirmed; zero: nothing waits
	abandoned    map[string]bool // producer names
	changed      chan struct{}   // closed and replaced when something is acknowledged
}

// New makes a relay; Run sets it going.
func New(queue Queue, dial DialFunc, config Config) (*Relay, error) {
	config = config.withDefaults()
	if err := config.validate(); err != nil {
		return nil, err
	}
	return &Relay{queue: queue, dial: dial, config: config, bytesAllowed: config.WindowBytes, changed: make(chan struct{})}, nil
}

// Run relays until ctx ends, and gives nil then; what is not confirmed stays in the queue. It also ends,
// with nil, when the queue says that no more will come and everything is acknowledged.
func (r *Relay) Run(ctx context.Context) error {
	pause := r.config.MinPause
	for {
		progress, err := r.session(ctx)
		switch {
		case errors.Is(err, errEnd), ctx.Err() != nil:
			return nil //nolint:nilerr // the end, not a failure
		case progress:
			pause = r.config.MinPause
		}
		r.failed(ctx, err, pause)
		if !sleep(ctx, pause/2+rand.N(pause/2+1)) { //nolint:gosec // spreads the load, is no secret
			return nil
		}
		pause = min(2*pause, r.config.MaxPause)
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// failed counts an error. It warns when the stream is lost, and then once a minute.
func (r *Relay) failed(ctx context.Context, err error, pause time.Duration) {
	waits := r.waits(ctx)
	r.mu.Lock()
	now := r.config.Now()
	loud := r.stats.Connected || now.Sub(r.warned) >= time.Minute
	if loud {
		r.warned = now
	}
	r.stats.Connected = false
	r.stats.Failures++
	r.stats.LastError, r.stats.LastErrorTime = err, now
	if errors.Is(err, ErrNoConfirm) {
		r.stats.Blocked = true
		r.bytesAllowed = max(r.bytesAllowed/4, minBytesAllowed)
	}
	r.stats.Unconfirmed = 0
	if waits && r.since.IsZero() {
		r.since = now
	}
	r.mu.Unlock()
	level := slog.LevelDebug
	if loud {
		level = slog.LevelWarn
	}
	r.config.Logger.Log(ctx, level, "relay: stream lost, trying again", slog.String("producer", r.queue.Producer()),
		slog.Any("error", err), slog.Duration("pause", pause))
}

// minBytesAllowed passes a line of 7 KB a second within the default Config.ConfirmTimeout.
const minBytesAllowed = 64 << 10

// allowed gives how many bytes may be unconfirmed now.
func (r *Relay) allowed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.bytesAllowed
}

// waits reports whether the queue has something to send.
func (r *Relay) waits(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.config.MinPause)
	defer cancel()
	last, err := r.queue.Last(ctx)
	return err != nil || last > r.queue.Acknowledged() // what cannot be asked may well wait
}

// Flush waits until everything that is in the queue now is acknowledged, or ctx ends; then it gives a
// *PendingError. Run must be running.
func (r *Relay) Flush(ctx context.Context) error {
	last, err := r.queue.Last(ctx)
	if err != nil {
		return err
	}
	// What is lost to damage is acknowledged by the queue itself.
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		r.mu.Lock()
		changed := r.changed
		r.mu.Unlock()
		done := r.queue.Acknowledged()
		if done >= last {
			return nil
		}
		select {
		case <-changed:
		case <-look.C:
		case <-ctx.Done():
			return &PendingError{Pending: last - done, Err: ctx.Err()}
		}
	}
}

// Stats are the numbers of a relay at one moment.
type Stats struct {
	// Connected says that there is a publisher, and nothing against it.
	Connected bool
	// Sent counts records handed to a publisher, Resent those among them that had been before, Confirmed
	// those the stream has confirmed, Quarantined those put aside because they are too large.
	Sent, Resent, Confirmed, Quarantined uint64
	// Unconfirmed is how many were sent on this connection and wait for a confirm.
	Unconfirmed int
	// ConfirmAge is for how long nothing was confirmed though something waited for it, with or without a
	// connection; 0 while nothing waits.
	ConfirmAge time.Duration
	// Blocked says that the broker takes connections and messages and confirms nothing, as one does that
	// is frozen or short of disk space: from the first time that Config.ConfirmTimeout has passed so
	// until the next confirm.
	Blocked bool
	// Connections counts publishers that were made, Failures those that failed or could not be made.
	Connections, Failures uint64
	// AbandonedNames counts producer names that were given up, because the broker knew a higher sequence
	// under them than the queue has: somebody else uses them, or the queue's files are older than they
	// should be. Look into it, even though nothing is lost.
	AbandonedNames uint64
	// LastError is the last failure, nil if there was none; it stays when the stream is found again.
	LastError     error
	LastErrorTime time.Time
}

// Stats gives the numbers of now.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	stats := r.stats
	if !r.since.IsZero() {
		stats.ConfirmAge = max(0, r.config.Now().Sub(r.since))
	}
	return stats
}
