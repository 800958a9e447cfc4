package event_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

const ok = `"log_id":"1","timestamp":"2026-01-01T00:00:00Z","action":"ADD"`

// invalid are the ways in which data is no record; want is a part of the error.
var invalid = []struct{ name, data, want string }{
	{"empty", "", "no JSON"},
	{"cut", `{"log_id":"1`, "no JSON"},
	{"two", "{" + ok + "}{}", "no JSON"},
	{"null", "null", `"null" is not an object`},
	{"list", "[]", `"[]" is not an object`},
	{"no log_id", `{"timestamp":"2026-01-01T00:00:00Z","action":"ADD"}`, "log_id is missing"},
	{"null log_id", `{"log_id":null,"timestamp":"2026-01-01T00:00:00Z","action":"ADD"}`, "log_id is missing"},
	{"blank log_id", `{"log_id":" ","timestamp":"2026-01-01T00:00:00Z","action":"ADD"}`, "log_id is missing"},
	{"long log_id", `{"log_id":"` + strings.Repeat("x", 513) + `","timestamp":"2026-01-01T00:00:00Z","action":"ADD"}`, "513 bytes, want at most 512"},
	{"no timestamp", `{"log_id":"1","action":"ADD"}`, "timestamp is missing"},
	{"null timestamp", `{"log_id":"1","timestamp":null,"action":"ADD"}`, "timestamp is missing"},
	{"bad timestamp", `{"log_id":"1","timestamp":"yesterday","action":"ADD"}`, `timestamp: "yesterday" is not a time`},
	{"number timestamp", `{"log_id":"1","timestamp":5,"action":"ADD"}`, `timestamp: "5" is not a time`},
	{"no action", `{"log_id":"1","timestamp":"2026-01-01T00:00:00Z"}`, "action is missing"},
	{"object as text", "{" + ok + `,"user_id":{"a":1}}`, "user_id: "},
	{"text as number", "{" + ok + `,"total_processed":"many"}`, "total_processed: "},
	{"fraction", "{" + ok + `,"error_count":1.5}`, "error_count: "},
	{"negative seq", `{"schema_version":1,` + ok + `,"seq":-1}`, "seq: "},
	{"text as boolean", "{" + ok + `,"batch_summary":"yes"}`, "batch_summary: "},
	{"number as list", "{" + ok + `,"errors":5}`, "errors: "},
	{"changes no list", `{"schema_version":1,` + ok + `,"changes":{}}`, "changes: "},
	{"change no object", `{"schema_version":1,` + ok + `,"changes":[5]}`, "changes: 0: "},
	{"change field", `{"schema_version":1,` + ok + `,"changes":[{"field":[]}]}`, "changes: 0: field: "},
	{"extra no object", `{"schema_version":1,` + ok + `,"extra":5}`, "extra: "},
	{"schema_version", `{"schema_version":-1,` + ok + `}`, "schema_version: "},
	{"twice", "{" + ok + `,"log_id":"2"}`, `the name "log_id" stands twice`},
	{"twice with escapes", "{" + ok + `,"log\u005fid":"2"}`, `the name "log_id" stands twice`},
	{"twice deep down", "{" + ok + `,"extra":{"a":[{"b":1,"b":2}]}}`, `the name "b" stands twice`},
	{"too deep", "{" + ok + `,"extra":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + "}", "nested 65 levels deep, want at most 64"},
	{"bomb", "{" + ok + `,"extra":` + strings.Repeat(`{"":`, 200_000), "want at most 64"},
	{"too large", "{" + ok + `,"reason":"` + strings.Repeat("x", event.MaxDecodeSize) + `"}`, "want at most 1048576"},
}

func TestDecode_refusesWithTheReason(t *testing.T) {
	t.Parallel()
	for _, c := range invalid {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := event.Decode([]byte(c.data))
			if !errors.Is(err, event.ErrInvalid) || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 300 {
				t.Errorf("error %.400v, want ErrInvalid with %q", err, c.want)
			}
		})
	}
}

func TestDecode_takesWhatOthersWrite(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, members string
		want          func(r *event.Record)
	}{
		{"ids as numbers", `,"user_id":7,"object_id":12345678901234567890,"source_pk":true`, func(r *event.Record) {
			r.UserID, r.ObjectID, r.SourcePK = "7", "12345678901234567890", "true"
		}},
		{
			"nulls", `,"user_id":null,"change_message":null,"errors":null,"batch_summary":null,"total_processed":null,"extra":null,"batch_action":null`,
			func(*event.Record) {},
		},
		{"nulls in lists", `,"errors":[null,"a",{"b": 1},2]`, func(r *event.Record) { r.Errors = []string{"a", `{"b":1}`, "2"} }},
		{"a lone error", `,"errors":"a"`, func(r *event.Record) { r.Errors = []string{"a"} }},
		{"whole numbers", `,"total_processed":2.0,"error_count":"3"`, func(r *event.Record) { r.TotalProcessed, r.ErrorCount = 2, 3 }},
		{"custom fields", `,"n":1.50,"deep":{"a":[null]},"Action":"x"`, func(r *event.Record) {
			r.Extra = map[string]any{"n": json.Number("1.50"), "deep": map[string]any{"a": []any{nil}}, "Action": "x"}
		}},
		{"custom fields with our names", `,"table":"t","seq":5,"changes":"none","is_truncated":true,"record_hash":"h","extra":"e","reason":9`, func(r *event.Record) {
			r.Table = "t"
			r.Extra = map[string]any{"seq": json.Number("5"), "changes": "none", "is_truncated": true, "record_hash": "h", "extra": "e", "reason": json.Number("9")}
		}},
		{"empty extra", `,"extra":{}`, func(*event.Record) {}},
		{"invalid UTF-8", ",\"username\":\"a\xffb\"", func(r *event.Record) { r.Username = "a\uFFFDb" }},
		{"half a surrogate pair", `,"username":"a\ud800b"`, func(r *event.Record) { r.Username = "a\uFFFDb" }},
		{"zero schema_version", `,"schema_version":0,"x":1`, func(r *event.Record) { r.Extra = map[string]any{"x": json.Number("1")} }},
		{"custom field at the depth limit", `,"x":` + strings.Repeat("[", 63) + strings.Repeat("]", 63), func(r *event.Record) {
			r.Extra = map[string]any{"x": strings.Repeat("[", 63) + strings.Repeat("]", 63)}
		}},
		{"a message that is a list", `,"change_message":[1, "\u0061"]`, func(r *event.Record) {
			_ = json.Unmarshal([]byte(`[1,"a"]`), &r.ChangeMessage)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := event.Decode([]byte("{" + ok + c.members + "}"))
			if err != nil {
				t.Fatal(err)
			}
			want := event.Record{SchemaVersion: 1, LogID: "1", Timestamp: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Action: event.ActionAdd}
			c.want(&want)
			if d := cmp.Diff(want, got, exportAll); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestDecode_readsTimes(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"2024-01-02T03:04:05Z":                 "2024-01-02T03:04:05Z",
		"2024-01-02T03:04:05.123456":           "2024-01-02T03:04:05.123456Z",
		"2024-01-02 03:04:05":                  "2024-01-02T03:04:05Z",
		"2024-01-02T03:04:05.5+07:00":          "2024-01-01T20:04:05.5Z",
		"2024-01-02T03:04:05.5+0700":           "2024-01-01T20:04:05.5Z",
		"2024-01-02 03:04:05+0000":             "2024-01-02T03:04:05Z",
		"2024-01-02 03:04:05.000000001-00:30":  "2024-01-02T03:34:05.000000001Z",
		"0000-01-01T00:00:00+01:00":            "0000-01-01T00:00:00Z",
		"9999-12-31T23:59:59-01:00":            "9999-12-31T23:59:59.999999999Z",
		"9999-12-31T23:59:59.999999999+00:00":  "9999-12-31T23:59:59.999999999Z",
		"2024-01-02T03:04:05.1234567891234567": "2024-01-02T03:04:05.123456789Z",
	} {
		r, err := event.Decode([]byte(`{"log_id":"1","action":"ADD","timestamp":"` + in + `"}`))
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		if got := r.Timestamp.Format(time.RFC3339Nano); got != want {
			t.Errorf("%s is read as %s, want %s", in, got, want)
		}
	}
}

func TestEncode_refusesWhatIsNoRecord(t *testing.T) {
	t.Parallel()
	good := event.Record{LogID: "1", Timestamp: at, Action: event.ActionAdd}
	for name, spoil := range map[string]func(r *event.Record){
		"log_id is missing":    func(r *event.Record) { r.LogID = " " },
		"want at most 512":     func(r *event.Record) { r.LogID = strings.Repeat("\xff", 200) },
		"timestamp is missing": func(r *event.Record) { r.Timestamp = time.Time{} },
		"action is missing":    func(r *event.Record) { r.Action = " " },
	} {
		r := good
		spoil(&r)
		if _, err := event.Encode(r); !errors.Is(err, event.ErrInvalid) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want ErrInvalid with %q", err, name)
		}
	}
}

type panics struct{}

func (panics) MarshalJSON() ([]byte, error) { panic("no") }

type panickingError struct{}

func (panickingError) Error() string { panic("no") }

// TestEncode_marksWhatHasNoEncoding: a value that cannot be written never costs the record.
func TestEncode_marksWhatHasNoEncoding(t *testing.T) {
	t.Parallel()
	cycle := map[string]any{}
	cycle["self"] = cycle
	deep := any("x")
	for range 100 {
		deep = []any{deep}
	}
	for _, c := range []struct {
		name  string
		value any
		want  string // a part of the JSON
	}{
		{"NaN", math.NaN(), `"NaN"`},
		{"infinity", math.Inf(1), `"Infinity"`},
		{"minus infinity", float32(math.Inf(-1)), `"-Infinity"`},
		{"NaN inside", []any{map[string]any{"a": math.NaN()}}, `[{"a":"NaN"}]`},
		{"NaN in a struct", struct{ F float64 }{math.NaN()}, `"[UNENCODABLE] json: unsupported value: NaN"`},
		{"channel", make(chan int), `"[UNENCODABLE] json: unsupported type: chan int"`},
		{"panic", panics{}, `"[UNENCODABLE] panic in MarshalJSON: no"`},
		{"panicking error", panickingError{}, `"[UNENCODABLE] panic in Error: no"`},
		{"cycle", cycle, `[UNENCODABLE] json: unsupported value: encountered a cycle`},
		{"too deep", deep, `"[[[[`},
		{"error", errors.New("x<y"), `"x<y"`},
		{"year 10000", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), `"[UNENCODABLE] `},
		{"no JSON", json.RawMessage("{"), `"{"`},
		{"equal names", json.RawMessage(`{"a":1,"a":2}`), `"{\"a\":1,\"a\":2}"`},
		{"invalid UTF-8", "a\xffb", `"a` + "\uFFFD" + `b"`},
		{"nil map", map[string]any(nil), "null"},
		{"number", json.Number("1e400"), "1e400"},
		{"bad number", json.Number("x"), `"[UNENCODABLE] json: invalid number literal`},
		{"small", 1e-7, "1e-07"},
		{"bytes", []byte{0, 1}, `"AAE="`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := encode(t, event.Record{LogID: "1", Timestamp: at, Action: event.ActionAdd, Extra: map[string]any{"v": c.value, "w": 1}})
			if !strings.Contains(string(data), `"v":`) || !strings.Contains(string(data), c.want) || !strings.Contains(string(data), `"w":1`) {
				t.Errorf("got %.300s, want %s", data, c.want)
			}
			if _, err := event.Decode(data); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEncode_keepsNamesApartThatBecomeEqual(t *testing.T) {
	t.Parallel()
	data := encode(t, event.Record{LogID: "1", Timestamp: at, Action: event.ActionAdd, Extra: map[string]any{"\xff": 1, "\xfe": 2, "\uFFFD": 3}})
	r, err := event.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"\uFFFD": json.Number("3"), "\uFFFD_": json.Number("2"), "\uFFFD__": json.Number("1")}
	if d := cmp.Diff(want, r.Extra); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestEncode_yearsOutsideTheFormat(t *testing.T) {
	t.Parallel()
	for year, want := range map[int]string{-5: `"0000-01-01T00:00:00Z"`, 12345: `"9999-12-31T23:59:59.999999999Z"`} {
		data := encode(t, event.Record{LogID: "1", Timestamp: time.Date(year, 5, 1, 0, 0, 0, 0, time.UTC), Action: event.ActionAdd})
		if !strings.Contains(string(data), want) {
			t.Errorf("year %d: %s", year, data)
		}
	}
}

// TestCodec_roundTrip: Decode(Encode(r)) is r, for records that are as Decode makes them.
func TestCodec_roundTrip(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 500 {
		r := randomRecord(rnd)
		got, err := event.Decode(encode(t, r))
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if d := cmp.Diff(r, got, exportAll); d != "" {
			t.Fatalf("record %d (-want +got)\n%s", i, d)
		}
	}
}

func randomRecord(rnd *rand.Rand) event.Record {
	text := func() string {
		alphabet := []rune("ab \"\\/<>\n\t\x00\u2028éжế😀\uFFFD{}[]:,")
		b := make([]rune, rnd.IntN(12)*rnd.IntN(2))
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		return string(b)
	}
	list := func() (l []string) {
		for range rnd.IntN(3) {
			l = append(l, text())
		}
		return l
	}
	raw := func() json.RawMessage {
		s, _ := json.Marshal(rnd.IntN(1000))
		return []json.RawMessage{nil, jsons("null"), s, jsons("-1.50e-7"), jsons(`"é\n"`), jsons(`{"a":[1,{"b":""}],"":false}`)}[rnd.IntN(6)]
	}
	r := event.Record{
		SchemaVersion: 1 + rnd.IntN(3), LogID: "id" + text(), Timestamp: time.Unix(rnd.Int64N(1<<34), rnd.Int64N(1e9)).UTC(),
		UserID: text(), Username: text(), FullName: text(), ActorType: text(), ImpersonatorID: text(), TenantID: text(),
		Action: "WORD", ObjectType: text(), ObjectID: text(), ObjectRepr: text(), ChangedFields: list(),
		IPAddress: text(), UserAgent: text(), SessionKey: text(), RequestID: text(), TraceID: text(), SpanID: text(), HTTPMethod: text(), HTTPRoute: text(),
		Source: text(), Outcome: text(), Reason: text(), Service: text(), Environment: text(), Host: text(),
		SourceModel: text(), SourcePK: text(), SourceRepr: text(), BatchID: text(), BatchSummary: rnd.IntN(2) == 0,
		TotalProcessed: rnd.Int64() * rnd.Int64N(2), ErrorCount: -rnd.Int64N(5), Errors: list(), TxID: text(), Table: text(),
		ProducerID: text(), Seq: rnd.Uint64() * rnd.Uint64N(2), RecordHash: text(), IsTruncated: rnd.IntN(2) == 0, UntruncatedSize: rnd.Int64N(3),
	}
	if rnd.IntN(2) == 0 {
		r.Stream, r.StreamOffset, r.IngestedAt = "s", rnd.Int64N(3), time.Unix(rnd.Int64N(1<<34), 0).UTC()
		r.BatchAction = event.ActionImport
	}
	for range rnd.IntN(4) {
		r.Changes = append(r.Changes, event.Change{Field: text(), Label: text(), Type: text(), Old: raw(), New: raw(), Redacted: rnd.IntN(2) == 0, Truncated: rnd.IntN(2) == 0})
	}
	switch rnd.IntN(3) {
	case 0:
		r.ChangeMessage = event.TextMessage(text())
	case 1:
		r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: text(), OldValue: raw(), NewValue: raw()}})
	}
	if rnd.IntN(2) == 0 {
		r.Extra = map[string]any{text(): text(), "a" + text(): []any{nil, true, json.Number("1.0"), map[string]any{text(): text()}}}
	}
	return r
}

