package audit_test

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/glebarez/sqlite"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/testservers"
)

// The faults of an application, by the number of docs/faults.md.

// Memo has texts of any size and kind.
type Memo struct {
	ID     uint
	Title  string
	Body   string
	Ratio  float64
	Count  int64
	Price  string `gorm:"type:decimal(30,10)"`
	Tree   any    `gorm:"serializer:json"`
	Author *Memo  `gorm:"-"`
}

func memos(t testing.TB) audit.Config {
	reg := audit.NewRegistry()
	must(t, reg.Register(&Memo{}))
	return audit.Config{Registry: reg}
}

// wire gives the encoding of the record.
func wire(t testing.TB, r event.Record) []byte {
	t.Helper()
	data, err := event.Encode(r)
	must(t, err)
	return data
}

// changeOf gives the change of the field, which must be there.
func changeOf(t testing.TB, r event.Record, field string) event.Change {
	t.Helper()
	for _, c := range r.Changes {
		if c.Field == field {
			return c
		}
	}
	t.Fatalf("no change of %q in %s", field, line(r))
	return event.Change{}
}

func TestFault54_hugeText_isCutAndProvable(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *gorm.DB) {
		db, rec := setup(t, db, memos(t))
		body := strings.Repeat("mười triệu ", 20_000) // more than a record takes
		if testservers.Long() {
			body = strings.Repeat(body, 45) // more than 10 MB
		}
		m := Memo{Title: "long", Body: body, Price: "0"}
		must(t, db.Create(&m).Error)
		rec.take()
		must(t, db.Model(&m).Update("body", body+"!").Error)
		data := wire(t, rec.only(t))
		if len(data) > event.MaxSize {
			t.Errorf("%d bytes on the wire, want at most %d", len(data), event.MaxSize)
		}
		r, err := event.Decode(data)
		must(t, err)
		c := changeOf(t, r, "body")
		if !r.IsTruncated || r.UntruncatedSize < int64(2*len(body)) || !c.Truncated {
			t.Errorf("truncated: %v, change: %v, size %d", r.IsTruncated, c.Truncated, r.UntruncatedSize)
		}
		for value, hash := range map[string]string{body: c.OldHash, body + "!": c.NewHash} {
			whole, err := json.Marshal(value)
			must(t, err)
			if sum := sha256.Sum256(whole); hash != hex.EncodeToString(sum[:]) {
				t.Errorf("hash %q is not that of the whole value", hash)
			}
		}
	})
}

func TestFault55_textsOfAnyBytes_surviveTheWire(t *testing.T) {
	t.Parallel()
	texts := map[string]string{
		"bidi":      "safe\u202e\u2066txt.exe",
		"CRLF":      "one\r\nGET / HTTP/1.1\r\n{\"log_id\":\"forged\"}",
		"separator": "a\u2028b\u2029c\x7f\x1b[31m",
		"token":     strings.Repeat("x", 100_000),
		"emoji":     "👩‍👩‍👧‍👦 é e\u0301",
	}
	each(t, func(t *testing.T, db *gorm.DB) {
		sqliteOnly := map[string]string{"NUL": "a\x00b", "not UTF-8": "a\xff\xfeb"} // the servers refuse them
		all := []map[string]string{texts}
		if db.Name() == "sqlite" {
			all = append(all, sqliteOnly)
		}
		db, rec := setup(t, db, memos(t))
		for _, texts := range all {
			for name, text := range texts {
				must(t, db.Create(&Memo{Title: name, Body: text, Price: "0"}).Error)
				data := wire(t, rec.only(t))
				if strings.ContainsAny(string(data), "\n\r\x00\x1b") {
					t.Errorf("%s: control characters on the wire", name)
				}
				r, err := event.Decode(data)
				must(t, err)
				var got string
				must(t, json.Unmarshal(changeOf(t, r, "body").New, &got))
				if want := strings.ToValidUTF8(text, "\ufffd"); got != want && got != strings.ReplaceAll(text, "\xff\xfe", "\ufffd\ufffd") {
					t.Errorf("%s: %.60q, want %.60q", name, got, want)
				}
			}
		}
	})
}

func TestFault56_numbers_areExact(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *gorm.DB) {
		db, rec := setup(t, db, memos(t))
		for _, c := range []struct {
			name, field, want string
			memo              Memo
			postgresOnly      bool
		}{
			{"beyond 2^53", "count", "9007199254740993", Memo{Count: 1<<53 + 1}, false},
			{"lowest", "count", "-9223372036854775808", Memo{Count: math.MinInt64}, false},
			{"decimal", "price", `"12345678901234567890.1234567891"`, Memo{Price: "12345678901234567890.1234567891"}, true},
			{"NaN", "ratio", `"NaN"`, Memo{Ratio: math.NaN()}, true},
			{"Inf", "ratio", `"Infinity"`, Memo{Ratio: math.Inf(1)}, true},
		} {
			if c.postgresOnly && db.Name() != "postgres" {
				continue // the others cannot store it
			}
			if c.memo.Price == "" {
				c.memo.Price = "0"
			}
			must(t, db.Create(&c.memo).Error)
			r, err := event.Decode(wire(t, rec.only(t)))
			must(t, err)
			if got := string(changeOf(t, r, c.field).New); got != c.want && !(c.name == "Inf" && got == `"+Inf"`) {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
	})
}

