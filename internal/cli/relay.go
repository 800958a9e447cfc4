package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/telemetry"
)

const envSpool = "AUDIT_SPOOL_DIR"

type relayFlags struct {
	spool    string
	listen   string
	interval time.Duration
	outbox   outboxFlags
	refill   string
	producer string
}

func (p Program) relay(c *common) *cobra.Command {
	var f relayFlags
	cmd := &cobra.Command{
		Use: "relay", Short: "Send what is in an outbox, or was left in a spool folder, until stopped", Args: noArgs,
		Long: `relay sends to the stream what processes that have ended left in the spool folder, and looks for
more from time to time. A process that runs sends what it writes itself; its part of the folder is
locked and left alone. So relay is for hosts on which an application may not start again.

It runs until SIGINT or SIGTERM. What is not confirmed stays in the folder.

With --refill it sends a range again that the stream has confirmed once, and ends: after a broker has
lost messages, or a store was restored to an older state. A spool keeps what was confirmed until it is
known to be in the store, or for its retention. The records go out under a producer name of their own,
as the broker would confirm and drop what comes again under the old one; the store has each once. The
application may run meanwhile.

With --listen it answers

  /healthz  200 while the process works
  /readyz   200 unless records wait and the broker takes none; else 503 and why
  /metrics  its numbers for Prometheus, as docs/metrics.md has them` + tracesHelp + outboxHelp,
		Example: "  auditlog relay --spool /var/lib/app/audit-spool\n" +
			"  auditlog relay --spool /var/lib/app/audit-spool --refill 1200-1500 --producer app/01a20fbe-49fa-7823-8e9b-074920432deb\n" +
			"  auditlog relay --spool /var/lib/app/audit-spool --refill 2026-11-24T10:00:00Z/2026-11-24T12:00:00Z\n" +
			"  auditlog relay --outbox postgres://relay@db/app --outbox-retention 24h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.refill != "" {
				return runRefill(cmd.Context(), c, f, p.Stdout)
			}
			if f.producer != "" {
				return usagef("--producer is %q, which goes with --refill only", f.producer)
			}
			if spool, asked := f.outbox.asked(c, f.spool); asked {
				f.outbox.listen = f.listen
				return p.runOutbox(cmd.Context(), c, f.outbox, spool)
			}
			return runRelay(cmd.Context(), c, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.spool, "spool", "", "the spool folder of the application; also "+envSpool)
	flags.StringVar(&f.refill, "refill", "", "send again: "+rangeHelp)
	flags.StringVar(&f.producer, "producer", "", "with --refill, only records of this producer, service/uuid")
	flags.DurationVar(&f.interval, "interval", time.Minute, "how often to look for more")
	flags.StringVar(&f.listen, "listen", "", "address to say at how it is, such as 127.0.0.1:8082; by default nowhere")
	f.outbox.add(cmd)
	return cmd
}

func runRelay(ctx context.Context, c *common, f relayFlags) error {
	target, err1 := rabbit.ConfigFromEnv(c.getenv)
	dir, err2 := spoolFolder(c, f.spool)
	var err3 error
	if f.interval <= 0 {
		err3 = fmt.Errorf("--interval is %v, want more than 0", f.interval)
	}
	if err := errors.Join(err1, err2, err3, checkListen(f.listen)); err != nil {
		return usage(err)
	}
	tell, err := observe(ctx, c, "auditlog-relay")
	if err != nil {
		return err
	}
	defer tell.stop(ctx, c)
	f.spool = dir
	config := spool.Config{Logger: c.log}
	c.log.InfoContext(ctx, "sends what is left", slog.String("spool", f.spool), slog.String("target", target.String()))
	find := func() ([]*spool.Spool, error) { return spool.Orphans(f.spool, config) }
	orphans, err := relay.NewOrphans(find, tell.Dial(rabbit.Dialer(target), streamOf(target)), relay.Config{Logger: c.log, OrphanInterval: f.interval})
	if err != nil {
		return err
	}
	if _, err := tell.Register(telemetry.Relay("", orphans)); err != nil {
		return err
	}
	err = tell.tellAt(ctx, c, f.listen, relayReady(orphans.Stats), orphans.Run)
	c.log.InfoContext(ctx, "relay has stopped")
	return err
}

// checkListen gives an error for what is no address to listen at.
func checkListen(address string) error {
	if address == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("--listen is %q, want host:port", address)
	}
	return nil
}

// streamOf gives the name of the stream that the relay sends to.
func streamOf(target rabbit.Config) string {
	if target.Stream == "" {
		return rabbit.DefaultStream
	}
	return target.Stream
}

// relayReady says what stands in the way of records that wait.
func relayReady(stats func() relay.Stats) func() error {
	return func() error {
		s := stats()
		if s.ConfirmAge > 0 && !s.Connected && s.LastError != nil {
			return fmt.Errorf("records have been waiting for %v: %w", s.ConfirmAge.Round(time.Second), s.LastError)
		}
		return nil
	}
}
