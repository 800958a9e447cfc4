// Command crashapp is an audited application for crash tests, which kill it: it writes through GORM
// into SQLite, and its records go through a spool and a relay to RabbitMQ.
//
//	crashapp FOLDER WRITES    write so many things and wait until all records are confirmed
//
// RABBITMQ_STREAM_URI and CRASHAPP_STREAM say where to. It prints a line before each write and one when
// it has returned, which tell a reader what must have been recorded, what must not, and what nobody
// can know:
//
//	begin ID       the transaction that makes thing ID, and counts, is about to begin
//	commit ID      it has returned success
//	rollback ID    it was rolled back
//	end PENDING    all is done, so many records are not confirmed
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/gormtrail/audit"
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
	quiet := slog.New(slog.DiscardHandler)
	queue, err := spool.Open(filepath.Join(folder, "spool"), spool.Config{
		Logger: quiet, SegmentBytes: 4 << 10, MaxBytes: 64 << 20, Retention: -1, CommitTimeout: time.Minute,
	})
	if err != nil {
		return err
	}
	carrier, err := relay.Start(queue, rabbit.Dialer(target), relay.Config{
		Logger: quiet, MinPause: time.Millisecond, MaxPause: 100 * time.Millisecond, Linger: -1,
	})
	if err != nil {
		return err
	}
	db, err := open(filepath.Join(folder, "app.db"), queue)
	if err != nil {
		return err
	}
	if err := work(db, writes); err != nil {
		return err
	}
	if err := carrier.Flush(ctx); err != nil {
		return err
	}
	fmt.Println("end", queue.Stats().Pending)
	return errors.Join(carrier.Shutdown(ctx), queue.Close())
}

// open opens the database, audited.
func open(file string, sink audit.Sink) (*gorm.DB, error) {
	db, err := gorm.Open(sqlite.Open("file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)"),
		&gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	if err := db.AutoMigrate(&Thing{}, &Counter{}); err != nil {
		return nil, err
	}
	registry := audit.NewRegistry()
	// db.Use returns the mistakes of all registrations.
	_ = registry.Register(&Thing{})
	_ = registry.Register(&Counter{})
	config := audit.Config{Sink: sink, Scope: audit.ScopeAll, Registry: registry, Logger: slog.New(slog.DiscardHandler)}
	return db, db.Use(audit.New(config))
}

// errBack rolls a transaction back.
var errBack = errors.New("rolled back")

func work(db *gorm.DB, writes int) error {
	var last int64
	if err := db.Model(&Thing{}).Select("COALESCE(MAX(id), 0)").Scan(&last).Error; err != nil {
		return err
	}
	first := last + 1000 - last%1000 // ids of a process before that were not committed are not used again
	for id := first; id < first+int64(writes); id++ {
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
