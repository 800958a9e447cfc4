package capture_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gorm.io/gorm"

	"github.com/gormtrail/audit"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/internal/capture"
	"github.com/gormtrail/audit/internal/oracle"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/store/sqlstore"
)

// LabelMember is the join table of Label and Member as a struct of the application.
type LabelMember struct {
	LabelID  uint `gorm:"primaryKey;autoIncrement:false"`
	MemberID uint `gorm:"primaryKey;autoIncrement:false"`
}

const redacted = "[REDACTED]"

// What records do not show, and how they show what the drivers give in different ways.
var (
	excludedColumns = map[string]bool{"customers.score": true}
	maskedColumns   = map[string]bool{"customers.email": true, "assets.place_room": true}
	boolColumns     = map[string]bool{"customers.active": true}
	bytesColumns    = map[string]bool{"docs.body": true, "assets.data": true, "assets.blob": true}
	autoColumns     = map[string]bool{"customers.updated_at": true, "orders.updated_at": true, "assets.updated_at": true}
)

// audited is a handle with the whole plugin, and how its records are had.
type audited struct {
	db      *gorm.DB
	auditor *audit.Auditor
	take    func(t *testing.T) []event.Record
	errs    func() []error
	// bypass and unchanged are what the statistics said last.
	bypass, unchanged int64
}

// sink keeps records.
type sink struct {
	mu      sync.Mutex
	records []event.Record
}

func (s *sink) Write(_ context.Context, records []event.Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.records = append(s.records, records...)
	return nil
}

func (s *sink) take(*testing.T) []event.Record {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.records
	s.records = nil
	return out
}

// auditRegistry registers all models, with columns that are masked and excluded.
func auditRegistry(t testing.TB) *audit.Registry {
	t.Helper()
	reg := audit.NewRegistry()
	for _, m := range slices.Concat(allModels, []any{&CustomerTag{}, &LabelMember{}}) {
		var opts []audit.Option
		switch m.(type) {
		case *Customer:
			opts = []audit.Option{audit.Mask("Email"), audit.Exclude("Score")}
		case *Asset:
			opts = []audit.Option{audit.Mask("Place.Room")}
		}
		if err := reg.Register(m, opts...); err != nil {
			t.Fatal(err)
		}
	}
	return reg
}

// use installs the plugin as an application does, with a sink behind COMMIT or the embedded store.
func use(t *testing.T, d database, db *gorm.DB, reg *audit.Registry, embedded bool) *audited {
	t.Helper()
	var mu sync.Mutex
	var errs []error
	a := &audited{db: db}
	cfg := audit.Config{
		Registry: reg, Scope: audit.ScopeAll, KeepValuePatterns: true, Logger: slog.New(slog.DiscardHandler),
		OnError: func(_ context.Context, err error) {
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, err)
		},
	}
	a.errs = func() []error {
		mu.Lock()
		defer mu.Unlock()
		out := errs
		errs = nil
		return out
	}
	if !embedded {
		s := &sink{}
		cfg.Sink, a.take = s, s.take
	}
	a.auditor = audit.New(cfg)
	if err := db.Use(a.auditor); err != nil {
		t.Fatal(err)
	}
	if d.asMySQL {
		capture.ForgetReturning(db)
	}
	if embedded {
		a.take = stored(t, db)
	}
	return a
}