func TestMessage(t *testing.T) {
	t.Parallel()
	text := event.TextMessage("a\"b")
	if s, ok := text.Text(); s != "a\"b" || !ok {
		t.Errorf("Text %q %v", s, ok)
	}
	if _, ok := text.Rows(); ok {
		t.Error("a text has rows")
	}
	table := event.TableMessage([]event.MessageRow{{Field: "f", OldValue: nil, NewValue: jsons("no json")}})
	rows, ok := table.Rows()
	if d := cmp.Diff([]event.MessageRow{{Field: "f", OldValue: jsons("null"), NewValue: jsons(`"no json"`)}}, rows); d != "" || !ok {
		t.Errorf("%v (-want +got)\n%s", ok, d)
	}
	if rows, ok := event.TableMessage(nil).Rows(); len(rows) != 0 || !ok {
		t.Errorf("Rows of an empty table: %v %v", rows, ok)
	}
	for _, other := range []string{"[]", "{}", `{"rows":5}`, `{"rows":[5]}`, `{"Rows":[]}`, "5", "null"} {
		var m event.Message
		if err := json.Unmarshal([]byte(other), &m); err != nil {
			t.Fatal(err)
		}
		if _, ok := m.Rows(); ok {
			t.Errorf("%s has rows", other)
		}
		if out, err := json.Marshal(m); err != nil || string(out) != other {
			t.Errorf("%s became %s, %v", other, out, err)
		}
	}
}

