package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// pipelineTrail brings the records through RabbitMQ into OpenSearch:
//
//	audit -> spool (on this disk) -> relay -> RabbitMQ Stream -> consumer -> OpenSearch
//
// The application needs the first three: when Write of the spool returns, a record is safe, and the
// relay brings it to the stream when that is there. The consumer is a service of its own in
// production, "auditlog consume"; here it runs in the same process, so that one command shows all.
func pipelineTrail(ctx context.Context, folder string) (t *trail, err error) {
	source, err1 := rabbit.ConfigFromEnv(os.Getenv)
	target, err2 := opensearch.ConfigFromEnv(os.Getenv)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if source.Stream == "" {
		source.Stream = rabbit.DefaultStream
	}
	dead := source
	dead.Stream = deadLetters(source.Stream)

	// What was started is stopped in the opposite order, also if something cannot be started.
	var stops stack
	defer func() {
		if err != nil {
			err = errors.Join(err, stops.run(context.WithoutCancel(ctx)))
		}
	}()
	index, err := opensearch.New(target)
	if err != nil {
		return nil, err
	}
	stops.add(func(context.Context) error { return index.Close() })
	if err := prepare(ctx, index, source, dead); err != nil {
		return nil, fmt.Errorf("%w; -pipeline needs RabbitMQ and OpenSearch, such as those of scripts/services.sh", err)
	}
	watermarks, err := rabbit.NewWatermarks(source, consumer.DefaultGroup)
	if err != nil {
		return nil, err
	}
	stops.add(func(context.Context) error { return watermarks.Close() })
	if err := startConsumer(ctx, &stops, index, source, dead, watermarks); err != nil {
		return nil, err
	}
	queue, err := spool.Open(filepath.Join(folder, "spool"), spool.Config{Service: "crm", Index: watermarks})
	if err != nil {
		return nil, err
	}
	stops.add(func(context.Context) error { return queue.Close() })
	carrier, err := relay.Start(queue, rabbit.Dialer(source), relay.Config{})
	if err != nil {
		return nil, err
	}
	stops.add(carrier.Shutdown)
	// What a broker has confirmed and lost is sent again.
	stops.background(ctx, func(ctx context.Context) error {
		return relay.Repair(ctx, queue, watermarks, rabbit.Dialer(source), relay.RepairConfig{})
	})
	return &trail{config: audit.Config{Sink: queue}, store: index, close: stops.run}, nil
}

// deadLetters names the stream for messages that cannot be stored: that of "auditlog consume", or
// one beside a stream of another name.
func deadLetters(of string) string {
	if of == rabbit.DefaultStream {
		return consumer.DefaultDeadLetters
	}
	return of + "_dlq"
}

// prepare makes what "auditlog setup" makes in production: the streams and the index template.
func prepare(ctx context.Context, index *opensearch.Store, source, dead rabbit.Config) error {
	_, err := index.Setup(ctx)
	for _, s := range []struct {
		stream rabbit.Config
		limits rabbit.Limits
	}{{source, rabbit.Limits{}}, {dead, rabbit.Limits{}}, {rabbit.WatermarksOf(source), rabbit.WatermarkLimits}} {
		if e := rabbit.Declare(ctx, s.stream, s.limits); !errors.Is(e, rabbit.ErrDeclared) { // with other limits: fine
			err = errors.Join(err, e)
		}
	}
	return err
}

func startConsumer(ctx context.Context, stops *stack, index *opensearch.Store, source, dead rabbit.Config, watermarks *rabbit.Watermarks) error {
	letters, err := rabbit.NewAppender(dead)
	if err != nil {
		return err
	}
	stops.add(func(context.Context) error { return letters.Close() })
	var service *consumer.Consumer
	dial := func(ctx context.Context) (consumer.Source, error) {
		s, err := rabbit.NewSource(ctx, source, consumer.DefaultGroup, stream.SourceOptions{SingleActive: true, StartAt: service.StartAt})
		if err != nil {
			return nil, err // not a Source that is nil
		}
		return s, nil
	}
	service, err = consumer.New(dial, index, letters, consumer.Config{
		Stream: source.Stream, Name: "crm", Checkpoints: index, Watermarks: watermarks,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return err
	}
	stops.background(ctx, service.Run)
	return nil
}
