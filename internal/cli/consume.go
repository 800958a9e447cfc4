package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
	"github.com/gormtrail/audit/telemetry"
)

type consumeFlags struct {
	name, group, deadLetters, listen string
	batchSize, maxInFlight           int
	batchAge, acceptPoison           time.Duration
	readyMaxLag                      int64
	singleActive, watermarks         bool
}

func (p Program) consume(c *common) *cobra.Command {
	var f consumeFlags
	cmd := &cobra.Command{
		Use: "consume", Short: "Carry records from the stream into OpenSearch, until stopped", Args: noArgs,
		Long: `consume reads the stream and writes each record to OpenSearch, in bulk and once.

It runs until SIGINT or SIGTERM, finishes what it is writing and exits with 0. Whatever is not there
(broker, streams, OpenSearch) or refuses (credentials, a full disk) is waited for and said in the log;
nothing is lost meanwhile, because the offset stays. A message that is no record, or that OpenSearch
will never take, goes to the stream of dead letters with the reason.

The broker keeps the offset under the name of the group. Of several consumers of one group one is
active, and another takes over when it goes. With RABBITMQ_STREAM_PARTITIONS the stream is a super
stream, whose partitions are all read, and each has its active consumer. The account needs the right to
read the stream, and to write to that of dead letters and that of watermarks; none to declare anything.

If most records would become dead letters, it suspends itself, because then a mapping, a version or a server
is wrong rather than the records: the state is "suspended", a few of the records are in the dead letters to
be looked at, and it goes on by itself when OpenSearch takes them. If they are to become dead letters,
--accept-poison says so for a while, such as 30m.

With --listen it answers

  /healthz  200 while the process works, whatever it waits for; else a restart is what helps
  /readyz   200 while it is connected, OpenSearch answers, and it is not too far behind; else 503 and why
  /stats    its numbers, as JSON
  /metrics  its numbers for Prometheus, as docs/metrics.md has them` + tracesHelp,
		Example: "  auditlog consume --consumer-name worker-01 --listen 127.0.0.1:8081",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runConsume(cmd.Context(), c, f)
		},
	}
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "consumer"
	}
	flags := cmd.Flags()
	flags.StringVar(&f.name, "consumer-name", host, "label of this consumer in logs; by default the name of the host")
	flags.StringVar(&f.group, "group", consumer.DefaultGroup, "name under which the broker keeps the offset")
	flags.StringVar(&f.deadLetters, "dead-letters", consumer.DefaultDeadLetters, "stream for messages that cannot be stored")
	flags.BoolVar(&f.watermarks, "watermarks", true, "tell the producers what is stored, on the stream with _watermarks behind its name; none for super streams")
	flags.StringVar(&f.listen, "listen", "", "address to say at how it is, such as 127.0.0.1:8081; by default nowhere")
	flags.Int64Var(&f.readyMaxLag, "ready-max-lag", 100_000, "with more messages than these to be written it is not ready; 0 is no limit")
	flags.IntVar(&f.maxInFlight, "max-in-flight", consumer.DefaultMaxInFlight, "most bulk requests at the same time; how many there are depends on what OpenSearch takes")
	flags.DurationVar(&f.acceptPoison, "accept-poison", 0, "for so long after the start, let records become dead letters however many they are")
	flags.IntVar(&f.batchSize, "batch-size", consumer.DefaultBatchSize, "most records written at once")
	flags.DurationVar(&f.batchAge, "batch-age", consumer.DefaultBatchAge, "how long a record waits for others at most")
	flags.BoolVar(&f.singleActive, "single-active", true, "one active consumer in the group, the others wait; false only for a consumer that is alone")
	return cmd
}

// pipelineConfig reads both ends from the environment; the error has all mistakes.
func pipelineConfig(c *common, name string) (source, dead rabbit.Config, target opensearch.Config, err error) {
	source, dead, err1 := deadLetters(c, name)
	target, err2 := openSearchConfig(c)
	return source, dead, target, errors.Join(err1, err2)
}

// deadLetters reads where the stream is, and that of the dead letters with this name.
func deadLetters(c *common, name string) (source, dead rabbit.Config, err error) {
	source, err1 := rabbit.ConfigFromEnv(c.getenv)
	if source.Stream == "" {
		source.Stream = rabbit.DefaultStream
	}
	dead = source
	dead.Stream, dead.Partitions = name, 0
	var err2 error
	switch {
	case name == "" || len(name) > 255:
		err2 = fmt.Errorf("--dead-letters is %q, want a name of 1 to 255 bytes", name)
	case name == source.Stream:
		err2 = fmt.Errorf("--dead-letters is %q, which is the stream itself: want another name", name)
	}
	return source, dead, errors.Join(err1, err2)
}

