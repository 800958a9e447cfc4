package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

type consumeFlags struct {
	name, group, deadLetters, health string
	batchSize                        int
	batchAge                         time.Duration
	singleActive                     bool
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
active, and another takes over when it goes.`,
		Example: "  auditlog consume --consumer-name worker-01",
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
	flags.StringVar(&f.health, "health-address", "", "address to serve /healthz at, such as 127.0.0.1:8081: the numbers as JSON, with 200 while records flow and else 503")
	flags.IntVar(&f.batchSize, "batch-size", consumer.DefaultBatchSize, "most records written at once")
	flags.DurationVar(&f.batchAge, "batch-age", consumer.DefaultBatchAge, "how long a record waits for others at most")
	flags.BoolVar(&f.singleActive, "single-active", true, "one active consumer in the group, the others wait; false only for a consumer that is alone")
	return cmd
}

// pipelineConfig reads both ends from the environment; the error has all mistakes.
func pipelineConfig(c *common, deadLetters string) (source, dead rabbit.Config, target opensearch.Config, err error) {
	source, err1 := rabbit.ConfigFromEnv(c.getenv)
	if source.Stream == "" {
		source.Stream = rabbit.DefaultStream
	}
	target, err2 := opensearch.ConfigFromEnv(c.getenv)
	target.Logger = c.log
	dead = source
	dead.Stream = deadLetters
	var err3 error
	switch {
	case deadLetters == "" || len(deadLetters) > 255:
		err3 = fmt.Errorf("--dead-letters is %q, want a name of 1 to 255 bytes", deadLetters)
	case deadLetters == source.Stream:
		err3 = fmt.Errorf("--dead-letters is %q, which is the stream itself: want another name", deadLetters)
	}
	return source, dead, target, errors.Join(err1, err2, err3)
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
	if f.health != "" {
		if _, _, err := net.SplitHostPort(f.health); err != nil {
			errs = append(errs, fmt.Errorf("--health-address is %q, want host:port", f.health))
		}
	}
	return errors.Join(errs...)
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

	dial := func(ctx context.Context) (consumer.Source, error) {
		// A dead letter must have its place before the first is needed.
		if err := exists(ctx, dead); err != nil {
			return nil, withHint(err)
		}
		s, err := rabbit.NewSource(ctx, source, f.group, stream.SourceOptions{SingleActive: f.singleActive})
		if err != nil {
			return nil, withHint(err)
		}
		return s, nil
	}
	service, err := consumer.New(dial, to, letters, consumer.Config{
		Stream: source.Stream, Name: f.name, BatchSize: f.batchSize, BatchAge: f.batchAge, Logger: c.log,
	})
	if err != nil {
		return usage(err)
	}
	c.log.InfoContext(ctx, "reads and writes", slog.String("source", source.String()), slog.String("group", f.group),
		slog.Any("opensearch", target.Addresses), slog.String("index_prefix", target.IndexPrefix), slog.String("dead_letters", f.deadLetters))
	if v, err := to.Version(ctx); err != nil {
		c.log.WarnContext(ctx, "opensearch is not there yet, records will wait for it", slog.Any("error", err))
	} else {
		c.log.InfoContext(ctx, "opensearch is there", slog.String("version", v.Number), slog.String("cluster", v.Cluster))
	}
	if f.health == "" {
		return service.Run(ctx)
	}
	return runWithHealth(ctx, c, f.health, service)
}

// withHint adds what to do about a missing stream.
func withHint(err error) error {
	if errors.Is(err, stream.ErrNotExist) {
		return fmt.Errorf("%w: auditlog setup makes it", err)
	}
	return err
}

// exists asks whether the stream is there; the error wraps stream.ErrNotExist if it is not.
func exists(ctx context.Context, config rabbit.Config) error {
	p, err := rabbit.NewPublisher(ctx, config, "")
	if err != nil {
		return err
	}
	return p.Close()
}

// runWithHealth runs the service with its numbers over HTTP.
func runWithHealth(ctx context.Context, c *common, address string, service *consumer.Consumer) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s := service.Stats()
		w.Header().Set("Content-Type", "application/json")
		if s.State != consumer.StateRunning {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_ = json.NewEncoder(w).Encode(s)
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	ready := make(chan struct{})
	go func() {
		served <- listen(ctx, c, address, mux, func(address string) {
			c.log.InfoContext(ctx, "says how it is", slog.String("health_address", address))
			close(ready)
		})
		cancel() // without it nobody would see whether records flow
	}()
	select {
	case <-ready:
	case err := <-served:
		return err
	}
	err := service.Run(ctx)
	cancel()
	return errors.Join(err, <-served)
}
