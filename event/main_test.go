package event_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/gormtrail/audit/event"
)

// exportAll compares the unexported fields of the package's types as well.
var exportAll = cmp.Exporter(func(t reflect.Type) bool {
	return t.PkgPath() == reflect.TypeFor[event.Record]().PkgPath()
})

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

func encode(t testing.TB, r event.Record) []byte {
	t.Helper()
	data, err := event.Encode(r)
	if err != nil {
		t.Fatalf("Encode: %v", err)
	}
	return data
}
