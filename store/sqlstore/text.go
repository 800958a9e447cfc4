package sqlstore

import (
	"context"

	"github.com/gormtrail/audit/store"
)

// searchText answers a query with Text.
func (s *Store) searchText(ctx context.Context, q store.Query, terms []store.Term) (store.Page, error) {
	return s.scanText(ctx, q, terms)
}