func TestContentHash_doesNotKnowTheWay(t *testing.T) {
	t.Parallel()
	r := goldens(t)["change-table"]
	want, err := event.ContentHash(r)
	if err != nil || len(want) != 64 || want != r.RecordHash {
		t.Fatal(want, r.RecordHash, err)
	}
	moved := r
	moved.RecordHash, moved.ProducerID, moved.Seq, moved.IngestedAt, moved.Stream, moved.StreamOffset = "", "p", 99, at, "other", 3
	if got, _ := event.ContentHash(moved); got != want {
		t.Error("the way changes the hash")
	}
	decoded, err := event.Decode(encode(t, r))
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := event.ContentHash(decoded); got != want {
		t.Error("decoding changes the hash")
	}
	other := r
	other.Reason += "."
	if got, _ := event.ContentHash(other); got == want {
		t.Error("the reason is not in the hash")
	}
}

// TestContentHash_isThatOfALaterVersion: a field that this version does not know does not change
// where the others stand.
func TestContentHash_isThatOfALaterVersion(t *testing.T) {
	t.Parallel()
	hash := func(data string) string {
		r, err := event.Decode([]byte(data))
		if err != nil {
			t.Fatal(err)
		}
		h, _ := event.ContentHash(r)
		return h
	}
	a := hash(`{"schema_version":2,` + ok + `,"a_new_field":{"b":1},"username":"u","zz":2}`)
	b := hash(`{"zz":2, "username":"u","a_new_field":{ "b":1},"schema_version":2,` + ok + `}`)
	if a != b {
		t.Error("the order of the members changes the hash")
	}
}

