package storetest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/unicode/norm"

	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
)

// textRecords gives records of which each has words of its own.
func textRecords() map[string]event.Record {
	records := map[string]event.Record{
		"vietnamese": {ObjectRepr: "Nguyễn Thị Đào", FullName: "Trần Văn Đức", TenantID: "a"},
		"decomposed": {ObjectRepr: norm.NFD.String("Công ty Đà Nẵng Phở Bò"), TenantID: "b"},
		"german":     {ObjectRepr: "Müller-Lüdenscheidt, Straße 5", TenantID: "a"},
		"cjk":        {ObjectRepr: "東京都港区のカメラ店"},
		"thai":       {ObjectRepr: "บริษัทกรุงเทพ"},
		"emoji":      {ObjectRepr: "🚀 rocket👩‍🚀launch"},
		"email":      {Username: "john.doe@example.com", UserID: "cus_456", ObjectRepr: "alpha beta gamma"},
		"ids": {
			ObjectID: "INV-2026/0042", RequestID: "req-7f3a", TraceID: "4bf92f3577b34da6a3ce929d0e0e4736", BatchID: "b8a5c0de-1111-7000-8000-000000000001",
			TxID: "tx-77", SourcePK: "dep-9", IPAddress: "192.0.2.33", ObjectType: "invoice",
		},
		"changes": {
			Changes: []event.Change{
				{Field: "phone_number", Label: "Điện thoại", Old: json.RawMessage(`"+84 90 123"`), New: json.RawMessage(`"+84 91 456"`)},
				{Field: "amount", Old: json.RawMessage(`12.5`), New: json.RawMessage(`1300`)},
				{Field: "meta", New: json.RawMessage(`{"colour":"turquoise","list":["deepvalue",{"k":"deeper"}]}`)},
			},
			ChangedFields: []string{"phone_number", "amount", "meta"},
		},
		"message":  {ChangeMessage: event.TextMessage("Order status changed from PENDING to APPROVED")},
		"table":    {ChangeMessage: event.TableMessage([]event.MessageRow{{Field: "Tình trạng", OldValue: json.RawMessage(`"chờ duyệt"`), NewValue: json.RawMessage(`"hoàn tất"`)}})},
		"extra":    {Extra: map[string]any{"import_source": "customers-2026.xlsx", "rows": []any{"rowtext", map[string]any{"inner": "innertext"}}, "count": json.Number("98765")}},
		"reason":   {Reason: "ticket 4711, approved by phone"},
		"errors":   {Errors: []string{"row 5: duplicate key", "row 9: bad date"}, BatchSummary: true},
		"long":     {ObjectRepr: strings.Repeat("longword", 100) + " tail"},
		"stopword": {ObjectRepr: "to be or not to be", FullName: "The Who"},
	}
	at := start
	for i, name := range sortedKeys(records) {
		r := records[name]
		r.LogID, r.Timestamp, r.Action = id(i), at.Add(time.Duration(i)*time.Hour), event.ActionAdd
		if r.ObjectType == "" {
			r.ObjectType = "thing"
		}
		records[name] = r
	}
	return records
}