func (f consumeFlags) validate() error {
	var errs []error
	if f.group == "" || len(f.group) > 255 {
		errs = append(errs, fmt.Errorf("--group is %q, want a name of 1 to 255 bytes", f.group))
	}
	if f.batchSize < 1 || f.batchSize > 100_000 {
		errs = append(errs, fmt.Errorf("--batch-size is %d, want 1 to 100000", f.batchSize))
	}
	if f.batchAge <= 0 {
		errs = append(errs, fmt.Errorf("--batch-age is %v, want more than 0", f.batchAge))
	}
	if f.maxInFlight < 1 || f.maxInFlight > 64 {
		errs = append(errs, fmt.Errorf("--max-in-flight is %d, want 1 to 64", f.maxInFlight))
	}
	if f.acceptPoison < 0 {
		errs = append(errs, fmt.Errorf("--accept-poison is %v, want 0 (never) or more", f.acceptPoison))
	}
	if f.readyMaxLag < 0 {
		errs = append(errs, fmt.Errorf("--ready-max-lag is %d, want 0 (no limit) or more", f.readyMaxLag))
	}
	return errors.Join(append(errs, checkListen(f.listen))...)
}

func runConsume(ctx context.Context, c *common, f consumeFlags) error {
	source, dead, target, err := pipelineConfig(c, f.deadLetters)
	if err := errors.Join(f.validate(), err); err != nil {
		return usage(err)
	}
	to, err := opensearch.New(target)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = to.Close() }()
	letters, err := rabbit.NewAppender(dead)
	if err != nil {
		return usage(err)
	}
	defer func() { _ = letters.Close() }()

	var told consumer.Watermarks
	if f.watermarks && source.Partitions == 0 {
		w, err := rabbit.NewWatermarks(source, f.group)
		if err != nil {
			return usage(err)
		}
		defer func() { _ = w.Close() }()
		told = w
	}
	tell, err := observe(ctx, c, "auditlog-consume")
	if err != nil {
		return err
	}
	defer tell.stop(ctx, c)
	parts, err := sources(ctx, c, source)
	if err != nil {
		return nil // stopped before the super stream was there
	}
	measured := tell.Store(to)
	services := make([]*consumer.Consumer, len(parts))
	for i, part := range parts {
		dial := func(ctx context.Context) (consumer.Source, error) {
			// A dead letter must have its place before the first is needed.
			if err := rabbit.Exists(ctx, dead); err != nil {
				return nil, withHint(err)
			}
			s, err := rabbit.NewSource(ctx, part, f.group, stream.SourceOptions{SingleActive: f.singleActive, StartAt: services[i].StartAt})
			if err != nil {
				return nil, withHint(err)
			}
			return s, nil
		}
		services[i], err = consumer.New(dial, measured, letters, consumer.Config{
			Stream: part.Stream, Group: f.group, Name: f.name, BatchSize: f.batchSize, BatchAge: f.batchAge, Logger: c.log,
			MaxInFlight: f.maxInFlight, AcceptPoison: f.acceptPoison,
			Checkpoints: to, Watermarks: told, Partition: source.Partitions > 0,
		})
		if err != nil {
			return usage(err)
		}
		if _, err := tell.Register(telemetry.Consumer(services[i])); err != nil {
			return err
		}
	}
	c.log.InfoContext(ctx, "reads and writes", slog.String("source", source.String()), slog.String("group", f.group),
		slog.Any("opensearch", target.Addresses), slog.String("index_prefix", target.IndexPrefix), slog.String("dead_letters", f.deadLetters))
	if v, err := to.Version(ctx); err != nil {
		c.log.WarnContext(ctx, "opensearch is not there yet, records will wait for it", slog.Any("error", err))
	} else {
		c.log.InfoContext(ctx, "opensearch is there", slog.String("version", v.Number), slog.String("cluster", v.Cluster))
	}
	if f.listen == "" {
		return runAll(ctx, services)
	}
	return runAndTell(ctx, c, f, services, to, tell.handler)
}

// sources gives the configurations of what is to be read: the stream, or the partitions of the super
// stream, for which it waits. The error is the end of ctx.
func sources(ctx context.Context, c *common, source rabbit.Config) ([]rabbit.Config, error) {
	if source.Partitions == 0 {
		return []rabbit.Config{source}, nil
	}
	for {
		names, err := rabbit.Partitions(ctx, source)
		if err == nil {
			parts := make([]rabbit.Config, len(names))
			for i, name := range names {
				parts[i] = source
				parts[i].Stream, parts[i].Partitions = name, 0
			}
			return parts, nil
		}
		c.log.WarnContext(ctx, "no super stream, trying again", slog.Any("error", withHint(err)))
		select {
		case <-time.After(partitionPause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// partitionPause is how long to wait before the partitions are asked for again.
const partitionPause = 5 * time.Second

// runAll runs the services until ctx ends or one of them does.
func runAll(ctx context.Context, services []*consumer.Consumer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	for _, service := range services {
		go func() { ended <- service.Run(ctx) }()
	}
	var errs []error
	for range services {
		errs = append(errs, <-ended)
		cancel()
	}
	return errors.Join(errs...)
}

// withHint adds what to do about a missing stream.
func withHint(err error) error {
	if errors.Is(err, stream.ErrNotExist) {
		return fmt.Errorf("%w: auditlog setup makes it", err)
	}
	return err
}