// stored gives the records in the table audit_logs since the last call.
func stored(t *testing.T, db *gorm.DB) func(t *testing.T) []event.Record {
	t.Helper()
	trail, err := sqlstore.New(db, sqlstore.Config{SkipMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	q := store.Query{Ascending: true, Size: 100}.WithDefaults()
	return func(t *testing.T) (all []event.Record) {
		t.Helper()
		for {
			page, err := trail.Search(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			n := len(page.Records)
			if n == 0 {
				return all
			}
			all = append(all, page.Records...)
			last := store.PositionOf(page.Records[n-1])
			q.After = &last
		}
	}
}

func tableOf(name string) (oracle.Table, bool) {
	name = name[strings.LastIndexByte(name, '.')+1:]
	i := slices.IndexFunc(allTables, func(t oracle.Table) bool { return t.Name == name })
	if i < 0 {
		return oracle.Table{}, false
	}
	return allTables[i], true
}

var number = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?$`)

// plainWord gives a word in the one form that is the same for what drivers and records say.
func plainWord(t oracle.Table, column, word string) string {
	at := t.Name + "." + column
	switch {
	case word == "NULL":
		return word
	case maskedColumns[at]:
		return redacted
	case boolColumns[at]:
		return map[string]string{"0": "false", "1": "true"}[word] + strings.Trim(word, "01")
	case slices.Contains(t.Documents, column):
		return oracle.Document(word)
	case number.MatchString(word):
		if r, ok := new(big.Rat).SetString(word); ok {
			return r.RatString()
		}
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999-07:00", "2006-01-02 15:04:05.999999999"} {
		if at, err := time.Parse(layout, word); err == nil {
			return at.UTC().Format(time.RFC3339Nano)
		}
	}
	return word
}

// asRecorded gives a snapshot as records can show it.
func asRecorded(s oracle.Snapshot) oracle.Snapshot {
	out := oracle.Snapshot{}
	for _, t := range allTables {
		rows := map[string]oracle.Row{}
		for key, row := range s[t.Name] {
			plain := oracle.Row{}
			for column, word := range row {
				at := t.Name + "." + column
				if excludedColumns[at] {
					continue
				}
				if bytesColumns[at] && word != "NULL" {
					word = base64.StdEncoding.EncodeToString([]byte(word))
				}
				plain[column] = plainWord(t, column, word)
			}
			rows[key] = plain
		}
		out[t.Name] = rows
	}
	return out
}

// jsonWord gives a value of a record in the form of plainWord.
func jsonWord(t oracle.Table, column string, value json.RawMessage) string {
	word := string(value)
	switch {
	case word == "null":
		word = "NULL"
	case maskedColumns[t.Name+"."+column]:
		_ = json.Unmarshal(value, &word) // it must be masked already
		return word
	case strings.HasPrefix(word, `"`) && !slices.Contains(t.Documents, column):
		_ = json.Unmarshal(value, &word) // it was encoded, or the word shows what it is
	}
	return plainWord(t, column, word)
}

// recorded gives a record as a change of the tables, as they are when it is applied.
func recorded(r event.Record) (c oracle.Change, wrong string) {
	t, ok := tableOf(r.Table)
	if !ok {
		return c, "unknown table " + r.Table
	}
	c = oracle.Change{Table: t.Name, Before: oracle.Row{}, After: oracle.Row{}, Key: oracle.Row{}}
	for _, ch := range r.Changes {
		if ch.Old != nil {
			c.Before[ch.Field] = jsonWord(t, ch.Field, ch.Old)
		}
		if ch.New != nil {
			c.After[ch.Field] = jsonWord(t, ch.Field, ch.New)
		}
	}
	keys := t.Keys
	if len(keys) == 0 {
		keys = []string{"place", "text"}
	}
	values := strings.SplitN(r.ObjectID, ",", len(keys))
	if len(values) != len(keys) {
		return c, fmt.Sprintf("object_id %q of %v", r.ObjectID, keys)
	}
	for i, k := range keys {
		c.Key[k] = plainWord(t, k, values[i])
	}
	switch r.Action {
	case event.ActionAdd:
		if len(c.Before) > 0 {
			return c, "ADD with old values"
		}
		c.Before, c.Key, c.Op = nil, nil, "insert"
	case event.ActionDelete:
		// A row that was only marked has the new values of what the statement changed: the mark, and more.
		if len(c.After) == 0 {
			c.After, c.Key, c.Op = nil, nil, "delete"
			break
		}
		marked := maps.Clone(c.Before)
		maps.Copy(marked, c.After)
		c.After, c.Key, c.Op = marked, nil, "softdelete"
	case event.ActionRestore:
		c.Op = "restore"
	case event.ActionChange:
		c.Op = "update"
		if r.Extra[audit.ExtraNote] == capture.NoteNoBefore {
			if len(c.Before) > 0 {
				return c, "no before image, and old values"
			}
			c.Before, c.Key, c.NoBefore = nil, nil, true
		}
	default:
		return c, fmt.Sprintf("action %s", r.Action)
	}
	return c, ""
}

func keyIn(rows map[string]oracle.Row, t oracle.Table, row oracle.Row) string {
	for k, r := range rows {
		if len(t.Keys) > 0 && !slices.ContainsFunc(t.Keys, func(c string) bool { return r[c] != row[c] }) {
			return k
		}
	}
	return ""
}

// replayRecords applies records to the tables as they can show them.
func replayRecords(start oracle.Snapshot, records []event.Record, lone bool) (end oracle.Snapshot, wrong []string) {
	end = start
	for i, r := range records {
		if r.IsTruncated || r.Outcome == "unknown" {
			wrong = append(wrong, fmt.Sprintf("record %d is not certain: %+v", i, r))
		}
		end, _ = end.Replay(nil)
		c, bad := recorded(r)
		if bad != "" {
			wrong = append(wrong, fmt.Sprintf("record %d: %s", i, bad))
			continue
		}
		if c.Op == "update" && !slices.ContainsFunc(r.ChangedFields, func(f string) bool { return !autoColumns[tableName(r)+"."+f] }) {
			wrong = append(wrong, fmt.Sprintf("record %d is of nothing but a time: %v", i, r.ChangedFields))
		}
		if onlyMasked(c) {
			continue
		}
		if lone {
			trustTimes(end, c)
		}
		var w []string
		end, w = end.Replay([]oracle.Change{c}, allTables...)
		for _, s := range w {
			wrong = append(wrong, fmt.Sprintf("record %d: %s\n  %v %s", i, s, r.Extra, recordLines([]event.Record{r})))
		}
	}
	return end, wrong
}

// tableName gives the name of a record's table.
func tableName(r event.Record) string { return r.Table[strings.LastIndexByte(r.Table, '.')+1:] }

// trustTimes takes the time of the last update of a row from the record, where no other record says it.
func trustTimes(tables oracle.Snapshot, c oracle.Change) {
	t, _ := tableOf(c.Table)
	was := maps.Clone(c.Before)
	for name, v := range c.Key {
		if _, ok := was[name]; !ok && was != nil {
			was[name] = v
		}
	}
	k := keyIn(tables[t.Name], t, was)
	if k != "" {
		row := maps.Clone(tables[t.Name][k])
		tables[t.Name][k] = row
		for column, v := range c.Before {
			if autoColumns[t.Name+"."+column] {
				row[column] = v
			}
		}
	}
}

// onlyMasked reports whether a record shows that something changed, and not what.
func onlyMasked(c oracle.Change) bool {
	return c.Key != nil && len(c.Before) > 0 && maps.Equal(c.Before, c.After)
}

// compareRecords says whether records lead from the one snapshot to the other, and name all that changed.
// lone says that there were changes of nothing but the time of an update, which have none.
func compareRecords(before, after oracle.Snapshot, records []event.Record, lone bool) (problems []string) {
	replayed, wrong := replayRecords(asRecorded(before), records, lone)
	problems = append(problems, wrong...)
	want := asRecorded(after)
	if lone {
		forgetTimes(replayed, want)
	}
	if diff := cmp.Diff(want, replayed); diff != "" {
		problems = append(problems, "the records do not lead to the tables (-tables +records):\n"+diff)
	}
	for _, t := range allTables {
		for key, was := range before[t.Name] {
			is, ok := after[t.Name][key]
			if !ok {
				continue
			}
			for column := range was {
				at := t.Name + "." + column
				if was[column] == is[column] || excludedColumns[at] || autoColumns[at] {
					continue
				}
				if !slices.ContainsFunc(records, func(r event.Record) bool {
					return strings.HasSuffix(r.Table, t.Name) && slices.Contains(r.ChangedFields, column)
				}) {
					problems = append(problems, fmt.Sprintf("no record says that %s of %s changed", at, key))
				}
			}
		}
	}
	return problems
}

// forgetTimes takes the columns that GORM sets with every update from rows as they really are: changes of
// nothing else have no record.
func forgetTimes(replayed, want oracle.Snapshot) {
	for _, t := range allTables {
		for key, row := range want[t.Name] {
			r := replayed[t.Name][key]
			if r == nil {
				continue
			}
			for column := range row {
				if autoColumns[t.Name+"."+column] {
					r[column] = row[column]
				}
			}
		}
	}
}

// TestOracle_eachCall_givesTrueRecords runs each call with the plugin as an application uses it. The caller
// sees what it sees without, the tables end the same, and the records, replayed on the tables as they
// were, give the tables as they are: with masked values as masked, without excluded columns and changes
// of nothing but the time of an update.
func TestOracle_eachCall_givesTrueRecords(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		for i, c := range configurations {
			embedded := i == 1 || i == 2
			if !long() && (i == 2 || i == 3 || d.asMySQL && i != 1) {
				continue
			}
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				plain := newRuns(t, d, c, false, false)
				s := newRuns(t, d, c, false, false)
				a := use(t, d, s.db, auditRegistry(t), embedded)
				for _, call := range allCalls() {
					if call.only != "" && call.only != d.dialect {
						continue
					}
					t.Run(call.name, func(t *testing.T) {
						seen, _, end := plain.do(t, call)
						a.check(t, s, call, seen, end)
					})
				}
			})
		}
	}
}

