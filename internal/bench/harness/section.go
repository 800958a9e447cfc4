package harness

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// section is a table of the document: a database with its settings.
type section struct {
	name, about string
	open        func(ctx context.Context) (*database, error)
	variants    []string // besides plain GORM
	operations  []string // all if nil
	// limits are the ratios that are aimed at, by variant and operation.
	limits map[string]map[string]float64
	// rounds and writes are shares of the usual numbers, in percent; 0 is 100.
	rounds, writes int
	close          func() error
}

var (
	single = []string{opCreate, opUpdate, opSave, opDelete}

	postgresLimits = map[string]map[string]float64{
		capturing: {
			opCreate: 1.08, opUpdate: 1.18, opSave: 1.12, opDelete: 1.15, opCreateMany: 1.1, opUpdateMany: 2.0, opDeleteMany: 2.8,
		},
		embedded:     {opCreate: 1.55, opUpdate: 1.55, opDelete: 1.55},
		unregistered: {opCreate: 1.02, opUpdate: 1.02, opSave: 1.02, opDelete: 1.02},
	}
	sqliteLimits = map[string]map[string]float64{
		capturing:    {opCreate: 1.3, opUpdate: 1.8, opDelete: 1.6},
		embedded:     {opCreate: 2.2, opUpdate: 2.2, opDelete: 2.2},
		unregistered: {opCreate: 1.02, opUpdate: 1.02, opSave: 1.02, opDelete: 1.02},
	}
	distantLimits = map[string]map[string]float64{
		capturing: {opCreate: 1.05, opUpdate: 1.05, opSave: 1.05, opDelete: 1.05},
	}
)

// added is the round trip that is added in one section.
const added = 2500 * time.Microsecond

func sections(ctx context.Context, o Options) ([]*section, error) {
	target, err := addressOf(o.PostgresDSN)
	if err != nil {
		return nil, err
	}
	distant, err := newWire(ctx, target, added)
	if err != nil {
		return nil, err
	}
	all := []string{capturing, embedded, unregistered, naive}
	list := []*section{
		{
			name: "PostgreSQL over loopback", about: "The server's defaults: COMMIT waits for the disk.",
			open:     func(ctx context.Context) (*database, error) { return openPostgres(ctx, o.PostgresDSN, nil) },
			variants: all, limits: postgresLimits,
		},
		{
			name: "PostgreSQL over loopback, `synchronous_commit=off`", about: "COMMIT does not wait, so that what is left is the time of the processors.",
			open: func(ctx context.Context) (*database, error) {
				return openPostgres(ctx, o.PostgresDSN+" synchronous_commit=off", nil)
			},
			variants: all, limits: postgresLimits,
		},
		{
			name: "PostgreSQL with 2.5 ms of network", about: "Each round trip takes 2.5 ms more, as between two data centres of a city.",
			open: func(ctx context.Context) (*database, error) {
				return openPostgres(ctx, o.PostgresDSN+" synchronous_commit=off", distant)
			},
			variants: []string{capturing, embedded, naive}, operations: single, limits: distantLimits, rounds: 60, writes: 30,
			close: distant.close,
		},
		{
			name: "SQLite, a file, WAL, `synchronous=FULL`", about: "The pure Go driver; COMMIT waits for the disk.",
			open:     func(context.Context) (*database, error) { return openSQLite("FULL") },
			variants: all, limits: sqliteLimits,
		},
		{
			name: "SQLite, a file, WAL, `synchronous=NORMAL`", about: "COMMIT does not wait: a write of plain GORM takes less than a tenth of a millisecond, and a ratio says little.",
			open:     func(context.Context) (*database, error) { return openSQLite("NORMAL") },
			variants: all, limits: sqliteLimits,
		},
	}
	if o.MariaDBDSN != "" {
		list = append(list, &section{
			name: "MariaDB over loopback", about: "The server's defaults: COMMIT waits for the disk. An update takes a locking SELECT before and one after it, since MariaDB has no UPDATE … RETURNING.",
			open:     func(ctx context.Context) (*database, error) { return openMariaDB(ctx, o.MariaDBDSN) },
			variants: all,
		})
	}
	return list, nil
}

// addressOf gives host and port of a DSN of words.
func addressOf(dsn string) (string, error) {
	host, port := "", "5432"
	for word := range strings.FieldsSeq(dsn) {
		switch name, value, _ := strings.Cut(word, "="); name {
		case "host":
			host = value
		case "port":
			port = value
		}
	}
	if host == "" || strings.HasPrefix(host, "/") {
		return "", fmt.Errorf("POSTGRES_DSN has the host %q, want host=… port=… of a server on TCP", host)
	}
	return host + ":" + port, nil
}
