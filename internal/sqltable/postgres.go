package sqltable

import (
	"context"
	"errors"
	"strconv"
	"time"

	"gorm.io/gorm"
)

// InsertSafely sends, on PostgreSQL, the texts of INSERTs into the table within the transaction of conn,
// which stays usable if there is an error, waiting for locks no longer than limit; a negative limit
// leaves that to the connection's own setting.
//
// Savepoint, INSERT and release are one message: an Exec without arguments goes as one simple message,
// whatever the driver is. LOCK … NOWAIT takes the lock that the INSERT needs anyway, and costs nothing;
// only if the table is locked, the INSERT is sent again with a lock time-out, because setting and
// restoring one takes a quarter of the time that the INSERT does.
func InsertSafely(ctx context.Context, conn gorm.ConnPool, table, savepoint string, limit time.Duration, texts []string) error {
	conn = Unprepared(conn) // a prepared statement cannot be several ones
	if limit < 0 {
		return sendSafely(ctx, conn, savepoint, "", "", texts)
	}
	err := sendSafely(ctx, conn, savepoint, "LOCK TABLE "+table+" IN ROW EXCLUSIVE MODE NOWAIT;", "", texts)
	if !isLocked(err) {
		return err
	}
	millis := strconv.FormatInt(max(limit.Milliseconds(), 1), 10)
	return sendSafely(ctx, conn, savepoint,
		"SELECT set_config('audit.lock_timeout', current_setting('lock_timeout'), true), set_config('lock_timeout', '"+millis+"', true);",
		";SELECT set_config('lock_timeout', current_setting('audit.lock_timeout'), true)", texts)
}

// sendSafely sends the texts within a savepoint, and undoes them if there is an error.
func sendSafely(ctx context.Context, conn gorm.ConnPool, savepoint, before, after string, texts []string) error {
	for i, text := range texts {
		if i == 0 {
			text = "SAVEPOINT " + savepoint + ";" + before + text
		}
		if i == len(texts)-1 {
			text += after + ";RELEASE SAVEPOINT " + savepoint
		}
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return errors.Join(err, RollbackTo(ctx, conn, savepoint))
		}
	}
	return nil
}

// isLocked reports whether err is lock_not_available. The errors of all drivers for PostgreSQL have the
// method.
func isLocked(err error) bool {
	var state interface{ SQLState() string }
	return errors.As(err, &state) && state.SQLState() == "55P03"
}
