package event_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gormtrail/audit/event"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

var at = time.Date(2026, 11, 23, 4, 5, 6, 123456000, time.UTC)

// base is a record as a request through the middleware gives it.
func base(id string, action event.Action) event.Record {
	return event.Record{
		SchemaVersion: 1, LogID: id, Timestamp: at,
		UserID: "7", Username: "john.doe", FullName: "John Doe", ActorType: "user", TenantID: "acme",
		Action: action, ObjectType: "customer", ObjectID: "42", ObjectRepr: "John Smith",
		IPAddress: "192.168.1.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64)",
		SessionKey: "5f1d2c3b4a59687706172839405162738495a6b7c8d9eafb0c1d2e3f40516273",
		RequestID:  "0190a1b2-0000-7000-8000-000000000001",
		TraceID:    "4bf92f3577b34da6a3ce929d0e0e4736", SpanID: "00f067aa0ba902b7",
		HTTPMethod: "PUT", HTTPRoute: "/customers/:id", Source: "api",
		Service: "crm", Environment: "production", Host: "web-1", TxID: "tx-1", Table: "customers",
	}
}

func jsons(s string) json.RawMessage { return json.RawMessage(s) }

// goldens are the records that this module writes; testdata has their encodings.
func goldens(t testing.TB) map[string]event.Record {
	t.Helper()
	add := base("019aaf5e-7c00-7000-8000-000000000001", event.ActionAdd)
	add.ChangeMessage = event.TextMessage(event.TextCreated)
	add.Changes = []event.Change{
		{Field: "id", Type: event.TypeInteger, New: jsons("42")},
		{Field: "name", Label: "Name", Type: event.TypeString, New: jsons(`"John Smith"`)},
		{Field: "balance", Type: event.TypeDecimal, New: jsons(`"10.50"`)},
		{Field: "rate", Type: event.TypeFloat, New: jsons("0.25")},
		{Field: "active", Type: event.TypeBoolean, New: jsons("true")},
		{Field: "born_at", Type: event.TypeTime, New: jsons(`"1990-01-02T00:00:00Z"`)},
		{Field: "tags", Type: event.TypeJSON, New: jsons(`["a",{"b":null}]`)},
		{Field: "photo", Type: event.TypeBytes, New: jsons(`"AAEC"`)},
		{Field: "note", Type: event.TypeString, New: jsons("null")},
		{Field: "password", Type: event.TypeString, New: jsons(`"[REDACTED]"`), Redacted: true},
	}
	add.ChangedFields = []string{"id", "name", "balance", "rate", "active", "born_at", "tags", "photo", "note", "password"}

	change := base("019aaf5e-7c00-7000-8000-000000000002", event.ActionChange)
	change.Changes = []event.Change{
		{Field: "phone", Label: "Phone number", Type: event.TypeString, Old: jsons(`"0987654321"`), New: jsons(`"1234567890"`)},
		{Field: "note", Label: "Note", Type: event.TypeString, Old: jsons(`"old text"`), New: jsons(`"Tiếng Việt <b>\"quoted\"</b>\n"`)},
	}
	change.ChangedFields = []string{"phone", "note"}
	change.ChangeMessage = event.TableMessage([]event.MessageRow{
		{Field: "Phone number", OldValue: jsons(`"0987654321"`), NewValue: jsons(`"1234567890"`)},
		{Field: "Note", OldValue: jsons(`"old text"`), NewValue: jsons(`"Tiếng Việt <b>\"quoted\"</b>\n"`)},
	})
	change.Reason = "ticket 4711"
	change = sealed(t, change)
	change.ProducerID, change.Seq = "0190a1b2-0000-7000-8000-0000000000aa", 17
	change.IngestedAt, change.Stream, change.StreamOffset = at.Add(time.Second), "audit_logs_stream", 0

	del := base("019aaf5e-7c00-7000-8000-000000000003", event.ActionDelete)
	del.ChangeMessage = event.TextMessage(event.TextDeleted)
	del.Changes = []event.Change{{Field: "id", Type: event.TypeInteger, Old: jsons("42")}, {Field: "note", Type: event.TypeString, Old: jsons("null")}}
	del.ChangedFields = []string{"id", "note"}

	dependent := base("019aaf5e-7c00-7000-8000-000000000004", event.ActionAdd)
	dependent.ObjectType, dependent.ObjectID, dependent.ObjectRepr = "employee", "3", "Jane Roe"
	dependent.SourceModel, dependent.SourcePK, dependent.SourceRepr = "employeedependent", "9", "Tim Roe (child)"
	dependent.Table = "employee_dependents"
	dependent.ChangeMessage = event.TextMessage(event.TextCreated)

	summary := event.Record{
		SchemaVersion: 1, LogID: "019aaf5e-7c00-7000-8000-000000000005", Timestamp: at,
		UserID: "7", Username: "john.doe", Action: event.ActionImport, ObjectType: "customer",
		ChangeMessage: event.TextMessage("Imported 2 objects with 2 errors"),
		BatchID:       "0190a1b2-0000-7000-8000-0000000000bb", BatchAction: event.ActionImport, BatchSummary: true,
		TotalProcessed: 2, ErrorCount: 2, Errors: []string{"row 3: no name", "row 4: \"x\" is no date"},
		Extra: map[string]any{"import_source": "customers.xlsx"},
	}

	export := event.Record{
		SchemaVersion: 1, LogID: "019aaf5e-7c00-7000-8000-000000000006", Timestamp: at,
		UserID: "system", ActorType: "system", ImpersonatorID: "7", Action: event.ActionExport, ObjectType: "report", ObjectID: "5", ObjectRepr: "Sales",
		ChangeMessage: event.TextMessage("Exported"), Outcome: "failure", Source: "job",
		Extra: map[string]any{
			"export_format": "xlsx", "export_filters": map[string]any{"date_from": "2024-01-01", "nested": []any{json.Number("1"), nil, true}},
			"rows": json.Number("12345678901234567890"), "seq": "a reserved name, but nested",
		},
	}

	truncated := base("019aaf5e-7c00-7000-8000-000000000007", event.ActionChange)
	truncated.Changes = []event.Change{
		{Field: "short", Type: event.TypeString, Old: jsons(`"a"`), New: jsons(`"b"`)},
		{Field: "scan", Type: event.TypeString, Old: jsons("null"), New: jsons(`"` + strings.Repeat("ж\\n", 150_000) + `"`)},
	}
	truncated.ChangedFields = []string{"short", "scan"}
	truncated.ChangeMessage = event.TextMessage(event.TextModified)
	truncated = sealed(t, truncated)

	return map[string]event.Record{
		"add": add, "change-table": change, "delete": del, "dependent": dependent,
		"batch-summary": summary, "manual-export": export, "truncated": truncated,
	}
}

