// Command crashapp is an audited application for crash tests, which kill it: it writes through GORM
// into a database, and its records go through a spool or an outbox and a relay to RabbitMQ.
//
//	crashapp FOLDER WRITES    write so many things and wait until all records are confirmed
//
// RABBITMQ_STREAM_URI and CRASHAPP_STREAM say where to. CRASHAPP_QUEUE is spool or outbox. CRASHAPP_DATABASE
// is the database's kind and address, such as "postgres host=…"; without it the database is SQLite in the
// folder. It prints a line before each write and one when it has returned, which tell a reader what must have
// been recorded, what must not, and what nobody can know:
//
//	begin ID       the transaction that makes thing ID, and counts, is about to begin
//	commit ID      it has returned success
//	rollback ID    it was rolled back
//	end PENDING    all is done, so many records are not confirmed
//	account JSON   the numbers of the spool, once a second, if CRASHAPP_BOOK is set
//
// For a soak there are more variables, of the spool: CRASHAPP_BOOK names a file to which each record is written
// before it is handed to the spool, as "issue JSON", and when the spool has taken it, as "kept ID"; CRASHAPP_RATE
// is how many things are written in a second at most, and CRASHAPP_SPOOL_BYTES how large the spool may become.
// SIGTERM ends the writing early.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/outbox"
	"github.com/gormtrail/audit/relay"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/stream/rabbit"
)

// Thing is made once.
type Thing struct {
	ID   int64 `gorm:"primaryKey;autoIncrement:false"`
	Name string
}

// Counter is changed in the transaction of each thing: its records are a chain.
type Counter struct {
	ID int64 `gorm:"primaryKey;autoIncrement:false"`
	N  int64
}

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "crashapp:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	if len(os.Args) != 3 {
		return errors.New("want a folder and a number of writes")
	}
	folder := os.Args[1]
	writes, err := strconv.Atoi(os.Args[2])
	if err != nil {
		return err
	}
	target, err := rabbit.ConfigFromURI(os.Getenv("RABBITMQ_STREAM_URI"))
	if err != nil {
		return err
	}
	target.Stream = os.Getenv("CRASHAPP_STREAM")
	soak, err := soakFromEnv()
	if err != nil {
		return err
	}
	db, err := open(filepath.Join(folder, "app.db"))
	if err != nil {
		return err
	}
	var q *queue
	switch kind := os.Getenv("CRASHAPP_QUEUE"); kind {
	case "", "spool":
		q, err = newSpool(filepath.Join(folder, "spool"), target, soak)
	case "outbox":
		q, err = newOutbox(ctx, db, target)
	default:
		err = fmt.Errorf("CRASHAPP_QUEUE is %q, want spool or outbox", kind)
	}
	if err != nil {
		return err
	}
	if err := audited(db, q.config); err != nil {
		return err
	}
	working, cancel := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer cancel()
	if err := work(working, db, writes, soak.pause); err != nil {
		return err
	}
	if err := q.relay.Flush(ctx); err != nil {
		return err
	}
	if err := errors.Join(q.relay.Shutdown(ctx), q.close()); err != nil {
		return err
	}
	pending, err := q.pending()
	fmt.Println("end", pending)
	return err
}

var quiet = slog.New(slog.DiscardHandler)

// queue is a spool or an outbox, with its relay.
type queue struct {
	config  audit.Config // has the sink
	relay   *relay.Service
	pending func() (int64, error) // once it is closed
	close   func() error
}

var relayConfig = relay.Config{Logger: quiet, MinPause: time.Millisecond, MaxPause: 100 * time.Millisecond, Linger: -1}

func newSpool(folder string, target rabbit.Config, soak soak) (*queue, error) {
	s, err := spool.Open(folder, spool.Config{
		Logger: quiet, SegmentBytes: 4 << 10, MaxBytes: soak.spoolBytes, SoftBytes: soak.softBytes, Retention: -1, CommitTimeout: time.Minute,
	})
	if err != nil {
		return nil, err
	}
	service, err := relay.Start(s, rabbit.Dialer(target), relayConfig)
	if err != nil {
		return nil, err
	}
	sink, stop, err := soak.sink(s, service)
	pending := func() (int64, error) { return int64(s.Stats().Pending), nil }
	return &queue{audit.Config{Sink: sink}, service, pending, func() error { stop(); return s.Close() }}, err
}

func newOutbox(ctx context.Context, db *gorm.DB, target rabbit.Config) (*queue, error) {
	o, err := outbox.New(db, outbox.Config{Logger: quiet, Strict: true})
	if err != nil {
		return nil, err
	}
	q, err := o.Queue(ctx, outbox.QueueConfig{MinPoll: time.Millisecond, MaxPoll: 10 * time.Millisecond, Takeover: 10 * time.Millisecond})
	if err != nil {
		return nil, err
	}
	service, err := relay.Start(q, rabbit.Dialer(target), relayConfig)
	pending := func() (int64, error) {
		stats, err := o.Stats(ctx)
		return stats.Pending, err
	}
	return &queue{audit.Config{TxSink: o, Policy: audit.Strict}, service, pending, q.Close}, err
}

// open opens the database.
func open(file string) (*gorm.DB, error) {
	dialector := sqlite.Open("file:" + file + "?_pragma=busy_timeout(60000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate")
	if kind, address, ok := strings.Cut(os.Getenv("CRASHAPP_DATABASE"), " "); ok {
		switch kind {
		case "postgres":
			dialector = postgres.Open(address)
		case "mysql":
			dialector = mysql.Open(address)
		default:
			return nil, fmt.Errorf("CRASHAPP_DATABASE is of the kind %q, want postgres or mysql", kind)
		}
	}
	db, err := gorm.Open(dialector, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	return db, db.AutoMigrate(&Thing{}, &Counter{})
}

// audited puts the plugin into the database.
func audited(db *gorm.DB, config audit.Config) error {
	config.Registry, config.Scope, config.Logger = audit.NewRegistry(), audit.ScopeAll, quiet
	// db.Use returns the mistakes of all registrations.
	_ = config.Registry.Register(&Thing{})
	_ = config.Registry.Register(&Counter{})
	return db.Use(audit.New(config))
}

// errBack rolls a transaction back.
var errBack = errors.New("rolled back")

func work(ctx context.Context, db *gorm.DB, writes int, pause time.Duration) error {
	var last int64
	if err := db.Model(&Thing{}).Select("COALESCE(MAX(id), 0)").Scan(&last).Error; err != nil {
		return err
	}
	first := last + 1000 - last%1000 // ids of a process before that were not committed are not used again
	for id := first; id < first+int64(writes) && ctx.Err() == nil; id++ {
		if pause > 0 {
			time.Sleep(pause)
		}
		fmt.Println("begin", id)
		err := db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&Thing{ID: id, Name: "thing"}).Error; err != nil {
				return err
			}
			counter := Counter{ID: 1}
			if err := tx.Find(&counter).Error; err != nil {
				return err
			}
			counter.N++
			if err := tx.Save(&counter).Error; err != nil {
				return err
			}
			if id%7 == 0 {
				return errBack
			}
			return nil
		})
		switch {
		case err == nil:
			fmt.Println("commit", id)
		case errors.Is(err, errBack):
			fmt.Println("rollback", id)
		default:
			return err
		}
	}
	return nil
}
