package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"
)

// Words for what was recorded.
const (
	recordedAll     = "yes"
	recordedNew     = "new values only"
	recordedPart    = "in part"
	recordedKey     = "that it happened, no values"
	recordedNothing = "nothing"
	recordedWrong   = "wrong"
)

// truth makes one write and compares what was recorded of it with the row before and after it. What is
// wrong or missing is told in detail.
func (h *handle) truth(ctx context.Context, op operation) (word, detail string, err error) {
	witness, ok := h.installed.(Witness)
	if !ok {
		return "", "", nil
	}
	plain := h.plain.WithContext(ctx)
	n := 0
	if op.there {
		n = 1
	}
	rows, err := prepare(plain, n)
	if err != nil {
		return "", "", err
	}
	if _, err := witness.Recorded(ctx, plain); err != nil {
		return "", "", err
	}
	before, err := snapshot(plain)
	if err != nil {
		return "", "", err
	}
	failed := op.write(h.db.WithContext(ctx), h.variant.model, rows, 0)
	after, err := snapshot(plain)
	if err != nil {
		return "", "", err
	}
	records, err := witness.Recorded(ctx, plain)
	if err != nil {
		return "", "", err
	}
	word, detail = judge(before, after, records)
	if failed != nil {
		written := "the row is not written"
		if fmt.Sprint(before) != fmt.Sprint(after) {
			written = "the row is written"
		}
		word += "; the call gives an error, " + written
		detail += "; error: " + failed.Error()
	}
	return word, detail, nil
}

// snapshot reads the one row in the city, by the plain names of its columns; nil if there is none.
func snapshot(db *gorm.DB) (map[string]any, error) {
	var rows []Customer
	if err := db.Where("city = ?", city).Find(&rows).Error; err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, nil
	}
	if len(rows) > 1 {
		return nil, fmt.Errorf("%d rows, want 1", len(rows))
	}
	data, err := json.Marshal(rows[0])
	if err != nil {
		return nil, err
	}
	values, err := Values(data)
	return named(values), err
}

// named gives the values by names that are the same for a column and its field.
func named(values map[string]any) map[string]any {
	if values == nil {
		return nil
	}
	out := make(map[string]any, len(values))
	for name, v := range values {
		out[strings.ReplaceAll(strings.ToLower(name), "_", "")] = v
	}
	return out
}

// judge says in a word what the records tell about a row that was before, and is after. The times that
// GORM sets may be missing.
func judge(before, after map[string]any, records []Recorded) (word, detail string) {
	if len(records) == 0 {
		return recordedNothing, ""
	}
	row := after
	if row == nil {
		row = before
	}
	key := text(row["id"])
	i := slices.IndexFunc(records, func(r Recorded) bool { return r.Key == key })
	if i < 0 {
		return recordedWrong, fmt.Sprintf("key %q, want %q", records[0].Key, key)
	}
	was, is := named(records[i].Old), named(records[i].New)
	for _, side := range []struct {
		name        string
		said, truth map[string]any
	}{{"old", was, before}, {"new", is, after}} {
		for _, name := range slices.Sorted(maps.Keys(side.said)) {
			truth, known := side.truth[name]
			if known && !same(side.said[name], truth) || side.truth == nil && side.said[name] != nil {
				return recordedWrong, fmt.Sprintf("%s %s is %v, want %v", side.name, name, side.said[name], truth)
			}
		}
	}
	complete := func(said, truth, other map[string]any) bool {
		for name, v := range truth {
			_, told := said[name]
			if !told && !strings.HasSuffix(name, "at") && name != "id" && (other == nil || !same(v, other[name])) {
				detail = name + " is missing"
				return false
			}
		}
		return true
	}
	oldThere, newThere := before == nil || complete(was, before, after), after == nil || complete(is, after, before)
	switch {
	case oldThere && newThere:
		return recordedAll, ""
	case len(was) == 0 && len(is) == 0:
		return recordedKey, detail
	case len(was) == 0 && newThere:
		return recordedNew, detail
	}
	return recordedPart, detail
}

// same compares values as they come from different databases and encodings.
func same(a, b any) bool {
	s, t := text(a), text(b)
	if s == t {
		return true
	}
	x, err := strconv.ParseFloat(s, 64)
	y, err2 := strconv.ParseFloat(t, 64)
	if err == nil && err2 == nil {
		return math.Abs(x-y) < 1e-9
	}
	u, okay := moment(s)
	v, okay2 := moment(t)
	return okay && okay2 && u.Sub(v).Abs() < time.Millisecond // a database keeps fewer digits
}

func moment(s string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999-07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

func text(v any) string {
	switch v := v.(type) {
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		if v {
			return "1"
		}
		return "0"
	}
	return fmt.Sprint(v)
}