// TestEncode_isTheSameAfterDecoding: the application's own types in Extra become maps, whose names
// are sorted; the encoding and the hash must not depend on that.
func TestEncode_isTheSameAfterDecoding(t *testing.T) {
	t.Parallel()
	type filter struct {
		Z int
		A []struct{ Y, B float32 }
	}
	r := event.Record{LogID: "1", Timestamp: at, Action: event.ActionExport, Extra: map[string]any{
		"struct": filter{Z: 1, A: []struct{ Y, B float32 }{{0.1, 1e30}}},
		"raw":    jsons(`{"z":{"y":1,"b":2.50},"a":[{"d":1,"c":1e5}]}`),
		"number": uint8(7), "float": 0.1, "big": 1e21, "small": -1e-9, "time": at,
	}}
	once := encode(t, r)
	got, err := event.Decode(once)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(once), string(encode(t, got))); d != "" {
		t.Errorf("(-once +twice)\n%s", d)
	}
	h1, _ := event.ContentHash(r)
	if h2, _ := event.ContentHash(got); h1 != h2 {
		t.Error("decoding changes the hash")
	}
}

func TestReserved(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{"log_id": true, "stream_offset": true, "import_source": false, "LOG_ID": false, "": false} {
		if event.Reserved(name) != want {
			t.Errorf("Reserved(%q) is %v", name, !want)
		}
	}
}

