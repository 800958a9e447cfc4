package sqlstore

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

// savepoint is the name of the savepoint around what the store does in the application's transaction.
const savepoint = "audit_logs_write"

// withSavepoint runs f so that the transaction of conn can go on if it fails, unless strict is set.
func withSavepoint(ctx context.Context, conn gorm.ConnPool, strict bool, f func() error) error {
	if strict {
		return f()
	}
	if _, err := conn.ExecContext(ctx, "SAVEPOINT "+savepoint); err != nil {
		return err
	}
	if err := f(); err != nil {
		return errors.Join(err, rollbackTo(ctx, conn))
	}
	_, err := conn.ExecContext(ctx, "RELEASE SAVEPOINT "+savepoint)
	return err
}

// rollbackTo undoes what was done since the savepoint.
func rollbackTo(ctx context.Context, conn gorm.ConnPool) error {
	for _, s := range []string{"ROLLBACK TO SAVEPOINT " + savepoint, "RELEASE SAVEPOINT " + savepoint} {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("after it: %w", err)
		}
	}
	return nil
}
