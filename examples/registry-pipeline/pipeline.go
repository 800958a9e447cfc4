package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/opensearch"
	"github.com/gormtrail/audit/stream"
	"github.com/gormtrail/audit/stream/rabbit"
)

// group is the name under which the broker keeps the consumer's offset.
const group = consumer.DefaultGroup

// settings say where the servers are, and under which names the example works there.
type settings struct {
	postgres   string
	schema     string        // made and dropped
	stream     rabbit.Config // made and deleted, with the stream of dead letters
	opensearch opensearch.Config
	outbox     bool // records wait in the database for the stream, not in a folder
	log        *slog.Logger
}

// settingsFrom reads POSTGRES_DSN, RABBITMQ_STREAM_URI and OPENSEARCH_URL, which scripts/services.sh env
// prints, and makes up names that nobody else uses. The error names all that is missing or wrong.
func settingsFrom(getenv func(string) string, log *slog.Logger) (settings, error) {
	var suffix [4]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return settings{}, err
	}
	name := "registry_" + hex.EncodeToString(suffix[:])
	var errs []error
	read := func(variable string) string {
		v := getenv(variable)
		if v == "" {
			errs = append(errs, fmt.Errorf("%s is not set: start the servers with scripts/services.sh start, then eval \"$(scripts/services.sh env)\"", variable))
		}
		return v
	}
	s := settings{postgres: read("POSTGRES_DSN"), schema: name, log: log}
	if uri := read("RABBITMQ_STREAM_URI"); uri != "" {
		var err error
		if s.stream, err = rabbit.ConfigFromURI(uri); err != nil {
			errs = append(errs, fmt.Errorf("RABBITMQ_STREAM_URI: %w", err))
		}
	}
	s.stream.Stream = name
	s.opensearch = opensearch.Config{Addresses: []string{read("OPENSEARCH_URL")}, IndexPrefix: strings.ReplaceAll(name, "_", "-"), Logger: log}
	return s, errors.Join(errs...)
}

func (s settings) deadLetters() rabbit.Config {
	dead := s.stream
	dead.Stream += "_dlq"
	return dead
}

// pipeline is the application's side of the way: the database with the plugin, the spool and the relay;
// and the store at its end, which is searched.
type pipeline struct {
	settings settings
	db       *gorm.DB
	auditor  *audit.Auditor
	search   *opensearch.Store
	undo     []func(ctx context.Context) error // the last first
}

// open makes the schema, the streams and the index template, and starts the relay. close undoes all.
func open(ctx context.Context, s settings) (_ *pipeline, err error) {
	p := &pipeline{settings: s}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close(ctx))
		}
	}()
	for _, c := range []rabbit.Config{s.stream, s.deadLetters()} {
		if err := rabbit.Declare(ctx, c, rabbit.Limits{}); err != nil {
			return nil, err
		}
		p.later(func(ctx context.Context) error { return rabbit.Delete(ctx, c) })
	}
	if p.search, err = opensearch.New(s.opensearch); err != nil {
		return nil, err
	}
	p.later(func(ctx context.Context) error {
		return errors.Join(deleteIndices(ctx, s.opensearch), p.search.Close())
	})
	if _, err := p.search.Setup(ctx); err != nil {
		return nil, err
	}
	if err := p.openDatabase(ctx); err != nil {
		return nil, err
	}
	return p, p.audit(ctx)
}

// openDatabase makes the schema and the table.
func (p *pipeline) openDatabase(ctx context.Context) error {
	admin, err := p.connect(p.settings.postgres)
	if err != nil {
		return err
	}
	if err := admin.WithContext(ctx).Exec("CREATE SCHEMA " + p.settings.schema).Error; err != nil {
		return err
	}
	p.later(func(ctx context.Context) error {
		return admin.WithContext(ctx).Exec("DROP SCHEMA " + p.settings.schema + " CASCADE").Error
	})
	if p.db, err = p.connect(p.settings.postgres + " search_path=" + p.settings.schema); err != nil {
		return err
	}
	return p.db.WithContext(ctx).AutoMigrate(&Subdivision{})
}