func TestParseAction(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]event.Action{"CREATE": "ADD", "update": "CHANGE", " add ": "ADD", "Approve": "APPROVE", "": ""} {
		if got := event.ParseAction(in); got != want {
			t.Errorf("ParseAction(%q) is %q, want %q", in, got, want)
		}
	}
}

func TestNewID_isAUUIDv7InOrderOfTime(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	last := ""
	for i := range 500 {
		id := event.NewID(at.Add(time.Duration(i) * time.Millisecond))
		if len(id) != 36 || id[14] != '7' || !strings.ContainsRune("89ab", rune(id[19])) || seen[id] || id <= last {
			t.Fatalf("%d: %s after %s", i, id, last)
		}
		seen[id], last = true, id
	}
	if got := event.NewID(time.UnixMilli(0x0123456789ab))[:13]; got != "01234567-89ab" {
		t.Errorf("time part %s", got)
	}
}

// Stores order records of the same millisecond by their ids: a row that was added and changed in one
// transaction must not appear to be changed first.
func TestNewID_keepsTheOrderWithinAMillisecond(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC)
	for _, step := range []time.Duration{0, time.Nanosecond, time.Microsecond, 300 * time.Microsecond} {
		last := ""
		for i := range 3000 {
			id := event.NewID(start.Add(time.Duration(i) * step))
			if id <= last {
				t.Fatalf("step %s: %d: %s after %s", step, i, id, last)
			}
			last = id
		}
	}
}