func (a *audited) check(t *testing.T, s *runs, c call, seen []string, end oracle.Snapshot) {
	t.Helper()
	got, before, after := s.do(t, c)
	if diff := cmp.Diff(seen, got); diff != "" {
		t.Errorf("the caller sees something else (-without +with):\n%s", diff)
	}
	if diff := cmp.Diff(end, after); diff != "" {
		t.Errorf("the tables end differently (-without +with):\n%s", diff)
	}
	records := a.take(t)
	if c.uncaptured {
		skipped := int64(0)
		for _, reasons := range a.auditor.Stats().Skipped {
			skipped += reasons[capture.ReasonRaw]
		}
		if len(records) != 0 || skipped != a.bypass+1 {
			t.Errorf("%d records, %d writes counted as not recorded, %d before", len(records), skipped, a.bypass)
		}
		a.bypass = skipped
		return
	}
	unchanged := a.auditor.Stats().Unchanged
	lone := unchanged > a.unchanged
	a.unchanged = unchanged
	if problems := compareRecords(before, after, records, lone); len(problems) > 0 {
		t.Errorf("%s\nrecords:\n%s", strings.Join(problems, "\n"), recordLines(records))
	}
	for _, r := range records {
		if hash, err := event.ContentHash(r); err != nil || hash != r.RecordHash || r.ActorType != "system" || r.TxID == "" {
			t.Errorf("record %+v: %v", r, err)
		}
	}
	if errs := a.errs(); len(errs) > 0 {
		t.Errorf("errors: %v", errs)
	}
}

func recordLines(records []event.Record) string {
	var b strings.Builder
	for _, r := range records {
		fmt.Fprintf(&b, "%s %s %s", r.Action, r.Table, r.ObjectID)
		for _, c := range r.Changes {
			fmt.Fprintf(&b, " %s:%s->%s", c.Field, c.Old, c.New)
		}
		b.WriteByte('\n')
	}
	return b.String()
}
