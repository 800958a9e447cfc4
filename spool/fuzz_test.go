package spool

import (
	"bytes"
	"errors"
	"io"
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
	header := encodeHeader(1, 1, [16]byte{})
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

// FuzzReader reads a folder with any bytes as its segment, as auditlog tail does: it must come to an end,
// with sequences that rise.
func FuzzReader(f *testing.F) {
	header := encodeHeader(1, 1, [16]byte{})
	one := appendFrame(nil, frame{seq: 1, time: 2, id: "id", payload: []byte("{}")})
	two := appendFrame(nil, frame{seq: 2, time: 2, payload: []byte("{}")})
	f.Add([]byte{}, []byte{})
	f.Add(bytes.Join([][]byte{header, one}, nil), bytes.Join([][]byte{header, two}, nil))
	f.Add(bytes.Join([][]byte{header, one, one[:9], two}, nil), []byte("x"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		disk := newMemFS()
		dir := disk.name + "/01900000-0000-7000-8000-000000000000"
		if err := disk.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		put(t, disk, filepath.Join(dir, identityName), []byte(`{"format":1,"producer":"a/b"}`))
		put(t, disk, filepath.Join(dir, segmentName(1)), first)
		put(t, disk, filepath.Join(dir, segmentName(2)), second)
		r, err := openReader(disk, dir)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		after := uint64(0)
		for {
			e, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrFormat) {
					t.Fatal(err)
				}
				return
			}
			if e.Seq <= after {
				t.Fatalf("sequence %d after %d", e.Seq, after)
			}
			after = e.Seq
		}
	})
}