func TestRecord_inOtherJSON(t *testing.T) {
	t.Parallel()
	var got struct{ R []event.Record }
	data, err := json.Marshal(map[string]any{"R": []event.Record{goldens(t)["add"]}})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(goldens(t)["add"], got.R[0], exportAll); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if err := json.Unmarshal([]byte(`{"R":[{}]}`), &got); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("error %v", err)
	}
	var c event.Change
	if err := json.Unmarshal([]byte(`{"field":"a","old":null,"x":1}`), &c); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(event.Change{Field: "a", Old: jsons("null")}, c); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if out, err := json.Marshal(c); err != nil || string(out) != `{"field":"a","old":null}` {
		t.Errorf("%s %v", out, err)
	}
}

// TestEncode_cuts: whatever is too long, the record fits, says so, and keeps what is short.
func TestEncode_cuts(t *testing.T) {
	t.Parallel()
	long := func(n int) json.RawMessage { return jsons(`"` + strings.Repeat("ế", n/3) + `"`) }
	for _, c := range []struct {
		name  string
		spoil func(r *event.Record)
		check func(t *testing.T, got event.Record)
	}{
		{"one value", func(r *event.Record) { r.Changes[1].New = long(500_000) }, func(t *testing.T, got event.Record) {
			if !got.Changes[1].Truncated || got.Changes[0].Truncated || string(got.Changes[1].Old) != `"o"` || len(got.Changes[1].New) < 250_000 {
				t.Errorf("%v %v %s %d", got.Changes[1].Truncated, got.Changes[0].Truncated, got.Changes[1].Old, len(got.Changes[1].New))
			}
		}},
		{"the longest first", func(r *event.Record) { r.Changes[0].New, r.Changes[1].New = long(30_000), long(500_000) }, func(t *testing.T, got event.Record) {
			if got.Changes[0].Truncated || !got.Changes[1].Truncated {
				t.Errorf("%v %v", got.Changes[0].Truncated, got.Changes[1].Truncated)
			}
		}},
		{"to a common length", func(r *event.Record) { r.Changes[0].New, r.Changes[1].New = long(300_000), long(600_000) }, func(t *testing.T, got event.Record) {
			if d := len(got.Changes[0].New) - len(got.Changes[1].New); d < -4 || d > 4 {
				t.Errorf("lengths differ by %d", d)
			}
		}},
		{"JSON value", func(r *event.Record) {
			r.Changes[1].Type, r.Changes[1].New = event.TypeJSON, jsons(`{"a":[`+strings.Repeat("1,", 300_000)+"1]}")
		}, func(t *testing.T, got event.Record) {
			if !strings.HasPrefix(string(got.Changes[1].New), `"{\"a\":[1,1,`) || !strings.HasSuffix(string(got.Changes[1].New), `…"`) {
				t.Errorf("%.30s", got.Changes[1].New)
			}
		}},
		{"message table", func(r *event.Record) {
			r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: "f", OldValue: jsons(`"s"`), NewValue: long(500_000)}})
		}, func(t *testing.T, got event.Record) {
			if rows, ok := got.ChangeMessage.Rows(); !ok || len(rows) != 1 || string(rows[0].OldValue) != `"s"` || len(rows[0].NewValue) < 200_000 {
				t.Errorf("%v %d", ok, len(rows))
			}
		}},
		{"message text", func(r *event.Record) { r.ChangeMessage = event.TextMessage(strings.Repeat("\n", 200_000)) }, nil},
		{"extra", func(r *event.Record) {
			r.Extra = map[string]any{"big": []any{strings.Repeat("x", 400_000)}, "small": map[string]any{"a": json.Number("1")}}
		}, func(t *testing.T, got event.Record) {
			if d := cmp.Diff(map[string]any{"a": json.Number("1")}, got.Extra["small"]); d != "" {
				t.Error(d)
			}
		}},
		{"user agent keeps 256", func(r *event.Record) {
			r.UserAgent = strings.Repeat("a", 100_000)
			for i := range 20_000 {
				r.Errors = append(r.Errors, fmt.Sprintf("error number %d", i))
			}
		}, func(t *testing.T, got event.Record) {
			if len(got.UserAgent) < 200 || len(got.Errors) < 1000 || got.ErrorCount != 5 {
				t.Errorf("%d %d", len(got.UserAgent), len(got.Errors))
			}
		}},
		{"thousands of columns", func(r *event.Record) {
			for i := range 20_000 {
				r.Changes = append(r.Changes, event.Change{Field: fmt.Sprintf("column_%d", i), New: jsons("1")})
				r.ChangedFields = append(r.ChangedFields, fmt.Sprintf("column_%d", i))
			}
		}, func(t *testing.T, got event.Record) {
			if len(got.Changes) < 1000 || got.Changes[2].Field != "column_0" {
				t.Errorf("%d changes", len(got.Changes))
			}
		}},
		{"thousands of extras", func(r *event.Record) {
			r.Extra = map[string]any{}
			for i := range 20_000 {
				r.Extra[fmt.Sprintf("k%05d", i)] = i
			}
		}, func(t *testing.T, got event.Record) {
			if _, ok := got.Extra["k00000"]; !ok || len(got.Extra) < 5000 {
				t.Errorf("%d extras", len(got.Extra))
			}
		}},
		{"every text", func(r *event.Record) {
			s := strings.Repeat("\x01", 20_000)
			*r = event.Record{
				LogID: r.LogID, Timestamp: r.Timestamp, Action: event.Action(s), UserID: s, Username: s, FullName: s, ObjectType: s, ObjectID: s,
				ObjectRepr: s, IPAddress: s, UserAgent: s, SessionKey: s, RequestID: s, TraceID: s, SpanID: s, HTTPMethod: s, HTTPRoute: s, Source: s, Outcome: s,
				Reason: s, Service: s, Environment: s, Host: s, SourceModel: s, SourcePK: s, SourceRepr: s, BatchID: s, TxID: s, Table: s, ActorType: s, TenantID: s, ImpersonatorID: s,
				RecordHash: s, ProducerID: s, Stream: s,
			}
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := event.Record{
				SchemaVersion: 1, LogID: "1", Timestamp: at, Action: event.ActionChange, ObjectRepr: "short", ErrorCount: 5,
				Changes: []event.Change{{Field: "a", New: jsons("5")}, {Field: "b", Old: jsons(`"o"`), New: jsons(`"n"`)}},
			}
			c.spoil(&r)
			if r.RecordHash == "" {
				r = sealed(t, r)
			}
			before, _ := r.MarshalJSON()
			data := encode(t, r)
			if after, _ := r.MarshalJSON(); !bytes.Equal(before, after) {
				t.Error("Encode changed its argument")
			}
			if string(encode(t, r)) != string(data) {
				t.Error("two encodings differ")
			}
			if len(data) > event.MaxSize || len(data) < event.MaxSize/4 || !utf8.Valid(data) {
				t.Errorf("%d bytes", len(data))
			}
			got, err := event.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if !got.IsTruncated || got.UntruncatedSize <= event.MaxSize-event.MaxStamp {
				t.Errorf("truncated %v, size %d", got.IsTruncated, got.UntruncatedSize)
			}
			if h, _ := event.ContentHash(got); h != got.RecordHash {
				t.Error("the hash is not that of what is left")
			}
			stamped := event.Stamp(event.StampIngest(data, at, strings.Repeat("s", 255), math.MaxInt64), strings.Repeat("p", 64), math.MaxUint64)
			if len(stamped) > event.MaxSize {
				t.Errorf("%d bytes with stamps", len(stamped))
			}
			again, err := event.Decode(stamped)
			if err != nil {
				t.Fatal(err)
			}
			if third, err := event.Decode(encode(t, again)); err != nil || c.name != "every text" && !reflect.DeepEqual(again, third) {
				t.Errorf("a stamped record was cut again: %v", err)
			}
			if c.check != nil {
				c.check(t, got)
			}
		})
	}
}

func BenchmarkEncode(b *testing.B) {
	r := goldens(b)["change-table"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Encode(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data := encode(b, goldens(b)["change-table"])
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkContentHash(b *testing.B) {
	r := goldens(b)["change-table"]
	b.ReportAllocs()
	for b.Loop() {
		if _, err := event.ContentHash(r); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeal is BenchmarkContentHash and BenchmarkEncode in one.
func BenchmarkSeal(b *testing.B) {
	r := goldens(b)["change-table"]
	var room []byte
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if room, err = event.Seal(&r, room[:0]); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStamp(b *testing.B) {
	r := goldens(b)["add"]
	data := encode(b, r)
	b.ReportAllocs()
	for b.Loop() {
		event.Stamp(data, "0190a1b2-0000-7000-8000-0000000000aa", 17)
	}
}
