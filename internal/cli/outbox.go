package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/telemetry"
)

const (
	envOutbox      = "AUDIT_OUTBOX_DSN"
	envOutboxTable = "AUDIT_OUTBOX_TABLE"
)

// Listener wakes the queue of an outbox when the database notifies.
type Listener interface {
	Wake() <-chan struct{}
	Close() error
}

type outboxFlags struct {
	address, table, refill string
	listen                 string // that of the command
	retention              time.Duration
	notify, renew          bool
}

const outboxHelp = `

With --outbox it relays the outbox table of an application's database instead, which the application has
made: sqlite:FILE, postgres://…, or mysql:user:password@tcp(host:port)/name. Several may run at a time; one
of them is active, the others take over when it is gone.

  --outbox-retention  keep what is confirmed for so long, for --outbox-refill
  --outbox-refill     send sequences, FROM-TO, again that the stream has lost, and stop
  --outbox-renew      give the outbox a new producer name, and stop: after the database was restored
                      from a backup or copied, before a relay runs`

func (f *outboxFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.address, "outbox", "", "the database with the outbox table; also "+envOutbox)
	flags.StringVar(&f.table, "outbox-table", "", "the outbox table, with or without a schema; also "+envOutboxTable+" ("+outbox.DefaultTable+")")
	flags.DurationVar(&f.retention, "outbox-retention", 0, "how long confirmed rows are kept")
	flags.BoolVar(&f.notify, "outbox-notify", false, "listen to what PostgreSQL notifies, if the application's outbox does notify")
	flags.StringVar(&f.refill, "outbox-refill", "", "send these sequences again, FROM-TO, and stop")
	flags.BoolVar(&f.renew, "outbox-renew", false, "give the outbox a new producer name, and stop")
}

// asked completes the flags from the environment, and reports whether an outbox is to be relayed. spool is
// set if a spool is asked for in the same way.
func (f *outboxFlags) asked(c *common, flag string) (spool string, asked bool) {
	spool = flag
	if f.address == "" && flag == "" {
		f.address, spool = c.getenv(envOutbox), c.getenv(envSpool)
	}
	if f.table == "" {
		f.table = c.getenv(envOutboxTable)
	}
	return spool, f.address != ""
}

// parseRange reads FROM-TO.
func parseRange(text string) (from, to uint64, err error) {
	first, last, ok := strings.Cut(text, "-")
	from, err1 := strconv.ParseUint(first, 10, 64)
	to, err2 := strconv.ParseUint(last, 10, 64)
	if !ok || err1 != nil || err2 != nil || from < 1 || to < from {
		return 0, 0, fmt.Errorf("--outbox-refill is %q, want FROM-TO, such as 1200-1900", text)
	}
	return from, to, nil
}

func (p Program) runOutbox(ctx context.Context, c *common, f outboxFlags, spool string) error {
	target, err1 := rabbit.ConfigFromEnv(c.getenv)
	dialector, err2 := p.dialector(f.address, "--outbox (or "+envOutbox+")")
	var err3, err4, err5 error
	if spool != "" {
		err3 = fmt.Errorf("--spool and --outbox (or %s and %s) are both set: run a relay for each", envSpool, envOutbox)
	}
	var from, to uint64
	if f.refill != "" {
		from, to, err4 = parseRange(f.refill)
	}
	if f.retention < 0 {
		err5 = fmt.Errorf("--outbox-retention is %v, want 0 or more", f.retention)
	}
	if err := errors.Join(err1, err2, err3, err4, err5, checkListen(f.listen)); err != nil {
		return usage(err)
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	raw, err := db.DB()
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { _ = raw.Close() }()
	o, err := outbox.New(db.WithContext(ctx), outbox.Config{Table: f.table, SkipMigrate: true, Logger: c.log})
	if err != nil {
		return err
	}
	switch {
	case f.renew:
		if err := o.Renew(ctx); err != nil {
			return err
		}
		s, err := o.Stats(ctx)
		if err == nil {
			_, err = fmt.Fprintf(p.Stdout, "the outbox %s is %s now\n", o.Table(), s.Producer)
		}
		return err
	case f.refill != "":
		return p.refillOutbox(ctx, c, o, target, from, to)
	}
	return p.relayOutbox(ctx, c, o, target, f)
}

func (p Program) refillOutbox(ctx context.Context, c *common, o *outbox.Outbox, target rabbit.Config, from, to uint64) error {
	queue, err := o.Refill(ctx, from, to)
	if err != nil {
		return err
	}
	carrier, err := relay.New(queue, rabbit.Dialer(target), relay.Config{Logger: c.log})
	if err != nil {
		return err
	}
	if err := carrier.Run(ctx); err != nil {
		return err
	}
	if done := queue.Acknowledged(); done < to {
		return fmt.Errorf("stopped after %d of %d records; begin again at %d", done+1-from, to+1-from, done+1)
	}
	_, err = fmt.Fprintf(p.Stdout, "%d records sent again, as %s\n", to+1-from, queue.Producer())
	return err
}

func (p Program) relayOutbox(ctx context.Context, c *common, o *outbox.Outbox, target rabbit.Config, f outboxFlags) error {
	config := outbox.QueueConfig{Retention: f.retention}
	if f.notify {
		if p.Listen == nil {
			return usagef("--outbox-notify: this program cannot listen")
		}
		l, err := p.Listen(f.address, o.Channel(), c.log)
		if err != nil {
			return usage(fmt.Errorf("--outbox-notify: %w", err))
		}
		defer func() { _ = l.Close() }()
		config.Wake = l.Wake()
	}
	queue, err := o.Queue(ctx, config)
	if err != nil {
		return err
	}
	c.log.InfoContext(ctx, "relays an outbox", slog.String("table", o.Table()), slog.String("producer", queue.Producer()), slog.String("target", target.String()))
	tell, err := observe(ctx, c, "auditlog-relay")
	if err != nil {
		return errors.Join(err, queue.Close())
	}
	defer tell.stop(ctx, c)
	carrier, err := relay.New(queue, tell.Dial(rabbit.Dialer(target), streamOf(target)), relay.Config{Logger: c.log})
	if err == nil {
		_, err = tell.Register(telemetry.Outbox(o), telemetry.Relay(queue.Producer(), carrier))
	}
	if err == nil {
		err = tell.tellAt(ctx, c, f.listen, relayReady(carrier.Stats), carrier.Run)
	}
	if cerr := queue.Close(); cerr != nil { // what is confirmed is sent again, and dropped
		c.log.WarnContext(ctx, "what is confirmed could not be saved", slog.Any("error", cerr))
	}
	c.log.InfoContext(ctx, "relay has stopped", slog.Uint64("confirmed", queue.Acknowledged()))
	return err
}
