// Package oracle says what really happened: in a database, by reading whole tables before and after and
// replaying recorded changes from one to the other; and in a delivery, by a book of what was written. It
// is for tests, and knows nothing of how changes are captured or carried.
package oracle

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Querier is a connection or pool to read from.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// Table is a table to look at.
type Table struct {
	// Name is as in SQL, quoted if it must be.
	Name string
	// Keys are the columns of the primary key. Without them rows are told apart by all they hold.
	Keys []string
	// Ignore are columns that are not looked at.
	Ignore []string
	// Documents are columns of JSON: the order of keys and spaces are nothing.
	Documents []string
	// Soft is the column that marks rows as deleted, empty if there is none. Alive is its value in
	// rows that are not, empty for NULL.
	Soft, Alive string
}

// Deleted reports whether a row is marked as deleted.
func (t Table) Deleted(row Row) bool {
	if t.Soft == "" {
		return false
	}
	alive := t.Alive
	if alive == "" {
		alive = null
	}
	v, ok := row[t.Soft]
	return ok && v != alive && v != "0"
}

// Row is a row with its values in words; see Word.
type Row map[string]string

// Snapshot has the rows of tables, by table name and key. Equal rows of a table without a key are
// numbered.
type Snapshot map[string]map[string]Row

// Change is a recorded change of one row. Before is nil for an added row, After for a deleted one.
type Change struct {
	Table         string
	Before, After Row
	// NoBefore says that the row was there, but is not known as it was.
	NoBefore bool
	// Op is what the change says it is: insert, update, delete, softdelete or restore. If it is not
	// empty it is checked against the images.
	Op string
	// Key makes the change one of some columns only: Before and After have those that changed, and Key
	// what tells the row apart after it.
	Key Row
}

// Take reads the tables.
func Take(ctx context.Context, q Querier, tables ...Table) (Snapshot, error) {
	s := Snapshot{}
	for _, t := range tables {
		rows := map[string]Row{}
		s[t.Name] = rows
		err := read(ctx, q, t, func(row Row) { rows[t.free(rows, row)] = row })
		if err != nil {
			return nil, fmt.Errorf("oracle: read %s: %w", t.Name, err)
		}
	}
	return s, nil
}

func read(ctx context.Context, q Querier, t Table, each func(Row)) (err error) {
	rows, err := q.QueryContext(ctx, "SELECT * FROM "+t.Name)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := rows.Close(); err == nil {
			err = cerr
		}
	}()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	for rows.Next() {
		values, dest := make([]any, len(columns)), make([]any, len(columns))
		for i := range values {
			dest[i] = &values[i]
		}
		if err := rows.Scan(dest...); err != nil {
			return err
		}
		row := Row{}
		for i, c := range columns {
			if !slices.Contains(t.Ignore, c) {
				row[c] = Word(values[i])
			}
		}
		each(t.normal(row))
	}
	return rows.Err()
}

// normal gives the row with its documents in one form.
func (t Table) normal(row Row) Row {
	for _, c := range t.Documents {
		if v, ok := row[c]; ok {
			row[c] = Document(v)
		}
	}
	return row
}

// Document gives JSON as text in one form: without spaces, keys in order, numbers as they are written.
// What is no JSON stays as it is.
func Document(text string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(out)
}

// key gives what tells the row apart.
func (t Table) key(row Row) string {
	columns := t.Keys
	if len(columns) == 0 {
		columns = slices.Sorted(maps.Keys(row))
	}
	var b strings.Builder
	for _, c := range columns {
		fmt.Fprintf(&b, "%s=%q ", c, row[c])
	}
	return b.String()
}

// free gives a key for the row that rows does not have yet.
func (t Table) free(rows map[string]Row, row Row) string {
	k := t.key(row)
	if len(t.Keys) > 0 {
		return k
	}
	for n := 0; ; n++ {
		numbered := k + "#" + strconv.Itoa(n)
		if _, taken := rows[numbered]; !taken {
			return numbered
		}
	}
}

// find gives the key of a row that is in rows.
func (t Table) find(rows map[string]Row, row Row) (key string, ok bool) {
	k := t.key(row)
	if len(t.Keys) > 0 {
		_, ok = rows[k]
		return k, ok
	}
	for key := range rows {
		if strings.HasPrefix(key, k+"#") {
			return key, true
		}
	}
	return k, false
}

