package sqlstore

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
	"github.com/gormtrail/audit/store"
)

// feedEra is what _meta has about the eras of the order of arrival. SQLite gives ids again when the rows with the
// largest ones were deleted; that begins a new era, whose records have ids above floor. lowest is the lowest
// floor of all eras.
type feedEra struct{ era, floor, lowest int64 }

const feedMeta = "feed"

func (sqlite) feedEra(ctx context.Context, conn gorm.ConnPool, d sqltable.Dialect, n sqltable.Names) (e feedEra, err error) {
	value, err := sqltable.Meta(ctx, conn, d, n, feedMeta)
	if err != nil || value == "" {
		return e, err
	}
	_, err = fmt.Sscan(value, &e.era, &e.floor, &e.lowest)
	return e, err
}

// largest gives the largest id, 0 without any row.
func (sqlite) largest(ctx context.Context, conn gorm.ConnPool, n sqltable.Names) (int64, error) {
	var id sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT max(id) FROM "+n.Table("")).Scan(&id)
	return id.Int64, err
}

// keepEra is for a transaction that has deleted rows, of which before was the largest id.
func (d sqlite) keepEra(ctx context.Context, conn gorm.ConnPool, n sqltable.Names, before int64) error {
	after, err := d.largest(ctx, conn, n)
	if err != nil || after == before {
		return err
	}
	e, err := d.feedEra(ctx, conn, d, n)
	if err != nil {
		return err
	}
	if e.era == 0 {
		e.lowest = after
	}
	e.era, e.floor, e.lowest = e.era+1, after, min(e.lowest, after)
	_, err = conn.ExecContext(ctx, "INSERT INTO "+n.Table("_meta")+" (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
		feedMeta, fmt.Sprint(e.era, e.floor, e.lowest))
	return err
}

func (d sqlite) place(ctx context.Context, s *Store, g stage) (stage, error) {
	e, err := d.feedEra(ctx, s.pool, d, s.names)
	if err != nil {
		return g, err
	}
	if g.era > e.era {
		return g, fmt.Errorf("%w: it is of era %d, and this is era %d", store.ErrCheckpoint, g.era, e.era)
	}
	switch e.era - g.era {
	case 0:
	case 1:
		g.number = min(g.number, e.floor)
	default:
		g.number = min(g.number, e.lowest)
	}
	g.era = e.era
	return g, nil
}

func (d sqlite) arrivals(ctx context.Context, s *Store, after stage, limit int) ([]arrival, error) {
	b := builder{d: d}
	// The era is read together with the records: a Purge may begin a new one at any time, and a checkpoint
	// must not be of a later era than its records.
	era := "coalesce((SELECT CAST(substr(value, 1, instr(value, ' ')) AS INTEGER) FROM " + s.names.Table("_meta") + " WHERE name = '" + feedMeta + "'), 0)"
	b.write("SELECT ", era, ", id, ts, log_id, body FROM ", s.names.Table(""), " WHERE id > ", b.arg(after.number), " ORDER BY id LIMIT ", strconv.Itoa(limit))
	found, err := s.readArrivals(ctx, &b)
	if err != nil || len(found) == 0 || found[0].at.era == after.era {
		return found, err
	}
	// A new era has begun since the checkpoint was looked at: begin where it says.
	if after, err = d.place(ctx, s, after); err != nil {
		return nil, err
	}
	return d.arrivals(ctx, s, after, limit)
}

func (d sqlite) now(ctx context.Context, s *Store) (stage, error) {
	var g stage
	// The era first: if one begins in between, the checkpoint is of the one before, and goes back to its floor.
	e, err := d.feedEra(ctx, s.pool, d, s.names)
	if err == nil {
		g.era = e.era
		g.number, err = d.largest(ctx, s.pool, s.names)
	}
	return g, err
}