func sealed(t testing.TB, r event.Record) event.Record {
	t.Helper()
	hash, err := event.ContentHash(r)
	if err != nil {
		t.Fatal(err)
	}
	r.RecordHash = hash
	return r
}

// TestGolden_encoding holds the wire format: a change of these files is a change of the contract.
func TestGolden_encoding(t *testing.T) {
	t.Parallel()
	for name, r := range goldens(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data := encode(t, r)
			golden(t, name+".json", data)
			got, err := event.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if name == "truncated" {
				if len(data) > event.MaxSize || !got.IsTruncated || got.UntruncatedSize < 600_000 {
					t.Errorf("%d bytes, truncated %v of %d", len(data), got.IsTruncated, got.UntruncatedSize)
				}
				return
			}
			if d := cmp.Diff(r, got, exportAll); d != "" {
				t.Errorf("Decode(Encode(r)) (-r +got)\n%s", d)
			}
		})
	}
}

// TestGolden_foreign reads what other producers write (*.in.json) and compares with what is stored
// of it.
func TestGolden_foreign(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.in.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".in.json")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			r, err := event.Decode(in)
			if err != nil {
				t.Fatal(err)
			}
			if want := strings.HasPrefix(name, "python"); event.Foreign(in) != want {
				t.Errorf("Foreign is %v, want %v", !want, want)
			}
			data := encode(t, r)
			golden(t, name+".out.json", data)
			again, err := event.Decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(r, again, exportAll); d != "" {
				t.Errorf("Decode(Encode(Decode(in))) (-once +twice)\n%s", d)
			}
		})
	}
}

// golden compares data, which is one line, with the file.
func golden(t *testing.T, name string, data []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if strings.Contains(string(data), "\n") {
		t.Errorf("%s: more than one line", name)
	}
	if *update {
		if err := os.WriteFile(path, append(data, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(data) + "\n"; got != string(want) {
		t.Errorf("%s (-want +got)\n%.3000s", name, cmp.Diff(string(want), got))
	}
}
