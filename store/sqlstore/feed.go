package sqlstore

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/gormtrail/audit/store"
)

// feedRows is how many records a call of Changes looks at.
const feedRows = 5000

// arrival is where a record is in the order of arrival.
type arrival struct {
	at stage
	stored
}

// stage is a place in that order, of which each database uses what it has: number is the transaction on
// PostgreSQL, else the record; logID is only there within a transaction, and era only on SQLite.
type stage struct {
	era, number int64
	logID       string
}

func (g stage) String() string {
	return strconv.FormatInt(g.era, 36) + "." + strconv.FormatInt(g.number, 36) + "." + base64.RawURLEncoding.EncodeToString([]byte(g.logID))
}

func parseStage(s string) (g stage, err error) {
	if s == "" {
		return stage{}, nil
	}
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return g, fmt.Errorf("%w: %q", store.ErrCheckpoint, s)
	}
	era, err1 := strconv.ParseInt(parts[0], 36, 64)
	number, err2 := strconv.ParseInt(parts[1], 36, 64)
	logID, err3 := base64.RawURLEncoding.DecodeString(parts[2])
	if err1 != nil || err2 != nil || err3 != nil || era < 0 || number < 0 {
		return g, fmt.Errorf("%w: %q", store.ErrCheckpoint, s)
	}
	return stage{era, number, string(logID)}, nil
}

// feed is how a database knows the order of arrival.
type feed interface {
	// place checks that a checkpoint is one of this database, and gives where to go on; an error wraps
	// store.ErrCheckpoint.
	place(ctx context.Context, s *Store, g stage) (stage, error)
	// arrivals gives the next records, at most limit.
	arrivals(ctx context.Context, s *Store, after stage, limit int) ([]arrival, error)
	// now gives the place behind all that arrivals gives.
	now(ctx context.Context, s *Store) (stage, error)
}

// Changes implements store.Feed. No record comes twice, but for what is said of SQLite.
//
// PostgreSQL: records are ordered by the transaction that wrote them, and come when all transactions that began
// before have ended. So none is skipped, and the oldest open transaction of the server that writes holds up all
// later ones. In a database that was restored from a dump the numbers are those of the old server: Changes is
// an error until UPDATE audit_logs SET xid = 0 was run, once, by hand.
//
// SQLite: records are ordered as they were committed, for there is one writer at a time. After a Purge that
// deleted the newest record, those behind it may come again.
//
// MySQL and MariaDB: Changes itself numbers the records that are committed, in a transaction of its own, and so
// needs the right to write. The order is that in which it has found them.
func (s *Store) Changes(ctx context.Context, r store.ChangesRequest) (store.Changes, error) {
	r = r.WithDefaults()
	if err := r.Validate(); err != nil {
		return store.Changes{}, err
	}
	at, err := parseStage(r.After)
	if err != nil {
		return store.Changes{}, err
	}
	var changes store.Changes
	if r.After != "" {
		if at, err = s.d.place(ctx, s, at); err != nil {
			return store.Changes{}, feedError(err)
		}
	}
	match := r.Query.Matcher()
	for looked := 0; looked < feedRows; {
		limit := min(scanRows, max(r.Size, 20))
		rows, err := s.d.arrivals(ctx, s, at, limit)
		if err != nil {
			return store.Changes{}, feedError(err)
		}
		for _, row := range rows {
			record, err := decode(row.stored)
			if err != nil {
				return store.Changes{}, err
			}
			looked, at = looked+1, row.at
			if match(record) {
				changes.Records = append(changes.Records, record)
			}
			if len(changes.Records) == r.Size {
				changes.Next, changes.More = at.String(), true
				return changes, nil
			}
		}
		if len(rows) < limit {
			changes.Next = at.String()
			return changes, nil
		}
	}
	changes.Next, changes.More = at.String(), true
	return changes, nil
}

// Now implements store.Feed.
func (s *Store) Now(ctx context.Context) (string, error) {
	at, err := s.d.now(ctx, s)
	if err != nil {
		return "", feedError(err)
	}
	return at.String(), nil
}

func feedError(err error) error {
	if errors.Is(err, store.ErrCheckpoint) {
		return err
	}
	return unavailable("changes", err)
}

// readArrivals runs a query for era, number, ts, log_id and body.
func (s *Store) readArrivals(ctx context.Context, b *builder) (found []arrival, err error) {
	rows, err := s.pool.QueryContext(ctx, b.String(), b.args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r arrival
		if err := rows.Scan(&r.at.era, &r.at.number, &r.millis, &r.logID, &r.body); err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, rows.Err()
}
