package storetest_test

import (
	"testing"

	"github.com/gormtrail/audit/store/storetest"
)

func TestMemory_conforms(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) storetest.Harness { return storetest.Harness{Store: storetest.NewMemory()} })
}
