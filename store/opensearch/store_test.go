package opensearch

import (
	"testing"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	testservers.OpenSearch(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := newStore(t)
		return storetest.Harness{Store: s, Refresh: s.Refresh}
	})
}
