// Package pgnotify wakes the queue of an outbox in PostgreSQL when a transaction has committed that wrote
// into it with outbox.Config.Notify, instead of at its next look. It is a package of its own because it
// imports the driver pgx.
//
// # Delivery
//
// A notification is a hint: the queue polls all the same, and what is lost while there is no connection
// costs a pause.
//
// # Errors
//
// A connection that is lost is made again every second, and logged once.
//
// # Concurrency
//
// A Listener has one goroutine, which Close ends.
//
// # Limits
//
// It keeps a connection to the server itself: a pooler that gives connections by the transaction does not
// pass notifications on.
package pgnotify

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrAddress is returned by Listen if the address cannot be read.
var ErrAddress = errors.New("pgnotify: the address is neither a URL postgres://… nor a list of keyword=value")

// pause is how long it waits before it connects again.
const pause = time.Second

// Listener listens on a channel.
type Listener struct {
	config  *pgx.ConnConfig
	channel string
	log     *slog.Logger
	wake    chan struct{}
	cancel  context.CancelFunc
	ended   sync.WaitGroup
}

// Listen connects to PostgreSQL by dsn, in the background, and listens on the channel, which
// outbox.Outbox.Channel gives. Wake goes into outbox.QueueConfig. log may be nil; then it is slog.Default.
func Listen(dsn, channel string, log *slog.Logger) (*Listener, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		// The driver's error quotes the address, and with it the password.
		return nil, ErrAddress
	}
	if log == nil {
		log = slog.Default()
	}
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // the life of the listener, ended by Close
	l := &Listener{config: config, channel: channel, log: log, wake: make(chan struct{}, 1), cancel: cancel}
	l.ended.Go(func() { l.run(ctx) })
	return l, nil
}

// Wake receives after notifications, and when the connection was made.
func (l *Listener) Wake() <-chan struct{} { return l.wake }

// Close ends the listening. It may be called again.
func (l *Listener) Close() error {
	l.cancel()
	l.ended.Wait()
	return nil
}

func (l *Listener) run(ctx context.Context) {
	for warned := false; ; warned = true {
		err := l.listen(ctx)
		if ctx.Err() != nil {
			return
		}
		if !warned {
			l.log.WarnContext(ctx, "pgnotify: not listening, trying again", slog.String("channel", l.channel), slog.Any("error", err))
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}

func (l *Listener) listen(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), pause)
		defer cancel()
		_ = conn.Close(ctx) // it only listened
	}()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{l.channel}.Sanitize()); err != nil {
		return err
	}
	for {
		select {
		case l.wake <- struct{}{}:
		default:
		}
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
	}
}
