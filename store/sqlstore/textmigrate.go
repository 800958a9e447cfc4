package sqlstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// migrateText makes the tables of the text index; as with the others, several processes may try at once.
func (s *Store) migrateText(ctx context.Context) error {
	const tries = 10
	var err error
	for i := range tries {
		if s.textThere(ctx) {
			return nil
		}
		err = s.inTx(ctx, func(conn gorm.ConnPool) error {
			if err := s.d.Lock(ctx, conn, s.names); err != nil {
				return err
			}
			// Where the lock has not done it, this keeps others out.
			if err := s.setMeta(ctx, conn, "text_version", "making"); err != nil {
				return err
			}
			for _, statement := range s.text.index.create() {
				if _, err := conn.ExecContext(ctx, statement); err != nil {
					return err
				}
			}
			return s.setMeta(ctx, conn, "text_version", textVersion)
		})
		if err == nil {
			s.text.there.Store(true)
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(time.Duration(i+1) * 5 * time.Millisecond):
		}
	}
	return fmt.Errorf("create the text index of %s: %w", s.names.Table(""), err)
}

// setMeta sets a value of the table _meta. A transaction that does it first has the write lock.
func (s *Store) setMeta(ctx context.Context, conn gorm.ConnPool, name, value string) error {
	t := s.names.Table("_meta")
	n, err := sqltable.Exec(ctx, conn, "UPDATE "+t+" SET value = "+s.d.Placeholder(1)+" WHERE name = "+s.d.Placeholder(2), value, name)
	if err != nil || n > 0 {
		return err
	}
	_, err = conn.ExecContext(ctx, "INSERT INTO "+t+" (name, value) VALUES ("+s.d.Placeholder(1)+", "+s.d.Placeholder(2)+")", name, value)
	return err
}
