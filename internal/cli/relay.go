package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
)

const envSpool = "AUDIT_SPOOL_DIR"

type relayFlags struct {
	spool    string
	interval time.Duration
	outbox   outboxFlags
}

func (p Program) relay(c *common) *cobra.Command {
	var f relayFlags
	cmd := &cobra.Command{
		Use: "relay", Short: "Send what is in an outbox, or was left in a spool folder, until stopped", Args: noArgs,
		Long: `relay sends to the stream what processes that have ended left in the spool folder, and looks for
more from time to time. A process that runs sends what it writes itself; its part of the folder is
locked and left alone. So relay is for hosts on which an application may not start again.

It runs until SIGINT or SIGTERM. What is not confirmed stays in the folder.` + outboxHelp,
		Example: "  auditlog relay --spool /var/lib/app/audit-spool\n  auditlog relay --outbox postgres://relay@db/app --outbox-retention 24h",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if spool, asked := f.outbox.asked(c, f.spool); asked {
				return p.runOutbox(cmd.Context(), c, f.outbox, spool)
			}
			return runRelay(cmd.Context(), c, f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.spool, "spool", "", "the spool folder of the application; also "+envSpool)
	flags.DurationVar(&f.interval, "interval", time.Minute, "how often to look for more")
	f.outbox.add(cmd)
	return cmd
}

func runRelay(ctx context.Context, c *common, f relayFlags) error {
	if f.spool == "" {
		f.spool = c.getenv(envSpool)
	}
	target, err1 := rabbit.ConfigFromEnv(c.getenv)
	var err2, err3 error
	if f.spool == "" {
		err2 = fmt.Errorf("which spool? set --spool or %s to the spool folder of the application, or --outbox to its database", envSpool)
	} else if info, err := os.Stat(f.spool); err != nil {
		err2 = fmt.Errorf("--spool (or %s): %w", envSpool, err)
	} else if !info.IsDir() {
		err2 = fmt.Errorf("--spool (or %s) is %q, which is no folder", envSpool, f.spool)
	}
	if f.interval <= 0 {
		err3 = fmt.Errorf("--interval is %v, want more than 0", f.interval)
	}
	if err := errors.Join(err1, err2, err3); err != nil {
		return usage(err)
	}
	config := spool.Config{Logger: c.log}
	c.log.InfoContext(ctx, "sends what is left", slog.String("spool", f.spool), slog.String("target", target.String()))
	find := func() ([]*spool.Spool, error) { return spool.Orphans(f.spool, config) }
	err := relay.RunOrphans(ctx, find, rabbit.Dialer(target), relay.Config{Logger: c.log, OrphanInterval: f.interval})
	c.log.InfoContext(ctx, "relay has stopped")
	return err
}