func (p *pipeline) connect(dsn string) (*gorm.DB, error) {
	db, err := gorm.Open(postgres.Open(dsn), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	p.later(func(context.Context) error { return pool.Close() })
	return db, nil
}

// audit puts the plugin into the handle, with a queue from which a relay publishes: a spool on the disk, or
// an outbox in the database.
func (p *pipeline) audit(ctx context.Context) error {
	registry := audit.NewRegistry()
	if err := registry.Register(&Subdivision{}); err != nil {
		return err
	}
	config := audit.Config{Registry: registry, Service: "registry", Logger: p.settings.log}
	var err error
	if p.settings.outbox {
		config.TxSink, err = p.outbox(ctx)
	} else {
		config.Sink, err = p.spool()
	}
	if err != nil {
		return err
	}
	p.auditor = audit.New(config)
	p.later(p.auditor.Shutdown)
	return p.db.Use(p.auditor)
}

// spool gives a spool in a folder of its own, and starts its relay.
func (p *pipeline) spool() (audit.Sink, error) {
	folder, err := os.MkdirTemp("", "registry-spool")
	if err != nil {
		return nil, err
	}
	p.later(func(context.Context) error { return os.RemoveAll(folder) })
	queue, err := spool.Open(folder, spool.Config{Service: "registry", Logger: p.settings.log})
	if err != nil {
		return nil, err
	}
	p.later(func(context.Context) error { return queue.Close() })
	carrier, err := relay.Start(queue, rabbit.Dialer(p.settings.stream), relay.Config{Logger: p.settings.log})
	if err != nil {
		return nil, err
	}
	p.later(carrier.Shutdown)
	return queue, nil
}

// outbox gives an outbox in the database, and starts its relay. The relay could as well be a process of its
// own: auditlog relay --outbox.
func (p *pipeline) outbox(ctx context.Context) (audit.TxSink, error) {
	box, err := outbox.New(p.db, outbox.Config{Service: "registry", Logger: p.settings.log})
	if err != nil {
		return nil, err
	}
	queue, err := box.Queue(ctx, outbox.QueueConfig{})
	if err != nil {
		return nil, err
	}
	p.later(func(context.Context) error { return queue.Close() })
	carrier, err := relay.Start(queue, rabbit.Dialer(p.settings.stream), relay.Config{Logger: p.settings.log})
	if err != nil {
		return nil, err
	}
	p.later(carrier.Shutdown)
	return box, nil
}

// consume carries records from the stream to OpenSearch, as auditlog consume does in a process of its
// own, until the pipeline is closed.
func (p *pipeline) consume(ctx context.Context) error {
	letters, err := rabbit.NewAppender(p.settings.deadLetters())
	if err != nil {
		return err
	}
	p.later(func(context.Context) error { return letters.Close() })
	dial := func(ctx context.Context) (consumer.Source, error) {
		return rabbit.NewSource(ctx, p.settings.stream, group, stream.SourceOptions{})
	}
	c, err := consumer.New(dial, p.search, letters, consumer.Config{Stream: p.settings.stream.Stream, Logger: p.settings.log})
	if err != nil {
		return err
	}
	p.run(ctx, c.Run)
	return nil
}

// run runs a service until the pipeline is closed.
func (p *pipeline) run(ctx context.Context, service func(context.Context) error) {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- service(ctx) }()
	p.later(func(context.Context) error {
		stop()
		return <-ended
	})
}

func (p *pipeline) later(undo func(ctx context.Context) error) { p.undo = append(p.undo, undo) }

// close stops everything and removes what was made. It does so even if ctx has ended.
func (p *pipeline) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	var errs []error
	for i := len(p.undo) - 1; i >= 0; i-- {
		errs = append(errs, p.undo[i](ctx))
	}
	p.undo = nil
	return errors.Join(errs...)
}

// await waits until want records of the batch can be found, and gives them.
func (p *pipeline) await(ctx context.Context, batchID string, want int64) error {
	query := store.Query{Filters: []store.Filter{{Field: store.FieldBatchID, Values: []string{batchID}}}, Size: 1}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		page, err := p.search.Search(ctx, query.WithDefaults())
		if err == nil && page.Total >= want {
			return nil
		}
		if err != nil && !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("registry: %d of %d records can be found: %w", page.Total, want, context.Cause(ctx))
		}
	}
}

// deleteIndices removes the indices and the template of the prefix; the store itself never deletes.
func deleteIndices(ctx context.Context, c opensearch.Config) error {
	base := c.Addresses[0]
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	call := func(method, path string, answer any) error {
		req, err := http.NewRequestWithContext(ctx, method, base+path, nil)
		if err != nil {
			return err
		}
		res, err := client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // it was only read
		if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNotFound {
			return fmt.Errorf("registry: %s %s: %s", method, path, res.Status)
		}
		if answer != nil && res.StatusCode == http.StatusOK {
			return json.NewDecoder(res.Body).Decode(answer)
		}
		return nil
	}
	var indices []struct {
		Index string `json:"index"`
	}
	errs := []error{call(http.MethodGet, "/_cat/indices/"+c.IndexPrefix+"-*?format=json", &indices)}
	for _, i := range indices {
		errs = append(errs, call(http.MethodDelete, "/"+i.Index, nil))
	}
	return errors.Join(append(errs, call(http.MethodDelete, "/_index_template/"+c.IndexPrefix, nil))...)
}
