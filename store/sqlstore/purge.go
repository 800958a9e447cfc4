package sqlstore

import (
	"context"
	"time"

	"gorm.io/gorm"
)

// purgeRows is how many rows one statement of Purge deletes, so that none locks the table for long.
const purgeRows = 500

// Purge deletes the records from before the time, oldest first, in small batches, and gives how many it
// has deleted, which is right with an error as well.
func (s *Store) Purge(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	if s.textThere(ctx) { // also, so that nothing is asked of a pool of one within a transaction
		if err := s.text.index.purge(ctx, before.UnixMilli()); err != nil {
			return 0, unavailable("purge", err)
		}
	}
	for {
		var n int64
		err := s.inTx(ctx, func(conn gorm.ConnPool) (err error) {
			if n, err = s.d.deleteBatch(ctx, conn, s.names, before.UnixMilli(), purgeRows); err == nil && s.textThere(ctx) {
				err = s.text.index.deleted(ctx, conn)
			}
			return err
		})
		if err != nil {
			return total, unavailable("purge", err)
		}
		total += n
		if n < purgeRows {
			return total, nil
		}
	}
}
