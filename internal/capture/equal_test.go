package capture

import (
	"math"
	"testing"
	"time"
)

func TestEqual(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{nil, nil, true},
		{nil, int64(0), false},
		{int64(0), nil, false},
		{"", nil, false},
		{int64(1), int64(1), true},
		{int64(1), uint64(1), true},
		{int64(1), []byte("1"), true},
		{uint64(math.MaxUint64), []byte("18446744073709551615"), true},
		{"a", []byte("a"), true},
		{"a", "b", false},
		{[]byte{0}, []byte{1}, false},
		{1.5, 1.5, true},
		{math.NaN(), math.NaN(), true},
		{"NaN", math.NaN(), true},
		{float32(1.1), float32(1.1), true},
		{1.5, "1.5", true},
		{true, true, true},
		{true, int64(1), true},
		{true, false, false},
		{now, now.In(time.FixedZone("x", 3600)), true},
		{now, now.Add(1), false},
		{now, "infinity", false},
		{"infinity", now, false},
		{[]int{1}, []int{1}, true},
		{"12.30", "12.3", false},
	} {
		if got := Equal(c.a, c.b); got != c.want {
			t.Errorf("Equal(%v, %v) = %v", c.a, c.b, got)
		}
		if got := Equal(c.b, c.a); got != c.want {
			t.Errorf("Equal(%v, %v) = %v", c.b, c.a, got)
		}
	}
}

func TestEqualColumn_documents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b any
		want bool
	}{
		{`{"a":1,"b":[2,3]}`, []byte(`{ "b": [2, 3], "a": 1 }`), true},
		{`[1,2]`, `[2,1]`, false},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`1`, `1 2`, false},
		{`{"a":12345678901234567890}`, `{"a":12345678901234567891}`, false},
		{`broken`, `{"a":1}`, false},
		{nil, `null`, false},
	} {
		if got := equalColumn(true, c.a, c.b); got != c.want {
			t.Errorf("%v, %v: %v", c.a, c.b, got)
		}
	}
	if equalColumn(false, `{"a":1, "b":2}`, `{"b":2,"a":1}`) {
		t.Error("texts are no documents")
	}
}

func TestRenumber(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{`"a" = $3 AND b = $12`, `"a" = $1 AND b = $10`},
		{`a = '$3' AND "x$3" = $3`, `a = '$3' AND "x$3" = $1`},
		{`a = 'it''s $3' AND b = $4`, `a = 'it''s $3' AND b = $2`},
		{`a = 'open`, `a = 'open`},
	} {
		if got := renumber(c[0], 2); got != c[1] {
			t.Errorf("%s: %s", c[0], got)
		}
	}
}