// Replay applies changes to a copy of s, in order, and gives it with everything that is wrong with
// them: a before image that is not what was there, an added row that was there, a change that is none.
func (s Snapshot) Replay(changes []Change, tables ...Table) (Snapshot, []string) {
	out := Snapshot{}
	for name, rows := range s {
		out[name] = maps.Clone(rows)
	}
	byName := map[string]Table{}
	for _, t := range tables {
		byName[t.Name] = t
	}
	var wrong []string
	for i, c := range changes {
		t, ok := byName[c.Table]
		if !ok {
			wrong = append(wrong, fmt.Sprintf("change %d: unknown table %q", i, c.Table))
			continue
		}
		if c.Key != nil {
			var missing string
			if c, missing = t.complete(out[c.Table], c); missing != "" {
				wrong = append(wrong, fmt.Sprintf("change %d of %s: %s", i, c.Table, missing))
				continue
			}
		}
		c.Before, c.After = t.normal(maps.Clone(c.Before)), t.normal(maps.Clone(c.After))
		for _, w := range apply(out[c.Table], t, c) {
			wrong = append(wrong, fmt.Sprintf("change %d of %s: %s", i, c.Table, w))
		}
	}
	return out, wrong
}

// complete gives a change of some columns with all of the row that it changed.
func (t Table) complete(rows map[string]Row, c Change) (Change, string) {
	was := maps.Clone(c.Key)
	for name, v := range c.Before {
		if _, ok := was[name]; ok {
			was[name] = v
		}
	}
	k, ok := t.find(rows, was)
	if !ok {
		return c, fmt.Sprintf("a change of a row that is not there: %v", was)
	}
	before, after := maps.Clone(rows[k]), maps.Clone(rows[k])
	maps.Copy(before, c.Before)
	maps.Copy(after, c.After)
	c.Before, c.After, c.Key = before, after, nil
	return c, ""
}

// op says what a change was by its images.
func (t Table) op(c Change) string {
	switch was, is := t.Deleted(c.Before), t.Deleted(c.After); {
	case c.Before == nil && !c.NoBefore:
		return "insert"
	case c.After == nil:
		return "delete"
	case !was && is && !c.NoBefore:
		return "softdelete"
	case was && !is:
		return "restore"
	}
	return "update"
}

func apply(rows map[string]Row, t Table, c Change) (wrong []string) {
	if c.Before == nil && c.After == nil {
		return []string{"no images"}
	}
	if op := t.op(c); c.Op != "" && op != c.Op {
		wrong = append(wrong, fmt.Sprintf("is called %s, and is %s: %v -> %v", c.Op, op, c.Before, c.After))
	}
	if c.Before != nil && c.After != nil && maps.Equal(c.Before, c.After) {
		wrong = append(wrong, fmt.Sprintf("nothing changed: %v", c.After))
	}
	if c.Before != nil {
		k, ok := t.find(rows, c.Before)
		switch {
		case !ok:
			wrong = append(wrong, fmt.Sprintf("before image of a row that is not there: %v", c.Before))
		case !maps.Equal(rows[k], c.Before):
			wrong = append(wrong, fmt.Sprintf("before image differs from the row:\n  image %v\n  row   %v", c.Before, rows[k]))
		}
		delete(rows, k)
	}
	if c.After != nil {
		k := t.free(rows, c.After)
		if c.NoBefore {
			if _, there := t.find(rows, c.After); !there {
				wrong = append(wrong, fmt.Sprintf("change of a row that is not there: %v", c.After))
			}
			delete(rows, k)
		}
		if _, taken := rows[k]; taken {
			wrong = append(wrong, fmt.Sprintf("after image of a row that is there already: %v", c.After))
		}
		rows[k] = c.After
	}
	return wrong
}

// null is the word for NULL.
const null = "NULL"

// Word gives a raw value as the driver gave it in words, so that equal values are equal words.
func Word(v any) string {
	switch v := v.(type) {
	case nil:
		return null
	case []byte:
		return string(v)
	case string:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}
