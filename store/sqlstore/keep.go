package sqlstore

import (
	"context"
	"fmt"

	"github.com/gormtrail/audit/internal/sqltable"
)

// LastConfig gives the configuration that KeepConfig kept last for the program, nil if there is none. With
// KeepConfig it implements audit.ConfigKeeper.
func (s *Store) LastConfig(ctx context.Context, program string) ([]byte, error) {
	config, err := sqltable.LastConfig(ctx, s.pool, s.d, s.names, program)
	if err != nil {
		return nil, fmt.Errorf("sqlstore: read the configuration kept in %s: %w", s.names.Table("_meta"), err)
	}
	return config, nil
}

// KeepConfig keeps the configuration of a program.
func (s *Store) KeepConfig(ctx context.Context, program string, config []byte) error {
	if err := sqltable.KeepConfig(ctx, s.pool, s.d, s.names, program, config); err != nil {
		return fmt.Errorf("sqlstore: keep the configuration in %s: %w", s.names.Table("_meta"), err)
	}
	return nil
}
