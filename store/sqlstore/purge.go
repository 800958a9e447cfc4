package sqlstore

import (
	"context"
	"time"
)

// purgeRows is how many rows one statement of Purge deletes, so that none locks the table for long.
const purgeRows = 500

// Purge deletes the records from before the time, oldest first, in small batches, and gives how many it
// has deleted, which is right with an error as well.
func (s *Store) Purge(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		n, err := s.d.deleteBatch(ctx, s.pool, s.names, before.UnixMilli(), purgeRows)
		total += n
		if err != nil {
			return total, unavailable("purge", err)
		}
		if n < purgeRows {
			return total, nil
		}
	}
}
