package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

type setupFlags struct {
	deadLetters           string
	limits                rabbit.Limits
	keepMonths, ismMonths int
}

func (p Program) setup(c *common) *cobra.Command {
	var f setupFlags
	cmd := &cobra.Command{
		Use: "setup", Short: "Make the streams and the index template, where they are missing", Args: noArgs,
		Long: `setup makes the stream of records, that of dead letters, and a small one on which producers are told what
is stored (its name ends in _watermarks), in RabbitMQ, and puts the index template into OpenSearch; an older template and the mappings of existing indices are upgraded. It says what it
did, changes nothing that is in order, and may be run again at any time. What cannot be done is an
error, and the rest is done nevertheless.

Streams have no limits by default. RabbitMQ removes the oldest messages of a stream with limits whether
they were read or not: choose them longer than the longest outage. Limits of a stream that exists can
only be changed by a policy of RabbitMQ. The stream of dead letters has none.

OpenSearch keeps all records by default. --keep-months removes the indices of months that have been over for
longer, now: run it from a timer. --ism-months has the server do that by itself, where it has the plugin for
index state management. What is removed is gone.

With RABBITMQ_STREAM_PARTITIONS the stream of records is a super stream: records are spread by their
object, whose order is kept. The number of partitions is fixed for ever. A stream that somebody else has
made is used as it is; the account then needs no permission to declare.`,
		Example: "  auditlog setup --max-age 2160h --max-bytes 50000000000",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runSetup(cmd.Context(), c, f, p.Stdout)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.deadLetters, "dead-letters", consumer.DefaultDeadLetters, "stream for messages that cannot be stored")
	flags.DurationVar(&f.limits.MaxAge, "max-age", 0, "remove segments whose newest message is older, such as 2160h; 0 is no limit")
	flags.Int64Var(&f.limits.MaxBytes, "max-bytes", 0, "remove segments when the stream is larger; 0 is no limit")
	flags.Int64Var(&f.limits.SegmentBytes, "segment-bytes", 0, "size of a segment; 0 is the broker's default, 500 MB")
	flags.IntVar(&f.keepMonths, "keep-months", 0, "remove indices of months that have been over for so many months; 0 keeps all")
	flags.IntVar(&f.ismMonths, "ism-months", 0, "put a policy on OpenSearch by which it does the same; 0 is no policy")
	return cmd
}

func (f setupFlags) validate() error {
	var errs []error
	if f.limits.MaxAge < 0 || f.limits.MaxAge > 0 && f.limits.MaxAge < time.Second {
		errs = append(errs, fmt.Errorf("--max-age is %v, want 0 (no limit) or at least 1s", f.limits.MaxAge))
	}
	if f.limits.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("--max-bytes is %d, want 0 (no limit) or more", f.limits.MaxBytes))
	}
	if f.limits.SegmentBytes < 0 || f.limits.SegmentBytes > 3_000_000_000 {
		errs = append(errs, fmt.Errorf("--segment-bytes is %d, want 0 (default) to 3000000000", f.limits.SegmentBytes))
	}
	for name, n := range map[string]int{"--keep-months": f.keepMonths, "--ism-months": f.ismMonths} {
		if n < 0 || n > 1200 {
			errs = append(errs, fmt.Errorf("%s is %d, want 0 (keep all) to 1200", name, n))
		}
	}
	return errors.Join(errs...)
}

func runSetup(ctx context.Context, c *common, f setupFlags, out io.Writer) error {
	source, dead, target, err := pipelineConfig(c, f.deadLetters)
	if err := errors.Join(f.validate(), err); err != nil {
		return usage(err)
	}
	to, err := opensearch.New(target)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = to.Close() }()
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(out, format+"\n", args...) }
	err = setupStream(ctx, source, f.limits, say)
	if err == nil { // else the same would be said twice
		err = setupStream(ctx, dead, rabbit.Limits{}, say)
	}
	if err == nil && source.Partitions == 0 {
		err = setupStream(ctx, rabbit.WatermarksOf(source), rabbit.WatermarkLimits, say)
	}
	err2 := setupOpenSearch(ctx, to, say)
	return errors.Join(err, err2, retention(ctx, to, f, time.Now(), say))
}

// retention removes old months, or has the server do it.
func retention(ctx context.Context, to *opensearch.Store, f setupFlags, now time.Time, say func(string, ...any)) error {
	var errs []error
	if f.ismMonths > 0 {
		name, err := to.SetPolicy(ctx, f.ismMonths)
		if err == nil {
			say("policy %s: indices are removed after %d months", name, f.ismMonths)
		}
		errs = append(errs, err)
	}
	if f.keepMonths > 0 {
		year, month, _ := now.UTC().Date()
		before := time.Date(year, month-time.Month(f.keepMonths), 1, 0, 0, 0, 0, time.UTC)
		removed, err := to.DeleteBefore(ctx, before)
		for _, index := range removed {
			say("index %s: removed", index)
		}
		if err == nil && len(removed) == 0 {
			say("indices before %s: there are none", before.Format("2006.01"))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func setupStream(ctx context.Context, config rabbit.Config, limits rabbit.Limits, say func(string, ...any)) error {
	err := rabbit.Exists(ctx, config)
	missing := errors.Is(err, stream.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	if !missing && limits == (rabbit.Limits{}) {
		say("stream %s: is there", config.Stream)
		return nil
	}
	switch err := rabbit.Declare(ctx, config, limits); {
	case err != nil && !missing && errors.Is(err, rabbit.ErrAuthentication):
		say("stream %s: is there; user %s may not declare, so that its limits are not known", config.Stream, config.User)
		return nil
	case err != nil:
		return err
	case config.Partitions > 0 && missing:
		say("super stream %s: made, with %d partitions", config.Stream, config.Partitions)
	case missing:
		say("stream %s: made", config.Stream)
	default:
		say("stream %s: is there, with these limits", config.Stream)
	}
	return nil
}

func setupOpenSearch(ctx context.Context, to *opensearch.Store, say func(string, ...any)) error {
	version, err := to.Version(ctx)
	if err != nil {
		return err
	}
	say("opensearch %s: answers, cluster %s", version.Number, version.Cluster)
	report, err := to.Setup(ctx)
	switch {
	case report.Created:
		say("index template %s: made, version %d", report.Template, opensearch.SchemaVersion)
	case report.Upgraded:
		say("index template %s: upgraded to version %d", report.Template, opensearch.SchemaVersion)
	case err == nil:
		say("index template %s: is there, version %d", report.Template, opensearch.SchemaVersion)
	}
	for _, index := range report.Indices {
		say("index %s: mapping upgraded to version %d", index, opensearch.SchemaVersion)
	}
	for _, kept := range report.Kept {
		say("index %s: stays as it is, the next month's will be right: %s", kept.Index, kept.Reason)
	}
	return err
}