func sortedKeys(m map[string]event.Record) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func testText(t *testing.T, b *bench) {
	records := textRecords()
	var all []event.Record
	for _, name := range sortedKeys(records) {
		all = append(all, records[name])
	}
	b.write(t, docs(t, all)...)

	for _, tt := range []struct {
		text string
		want []string
	}{
		{"nguyen", []string{"vietnamese"}},
		{"NGUYỄN", []string{"vietnamese"}},
		{norm.NFD.String("Nguyễn"), []string{"vietnamese"}},
		{"Nguyễ*", []string{"vietnamese"}},
		{"dao", []string{"vietnamese"}},
		{"duc thi", []string{"vietnamese"}},
		{"da", []string{"decomposed"}},
		{"Đà", []string{"decomposed"}},
		{"Phở", []string{"decomposed"}},
		{`"da nang"`, []string{"decomposed"}},
		{`"nang da"`, nil},
		{"Đà*", []string{"decomposed", "errors", "vietnamese"}},
		{"muller", []string{"german"}},
		{"STRASSE", []string{"german"}},
		{"straße", []string{"german"}},
		{"ludenscheidt 5", []string{"german"}},
		{"東京", []string{"cjk"}},
		{"港区", []string{"cjk"}},
		{"京港", nil},
		{"カメラ", []string{"cjk"}},
		{"กรุงเทพ", []string{"thai"}},
		{"rocket", []string{"emoji"}},
		{"launch", []string{"emoji"}},
		{"🚀", nil},
		{"john", []string{"email"}},
		{"doe", []string{"email"}},
		{"john.doe", []string{"email"}},
		{"John.Doe@Example.COM", []string{"email"}},
		{"doe.john", nil},
		{"john.d*", []string{"email"}},
		{"jo*", []string{"email"}},
		{"oh*", nil},
		{"ohn", nil},
		{"456", []string{"changes", "email"}},
		{"cus_456", []string{"email"}},
		{"cus 456", []string{"email"}},
		{`"alpha beta"`, []string{"email"}},
		{`"alpha gamma"`, nil},
		{"gamma alpha", []string{"email"}},
		{`"beta ga"*`, []string{"email"}},
		{"alpha -gamma", []string{"email"}},
		{"alpha missing", nil},
		{"INV-2026/0042", []string{"ids"}},
		{"0042", []string{"ids"}},
		{"req-7f3a", []string{"ids"}},
		{"4bf92f3577b34da6a3ce929d0e0e4736", []string{"ids"}},
		{"4bf92*", []string{"ids"}},
		{"b8a5c0de-1111-7000-8000-000000000001", []string{"ids"}},
		{"192.0.2.33", []string{"ids"}},
		{"192.0.2.3", nil},
		{"invoice", []string{"ids"}},
		{records["ids"].LogID, []string{"ids"}},
		{"dien thoai", []string{"changes"}},
		{"+84 90", []string{"changes"}},
		{`"84 90"`, []string{"changes"}},
		{"phone_number", []string{"changes"}},
		{"1300", []string{"changes"}},
		{"12.5", []string{"changes"}},
		{"turquoise deepvalue deeper", []string{"changes"}},
		{"approved", []string{"message", "reason"}},
		{`"from pending to approved"`, []string{"message"}},
		{"tinh trang hoan tat", []string{"table"}},
		{"customers", []string{"extra"}},
		{"customers-2026.xlsx", []string{"extra"}},
		{"innertext", []string{"extra"}},
		{"98765", []string{"extra"}},
		{"4711", []string{"reason"}},
		{"duplicate key", []string{"errors"}},
		{strings.Repeat("longword", 30), []string{"long"}},
		{"longword*", []string{"long"}},
		{"longword", nil},
		{"tail", []string{"long"}},
		{"the", []string{"stopword"}},
		{"to be or not to be", []string{"stopword"}},
		{`"not to be"`, []string{"stopword"}},
		{"OR", []string{"stopword"}},
		{"alpha OR beta", nil},
		{"%", nil},
		{"al%", nil},
		{"al_ha", nil},
		{"*", nil},
		{`"`, nil},
		{"   ", sortedKeys(records)},
	} {
		t.Run(tt.text, func(t *testing.T) {
			t.Parallel()
			var want []string
			for _, name := range tt.want {
				want = append(want, records[name].LogID)
			}
			slices.Sort(want)
			b.wantIDs(t, store.Query{Text: tt.text, Ascending: true, Size: 100}, want...)
		})
	}
	t.Run("with filters and ranges", func(t *testing.T) {
		t.Parallel()
		tenant := []store.Filter{{Field: store.FieldTenantID, Values: []string{"a"}}}
		b.wantIDs(t, store.Query{Text: "strasse", Filters: tenant}, records["german"].LogID)
		b.wantIDs(t, store.Query{Text: "nang", Filters: tenant})
		at := records["german"].Timestamp
		b.wantIDs(t, store.Query{Text: "strasse", From: at, To: at.Add(time.Millisecond)}, records["german"].LogID)
		b.wantIDs(t, store.Query{Text: "strasse", To: at})
	})
	t.Run("syntax is never an error", func(t *testing.T) {
		t.Parallel()
		for _, text := range hostileTexts() {
			page := b.search(t, store.Query{Text: text, Size: 100})
			want := oracle(t, all, store.Query{Text: text, Size: 100})
			if got := ids(page.Records); !slices.Equal(got, ids(want.Records)) {
				t.Errorf("text %q finds %q, want %q", text, got, ids(want.Records))
			}
		}
	})
}

// hostileTexts gives texts that mean something in some query language.
func hostileTexts() []string {
	parts := []string{
		`"`, `'`, `*`, `?`, `~`, `^2`, `:`, `(`, `)`, `[`, `]`, `{`, `}`, `/`, `\`, `+`, `-`, `&&`, `||`, `!`, `&`, `|`, `<->`, `:*`, `<`, `>`, `=`, `%`, `_`, `$1`, `;`, `--`, `#`, `@`, `,`,
		"AND", "OR", "NOT", "NEAR", "TO", "_exists_:", "user_id:7", "log_id:*", "/.*/", "alpha", "john*", "\x00", "\xff", "\u2028", "ﷺ", "\u202e", "İ", "日", "e\u0301", "\U0001F680", "null",
	}
	var texts []string
	for i, p := range parts {
		texts = append(texts, p, "alpha "+p, "alpha"+p+"beta", p+parts[(i*7+3)%len(parts)]+parts[(i*13+5)%len(parts)])
	}
	return append(texts, strings.Repeat("(", 200), strings.Repeat("a ", 128), strings.Repeat(`"a" `, 64), strings.Repeat("a* ", 85), strings.Repeat("*", 256), "NEAR(alpha beta, 2)", "alpha^beta", "{alpha}: beta", "body: alpha")
}
