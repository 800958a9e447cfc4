package audit_test

import (
	"bytes"
	"context"
	"database/sql/driver"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/spool"
	"github.com/gormtrail/audit/store/sqlstore"
)

// Talker puts everything that it has into words, and panics with it.
type Talker struct {
	ID       uint
	Name     string
	Password string
	Settings map[string]any `gorm:"serializer:json"`
	Document string
	Blob     []byte
	Free     string
	Loud     bool
}

func (v Talker) String() string {
	text := fmt.Sprint(v.Name, v.Password, v.Settings, v.Document, string(v.Blob), v.Free)
	if v.Loud {
		panic(text)
	}
	return text
}

// treacherous tells its secret wherever it is asked.
type treacherous struct{ Password string }

func (treacherous) MarshalJSON() ([]byte, error) { panic("password=" + canary) }
func (treacherous) Value() (driver.Value, error) { panic("password=" + canary) }
func (treacherous) Error() string                { panic("password=" + canary) }
func (treacherous) String() string               { panic("password=" + canary) }

// unencodableSecret cannot be encoded, and fmt would print all of it.
type unencodableSecret struct {
	Password string
	Channel  chan int
}

// refusing is a sink whose error quotes what it was given, as databases do.
type refusing struct{}

func (refusing) Write(context.Context, []event.Record) error {
	return errors.New(`duplicate: {"password":"` + canary + `"} host=h password=` + canary)
}

// TestMasks_canaryInWordsAndErrors: what code of the application makes of secrets is in no output either: no
// file of the queue, no table of the store and its index, no log, no hook, no error.
func TestMasks_canaryInWordsAndErrors(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, plain *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Talker{}))
		must(t, plain.AutoMigrate(&Talker{}))
		trail := newTrail(t, plain)
		dir := t.TempDir()
		queue, err := spool.Open(dir, spool.Config{Service: "canary"})
		must(t, err)
		var log, told bytes.Buffer
		rec := &recorder{}
		db, _ := setup(t, plain, audit.Config{
			Registry: reg, TxSink: trail, Sink: audit.Tee(queue, refusing{}, rec), Logger: slog.New(slog.NewJSONHandler(&log, nil)),
			OnError: func(_ context.Context, err error) {
				var panicked *audit.PanicError
				if errors.As(err, &panicked) {
					told.WriteString(err.Error() + "\n")
				}
			},
			Before: func(_ context.Context, r *event.Record) bool {
				if r.ObjectRepr == "hook" {
					r.Changes = append(r.Changes, event.Change{Field: "password", New: json.RawMessage(`"` + canary + `"`)},
						event.Change{Field: "x", New: json.RawMessage(`{"api_key":"` + canary + `"}`)})
					r.Errors = []string{"token=" + canary}
					r.ChangeMessage = event.TableMessage([]event.MessageRow{{Field: "password", NewValue: json.RawMessage(`"` + canary + `"`)}})
				}
				return true
			},
		})
		v := &Talker{
			Name: `{"password":"` + canary + `"}`, Password: canary, Settings: map[string]any{"a": map[string]any{"api_key": canary}},
			Document: `[{"otp":"` + canary + `"}]`, Blob: []byte(`{"secret":"` + canary + `"}`), Free: "failed: password=" + canary + " host=h",
		}
		must(t, db.Create(v).Error)
		must(t, db.Model(v).Updates(map[string]any{"free": `cut {"token": "` + canary, "loud": true}).Error)
		b, err := audit.StartBatch(db, audit.BatchOptions{Action: "LOAD", Extra: audit.Fields{"source": treacherous{canary}}})
		must(t, err)
		for _, e := range []audit.Entry{
			{Action: "A", ObjectType: "x", ObjectRepr: `{"password":"` + canary + `"}`, Message: `row {"password": "` + canary + `"}`, Reason: "pwd=" + canary},
			{Action: "B", Extra: audit.Fields{"e": errors.New("password=" + canary), "u": unencodableSecret{Password: canary}, "p": &unencodableSecret{Password: canary}, "t": treacherous{canary}, "n": map[string]any{"c": make(chan int), "password": canary}}},
			{Action: "C", ObjectType: "y", Original: map[string]any{"v": unencodableSecret{Password: canary}}, Modified: map[string]any{"v": treacherous{canary}, "w": []any{treacherous{canary}}}},
			{Action: audit.ActionChange, Original: &Talker{ID: 9}, Modified: v},
			{Action: "D", ObjectType: "z", ObjectRepr: "hook"},
		} {
			must(t, audit.Log(db.WithContext(b.Context()), e))
		}
		b.AddError(errors.New("dial: host=h user=u password=" + canary))
		b.AddError(fmt.Errorf("row 7: %s", `{"name":"a","client_secret":"`+canary+`"}`))
		b.AddError(treacherous{canary})
		must(t, b.End())

		records := rec.take()
		if len(records) != 8 {
			t.Fatalf("%d records, want 8:\n%s", len(records), lines(records))
		}
		for _, r := range records {
			data, err := event.Encode(r)
			must(t, err)
			hidden(t, "a record", data)
		}
		if extra := records[3].Extra; extra["e"] != "password=[REDACTED]" || extra["u"] != "[UNENCODABLE] audit_test.unencodableSecret" || extra["t"] != "[UNENCODABLE] panic" {
			t.Errorf("extra fields %v", extra)
		}
		must(t, db.Exec("DROP TABLE talkers").Error) // the application's own, which has it
		hidden(t, "the log", log.Bytes())
		hidden(t, "a panic", told.Bytes())
		must(t, queue.Close())
		files := 0
		must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			files++
			hidden(t, path, data)
			return err
		}))
		if files == 0 {
			t.Error("the queue has no files: nothing is tested")
		}
		must(t, trail.Index(t.Context()))
		tables, err := plain.Migrator().GetTables()
		must(t, err)
		for _, table := range tables {
			if !strings.HasPrefix(table, "audit_logs") {
				continue
			}
			var rows []map[string]any
			if err := plain.Table(table).Find(&rows).Error; err != nil {
				continue // a shadow table of the index that cannot be read by itself
			}
			hidden(t, table, []byte(fmt.Sprintf("%s", rows)))
		}
	})
}