func TestFault57_cyclesAndDepth_haveLimits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *gorm.DB) {
		db, rec := setup(t, db, memos(t))
		var deep any = "bottom"
		for range 500 {
			deep = map[string]any{"down": deep}
		}
		self := &Memo{Title: "cycle", Price: "0", Tree: deep}
		self.Author = self
		must(t, db.Create(self).Error)
		wire(t, rec.only(t))

		// What is given by hand may be anything.
		cycle := map[string]any{}
		cycle["self"] = cycle
		for name, v := range map[string]any{
			"cycle": cycle, "struct cycle": self, "channel": make(chan int), "function": func() {}, "nil": nil,
			"typed nil": (*Memo)(nil), "deep": deep, "complex": 1 + 2i, "NaN": math.NaN(),
		} {
			must(t, audit.Log(db, audit.Entry{Action: "LOOK", ObjectType: "memo", ObjectID: "1", Extra: audit.Fields{"v": v}}))
			data := wire(t, rec.only(t))
			if len(data) > event.MaxSize {
				t.Errorf("%s: %d bytes", name, len(data))
			}
			if _, err := event.Decode(data); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// Volatile panics wherever it is asked.
type Volatile struct {
	ID   uint
	Name string
	Code Fuse
}

func (*Volatile) String() string { panic("String") }

// Fuse is a value that panics when it is encoded.
type Fuse string

// MarshalJSON panics.
func (Fuse) MarshalJSON() ([]byte, error) { panic("MarshalJSON") }

// Value gives the text.
func (f Fuse) Value() (driver.Value, error) { return string(f), nil }

func TestFault58_panics_leaveTheWriteAlone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *gorm.DB) {
		reg := audit.NewRegistry()
		must(t, reg.Register(&Volatile{}, audit.MaskFunc("Name", func(any) any { panic("masker knows s3cr3t") })))
		var told []error
		db, rec := setup(t, db, audit.Config{
			Registry: reg, OnError: func(_ context.Context, err error) { told = append(told, err) },
			After: func(context.Context, []event.Record) { panic("After") },
		})
		v := Volatile{Name: "s3cr3t", Code: "c"}
		must(t, db.Create(&v).Error)
		r := rec.only(t)
		if data := string(wire(t, r)); strings.Contains(data, "s3cr3t") {
			t.Errorf("the value that could not be masked is in the record: %s", data)
		}
		if c := changeOf(t, r, "code"); string(c.New) != `"c"` {
			t.Errorf("code is %s", c.New)
		}
		if len(told) == 0 {
			t.Error("nobody was told")
		}
		for _, err := range told {
			if strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("the value is in an error: %v", err)
			}
		}
		var n int64
		if err := db.Model(&Volatile{}).Count(&n).Error; err != nil || n != 1 {
			t.Errorf("%d rows, %v, want 1", n, err)
		}
	})
}

func TestFault59_modelChangedAfterTheCall_ConcurrentSafe(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *gorm.DB) {
		db, rec := setup(t, db, memos(t))
		m := Memo{Title: "before", Price: "0", Tree: map[string]any{"k": []any{"v"}}}
		must(t, db.Transaction(func(tx *gorm.DB) error {
			if err := tx.Create(&m).Error; err != nil {
				return err
			}
			m.Title = "after" // the record is made at COMMIT
			m.Tree.(map[string]any)["k"].([]any)[0] = "other"
			return nil
		}))
		r := rec.only(t)
		if title, tree := changeOf(t, r, "title").New, changeOf(t, r, "tree").New; string(title) != `"before"` || !strings.Contains(string(tree), `"v"`) {
			t.Errorf("title %s, tree %s: not those of the call", title, tree)
		}
		// One object, read by many writers: what the race detector sees is not ours.
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				if err := db.Model(&Memo{ID: m.ID}).Update("count", i+1).Error; err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := len(rec.take()); n != 8 {
			t.Errorf("%d records, want 8", n)
		}
	})
}

