package audit

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gorm.io/gorm/schema"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/mask"
)

func TestEncodeValue(t *testing.T) {
	t.Parallel()
	zone := time.FixedZone("", 7*3600)
	cases := []struct {
		kind kind
		raw  any
		want string
	}{
		{kindString, nil, `null`},
		{kindString, "a <b> \"c\"\n", `"a <b> \"c\"\n"`},
		{kindString, []byte("text"), `"text"`},
		{kindString, []byte{0xff, 0xfe}, `"//4="`},
		{kindString, int64(7), `"7"`},
		{kindInteger, int64(-7), `-7`},
		{kindInteger, uint64(math.MaxUint64), `18446744073709551615`},
		{kindInteger, []byte("18446744073709551615"), `18446744073709551615`},
		{kindInteger, "007", `"007"`},
		{kindInteger, 7.0, `7`},
		{kindInteger, 7.5, `"7.5"`},
		{kindInteger, true, `1`},
		{kindInteger, int32(7), `7`},
		{kindInteger, "-", `"-"`},
		{kindDecimal, "12.30", `"12.30"`},
		{kindDecimal, []byte("12.30"), `"12.30"`},
		{kindDecimal, 1e21, `"1000000000000000000000"`},
		{kindDecimal, float32(0.1), `"0.1"`},
		{kindDecimal, int64(12), `"12"`},
		{kindDecimal, "NaN", `"NaN"`},
		{kindFloat, 0.1, `0.1`},
		{kindFloat, float32(0.1), `0.1`},
		{kindFloat, math.NaN(), `"NaN"`},
		{kindFloat, math.Inf(-1), `"-Infinity"`},
		{kindFloat, float32(math.Inf(1)), `"Infinity"`},
		{kindFloat, "1.50", `1.50`},
		{kindFloat, "Infinity", `"Infinity"`},
		{kindFloat, "0x1p4", `"0x1p4"`},
		{kindBool, true, `true`},
		{kindBool, int64(0), `false`},
		{kindBool, []byte{1}, `true`},
		{kindBool, "f", `false`},
		{kindBool, int64(2), `"2"`},
		{kindTime, time.Date(2024, 2, 29, 1, 2, 3, 4000, zone), `"2024-02-28T18:02:03.000004Z"`},
		{kindTime, "2024-02-29 01:02:03.5+07:00", `"2024-02-28T18:02:03.5Z"`},
		{kindTime, "2024-02-29", `"2024-02-29T00:00:00Z"`},
		{kindTime, "infinity", `"infinity"`},
		{kindTime, time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC), `"12000-01-01 00:00:00 +0000 UTC"`},
		{kindJSON, `{"b" : 1.0 , "a":[ ]}`, `{"b":1.0,"a":[]}`},
		{kindJSON, []byte(`"x"`), `"x"`},
		{kindJSON, `{broken`, `"{broken"`},
		{kindJSON, ``, `""`},
		{kindBytes, []byte{0, 1}, `"AAE="`},
		{kindBytes, "ab", `"YWI="`},
		{kindBytes, int64(1), `"1"`},
	}
	for _, c := range cases {
		got := encodeValue(c.kind, c.raw)
		if string(got) != c.want || !json.Valid(got) {
			t.Errorf("%s of %#v is %s, want %s", c.kind, c.raw, got, c.want)
		}
	}
}

