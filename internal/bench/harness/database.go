package harness

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
)

// database is an empty database on one connection.
type database struct {
	db     *gorm.DB
	again  func() (*gorm.DB, error) // a further handle on the same connection
	remove func() error
	server func() int64
	wire   *wire
}

func openPostgres(ctx context.Context, dsn string, w *wire) (*database, error) {
	name, err := randomName()
	if err != nil {
		return nil, err
	}
	admin, err := connect(postgres.Open(dsn))
	if err != nil {
		return nil, err
	}
	if err := admin.WithContext(ctx).Exec("CREATE SCHEMA " + name).Error; err != nil {
		return nil, errors.Join(err, disconnect(admin))
	}
	remove := func() error {
		return errors.Join(admin.Exec("DROP SCHEMA "+name+" CASCADE").Error, disconnect(admin))
	}
	if w != nil {
		dsn += fmt.Sprintf(" host=127.0.0.1 port=%d", w.port())
	}
	db, err := connect(postgres.Open(dsn + " search_path=" + name))
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	d := &database{db: db, wire: w, remove: func() error { return errors.Join(disconnect(db), remove()) }}
	d.again = func() (*gorm.DB, error) {
		pool, err := db.DB()
		if err != nil {
			return nil, err
		}
		return gorm.Open(postgres.New(postgres.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	}
	var pid int
	if err := db.Raw("SELECT pg_backend_pid()").Scan(&pid).Error; err != nil {
		return nil, errors.Join(err, d.remove())
	}
	d.server = cpuOf(fmt.Sprintf("/proc/%d/schedstat", pid))
	return d, nil
}

// cpuOf reads how long a process has run, in nanoseconds; nil if the system does not tell.
func cpuOf(file string) func() int64 {
	read := func() int64 {
		data, _ := os.ReadFile(file)
		first, _, _ := strings.Cut(string(data), " ")
		n, _ := strconv.ParseInt(first, 10, 64)
		return n
	}
	if read() == 0 {
		return nil
	}
	return read
}

func openMariaDB(ctx context.Context, dsn string) (*database, error) {
	name, err := randomName()
	if err != nil {
		return nil, err
	}
	admin, err := connect(mysql.Open(dsn))
	if err != nil {
		return nil, err
	}
	if err := admin.WithContext(ctx).Exec("CREATE DATABASE " + name).Error; err != nil {
		return nil, errors.Join(err, disconnect(admin))
	}
	remove := func() error { return errors.Join(admin.Exec("DROP DATABASE "+name).Error, disconnect(admin)) }
	slash, query := strings.LastIndexByte(dsn, '/'), strings.IndexByte(dsn, '?')
	if query < 0 {
		query = len(dsn)
	}
	db, err := connect(mysql.Open(dsn[:slash+1] + name + dsn[query:]))
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	d := &database{db: db, remove: func() error { return errors.Join(disconnect(db), remove()) }}
	d.again = func() (*gorm.DB, error) {
		pool, err := db.DB()
		if err != nil {
			return nil, err
		}
		return gorm.Open(mysql.New(mysql.Config{Conn: pool}), &gorm.Config{Logger: logger.Discard})
	}
	return d, nil
}

func openSQLite(synchronous string) (*database, error) {
	folder, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(folder) }
	db, err := connect(sqlite.Open(filepath.Join(folder, "bench.db") + "?_pragma=journal_mode(WAL)&_pragma=synchronous(" + synchronous + ")"))
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	d := &database{db: db, remove: func() error { return errors.Join(disconnect(db), remove()) }}
	d.again = func() (*gorm.DB, error) {
		pool, err := db.DB()
		if err != nil {
			return nil, err
		}
		return gorm.Open(sqlite.Dialector{Conn: pool}, &gorm.Config{Logger: logger.Discard})
	}
	return d, nil
}

func randomName() (string, error) {
	var suffix [6]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return "", err
	}
	return "bench_" + hex.EncodeToString(suffix[:]), nil
}

func connect(d gorm.Dialector) (*gorm.DB, error) {
	db, err := gorm.Open(d, &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return nil, err
	}
	pool, err := db.DB()
	if err != nil {
		return nil, err
	}
	pool.SetMaxOpenConns(1) // what is measured is one write after the other
	return db, nil
}

func disconnect(db *gorm.DB) error {
	pool, err := db.DB()
	if err != nil {
		return err
	}
	return pool.Close()
}
