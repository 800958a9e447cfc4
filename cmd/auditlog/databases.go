package main

import (
	"log/slog"
	"strings"

	"github.com/glebarez/sqlite"
	"gorm.io/driver/mysql"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/cli"
	"github.com/gormtrail/audit/outbox/pgnotify"
)

// databases open what serve --database can read. Only this program has the drivers: a library would
// force them upon applications.
func databases() map[string]func(address string) gorm.Dialector {
	asURL := func(address string) gorm.Dialector { return postgres.Open(address) }
	return map[string]func(string) gorm.Dialector{
		"postgres":   asURL,
		"postgresql": asURL,
		"mysql": func(address string) gorm.Dialector {
			return mysql.Open(strings.TrimPrefix(strings.TrimPrefix(address, "mysql:"), "//"))
		},
		"sqlite": func(address string) gorm.Dialector {
			// The application writes to it meanwhile.
			return sqlite.Open("file:" + strings.TrimPrefix(strings.TrimPrefix(address, "sqlite:"), "//") + "?_pragma=busy_timeout(5000)&_txlock=immediate&mode=rw")
		},
	}
}

func listen(address, channel string, log *slog.Logger) (cli.Listener, error) {
	return pgnotify.Listen(address, channel, log)
}