func TestEqualValue(t *testing.T) {
	t.Parallel()
	now := time.Now()
	cases := []struct {
		kind kind
		a, b any
		want bool
	}{
		{kindString, nil, nil, true},
		{kindString, nil, "", false},
		{kindString, "", nil, false},
		{kindString, "a", []byte("a"), true},
		{kindString, "a", "b", false},
		{kindInteger, int64(1), uint64(1), true},
		{kindInteger, []byte("18446744073709551615"), uint64(math.MaxUint64), true},
		{kindInteger, int64(1), int64(2), false},
		{kindDecimal, "12.30", []byte("12.30"), true},
		{kindDecimal, "12.30", "12.31", false},
		{kindFloat, math.NaN(), math.NaN(), true},
		{kindFloat, 1.0, math.NaN(), false},
		{kindBool, true, true, true},
		{kindBool, true, false, false},
		{kindTime, now, now.In(time.FixedZone("", 3600)), true},
		{kindTime, now, now.Add(1), false},
		{kindJSON, `{"a":1,"b":[1,2]}`, []byte(`{ "b":[1,2], "a":1 }`), true},
		{kindJSON, `{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{kindJSON, `{"a":12345678901234567890}`, `{"a":12345678901234567891}`, false},
		{kindJSON, `{broken`, `{broken `, false},
		{kindBytes, []byte{1, 2}, []byte{2, 1}, false},
		{kindBytes, []byte{1, 2}, "\x01\x02", true},
		{kindBytes, []byte{0xff}, "/w==", false},
	}
	for _, c := range cases {
		if got := equalValue(c.kind, c.a, c.b); got != c.want {
			t.Errorf("%s: %#v and %#v equal is %v, want %v", c.kind, c.a, c.b, got, c.want)
		}
	}
}

func TestKindOf(t *testing.T) {
	t.Parallel()
	type model struct {
		Int      int
		Uint     uint64
		Float    float64
		Bool     *bool
		Text     string
		Time     time.Time
		Bytes    []byte
		Decimal  float64        `gorm:"type:decimal(10,2)"`
		Money    string         `gorm:"type:numeric"`
		JSON     string         `gorm:"type:jsonb"`
		Settings map[string]any `gorm:"serializer:json"`
		Gob      []string       `gorm:"serializer:gob"`
		Unix     int64          `gorm:"serializer:unixtime;type:timestamp"`
		Date     string         `gorm:"type:date"`
		Clock    string         `gorm:"type:time"`
		UUID     string         `gorm:"type:uuid"`
		Tiny     bool           `gorm:"type:tinyint(1)"`
		Big      string         `gorm:"type:BIGINT UNSIGNED"`
		Blob     string         `gorm:"type:varbinary(16)"`
		Array    string         `gorm:"type:integer[]"`
		Odd      int            `gorm:"type:my_domain"`
	}
	s, err := schema.Parse(&model{}, &sync.Map{}, schema.NamingStrategy{})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]kind{
		"Int": kindInteger, "Uint": kindInteger, "Float": kindFloat, "Bool": kindBool, "Text": kindString, "Time": kindTime,
		"Bytes": kindBytes, "Decimal": kindDecimal, "Money": kindDecimal, "JSON": kindJSON, "Settings": kindJSON, "Gob": kindBytes,
		"Unix": kindTime, "Date": kindTime, "Clock": kindTime, "UUID": kindString, "Tiny": kindBool, "Big": kindInteger,
		"Blob": kindBytes, "Array": kindString, "Odd": kindInteger,
	}
	for name, k := range want {
		if got := kindOf(s.LookUpField(name)); got != k {
			t.Errorf("%s is %s, want %s", name, got, k)
		}
	}
}

func TestRows_insideJSON(t *testing.T) {
	t.Parallel()
	sh := &shower{rules: &mask.Rules{}}
	c := &column{name: "doc", kind: kindJSON, label: "Document"}
	many := func(v string) string {
		return "[" + strings.TrimSuffix(strings.Repeat(v+",", maxPaths+1), ",") + "]"
	}
	cases := []struct {
		name     string
		old, now any
		want     []string
	}{
		{"a leaf", `{"a":{"b":1,"c":2}}`, `{"a":{"b":1.5,"c":2}}`, []string{"Document.a.b 1 1.5"}},
		{"added and removed", `{"a":1}`, `{"b":{"x":[1]}}`, []string{"Document.a 1 null", `Document.b null {"x":[1]}`}},
		{"order of a list", `{"l":["x","y"]}`, `{"l":["y","x"]}`, []string{`Document.l.0 "x" "y"`, `Document.l.1 "y" "x"`}},
		{"another type", `{"a":{"b":1}}`, `{"a":"text"}`, []string{`Document.a {"b":1} "text"`}},
		{"null inside", `{"a":null}`, `{"a":1}`, []string{"Document.a null 1"}},
		{"secret", `{"x":{"api_key":"k1"}}`, `{"x":{"api_key":"k2"}}`, []string{`Document.x.api_key "[REDACTED]" "[REDACTED]"`}},
		{"secret below", `{"x":1}`, `{"x":{"password":"p"}}`, nil},
		{"whole value", `1`, `2`, []string{`Document 1 2`}},
		{"too many", many("1"), many("2"), []string{"Document " + many("1") + " " + many("2")}},
		{"broken", `{`, `{}`, []string{`Document "{" {}`}},
		{"from null", nil, `{"a":1}`, []string{`Document null {"a":1}`}},
	}
	for _, tc := range cases {
		before, after := []any{tc.old}, []any{tc.now}
		ch := sh.change(c, 0, before, after)
		var got []string
		for _, r := range sh.rows(nil, c, 0, before, after, &ch) {
			got = append(got, r.Field+" "+string(r.OldValue)+" "+string(r.NewValue))
		}
		slices.Sort(got)
		if tc.want == nil {
			if s := strings.Join(got, "\n"); strings.Contains(s, `"p"`) {
				t.Errorf("%s: %s", tc.name, s)
			}
			continue
		}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestMaskers(t *testing.T) {
	t.Parallel()
	var failed []error
	sh := &shower{rules: &mask.Rules{}, failed: func(err error) { failed = append(failed, err) }}
	last4 := func(v any) any { s := v.(string); return "…" + s[len(s)-4:] }
	cases := []struct {
		name string
		c    column
		raw  any
		want string
	}{
		{"masked", column{masked: true}, "hush", `"[REDACTED]"`},
		{"masked null", column{masked: true}, nil, `null`},
		{"masked number", column{masked: true, kind: kindInteger}, int64(7), `"[REDACTED]"`},
		{"masked bytes", column{masked: true, kind: kindBytes}, []byte("hush"), `"[REDACTED]"`},
		{"by function", column{masked: true, masker: last4}, "1234567890", `"…7890"`},
		{"panic", column{masker: last4}, "hus", `"[MASK_ERROR]"`},
		{"unencodable", column{masker: func(any) any { return func() {} }}, "hush", `"[MASK_ERROR]"`},
		{"form", column{}, "key AKIAIOSFODNN7EXAMPLE", `"key [REDACTED]"`},
		{"form in JSON", column{kind: kindJSON}, `{"k":"AKIAIOSFODNN7EXAMPLE"}`, `{"k":"[REDACTED]"}`},
		{"form in broken JSON", column{kind: kindJSON}, `{AKIAIOSFODNN7EXAMPLE`, `"{[REDACTED]"`},
		{"left alone", column{plain: true}, "key AKIAIOSFODNN7EXAMPLE", `"key AKIAIOSFODNN7EXAMPLE"`},
	}
	for _, c := range cases {
		if got, _ := sh.value(&c.c, c.raw); string(got) != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
	if len(failed) != 1 || strings.Contains(failed[0].Error(), "hus ") {
		t.Errorf("failures %v", failed)
	}
}

func TestCutRunes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": "", "äöü": "äöü", "äöüß": "äöüß", "äöüßx": "äöü…", "abcd": "abcd", "abcde": "abc…"} {
		if got := cutRunes(in, 4); got != want {
			t.Errorf("cutRunes(%q, 4) = %q, want %q", in, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"": "", "main": "main", "a/hrm": "hrm", "a/hrm/v2": "hrm", "gopkg.in/hrm.v3": "hrm", "v2": "v2", "a/victor": "victor"} {
		if got := appLabel(path); got != want {
			t.Errorf("appLabel(%q) = %q, want %q", path, got, want)
		}
	}
	for name, want := range map[string]string{"EmployeeDependent": "Employee Dependent", "SKU": "SKU", "HTTPServer": "HTTP Server", "snake_case": "Snake Case", "Person2": "Person 2"} {
		if got := verbose(name); got != want {
			t.Errorf("verbose(%q) = %q, want %q", name, got, want)
		}
	}
	for name, want := range map[string]string{"My Model": "My Models", "Category": "Categories", "Person": "People", "Mouse": "Mice", "SKU": "SKUs", "": ""} {
		if got := plural(name); got != want {
			t.Errorf("plural(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParseAction(t *testing.T) {
	t.Parallel()
	for in, want := range map[Action]Action{"create": "ADD", " UPDATE ": "CHANGE", "delete": "DELETE", "Approve_2": "APPROVE_2"} {
		if got, err := parseAction(in); err != nil || got != want {
			t.Errorf("parseAction(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []Action{"", "1A", "A B", "Ä", event.Action(strings.Repeat("A", 65))} {
		if got, err := parseAction(in); err == nil {
			t.Errorf("parseAction(%q) = %q, want an error", in, got)
		}
	}
}