// hidden fails the test if the canary is in data, as it is or in base64.
func hidden(t *testing.T, where string, data []byte) {
	t.Helper()
	inBase64 := base64.StdEncoding.EncodeToString([]byte(canary))
	for _, form := range []string{canary, inBase64[:len(inBase64)-4], base64.StdEncoding.EncodeToString([]byte("x" + canary))[4:12], base64.StdEncoding.EncodeToString([]byte("xx" + canary))[4:12]} {
		if i := bytes.Index(data, []byte(form)); i >= 0 {
			t.Errorf("%s has the canary: …%s", where, data[max(0, i-200):min(len(data), i+100)])
		}
	}
}

// TestConfig_keepSecretNames: the built-in list is a default, and what the application says stays.
func TestConfig_keepSecretNames(t *testing.T) {
	t.Parallel()
	reg := audit.NewRegistry()
	must(t, reg.Register(&Talker{}, audit.Mask("free")))
	db, rec := setup(t, open(t, openers[0].open(t), &gorm.Config{}), audit.Config{Registry: reg, KeepSecretNames: true, MaskNames: []string{"Name"}})
	must(t, db.Create(&Talker{Name: "n", Password: "shown", Free: "f"}).Error)
	got := map[string]string{}
	for _, ch := range rec.only(t).Changes {
		got[ch.Field] = string(ch.New)
	}
	if got["password"] != `"shown"` || got["name"] != `"[REDACTED]"` || got["free"] != `"[REDACTED]"` {
		t.Errorf("%v", got)
	}
}

func newTrail(t *testing.T, db *gorm.DB) *sqlstore.Store {
	t.Helper()
	trail, err := sqlstore.New(db, sqlstore.Config{})
	must(t, err)
	return trail
}
