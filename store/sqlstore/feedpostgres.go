package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"

	"github.com/gormtrail/audit/store"
)

// errRestored says that the table has transactions which this server has not had.
var errRestored = errors.New("the table was restored from another server: run UPDATE … SET xid = 0 on it once")

func (d postgres) place(ctx context.Context, s *Store, g stage) (stage, error) {
	_, next, err := d.snapshot(ctx, s)
	if err != nil {
		return g, err
	}
	if g.number > next {
		return g, fmt.Errorf("%w: it is of transaction %d, and the server's next one is %d", store.ErrCheckpoint, g.number, next)
	}
	return g, nil
}

// snapshot gives the oldest open transaction and the next one of the server.
func (postgres) snapshot(ctx context.Context, s *Store) (open, next int64, err error) {
	err = s.pool.QueryRowContext(ctx, "SELECT txid_snapshot_xmin(s), txid_snapshot_xmax(s) FROM txid_current_snapshot() AS s").Scan(&open, &next)
	if err != nil {
		return 0, 0, err
	}
	var last sql.NullInt64
	if err := s.pool.QueryRowContext(ctx, "SELECT max(xid) FROM "+s.names.Table("")).Scan(&last); err != nil {
		return 0, 0, err
	}
	if last.Int64 <= next {
		return open, next, nil
	}
	// It may be of a transaction since.
	if err := s.pool.QueryRowContext(ctx, "SELECT txid_snapshot_xmax(txid_current_snapshot())").Scan(&next); err != nil {
		return 0, 0, err
	}
	if last.Int64 > next {
		return 0, 0, errRestored
	}
	return open, next, nil
}

// arrivals gives records of transactions that are older than the oldest open one. The condition is in the
// statement itself, which sees the table in the same snapshot.
func (d postgres) arrivals(ctx context.Context, s *Store, after stage, limit int) ([]arrival, error) {
	if after == (stage{}) {
		if _, _, err := d.snapshot(ctx, s); err != nil {
			return nil, err
		}
	}
	b := builder{d: d}
	b.write("SELECT 0, xid, ts, log_id, body FROM ", s.names.Table(""), " WHERE xid >= ", b.arg(after.number), " AND (xid > ", b.arg(after.number), " OR log_id > ", b.arg(after.logID),
		") AND xid < txid_snapshot_xmin(txid_current_snapshot()) ORDER BY xid, log_id LIMIT ", strconv.Itoa(limit))
	found, err := s.readArrivals(ctx, &b)
	for i := range found {
		found[i].at.logID = found[i].stored.logID
	}
	return found, err
}

func (d postgres) now(ctx context.Context, s *Store) (stage, error) {
	open, _, err := d.snapshot(ctx, s)
	return stage{number: open}, err
}
