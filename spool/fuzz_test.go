package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendFrame(nil, frame{seq: 1, time: 2, id: "id", payload: []byte("{}")}))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, n, err := parseFrame(data)
		if err != nil {
			return
		}
		if encoded := appendFrame(nil, got); !bytes.Equal(encoded, data[:n]) {
			t.Errorf("%x is encoded again as %x", data[:n], encoded)
		}
	})
}

// FuzzSegment opens a folder with any bytes as its segment: opening and reading must end without
// a panic, and what is written afterwards must be there.
func FuzzSegment(f *testing.F) {
	header := appendHeader(nil, 1, 1, [16]byte{})
	one := appendFrame(nil, frame{seq: 1, time: 2, id: "id", payload: []byte("{}")})
	two := appendFrame(nil, frame{seq: 2, time: 2, payload: []byte("{}")})
	f.Add([]byte{})
	f.Add(header)
	f.Add(bytes.Join([][]byte{header, one, two}, nil))
	f.Add(bytes.Join([][]byte{header, one[:10], two}, nil))
	f.Add(bytes.Join([][]byte{header, two, one}, nil))
	f.Add(bytes.Join([][]byte{header, one, {0, 0, 0, 19}, two}, nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		folder := filepath.Join(dir, "01900000-0000-7000-8000-000000000000")
		if err := os.Mkdir(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, segmentName(1)), data, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, testConfig())
		if err != nil {
			t.Fatal(err) // a newer format is skipped
		}
		defer s.Close()
		before := len(drain(t, s))
		if err := s.Write(t.Context(), testRecords(1, 1)); err != nil {
			t.Fatal(err)
		}
		all := drain(t, s)
		if len(all) != before+1 || all[before].ID != "id-1" {
			t.Errorf("%d records after one more than %d", len(all), before)
		}
	})
}