func TestFault60_manyRows_areBounded(t *testing.T) {
	t.Parallel()
	n := audit.DefaultMaxRows + 500
	if testservers.Long() {
		n = 100_000
	}
	db := open(t, sqlite.Open(filepath.Join(t.TempDir(), "many.db")), &gorm.Config{CreateBatchSize: 100})
	db, rec := setup(t, db, memos(t))
	rows := make([]Memo, n)
	for i := range rows {
		rows[i] = Memo{Title: "row", Price: "0"}
	}
	must(t, db.Create(rows).Error) // one transaction of many statements
	var single, summarized int64
	for _, r := range rec.take() {
		if r.IsTruncated {
			summarized += rowsOf(t, r)
		} else {
			single++
		}
	}
	if single+summarized != int64(n) {
		t.Errorf("%d single records and %d rows in summaries, want %d together", single, summarized, n)
	}
	must(t, db.Model(&Memo{}).Where("1 = 1").Update("count", 5).Error)
	r := rec.only(t)
	if got := rowsOf(t, r); !r.IsTruncated || got != int64(n) {
		t.Errorf("summary of %d rows, truncated: %v, want %d", got, r.IsTruncated, n)
	}
}

// rowsOf gives how many rows a summary stands for.
func rowsOf(t *testing.T, r event.Record) int64 {
	t.Helper()
	again, err := event.Decode(wire(t, r))
	must(t, err)
	n, ok := again.Extra[audit.ExtraRows].(json.Number)
	if !ok {
		t.Fatalf("summary without a number of rows: %v", again.Extra)
	}
	v, err := n.Int64()
	must(t, err)
	return v
}

func TestFault61_cancelledRequest_keepsItsRecord(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, db *gorm.DB) {
		db, rec := setup(t, db, memos(t))
		ctx, cancel := context.WithCancel(db.Statement.Context)
		err := db.WithContext(ctx).Transaction(func(tx *gorm.DB) error {
			return tx.Create(&Memo{Title: "committed", Price: "0"}).Error
		})
		cancel()
		must(t, err)
		rec.expect(t, `ADD memo 1 "committed"`)
		// A handler that panics takes its transaction along.
		func() {
			defer func() { _ = recover() }()
			_ = db.Transaction(func(tx *gorm.DB) error {
				must(t, tx.Create(&Memo{Title: "never", Price: "0"}).Error)
				panic("handler")
			})
		}()
		rec.expect(t)
	})
}

// slow is a sink that is flushed as long as it is told.
type slow struct {
	recorder

	release chan struct{}
}

func (s *slow) Flush(ctx context.Context) error {
	select {
	case <-s.release:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%d records are not flushed: %w", len(s.records), ctx.Err())
	}
}

func TestFault62_shutdown_saysWhatIsLeft_andMayBeRepeated(t *testing.T) {
	t.Parallel()
	sink := &slow{release: make(chan struct{})}
	cfg := memos(t)
	cfg.Sink = sink
	db := open(t, sqlite.Open(filepath.Join(t.TempDir(), "stop.db")), &gorm.Config{})
	db, _ = setup(t, db, cfg)
	must(t, db.Create(&Memo{Title: "kept", Price: "0"}).Error)
	auditor := audit.From(db)
	for range 2 { // a deadline that has passed, and a second signal
		ctx, cancel := context.WithTimeout(t.Context(), 0)
		if err := auditor.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 records") {
			t.Errorf("shutdown without time: %v, want what is left", err)
		}
		cancel()
	}
	must(t, db.Create(&Memo{Title: "late", Price: "0"}).Error) // the application is not held up
	close(sink.release)
	must(t, auditor.Shutdown(t.Context()))
	// One more says that writes follow.
	if s := auditor.Stats(); s.Emitted != 2 || s.Failed != 1 || len(sink.self) != 1 {
		t.Errorf("emitted %d, failed %d, want 2 and 1", s.Emitted, s.Failed)
	}
	expect(t, sink.take(), `ADD memo 1 "kept"`)
}

func TestFault63_openAndClose_leavesNothing(t *testing.T) { //nolint:paralleltest // counts all goroutines
	path := filepath.Join(t.TempDir(), "often.db")
	rounds := 100
	if testservers.Long() {
		rounds = 1000
	}
	cycle := func() {
		db, err := gorm.Open(sqlite.Open(path), &gorm.Config{})
		must(t, err)
		reg := audit.NewRegistry()
		must(t, reg.Register(&Memo{}))
		auditor := audit.New(audit.Config{Registry: reg, Sink: &recorder{}})
		must(t, db.Use(auditor))
		must(t, auditor.Shutdown(t.Context()))
		pool, err := db.DB()
		must(t, err)
		must(t, pool.Close())
	}
	cycle()
	before := runtime.NumGoroutine()
	for range rounds {
		cycle()
	}
	deadline := time.Now().Add(2 * time.Minute)
	for runtime.NumGoroutine() > before+5 && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if after := runtime.NumGoroutine(); after > before+5 {
		t.Errorf("%d goroutines before, %d after %d rounds", before, after, rounds)
	}
}
