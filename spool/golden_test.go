package spool

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden_ofTheFirstVersion: fault row 65. A folder as version 1 wrote it, with records that wait, is taken over
// and drained, and the frames are written as they were then.
func TestGolden_ofTheFirstVersion(t *testing.T) {
	t.Parallel()
	const id = "01900000-0000-7000-8000-000000000000"
	golden := filepath.Join("testdata", "v1", id)
	binary, _ := parseID(id)
	at := time.Unix(1_700_000_000, 5).UnixNano()
	segment := encodeHeader(at, 1, binary)
	for i, r := range testRecords(1, 3) {
		encoded, err := encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		payload := appendStamp(encoded, "shop/"+id, uint64(i+1))
		segment = appendFrame(segment, frame{seq: uint64(i + 1), time: at, id: r.LogID, payload: payload})
	}
	if *update {
		known, err := json.Marshal(identity{Format: 1, Producer: "shop/" + id})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(golden, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{identityName: known, segmentName(1): segment, lockName: nil} {
			if err := os.WriteFile(filepath.Join(golden, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(filepath.Join(golden, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(segment, want) {
		t.Error("a segment is not written as version 1 was: raise the version, and keep reading the old one")
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "v1"))); err != nil {
		t.Fatal(err)
	}
	s := openTest(t, dir)
	if s.Producer() != "shop/"+id {
		t.Errorf("producer %s", s.Producer())
	}
	if err := s.Write(t.Context(), testRecords(4, 4)); err != nil {
		t.Fatal(err)
	}
	got := drain(t, s)
	if len(got) != 4 {
		t.Fatalf("%d records, want 4", len(got))
	}
	for i, m := range got {
		if m.Seq != uint64(i+1) || m.ID != testRecords(i+1, i+1)[0].LogID || !strings.HasSuffix(string(m.Payload), "}") {
			t.Errorf("record %d: %+v", i+1, m)
		}
	}
}
