package sqlstore

import (
	"context"
	"fmt"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/store"
)

// GetTx gives the record with the id as the open transaction of conn sees it, with what WriteTx wrote in
// it. The error wraps store.ErrNotFound if it is not there.
func (s *Store) GetTx(ctx context.Context, conn gorm.ConnPool, logID string) (event.Record, error) {
	b := builder{d: s.d}
	b.write("SELECT ts, log_id, body FROM ", s.names.Table(""), " WHERE log_id = ", b.arg(logID))
	found, err := s.read(ctx, sqltable.Unprepared(conn), &b)
	if err != nil {
		return event.Record{}, unavailable("get", err)
	}
	if len(found) == 0 {
		return event.Record{}, fmt.Errorf("%w: %q", store.ErrNotFound, logID)
	}
	return decode(found[0])
}
