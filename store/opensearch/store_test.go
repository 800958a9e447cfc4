package opensearch

import (
	"net/http"
	"testing"

	"github.com/gormtrail/audit/internal/testservers"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/storetest"
)

// ends is a store that one account writes to and another one reads.
type ends struct {
	store.Writer
	reader
}

// reader is the end that reads.
type reader interface {
	store.Searcher
	store.Counter
	store.Faceter
	store.Histogrammer
	store.Feed
}

func TestStore(t *testing.T) {
	t.Parallel()
	testservers.OpenSearch(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s := newStore(t)
		return storetest.Harness{Store: ends{s, asReader(t, s)}, Refresh: asAdmin(t, s).Refresh}
	})
}

// TestStore_throughTheFake: the server that gives bad answers in other tests passes the suite while it gives
// good ones.
func TestStore_throughTheFake(t *testing.T) {
	t.Parallel()
	testservers.OpenSearch(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness {
		s, _ := newFaultyStore(t, func(*faults, http.ResponseWriter, *http.Request, int64) bool { return false })
		return storetest.Harness{Store: ends{s, asReader(t, s)}, Refresh: asAdmin(t, s).Refresh}
	})
}
