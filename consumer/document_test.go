package consumer_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/gormtrail/audit/consumer"
	"github.com/gormtrail/audit/event"
	"github.com/gormtrail/audit/store"
	"github.com/gormtrail/audit/stream"
)

// bombs are messages that are small, or as large as a message may be, and would cost a reader much that looks
// into them without limits.
func bombs() map[string]string {
	const size = 1 << 20
	head := `{"log_id":"1","timestamp":"2026-01-01T00:00:00Z","action":"ADD","x":`
	fill := func(s string) string { return head + strings.Repeat(s, (size-len(head))/len(s)) }
	return map[string]string{
		"100,000 levels of lists":        head + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
		"100,000 levels of objects":      head + strings.Repeat(`{"a":`, 100_000) + "1" + strings.Repeat("}", 100_000) + "}",
		"only opened":                    fill("["),
		"objects only opened":            fill(`{"":`),
		"nothing but levels":             strings.Repeat("[", size),
		"levels behind a text of quotes": fill(`"\"[`),
		"many members":                   `{` + strings.TrimSuffix(fillMembers(size-100), ",") + "}",
		"the same member":                `{` + strings.TrimSuffix(strings.Repeat(`"a":1,`, size/6-20), ",") + "}",
		"a huge exponent":                `{"log_id":"1","timestamp":"2026-01-01T00:00:00Z","action":"ADD","total_processed":1e999999999}`,
		"too large":                      head + `"` + strings.Repeat("x", size) + `"}`,
		"nothing":                        "",
		"white space":                    strings.Repeat(" ", size),
	}
}

func fillMembers(size int) string {
	var b strings.Builder
	for n := 0; b.Len() < size; n++ {
		fmt.Fprintf(&b, `"m%d":%d,`, n, n)
	}
	return b.String()
}

// TestDocument_bombs: what is nested too deeply or too large is refused before any value of it is read.
func TestDocument_bombs(t *testing.T) { //nolint:paralleltest // it looks at the memory of the process
	for name, text := range bombs() {
		payload := []byte(text)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := consumer.Document(stream.Message{Payload: payload}, "s", november, 0)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: taken for a record", name)
			continue
		}
		if n := len(err.Error()); n > 400 {
			t.Errorf("%s: the error has %d bytes", name, n)
		}
		// Tests of other functions do not run meanwhile. A map of a hundred thousand members takes 20 MiB.
		if used := after.TotalAlloc - before.TotalAlloc; used > 48<<20 {
			t.Errorf("%s: %d MiB were allocated to refuse it", name, used>>20)
		}
	}
}

func TestDocument_sizeLimit(t *testing.T) {
	t.Parallel()
	data := payload(t, 1)
	if _, err := consumer.Document(stream.Message{Payload: data}, "s", november, len(data)); err != nil {
		t.Error(err)
	}
	if _, err := consumer.Document(stream.Message{Payload: data}, "s", november, len(data)-1); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("has %d bytes, want at most %d", len(data), len(data)-1)) {
		t.Error(err)
	}
}

// TestDocument_newerVersion: a record of a version that does not exist yet is stored byte for byte, with all
// that is not known here.
func TestDocument_newerVersion(t *testing.T) {
	t.Parallel()
	newer := `{"schema_version":7,"log_id":"n1","timestamp":"2026-11-03T04:05:06Z","action":"CHANGE","object_type":"customer","object_id":"4",` +
		`"severity":{"level":1.50,"names":["a","é"],"deep":[[{"x":null}]]},"changes":[{"field":"name","old":"a","new":"b","unit":{"k":1e3}}],"zz":-0.0,"Action":"other case"}`
	doc, err := consumer.Document(stream.Message{Payload: []byte(newer), Offset: 17}, "records", november, 0)
	if err != nil {
		t.Fatal(err)
	}
	stamp := `,"ingested_at":"2026-11-03T04:05:06Z","stream":"records","stream_offset":17}`
	if got, want := string(doc.Encoded), strings.TrimSuffix(newer, "}")+stamp; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if doc.Record.SchemaVersion != 7 || doc.Record.ObjectID != "4" || len(doc.Record.Changes) != 1 {
		t.Errorf("record %+v", doc.Record)
	}
	before, err1 := event.Decode([]byte(newer))
	h1, err2 := event.ContentHash(before)
	after, err3 := event.Decode(doc.Encoded)
	h2, err4 := event.ContentHash(after)
	if err := errors.Join(err1, err2, err3, err4); err != nil || h1 != h2 {
		t.Errorf("the content has changed: %s %s %v", h1, h2, err)
	}
}

// FuzzDocument: whatever comes from a stream is refused, or is a document of which everything that a store
// needs can be made, within its bounds.
func FuzzDocument(f *testing.F) {
	files, _ := filepath.Glob("../event/testdata/*.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 8<<10 {
			f.Add(data)
		}
	}
	for _, bomb := range bombs() {
		if len(bomb) < 8<<10 {
			f.Add([]byte(bomb))
		}
	}
	f.Add(payload(f, 1))
	f.Fuzz(func(t *testing.T, data []byte) {
		original := bytes.Clone(data)
		doc, err := consumer.Document(stream.Message{Payload: data, Offset: 3}, "records", november, 0)
		if !bytes.Equal(data, original) {
			t.Fatal("the message was changed")
		}
		if err != nil {
			return
		}
		if !json.Valid(doc.Encoded) || len(doc.Encoded) > event.MaxSize+len("records")+256 {
			t.Fatalf("bad encoding of %d bytes: %.300s", len(doc.Encoded), doc.Encoded)
		}
		stored, err := event.Decode(doc.Encoded)
		if err != nil {
			t.Fatalf("what would be stored cannot be read: %v\nin  %.300s\nout %.300s", err, data, doc.Encoded)
		}
		if stored.Stream != "records" || stored.StreamOffset != 3 || !stored.IngestedAt.Equal(november) {
			t.Fatalf("bad stamp: %.300s", doc.Encoded)
		}
		h1, err1 := event.ContentHash(doc.Record)
		h2, err2 := event.ContentHash(stored)
		if err := errors.Join(err1, err2); err != nil || h1 != h2 && !stored.IsTruncated {
			t.Fatalf("the content differs (%v)\nin  %.300s\nout %.300s", err, data, doc.Encoded)
		}
		if n := len(store.SearchText(doc.Record)); n > store.MaxSearchText {
			t.Fatalf("%d bytes to search in", n)
		}
		for _, tokens := range [][]string{store.ChangeTokens(doc.Record), store.ExtraTokens(doc.Record)} {
			if len(tokens) > store.MaxTokens {
				t.Fatalf("%d tokens", len(tokens))
			}
			for _, token := range tokens {
				if len(token) > store.MaxTokenLength {
					t.Fatalf("a token of %d bytes", len(token))
				}
			}
		}
	})
}
