package sqlstore

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// schemaVersion is the version of the tables that this package makes and reads.
const schemaVersion = 1

// Migration gives the statements that make the tables, for use with Config.SkipMigrate. The last ones,
// from the first that begins with DROP, make the text index, and can be left out. On PostgreSQL and MySQL give the table with its schema, or run them where New will find the same current one.
func Migration(db *gorm.DB, table string) ([]string, error) {
	cfg := Config{Table: table}.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	d, err := newDialect(db)
	if err != nil {
		return nil, err
	}
	s := &Store{d: d, names: sqltable.NewNames(cfg.Table, d.Quote)}
	statements := s.schema().Statements()
	if index := newTextIndex(s); index != nil {
		statements = append(statements, index.create()...)
		statements = append(statements, sqltable.Stamp(s.names, "text_version", textVersion))
	}
	return statements, nil
}

// schema says how the tables are made, but for those of the text index.
func (s *Store) schema() sqltable.Schema {
	return sqltable.Schema{
		Package: "sqlstore", Dialect: s.d, Names: s.names, Version: schemaVersion, Create: s.d.create(s.names), Foreign: ErrTable,
	}
}

// meta gives a value of the table _meta, "" if it is not there.
func (s *Store) meta(ctx context.Context, conn gorm.ConnPool, name string) (value string, err error) {
	return sqltable.Meta(ctx, conn, s.d, s.names, name)
}
