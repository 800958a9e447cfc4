package sqlstore

import (
	"context"

	"gorm.io/gorm"

	"github.com/gormtrail/audit/internal/sqltable"
)

// savepoint is the name of the savepoint around what the store does in the application's transaction.
const savepoint = "audit_logs_write"

// withSavepoint runs f so that the transaction of conn can go on if it fails, unless strict is set.
func withSavepoint(ctx context.Context, conn gorm.ConnPool, strict bool, f func() error) error {
	if strict {
		return f()
	}
	return sqltable.WithSavepoint(ctx, conn, savepoint, f)
}
